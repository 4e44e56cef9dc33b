"""Measures of a policy in a System: as in any replay, and latency, energy, bytes and missed deadlines."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from splitee.costs import CostTerm, Floats
from splitee.policies.played import Played
from splitee.policies.problem import Orders
from splitee.results.intervals import run_interval
from splitee.results.measures import METRICS, Counted
from splitee.results.setup import AGREES, RIGHT
from splitee.system.world import LATE

MEASURED = ("latency", "energy", "kilobytes", "missed", "fallback")
"""ms, mJ of the device (NaN if the profile has none), KB sent; shares answered after the deadline or whose
answer would have been, and answered by the device since the cloud's answer was lost."""
QUANTILES = {"latency_p50": 0.5, "latency_p95": 0.95, "latency_p99": 0.99}
_Z = 1.959963984540054  # of 95 %


class Timed(Counted):
    """Measures of rounds that were measured."""

    @property
    def terms(self) -> list[CostTerm]:
        """None: the cost is a sum over what was measured."""
        return []

    @property
    def metrics(self) -> tuple[str, ...]:  # noqa: D102
        return (*METRICS, *MEASURED)

    @cached_property
    def totals(self) -> Floats:  # noqa: D102
        each = [self._each(played, order).mean(axis=1).T for played, order in self.rounds.with_orders()]
        return np.concatenate(each).repeat(self.rounds.times, axis=0)

    @property
    def per_sample(self) -> Floats:  # noqa: D102
        samples = self.rounds.table.samples
        sums = np.zeros((samples, len(self.metrics)))
        for played, order in self.rounds.with_orders():
            s = order.ravel()
            for k, column in enumerate(self._each(played, order)):
                sums[:, k] += np.bincount(s, column.ravel(), samples) * self.rounds.times
        return sums

    def _each(self, played: Played, order: Orders) -> Floats:
        """Return each metric of each round, shape (metrics, m, repeats)."""
        assert played.measured is not None
        assert played.lost is not None
        table, actions, setup = self.rounds.table, self.rounds.actions, self.rounds.setup
        assert setup.system is not None
        world, answer = setup.system.world, actions.answer[played.action]
        marks = setup.marks[order, answer]
        right = (marks & RIGHT > 0).astype(np.float64)
        if not setup.trace.has_labels:
            right[:] = np.nan
        latency, energy, kilobytes = played.measured
        cost = np.tensordot(world.weights, played.measured, axes=1)
        return np.stack(
            [
                right,
                (marks & AGREES > 0).astype(np.float64),
                cost,
                table.rows[order, answer] - table.mu * cost,
                right - table.mu * cost,
                actions.offloaded[played.action].astype(np.float64),
                latency,
                energy if setup.system.has_energy else np.full(energy.shape, np.nan),
                kilobytes,
                ((latency > world.deadline) | (played.lost == LATE)).astype(np.float64),
                (played.lost > 0).astype(np.float64),
            ]
        )

    @cached_property
    def quantiles(self) -> dict[str, dict[str, Floats]]:
        """Latency quantiles in ms: by interval ("data", "run"), name: [value, low, high].

        The *data* interval is that of Woodruff (1952): the share of rounds up to the quantile has a standard
        error over samples, whose ends are turned back into latencies.
        """
        blocks = self.rounds.with_orders()
        latency = [played.measured[0] for played, _ in blocks if played.measured is not None]
        every = np.sort(np.concatenate([each.ravel() for each in latency]))
        n, shown = self.rounds.table.samples, self.shown
        found: dict[str, dict[str, Floats]] = {"data": {}, "run": {}}
        for name, q in QUANTILES.items():
            value = float(np.quantile(every, q, method="inverted_cdf"))
            up_to = np.zeros(n)
            for each, (_, order) in zip(latency, blocks, strict=True):
                up_to += np.bincount(order.ravel(), (each <= value).ravel(), n) * self.rounds.times
            share = up_to.sum() / shown.sum()
            rest, seen = up_to - share * shown, int((shown > 0).sum())
            ends = [np.nan, np.nan]
            if seen > 1:
                error = np.sqrt(seen / (seen - 1) * (rest**2).sum()) / shown.sum()
                shares = np.clip([q - _Z * error, q + _Z * error], 0.0, 1.0)
                ends = np.quantile(every, shares, method="inverted_cdf").tolist()
            found["data"][name] = np.array([value, *ends])
            runs = np.concatenate([np.quantile(each, q, axis=0, method="inverted_cdf") for each in latency])
            runs = runs.repeat(self.rounds.times)
            found["run"][name] = np.array([runs.mean(), *run_interval(runs)])
        return found
