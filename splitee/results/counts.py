"""Counting the rounds of a replay: how often each action came, by repeat and by sample."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from splitee._internal.jit import kernel
from splitee.costs import Floats
from splitee.policies.played import Played
from splitee.policies.problem import Orders

Whole = NDArray[np.int64]
SOME = 256  # rounds that are counted at a time


def by_repeat(
    played: Played, order: Orders, marks: NDArray[np.uint8], confidence: NDArray[np.float32]
) -> tuple[Whole, Floats]:
    """Count the rounds of each repeat.

    Returns
    -------
    counts : ndarray of int, shape (repeats, actions, 4)
        Rounds by action and marks of the answer (see `Setup.marks`).
    sure : ndarray, shape (repeats,)
        Sums of the answers' confidences.
    """
    repeats = played.action.shape[1]
    counts, sure = np.zeros((repeats, len(played.actions), 4), dtype=np.int64), np.zeros(repeats)
    seen = np.empty((SOME, repeats), dtype=np.uint8)
    _by_repeat(order, played.action, played.actions.answer, marks, confidence, seen, counts, sure)
    return counts, sure


def by_sample(blocks: list[tuple[Played, Orders]], samples: int) -> NDArray[np.int32]:
    """Count the rounds of each sample in all repeats, shape (n, actions)."""
    visits = np.zeros((samples, len(blocks[0][0].actions)), dtype=np.int32)
    for played, order in blocks:
        _by_sample(order, played.action, visits)
    return visits


def cumulated(played: Played, losses: Floats, points: NDArray[np.int64]) -> Floats:
    """Return sums of what each round loses, up to some rounds, shape (2, p, repeats).

    Parameters
    ----------
    played : Played
    losses : ndarray, shape (2, actions, repeats)
        Two losses of each action in each repeat.
    points : ndarray of int, shape (p,)
        Rounds from 0, ascending; they count themselves.
    """
    sums = np.zeros((2, len(points), played.action.shape[1]))
    _cumulated(played.action, np.ascontiguousarray(losses), points, sums)
    return sums


def offload_sums(played: Played, order: Orders, offload: Floats) -> Floats:
    """Return the sum of offload costs that depend on the sample, shape (repeats,); offload (n, L + 1)."""
    sums = np.zeros(played.action.shape[1])
    layer = np.where(played.actions.offloaded, played.actions.layer, -1).astype(np.int64)
    _offload_sums(order, played.action, layer, offload, sums)
    return sums


@kernel
def _by_repeat(order, action, answer, marks, confidence, seen, counts, sure):  # type: ignore[no-untyped-def]
    """Fill in `counts` and `sure`; `seen`, shape (SOME, repeats), holds the marks of some rounds.

    Rounds are counted after their marks have been read. If each count waited for its mark, the memory would
    be asked for one mark at a time.
    """
    rounds, repeats = order.shape
    for start in range(0, rounds, len(seen)):
        some = min(len(seen), rounds - start)
        for t in range(some):
            for r in range(np.uintp(repeats)):
                s, column = np.uintp(order[start + t, r]), np.uintp(answer[np.uintp(action[start + t, r])])
                seen[t, r] = marks[s, column]
                sure[r] += np.float64(confidence[s, column])
        for t in range(some):
            for r in range(np.uintp(repeats)):
                counts[r, np.uintp(action[start + t, r]), np.uintp(seen[t, r])] += 1


@kernel
def _by_sample(order, action, visits):  # type: ignore[no-untyped-def]
    for t in range(order.shape[0]):
        for r in range(order.shape[1]):
            visits[np.uintp(order[t, r]), np.uintp(action[t, r])] += 1


@kernel
def _cumulated(action, losses, points, sums):  # type: ignore[no-untyped-def]
    p = 0  # loops, not slices: numba takes seconds to compile assignments of slices
    for t in range(points[-1] + 1):
        for r in range(action.shape[1]):
            a = np.uintp(action[t, r])
            sums[0, p, r] += losses[0, a, r]
            sums[1, p, r] += losses[1, a, r]
        if t == points[p] and p + 1 < len(points):
            p += 1
            for r in range(action.shape[1]):
                sums[0, p, r], sums[1, p, r] = sums[0, p - 1, r], sums[1, p - 1, r]


@kernel
def _offload_sums(order, action, layer, offload, sums):  # type: ignore[no-untyped-def]
    for t in range(order.shape[0]):
        for r in range(order.shape[1]):
            i = layer[np.uintp(action[t, r])]
            if i >= 0:
                sums[r] += offload[np.uintp(order[t, r]), i]
