"""Rounds as they are counted, repeat by repeat: whatever means and regret are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from splitee._internal.jit import compiled, inlined
from splitee._internal.processor import EIGHT, IN_CACHE, prefetch
from splitee.costs import Floats
from splitee.policies.bandit import KNOWN, OTHERS, place
from splitee.policies.base import Layers, Orders
from splitee.policies.table import SENT, says, sends
from splitee.results.outcomes import AGREES, RIGHT, ROUND, Outcomes

Whole = NDArray[np.int64]
PLAYED, IS_RIGHT, IS_AGREED, IS_SENT = range(4)  # what is counted of rounds
SURE, ADDED = range(2)  # what is summed
_BITS = 13  # of each of the four in one float64, so that a round is one addition
FAR_AHEAD = 32  # rounds, beforehand, that memory is asked for what they meet
FULL = 2**_BITS - 1  # rounds, until what was added up so has to be told apart
_MARKS = [0, int(RIGHT), int(AGREES), int(SENT)]
_ADDS = np.array(  # by what can be said of the answer
    [sum(1 << _BITS * k for k, mark in enumerate(_MARKS) if said & mark == mark) for said in range(8)],
    dtype=np.float64,
)

Page = tuple[Whole, NDArray[np.int32], Whole, Whole, int]
"""What compiled functions fill in of one kind of round: `sums`, `at_points` and `early` of a `Tally`, without
their first axis; then `points`, and half of the rounds. (A plain tuple: compiled code that is kept must know
of no classes, or it could not be read where one has moved.)"""


@dataclass(frozen=True, eq=False)
class Tally:
    """What was counted of some repeats.

    Attributes
    ----------
    sums : ndarray of int, shape (kinds, 4, L + 1, repeats)
        Rounds by kind and layer; those of them in which the answer was right, agreed with the last exit's,
        and the sample was sent.
    at_points : ndarray of int, shape (kinds, p, L + 1, repeats)
        Rounds by kind and layer up to some points of the stream.
    early : ndarray of int, shape (kinds, L + 1, repeats)
        Rounds by kind and layer in the first half of the stream.
    reals : ndarray, shape (2, repeats)
        Sums of the answers' confidences, and of what samples added to prices.
    points : ndarray of int, shape (p,)
        Rounds (0-based, ascending) after which `at_points` is.
    rounds : int
        m.
    """

    sums: Whole
    at_points: NDArray[np.int32]
    early: Whole
    reals: Floats
    points: Whole
    rounds: int

    @classmethod
    def empty(cls, kinds: int, layers: int, repeats: int, points: Whole, rounds: int) -> Tally:
        """Return one of nothing yet, of a trace of L `layers`."""
        shape = (layers + 1, repeats)
        return cls(
            np.zeros((kinds, 4, *shape), dtype=np.int64),
            np.zeros((kinds, len(points), *shape), dtype=np.int32),
            np.zeros((kinds, *shape), dtype=np.int64),
            np.zeros((2, repeats)),
            points,
            rounds,
        )

    @property
    def repeats(self) -> int:
        """How many there are."""
        return len(self.reals[0])

    def page(self, kind: int) -> Page:
        """Return what is to be filled in of a kind of round."""
        return self.sums[kind], self.at_points[kind], self.early[kind], self.points, self.rounds // 2

    def count(
        self,
        orders: Orders,
        splits: Layers,
        parts: Sequence[tuple[int, int, int]],
        outcomes: Outcomes,
        extra: Floats,
    ) -> None:
        """Count what was played.

        Parameters
        ----------
        orders : ndarray, shape (repeats, m)
            Which samples came.
        splits : ndarray, shape (repeats, m)
            Where they stopped.
        parts : sequence of (first, end, kind)
            Consecutive rounds of one kind.
        outcomes : Outcomes
            Counted in.
        extra : ndarray, shape (n,) or (0,)
            What each sample adds to the price of sending.
        """
        adds = extra if extra.size else None
        for first, end, kind in parts:
            table, page = outcomes.table[kind], self.page(kind)
            for begin in range(first, end, FULL):
                _count(orders, splits, begin, min(begin + FULL, end), table, adds, self.reals, page)
            # a kind's last round may come early
            self.at_points[kind][self.points >= end] = self.sums[kind, PLAYED]
            if end <= self.rounds // 2:
                self.early[kind] = self.sums[kind, PLAYED]

    @property
    def settled(self) -> NDArray[np.int16]:
        """The layer played most in the second half of the stream, the lowest of equals, shape (repeats,)."""
        late = (self.sums[:, PLAYED] - self.early).sum(axis=0)
        settled: NDArray[np.int16] = late.argmax(axis=0).astype(np.int16)
        return settled


@inlined
def note(word, at, sample, repeat, extra, reals, state):  # type: ignore[no-untyped-def]
    """Note a round of which the table has a `word`; `at` is its layer's and repeat's `place` in the state."""
    state[at + np.uintp(OTHERS * EIGHT)] += _ADDS[word & np.uint64(7)]
    reals[SURE, repeat] += says(word)
    if extra is not None:
        reals[ADDED, repeat] += extra[sample] if sends(word) else 0.0


@inlined
def next_stock(t, page):  # type: ignore[no-untyped-def]
    """Return the first round after t (1-based) when `take_stock` is due."""
    _, _, _, points, half = page
    point = np.searchsorted(points, t)  # they are 0-based
    due = points[point] + 1 if point < points.shape[0] else np.iinfo(np.int64).max
    return min(due, half) if t < half else due


@inlined
def _plays(before, state, lanes, first, end, plays):  # type: ignore[no-untyped-def]
    """Fill in the plays of some repeats so far, shape (L + 1, repeats); `before` are those added up."""
    for layer in range(np.uintp(state.shape[0] // (KNOWN * lanes))):  # a device may hold fewer than L
        for repeat in range(np.uintp(first), np.uintp(end)):
            now = np.int64(state[place(layer, repeat, lanes) + np.uintp(OTHERS * EIGHT)])
            plays[layer, repeat] = before[layer, repeat] + (now & FULL)


@compiled
def take_stock(t, page, state, lanes, first, end):  # type: ignore[no-untyped-def]
    """Write down the plays of some repeats up to round t (1-based), where a point or the half is.

    Return the next such.
    """
    sums, at_points, early, points, half = page
    point = np.searchsorted(points, t - 1)
    if point < points.shape[0] and points[point] == t - 1:
        _plays(sums[PLAYED], state, lanes, first, end, at_points[point])
    if t == half:
        _plays(sums[PLAYED], state, lanes, first, end, early)
    return next_stock(t, page)


@compiled
def add_up(page, state, lanes):  # type: ignore[no-untyped-def]
    """Move what was counted in the state to the sums: at least every `FULL` rounds."""
    sums = page[0]
    for layer in range(state.shape[0] // (KNOWN * lanes)):
        for repeat in range(sums.shape[2]):
            at = place(layer, repeat, lanes) + np.uintp(OTHERS * EIGHT)
            packed, state[at] = np.int64(state[at]), 0.0
            for each in range(4):
                sums[each, layer, repeat] += packed >> each * _BITS & FULL


@compiled
def _count(orders, splits, start, stop, table, extra, reals, page):  # type: ignore[no-untyped-def]
    """Count rounds start..stop − 1 (0-based), of one kind."""
    repeats, (rows, samples) = splits.shape[0], table.shape
    lanes = -(-repeats // EIGHT) * EIGHT
    state = np.zeros(page[0].shape[1] * KNOWN * lanes)
    for repeat in range(repeats):
        due = next_stock(start, page)
        for position in range(start, stop):
            layer, sample = np.uintp(splits[repeat, position]), np.uintp(orders[repeat, position])
            row = layer if rows > 1 else np.uintp(0)
            if rows > 1 and samples > IN_CACHE:
                later = min(position + FAR_AHEAD, stop - 1)
                stops, follows = np.uintp(splits[repeat, later]), np.uintp(orders[repeat, later])
                prefetch(table, stops * np.uintp(samples) + follows)
            word = table[row, sample]
            table[row, sample] = word + ROUND
            note(word, place(layer, repeat, lanes), sample, repeat, extra, reals, state)
            if position + 1 == due:
                due = take_stock(due, page, state, lanes, repeat, repeat + 1)
    add_up(page, state, lanes)
