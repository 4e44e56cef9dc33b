"""Orders in which samples come, for `splitee.replay(..., orders=)`; without any it shuffles.

A shuffled stream has no memory: what a learner meets first is like what it meets last. As it is, resampled,
or one domain after another, a stream shows more of a learner.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from splitee._internal.errors import InputError
from splitee._internal.numbers import check_whole

Orders = NDArray[np.int64]  # (repeats, m): 0-based sample indices


def as_is(samples: int) -> Orders:
    """Return the order of the trace itself, shape (1, samples).

    Examples
    --------
    >>> as_is(3).tolist()
    [[0, 1, 2]]
    """
    check_whole("samples", samples)
    return np.arange(samples, dtype=np.int64)[None]


def bootstrap(samples: int, repeats: int = 20, seed: int = 0) -> Orders:
    """Return streams that draw each sample anew, with replacement, shape (repeats, samples).

    Examples
    --------
    >>> bootstrap(4, repeats=2).shape
    (2, 4)
    """
    check_whole("samples", samples)
    check_whole("repeats", repeats)
    draws = [_generator(seed, 3, r).integers(samples, size=samples) for r in range(repeats)]
    return np.array(draws, dtype=np.int64)


def in_sequence(segments: Sequence[ArrayLike], repeats: int = 20, seed: int = 0) -> Orders:
    """Return streams of segments one after the other, each shuffled within itself.

    Parameters
    ----------
    segments : sequence of array_like of int
        The samples of each segment, such as those of a domain.
    repeats, seed : int
        How many streams, and the seed of the shuffles.

    Returns
    -------
    ndarray of int64, shape (repeats, sum of lengths)

    Examples
    --------
    >>> order = in_sequence([[0, 1], [2, 3, 4]], repeats=1)[0]
    >>> sorted(order[:2].tolist()), sorted(order[2:].tolist())
    ([0, 1], [2, 3, 4])
    """
    check_whole("repeats", repeats)
    try:
        parts = [np.asarray(segment) for segment in segments]
    except (TypeError, ValueError) as error:
        raise InputError("in_sequence: give segments, each a list of sample indices") from error
    if not parts or any(part.ndim != 1 or part.dtype.kind not in "iu" or not part.size for part in parts):
        raise InputError("in_sequence: give segments, each a list of sample indices, none empty")
    rows = []
    for repeat in range(repeats):
        rng = _generator(seed, 4, repeat)
        rows.append(np.concatenate([rng.permutation(part) for part in parts]))
    return np.array(rows, dtype=np.int64)


def _generator(seed: int, kind: int, repeat: int) -> np.random.Generator:
    check_whole("seed", seed, least=0)
    # 0 to 2 are the shuffles, the policies' own and the bootstrap of the data intervals
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(kind, repeat)))
