"""Calibration of confidences: reliability diagrams and the expected calibration error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from splitee._internal.errors import InputError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Reliability:
    """Samples binned by confidence over 0..1.

    Attributes
    ----------
    edges : ndarray of float, shape (bins + 1,)
        Bin b holds the confidences in (edges[b], edges[b + 1]]; bin 0 also holds confidence 0.
    confidence : ndarray of float, shape (bins,)
        Mean confidence per bin; NaN in empty bins.
    accuracy : ndarray of float, shape (bins,)
        Share of right answers per bin; NaN in empty bins.
    count : ndarray of int, shape (bins,)
        Samples per bin.
    """

    edges: Floats
    confidence: Floats
    accuracy: Floats
    count: NDArray[np.intp]

    @property
    def error(self) -> float:
        """The expected calibration error, in 0..1; see `expected_calibration_error`."""
        gap = self.count * np.abs(self.accuracy - self.confidence)
        return float(gap[self.count > 0].sum() / self.count.sum())


def reliability(confidence: ArrayLike, correct: ArrayLike, bins: int = 15) -> Reliability:
    """Compare the accuracy of answers with their confidence, bin by bin.

    Parameters
    ----------
    confidence : array_like, shape (n,)
        In 0..1.
    correct : array_like, shape (n,)
        Whether each answer is right.
    bins : int
        Number of bins of equal width over 0..1.

    Returns
    -------
    Reliability

    Raises
    ------
    InputError
        If the shapes differ, the arrays are empty, or a confidence is outside 0..1.

    References
    ----------
    DeGroot, Fienberg (1983). The Comparison and Evaluation of Forecasters. The Statistician.

    Examples
    --------
    >>> found = reliability([0.6, 0.8, 1.0], [False, True, True], bins=2)
    >>> found.count.tolist(), [round(float(v), 3) for v in (found.confidence[1], found.accuracy[1])]
    ([0, 3], [0.8, 0.667])
    """
    sure = np.asarray(confidence, dtype=np.float64)
    right = np.asarray(correct, dtype=np.float64)
    if sure.ndim != 1 or sure.shape != right.shape or not sure.size:
        raise InputError(
            f"confidence and correct must have one shape (n,), n ≥ 1, not {sure.shape}, {right.shape}"
        )
    if not ((sure >= 0) & (sure <= 1 + 1e-6)).all():  # rounding may put a float32 softmax above 1
        raise InputError("confidence must lie in 0..1")
    if bins < 1:
        raise InputError(f"bins must be at least 1, not {bins}")
    which = np.clip(np.ceil(sure * bins).astype(np.intp) - 1, 0, bins - 1)
    count = np.bincount(which, minlength=bins)
    with np.errstate(invalid="ignore"):  # 0 / 0 is the NaN of an empty bin
        means = [np.bincount(which, values, minlength=bins) / count for values in (sure, right)]
    return Reliability(np.linspace(0, 1, bins + 1), means[0], means[1], count)


def expected_calibration_error(confidence: ArrayLike, correct: ArrayLike, bins: int = 15) -> float:
    """Compute the expected calibration error (ECE).

    Samples are binned by confidence into B bins of equal width, ((b-1)/B, b/B]. Then
    ECE = Σ_b (n_b / n) · |accuracy_b - mean confidence_b|. It is 0 if, for instance, 80 of 100 answers given
    with confidence 0.8 are right.

    Parameters
    ----------
    confidence : array_like, shape (n,)
        In 0..1.
    correct : array_like, shape (n,)
        Whether each answer is right.
    bins : int
        Number of bins B.

    Returns
    -------
    float
        In 0..1.

    Raises
    ------
    InputError
        If the shapes differ, nothing is given, or a confidence is outside 0..1.

    References
    ----------
    Guo, Pleiss, Sun, Weinberger (2017). On Calibration of Modern Neural Networks. ICML.

    Examples
    --------
    >>> round(expected_calibration_error([0.75, 0.75, 0.75, 0.75], [True, True, True, False]), 3)
    0.0
    >>> round(expected_calibration_error([0.9, 0.9], [True, False]), 3)
    0.4
    """
    return reliability(confidence, correct, bins).error
