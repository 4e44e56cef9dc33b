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
    """What was counted of some repeats.

    Attributes
    ----------
    plays : ndarray of int, shape (repeats, kinds, L + 1, 2)
        Rounds by kind, layer, and whether the sample was sent.
    at_points : ndarray of int, shape (repeats, p, kinds, L + 1)
        Rounds by kind and layer, up to some points of the stream.
    settled : ndarray of int, shape (repeats,)
        The layer played most in the second half of the stream, the lowest of equals.
    sure, added, right, agrees : ndarray, shape (repeats,)
        Sums of the answers' confidences, and of what samples added to prices; how many answers were right,
        and agree with the last exit's.
    """

    plays: NDArray[np.int64]
    at_points: NDArray[np.int64]
    settled: NDArray[np.int16]
    sure: Floats
    added: Floats
    right: Floats
    agrees: Floats


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
        orders: Orders,
        splits: Layers,
        parts: Sequence[tuple[int, int, int]],
        points: NDArray[np.int64],
        counts: Counts,
        shuffled: bool,
    ) -> Tally:
        """Count some repeats.

        Parameters
        ----------
        orders, splits : ndarray, shape (repeats, m)
            Which samples came, and where they stopped.
        parts : sequence of (first, end, kind)
            Consecutive rounds of one kind.
        points : ndarray of int, shape (p,)
            Rounds (0-based, ascending) after which the plays of each layer are wanted.
        counts : ndarray, shape (kinds, L + 1, n)
            Added to.
        shuffled : bool
            Whether every repeat shows every sample exactly once.
        """
        said = self.answers
        repeats, rounds = splits.shape
        plays = np.zeros((repeats, len(self.exits), self.layers + 1, 2), dtype=np.int64)
        at_points = np.zeros((repeats, len(points), len(self.exits), self.layers + 1), dtype=np.int64)
        late = np.zeros((repeats, self.layers + 1), dtype=np.int64)
        sums = np.zeros((repeats, 4))
        as_it_lies = shuffled and len(parts) == 1 and rounds > OUT_OF_CACHE
        for first, end, kind in parts:
            a, b = np.searchsorted(points, [first, end])
            stops = splits[:, first:end]
            _count_plays(stops, points[a:b] - first, at_points[:, a:b, kind], rounds // 2 - first, late)
            _count(
                orders[:, first:end],
                stops,
                as_it_lies,
                said.confidence,
                said.far,
                said.marks,
                self.extra,
                self.below,
                counts[kind],
                plays[:, kind],
                sums,
            )
            at_points[:, b:, kind] = plays[:, None, kind].sum(axis=-1)
        return Tally(plays, at_points, late.argmax(axis=1).astype(np.int16), *sums.T)

    def totals(self, tally: Tally) -> Floats:
        """Return each repeat's means a round, shape (repeats, metrics)."""
        plays, sent = tally.plays.sum(axis=3), tally.plays[:, :, :, 1].sum(axis=1)
        rounds = plays.sum(axis=(1, 2))
        device = (plays * self.gamma).sum(axis=(1, 2))
        computing = (plays * self.layers_only).sum(axis=(1, 2))
        sending = np.where(sent > 0, self.sending, 0.0)  # NaN where nothing is ever sent
        offload = (sent * sending).sum(axis=1) + tally.added
        right = tally.right / rounds if self.answers.labelled else np.full(len(rounds), np.nan)
        cost = (device + offload) / rounds
        means = [
            right,
            tally.agrees / rounds,
            cost,
            tally.sure / rounds - self.mu * cost,
            right - self.mu * cost,
            sent.sum(axis=1) / rounds,
            computing / rounds,
            (device - computing) / rounds,
            offload / rounds,
        ]
        return np.stack(means, axis=1)

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
    orders, splits, as_it_lies, confidence, far, marks, extra, below, counts, tally, sums
):
    """Count repeats; those of shuffles may be taken sample by sample, so that memory is read as it lies."""
    rounds = orders.shape[1]
    stops = np.empty(rounds if as_it_lies else 0, dtype=splits.dtype)
    for repeat in range(orders.shape[0]):
        if as_it_lies:
            for position in range(rounds):
                stops[np.uintp(orders[repeat, position])] = splits[repeat, position]
        sure, added, right, agrees = 0.0, 0.0, np.int64(0), np.int64(0)
        for position in range(rounds):
            if as_it_lies:
                sample, layer = np.uintp(position), np.uintp(stops[position])
            else:
                sample, layer = np.uintp(orders[repeat, position]), np.uintp(splits[repeat, position])
            here, there = np.float64(confidence[exit_of(layer), sample]), np.float64(far[sample])
            sent = np.uintp(here < below[layer])  # a number: no processor foresees this branch
            mark = marks[layer - sent * layer, sample]
            tally[repeat, layer, sent] += 1
            counts[layer, sample] += 1
            sure += there if sent else here
            right += np.int64(mark & RIGHT)
            agrees += np.int64(mark >> 1)
            if extra.shape[0]:
                added += extra[sample] * sent
        sums[repeat, 0] += sure
        sums[repeat, 1] += added
        sums[repeat, 2] += right
        sums[repeat, 3] += agrees


@compiled
def _count_plays(splits, points, at_points, half, late):  # type: ignore[no-untyped-def]
    """Fill in the plays of each layer up to each point, shape (repeats, p, L + 1); add up those from `half`.

    Points and half are rounds from the first of these splits.
    """
    plays = np.zeros(at_points.shape[2], dtype=np.int64)
    for repeat in range(splits.shape[0]):
        plays[:] = 0
        first = 0
        for k in range(points.shape[0]):
            for position in range(first, points[k] + 1):
                plays[np.uintp(splits[repeat, position])] += 1
            at_points[repeat, k] = plays
            first = points[k] + 1
        for position in range(max(half, 0), splits.shape[1]):
            late[repeat, np.uintp(splits[repeat, position])] += 1


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
