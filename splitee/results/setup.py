"""What all results of a call share: the trace, its costs, μ, and the orders of the samples."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from splitee.costs import CostModel
from splitee.policies.problem import Floats, Orders, Table
from splitee.system.system import SystemOn
from splitee.system.world import World
from splitee.trace import Trace

SEED_SCHEME = "SeedSequence(seed, spawn_key): orders (0, repeat), policies (1, repeat); 1"
RIGHT, AGREES = 1, 2  # bits of `Setup.marks`
_MARKS: WeakKeyDictionary[Trace, NDArray[np.uint8]] = WeakKeyDictionary()  # replays of a trace share them


class Streams(Protocol):
    """The orders in which samples come, repeat by repeat (see `splitee.replay.orders`)."""

    repeats: int
    seed: int

    @property
    def rounds(self) -> int:
        """The length m of a stream."""

    @property
    def shuffled(self) -> bool:
        """Whether every repeat shows every sample exactly once."""

    @property
    def description(self) -> str:
        """What a manifest says of them."""

    def block(self, first: int, end: int) -> Orders:
        """Return the samples of repeats first..end − 1, shape (m, end − first)."""


@dataclass(frozen=True, eq=False)
class Setup:
    """One trace under one set of costs, and the orders of its samples.

    Attributes
    ----------
    trace : Trace
    costs : CostModel
    mu : float
        μ.
    streams : Streams
    threshold : float
        α of policies without one.
    delay : int
        Rounds after which the feedback of an offloaded sample arrives.
    system : SystemOn, optional
        Where costs are measured; `costs` are then constants near them.
    mean_rewards : dict
        r̄ by table, α, exits evaluated and order, which the regrets of several policies share.
    """

    trace: Trace
    costs: CostModel
    mu: float
    streams: Streams
    threshold: float
    delay: int = 0
    system: SystemOn | None = None
    mean_rewards: dict[tuple[object, ...], Floats] = field(default_factory=dict, repr=False)

    @cached_property
    def table(self) -> Table:
        """The trace as policies see it."""
        return Table.of(self.trace, self.costs, self.mu, self.threshold, self.system)

    def world(self, table: Table, first: int, end: int) -> World | None:
        """Return the world of repeats first..end − 1; None if feedback is immediate and costs are given."""
        if self.system is not None:
            return self.system.world_of(self.streams.rounds, first, end, self.streams.seed)
        return table.in_rounds(self.delay) if self.delay else None

    def table_of(self, costs: CostModel) -> Table:
        """Return the table under other costs."""
        return (
            self.table
            if costs is self.costs
            else Table.of(self.trace, costs, self.mu, self.threshold, self.system)
        )

    @cached_property
    def marks(self) -> NDArray[np.uint8]:
        """Bits RIGHT and AGREES (with exit L) of each answer, shape (n, L + 1); column 0: of the cloud's."""
        if self.trace not in _MARKS:
            answer = self.table.prediction
            marks = (answer == answer[:, -1:]).view(np.uint8) * np.uint8(AGREES)
            if self.trace.label is not None:
                marks |= (answer == self.trace.label[:, None]).view(np.uint8) * np.uint8(RIGHT)
            _MARKS[self.trace] = marks
        return _MARKS[self.trace]

    @cached_property
    def shown(self) -> Floats:
        """How often each sample comes in all repeats, shape (n,)."""
        if self.streams.shuffled:
            return np.full(self.trace.samples, float(self.streams.repeats))
        every = self.streams.block(0, self.streams.repeats)
        return np.bincount(every.ravel(), minlength=self.trace.samples).astype(np.float64)

    def facts(self) -> dict[str, Any]:
        """Describe the replay in plain types, for a manifest."""
        manifest = self.trace.manifest
        facts = {
            "trace": {k: manifest[k] for k in ("name", "fingerprint", "samples", "layers", "classes")}
            | {k: manifest[k] for k in ("model", "data") if k in manifest},
            "costs": self.costs.to_dict(),
            "mu": self.mu,
            "repeats": self.streams.repeats,
            "orders": self.streams.description,
            "threshold": self.threshold,
            "seed": self.streams.seed,
            "seed_scheme": SEED_SCHEME,
        }
        if self.system is not None:
            facts |= {"unit": self.system.system.unit, "system": self.system.system.to_dict()}
        return facts | ({"delay": self.delay} if self.delay else {})
