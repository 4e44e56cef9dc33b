"""The six tasks of ELUE and their metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from splitee._internal.errors import InputError, suggest
from splitee.data import tasks
from splitee.data.elue_files import elue_names

Metric = Callable[[NDArray[Any], NDArray[Any]], float]


def accuracy(prediction: ArrayLike, label: ArrayLike) -> float:
    """Return the share of predictions that are right; shapes (n,)."""
    return float(np.mean(np.asarray(prediction) == np.asarray(label)))


def accuracy_and_f1(prediction: ArrayLike, label: ArrayLike) -> float:
    """Return the mean of accuracy and the F1 of class 1 (MRPC); F1 is 0 if class 1 never occurs.

    Examples
    --------
    >>> accuracy_and_f1([1, 1, 0, 0], [1, 0, 0, 1])
    0.5
    """
    predicted, right = np.asarray(prediction) == 1, np.asarray(label) == 1
    both = predicted.sum() + right.sum()
    f1 = 2 * (predicted & right).sum() / both if both else 0.0
    return (accuracy(prediction, label) + float(f1)) / 2


def pearson_and_spearman(prediction: ArrayLike, label: ArrayLike) -> float:
    """Return the mean of Pearson's and Spearman's correlation (STS-B); 0 if either side is constant.

    Examples
    --------
    >>> pearson_and_spearman([1.0, 2.0, 3.0], [2.0, 4.0, 6.0])
    1.0
    """
    from scipy.stats import rankdata

    predicted, score = np.asarray(prediction, dtype=np.float64), np.asarray(label, dtype=np.float64)
    return (_correlation(predicted, score) + _correlation(rankdata(predicted), rankdata(score))) / 2


def _correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / scale if scale else 0.0


@dataclass(frozen=True)
class ElueTask:
    """A task of ELUE.

    Attributes
    ----------
    name : str
        The name in ELUE's files, such as "sst-2".
    metric : callable
        Of predictions and labels, shape (n,) each; at most 1.
    measured : str
        The name of the metric.
    data : str
        The name of the data in `splitee.data.tasks`.
    """

    name: str
    metric: Metric
    measured: str
    data: str

    @property
    def regression(self) -> bool:
        """Whether predictions are scores."""
        return tasks.get_task(self.data).score_range is not None


TASKS: dict[str, ElueTask] = {
    task.name: task
    for task in (
        ElueTask("sst-2", accuracy, "accuracy", "sst2_sentences"),
        ElueTask("imdb", accuracy, "accuracy", "imdb"),
        ElueTask("mrpc", accuracy_and_f1, "mean of accuracy and F1", "mrpc"),
        ElueTask("sts-b", pearson_and_spearman, "mean of Pearson's and Spearman's correlation", "stsb"),
        ElueTask("snli", accuracy, "accuracy", "snli"),
        ElueTask("scitail", accuracy, "accuracy", "scitail"),
    )
}


def get_task(name: str) -> ElueTask:
    """Return the task called `name`.

    Raises
    ------
    InputError
        If ELUE has no such task; the message suggests the closest name.
    """
    if name not in TASKS:
        raise InputError(f"ELUE has no task {name!r}: {suggest(name, TASKS)}")
    return TASKS[name]


def source_names(task: ElueTask, names: Sequence[str]) -> Mapping[str, str]:
    """Return a model's name of each class of the task, if the model was trained on the task's source domain.

    Examples
    --------
    >>> source_names(get_task("scitail"), ["entailment", "not_entailment"])["entails"]
    'entailment'
    """
    pair = tasks.PAIRS.get(task.data)
    return pair.label_map if pair is not None and set(pair.label_map.values()) == set(names) else {}


def class_numbers(task: ElueTask, names: Sequence[str]) -> NDArray[np.int64]:
    """Return ELUE's number of each class of a model, shape (K,).

    Raises
    ------
    InputError
        If the number of classes differs, or the names are unknown. Names that are numbers are ELUE's.

    Examples
    --------
    >>> class_numbers(get_task("mrpc"), ["equivalent", "not_equivalent"])
    array([1, 0])
    >>> class_numbers(get_task("scitail"), ["entails", "neutral"])
    array([1, 0])
    """
    expected = elue_names(task.data, tasks.get_task(task.data).label_names)
    if theirs := {source: name for name, source in source_names(task, names).items()}:
        names = [theirs[name] for name in names]
    if len(names) != len(expected):
        raise InputError(f"{task.name} has {len(expected)} classes, {', '.join(expected)}, not {len(names)}")
    if set(names) == set(expected):
        return np.array([expected.index(name) for name in names])
    if not all(name in (str(i), f"LABEL_{i}") for i, name in enumerate(names)):
        raise InputError(
            f"the classes are {', '.join(names)}, so their numbers in {task.name} are unknown: "
            f"name them {', '.join(expected)}"
        )
    return np.arange(len(expected))
