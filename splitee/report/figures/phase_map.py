"""The figure of the phase map: which class of policies is the cheapest where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib.patheffects as effects
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from numpy.typing import NDArray
from scipy import ndimage

from splitee._internal.errors import InputError
from splitee.report.figures.style import FAINT, INK, freeze, new_figure, paper
from splitee.report.phase_map import CLASSES

NEAR = 0.05  # a learner within this share above the cheapest is marked


@dataclass(frozen=True)
class Mark:
    """A typical offload cost: o in λ, and its label."""

    offload: float
    label: str


# A hidden state of BERT-base at 128 tokens (float32, 393 KB) and the token ids (512 B), at 15 ms a layer and
# the mean uplinks 18.88, 5.85 and 1.1 Mbit/s, without the round trip
MARKS = (
    Mark(0.25, "raw input, 3G"),
    Mark(11.1, "Wi-Fi"),
    Mark(35.9, "4G"),
    Mark(190.7, "3G"),
)
_COLOURS = {  # of falling lightness, so that they differ in grey, too
    "cloud-only": "#f7f7f7",
    "fixed split": "#f6c65b",
    "cascade split": "#e69f00",
    "learner": "#56b4e9",
    "device cascade": "#009e73",
    "fixed exit": "#5e3c99",
    "none": "#bdbdbd",  # no class qualifies: possible only if another model answers in the cloud
}


@paper
def phase_map_figure(maps: Sequence[pd.DataFrame], marks: Sequence[Mark] = MARKS) -> Figure:
    """Draw phase maps, one panel each.

    Parameters
    ----------
    maps : sequence of DataFrame
        From `splitee.report.phase_map.phase_map`, over the same offload costs and drops; for each trace, for
        instance, all layers on the device and half of them.
    marks : sequence of Mark
        Typical offload costs to point at.

    Returns
    -------
    Figure
        Offload cost (λ, logarithmic) against points of accuracy that may be lost. The colour is the cheapest
        class, hatched where the best learner costs at most 5 % more.
    """
    if not maps:
        raise InputError("phase_map_figure: give at least one phase map")
    traces = list(dict.fromkeys(table["trace"].iloc[0] for table in maps))
    columns = len(maps) // len(traces) if len(maps) % len(traces) == 0 else len(maps)
    rows = -(-len(maps) // columns)
    figure = new_figure(1.2 + 3.3 * columns, 1.35 + 2.05 * rows)
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axes, table in zip(panels.flat, maps, strict=False):
        _panel(axes, table, marks)
    for axes in panels[-1]:
        axes.set_xlabel("o, offload cost (λ)")
    for axes in panels[:, 0]:
        axes.set_ylabel("accuracy that may be lost\n(points)")
    seen = set().union(*(table.loc[table["cheapest"], "class"] for table in maps))
    entries = [
        Patch(facecolor=_COLOURS[name], edgecolor=INK, lw=0.5, label=name) for name in CLASSES if name in seen
    ]
    entries.append(
        Patch(facecolor="none", edgecolor=INK, lw=0.5, hatch="////", label=f"a learner within {NEAR:.0%}")
    )
    figure.legend(handles=entries, loc="outside upper left", ncols=min(4, len(entries)), handlelength=1.6)
    figure.supxlabel(
        "Cheapest class of policy. Parameters chosen on half of the samples (lower end of the 95 % data "
        "interval),\ncost and accuracy evaluated on the other half. Cloud-only pays o, too. Marks: cost of "
        "offloading a hidden state\n(128 tokens, BERT-base, float32, 15 ms a layer); at the left, the input.",
        x=0.01,
        ha="left",
        fontsize=7,
        color=FAINT,
    )
    freeze(figure)
    return figure


def _panel(axes: Axes, table: pd.DataFrame, marks: Sequence[Mark]) -> None:
    cheapest = table[table["cheapest"]]
    cells = cheapest.pivot(index="drop", columns="offload", values="class")
    every = table.pivot_table(index="drop", columns="offload", values="points", aggfunc="size")
    cells = cells.reindex(index=every.index, columns=every.columns).fillna("none")
    offloads, drops = cells.columns.to_numpy(dtype=float), cells.index.to_numpy(dtype=float)
    names = list(_COLOURS)
    which = cells.map(names.index).to_numpy()
    x, y = _edges(np.log2(offloads)), _edges(drops)
    axes.pcolormesh(
        2.0**x,
        y,
        which,
        cmap=ListedColormap([_COLOURS[name] for name in names]),
        vmin=-0.5,
        vmax=len(names) - 0.5,
        rasterized=True,
    )
    _hatch(axes, table, cells, 2.0**x, y)
    for k, name in enumerate(names):
        _name(axes, which == k, name, 2.0**x, y)
    axes.set_xscale("log")
    axes.set_xlim(2.0 ** x[0], 2.0 ** x[-1])
    axes.set_ylim(y[0], y[-1])
    ticks = [o for o in (0.25, 1, 4, 16, 64, 256) if offloads[0] <= o <= offloads[-1]]
    axes.set_xticks(ticks, [f"{o:g}" for o in ticks])
    axes.set_xticks([], minor=True)
    axes.spines[["top", "right"]].set_visible(True)
    held = int(table["device_layers"].iloc[0])
    axes.set_title(f"{table['trace'].iloc[0]}, {held} layers on the device", loc="left", pad=16)
    for mark in marks:
        if 2.0 ** x[0] <= mark.offload <= 2.0 ** x[-1]:
            axes.axvline(mark.offload, color=INK, lw=0.7, ls=(0, (2, 2)))
            first = mark.offload <= offloads[0] * 1.5
            axes.annotate(
                mark.label,
                (mark.offload, y[-1]),
                (0, 2),
                textcoords="offset points",
                ha="left" if first else "center",
                va="bottom",
                fontsize=7,
            )


def _edges(centres: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the edges of cells with these centres."""
    if len(centres) == 1:
        return np.array([centres[0] - 0.5, centres[0] + 0.5])
    middles = (centres[1:] + centres[:-1]) / 2
    first, last = 2 * centres[0] - middles[0], 2 * centres[-1] - middles[-1]
    edges: NDArray[np.float64] = np.concatenate([[first], middles, [last]])
    return edges


