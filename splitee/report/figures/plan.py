"""Figures of a plan: drop against p95 with the frontier, latencies, and the link over time."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from numpy.typing import NDArray

from splitee.policies.problem import Floats, frozen
from splitee.report.figures.style import FAINT, INK, LOOKS, new_figure, paper, png
from splitee.report.planning import Judged, Limits, Plan, halves, measured
from splitee.system.system import System
from splitee.trace import Trace

_PLAIN = FuncFormatter(lambda value, _: f"{value:g}")
MOST = 5  # rules whose latencies are drawn
_SECONDS = 600  # of the link that are drawn, at most


def plan_figures(found: Plan, trace: Trace, system: System, limits: Limits, seed: int) -> dict[str, bytes]:
    """Return the figures of a plan as PNG, by the name of their file."""
    drawn = {"frontier.png": frontier(found, limits), "latencies.png": latencies(found, trace, system, seed)}
    if not system.link.constant:
        drawn["link.png"] = over_time(found, trace, system, seed)
    return {name: png(figure) for name, figure in drawn.items()}


@paper
def frontier(found: Plan, limits: Limits) -> Figure:
    """Draw points lost against p95 of every rule; those that no other beats are joined."""
    figure = new_figure(6.4, 4.2)
    axes = figure.add_subplot()
    every = np.array([[one.judged_on.latency_p95, one.judged_on.drop] for one in found.every])
    axes.plot(*every.T, ".", color="#c8c8c8", ms=3, label="all rules")
    best = every[np.lexsort((every[:, 1], every[:, 0]))]
    best = best[best[:, 1] < np.append(np.inf, np.minimum.accumulate(best[:, 1])[:-1])]
    axes.step(*best.T, where="post", color=LOOKS[0].colour, lw=1.2, label="frontier")
    if found.answer is not None:
        row = found.answer.judged_on
        axes.plot(
            row.latency_p95,
            row.drop,
            "*",
            color=LOOKS[1].colour,
            ms=13,
            label=f"answer: {_name(found.answer)}",
        )
    axes.axhline(limits.max_drop, color=FAINT, lw=0.8, ls="--", label="limits")
    if limits.max_p95 is not None:
        axes.axvline(limits.max_p95, color=FAINT, lw=0.8, ls="--")
    _log(axes, "x")
    axes.set_yscale("symlog", linthresh=1.0)
    axes.yaxis.set_major_formatter(_PLAIN)
    axes.set_xlabel("p95 of the latency, ms")
    axes.set_ylabel("points lost against the last exit")
    axes.legend(loc="best")
    axes.grid(True)
    return figure


@paper
def latencies(found: Plan, trace: Trace, system: System, seed: int) -> Figure:
    """Draw which share of the samples is answered within how many ms, for some rules of the table."""
    figure = new_figure(6.4, 3.8)
    axes = figure.add_subplot()
    for look, one in zip(LOOKS, _some(found), strict=False):
        _, latency, _ = _measured(one, trace, system, seed)
        ordered = np.sort(latency)
        share = np.arange(1, len(ordered) + 1) / len(ordered)
        answer = one is found.answer
        axes.step(
            ordered, share, where="post", color=look.colour, ls=look.line, lw=2.0 if answer else 1.1,
            label=_name(one) + (" (answer)" if answer else ""),
        )  # fmt: skip
    _log(axes, "x")
    axes.set_xlabel("latency, ms")
    axes.set_ylabel("share of samples")
    axes.axhline(0.95, color=FAINT, lw=0.8, ls="--")
    axes.legend(loc="lower right")
    axes.grid(True)
    return figure


@paper
def over_time(found: Plan, trace: Trace, system: System, seed: int) -> Figure:
    """Draw the rate of the link and the latency of the answer over time."""
    figure = new_figure(6.4, 4.4)
    above, below = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [1, 1.6]})
    one = found.answer or found.table[0]
    start, latency, cloud = _measured(one, trace, system, seed)
    end = min(_SECONDS, float(start[-1]))
    edges, rates = system.link.edges_ms / 1e3, system.link.bits_per_ms / 1e3
    times = int(np.ceil(end / edges[-1])) + 1
    at = np.concatenate([edges[:-1] + edges[-1] * k for k in range(times)])
    above.step(at, np.tile(rates, times), where="post", color=INK, lw=0.9)
    above.set_ylabel("Mbit/s")
    above.set_ylim(bottom=0)
    _dots(below, start[~cloud], latency[~cloud], LOOKS[2].colour, "answered on the device")
    _dots(below, start[cloud], latency[cloud], LOOKS[0].colour, "answered by the cloud")
    _log(below, "y")
    below.set_xlim(0, end)
    below.set_xlabel("time, s")
    below.set_ylabel("latency, ms")
    below.legend(loc="upper right")
    above.set_title(f"{_name(one)} on {system.link.name or 'the link'}", loc="left")
    return figure


def _log(axes: Axes, which: str) -> None:
    """Make an axis logarithmic, with plain numbers at its ticks."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    low, high = sorted(axes.dataLim.intervalx if which == "x" else axes.dataLim.intervaly)
    narrow = high < 300 * max(low, 1e-9)
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if narrow else (1,)))
    axis.set_major_formatter(_PLAIN)
    axis.set_minor_formatter(NullFormatter())


def _dots(axes: Axes, x: Floats, y: Floats, colour: str, label: str) -> None:
    axes.plot(x, y, ".", color=colour, ms=2.5, alpha=0.6, label=label)


def _some(found: Plan) -> list[Judged]:
    """Return the answer and some other rules of the table."""
    places = np.unique(np.linspace(0, len(found.table) - 1, MOST).round().astype(int))
    kept = [found.table[place] for place in places]
    if found.answer is not None and found.answer not in kept:
        kept[len(kept) // 2] = found.answer
    return kept


def _measured(
    one: Judged, trace: Trace, system: System, seed: int
) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Return when each sample arrived (s), its latency (ms), and whether the cloud answered."""
    on = system.on(trace)
    order = frozen(np.random.default_rng(seed).permutation(halves(trace.samples)[1])[:, None])
    played = measured(one.policy, on, order, seed)
    assert played.measured is not None
    latency = played.measured[0, :, 0]
    arrival = on.world_of(len(order), 0, 1, seed).arrival
    arrived = arrival[:, 0] if len(arrival) else np.append(0.0, np.cumsum(latency)[:-1])
    return arrived / 1e3, latency, played.actions.offloaded[played.action[:, 0]]


def _name(one: Judged) -> str:
    alpha = getattr(one.policy, "threshold", None)
    return one.policy.label + ("" if alpha is None else f", α = {alpha:g}")
