"""Performance against FLOPs: the settings of each method, and the curve of the reference."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from splitee._internal.errors import InputError
from splitee.elue.metrics import get_task
from splitee.elue.predictions import Method, Points
from splitee.elue.reference import Reference
from splitee.elue.score import at
from splitee.report.figures.style import FAINT, INK, LOOKS, freeze, new_figure, paper

COLUMNS = 3


@paper
def pareto(methods: Sequence[Method], reference: Reference) -> Figure:
    """Draw one panel per task: FLOPs (logarithmic) against performance, with the reference's curve.

    For methods with several seeds, a setting's point is the mean over them.

    Raises
    ------
    InputError
        If the methods and the reference have no task in common.
    """
    tasks = [task for task in reference.curves if any(method.task == task for method in methods)]
    if not tasks:
        raise InputError("pareto: methods and reference have no common task")
    names = list(dict.fromkeys(method.name for method in methods if method.task in tasks))
    columns = min(COLUMNS, len(tasks))
    rows = -(-len(tasks) // columns)
    figure = new_figure(max(5.6, 1.0 + 3.1 * columns), 1.1 + 0.17 * -(-len(names) // 3) + 2.7 * rows)
    panels = figure.subplots(rows, columns, squeeze=False)
    for axes in panels.flat[len(tasks) :]:
        axes.set_visible(False)
    entries = {}
    for axes, task in zip(panels.flat, tasks, strict=False):
        curve = reference.curves[task]
        between = np.union1d(np.linspace(curve[0, 0], curve[-1, 0], 200), curve[:, 0])
        entries[f"{reference.name} (reference)"] = axes.plot(
            between / 1e9, at(curve, between), color=INK, lw=2.2, alpha=0.55,
            marker="s", ms=4, markevery=np.searchsorted(between, curve[:, 0]).tolist(), zorder=2,
        )[0]  # fmt: skip
        for k, name in enumerate(names):
            seeds = [method for method in methods if method.name == name and method.task == task]
            if not seeds:
                continue
            look = LOOKS[k % len(LOOKS)]
            points = _mean_points(seeds)
            entries[name] = axes.plot(
                points[:, 0] / 1e9, points[:, 1], color=look.colour, ls=look.line, lw=1.1,
                marker=look.marker, ms=4.5, mec="white", mew=0.4, zorder=3,
            )[0]  # fmt: skip
        axes.set_xscale("log")
        axes.set_title(task, loc="left")
        axes.grid(True)
        ticks = [t for t in (0.03, 0.1, 0.3, 1, 3, 10, 30) if axes.get_xlim()[0] <= t <= axes.get_xlim()[1]]
        axes.set_xticks(ticks, [f"{t:g}" for t in ticks])
        axes.set_xticks([], minor=True)
        axes.set_ylabel(f"{_short(get_task(task).measured)}, %")
    for column in panels.T:  # under the lowest visible panel
        [axes for axes in column if axes.get_visible()][-1].set_xlabel("GFLOPs per sample")
    figure.legend(entries.values(), entries.keys(), loc="outside upper left", ncols=min(3, len(entries)))
    figure.supxlabel(
        "Matrix products at true lengths, means over samples; includes all exits evaluated.",
        x=0.01, ha="left", fontsize=7, color=FAINT,
    )  # fmt: skip
    freeze(figure)
    return figure


def _mean_points(seeds: Sequence[Method]) -> Points:
    """Return mean (FLOPs, performance) over the seeds, for the settings that all of them have."""
    common = [name for name in seeds[0].settings if all(name in method.settings for method in seeds)]
    each = [
        [
            (one.flops.mean(), 100 * method.about.metric(one.prediction, method.label))
            for one in map(method.settings.__getitem__, common)
        ]
        for method in seeds
    ]
    points: Points = np.mean(np.array(each).reshape(len(seeds), len(common), 2), axis=0)
    return points[np.argsort(points[:, 0])]


def _short(measured: str) -> str:
    return {"mean of accuracy and F1": "accuracy and F1", "accuracy": "accuracy"}.get(measured, "correlation")
