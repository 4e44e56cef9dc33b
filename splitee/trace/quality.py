"""How good confidences and answers are: AUROC, macro-F1 and balanced accuracy."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from splitee._internal.errors import InputError

Floats = NDArray[np.float64]


def auroc(score: ArrayLike, truth: ArrayLike) -> float:
    """Return the area under the ROC curve: how well a score tells true samples from false ones.

    It is the probability that a random true sample has a greater score than a random false one, ties counting
    half: 1 if the score separates them, 0.5 if it says nothing. For early exit, `score` is the confidence of
    an exit, and `truth` whether its answer is right, or the same as the last exit's.

    Parameters
    ----------
    score : array_like, shape (n,)
    truth : array_like of bool, shape (n,)

    Returns
    -------
    float
        NaN if all samples are true, or all are false.

    Raises
    ------
    InputError
        If the shapes differ, or nothing is given.

    References
    ----------
    Hanley, McNeil (1982): The Meaning and Use of the Area under a ROC Curve. Radiology 143.

    Examples
    --------
    >>> auroc([0.9, 0.8, 0.6, 0.6], [True, True, True, False])
    0.8333333333333334
    """
    scores, true = np.asarray(score, dtype=np.float64), np.asarray(truth, dtype=bool)
    _check(scores, true, "score", "truth")
    lower = np.sort(scores[~true])
    if not 0 < len(lower) < len(scores):
        return float("nan")
    below = np.searchsorted(lower, scores[true], "left") + np.searchsorted(lower, scores[true], "right")
    return float(below.mean() / (2 * len(lower)))


def macro_f1(prediction: ArrayLike, label: ArrayLike) -> float:
    """Return the mean of the F1 scores of the classes that occur among predictions or labels.

    F1 of a class is 2·TP / (predicted + labelled), TP being its samples that are answered right.

    Parameters
    ----------
    prediction, label : array_like of int, shape (n,)
        Classes from 0.

    Examples
    --------
    >>> macro_f1([0, 0, 1, 1], [0, 0, 0, 1])
    0.7333333333333334
    """
    hit, predicted, labelled = _by_class(prediction, label)
    return float(f1_by_class(hit, predicted, labelled)[predicted + labelled > 0].mean())


def balanced_accuracy(prediction: ArrayLike, label: ArrayLike) -> float:
    """Return the mean recall of the classes that occur among labels.

    Parameters
    ----------
    prediction, label : array_like of int, shape (n,)
        Classes from 0.

    Examples
    --------
    >>> balanced_accuracy([0, 0, 1, 1], [0, 0, 0, 1])
    0.8333333333333333
    """
    hit, _, labelled = _by_class(prediction, label)
    return float((hit[labelled > 0] / labelled[labelled > 0]).mean())


def f1_by_class(hit: Floats, predicted: Floats, labelled: Floats) -> Floats:
    """Return F1 from counts of right answers, answers and labels by class; NaN for a class without any."""
    with np.errstate(invalid="ignore"):
        f1: Floats = 2 * hit / (predicted + labelled)
    return f1


def _by_class(prediction: ArrayLike, label: ArrayLike) -> tuple[Floats, Floats, Floats]:
    """Return the numbers of right answers, answers and labels of each class, shape (K,) each."""
    answers, labels = np.asarray(prediction), np.asarray(label)
    _check(answers, labels, "prediction", "label")
    classes = int(max(answers.max(), labels.max())) + 1
    hit, predicted, labelled = (
        np.bincount(some, minlength=classes).astype(np.float64)
        for some in (labels[answers == labels], answers, labels)
    )
    return hit, predicted, labelled


def _check(ours: NDArray[np.generic], theirs: NDArray[np.generic], name: str, other: str) -> None:
    if ours.ndim != 1 or ours.shape != theirs.shape or not ours.size:
        raise InputError(
            f"{name} and {other} must have one shape (n,), n ≥ 1, not {ours.shape}, {theirs.shape}"
        )
