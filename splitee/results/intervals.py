"""Two intervals, never mixed: over orders (*run*: the learner's luck) and over samples (*data*).

The *data* interval resamples the samples of the trace, keeps what happened to a sample over all repeats
together, and uses the same resamples for every policy, so that differences are paired. It is the one that
says what would happen on other data; the *run* interval only says how much the order matters.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitee._internal.jit import kernel

Floats = NDArray[np.float64]

LEVEL = 0.95
RESAMPLES = 1000
_AT_A_TIME = 1_250  # samples, so that their part of a product stays in the cache


def run_interval(values: Floats, level: float = LEVEL) -> tuple[float, float]:
    """Return Student's t interval of a mean over repeats.

    Parameters
    ----------
    values : ndarray, shape (repeats,)
    level : float
        Coverage.

    Returns
    -------
    (low, high)
        NaN with fewer than two repeats.

    Examples
    --------
    >>> low, high = run_interval(np.array([1.0, 2.0, 3.0]))
    >>> round(low, 2), round(high, 2)
    (-0.48, 4.48)
    """
    from scipy.special import stdtrit  # slow to load, and seldom needed

    if len(values) < 2 or np.isnan(values).any():
        return float("nan"), float("nan")
    half = stdtrit(len(values) - 1, (1 + level) / 2) * values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean() - half), float(values.mean() + half)


def bootstrap_means(
    sums: Iterable[Floats], shown: Floats, resamples: int = RESAMPLES, seed: int = 0
) -> list[Floats]:
    """Return the mean a round in each bootstrap resample of the samples.

    Parameters
    ----------
    sums : iterable of ndarray, each of shape (n, k)
        Of each policy k measures, each summed over all times a sample was shown (all repeats together). They
        are asked for one by one, and none is kept.
    shown : ndarray, shape (n,)
        How often each sample was shown; those never shown are left out.
    resamples, seed : int
        The same seed draws the same resamples: policies, and calls, are paired.

    Returns
    -------
    list of ndarray, each of shape (resamples, k)
        Sum of the measure over shown rounds, resample by resample (a ratio of resampled sums); NaN where
        fewer than two samples were shown.
    """
    seen = shown > 0
    times, n = shown[seen], int(seen.sum())
    if n < 2:
        return [np.full((resamples, each.shape[1]), np.nan) for each in sums]
    place: dict[bytes, int] = {}  # many say the same of each sample, as that an exit sends none
    places = [
        [place.setdefault(column[seen].tobytes(), len(place)) for column in np.asarray(each, np.float64).T]
        for each in sums
    ]
    exact = np.empty((len(place), n))  # one wide product is faster
    for row, column in zip(exact, place, strict=True):
        row[:] = _exact(np.frombuffer(column))
    drawn, rounds = np.zeros((resamples, len(place))), np.zeros(resamples)
    for rows, weights in _weights(n, resamples, seed):
        drawn += weights @ exact[:, rows].T
        rounds += weights @ times[rows]
    drawn /= rounds[:, None]
    return [drawn[:, columns] for columns in places]


def bootstrap_sums(matrices: Sequence[Any], resamples: int = RESAMPLES, seed: int = 0) -> list[Floats]:
    """Return sums over the rows of matrices in each bootstrap resample of the rows.

    Parameters
    ----------
    matrices : sequence of sparse matrix or ndarray, shape (n, k)
        All of the same n; k may differ.
    resamples, seed : int
        See `bootstrap_means`: the same resamples.

    Returns
    -------
    list of ndarray, each of shape (resamples, k)
    """
    sums: list[Floats] = [np.zeros((resamples, matrix.shape[1])) for matrix in matrices]
    for rows, weights in _weights(matrices[0].shape[0], resamples, seed):
        for total, matrix in zip(sums, matrices, strict=True):
            total += weights @ matrix[rows]
    return sums


def data_interval(means: Floats, level: float = LEVEL) -> tuple[Floats, Floats]:
    """Return the percentile intervals (low, high) of bootstrap means, or of paired differences.

    Parameters
    ----------
    means : ndarray, shape (resamples, …)
        One interval for each column; NaN where a column has one.
    """
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high


Series = tuple[Floats, "Floats | None"]  # of one measure: over repeats, and its bootstrap means


def compared(name: str, ours: Series, theirs: Series) -> dict[str, Series]:
    """Return a measure's difference from a reference's, NAME_delta; of a cost also as a share, NAME_change.

    Parameters
    ----------
    name : str
        Of the measure.
    ours, theirs : pair of ndarray
        Shape (repeats,), and the paired bootstrap means, shape (resamples,), or None.
    """
    drawn = None if ours[1] is None or theirs[1] is None else (ours[1], theirs[1])
    differences: dict[str, Series] = {f"{name}_delta": (ours[0] - theirs[0], drawn and drawn[0] - drawn[1])}
    if name == "cost":
        differences["cost_change"] = _change(ours[0], theirs[0]), drawn and _change(*drawn)
    return differences


def with_intervals(measures: Mapping[str, Series]) -> dict[str, float]:
    """Return the mean of each measure and its interval: NAME, NAME_low and NAME_high.

    The interval is that over samples where there are bootstrap means, else that over runs.
    """
    drawn = [means for _, means in measures.values() if means is not None]
    lows, highs = data_interval(np.stack(drawn, axis=1)) if drawn else (np.empty(0), np.empty(0))
    ends = iter(zip(lows.tolist(), highs.tolist(), strict=True))
    row: dict[str, float] = {}
    for name, (values, means) in measures.items():
        low, high = run_interval(values) if means is None else next(ends)
        row |= {name: float(values.mean()), f"{name}_low": low, f"{name}_high": high}
    return row


def _change(ours: Floats, theirs: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):  # a reference that is free has no shares
        return np.where(theirs > 0, ours / theirs - 1, np.nan)


def _exact(column: Floats) -> Floats:
    """Round numbers to multiples of a power of two so coarse that sums of resamples come out exact.

    The relative change is some 2⁻⁵², and the result no longer depends on the order in which a matrix product
    adds, which varies with the shape of the matrix: with the other policies in the call.
    """
    _, exponent = np.frexp(len(column) * np.abs(column).max(initial=0.0))
    step = np.ldexp(1.0, exponent - 52)
    exact: Floats = column / step
    np.rint(exact, out=exact)
    exact *= step
    return exact


def _weights(n: int, resamples: int, seed: int) -> Iterator[tuple[slice, Floats]]:
    """Yield how often some samples are drawn in each resample, shape (resamples, some), until the next."""
    counts = _counts(n, resamples, seed)
    weights = np.empty((resamples, min(n, _AT_A_TIME)))
    for first in range(0, n, _AT_A_TIME):
        rows = slice(first, min(first + _AT_A_TIME, n))
        some = weights[:, : rows.stop - first]
        some[:] = counts[:, rows]
        yield rows, some


@lru_cache(maxsize=2)  # every scenario of one trace has the same
def _counts(n: int, resamples: int, seed: int) -> NDArray[np.uint8]:
    """Return how often each sample is drawn in each resample, shape (resamples, n)."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(2,)))
    # a byte each: no sample of many comes 256 times (chance below 1e-500)
    counts = np.zeros((resamples, n), dtype=np.uint8)
    for row in counts:
        _count(rng.integers(n, size=n, dtype=np.int32), row)
    counts.flags.writeable = False
    return counts


@kernel
def _count(drawn, row):  # type: ignore[no-untyped-def]
    for sample in drawn:
        row[np.uintp(sample)] += 1
