"""The table that `splitee run` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    import pandas as pd

FAMILIES = ("exit ", "split ", "cascade split ")  # of which only the members worth a look are shown
WIDTH = 138  # columns a terminal must have for the whole table


def worth_showing(summary: pd.DataFrame) -> pd.DataFrame:
    """Leave out fixed exits and fixed splits that another policy beats in cost and accuracy.

    Policies that are not on this device, that read what no device could, or that know the stream in hindsight
    beat nobody.

    Returns
    -------
    DataFrame
        The other rows, in their order.
    """
    measure = measure_of(summary)
    rivals = summary[usable(summary)]
    kept = []
    for _, row in summary.iterrows():
        no_worse = (rivals["cost"] <= row["cost"]) & (rivals[measure] >= row[measure])
        better = (rivals["cost"] < row["cost"]) | (rivals[measure] > row[measure])
        kept.append(not (row["policy"].startswith(FAMILIES) and (no_worse & better).any()))
    return summary[kept]


def usable(summary: pd.DataFrame) -> pd.Series[bool]:
    """Return which policies a person could run: on this device, without hindsight or what no device knows."""
    return summary["on_device"] & ~summary["sees_final"] & ~summary["hindsight"]


def measure_of(summary: pd.DataFrame) -> str:
    """Return "accuracy", or "agreement" (with the last exit) where there are no labels."""
    return "agreement" if summary["accuracy"].isna().all() else "accuracy"


def policy_table(summary: pd.DataFrame, title: str, width: int = WIDTH) -> Table:
    """Lay out a summary (of `Results.summary`) as a table for the terminal.

    Parameters
    ----------
    summary : DataFrame
        One row a policy.
    title : str
        The scenario.
    width : int
        Of the terminal; where it is narrow, reward, utility and the parts of the cost are left out.
    """
    measure = measure_of(summary)
    table = Table(
        title=Text(title),  # not markup: names may hold brackets
        caption=""
        if width >= WIDTH
        else f"(from {WIDTH} columns on also the parts of the cost, reward and utility)",
        box=box.SIMPLE_HEAD,
        title_justify="left",
        caption_justify="left",
        title_style="bold",
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    for name in _columns(measure, width):
        table.add_column(name, justify="left" if name == "policy" else "right", no_wrap=True)
    for _, row in summary.iterrows():
        cells = _cells(row, measure)
        shown = [cells[name] for name in _columns(measure, width)]
        table.add_row(*map(Text, shown), style=None if row["on_device"] else "dim")
    return table


def _columns(measure: str, width: int) -> list[str]:
    """Return the headings, in order: all, or those that a narrow terminal has room for."""
    headings = list(_HEADINGS) if width >= WIDTH else [h for h in _HEADINGS if h not in _ONLY_WIDE]
    return [f"{measure}\n%" if heading == "measure" else heading for heading in headings]


_HEADINGS = (
    "policy",
    "layer",
    "exits on\ndevice %",
    "off-\nloaded %",
    "measure",
    "Δ points\n[95 %]",
    "cost\nλ",
    "= device\n+ offload",
    "Δ cost\n%",
    "reward\n",
    "utility\n",
)
_ONLY_WIDE = ("exits on\ndevice %", "= device\n+ offload", "reward\n", "utility\n")


def _cells(row: pd.Series, measure: str) -> dict[str, str]:
    """Return a row's cells by heading."""
    marks = ("*" if row["sees_final"] else "") + ("" if row["on_device"] else "†")
    return {
        "policy": row["policy"] + marks,
        "layer": _layer(row),
        "exits on\ndevice %": f"{100 * (1 - row['offload_rate']):.1f}",
        "off-\nloaded %": f"{100 * row['offload_rate']:.1f}",
        f"{measure}\n%": f"{100 * row[measure]:.2f}",
        "Δ points\n[95 %]": _delta(row, measure),
        "cost\nλ": f"{row['cost']:.2f}",
        "= device\n+ offload": f"{row['cost_layers'] + row['cost_exits']:.2f} + {row['cost_offload']:.2f}",
        "Δ cost\n%": "–" if row["cost_change"] != row["cost_change"] else f"{100 * row['cost_change']:+.1f}",
        "reward\n": f"{row['reward']:.3f}",
        "utility\n": "–" if row["utility"] != row["utility"] else f"{row['utility']:.3f}",
    }


def _layer(row: pd.Series) -> str:
    """Layer settled on; of a policy that learns, in how many repeats."""
    if row["varies"]:
        return "each"
    if not row["learns"] and row["layer_repeats"] == row["repeats"]:
        return str(row["layer"])
    return f"{row['layer']} ({row['layer_repeats']}/{row['repeats']})"


def _delta(row: pd.Series, measure: str) -> str:
    low, high = row[f"{measure}_delta_low"], row[f"{measure}_delta_high"]
    delta = 100 * row[f"{measure}_delta"]
    if low != low or (low == high == 0):
        return f"{delta:+.2f}"
    return f"{delta:+.2f} [{100 * low:+.2f}, {100 * high:+.2f}]"
