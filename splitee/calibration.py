"""Whether confidences can be believed."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from splitee.errors import InputError


def expected_calibration_error(confidence: ArrayLike, correct: ArrayLike, bins: int = 15) -> float:
    """Measure how far confidence and accuracy lie apart (ECE).

    The samples fall into bins of equal width, ((b-1)/B, b/B]; ECE = Σ_b (n_b / n) · |accuracy_b - mean
    confidence_b|. It is 0 where 80 of 100 answers given with confidence 0.8 are right, and so on.

    Parameters
    ----------
    confidence : array_like, shape (n,)
        In 0..1.
    correct : array_like, shape (n,)
        Whether each answer is right.
    bins : int
        B, how many bins.

    Returns
    -------
    float
        In 0..1.

    Raises
    ------
    InputError
        Where the shapes differ, nothing is given, or a confidence is outside 0..1.

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
    sure = np.asarray(confidence, dtype=np.float64)
    right = np.asarray(correct, dtype=np.float64)
    if sure.ndim != 1 or sure.shape != right.shape or not sure.size:
        raise InputError(
            f"confidence and correct must have one shape (n,), n ≥ 1, not {sure.shape}, {right.shape}"
        )
    if not ((sure >= 0) & (sure <= 1 + 1e-6)).all():  # a softmax in float32 may exceed 1 by a rounding
        raise InputError("confidence must lie in 0..1")
    if bins < 1:
        raise InputError(f"bins must be at least 1, not {bins}")
    which = np.clip(np.ceil(sure * bins).astype(np.intp) - 1, 0, bins - 1)
    gap = np.bincount(which, weights=right, minlength=bins) - np.bincount(which, weights=sure, minlength=bins)
    return float(np.abs(gap).sum() / sure.size)
