"""Reliability diagrams: the accuracy of each exit by its confidence."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, MultipleLocator
from numpy.typing import NDArray

from splitee._internal.errors import InputError
from splitee.report.figures.style import FAINT, INK, freeze, new_figure, paper
from splitee.trace import Trace
from splitee.trace.reliability import Reliability, reliability

COLUMNS = 4  # panels in a row
FEW = 30  # bins of fewer samples are uncertain: their marks are small
_AS_IS, _CALIBRATED = "#0072B2", "#D55E00"  # Okabe and Ito's; dark and filled, lighter and hollow


@paper
def reliability_diagram(
    trace: Trace, exits: Sequence[int] | None = None, calibrated: Trace | None = None
) -> Figure:
    """Draw accuracy against confidence for some exits, and below it the distribution of confidences.

    Parameters
    ----------
    trace : Trace
        With labels.
    exits : sequence of int, optional
        Exit numbers from 1. Default: the first, those at a third and two thirds of the depth, and the last.
    calibrated : Trace, optional
        The same samples with other confidences (`splitee.trace.temperature.calibrate`), drawn in hollow
        marks.

    Returns
    -------
    Figure
        One panel per exit with the artists "trace" and "calibrated" (their gid): mean confidence and accuracy
        of each non-empty bin of 15, and the expected calibration error. On the diagonal, confidence equals
        accuracy; below it, the exit is overconfident. Marks of bins with fewer than 30 samples are small. The
        strip below shows the share of samples in each bin.

    Raises
    ------
    InputError
        If there are no labels, an exit does not exist, or `calibrated` has other samples or exits.

    Examples
    --------
    >>> figure = reliability_diagram(Trace([[0.7, 0.9]] * 4, [[0, 1]] * 4, [1, 0, 1, 1]))
    >>> [axes.get_title(loc="left") for axes in figure.axes[:2]]
    ['exit 1', 'exit 2']
    """
    shown = _exits(trace, exits)
    found = {"trace": [_bins(trace, i) for i in shown]}
    if calibrated is not None:
        if calibrated.confidence.shape != trace.confidence.shape or list(calibrated.id) != list(trace.id):
            raise InputError(
                f"{calibrated.name} has other samples or exits than {trace.name}: give the same trace"
            )
        found["calibrated"] = [_bins(calibrated, i) for i in shown]

    columns = min(len(shown), COLUMNS)
    rows = -(-len(shown) // columns)
    figure = new_figure(max(0.5 + 1.75 * columns, 4.2), 0.75 + 2.35 * rows)
    grid = figure.subplots(
        2 * rows, columns, squeeze=False, sharex=True, sharey="row", height_ratios=[3, 1] * rows
    )
    lowest = 1 / trace.classes if trace.softmax else 0.0
    accuracies = np.concatenate([bins.accuracy for panels in found.values() for bins in panels])
    bottom = min(lowest, float(np.nanmin(accuracies)))
    top = max(_shares(bins).max() for panels in found.values() for bins in panels)
    for k in range(rows * columns):
        upper, strip = grid[2 * (k // columns) : 2 * (k // columns) + 2, k % columns]
        if k >= len(shown):
            upper.remove()
            strip.remove()
            continue
        layer = trace.exit_layers[shown[k] - 1]
        at = "" if layer == shown[k] else f" (layer {layer})"
        upper.set_title(f"exit {shown[k]}{at}", loc="left")
        _panel(upper, strip, {name: bins[k] for name, bins in found.items()})
        strip.set_xlim(lowest, 1.02)
        strip.set_ylim(0, 1.05 * top)
        strip.xaxis.set_major_locator(MultipleLocator(0.25))
        upper.set_ylim(bottom - 0.2 * (1 - bottom), 1.04)  # room for the text below the curves
        upper.yaxis.set_major_locator(MultipleLocator(0.25))
        if k % columns == 0:
            upper.set_ylabel("accuracy")
            strip.set_ylabel("share")
        strip.tick_params(labelbottom=k + columns >= len(shown))
        strip.set_xlabel("confidence" if k + columns >= len(shown) else "")
    figure.suptitle(_title(trace, calibrated), x=0.01, ha="left", fontsize=9.5)
    figure.supxlabel(
        f"Bins of width 1/{len(found['trace'][0].count)}; small marks: fewer than {FEW} samples;"
        f" {trace.samples:,} samples.",
        x=0.01,
        ha="left",
        fontsize=7,
        color=FAINT,
    )
    freeze(figure)
    return figure


def _title(trace: Trace, calibrated: Trace | None) -> str:
    if calibrated is None:
        return trace.name
    source = calibrated.manifest.get("calibration", {}).get("source", {}).get("name")
    return f"{trace.name} (filled) and calibrated{f' on {source}' if source else ''} (hollow, dashed)"


def _exits(trace: Trace, given: Sequence[int] | None) -> list[int]:
    layers = trace.layers
    if given is None:
        return sorted({1, max(1, round(layers / 3)), max(1, round(2 * layers / 3)), layers})
    if not given or not all(1 <= i <= layers for i in given):
        raise InputError(f"exits {list(given)}: give numbers from 1 to {layers}")
    return [int(i) for i in given]


def _bins(trace: Trace, exit_: int) -> Reliability:
    if trace.label is None:
        raise InputError(f"trace {trace.name} has no labels: reliability needs them")
    right = trace.prediction[:, exit_ - 1] == trace.label
    return reliability(trace.confidence[:, exit_ - 1], right)


def _shares(bins: Reliability) -> NDArray[np.float64]:
    shares: NDArray[np.float64] = bins.count / bins.count.sum()
    return shares


def _panel(upper: Axes, strip: Axes, found: dict[str, Reliability]) -> None:
    """Draw one exit: accuracies above, shares of samples below."""
    upper.plot([0, 1], [0, 1], color=FAINT, lw=0.8, zorder=1)
    words = []
    for name, bins in found.items():
        there = bins.count > 0
        hollow = name == "calibrated"
        colour = _CALIBRATED if hollow else _AS_IS
        upper.plot(
            bins.confidence[there],
            bins.accuracy[there],
            gid=name,
            color=colour,
            lw=0.9,
            ls=(0, (4, 1.5)) if hollow else "-",
            zorder=3,
        )
        for few in (False, True):
            these = there & ((bins.count < FEW) == few)
            upper.plot(
                bins.confidence[these],
                bins.accuracy[these],
                "D" if hollow else "o",
                ms=2.2 if few else 4.6,
                mfc="white" if hollow else colour,
                mec=colour,
                mew=0.9,
                zorder=4,
            )
        strip.stairs(
            _shares(bins),
            bins.edges,
            fill=not hollow,
            color=colour,
            alpha=None if hollow else 0.45,
            lw=0.9,
            ls="--" if hollow else "-",
        )
        words.append(f"{bins.error:.3f}")
    # at the lower right, where only a confident but wrong exit would have marks
    text, frame = "ECE " + " → ".join(words), upper.transAxes
    upper.text(0.97, 0.03, text, transform=frame, ha="right", va="bottom", fontsize=7.5, color=INK)
    upper.grid()
    strip.yaxis.set_major_locator(MaxNLocator(2))
