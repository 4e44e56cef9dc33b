"""Policies by name: the one parser of the command line, of sweeps and of `splitee.replay`.

A name is written in any case, with or without hyphens, or as its class: ``splitee-s``, ``SplitEE-S`` and
``SplitEES`` are one policy. A parameter follows a colon: ``deebert:0.3``, ``exit:half``.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

from splitee._internal.errors import InputError
from splitee._internal.numbers import items, layer_count, layers_held, number, share, whole
from splitee.costs import CostModel
from splitee.policies import released
from splitee.policies.adaptive import LinkAware
from splitee.policies.base import Policy
from splitee.policies.cascades import PABEE, CascadeSplit, DeeBERT, ElasticBERT
from splitee.policies.certified import CertifiedSplit
from splitee.policies.commit import ExploreThenCommit, SourceSplit
from splitee.policies.fixed import CloudOnly, ExitOrInput, FinalExit, FixedExit, FixedSplit, RandomSplit
from splitee.policies.hindsight import BestFixedSplit, BestRule, Oracle
from splitee.policies.problem import DEFAULT_THRESHOLD
from splitee.policies.stopping import AuditedStopping
from splitee.policies.ucb import SplitEE, SplitEES
from splitee.policies.variance import ThompsonSplit, UCBTuned
from splitee.trace import Trace, load_trace
from splitee.trace.bundled import find_source

PAPER = (
    "splitee",
    "splitee-s",
    "splitee-s-published",
    "final-exit",
    "elasticbert",
    "cloud-only",
    "random",
    "best-split",
    "exits",
)
DEFAULT = (
    "splitee",
    "splitee-s",
    "splitee-s-published",
    "splitee-s-skip",
    "ucb-tuned",
    "thompson",
    "explore-then-commit",
    "source-split",
    "final-exit",
    "cloud-only",
    "random",
    "best-split",
    "oracle",
    "elasticbert",
    "pabee",
    "exits",
    "splits",
    "cascade-splits",
)
IN_A_SYSTEM = (*(name for name in DEFAULT if name != "oracle"), "link-aware", "best-rule")
OPTIONAL = ("source-split", "link-aware")  # left out of the lists above if the source is not known


@dataclass(frozen=True)
class Setting:
    """The trace, device and options that named policies are made for.

    Attributes
    ----------
    layers, arms : int
        L of the trace and m of the device.
    threshold : float
        α.
    exploration : float
        β of SplitEE and SplitEE-S.
    send_input : bool
        Whether learners may offload the input.
    source : Trace, optional
        The source's validation trace, for "source-split", "link-aware" and "certified".
    classes : int, optional
        K of the trace. If given, entropy thresholds above ln K are refused.
    """

    layers: int
    arms: int
    threshold: float
    exploration: float = 1.0
    send_input: bool = False
    source: Trace | None = None
    classes: int | None = None

    @property
    def last(self) -> int | None:
        """The last layer of a cascade on the device; None: L."""
        return self.arms if self.arms < self.layers else None


_Maker = Callable[[Setting], Policy]
_SINGLE: dict[str, _Maker] = {
    "splitee": lambda s: SplitEE(s.threshold, s.exploration, s.send_input),
    "splitee-s": lambda s: SplitEES(s.threshold, s.exploration, "causal", s.send_input),
    "splitee-s-published": lambda s: SplitEES(s.threshold, s.exploration, "published", s.send_input),
    "splitee-s-skip": lambda s: SplitEES(s.threshold, s.exploration, "skip", s.send_input),
    "ucb-tuned": lambda s: UCBTuned(s.threshold, s.send_input),
    "thompson": lambda s: ThompsonSplit(s.threshold, s.send_input),
    "explore-then-commit": lambda s: ExploreThenCommit(s.threshold),
    "source-split": lambda s: SourceSplit(s.threshold, _source("source-split", s)),
    "certified": lambda s: CertifiedSplit(source=s.source),
    "audited-stopping": lambda s: AuditedStopping(),
    "final-exit": lambda s: FinalExit(),
    "cloud-only": lambda s: CloudOnly(),
    "random": lambda s: RandomSplit(s.threshold),
    "best-split": lambda s: BestFixedSplit(s.threshold),
    "best-rule": lambda s: BestRule(),
    "link-aware": lambda s: LinkAware(_source("link-aware", s), send_input=True),
    "oracle": lambda s: Oracle(s.threshold),
    "elasticbert": lambda s: ElasticBERT(s.threshold, last=s.last),
    "pabee": lambda s: PABEE(max(1, s.arms // 2), last=s.last),  # 6 of 12, as its authors have it
    "splitee-released": lambda s: released.SplitEE(s.threshold),
    "splitee-s-released": lambda s: released.SplitEES(s.threshold),
    "elasticbert-released": lambda s: released.ElasticBERT(s.threshold),
}
_FAMILIES: dict[str, Callable[[Setting], Iterable[Policy]]] = {
    "exits": lambda s: (FixedExit(i) for i in range(1, s.layers + 1)),
    "splits": lambda s: (FixedSplit(i, s.threshold) for i in range(1, s.arms + 1)),
    "cascade-splits": lambda s: (CascadeSplit(i, s.threshold) for i in range(1, s.arms + 1)),
}
_WITH_PARAMETER: dict[str, tuple[str, Callable[[Setting, str], Policy]]] = {
    "exit": ("LAYER", lambda s, layer: FixedExit(_layer(s, layer))),
    "split": ("LAYER", lambda s, layer: FixedSplit(_layer(s, layer), s.threshold)),
    "exit-or-input": ("LAYER", lambda s, layer: ExitOrInput(_layer(s, layer), s.threshold)),
    "cascade-split": ("LAYER", lambda s, layer: CascadeSplit(_layer(s, layer), s.threshold)),
    "elasticbert": ("ALPHA", lambda s, alpha: ElasticBERT(_alphas(alpha), last=s.last)),
    "deebert": ("NATS", lambda s, entropy: DeeBERT(_nats(s, entropy), last=s.last)),
    "pabee": ("PATIENCE", lambda s, patience: PABEE(whole(patience, 1), last=s.last)),
    "explore-then-commit": ("SAMPLES", lambda s, n: ExploreThenCommit(s.threshold, whole(n, 1))),
    "certified": ("SHARE", lambda s, delta: CertifiedSplit(share(delta), source=s.source)),
    "audited-stopping": ("SHARE", lambda s, delta: AuditedStopping(share(delta))),
}
NAMES = (*_SINGLE, *_FAMILIES, *(f"{name}:{what}" for name, (what, _) in _WITH_PARAMETER.items()))
_CLASSES = {
    "ThompsonSplit": "thompson",
    "RandomSplit": "random",
    "BestFixedSplit": "best-split",
    "FixedExit": "exit",
    "FixedSplit": "split",
    "CertifiedSplit": "certified",
}  # the names of the others differ in hyphens only


def _squeezed(name: str) -> str:
    return "".join(c for c in name.lower() if c not in "-_ ")


_KNOWN = {_squeezed(name): name for name in (*_SINGLE, *_FAMILIES, *_WITH_PARAMETER)}
_KNOWN |= {_squeezed(cls): name for cls, name in _CLASSES.items()}

_SOURCED = ("sourcesplit", "linkaware", "certified", "certifiedsplit")  # as `_squeezed` writes them

P = TypeVar("P")


@cache
def installed() -> dict[str, EntryPoint]:
    """Return the policies that other packages add by the entry point ``splitee.policies``.

    An entry point names a function that takes a `Setting`, and a text if a parameter is given
    (``name:parameter``), and returns a policy: a device loop, or a `Policy`.
    """
    return {_squeezed(plugin.name): plugin for plugin in entry_points(group="splitee.policies")}


def canonical(name: object) -> str:
    """Return a policy's name as tables of names have it, with its parameter.

    Raises
    ------
    InputError
        If no policy has the name (the line suggests the nearest), or a parameter is missing or surplus.

    Examples
    --------
    >>> canonical("SplitEE-S"), canonical("UCBTuned"), canonical("DeeBERT: 0.3")
    ('splitee-s', 'ucb-tuned', 'deebert:0.3')
    """
    if not isinstance(name, str):
        raise InputError(f"{name!r} is not a policy's name: give a text such as 'splitee'")
    kind, colon, parameter = name.partition(":")
    known, parameter = _KNOWN.get(_squeezed(kind)), parameter.strip()
    if known is None and (plugin := installed().get(_squeezed(kind))) is not None:
        return f"{plugin.name}:{parameter}" if colon else plugin.name
    if known is None:
        names = _KNOWN | {squeezed: plugin.name for squeezed, plugin in installed().items()}
        near = difflib.get_close_matches(_squeezed(kind), names, n=1)
        hint = f"did you mean {names[near[0]]}? " if near else ""
        others = sorted(plugin.name for plugin in installed().values())
        raise InputError(f"no policy is called {name!r}: {hint}there are {', '.join((*NAMES, *others))}")
    if not colon and known not in _SINGLE and known not in _FAMILIES:
        raise InputError(f"policy {known} needs a parameter: write {known}:{_WITH_PARAMETER[known][0]}")
    if colon and known not in _WITH_PARAMETER:
        raise InputError(f"policy {known} takes no parameter: write {known}")
    return f"{known}:{parameter}" if colon else known


def uses_source(name: str) -> bool:
    """Return whether the policy of a name uses the source's validation trace."""
    return _squeezed(name.partition(":")[0]) in _SOURCED