def _hatch(
    axes: Axes,
    table: pd.DataFrame,
    cells: pd.DataFrame,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
) -> None:
    """Hatch cells where a learner is not the cheapest but close to it."""
    learner = table[table["class"] == "learner"].pivot(index="drop", columns="offload", values="cost")
    least = table.pivot_table(index="drop", columns="offload", values="cost", aggfunc="min", dropna=False)
    near = ((learner <= (1 + NEAR) * least) & (cells != "learner")).to_numpy()
    for row, column in np.argwhere(near):
        corner = (x[column], y[row])
        size = x[column + 1] - x[column], y[row + 1] - y[row]
        axes.add_patch(Rectangle(corner, *size, fill=False, hatch="////", ec=INK, lw=0, alpha=0.55))


def _name(
    axes: Axes, where: NDArray[np.bool_], name: str, x: NDArray[np.float64], y: NDArray[np.float64]
) -> None:
    """Write the name of a class into its largest region, if that is large enough."""
    regions, count = ndimage.label(where)
    if not count:
        return
    sizes = ndimage.sum_labels(where, regions, range(1, count + 1))
    region = regions == 1 + int(np.argmax(sizes))
    rows, columns = np.nonzero(region)
    if np.ptp(columns) < 3 or region.sum() < 8:
        return
    row = int(np.median(rows))
    across = np.nonzero(region[row])[0]
    if len(across) < 4:
        return
    middle = np.sqrt(x[across[0]] * x[across[-1] + 1])
    text = axes.text(middle, (y[row] + y[row + 1]) / 2, name, ha="center", va="center", fontsize=8, color=INK)
    text.set_path_effects([effects.withStroke(linewidth=2.2, foreground="white")])
