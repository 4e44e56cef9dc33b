"""Predictions for ELUE from a replay: the answers of policies on a trace, without running a model."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitee._internal.errors import InputError
from splitee.costs import CostModel
from splitee.elue.flops import Flops
from splitee.elue.metrics import class_numbers, get_task
from splitee.elue.predictions import Method, Setting
from splitee.policies.base import Policy
from splitee.replay.replay import replay
from splitee.trace import Trace

_PLAIN = ("layer", "threshold", "entropy", "patience", "side_information", "samples")


def replayed(
    trace: Trace,
    policies: Mapping[str, Policy],
    name: str,
    task: str,
    *,
    costs: CostModel | None = None,
    mu: float = 0.1,
    seed: int = 0,
    facts: Mapping[str, Any] | None = None,
) -> Method:
    """Replay policies on a trace, every sample once, in an order drawn by `seed`.

    The FLOPs of an answer are those of all layers that ran for it (on the device and, if it was offloaded, in
    the cloud), and of the exits that were evaluated.

    Parameters
    ----------
    trace : Trace
        With lengths and FLOPs, as `splitee.models.precompute` writes it; without labels for a submission.
    policies : mapping of str to Policy
        Policies, keyed by the name of the setting.
    name, task : str
        Name and task of the method.
    costs : CostModel, optional
        Costs that learners see.
    mu : float
        Trade-off μ of learners.
    seed : int
        Seed of the order and of random policies.
    facts : mapping, optional
        Further facts for ``method.json``, besides the seed and the trace's own.

    Returns
    -------
    Method

    Raises
    ------
    InputError
        If the trace lacks scores, lengths or FLOPs, or another model answers in the cloud.
    """
    about = get_task(task)
    right: Any = trace.target if about.regression else trace.label
    if about.regression and trace.value is None:
        raise InputError(f"{trace.name} holds classes, but {task} needs scores")
    if trace.cloud_confidence is not None:
        raise InputError(
            f"{trace.name}: the FLOPs of the model in the cloud are unknown: use a trace without it"
        )
    if trace.length is None:
        raise InputError(f"{trace.name} has no lengths of texts: FLOPs need the column `length`")
    flops = Flops.from_manifest(trace.manifest)
    answers: Any = trace.value
    if not about.regression:
        names = trace.manifest.get("class_names") or [str(i) for i in range(trace.classes)]
        numbers = class_numbers(about, names)
        answers, right = numbers[trace.prediction], None if right is None else numbers[right]
    assert answers is not None
    order = np.random.default_rng(np.random.SeedSequence(seed)).permutation(trace.samples)
    results = replay(trace, dict(policies), costs, mu=mu, orders=[order], seed=seed)
    settings = {}
    for setting, policy in policies.items():
        result = results[setting]
        split, offloaded = np.empty((2, trace.samples), dtype=np.int64)
        split[order], offloaded[order] = result.split[0], result.offloaded[0]
        settings[setting] = _setting(
            split, offloaded.astype(bool), answers, flops, trace.length, policy.every_exit
        )
    record = {"seed": seed, "trace": {"name": trace.name, "fingerprint": trace.fingerprint}}
    record |= {key: trace.manifest[key] for key in ("model", "data", "parameters") if key in trace.manifest}
    return Method(name, task, right, settings, record | dict(facts or {}))


def _setting(
    split: NDArray[np.int64],
    offloaded: NDArray[np.bool_],
    answers: NDArray[Any],
    flops: Flops,
    tokens: NDArray[np.int32],
    every_exit: bool,
) -> Setting:
    last = len(flops.exits)
    row = np.arange(len(split))
    exit_ = np.where(offloaded, last, split)
    through = flops.at(tokens)[row, exit_ - 1] - flops.exits[exit_ - 1]  # layers only
    upto = np.concatenate([[0.0], np.cumsum(flops.exits)])
    one = np.concatenate([[0.0], flops.exits])
    evaluated = (upto if every_exit else one)[split]  # exits on the device; 0 at split 0
    counted = through + evaluated + np.where(offloaded, flops.exits[-1], 0.0)
    layer = np.asarray(flops.exit_layers, dtype=np.int64)[exit_ - 1]
    return Setting(answers[row, exit_ - 1], layer, counted)


def setting_name(policy: Policy) -> str:
    """Return a file name for a policy's setting, with all parameters that are not defaults.

    Examples
    --------
    >>> from splitee.policies import PABEE, FixedExit, SplitEE, SplitEES
    >>> [setting_name(policy) for policy in (SplitEE(0.8), FixedExit(4), PABEE(3, last=6))]
    ['splitee-0.8', 'exit-4', 'pabee-3-last-6']
    >>> setting_name(SplitEES(0.8, side_information="skip"))
    'splitee-s-0.8-skip'
    """
    kind = "".join(c if c.isalnum() else "-" for c in policy.name.lower()).strip("-")
    parts = [kind]
    for field in dataclasses.fields(policy):
        value = getattr(policy, field.name)
        if value == field.default or value is None:
            continue
        if field.name in _PLAIN:
            parts.append(value if isinstance(value, str) else f"{value:g}")
        else:
            shown = f"{value:g}" if isinstance(value, float) else str(value)
            parts.append(field.name.replace("_", "-") if value is True else f"{field.name}-{shown}")
    return "-".join(parts)
