"""Policies by the names that the command line knows."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence

from splitee.errors import InputError
from splitee.policies.base import Policy
from splitee.policies.fixed import (
    BestFixedSplit,
    CloudOnly,
    FinalExit,
    FixedExit,
    FixedSplit,
    RandomSplit,
)
from splitee.policies.splitee import SplitEE, SplitEES

DEFAULT = (
    "splitee",
    "splitee-s",
    "splitee-s-published",
    "splitee-s-skip",
    "final-exit",
    "cloud-only",
    "random",
    "best-split",
    "exits",
    "splits",
)
PAPER = tuple(name for name in DEFAULT if name not in ("splitee-s-skip", "splits"))

_Maker = Callable[[float, float, bool], Policy]
_SINGLE: dict[str, _Maker] = {
    "splitee": lambda alpha, beta, send: SplitEE(alpha, beta, send),
    "splitee-s": lambda alpha, beta, send: SplitEES(alpha, beta, "causal", send),
    "splitee-s-published": lambda alpha, beta, send: SplitEES(alpha, beta, "published", send),
    "splitee-s-skip": lambda alpha, beta, send: SplitEES(alpha, beta, "skip", send),
    "final-exit": lambda alpha, beta, send: FinalExit(),
    "cloud-only": lambda alpha, beta, send: CloudOnly(),
    "random": lambda alpha, beta, send: RandomSplit(alpha),
    "best-split": lambda alpha, beta, send: BestFixedSplit(alpha),
}
NAMES = (*_SINGLE, "exits", "splits", "exit:LAYER", "split:LAYER")


def make_policies(
    names: Sequence[str],
    layers: int,
    arms: int,
    threshold: float,
    exploration: float = 1.0,
    send_input: bool = False,
) -> list[Policy]:
    """Return the policies of these names.

    Parameters
    ----------
    names : sequence of str
        Of `NAMES`; "exits" stands for every fixed exit of the trace, "splits" for every fixed split the
        device can make.
    layers, arms : int
        L of the trace and m of the device.
    threshold, exploration, send_input
        Of the policies that have them.

    Raises
    ------
    InputError
        Where a name is unknown; the line names the nearest.

    Examples
    --------
    >>> [policy.label for policy in make_policies(["splitee", "exits", "split:2"], 3, 3, 0.7)]
    ['SplitEE', 'exit 1', 'exit 2', 'exit 3', 'split 2']
    """
    made: list[Policy] = []
    for name in names:
        kind, _, layer = name.partition(":")
        if name in _SINGLE:
            made.append(_SINGLE[name](threshold, exploration, send_input))
        elif name == "exits":
            made += [FixedExit(i) for i in range(1, layers + 1)]
        elif name == "splits":
            made += [FixedSplit(i, threshold) for i in range(1, arms + 1)]
        elif (
            kind in ("exit", "split") and layer.isascii() and layer.isdecimal() and 1 <= int(layer) <= layers
        ):
            made.append(FixedExit(int(layer)) if kind == "exit" else FixedSplit(int(layer), threshold))
        else:
            near = difflib.get_close_matches(name, NAMES, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise InputError(
                f"no policy is called {name!r}: {hint}there are {', '.join(NAMES)} (LAYER from 1 to {layers})"
            )
    return list(dict.fromkeys(made))
