"""The figures of a plan (`splitee.report.figures.plan`) have plain ticks and name the answer."""

from matplotlib.figure import Figure

import splitee
from splitee.report.figures.plan import frontier, latencies, over_time
from splitee.report.planning import Limits, plan


def test_figures_name_the_answer_and_have_plain_ticks() -> None:
    trace = splitee.load_trace("rte_validation")
    link = splitee.Link(time_s=[0, 5, 9], mbit_s=[2.0, 0.1, 4.0], rtt=200, name="tunnel")
    system = splitee.System(splitee.DeviceProfile(15, 1), link, arrivals="2/s", device_layers=6)
    limits = Limits(30.0, max_p95=900.0)
    found = plan(trace, system, limits)
    assert found.answer is not None
    label = found.answer.policy.label
    drawn = frontier(found, limits), latencies(found, trace, system, 0), over_time(found, trace, system, 0)
    for figure in drawn:
        assert isinstance(figure, Figure)
        figure.canvas.draw()
        texts = [
            t.get_text() for axes in figure.axes for t in axes.get_xticklabels() + axes.get_yticklabels()
        ]
        assert not any("$" in text for text in texts)
    for figure in drawn[:2]:
        legend = figure.axes[0].get_legend()
        assert legend is not None
        assert any(label in text.get_text() for text in legend.get_texts())
    assert drawn[2].axes[0].get_title(loc="left").endswith("on tunnel")
