"""The six tasks of ELUE and what is measured on each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from splitee._internal.errors import InputError, suggest
from splitee.data import tasks

Metric = Callable[[NDArray[Any], NDArray[Any]], float]


def accuracy(prediction: ArrayLike, label: ArrayLike) -> float:
    """Share of predictions that are right; shapes (n,)."""
    return float(np.mean(np.asarray(prediction) == np.asarray(label)))


def accuracy_and_f1(prediction: ArrayLike, label: ArrayLike) -> float:
    """Mean of accuracy and the F1 of class 1 (MRPC); F1 is 0 where class 1 is never said nor right.

    Examples
    --------
    >>> accuracy_and_f1([1, 1, 0, 0], [1, 0, 0, 1])
    0.5
    """
    said, right = np.asarray(prediction) == 1, np.asarray(label) == 1
    both = said.sum() + right.sum()
    f1 = 2 * (said & right).sum() / both if both else 0.0
    return (accuracy(prediction, label) + float(f1)) / 2


def pearson_and_spearman(prediction: ArrayLike, label: ArrayLike) -> float:
    """Mean of Pearson's and Spearman's correlation (STS-B); 0 where either side does not vary.

    Examples
    --------
    >>> pearson_and_spearman([1.0, 2.0, 3.0], [2.0, 4.0, 6.0])
    1.0
    """
    from scipy.stats import rankdata

    said, score = np.asarray(prediction, dtype=np.float64), np.asarray(label, dtype=np.float64)
    return (_correlation(said, score) + _correlation(rankdata(said), rankdata(score))) / 2


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
        As ELUE's files write it, such as "sst-2".
    metric : callable
        Of predictions and labels, shape (n,) each; from 0 or -1 to 1.
    measured : str
        What the metric is called.
    data : str
        The task of `splitee.data.tasks` that is the same data.
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
        Where ELUE has none; the line names the nearest.
    """
    if name not in TASKS:
        raise InputError(f"ELUE has no task {name!r}: {suggest(name, TASKS)}")
    return TASKS[name]


def class_numbers(task: ElueTask, names: Sequence[str]) -> NDArray[np.int64]:
    """Return the number that ELUE gives each class of a model, by its name, shape (K,).

    Raises
    ------
    InputError
        Where there are more or fewer classes; or their names say nothing and the metric asks which is which.

    Examples
    --------
    >>> class_numbers(get_task("mrpc"), ["equivalent", "not_equivalent"])
    array([1, 0])
    """
    own = tasks.get_task(task.data).label_names
    if len(names) != len(own):
        raise InputError(f"{task.name} has {len(own)} classes, {', '.join(own)}, not {len(names)}")
    if set(names) == set(own):
        return np.array([own.index(name) for name in names])
    numbered = all(name in (str(i), f"LABEL_{i}") for i, name in enumerate(names))
    if task.metric is accuracy_and_f1 and not numbered:
        raise InputError(
            f"the classes are {', '.join(names)}: {task.name} is measured by the F1 of {own[1]!r}, "
            f"so they must be called {', '.join(own)}"
        )
    return np.arange(len(own))