def policy_items(given: object) -> list[Any]:
    """Return the entries of a list of policies, or of a text with commas: a name may have several numbers.

    Examples
    --------
    >>> policy_items("splitee, elasticbert:0.95,0.9,0.8, random")
    ['splitee', 'elasticbert:0.95,0.9,0.8', 'random']
    """
    entries: list[Any] = []
    for entry in items(given):
        follows = entries and isinstance(entries[-1], str) and ":" in entries[-1]
        if follows and isinstance(entry, str) and entry[:1].isdigit():
            entries[-1] += f",{entry}"
        else:
            entries.append(entry)
    return entries


def parse_policies(given: str | Iterable[str | P], setting: Setting) -> list[Policy | P]:
    """Return the policies that names stand for; entries that are not texts are kept as they are.

    Parameters
    ----------
    given : str, or iterable of str and policies
        Names of `NAMES`, also several in one text: "splitee,thompson". "exits" stands for every fixed exit of
        the trace, "splits" and "cascade-splits" for all that the device can make.
    setting : Setting
        The trace, device and options they are made for.

    Raises
    ------
    InputError
        If a name is unknown (the line suggests the nearest), or a parameter does not fit.

    Examples
    --------
    >>> setting = Setting(layers=3, arms=3, threshold=0.7)
    >>> [policy.label for policy in parse_policies("SplitEE,exits,split:2", setting)]
    ['SplitEE', 'exit 1', 'exit 2', 'exit 3', 'split 2']
    """
    made: list[Policy | P] = []
    named: set[Policy] = set()  # a policy that two names stand for is made once
    for entry in [given] if isinstance(given, str) else given:
        if not isinstance(entry, str):
            made.append(entry)
            continue
        for name in policy_items(entry):
            new = [policy for policy in _made(canonical(name), setting) if policy not in named]
            named.update(new)
            made += new
    return made


