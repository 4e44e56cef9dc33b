"""Performance against FLOPs: a panel per task, the mean over seeds, and the reference's curve."""

import numpy as np
import pytest

from splitee._internal.errors import InputError
from splitee.elue.predictions import Method, Setting
from splitee.elue.reference import Reference
from splitee.report.figures.pareto import pareto

CURVE = np.array([[1e9, 50.0], [4e9, 80.0]])
REFERENCE = Reference("R", {"sst-2": CURVE, "imdb": CURVE}, {})


def method(task, points, name="m", seed=0):
    """Return a method whose settings have these FLOPs and accuracies."""
    label = np.zeros(100, np.int64)
    settings = {
        f"s{i}": Setting((np.arange(100) >= right).astype(int), np.ones(100, int), np.full(100, flops))
        for i, (flops, right) in enumerate(points)
    }
    return Method(name, task, label, settings, {"seed": seed})


def test_a_settings_point_is_the_mean_over_seeds():
    seeds = [method("sst-2", points, seed=i) for i, points in enumerate([[(2e9, 60)], [(4e9, 80), (1e9, 9)]])]
    figure = pareto(seeds, REFERENCE)
    (panel,) = [axes for axes in figure.axes if axes.get_visible()]
    curve, points = panel.lines
    assert (points.get_xdata().tolist(), points.get_ydata().tolist()) == ([3.0], [70.0])
    assert curve.get_xdata()[[0, -1]].tolist() == [1.0, 4.0]
    assert panel.get_title(loc="left") == "sst-2"
    shown = [text.get_text() for text in figure.legends[0].get_texts()]
    assert shown == ["R (reference)", "m"]


def test_every_task_that_both_know_has_a_panel():
    methods = [
        method(task, [(2e9, 60)], name) for task, name in (("sst-2", "a"), ("imdb", "b"), ("mrpc", "c"))
    ]
    figure = pareto(methods, REFERENCE)
    assert [axes.get_title(loc="left") for axes in figure.axes if axes.get_visible()] == ["sst-2", "imdb"]
    assert [len(axes.lines) for axes in figure.axes if axes.get_visible()] == [2, 2]
    with pytest.raises(InputError, match="task"):
        pareto(methods[2:], REFERENCE)
