"""Measures of a policy: means by repeat, sums by sample, regret curve; counted lazily, or reloaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from splitee.costs import CostTerm, Floats
from splitee.policies.base import AnyPolicy
from splitee.policies.played import Actions, Played
from splitee.policies.problem import Orders, Table, frozen
from splitee.results import counts
from splitee.results.regret import Curve, Regret
from splitee.results.setup import AGREES, RIGHT, Setup

METRICS = ("accuracy", "agreement", "cost", "reward", "utility", "offload_rate")
"""What is measured of every policy; agreement is with the last exit. The terms of the cost follow."""
CURVE_POINTS = 400  # rounds at which the regret of a repeat is kept


class Measures(Protocol):
    """What a result reports in numbers."""

    @property
    def metrics(self) -> tuple[str, ...]:
        """`METRICS`, then ``cost_NAME`` for each term of the cost."""

    @property
    def shown(self) -> Floats:
        """How often each sample came in all repeats, shape (n,)."""

    @property
    def totals(self) -> Floats:
        """Means per round of each repeat, shape (repeats, metrics)."""

    @property
    def per_sample(self) -> Floats:
        """Sums of each metric over all rounds of a sample, shape (n, metrics)."""

    @property
    def settled(self) -> NDArray[np.int16]:
        """The layer played most in the second half of each stream, the lowest on ties, shape (repeats,)."""

    @property
    def curve(self) -> Curve:
        """Cumulative regret."""


@dataclass(frozen=True, eq=False)
class Reloaded:
    """Measures as they were saved."""

    metrics: tuple[str, ...]
    shown: Floats
    totals: Floats
    per_sample: Floats
    settled: NDArray[np.int16]
    curve: Curve


@dataclass(frozen=True, eq=False)
class Counted:
    """Measures counted from rounds.

    Attributes
    ----------
    setup : Setup
    policy : policy
    table : Table
        Under the costs that the policy reports.
    threshold : float
        Its α.
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
        """For how many repeats the rounds stand."""
        return self.setup.streams.repeats if self.by_sample else 1

    @cached_property
    def terms(self) -> list[CostTerm]:
        """The terms of the cost."""
        return self.table.costs.terms(self.table.layers, self.table.samples)

    @property
    def metrics(self) -> tuple[str, ...]:  # noqa: D102
        return (*METRICS, *(f"cost_{term.name}" for term in self.terms))

    @property
    def shown(self) -> Floats:  # noqa: D102
        return self.setup.shown

    def _order(self, first: int, played: Played) -> Orders:
        if self.by_sample:
            return frozen(np.arange(self.table.samples)[:, None])
        return self.setup.streams.block(first, first + played.action.shape[1])

    @cached_property
    def totals(self) -> Floats:  # noqa: D102
        return np.concatenate([self._totals(*block) for block in self.blocks]).repeat(self.times, axis=0)

    def _totals(self, first: int, played: Played) -> Floats:
        order, table = self._order(first, played), self.table
        plays, sure = counts.by_repeat(played, order, self.setup.marks, table.confidence)
        rounds, by_action = len(order), plays.sum(axis=2)
        labelled = self.setup.trace.has_labels
        accuracy = plays[:, :, [RIGHT, RIGHT | AGREES]].sum(axis=(1, 2)) / rounds
        accuracy = accuracy if labelled else np.full(len(accuracy), np.nan)
        agreement = plays[:, :, [AGREES, RIGHT | AGREES]].sum(axis=(1, 2)) / rounds

        mu = table.mu

        def means(device: Floats, offload: Floats) -> Floats:
            paid = _in_order(by_action * device[self.actions.evaluated, self.actions.layer])
            if len(offload) > 1:
                paid = paid + counts.offload_sums(played, order, offload)
            else:
                paid = paid + _in_order(by_action * _of_actions(self.actions, offload[0]))
            return paid / rounds

        cost = means(table.gamma, table.offload)
        columns = [
            accuracy,
            agreement,
            cost,
            sure / rounds - mu * cost,
            accuracy - mu * cost,
            by_action[:, self.actions.offloaded].sum(axis=1) / rounds,
            *(means(term.device, term.offload) for term in self.terms),
        ]
        return np.stack(columns, axis=1)

    @property
    def per_sample(self) -> Floats:  # noqa: D102
        table, actions = self.table, self.actions
        sums = np.zeros((len(self.metrics), table.samples))
        if self.by_sample:  # one round per sample
            self._add(sums, np.arange(table.samples), 1.0, self.blocks[0][1].action[:, 0])
        else:
            blocks = [(played, self._order(first, played)) for first, played in self.blocks]
            visits = counts.by_sample(blocks, table.samples)
            for a in range(len(actions)):
                rows = np.flatnonzero(visits[:, a])
                self._add(sums, rows, visits[rows, a].astype(np.float64), np.full(len(rows), a))
        if not self.setup.trace.has_labels:
            sums[[0, 4]] = np.nan
        return (sums * self.times).T

    def _add(
        self, sums: Floats, rows: NDArray[np.intp], n: float | Floats, action: NDArray[np.integer]
    ) -> None:
        """Add n rounds of samples `rows`, each with its action, to the sums, shape (metrics, n)."""
        table, actions, mu = self.table, self.actions, self.table.mu
        i, column, offloads = actions.layer[action], actions.answer[action], actions.offloaded[action]
        evaluated, marks = actions.evaluated[action], self.setup.marks[rows, column]

        def paid(device: Floats, offload: Floats) -> Floats:
            o = offload[rows if len(offload) > 1 else 0, i]
            both: Floats = device[evaluated, i] + np.where(offloads, o, 0.0)  # an unpaid o may be NaN
            return both

        cost, right = paid(table.gamma, table.offload), (marks & RIGHT > 0).astype(np.float64)
        sums[0, rows] += n * right
        sums[1, rows] += n * (marks & AGREES > 0)
        sums[2, rows] += n * cost
        sums[3, rows] += n * (table.confidence[rows, column] - mu * cost)
        sums[4, rows] += n * (right - mu * cost)
        sums[5, rows] += n * offloads
        for k, term in enumerate(self.terms, start=len(METRICS)):
            sums[k, rows] += n * paid(term.device, term.offload)

    @cached_property
    def settled(self) -> NDArray[np.int16]:  # noqa: D102
        if self.by_sample:
            stops = self.actions.layer[self.blocks[0][1].action[:, 0]]
            if (stops == stops[0]).all():
                return np.full(self.times, stops[0], dtype=np.int16)
            streams = self.setup.streams
            late = (streams.block(r, r + 1)[len(stops) // 2 :, 0] for r in range(self.times))
            return np.array([np.bincount(stops[order]).argmax() for order in late], dtype=np.int16)
        layer, settled = self.actions.layer, []
        for _, played in self.blocks:
            for repeat in played.action[len(played.action) // 2 :].T:
                plays = np.bincount(repeat, minlength=len(layer))
                settled.append(np.bincount(layer, weights=plays).argmax())
        return np.array(settled, dtype=np.int16)

    @cached_property
    def regret(self) -> Regret:
        """The regret of this policy."""
        return Regret(self.setup, self.policy, self.table, self.threshold, self.blocks, self.by_sample)

    @cached_property
    def curve(self) -> Curve:  # noqa: D102
        rounds = self.setup.streams.rounds
        points = np.unique(np.linspace(0, rounds - 1, CURVE_POINTS).round().astype(np.int64))
        return self.regret.curve(points, self.totals[:, METRICS.index("reward")])


def _in_order(terms: Floats) -> Floats:
    """Return sums over actions, shape (repeats,), added one by one: how others add depends on the layout."""
    sums: Floats = np.cumsum(terms, axis=1)[:, -1]
    return sums


def _of_actions(actions: Actions, offload: Floats) -> Floats:
    """Return the offload cost of each action; 0 where it is unknown, for such an action is never taken."""
    return np.where(actions.offloaded, np.nan_to_num(offload[actions.layer]), 0.0)
