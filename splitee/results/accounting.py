"""What the rounds of a policy cost and are worth, by repeat and by sample.

Everything follows from how often what came (`splitee.results.outcomes`, `splitee.results.tally`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from splitee._internal.jit import compiled
from splitee.costs import CostModel, Floats
from splitee.policies.base import Layers
from splitee.policies.rewards import device_costs, leaving
from splitee.policies.table import says, sends
from splitee.results.outcomes import AGREES, RIGHT, Answers, Outcomes, counted
from splitee.results.tally import ADDED, IS_AGREED, IS_RIGHT, IS_SENT, PLAYED, SURE, Tally

METRICS = (
    "accuracy",
    "agreement",  # with the last exit
    "cost",
    "reward",
    "utility",
    "offload_rate",
    "cost_layers",
    "cost_exits",
    "cost_offload",
)


@dataclass(frozen=True, eq=False)
class Ledger:
    """What a round at each layer costs a policy, and how its rounds are added up.

    Attributes
    ----------
    answers : Answers
    threshold : float
        α; of a policy without, that of the splits its regret is held against.
    leaves_below : float
        Confidence below which it offloads: α, unless it never does.
    costs : CostModel
        By which its costs are reported.
    mu : float
        μ.
    exits : tuple of bool
        The kinds of rounds it plays: whether every exit on the way is evaluated in those of kind k.
    """

    answers: Answers
    threshold: float
    leaves_below: float
    costs: CostModel
    mu: float
    exits: tuple[bool, ...]

    @property
    def layers(self) -> int:
        """L."""
        return len(self.answers.confidence)

    @cached_property
    def extra(self) -> Floats:
        """What each sample adds to the price of sending, shape (n,), or nothing."""
        return self.costs.by_sample(len(self.answers.far))

    @cached_property
    def gamma(self) -> Floats:
        """γ_0..γ_L of each kind of round, shape (kinds, L + 1)."""
        return np.stack([device_costs(self.costs, self.layers, every) for every in self.exits])

    @cached_property
    def layers_only(self) -> Floats:
        """The part of γ that is layers, shape (L + 1,)."""
        return np.concatenate([[0.0], self.costs.layers_only(self.layers)])

    @cached_property
    def sending(self) -> Floats:
        """The price of sending after 0..L layers, shape (L + 1,)."""
        return self.costs.sending(self.layers)

    def outcomes(self, stops: Layers | None = None) -> Outcomes:
        """Work out what comes of each sample at each layer, or at the one where it always `stops`."""
        below = leaving(self.layers, self.leaves_below)
        return Outcomes.of(self.answers, below, len(self.exits), stops)

    def totals(self, tally: Tally) -> Floats:
        """Return each repeat's means a round, shape (repeats, metrics)."""
        plays, right, agreed, sent = (tally.sums[:, k] for k in (PLAYED, IS_RIGHT, IS_AGREED, IS_SENT))
        rounds, gone = plays.sum(axis=(0, 1)), sent.sum(axis=0)
        device = (plays * self.gamma[..., None]).sum(axis=(0, 1))
        computing = (plays * self.layers_only[:, None]).sum(axis=(0, 1))
        paid = gone.any(axis=1)  # an input without a price is never sent
        offload = (gone[paid] * self.sending[paid, None]).sum(axis=0) + tally.reals[ADDED]
        accuracy = right.sum(axis=(0, 1)) / rounds if self.answers.labelled else np.full(len(rounds), np.nan)
        cost = (device + offload) / rounds
        means = [
            accuracy,
            agreed.sum(axis=(0, 1)) / rounds,
            cost,
            tally.reals[SURE] / rounds - self.mu * cost,
            accuracy - self.mu * cost,
            gone.sum(axis=0) / rounds,
            computing / rounds,
            (device - computing) / rounds,
            offload / rounds,
        ]
        return np.stack(means, axis=1)

    def per_sample(self, outcomes: Outcomes) -> Floats:
        """Return the sums of each metric over a sample's rounds, shape (n, metrics)."""
        sums = np.zeros((len(METRICS), outcomes.table.shape[-1]))
        for kind in range(len(self.exits)):
            _sum_by_sample(
                outcomes.table[kind],
                np.empty(0, dtype=np.int16) if outcomes.stops is None else outcomes.stops,
                self.extra,
                self.gamma[kind],
                self.layers_only,
                self.sending,
                self.mu,
                sums,
            )
        if not self.answers.labelled:
            sums[[METRICS.index("accuracy"), METRICS.index("utility")]] = np.nan
        return sums.T


@compiled
def _sum_by_sample(  # type: ignore[no-untyped-def]
    table, stops, extra, gamma, layers_only, sending, mu, sums
):
    for row in range(table.shape[0]):
        for sample in range(table.shape[1]):
            word = table[row, sample]
            rounds = np.float64(counted(word))
            if rounds == 0.0:
                continue
            layer = np.int64(stops[sample]) if stops.shape[0] else row
            price = 0.0
            if sends(word):
                price = sending[layer] + extra[sample] if extra.shape[0] else sending[layer]
            right = 1.0 if word & RIGHT else 0.0
            cost = gamma[layer] + price
            sums[0, sample] += rounds * right
            sums[1, sample] += rounds * (1.0 if word & AGREES else 0.0)
            sums[2, sample] += rounds * cost
            sums[3, sample] += rounds * (says(word) - mu * cost)
            sums[4, sample] += rounds * (right - mu * cost)
            sums[5, sample] += rounds if sends(word) else 0.0
            sums[6, sample] += rounds * layers_only[layer]
            sums[7, sample] += rounds * (gamma[layer] - layers_only[layer])
            sums[8, sample] += rounds * price
