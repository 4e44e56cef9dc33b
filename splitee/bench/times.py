"""What a decision costs the device itself: time in the device loop, bytes of the learner's state."""

from __future__ import annotations

import pickle
import time
from typing import Any

import numpy as np

from splitee._internal.errors import InputError
from splitee.bench.entrants import Entrant
from splitee.bench.suite import Cell, ready
from splitee.policies.base import Policy
from splitee.policies.loop import DeviceLoop, play_loop
from splitee.policies.problem import Table

ROUNDS = 500
_NOT_STATE = ("problem", "rng", "policy")  # what the device holds anyway


def state_bytes(loop: object) -> int | None:
    """Return the bytes of a device loop's pickled attributes, without problem, generator and policy.

    Examples
    --------
    >>> class Loop:
    ...     def __init__(self):
    ...         self.means = np.zeros(1000)
    >>> state_bytes(Loop()) > 8000
    True
    """
    kept = {name: value for name, value in getattr(loop, "__dict__", {}).items() if name not in _NOT_STATE}
    total = 0
    for value in kept.values():
        try:
            total += len(pickle.dumps(value, protocol=5))
        except Exception:
            return None
    return total


class _Timed:
    """A device loop with a clock around its methods."""

    def __init__(self, loop: DeviceLoop) -> None:
        self.loop, self.seconds = loop, 0.0
        self.needs_entropy = getattr(loop, "needs_entropy", False)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.loop, name)

        def timed(*given: Any) -> Any:
            began = time.perf_counter()
            answer = method(*given)
            self.seconds += time.perf_counter() - began
            return answer

        return timed


def cost_of(entrant: Entrant, cell: Cell, rounds: int = ROUNDS) -> dict[str, float | None]:
    """Return the seconds per decision of an entrant's first member as a device loop, and its state's bytes.

    Both are None for what no device can run.
    """
    half = ready(cell, judge=False)
    try:
        policy = entrant.members(half.task)[0]
        loop: DeviceLoop = policy.live() if isinstance(policy, Policy) else policy
        if getattr(policy, "hindsight", False):
            raise InputError("known in hindsight")
    except InputError:
        return {"seconds": None, "bytes": None}
    assert half.task.costs is not None
    table = Table.of(half.trace, half.task.costs, half.task.mu, half.task.threshold)
    order = np.random.default_rng(0).permutation(half.trace.samples)[:rounds, None].astype(np.int32)
    for _ in range(2):  # the first compiles
        timed = _Timed(loop)
        play_loop(timed, table, order, 0, np.random.default_rng(0), table.in_rounds(0), entrant.name)
    return {"seconds": timed.seconds / len(order), "bytes": state_bytes(loop)}
