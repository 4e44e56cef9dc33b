"""What rounds come to: they are counted by sample and layer, and everything else follows from the counts.

Where a sample stopped says, with its exits' confidences, whether it was sent, what was answered and what that
cost. So a round is one count, and counts can be added up in any order, by any number of threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from splitee.compiled import compiled
from splitee.costs import CostModel, Floats
from splitee.policies.base import Layers, Orders
from splitee.policies.rewards import by_exit, device_costs, exit_of, leaving
from splitee.trace import Trace

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
Counts = NDArray[np.int32]
OUT_OF_CACHE = 100_000  # samples: from here on, rounds of a shuffle are counted sample by sample
RIGHT, AGREES = 1, 2  # what can be said of an answer, as bits


@dataclass(frozen=True, eq=False)
class Answers:
    """What each exit, and whoever answers offloaded samples, says of the samples of a trace.

    Attributes
    ----------
    confidence : ndarray of float32, shape (L, n)
    far : ndarray of float32, shape (n,)
        Confidence of whoever answers offloaded samples.
    marks : ndarray of uint8, shape (L + 1, n)
        Whether exit i's answer is right and agrees with the last exit's, as bits; row 0: the far answer's.
    labelled : bool
        Without labels nothing is marked as right.
    """

    confidence: NDArray[np.float32]
    far: NDArray[np.float32]
    marks: NDArray[np.uint8]
    labelled: bool


_KNOWN: WeakKeyDictionary[Trace, Answers] = WeakKeyDictionary()  # replays of a trace share them


def answers_of(trace: Trace) -> Answers:
    """Return what a trace says, ready to be counted."""
    if trace not in _KNOWN:
        last = trace.prediction[:, -1]
        far_answer = last if trace.cloud_prediction is None else trace.cloud_prediction
        far = trace.confidence[:, -1] if trace.cloud_confidence is None else trace.cloud_confidence
        marks = np.zeros((trace.layers + 1, trace.samples), dtype=np.uint8)
        for row, answer in zip(marks, [far_answer, *by_exit(trace.prediction)], strict=True):
            row[answer == last] = AGREES
            if trace.label is not None:
                row[answer == trace.label] |= RIGHT
        confidence = by_exit(trace.confidence)
        _KNOWN[trace] = Answers(confidence, np.ascontiguousarray(far), marks, trace.has_labels)
    return _KNOWN[trace]


@dataclass(frozen=True, eq=False)
class Tally:
    """What was counted of one repeat.

    Attributes
    ----------
    plays : ndarray of int, shape (kinds, L + 1, 2)
        Rounds by kind, layer, and whether the sample was sent.
    at_points : ndarray of int, shape (p, kinds, L + 1)
        Rounds by kind and layer, up to some points of the stream.
    sure, added : float
        Sums of the answers' confidences, and of what samples added to prices.
    right, agrees : float
        How many answers were right, and agree with the last exit's.
    """

    plays: NDArray[np.int64]
    at_points: NDArray[np.int64]
    sure: float
    added: float
    right: float
    agrees: float


@dataclass(frozen=True, eq=False)
class Ledger:
    """Books of one policy: what a round at each layer costs it, and how rounds are counted.

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

    @cached_property
    def below(self) -> Floats:
        """Confidence below which a sample is sent from layer 0..L, shape (L + 1,)."""
        below: Floats = leaving(self.layers, self.leaves_below)
        return below

    def counts(self) -> Counts:
        """Return a fresh count of rounds by kind, layer and sample, shape (kinds, L + 1, n)."""
        return np.zeros((len(self.exits), *self.answers.marks.shape), dtype=np.int32)

    def count(
        self,
        order: Orders,
        split: Layers,
        parts: Sequence[tuple[int, int, int]],
        points: NDArray[np.int64],
        counts: Counts,
        shuffled: bool,
    ) -> Tally:
        """Count one repeat.

        Parameters
        ----------
        order, split : ndarray, shape (m,)
            Which samples came, and where they stopped.
        parts : sequence of (first, end, kind)
            Consecutive rounds of one kind.
        points : ndarray of int, shape (p,)
            Rounds (0-based, ascending) after which the plays of each layer are wanted.
        counts : ndarray, shape (kinds, L + 1, n)
            Added to.
        shuffled : bool
            Whether every sample comes exactly once, which is quicker to count.
        """
        said = self.answers
        plays = np.zeros((len(self.exits), self.layers + 1, 2), dtype=np.int64)
        at_points = np.zeros((len(points), len(self.exits), self.layers + 1), dtype=np.int64)
        sums = np.zeros(4)
        for first, end, kind in parts:
            a, b = np.searchsorted(points, [first, end])
            samples, stops = order[first:end], split[first:end]
            _count_plays(stops, points[a:b] - first, at_points[a:b, kind])
            if shuffled and len(parts) == 1 and len(order) > OUT_OF_CACHE:  # memory is read as it lies
                samples, stops = np.arange(len(order), dtype=np.int32), np.empty_like(split)
                stops[order] = split
            sums += _count(
                samples,
                stops,
                said.confidence,
                said.far,
                said.marks,
                self.extra,
                self.below,
                counts[kind],
                plays[kind],
            )
            at_points[b:, kind] = plays[kind].sum(axis=1)
        return Tally(plays, at_points, *sums)

    def totals(self, tally: Tally) -> Floats:
        """Return a repeat's means a round, shape (metrics,)."""
        plays, sent = tally.plays.sum(axis=2), tally.plays[:, :, 1].sum(axis=0)
        rounds = plays.sum()
        device = (plays * self.gamma).sum()
        computing = (plays * self.layers_only).sum()
        sending = np.where(sent > 0, self.sending, 0.0)  # NaN where nothing is ever sent
        offload = (sent * sending).sum() + tally.added
        right = tally.right / rounds if self.answers.labelled else np.nan
        cost = (device + offload) / rounds
        return np.array(
            [
                right,
                tally.agrees / rounds,
                cost,
                tally.sure / rounds - self.mu * cost,
                right - self.mu * cost,
                sent.sum() / rounds,
                computing / rounds,
                (device - computing) / rounds,
                offload / rounds,
            ]
        )

    def per_sample(self, counts: Counts) -> Floats:
        """Return the sums of each metric over a sample's rounds, shape (n, metrics)."""
        said = self.answers
        sums = np.zeros((len(METRICS), len(said.far)))
        for kind in range(len(self.exits)):
            _sum_by_sample(
                counts[kind],
                said.confidence,
                said.far,
                said.marks,
                self.extra,
                self.below,
                self.gamma[kind],
                self.layers_only,
                self.sending,
                self.mu,
                sums,
            )
        if not said.labelled:
            sums[[METRICS.index("accuracy"), METRICS.index("utility")]] = np.nan
        return sums.T


