"""Figures of the suite: ranks with their intervals, and cost against what it loses."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from splitee.report.figures.style import FAINT, INK, freeze, new_figure, paper

OWN, OTHERS = "#D55E00", "#0072B2"
_HEIGHT = 0.165  # inches per policy


@paper
def ranks(rows: Sequence[Mapping[str, Any]], own: Sequence[str]) -> Figure:
    """Draw the rank of each policy and the interval that it may lie in, the best on top.

    Parameters
    ----------
    rows : sequence of mapping
        A table of `splitee.bench.tables.document_of`; rows without a rank are left out.
    own : sequence of str
        Policies in another colour: those of policy files.
    """
    shown = [row for row in rows if row["rank"] is not None]
    figure = new_figure(7.2, 0.8 + _HEIGHT * len(shown))
    axes = figure.subplots()
    for place, row in enumerate(shown):
        colour = OWN if row["entrant"] in own else OTHERS
        axes.plot([row["best"], row["worst"]], [place, place], color=colour, lw=1.6, alpha=0.45, zorder=2)
        axes.plot([row["rank"]], [place], "o", color=colour, ms=3.6, zorder=3)
    axes.set_yticks(range(len(shown)), [row["entrant"] for row in shown])
    axes.tick_params(axis="y", labelsize=7, length=0)
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.set_xlim(0, len(shown) + 1)
    axes.set_xlabel(f"rank of {len(shown)}, and its 95 % interval, all comparisons together")
    axes.grid(axis="x")
    freeze(figure)
    return figure


@paper
def cost_and_drop(rows: Sequence[Mapping[str, Any]], own: Sequence[str], limit: float) -> Figure:
    """Draw cost over cloud-only's against the mean drop; names of the cheapest dozen and of own policies.

    Parameters
    ----------
    rows, own
        See `ranks`.
    limit : float
        Points that may be lost: a line.
    """
    figure = new_figure(7.2, 4.6)
    axes = figure.subplots()
    named = [row for row in rows if row["rank"] is not None][:12]
    named += [row for row in rows if row["entrant"] in own and row not in named]
    for row in rows:
        colour = OWN if row["entrant"] in own else (FAINT if row["rank"] is None else OTHERS)
        axes.plot(row["drop"], 100 * math.exp(row["score"] / 100), "o", color=colour, ms=4, mew=0, alpha=0.8)
    last = -math.inf
    for row in sorted(named, key=lambda row: row["score"]):
        at = 100 * math.exp(row["score"] / 100)
        last = max(at, last + 4.5)  # names keep their distance
        axes.annotate(
            row["entrant"],
            (row["drop"], at),
            (8, (last - at) * 2.2),
            textcoords="offset points",
            fontsize=7,
            color=INK,
            va="center",
        )
    axes.axvline(limit, color=FAINT, lw=0.8, ls="--")
    axes.set_xlabel("mean drop of accuracy, points (negative: more accurate than cloud-only)")
    axes.set_ylabel("cost, % of cloud-only (geometric mean)")
    axes.grid()
    freeze(figure)
    return figure
