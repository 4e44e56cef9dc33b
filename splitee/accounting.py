"""What rounds come to: they are counted by sample and layer, and everything else follows from the counts.

Where a sample stopped says, with its exits' confidences, whether it was sent, what was answered and what that
cost. So a round is one count, and counts can be added up in any order, by any number of threads.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from splitee.compiled import compiled
from splitee.costs import CostModel, Floats
from splitee.policies.base import Layers, Orders
from splitee.policies.rewards import by_exit, device_costs, exit_of, leaving
from splitee.processor import AHEAD, IN_CACHE, prefetch
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
RIGHT, AGREES, SENT = 1, 2, 4  # what can be said of an answer, as bits
MARKS = 8  # so many they come to


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
class Outcomes:
    """What comes of each sample at each layer, 0 (the input is sent) to L.

    Attributes
    ----------
    said : ndarray of float32, shape (L + 1, n)
        Confidence of whoever answers.
    marks : ndarray of uint8, shape (L + 1, n)
        Whether the answer is right, agrees with the last exit's, and whether the sample was sent, as bits.
    """

    said: NDArray[np.float32]
    marks: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Tally:
    """What was counted of some repeats.

    Attributes
    ----------
    answers : ndarray of int, shape (kinds, repeats, L + 1, 8)
        Rounds by kind, layer, and the marks of the answer.
    at_points : ndarray of int, shape (kinds, repeats, p, L + 1)
        Rounds by kind and layer, up to some points of the stream.
    settled : ndarray of int, shape (repeats,)
        The layer played most in the second half of the stream, the lowest of equals.
    sure, added : ndarray, shape (repeats,)
        Sums of the answers' confidences, and of what samples added to prices.
    """

    answers: NDArray[np.int32]
    at_points: NDArray[np.int32]
    settled: NDArray[np.int16]
    sure: Floats
    added: Floats

    @property
    def plays(self) -> NDArray[np.int64]:
        """Rounds by kind and layer, shape (kinds, repeats, L + 1)."""
        return self.answers.sum(axis=-1, dtype=np.int64)  # type: ignore[no-any-return]

    def marked(self, mark: int) -> NDArray[np.int64]:
        """Return the rounds of which a mark is told, shape (kinds, repeats, L + 1)."""
        told: NDArray[np.int64] = self.answers[..., (np.arange(MARKS) & mark) > 0].sum(
            axis=-1, dtype=np.int64
        )
        return told


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

    def outcomes(self) -> Outcomes:
        """Work out what comes of each sample at each layer."""
        told = self.answers
        said, marks = np.empty(told.marks.shape, dtype=np.float32), np.empty_like(told.marks)
        _outcomes(told.confidence, told.far, told.marks, self.below, said, marks)
        return Outcomes(said, marks)

    def count(
        self,
        orders: Orders,
        played: Iterable[Layers],
        parts: Sequence[tuple[int, int, int]],
        points: NDArray[np.int64],
        outcomes: Outcomes,
        counts: Counts,
    ) -> Tally:
        """Count some repeats.

        Parameters
        ----------
        orders : ndarray, shape (m, repeats)
            Which samples came.
        played : iterable of ndarray, shape (rounds, repeats)
            Where they stopped, some rounds at a time.
        parts : sequence of (first, end, kind)
            Consecutive rounds of one kind.
        points : ndarray of int, shape (p,)
            Rounds (0-based, ascending) after which the plays of each layer are wanted.
        outcomes : Outcomes
            This ledger's.
        counts : ndarray, shape (kinds, L + 1, n)
            Added to.
        """
        rounds, repeats = orders.shape
        kinds, layers = len(self.exits), self.layers + 1
        answers = np.zeros((kinds, repeats, layers, MARKS), dtype=np.int32)
        at_points = np.zeros((kinds, repeats, len(points), layers), dtype=np.int32)
        early = np.zeros((kinds, repeats, layers), dtype=np.int32)
        sure, added = np.zeros((2, repeats))
        begin = 0
        for splits in played:
            assert splits.shape[1] == repeats, f"splits have shape {splits.shape}: (rounds, {repeats})"
            for first, end, kind in parts:
                a, b = max(first, begin), min(end, begin + len(splits))
                if a < b:
                    _count(
                        orders[a:b],
                        splits[a - begin : b - begin],
                        a,
                        points,
                        rounds // 2,
                        outcomes.said,
                        outcomes.marks,
                        self.extra,
                        counts[kind],
                        answers[kind],
                        at_points[kind],
                        early[kind],
                        sure,
                        added,
                    )
            begin += len(splits)
        assert begin == rounds, f"{begin} rounds of {rounds} were played"
        plays = answers.sum(axis=-1)
        for _, end, kind in parts:
            at_points[kind][:, points >= end] = plays[kind][:, None]
            if end <= rounds // 2:
                early[kind] = plays[kind]
        settled = (plays - early).sum(axis=0).argmax(axis=1).astype(np.int16)
        return Tally(answers, at_points, settled, sure, added)

    def totals(self, tally: Tally) -> Floats:
        """Return each repeat's means a round, shape (repeats, metrics)."""
        plays, sent = tally.plays, tally.marked(SENT).sum(axis=0)
        rounds = plays.sum(axis=(0, 2))
        device = (plays * self.gamma[:, None]).sum(axis=(0, 2))
        computing = (plays * self.layers_only).sum(axis=(0, 2))
        sending = np.where(sent > 0, self.sending, 0.0)  # NaN where nothing is ever sent
        offload = (sent * sending).sum(axis=1) + tally.added
        right = np.full(len(rounds), np.nan)
        if self.answers.labelled:
            right = tally.marked(RIGHT).sum(axis=(0, 2)) / rounds
        cost = (device + offload) / rounds
        means = [
            right,
            tally.marked(AGREES).sum(axis=(0, 2)) / rounds,
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
def _outcomes(confidence, far, marks, below, said, told):  # type: ignore[no-untyped-def]
    for layer in range(told.shape[0]):
        here, mark, least = confidence[exit_of(layer)], marks[layer], below[layer]
        for sample in range(told.shape[1]):
            own, other, gone = here[sample], far[sample], marks[0, sample] | np.uint8(SENT)
            stayed, sent = mark[sample], np.float64(own) < least
            said[layer, sample] = other if sent else own
            told[layer, sample] = gone if sent else stayed


@compiled
def _count(  # type: ignore[no-untyped-def]
    orders, splits, start, points, half, said, marks, extra, counts, answers, at_points, early, sure, added
):
    """Count rounds of one kind, from round `start` (0-based) on; `orders` and `splits`: (rounds, repeats).

    At each of `points` that is met, the plays so far are written to `at_points`; at `half`, to `early`.
    """
    (rounds, repeats), layers, samples = splits.shape, marks.shape[0], np.uintp(marks.shape[1])
    # what is met at random is flat: one sum finds all that is known of a sample at a layer
    said, marks, counts, tally = said.ravel(), marks.ravel(), counts.ravel(), answers.ravel()
    begin, point = 0, np.searchsorted(points, start)
    while begin < rounds:
        end = rounds
        if point < points.shape[0]:
            end = min(end, points[point] + 1 - start)
        if begin + start < half:
            end = min(end, half - start)
        for position in range(begin, end):
            later = min(position + AHEAD, rounds - 1)
            for repeat in range(repeats):
                if samples > np.uintp(IN_CACHE):
                    at = np.uintp(splits[later, repeat]) * samples + np.uintp(orders[later, repeat])
                    prefetch(said, at)
                    prefetch(marks, at)
                    prefetch(counts, at)
                layer, sample = np.uintp(splits[position, repeat]), np.uintp(orders[position, repeat])
                at = layer * samples + sample
                mark = np.uintp(marks[at])
                tally[(np.uintp(repeat) * np.uintp(layers) + layer) * np.uintp(MARKS) + mark] += 1
                counts[at] += 1
                sure[repeat] += np.float64(said[at])
                if extra.shape[0]:
                    added[repeat] += extra[sample] if mark & np.uintp(SENT) else 0.0
        at_point = point < points.shape[0] and end + start == points[point] + 1
        if at_point or end + start == half:
            for repeat in range(repeats):
                for row in range(layers):
                    plays = np.int64(0)
                    for each in range(MARKS):
                        plays += np.int64(answers[repeat, row, each])
                    if at_point:
                        at_points[repeat, point, row] = plays
                    if end + start == half:
                        early[repeat, row] = plays
        point += at_point
        begin = end


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
