"""The ELUE score: how far a method lies above a reference's performance–FLOPs curve.

The published score (Liu et al. 2022; ELUE's site) is the mean over a method's settings of its performance
minus the reference's at the same FLOPs, with the reference's curve interpolated linearly. It depends on the
settings that a method happens to report. A second score is therefore the mean over a grid of FLOPs that all
methods share. Nothing is scored outside the reference's range, and no curve is extrapolated.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from splitee._internal.errors import InputError
from splitee.elue.predictions import Method, Points
from splitee.elue.reference import Reference

if TYPE_CHECKING:
    import pandas as pd

TRACKS = (40, 55, 70, 110)  # millions of parameters (ELUE's parameter tracks)


def track(parameters: int) -> int | None:
    """Return the smallest of ELUE's parameter tracks (millions) that a model fits, or None.

    Examples
    --------
    >>> track(66_000_000)
    70
    """
    return next((limit for limit in TRACKS if parameters <= limit * 1e6), None)


def at(points: Points, flops: NDArray[np.float64]) -> NDArray[np.float64]:
    """Interpolate a curve linearly; points of equal FLOPs are averaged.

    Examples
    --------
    >>> at(np.array([[1.0, 70.0], [3.0, 80.0]]), np.array([2.0]))
    array([75.])
    """
    grid, where = np.unique(points[:, 0], return_inverse=True)
    performance = np.bincount(where, points[:, 1]) / np.bincount(where)
    return np.interp(flops, grid, performance)


def published_score(points: Points, curve: Points) -> float:
    """Return the mean difference from the reference over settings within its range; NaN if there are none.

    Examples
    --------
    >>> curve = np.array([[1.0, 70.0], [3.0, 80.0]])
    >>> published_score(np.array([[0.5, 90.0], [2.0, 76.0]]), curve)  # 0.5 lies outside
    1.0
    """
    inside = (points[:, 0] >= curve[:, 0].min()) & (points[:, 0] <= curve[:, 0].max())
    if not inside.any():
        return float("nan")
    return float((points[inside, 1] - at(curve, points[inside, 0])).mean())


def common_range(curves: Sequence[Points]) -> tuple[float, float] | None:
    """Return the range of FLOPs that all curves of two or more points share, or None."""
    wide = [points for points in curves if len(np.unique(points[:, 0])) > 1]
    low, high = max(points[0, 0] for points in wide), min(points[-1, 0] for points in wide)
    return (float(low), float(high)) if low < high else None


def score(
    methods: Sequence[Method], reference: Reference, *, grid: int = 32, draws: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """Score methods on every task that they share with the reference.

    Parameters
    ----------
    methods : sequence of Method
        Methods of one name and task with several seeds are averaged.
    reference : Reference
        The curve to compare with.
    grid : int
        Number of points of the common grid, evenly spaced over the range of FLOPs that all methods share.
    draws : int
        Resamplings of the samples for 95 % intervals, paired between methods and reference; 0 for none. Only
        performance is resampled; FLOPs are means over all samples.
    seed : int
        Seed of the resampling.

    Returns
    -------
    DataFrame
        One row per task and method: ``seeds``; ``parameters``; ``track`` (the smallest that fits, in
        millions); ``settings``, and how many are ``outside`` the reference's range; ``flops_low``,
        ``flops_high``; ``best`` (per cent); ``score``, as published, and ``grid_score``, in points, each with
        ``_low`` and ``_high``; ``score_seeds`` and ``grid_score_seeds``, standard deviations over seeds;
        ``grid_from``, ``grid_to``.

    Raises
    ------
    InputError
        If methods and reference share no task, or were scored on different samples.
    """
    import pandas as pd

    if grid < 2 or draws < 0:
        raise InputError(f"grid is {grid}, draws is {draws}: give at least 2 and 0")
    tasks = [task for task in reference.curves if any(method.task == task for method in methods)]
    if not tasks:
        raise InputError(
            f"{reference.name} has {', '.join(reference.curves)}, the methods have "
            f"{', '.join(sorted({method.task for method in methods}))}: there is no common task"
        )
    rows = []
    for task in tasks:
        mine = [method for method in methods if method.task == task]
        rows += _score_task(task, mine, reference, grid, draws, seed)
    return pd.DataFrame(rows)


def _score_task(
    task: str, methods: Sequence[Method], reference: Reference, grid: int, draws: int, seed: int
) -> list[dict[str, object]]:
    known = [*methods, *([reference.methods[task]] if task in reference.methods else [])]
    for method in known[1:]:
        if not np.array_equal(method.right, known[0].right):
            raise InputError(
                f"{task}: {method.name} and {known[0].name} were scored on different samples: use the same"
            )
    whole = reference.curve(task)
    curves = [method.points() for method in methods]
    between = common_range([whole, *curves])
    at_flops = None if between is None else np.linspace(*between, grid)

    def measures(rows: NDArray[np.int64] | None) -> NDArray[np.float64]:
        """Return both scores of each method, shape (methods, 2), for all samples or a resampling."""
        curve = reference.curve(task, rows)
        found = []
        for method in methods:
            points = method.points(rows)
            on_grid = float("nan")
            if at_flops is not None and len(np.unique(points[:, 0])) > 1:
                on_grid = float((at(points, at_flops) - at(curve, at_flops)).mean())
            found.append((published_score(points, curve), on_grid))
        return np.array(found)

    rng = np.random.default_rng(seed)
    count = len(known[0])
    drawn = np.array([measures(rng.integers(count, size=count)) for _ in range(draws)])
    whole_scores = measures(None)
    rows: list[dict[str, object]] = []
    for name in dict.fromkeys(method.name for method in methods):
        places = [i for i, method in enumerate(methods) if method.name == name]
        first, points = methods[places[0]], [curves[i] for i in places]
        size = first.parameters
        inside = (points[0][:, 0] >= whole[0, 0]) & (points[0][:, 0] <= whole[-1, 0])
        row: dict[str, object] = {
            "task": task,
            "method": name,
            "seeds": len(places),
            "parameters": size,
            "track": None if size is None else track(size),
            "settings": len(points[0]),
            "outside": int((~inside).sum()),
            "flops_low": float(np.mean([p[0, 0] for p in points])),
            "flops_high": float(np.mean([p[-1, 0] for p in points])),
            "best": float(np.mean([p[:, 1].max() for p in points])),
        }
        for column, measure in enumerate(("score", "grid_score")):
            each = whole_scores[places, column]
            row[measure] = float(each.mean())
            if draws:
                ends = np.quantile(drawn[:, places, column].mean(axis=1), (0.025, 0.975))
                row[f"{measure}_low"], row[f"{measure}_high"] = map(float, ends)
            row[f"{measure}_seeds"] = float(each.std(ddof=1)) if len(each) > 1 else float("nan")
        row["grid_from"], row["grid_to"] = between or (float("nan"), float("nan"))
        rows.append(row)
    return rows


def average(scores: pd.DataFrame) -> pd.DataFrame:
    """Average each method's scores over the tasks, for methods with all tasks (ELUE's leaderboard).

    The average is NaN if a task has no score.
    """
    tasks = scores["task"].nunique()
    parts = scores.groupby("method", sort=False)
    mean = parts[["score", "grid_score"]].mean()
    known = parts[["score", "grid_score"]].count()  # mean() skips NaN
    mean = mean.where(known.eq(parts.size(), axis=0)).reset_index()
    whole: pd.DataFrame = mean[parts["task"].nunique().reindex(mean["method"]).to_numpy() == tasks]
    return whole.assign(tasks=tasks).reset_index(drop=True)
