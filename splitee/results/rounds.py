"""The rounds of one policy: what was played, from which measures and regret are counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from splitee.policies.base import AnyPolicy
from splitee.policies.played import Actions, Played
from splitee.policies.problem import Orders, Table, frozen
from splitee.results.setup import Setup


@dataclass(frozen=True, eq=False)
class Rounds:
    """The rounds of one policy.

    Attributes
    ----------
    setup : Setup
    policy : policy
    table : Table
        Under the costs that the policy reports.
    threshold : float
        Its α; for a policy without one, that of the splits its regret is measured against.
    blocks : sequence of (first repeat, Played)
    by_sample : bool
        Whether the action depends on the sample only: there is one block then, of one repeat that shows every
        sample once in the trace's order, and it stands for all repeats.
    """

    setup: Setup
    policy: AnyPolicy
    table: Table
    threshold: float
    blocks: Sequence[tuple[int, Played]]
    by_sample: bool

    @property
    def actions(self) -> Actions:
        """The actions of all blocks."""
        return self.blocks[0][1].actions

    @property
    def times(self) -> int:
        """For how many repeats the blocks stand."""
        return self.setup.streams.repeats if self.by_sample else 1

    def with_orders(self) -> list[tuple[Played, Orders]]:
        """Return the blocks, each with the samples that came, shape (m, repeats)."""
        if self.by_sample:
            return [(self.blocks[0][1], frozen(np.arange(self.table.samples)[:, None]))]
        streams = self.setup.streams
        return [
            (played, streams.block(first, first + played.action.shape[1])) for first, played in self.blocks
        ]

    def of_every_repeat(self) -> Sequence[tuple[int, Played]]:
        """Return blocks (first repeat, Played) of all repeats, also if one stands for them."""
        if not self.by_sample:
            return self.blocks
        order = self.setup.streams.block(0, self.setup.streams.repeats)
        return [(0, Played(self.blocks[0][1].action[:, 0][order], self.actions))]