def policy_named(
    name: str, trace: Trace, costs: CostModel | None = None, threshold: float | None = None
) -> Policy:
    """Return the one policy that a name stands for, made for a trace and its costs.

    Parameters
    ----------
    name : str
        One of `NAMES`, such as "splitee-s" or "deebert:0.3".
    trace : Trace
        Its layers and classes limit the parameters; its model finds the bundled source of "source-split".
    costs : CostModel, optional
        Its `device_layers` limit cascades.
    threshold : float, optional
        α. Default: the trace's recommended α, else 0.7.

    Raises
    ------
    InputError
        If no policy has the name, its parameter does not fit, or it stands for several policies.

    Examples
    --------
    >>> trace = Trace([[0.6, 0.9], [0.8, 0.9]], [[0, 1], [1, 1]])
    >>> policy_named("SplitEE-S", trace).label, policy_named("exit:half", trace).label
    ('SplitEE-S (causal)', 'exit 1')
    """
    made = parse_policies(name, setting_of([name], trace, costs, threshold))
    if len(made) != 1:
        raise InputError(f"policy {name!r} stands for {len(made)} policies: give them in a list, [{name!r}]")
    return made[0]


def setting_of(
    given: Iterable[object],
    trace: Trace,
    costs: CostModel | None = None,
    threshold: float | None = None,
) -> Setting:
    """Return the setting of policies for a trace and its costs.

    Parameters
    ----------
    given : iterable
        The names that are asked for: the bundled source is loaded only if one of them uses it.
    trace, costs, threshold
        See `policy_named`.
    """
    if threshold is None:
        threshold = trace.recommended_threshold
    names = [name for entry in given if isinstance(entry, str) for name in policy_items(entry)]
    asked = any(uses_source(name) for name in names)
    source = find_source(trace.manifest) if asked else None
    return Setting(
        layers=trace.layers,
        arms=(costs or CostModel()).arms(trace.layers),
        threshold=DEFAULT_THRESHOLD if threshold is None else threshold,
        source=None if source is None else load_trace(source),
        classes=trace.classes,
    )


def _made(name: str, setting: Setting) -> Iterable[Policy]:
    """Make the policies of a canonical name."""
    kind, colon, parameter = name.partition(":")
    if kind not in _KNOWN.values():
        return [installed()[_squeezed(kind)].load()(setting, *([parameter] if colon else []))]
    if not colon:
        return _FAMILIES[kind](setting) if kind in _FAMILIES else [_SINGLE[kind](setting)]
    try:
        return [_WITH_PARAMETER[kind][1](setting, parameter)]
    except InputError as error:
        raise InputError(f"policy {name}: {error}") from error


def _layer(setting: Setting, text: str) -> int:
    return layers_held(layer_count(text), setting.layers)


def _alphas(text: str) -> float | tuple[float, ...]:
    alphas = tuple(share(part) for part in items(text))
    return alphas[0] if len(alphas) == 1 else alphas


def _nats(setting: Setting, text: str) -> float:
    entropy = number(text)
    if setting.classes is not None and entropy > math.log(setting.classes):
        most = math.log(setting.classes)
        raise InputError(
            f"an entropy over {setting.classes} classes is at most ln {setting.classes} = {most:.3f} nats: "
            "give a lower threshold"
        )
    return entropy


def _source(name: str, setting: Setting) -> Trace:
    if setting.source is None:
        raise InputError(
            f"policy {name} needs the source's validation trace: give --source, a trace that the same "
            "model wrote of labelled data like its training data"
        )
    return setting.source
