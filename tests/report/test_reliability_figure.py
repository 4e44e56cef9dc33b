"""Reliability: the bins by hand, and what the diagram must show."""

import matplotlib as mpl
import numpy as np
import pytest
from made_up import twelve_layers as made_up
from matplotlib.colors import to_rgba

from splitee._internal.errors import InputError
from splitee.report.figures.reliability import FEW, reliability_diagram
from splitee.report.figures.style import write_figure
from splitee.trace.reliability import reliability
from splitee.trace.temperature import calibrate


def artists(axes, gid):
    return [line for line in axes.lines if line.get_gid() == gid]


@pytest.fixture(scope="module")
def pair():
    source = made_up()
    return source, calibrate(source, source)


def test_panels_show_the_bins(pair):
    trace, calibrated = pair
    figure = reliability_diagram(trace, exits=[2, 11], calibrated=calibrated)
    uppers, strips = figure.axes[:2], figure.axes[2:]
    assert [axes.get_title(loc="left") for axes in uppers] == ["exit 2", "exit 11"]
    for axes, strip, i in zip(uppers, strips, (1, 10), strict=True):
        errors = []
        for one, gid in ((trace, "trace"), (calibrated, "calibrated")):
            bins = reliability(one.confidence[:, i], one.prediction[:, i] == one.label)
            there = bins.count > 0
            (line,) = artists(axes, gid)
            assert line.get_xdata() == pytest.approx(bins.confidence[there])
            assert line.get_ydata() == pytest.approx(bins.accuracy[there])
            errors.append(f"{bins.error:.3f}")
            heights = [patch.get_data().values for patch in strip.patches]
            assert any(np.allclose(values, bins.count / 300) for values in heights)
        assert f"ECE {errors[0]} → {errors[1]}" in [text.get_text() for text in axes.texts]
        # every mark and line is inside
        low, high = axes.get_ylim()
        for line in axes.lines[1:]:
            assert all(low < y < high for y in line.get_ydata())
        low, high = strip.get_ylim()
        assert all(low <= v <= high for patch in strip.patches for v in patch.get_data().values)


def test_calibrated_is_hollow_and_few_samples_are_small(pair):
    trace, calibrated = pair
    axes = reliability_diagram(trace, exits=[6], calibrated=calibrated).axes[0]
    marks = [line for line in axes.lines if line.get_marker() in ("o", "D")]
    for line in marks:
        assert (to_rgba(line.get_markerfacecolor()) == (1, 1, 1, 1)) == (line.get_marker() == "D")
    bins = reliability(trace.confidence[:, 5], trace.prediction[:, 5] == trace.label)
    many, few = (line for line in marks if line.get_marker() == "o")
    assert len(many.get_xdata()) == (bins.count >= FEW).sum() > 0
    assert len(few.get_xdata()) == ((bins.count < FEW) & (bins.count > 0)).sum() > 0
    assert few.get_markersize() < many.get_markersize()


def test_words_do_not_lie_on_marks(pair):
    figure = reliability_diagram(*pair[:1], calibrated=pair[1])
    figure.canvas.draw()
    for axes in figure.axes[:4]:
        (text,) = axes.texts
        box = text.get_window_extent()
        for line in axes.lines[1:]:
            points = axes.transData.transform(line.get_xydata())
            assert not any(box.contains(x, y) for x, y in points)


def test_default_exits_go_through_the_depth():
    def titles(figure):
        return [axes.get_title(loc="left") for axes in figure.axes if axes.get_title(loc="left")]

    assert titles(reliability_diagram(made_up())) == ["exit 1", "exit 4", "exit 8", "exit 12"]
    assert titles(reliability_diagram(made_up(layers=2))) == ["exit 1", "exit 2"]
    five = made_up(layers=5).replace(manifest={"exit_layers": [2, 4, 6, 8, 12]})
    figure = reliability_diagram(five, exits=range(1, 6))  # two rows
    assert titles(figure)[::4] == ["exit 1 (layer 2)", "exit 5 (layer 12)"]
    assert len(figure.axes) == 10


def test_the_title_names_the_source(pair):
    assert reliability_diagram(pair[0]).get_suptitle() == "made up"
    assert "calibrated on made up" in reliability_diagram(pair[0], calibrated=pair[1]).get_suptitle()


def test_the_same_bytes_whatever_a_user_has_set(pair, tmp_path):
    write_figure(reliability_diagram(*pair[:1]), tmp_path / "a.png", False)
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "red"}):
        write_figure(reliability_diagram(*pair[:1]), tmp_path / "b.png", False)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_one_sample_and_scores():
    assert reliability_diagram(made_up(samples=1, layers=2)).axes[0].get_xlim()[0] == 0.5
    scores = made_up(layers=2).replace(softmax=False)
    assert reliability_diagram(scores).axes[0].get_xlim()[0] == 0


def test_what_cannot_be_drawn(pair):
    trace, calibrated = pair
    for exits in ([0], [13], []):
        with pytest.raises(InputError, match="from 1 to 12"):
            reliability_diagram(trace, exits=exits)
    with pytest.raises(InputError, match="no labels"):
        reliability_diagram(trace.replace(label=None))
    for other in (calibrated.select(range(10)), calibrated.select(range(299, -1, -1))):
        with pytest.raises(InputError, match="other samples or exits"):
            reliability_diagram(trace, calibrated=other)