@compiled
def _count(  # type: ignore[no-untyped-def]
    order, split, confidence, far, marks, extra, below, counts, tally
):
    sure, added, right, agrees = 0.0, 0.0, np.int64(0), np.int64(0)
    for position in range(order.shape[0]):
        sample, layer = np.uintp(order[position]), np.uintp(split[position])
        here, there = np.float64(confidence[exit_of(layer), sample]), np.float64(far[sample])
        sent = np.uintp(here < below[layer])  # a number: no processor foresees this branch
        mark = marks[layer - sent * layer, sample]
        tally[layer, sent] += 1
        counts[layer, sample] += 1
        sure += there if sent else here
        right += np.int64(mark & RIGHT)
        agrees += np.int64(mark >> 1)
        if extra.shape[0]:
            added += extra[sample] * sent
    return sure, added, right, agrees


@compiled
def _count_plays(split, points, at_points):  # type: ignore[no-untyped-def]
    """Fill in how often each layer was played up to each point, shape (p, L + 1)."""
    plays = np.zeros(at_points.shape[1], dtype=np.int64)
    first = 0
    for k in range(points.shape[0]):
        for position in range(first, points[k] + 1):
            plays[np.uintp(split[position])] += 1
        at_points[k] = plays
        first = points[k] + 1


@compiled
def _sum_by_sample(  # type: ignore[no-untyped-def]
    counts, confidence, far, marks, extra, below, gamma, layers_only, sending, mu, sums
):
    for layer in range(counts.shape[0]):
        for sample in range(counts.shape[1]):
            rounds = np.float64(counts[layer, sample])
            if rounds == 0.0:
                continue
            here = confidence[exit_of(layer), sample]
            sent = here < below[layer]
            mark = marks[0 if sent else layer, sample]
            price = 0.0
            if sent:
                price = sending[layer] + extra[sample] if extra.shape[0] else sending[layer]
            sure = np.float64(far[sample] if sent else here)
            right = 1.0 if mark & RIGHT else 0.0
            cost = gamma[layer] + price
            sums[0, sample] += rounds * right
            sums[1, sample] += rounds * (1.0 if mark & AGREES else 0.0)
            sums[2, sample] += rounds * cost
            sums[3, sample] += rounds * (sure - mu * cost)
            sums[4, sample] += rounds * (right - mu * cost)
            sums[5, sample] += rounds if sent else 0.0
            sums[6, sample] += rounds * layers_only[layer]
            sums[7, sample] += rounds * (gamma[layer] - layers_only[layer])
            sums[8, sample] += rounds * price
