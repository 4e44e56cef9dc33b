"""Ranks with intervals: who is better than whom, with every comparison made at once.

The scores of an entrant are averaged over the cells of a trace first, since these are not independent; traces
are what is resampled. Entrants i and j differ if |d̄| > c·s, d̄ the mean of their differences over T traces, s
its standard error. c is the 95 % quantile, over bootstrap resamples of the traces, of the greatest
|d̄* − d̄|/s* of all pairs, so that with 95 % confidence no pair is found different wrongly; s* counts as s/2
at least, since a resample may repeat few traces. The rank of i lies between 1 + the number of entrants better
than it, and n − the number of those worse.

References
----------
Mogstad, Romano, Shaikh, Wilhelm (2024): Inference for Ranks, Review of Economic Studies 91 (ranks from
simultaneous intervals of differences). Romano, Wolf (2005): Stepwise Multiple Testing, Econometrica 73.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
LEVEL, RESAMPLES, SEED = 0.95, 1000, 0
FEWEST = 5  # traces; with fewer there are no intervals
_TINY = 1e-9  # a standard error below this is that of equal scores


@dataclass(frozen=True)
class Ranks:
    """Mean scores, and the ranks that they allow.

    Attributes
    ----------
    score, low, high : ndarray, shape (n,)
        Mean over traces, and its 95 % bootstrap interval.
    rank : ndarray of int, shape (n,)
        1 is the lowest mean score; equal scores share the first rank.
    best, worst : ndarray of int, shape (n,)
        The interval of the rank.
    """

    score: Floats
    low: Floats
    high: Floats
    rank: NDArray[np.int64]
    best: NDArray[np.int64]
    worst: NDArray[np.int64]


def ranked(scores: Floats) -> Ranks:
    """Rank entrants by their scores, the lower the better.

    Parameters
    ----------
    scores : ndarray, shape (T, n)
        Of n entrants on T traces.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> found = ranked(rng.normal(size=(30, 3)) + [0.0, 0.0, 5.0])
    >>> sorted(found.rank[:2].tolist()), found.best.tolist(), found.worst.tolist()
    ([1, 2], [1, 1, 3], [2, 2, 3])
    """
    traces, n = scores.shape
    mean = scores.mean(axis=0)
    rank = 1 + (mean[None, :] < mean[:, None] - _TINY).sum(axis=1)
    every = np.ones(n, dtype=np.int64), np.full(n, n, dtype=np.int64)
    if traces < FEWEST:
        return Ranks(mean, np.full(n, np.nan), np.full(n, np.nan), rank, *every)
    draws = np.random.default_rng(SEED).integers(traces, size=(RESAMPLES, traces))
    weights = np.stack([np.bincount(draw, minlength=traces) for draw in draws]) / traces
    means = np.einsum(
        "bt,tn->bn", weights, scores
    )  # not a product of a library, whose sums vary with threads
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    one, other = np.triu_indices(n, 1)
    differ = scores[:, one] - scores[:, other]
    centre = differ.mean(axis=0)
    error = differ.std(axis=0, ddof=1) / np.sqrt(traces)
    worth = error > _TINY
    tested = differ[:, worth]
    again = weights @ tested
    spread = weights @ tested**2 - again**2
    spread = np.sqrt(np.maximum(spread, 0.0) / (traces - 1))
    ratio = np.abs(again - centre[worth]) / np.maximum(spread, 0.5 * error[worth])
    greatest = ratio.max(axis=1, initial=0.0)
    least = np.quantile(greatest, LEVEL) * error
    apart = np.abs(centre) > np.maximum(least, _TINY)
    better = np.zeros((n, n), dtype=bool)  # [i, j]: i is better than j
    better[one, other], better[other, one] = apart & (centre < 0), apart & (centre > 0)
    return Ranks(mean, low, high, rank, 1 + better.sum(axis=0), n - better.sum(axis=1))
