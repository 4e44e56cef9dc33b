"""Draw where splitting pays, for text: what the best cut saves by round trip, one panel per device.

python experiments/system/pays_figure.py     (reads results/round_trips.csv; writes docs/figures/splitting_pays.png)
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from splitee.report.figures.style import INK, LOOKS, new_figure, paper, write_figure

HERE = Path(__file__).parent
TARGET = HERE.parents[1] / "docs" / "figures" / "splitting_pays.png"
DEVICES = {
    "c5_9xlarge_bert_base": "edge server (13–19 ms)",
    "mpnet_base_epyc_1_thread": "server core (122–461 ms)",
    "pixel_4_bert_base": "phone (341 ms)",
}
TEXTS = {
    "imdb": "IMDb",
    "qqp": "QQP",
    "snli": "SNLI",
    "scitail": "SciTail",
    "yelp_sentences": "Yelp sentences",
}
MEASURED = (36, 165)  # ms: 5 and 95 % of the round trips in networks/rtt_5g.csv
FAINT_INK = "#595959"
LOWEST, HIGHEST = -60, 95


@paper
def drawn(trips: pd.DataFrame) -> Figure:
    """Draw two rows, all layers on the device and half of them, and a column per device."""
    figure = new_figure(7.2, 4.6)
    panels = figure.subplots(2, 3, sharex=True, sharey=True)
    held = sorted(trips["device_layers"].unique(), reverse=True)
    for row, layers in zip(panels, held, strict=True):
        for axes, (device, name) in zip(row, DEVICES.items(), strict=True):
            part = trips[(trips["device"] == device) & (trips["device_layers"] == layers)]
            panel(axes, part)
            if layers == held[0]:
                axes.set_title(name, fontsize=9.5)
    for row, layers in zip(panels, held, strict=True):
        which = f"all {layers} layers" if layers == held[0] else f"the first {layers} of {held[0]}"
        row[0].set_ylabel(f"device holds {which}\nlatency saved by a cut, %", fontsize=8.5)
    panels[0, 0].text(2.6, 8, "a cut is faster", fontsize=8, style="italic")
    panels[0, 2].text(1500, 8, "a cut is faster", fontsize=8, style="italic", ha="right")
    panels[0, 1].text(77, 90, "5G, as\nmeasured", fontsize=8, ha="center", va="top", color=FAINT_INK)
    figure.supxlabel("round trip, ms", fontsize=9)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), fontsize=8.5)
    return figure


def panel(axes: Axes, part: pd.DataFrame) -> None:
    """Draw a line per text; above 0 a cut has a lower mean latency than the cloud and the device alone."""
    axes.axvspan(*MEASURED, color="#e6e6e6", lw=0)
    axes.axhline(0, color=INK, lw=0.9)
    for look, (trace, name) in zip(LOOKS, TEXTS.items(), strict=False):
        line = part[part["trace"] == trace].sort_values("rtt")
        saved = line["saved"].clip(lower=LOWEST)
        axes.plot(
            line["rtt"],
            saved,
            color=look.colour,
            marker=look.marker,
            ms=3.2,
            lw=1.3,
            ls=look.line,
            label=name,
        )
    axes.set_xscale("log")
    axes.set_xticks([3, 10, 30, 100, 300, 1000], ["3", "10", "30", "100", "300", "1000"])
    axes.set_xticks([], minor=True)
    axes.set_ylim(LOWEST - 4, HIGHEST)
    axes.set_yticks([-60, -30, 0, 30, 60, 90], ["−60", "−30", "0", "30", "60", "90"])
    axes.grid(True, axis="y")


def main() -> None:
    figure = drawn(pd.read_csv(HERE / "results" / "round_trips.csv"))
    write_figure(figure, TARGET, overwrite=True)


if __name__ == "__main__":
    main()
