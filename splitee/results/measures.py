"""Measures of a policy: means by repeat, sums by sample, regret curve; counted lazily, or reloaded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from splitee.costs import CostTerm, Floats
from splitee.policies.played import Actions, Played
from splitee.policies.problem import Orders
from splitee.results import counts
from splitee.results.regret import Curve, Regret
from splitee.results.rounds import Rounds
from splitee.results.setup import AGREES, RIGHT

METRICS = ("accuracy", "agreement", "cost", "reward", "utility", "offload_rate")
"""What is measured of every policy; agreement is with the last exit. The terms of the cost follow."""
AT_A_TIME = 2**18  # samples whose rounds are summed at a time
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

    @property
    def quantiles(self) -> Mapping[str, Mapping[str, Any]]:
        """Quantiles of the latency: by interval and name [value, low, high]; empty without a clock."""


@dataclass(frozen=True, eq=False)
class Reloaded:
    """Measures as they were saved."""

    metrics: tuple[str, ...]
    shown: Floats
    totals: Floats
    per_sample: Floats
    settled: NDArray[np.int16]
    curve: Curve
    quantiles: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Counted:
    """Measures counted from rounds."""

    rounds: Rounds

    @property
    def quantiles(self) -> Mapping[str, Mapping[str, Any]]:  # noqa: D102
        return {}

    @cached_property
    def terms(self) -> list[CostTerm]:
        """The terms of the cost."""
        table = self.rounds.table
        terms = table.costs.terms(table.layers, table.samples)
        if self.rounds.actions.label is None:
            return terms
        none = np.zeros((table.layers + 1, table.layers + 1))
        return [*terms, CostTerm("labels", none, none[:1])]

    @property
    def metrics(self) -> tuple[str, ...]:  # noqa: D102
        return (*METRICS, *(f"cost_{term.name}" for term in self.terms))

    @property
    def shown(self) -> Floats:  # noqa: D102
        return self.rounds.setup.shown

    @cached_property
    def totals(self) -> Floats:  # noqa: D102
        each = [self._totals(played, order) for played, order in self.rounds.with_orders()]
        return np.concatenate(each).repeat(self.rounds.times, axis=0)

    def _totals(self, played: Played, order: Orders) -> Floats:
        table, actions = self.rounds.table, self.rounds.actions
        plays, sure = counts.by_repeat(played, order, self.rounds.setup.marks, table.rows)
        rounds, by_action = len(order), plays.sum(axis=2)
        labelled = self.rounds.setup.trace.has_labels
        accuracy = plays[:, :, [RIGHT, RIGHT | AGREES]].sum(axis=(1, 2)) / rounds
        accuracy = accuracy if labelled else np.full(len(accuracy), np.nan)
        agreement = plays[:, :, [AGREES, RIGHT | AGREES]].sum(axis=(1, 2)) / rounds

        mu = table.mu

        def means(device: Floats, offload: Floats, label: Floats | None = None) -> Floats:
            paid = _in_order(by_action * device[actions.evaluated, actions.layer])
            if len(offload) > 1:
                paid = paid + counts.offload_sums(played, order, offload)
            else:
                paid = paid + _in_order(by_action * _of_actions(actions, offload[0]))
            if label is not None:
                paid = paid + _in_order(by_action * label)
            return paid / rounds

        def bought(name: str) -> Floats | None:
            return actions.label if name == "labels" else None

        cost = means(table.gamma, table.offload, actions.label)
        columns = [
            accuracy,
            agreement,
            cost,
            sure / rounds - mu * cost,
            accuracy - mu * cost,
            by_action[:, actions.offloaded].sum(axis=1) / rounds,
            *(means(term.device, term.offload, bought(term.name)) for term in self.terms),
        ]
        return np.stack(columns, axis=1)

    @property
    def per_sample(self) -> Floats:  # noqa: D102
        sums = np.empty((self.rounds.table.samples, len(self.metrics)))
        for some, s, action, times in self._pieces():
            each = self._of_rounds(s, action) * times[:, None]
            for k, column in enumerate(each.T):
                sums[some, k] = np.bincount(s - some.start, column, some.stop - some.start)
        return sums

    @property
    def layer_sums(self) -> Floats:
        """Sums of the layers at which the device stopped, over all rounds of a sample, shape (n,)."""
        layer = self.rounds.actions.layer
        return np.concatenate(
            [
                np.bincount(s - some.start, layer[action] * times, some.stop - some.start)
                for some, s, action, times in self._pieces()
            ]
        )

    def answers(self) -> tuple[NDArray[np.intp], NDArray[np.int32], Floats]:
        """Return what was answered: samples, classes, and how often each of these pairs came."""
        table, column = self.rounds.table, self.rounds.actions.answer
        each = [(s, table.prediction[s, column[action]], times) for _, s, action, times in self._pieces()]
        s, answer, times = (np.concatenate(parts) for parts in zip(*each, strict=True))
        return s, answer, times

    def _pieces(self) -> Iterator[tuple[slice, NDArray[np.intp], NDArray[np.integer], Floats]]:
        """Yield (samples first..end − 1, sample, action, how often it came) of some samples at a time."""
        rounds, samples = self.rounds, self.rounds.table.samples
        if rounds.by_sample:  # one round per sample stands for all repeats
            action = rounds.blocks[0][1].action[:, 0]
            yield slice(0, samples), np.arange(samples), action, np.full(samples, float(rounds.times))
            return
        visits = counts.by_sample(rounds.with_orders(), samples)
        for first in range(0, samples, AT_A_TIME):
            some = visits[first : first + AT_A_TIME]
            s, taken = np.nonzero(some)
            yield slice(first, first + len(some)), first + s, taken, some[s, taken].astype(np.float64)

    def _of_rounds(self, s: NDArray[np.intp], action: NDArray[np.integer]) -> Floats:
        """Return each metric of rounds in which samples `s` got these actions, shape (rounds, metrics)."""
        table, actions, setup = self.rounds.table, self.rounds.actions, self.rounds.setup
        mu, marks = table.mu, setup.marks[s, actions.answer[action]]
        i, offloads, evaluated = actions.layer[action], actions.offloaded[action], actions.evaluated[action]

        def paid(device: Floats, offload: Floats, label: Floats | None = None) -> Floats:
            o = offload[s if len(offload) > 1 else 0, i]
            both: Floats = device[evaluated, i] + np.where(offloads, o, 0.0)  # an unpaid o may be NaN
            return both if label is None else both + label[action]

        bought = {"labels": actions.label}
        cost, right = paid(table.gamma, table.offload, actions.label), (marks & RIGHT > 0).astype(np.float64)
        if not setup.trace.has_labels:
            right[:] = np.nan
        columns = [
            right,
            marks & AGREES > 0,
            cost,
            table.rows[s, actions.answer[action]] - mu * cost,
            right - mu * cost,
            offloads,
            *(paid(term.device, term.offload, bought.get(term.name)) for term in self.terms),
        ]
        return np.stack(columns, axis=1)

    @cached_property
    def settled(self) -> NDArray[np.int16]:  # noqa: D102
        rounds, layer, settled = self.rounds, self.rounds.actions.layer, []
        if rounds.by_sample:
            stops = layer[rounds.blocks[0][1].action[:, 0]]
            if (stops == stops[0]).all():
                return np.full(rounds.times, stops[0], dtype=np.int16)
        for _, played in rounds.of_every_repeat():
            for repeat in played.action[len(played.action) // 2 :].T:
                plays = np.bincount(repeat, minlength=len(layer))
                settled.append(np.bincount(layer, weights=plays).argmax())
        return np.array(settled, dtype=np.int16)

    @cached_property
    def regret(self) -> Regret:
        """The regret of this policy."""
        return Regret(self.rounds)

    @cached_property
    def curve(self) -> Curve:  # noqa: D102
        rounds = self.rounds.setup.streams.rounds
        points = np.unique(np.linspace(0, rounds - 1, CURVE_POINTS).round().astype(np.int64))
        return self.regret.curve(points, self.totals[:, METRICS.index("reward")])


def _in_order(terms: Floats) -> Floats:
    """Return sums over actions, shape (repeats,), added one by one: how others add depends on the layout."""
    sums: Floats = np.cumsum(terms, axis=1)[:, -1]
    return sums


def _of_actions(actions: Actions, offload: Floats) -> Floats:
    """Return the offload cost of each action; 0 where it is unknown, for such an action is never taken."""
    return np.where(actions.offloaded, np.nan_to_num(offload[actions.layer]), 0.0)
