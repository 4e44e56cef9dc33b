"""splitee: where to cut a multi-exit transformer between a device and the cloud.

    trace = splitee.load_trace("imdb")
    result = splitee.replay(trace, splitee.SplitEE(threshold=0.7), splitee.CostModel(offload=5.0))
    result.summary()

Names are imported when first used, so that ``import splitee`` is immediate and never imports torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_MODULES = {"streams": "replay.orders"}  # name: a module
_HOME = {  # name: the module it lives in
    "Trace": "trace",
    "load_trace": "trace",
    "bundled_traces": "trace",
    "concatenate": "trace",
    "with_cloud": "trace",
    "CostModel": "costs",
    "DeviceProfile": "system.profile",
    "Link": "system.link",
    "load_link": "system.link_files",
    "System": "system.system",
    "replay": "replay.replay",
    "Result": "results.result",
    "Results": "results.results",
    "load_results": "results.results",
    "recommend_threshold": "trace.threshold",
    "InputError": "_internal.errors",
    "ANSWER": "policies.loop",
    "OFFLOAD": "policies.loop",
    "SplitEE": "policies.ucb",
    "SplitEES": "policies.ucb",
    "FinalExit": "policies.fixed",
    "CloudOnly": "policies.fixed",
    "FixedExit": "policies.fixed",
    "FixedSplit": "policies.fixed",
    "RandomSplit": "policies.fixed",
    "ExitOrInput": "policies.fixed",
    "BestRule": "policies.hindsight",
    "LinkAware": "policies.adaptive",
    "BestFixedSplit": "policies.hindsight",
    "Oracle": "policies.hindsight",
    "ElasticBERT": "policies.cascades",
    "DeeBERT": "policies.cascades",
    "PABEE": "policies.cascades",
    "CascadeSplit": "policies.cascades",
    "CertifiedSplit": "policies.certified",
    "AuditedStopping": "policies.stopping",
    "ExploreThenCommit": "policies.commit",
    "SourceSplit": "policies.commit",
    "UCBTuned": "policies.variance",
    "ThompsonSplit": "policies.variance",
    "HILCB": "policies.thresholds.hierarchical",
    "AdaEE": "policies.thresholds.arms",
    "BufferAwareAdaEE": "policies.thresholds.arms",
    "ByContext": "policies.contexts",
    "CeeBERT": "policies.thresholds.arms",
    "CeeBERTReleased": "policies.thresholds.arms",
    "UEEUCB": "policies.thresholds.dominance",
    "PCEE": "policies.thresholds.pcee",
    "PCEEOnline": "policies.thresholds.pcee",
    "BEEM": "policies.thresholds.beem",
    "HIL": "policies.thresholds.hedge",
    "TrackedThreshold": "policies.thresholds.tracking",
}

__all__ = [
    "ANSWER",
    "BEEM",
    "HIL",
    "HILCB",
    "OFFLOAD",
    "PABEE",
    "PCEE",
    "UEEUCB",
    "AdaEE",
    "AuditedStopping",
    "BestFixedSplit",
    "BestRule",
    "BufferAwareAdaEE",
    "ByContext",
    "CascadeSplit",
    "CeeBERT",
    "CeeBERTReleased",
    "CertifiedSplit",
    "CloudOnly",
    "CostModel",
    "DeeBERT",
    "DeviceProfile",
    "ElasticBERT",
    "ExitOrInput",
    "ExploreThenCommit",
    "FinalExit",
    "FixedExit",
    "FixedSplit",
    "InputError",
    "Link",
    "LinkAware",
    "Oracle",
    "PCEEOnline",
    "RandomSplit",
    "Result",
    "Results",
    "SourceSplit",
    "SplitEE",
    "SplitEES",
    "System",
    "ThompsonSplit",
    "Trace",
    "TrackedThreshold",
    "UCBTuned",
    "__version__",
    "bundled_traces",
    "concatenate",
    "load_link",
    "load_results",
    "load_trace",
    "recommend_threshold",
    "replay",
    "streams",
    "with_cloud",
]

if TYPE_CHECKING:
    from splitee._internal.errors import InputError
    from splitee.costs import CostModel
    from splitee.policies.adaptive import LinkAware
    from splitee.policies.cascades import PABEE, CascadeSplit, DeeBERT, ElasticBERT
    from splitee.policies.certified import CertifiedSplit
    from splitee.policies.commit import ExploreThenCommit, SourceSplit
    from splitee.policies.contexts import ByContext
    from splitee.policies.fixed import CloudOnly, ExitOrInput, FinalExit, FixedExit, FixedSplit, RandomSplit
    from splitee.policies.hindsight import BestFixedSplit, BestRule, Oracle
    from splitee.policies.loop import ANSWER, OFFLOAD
    from splitee.policies.stopping import AuditedStopping
    from splitee.policies.thresholds.arms import AdaEE, BufferAwareAdaEE, CeeBERT, CeeBERTReleased
    from splitee.policies.thresholds.beem import BEEM
    from splitee.policies.thresholds.dominance import UEEUCB
    from splitee.policies.thresholds.hedge import HIL
    from splitee.policies.thresholds.hierarchical import HILCB
    from splitee.policies.thresholds.pcee import PCEE, PCEEOnline
    from splitee.policies.thresholds.tracking import TrackedThreshold
    from splitee.policies.ucb import SplitEE, SplitEES
    from splitee.policies.variance import ThompsonSplit, UCBTuned
    from splitee.replay import orders as streams
    from splitee.replay.replay import replay
    from splitee.results.result import Result
    from splitee.results.results import Results, load_results
    from splitee.system.link import Link
    from splitee.system.link_files import load_link
    from splitee.system.profile import DeviceProfile
    from splitee.system.system import System
    from splitee.trace import Trace, bundled_traces, concatenate, load_trace, with_cloud
    from splitee.trace.threshold import recommend_threshold


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"splitee.{_MODULES[name]}")
    if name not in _HOME:
        raise AttributeError(f"module 'splitee' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"splitee.{_HOME[name]}"), name)
    globals()[name] = value  # found at once the next time
    return value


def __dir__() -> list[str]:
    return __all__
