"""The three figures of a replay: accuracy against cost, regret, and the layers played over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from splitee._internal.errors import InputError
from splitee._internal.files import refuse_existing
from splitee.policies.problem import Layers
from splitee.report.figures.style import (
    FAINT,
    FORMATS,
    INK,
    Labels,
    Look,
    curve_entries,
    curves,
    described,
    dress,
    footnote,
    freeze,
    looks,
    new_figure,
    paper,
    pushed_apart,
    setting,
    shown_name,
    together,
    write_figure,
)
from splitee.results.result import Result
from splitee.results.results import Results

WIDE, HIGH = 330.0, 270.0  # about the size of the plane of cost and accuracy, in points
WINDOWS = 60  # number of windows that the stream is cut into to show the layers played
REFERENCES = ("RandomSplit", "BestFixedSplit")  # drawn beside the learners' regret
_REGRETS = {
    "common": "Regret against the best split with one exit evaluated (common)",
    "own": "Regret against the best split at each policy's own cost (own, as in the paper)",
}


class At(NamedTuple):
    """Position of a policy: cost in λ per sample, and per cent with its interval."""

    cost: float
    mean: float
    low: float
    high: float


@paper
def accuracy_cost(results: Results) -> Figure:
    """Draw every policy in the plane of cost and accuracy.

    Parameters
    ----------
    results : Results

    Returns
    -------
    Figure
        Cost per sample (λ) against accuracy (%), or agreement with the last exit if there are no labels,
        with 95 % *data* intervals. Fixed exits and fixed splits are curves over layers; points far below the
        others are named at the lower edge. The artist of a policy has the policy's name as gid.
    """
    figure, unnamed = _plane(results, ())
    return _plane(results, unnamed)[0] if unnamed else figure


def _plane(results: Results, listed: Sequence[str]) -> tuple[Figure, list[str]]:
    """Draw `accuracy_cost`; also return the policies that had no room for a name, nor are in the legend.

    Policies near each other and those `listed` are named in the legend, others at their points.
    """
    table = results.summary("data").set_index("policy")
    metric = "agreement" if table["accuracy"].isna().all() else "accuracy"
    mean = 100 * table[metric]
    bounds = [
        (100 * table[f"{metric}{end}"]).fillna(mean) for end in ("_low", "_high")
    ]  # a single sample has a mean but no interval
    columns = [table["cost"], mean, *bounds]
    at = {name: At(*map(float, row)) for name, *row in zip(results, *columns, strict=True)}
    over_layers = curves(results)
    in_curves = set(chain.from_iterable(over_layers.values()))
    alone = [name for name in results if name not in in_curves]
    floor, top = _limits(at, alone or list(at))
    at |= {name: At(p.cost, p.mean, p.mean, p.mean) for name, p in at.items() if p.mean < floor}
    look = looks(results)

    spread = (max(p.cost for p in at.values()) - min(p.cost for p in at.values())) or 1.0
    places = np.array([[at[n].cost / spread * WIDE, at[n].mean / (top - floor) * HIGH] for n in alone])
    groups = [[alone[i] for i in group] for group in together(places.reshape(-1, 2), 13.0)]
    lines = len(listed) + sum(len(group) + 1 for group in groups if len(group) > 1) + 3 * len(over_layers)
    figure = new_figure(7.4, max(4.6, 0.6 + 0.19 * lines))
    axes = figure.add_subplot()
    points = {name: _point(axes, results[name], look[name], at[name], zorder=4) for name in alone}
    entries = []
    for curve, names in over_layers.items():
        style = look[names[0]]
        line = [at[name].cost for name in names], [at[name].mean for name in names]
        axes.plot(*line, ls=style.line, color=style.colour, lw=0.9, zorder=2)
        for name in names:
            _point(axes, results[name], style, at[name], zorder=3)
        entries += curve_entries(curve, [results[name] for name in names], style)
    axes.set_ylim(floor, top)
    axes.margins(x=0.06)
    axes.grid()
    unit = results.facts.get("unit")
    axes.set_xlabel(f"cost per sample ({unit})" if unit else "cost per sample: computing + offloading (λ)")
    axes.set_ylabel("accuracy (%)" if metric == "accuracy" else "agreement with the last exit (%)")
    axes.set_title(setting(results), loc="left")
    named = [points[group[0]] for group in groups if len(group) == 1 and group[0] in listed]
    for group in groups:
        if len(group) == 1:
            continue
        cost, mean = (np.mean([getattr(at[name], what) for name in group]) for what in ("cost", "mean"))
        named += [Line2D([], [], ls="", label=f"about {cost:.1f} {unit or 'λ'}, {mean:.1f} %:")]
        named += [points[name] for name in group]
    figure.legend(handles=named + entries, loc="outside right upper", labelspacing=0.7, handlelength=2.4)
    footnote(figure, results, "Bars: 95 % intervals over samples")

    freeze(figure)
    labels = Labels(axes)
    for name, point in at.items():
        labels.block(point.cost, point.mean, 0.5 * look[name].size + 0.5)
        labels.block([point.cost] * 2, [point.low, point.high], 0.6)
    for names in over_layers.values():
        labels.block([at[name].cost for name in names], [at[name].mean for name in names], 0.6)
    font: dict[str, Any] = {"fontsize": 7.5, "color": INK}
    unnamed = []
    for group in groups:
        name = group[0]
        texts = [shown_name(results[name]), name] if len(group) == 1 else [f"{len(group)} policies"]
        gap = 0.5 * max(look[one].size for one in group) + 2
        if name not in listed and not any(labels.put(text, *at[name][:2], gap, **font) for text in texts):
            unnamed += group if len(group) == 1 else []
    for curve, names in over_layers.items():
        _number(labels, curve, [results[name] for name in names], at)
    return figure, unnamed


@paper
def regret(results: Results, against: str = "common") -> Figure | None:
    """Draw the cumulative regret of the learners, of random splits and of the best split in hindsight.

    Parameters
    ----------
    results : Results
    against : {"common", "own"}
        See `Result.regret`.

    Returns
    -------
    Figure or None
        Means over orders, with a band from the 2.5 % to the 97.5 % quantile (below 20 orders: from minimum to
        maximum). None if there is no such policy.
    """
    if against not in _REGRETS:
        raise InputError(f"regret against {against!r}: choose common or own")
    shown = [r for r in results.values() if r.learns or described(r)["policy"] in REFERENCES]
    if not shown:
        return None
    look = looks(results)
    many = results.facts["repeats"] >= 20
    figure = new_figure(7.4, 4.0)
    axes = figure.add_subplot()
    greatest = 0.0
    for order, result in enumerate(shown):
        rounds, curve, style = result.curve.rounds, getattr(result.curve, against), look[result.name]
        mean = curve.mean(axis=0)
        greatest = max(greatest, mean.max() * result.learns)
        low, high = np.quantile(curve, [0.025, 0.975] if many else [0, 1], axis=0)
        axes.fill_between(rounds, low, high, color=style.colour, alpha=0.15, lw=0)
        axes.plot(
            rounds,
            mean,
            color=style.colour,
            ls=style.line,
            lw=1.6,
            marker=style.marker,
            ms=5.5,
            mec="white",
            mew=0.5,
            markevery=(0.05 + 0.02 * order, 0.2),
            gid=result.name,
            label=shown_name(result),
        )
    axes.set_xlim(0, rounds[-1])
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    if (
        0 < 3 * greatest < axes.get_ylim()[1]
    ):  # cut off the random line, so that learners stay distinguishable
        axes.set_ylim(min(axes.dataLim.y0, 0) - 0.1 * greatest, 2 * greatest)
    axes.grid()
    axes.set_xlabel("samples seen")
    axes.set_ylabel("cumulative regret (reward)")
    axes.set_title(f"{setting(results)}\n{_REGRETS[against]}", loc="left")
    band = "2.5 to 97.5 % of orders" if many else "minimum to maximum over orders"
    footnote(figure, results, f"Lines: means; bands: {band}")
    _name_lines(axes)
    freeze(figure)
    return figure


@paper
def layers_over_time(results: Results) -> Figure | None:
    """Draw which layers the learners play over the stream.

    Parameters
    ----------
    results : Results

    Returns
    -------
    Figure or None
        One panel per learner: the share of decisions, over all orders, in each of 60 windows of the stream.
        None if no policy learns or the decisions were not saved.
    """
    splits = {name: split for name, result in results.items() if (split := _choices(result)) is not None}
    if not splits:
        return None
    held = results.facts["costs"]["device_layers"] or results.facts["trace"]["layers"]
    bottom = min(1, *(split.min() for split in splits.values()))
    top = max(held, *(split.max() for split in splits.values()))
    columns = 2 if len(splits) in (2, 4) else min(len(splits), 3)
    rows = -(-len(splits) // columns)
    figure = new_figure(7.4, 1.1 + 1.6 * rows)
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axes, (name, split) in zip(panels.flat, splits.items(), strict=False):
        edges = np.linspace(0, split.shape[1], min(WINDOWS, split.shape[1]) + 1).round().astype(int)
        shares = [
            np.bincount(split[:, a:b].ravel() - bottom, minlength=top - bottom + 1) / split[:, a:b].size
            for a, b in pairwise(edges)
        ]
        layers = np.arange(bottom, top + 2) - 0.5
        # square-root scale, so that rarely played layers stay visible
        drawn = axes.pcolormesh(
            edges, layers, np.transpose(shares), cmap="Blues", norm=PowerNorm(0.5, 0, 1), rasterized=True
        )
        axes.set_gid(name)
        axes.set_title(shown_name(results[name]), fontsize=8.5)
        axes.yaxis.set_major_locator(MaxNLocator(7, integer=True))
        axes.xaxis.set_major_locator(MaxNLocator(4 if columns < 3 else 2, integer=True))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.spines[["top", "right"]].set_visible(True)
    for place, axes in enumerate(panels.flat):
        below = place + columns >= len(splits)
        axes.tick_params(labelbottom=below)
        axes.set_xlabel("samples seen" if below else "")
        if place >= len(splits):
            axes.remove()
    figure.supylabel("layer played" + (" (0: input offloaded)" if bottom == 0 else ""), fontsize=9)
    footnote(figure, results, "Share of decisions: over all orders, by window of the stream")
    figure.suptitle(setting(results), x=0.01, ha="left", fontsize=9.5)
    shown = list(panels.flat[: len(splits)])
    figure.colorbar(drawn, ax=shown, label="share of decisions", ticks=[0, 0.05, 0.25, 0.5, 1])
    freeze(figure)
    return figure


def save_figures(results: Results, folder: str | Path, overwrite: bool = True) -> list[Path]:
    """Write all figures as PNG (150 dpi) and PDF.

    Parameters
    ----------
    results : Results
    folder : str or Path
        Created if it is missing.
    overwrite : bool
        Whether existing figures may be replaced; figures that these results do not have are then removed.

    Returns
    -------
    list of Path
        The files written: ``accuracy_cost``, ``regret`` and ``layers_over_time``, as ``.png`` and ``.pdf``.

    Raises
    ------
    FileExistsError
        If one of them exists and `overwrite` is false; nothing is written then.
    """
    folder = Path(folder)
    drawings = (accuracy_cost, regret, layers_over_time)
    paths = {draw: [folder / f"{draw.__name__}.{kind}" for kind in FORMATS] for draw in drawings}
    for path in chain.from_iterable(paths.values()):
        refuse_existing(path, overwrite)
    written = []
    for draw, files in paths.items():
        figure = draw(results)
        for path in files:
            if figure is None:
                path.unlink(missing_ok=True)
            else:
                write_figure(figure, path, overwrite)
                written.append(path)
    return written


def _point(axes: Axes, result: Result, look: Look, at: At, zorder: float) -> Line2D:
    """Draw one policy with its interval; return its legend entry."""
    drawn = axes.errorbar(
        at.cost,
        at.mean,
        yerr=np.maximum([[at.mean - at.low], [at.high - at.mean]], 0),
        ls="",
        ecolor=look.colour if result.on_device else FAINT,
        elinewidth=1.1 if look.size > 4 else 0.4,
        zorder=zorder - look.size / 100,  # smaller ones on top
        **dress(result, look),
    )
    drawn[0].set_gid(result.name)
    return Line2D([], [], ls="", label=shown_name(result), **dress(result, look))


def _limits(at: Mapping[str, At], focus: Sequence[str]) -> tuple[float, float]:
    """Return accuracy limits that show the `focus` well, and other points unless they lie far below."""
    top = max(point.high for point in at.values())
    bottom = min(at[name].low for name in focus)
    near = bottom - 0.7 * max(top - bottom, 2)
    bottom = min(point.low for point in at.values() if point.low >= near)
    height = max(top - bottom, 2)
    names_below = any(point.mean < bottom for point in at.values())  # these are written at the edge
    return bottom - (0.12 if names_below else 0.06) * height, top + 0.06 * height


def _number(labels: Labels, curve: str, members: Sequence[Result], at: Mapping[str, At]) -> None:
    """Write layers beside the points of a curve where there is room, and at the edge for points below it."""
    floor = labels.axes.get_ylim()[0]
    for result in [members[-1], members[0], *members[1:-1]]:
        cost, mean, *_ = at[result.name]
        layer = f"{described(result)['layer']}"
        full = curve.replace(" i", f" {layer}")
        font: dict[str, Any] = {"fontsize": 6.5, "color": INK if result.on_device else FAINT}
        if mean < floor:
            labels.axes.plot(cost, floor, "v", ms=4, color=font["color"], clip_on=False, zorder=5)
            labels.put(f"{full}\n{mean:.0f} %", cost, floor, 4, sides=[(0, 1)], **font)
        else:
            labels.put(full if result is members[-1] else layer, cost, mean, 4, **font)


def _name_lines(axes: Axes) -> None:
    """Write each name at the right end of its line, without overlap, or where the line leaves the axes."""
    low, high = axes.get_ylim()
    data = {line: np.asarray(line.get_data(), dtype=float) for line in axes.lines}
    lines = sorted(axes.lines, key=lambda line: data[line][1, -1])
    for line in [line for line in lines if data[line][1, -1] > high]:
        lines.remove(line)
        rounds, regrets = data[line]
        text = f"{line.get_label()}: {regrets[-1]:,.0f} at the end"
        crossing = (rounds[np.argmax(regrets > high)], high)
        axes.annotate(text, crossing, (8, -3), textcoords="offset points", va="top", fontsize=8)
    ends = np.array([(data[line][1, -1] - low) / (high - low) for line in lines])
    names = [str(line.get_label()) for line in lines]
    place = pushed_apart(ends, [0.03 * (2 + a.count("\n") + b.count("\n")) for a, b in pairwise(names)])
    frame = axes.transAxes
    for line, name, end, height in zip(lines, names, ends, place, strict=True):
        axes.text(1.07, height, name, transform=frame, va="center", fontsize=8)
        axes.plot([1, 1.06], [end, height], transform=frame, color=line.get_color(), lw=1, clip_on=False)


def _choices(result: Result) -> Layers | None:
    """Return the layer at which a learner stopped per sample; None for other policies or if not saved."""
    try:
        return result.split if result.learns else None
    except InputError:
        return None
