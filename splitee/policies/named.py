"""Policies by the names that the command line knows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from splitee._internal.errors import InputError, there_are
from splitee.policies import released
from splitee.policies.base import Policy
from splitee.policies.cascades import PABEE, CascadeSplit, DeeBERT, ElasticBERT
from splitee.policies.commit import ExploreThenCommit, SourceSplit
from splitee.policies.fixed import CloudOnly, FinalExit, FixedExit, FixedSplit, RandomSplit
from splitee.policies.hindsight import BestFixedSplit, Oracle
from splitee.policies.ucb import SplitEE, SplitEES
from splitee.policies.variance import ThompsonSplit, UCBTuned
from splitee.trace import Trace

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
OPTIONAL = ("source-split",)  # left out of these where the source is not known


@dataclass(frozen=True)
class Setting:
    """What policies are made for.

    Attributes
    ----------
    layers, arms : int
        L of the trace and m of the device.
    threshold, exploration, send_input
        Of the policies that have them.
    source : Trace, optional
        The validation trace of the source, for "source-split".
    """

    layers: int
    arms: int
    threshold: float
    exploration: float = 1.0
    send_input: bool = False
    source: Trace | None = None

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
    "source-split": lambda s: _source_split(s),
    "final-exit": lambda s: FinalExit(),
    "cloud-only": lambda s: CloudOnly(),
    "random": lambda s: RandomSplit(s.threshold),
    "best-split": lambda s: BestFixedSplit(s.threshold),
    "oracle": lambda s: Oracle(s.threshold, s.send_input),
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
_WITH_NUMBER: dict[str, tuple[str, Callable[[Setting, float], Policy]]] = {
    "exit": ("LAYER", lambda s, layer: FixedExit(_layer(s, layer))),
    "split": ("LAYER", lambda s, layer: FixedSplit(_layer(s, layer), s.threshold)),
    "cascade-split": ("LAYER", lambda s, layer: CascadeSplit(_layer(s, layer), s.threshold)),
    "elasticbert": ("ALPHA", lambda s, alpha: ElasticBERT(alpha, last=s.last)),
    "deebert": ("NATS", lambda s, entropy: DeeBERT(entropy, last=s.last)),
    "pabee": ("PATIENCE", lambda s, patience: PABEE(_whole(patience), last=s.last)),
    "explore-then-commit": ("SAMPLES", lambda s, n: ExploreThenCommit(s.threshold, _whole(n))),
}
NAMES = (*_SINGLE, *_FAMILIES, *(f"{name}:{what}" for name, (what, _) in _WITH_NUMBER.items()))


def make_policies(
    names: Sequence[str],
    layers: int,
    arms: int,
    threshold: float,
    exploration: float = 1.0,
    send_input: bool = False,
    source: Trace | None = None,
) -> list[Policy]:
    """Return the policies of these names.

    Parameters
    ----------
    names : sequence of str
        Of `NAMES`; "exits" stands for every fixed exit of the trace, "splits" and "cascade-splits" for all
        that the device can make.
    layers, arms, threshold, exploration, send_input, source
        See `Setting`.

    Raises
    ------
    InputError
        Where a name is unknown; the line names the nearest.

    Examples
    --------
    >>> [policy.label for policy in make_policies(["splitee", "exits", "split:2"], 3, 3, 0.7)]
    ['SplitEE', 'exit 1', 'exit 2', 'exit 3', 'split 2']
    """
    setting = Setting(layers, arms, threshold, exploration, send_input, source)
    made: list[Policy] = []
    for name in names:
        kind, colon, number = name.partition(":")
        if name in _SINGLE:
            made.append(_SINGLE[name](setting))
        elif name in _FAMILIES:
            made += _FAMILIES[name](setting)
        elif colon and kind in _WITH_NUMBER and (value := _number(number)) is not None:
            try:
                made.append(_WITH_NUMBER[kind][1](setting, value))
            except InputError as error:
                raise InputError(f"policy {name}: {error}") from error
        else:
            raise InputError(f"no policy is called {name!r}: {there_are(name, NAMES)}")
    return list(dict.fromkeys(made))


def _number(text: str) -> float | None:
    try:
        return float(text) if text.isascii() else None
    except ValueError:
        return None


def _whole(number: float) -> int:
    if not math.isfinite(number) or number != int(number):
        raise InputError(f"{number:g} is no whole number")
    return int(number)


def _layer(setting: Setting, number: float) -> int:
    if not 1 <= (layer := _whole(number)) <= setting.layers:
        raise InputError(f"the trace has layers 1 to {setting.layers}")
    return layer


def _source_split(setting: Setting) -> Policy:
    if setting.source is None:
        raise InputError(
            "policy source-split needs the source's validation trace: give --source, a trace that the same "
            "model wrote of labelled data like that it was trained on"
        )
    return SourceSplit(setting.threshold, setting.source)
