"""The figures of the evaluation, as PDF and PNG, each policy with one colour, marker and line everywhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scenarios import EXPLORATIONS, PAPER_OFFLOAD, Pair
from tables import NAMES

from splitee.report.figures.phase_map import phase_map_figure
from splitee.report.figures.reliability import reliability_diagram
from splitee.report.figures.style import FAINT, FORMATS, INK, Look, freeze, new_figure, paper, write_figure
from splitee.trace.temperature import calibrate

LOOKS = {
    "SplitEE": Look("#0072B2", "o", 6),
    "SplitEE-S (causal)": Look("#D55E00", "^", 6, (0, (5, 1.5))),
    "SplitEE-S (published)": Look("#E69F00", "v", 4.5, (0, (5, 1.5, 1, 1.5))),
    "UCB-tuned": Look("#56B4E9", "s", 4, (0, (8, 2))),
    "Thompson": Look("#009E73", "D", 4.5, (0, (1, 1))),
    "explore-then-commit 200": Look("#882255", "p", 4.5, (0, (2, 2))),
    "source split": Look("#7F3C8D", "<", 4, (0, (3, 1, 1, 1))),
    "random": Look("#9a9a9a", "X", 4.5, (0, (1, 2))),
    "cloud-only": Look(INK, "s", 4),
    "final-exit": Look(INK, "P", 5),
    "ElasticBERT": Look("#6b6b6b", "h", 5, (0, (4, 2))),
    "DeeBERT": Look("#8c8c8c", "H", 4, (0, (4, 2))),
    "PABEE": Look("#b0b0b0", "d", 4.5, (0, (4, 2))),
    "cascade split 6": Look("#4d4d4d", ">", 4, (0, (6, 1.5, 1, 1.5))),
    "best split (hindsight)": Look(INK, "*", 6.5, (0, (6, 3))),
}


def write_figures(
    tables: dict[str, pd.DataFrame], names: list[str], out: Path, part: int = 0, parts: int = 1
) -> None:
    """Write every figure below `out`, or every so-manieth of them."""
    curves = tables["curves"]
    drawn: dict[str, Callable[[], Figure]] = {
        "offload": lambda: offload(curves, names, half=False),
        "offload_half": lambda: offload(curves, names, half=True),
        "thresholds": lambda: thresholds(tables["thresholds"], names),
        "regret_first": lambda: regret(tables["regrets"], names, "first 2,000"),
        "regret_whole": lambda: regret(tables["regrets"], names, "whole"),
        "exploration": lambda: exploration(tables["explorations"], names),
        "counts": lambda: counts(curves, names),
        "phase_map": lambda: phases(tables["phases"], names),
    }
    drawn |= {f"phase_map_{name}": lambda name=name: phases(tables["phases"], [name]) for name in names}
    drawn |= {f"reliability_{name}": lambda name=name: reliability(Pair(name)) for name in names}
    for name, draw in list(drawn.items())[part::parts]:
        figure = draw()
        for kind in FORMATS:
            write_figure(figure, out / "figures" / f"{name}.{kind}", overwrite=True)


def line(axes: Axes, x: np.ndarray, y: np.ndarray, policy: str) -> None:
    look = LOOKS[policy]
    axes.plot(
        x, y, color=look.colour, ls=look.line, lw=1.2, marker=look.marker, ms=look.size, mec="white", mew=0.5
    )


def legend(figure: Figure, policies: list[str]) -> None:
    entries = [
        Line2D(
            [],
            [],
            color=LOOKS[p].colour,
            ls=LOOKS[p].line,
            lw=1.2,
            marker=LOOKS[p].marker,
            ms=LOOKS[p].size,
            label=p,
        )
        for p in policies
    ]
    figure.legend(handles=entries, loc="outside upper left", ncols=4, handlelength=3)


def foot(figure: Figure, text: str) -> None:
    figure.supxlabel(text, x=0.01, ha="left", fontsize=7, color=FAINT)


@paper
def offload(curves: pd.DataFrame, names: list[str], half: bool) -> Figure:
    """Accuracy and cost against o."""
    policies = list(LOOKS)
    figure = new_figure(8.2, 1.2 + 2.0 * len(names))
    panels = figure.subplots(len(names), 2, sharex=True, squeeze=False)
    for (left, right), name in zip(panels, names, strict=True):
        mine = curves[curves["pair"] == name]
        device = mine["device_layers"].min() if half else mine["device_layers"].max()
        mine = mine[mine["device_layers"] == device].set_index("policy")
        final = mine.loc["final-exit"].sort_values("offload")["accuracy"].iloc[0]
        for policy in policies:
            one = mine.loc[policy].sort_values("offload")
            if not one["on_device"].all() and policy != "final-exit":
                continue
            line(left, one["offload"], 100 * (one["accuracy"] - final), policy)
            line(right, one["offload"], one["cost"], policy)
        low, high = left.get_ylim()
        left.set_ylim(max(-3.2, min(low, -0.6)), max(0.3, high))
        right.set_ylim(0, 16)
        left.set_title(f"{NAMES[name]} (final exit {100 * final:.1f} %)", loc="left")
        left.set_ylabel("Δ accuracy (points)")
        right.set_ylabel("cost (λ a sample)")
        for axes in (left, right):
            axes.set_xscale("log")
            axes.grid()
    ticks = [1, 2, 3, 5, 8, 12, 20, 36]
    for axes in panels[-1]:
        axes.set_xticks(ticks, [f"{o:g}" for o in ticks])
        axes.set_xticks([], minor=True)
        axes.set_xlabel("o, price of sending (λ)")
    legend(figure, policies)
    held = "half of the layers" if half else "all layers"
    foot(
        figure,
        f"The device holds {held}. Each at α of the trace, μ = 0.1; means of 20 orders. Costs above 16 λ and what loses "
        "far more accuracy are cut off.",
    )
    freeze(figure)
    return figure


@paper
def thresholds(table: pd.DataFrame, names: list[str]) -> Figure:
    """Accuracy and cost against α."""
    policies = ["SplitEE", "SplitEE-S (causal)", "ElasticBERT", "cascade split 6", "best split (hindsight)"]
    figure = new_figure(max(7.4, 2.0 * len(names) + 0.9), 4.3)
    panels = figure.subplots(2, len(names), sharex=True, sharey="row", squeeze=False)
    for column, name in zip(panels.T, names, strict=True):
        mine = table[table["pair"] == name].copy()
        mine["policy"] = mine["policy"].replace(
            {p: "ElasticBERT" for p in mine["policy"] if p.startswith("Elastic")}
        )
        for policy in policies:
            one = mine[mine["policy"] == policy].sort_values("threshold")
            line(column[0], one["threshold"], 100 * one["accuracy_delta"], policy)
            line(column[1], one["threshold"], one["cost"], policy)
        column[0].set_title(NAMES[name], loc="left")
        column[1].set_xlabel("α")
        for axes in column:
            axes.grid()
    panels[0, 0].set_ylabel("Δ accuracy (points)")
    panels[1, 0].set_ylabel("cost (λ a sample)")
    legend(figure, policies)
    foot(
        figure,
        f"o = {PAPER_OFFLOAD:g} λ, all layers on the device, means of 20 orders. Δ against final-exit.",
    )
    freeze(figure)
    return figure


@paper
def regret(table: pd.DataFrame, names: list[str], part: str) -> Figure:
    """Cumulative regret, common above and own below."""
    policies = [p for p in LOOKS if p in set(table["policy"]) and p not in ("final-exit", "cloud-only")]
    figure = new_figure(max(7.4, 2.0 * len(names) + 0.9), 4.6)
    panels = figure.subplots(2, len(names), sharex="col", squeeze=False)
    for column, name in zip(panels.T, names, strict=True):
        for axes, against in zip(column, ("common", "own"), strict=True):
            mine = table[(table["pair"] == name) & (table["against"] == against) & (table["part"] == part)]
            top = 0.0
            for policy in policies:
                one = mine[mine["policy"] == policy]
                look = LOOKS[policy]
                axes.fill_between(one["t"], one["low"], one["high"], color=look.colour, alpha=0.15, lw=0)
                axes.plot(one["t"], one["regret"], color=look.colour, ls=look.line, lw=1.3)
                if policy != "random":
                    top = max(top, one["high"].max())
            axes.set_ylim(-0.03 * top, 1.1 * top)
            axes.set_xlim(0, mine["t"].max())
            axes.grid()
        column[0].set_title(NAMES[name], loc="left")
        column[1].set_xlabel("samples seen")
        column[1].xaxis.get_major_locator().set_params(nbins=3)
    panels[0, 0].set_ylabel("common regret")
    panels[1, 0].set_ylabel("own regret")
    legend(figure, policies)
    foot(
        figure,
        f"o = {PAPER_OFFLOAD:g} λ, all layers on the device. Means of 20 orders, bands 2.5 to 97.5 % of orders. Common: "
        "against the best split with one exit evaluated;\nown: against the best at the policy's own price, as in the paper "
        "(own regrets of SplitEE and SplitEE-S, whose prices differ, cannot be compared).",
    )
    freeze(figure)
    return figure


@paper
def exploration(table: pd.DataFrame, names: list[str]) -> Figure:
    """Mean and worst repeat against β."""
    figure = new_figure(max(7.4, 2.0 * len(names) + 0.9), 4.3)
    panels = figure.subplots(2, len(names), sharex=True, squeeze=False)
    for column, name in zip(panels.T, names, strict=True):
        mine = table[table["pair"] == name]
        settings = mine.groupby(["offload", "device_layers"], sort=False)
        for axes, ((price, device), some) in zip(column, settings, strict=True):
            for policy in ("SplitEE", "SplitEE-S (causal)"):
                one, look = some[some["policy"] == policy], LOOKS[policy]
                axes.fill_between(
                    one["exploration"], one["regret_own"], one["worst"], color=look.colour, alpha=0.15, lw=0
                )
                line(axes, one["exploration"], one["regret_own"], policy)
                axes.plot(one["exploration"], one["worst"], color=look.colour, lw=0.8, ls=look.line)
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
            axes.grid()
            axes.set_title(f"{NAMES[name]}: o = {price:g}, {device} layers", loc="left", fontsize=8)
        column[1].set_xlabel("β")
        column[1].set_xticks(EXPLORATIONS[::3])
    for axes in panels[:, 0]:
        axes.set_ylabel("own regret at the end")
    legend(figure, ["SplitEE", "SplitEE-S (causal)"])
    foot(
        figure,
        "Markers: mean of 20 orders; thin line: the worst of them. Each algorithm's regret is at its own price: read "
        "each along β, not one against the other.",
    )
    freeze(figure)
    return figure


@paper
def counts(curves: pd.DataFrame, names: list[str]) -> Figure:
    """Share answered on the device and offloaded."""
    policies = ["SplitEE", "SplitEE-S (causal)", "SplitEE-S (published)", "Thompson", "random"]
    figure = new_figure(8.2, 3.0)
    panels = figure.subplots(1, 2, sharey=True)
    for axes, half in zip(panels, (False, True), strict=True):
        for k, policy in enumerate(policies):
            at = curves[(curves["offload"] == PAPER_OFFLOAD) & (curves["policy"] == policy)]
            rates = [
                at[at["pair"] == name].sort_values("device_layers")["offload_rate"].iloc[0 if half else -1]
                for name in names
            ]
            x = np.arange(len(names)) + 0.16 * (k - 2)
            stays = 100 * (1 - np.array(rates))
            axes.bar(x, stays, 0.14, color=LOOKS[policy].colour, ec=INK, lw=0.4, label=policy)
            axes.bar(x, 100 - stays, 0.14, bottom=stays, color="white", ec=INK, lw=0.4)
        axes.set_xticks(range(len(names)), [NAMES[name] for name in names])
        axes.set_title("half of the layers on the device" if half else "all layers on the device", loc="left")
    panels[0].set_ylabel("answered on the device (%)")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=5)
    foot(figure, f"o = {PAPER_OFFLOAD:g} λ, μ = 0.1, each at α of the trace; white: offloaded.")
    freeze(figure)
    return figure


def phases(table: pd.DataFrame, names: list[str]) -> Figure:
    """The phase map: a row a pair, the whole device and half of it."""
    maps = [
        table[(table["trace"] == name) & (table["device_layers"] == device)]
        for name in names
        for device in sorted(table[table["trace"] == name]["device_layers"].unique(), reverse=True)
    ]
    return phase_map_figure(maps)


def reliability(pair: Pair) -> Figure:
    """Confidence against accuracy, as trained and calibrated."""
    return reliability_diagram(pair.target, calibrated=calibrate(pair.target, pair.source))
