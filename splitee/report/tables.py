"""The table of policies: its rows, its cells, and its layout on the terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    import pandas as pd

Row = Mapping[str, Any]  # one policy's entry of `Results.rows`
Rows = Sequence[Row]
FAMILIES = ("exit ", "split ", "cascade split ")  # families whose beaten members are not shown
WIDTH = 142  # columns a terminal must have for the whole table


def worth_showing(rows: Rows) -> Rows:
    """Leave out fixed exits and fixed splits that another policy beats in cost and accuracy.

    Policies that the device cannot run, that read what no device could, or that know the stream in hindsight
    do not count as better.

    Returns
    -------
    list of dict
        The remaining rows, in their order.
    """
    measure = measure_of(rows)
    rivals = [row for row in rows if usable(row)]
    return [
        row
        for row in rows
        if not row["policy"].startswith(FAMILIES) or not any(_beats(one, row, measure) for one in rivals)
    ]


def _beats(rival: Row, row: Row, measure: str) -> bool:
    """Return whether a rival is no worse in cost and measure, and better in one of them."""
    cost, mean = rival["cost"], rival[measure]
    no_worse = cost <= row["cost"] and mean >= row[measure]
    return bool(no_worse and (cost < row["cost"] or mean > row[measure]))


def usable(row: Row) -> bool:
    """Return whether the device could run this policy, without hindsight or unobservable confidences."""
    return bool(row["on_device"] and not row["sees_final"] and not row["hindsight"])


def measure_of(rows: Rows) -> str:
    """Return "accuracy", or "agreement" (with the last exit) if there are no labels."""
    return "agreement" if lacks(rows, "accuracy") else "accuracy"


def unit_of(row: Row) -> str:
    """Return the unit of costs; tables of older results do not name it: λ."""
    return str(row.get("unit", "λ"))


def lacks(rows: Rows, column: str) -> bool:
    """Return whether a column is NaN for all policies."""
    return all(math.isnan(row[column]) for row in rows)


def within(rows: Rows, max_drop: float) -> Row | None:
    """Return the row of the cheapest usable policy that loses at most `max_drop` points.

    The loss is taken at the lower end of the interval or, without intervals, at the mean.

    Returns
    -------
    dict or None
        None if there is no such policy.
    """
    delta = f"{measure_of(rows)}_delta"
    bound = delta if lacks(rows, f"{delta}_low") else f"{delta}_low"
    fit = [row for row in rows if 100 * row[bound] >= -max_drop and usable(row)]
    return min(fit, key=lambda row: row["cost"], default=None)


COLUMNS = {  # key: heading, with a line break where a narrow column may break it
    "policy": "policy",
    "layer": "layer",
    "on_device": "exits on\ndevice %",
    "offloaded": "off-\nloaded %",
    "measure": "{measure}\n%",
    "delta": "Δ points\n[95 %]",
    "cost": "cost\n{unit}",
    "parts": "= device\n+ offload",
    "change": "Δ cost\n%",
    "reward": "reward\n",
    "utility": "utility\n",
}
_IN_TIME = {"p50": "p50\nms", "p95": "p95\nms", "energy": "mJ\n", "kilobytes": "KB\n"}  # in a System
_ONLY_WIDE = ("on_device", "parts", "reward", "utility")


def table_cells(rows: Rows) -> tuple[dict[str, str], list[dict[str, str]]]:
    """Return a summary as texts, for any kind of table.

    Parameters
    ----------
    rows : list of dict
        From `Results.rows`, one per policy.

    Returns
    -------
    headings : dict of str to str
        By column (`COLUMNS`), in order; with a line break for narrow columns (see `one_line`).
    rows : list of dict of str to str
        The cells of each policy by column, in the order of `rows`.
    """
    measure = measure_of(rows)
    unit = unit_of(rows[0]) if rows else "λ"
    headings = {key: heading.format(measure=measure, unit=unit) for key, heading in COLUMNS.items()}
    if rows and "latency" in rows[0]:
        headings = {key: heading for key, heading in headings.items() if key not in _ONLY_WIDE}
        headings |= {k: h for k, h in _IN_TIME.items() if k != "energy" or not lacks(rows, "energy")}
    return headings, [_cells(row, measure) for row in rows]


def policy_frame(rows: Rows) -> pd.DataFrame:
    """Return a summary as a table of texts, like the terminal's, to be shown in a notebook.

    Parameters
    ----------
    rows : list of dict
        From `Results.rows`, one per policy.

    Returns
    -------
    DataFrame
        Index ``policy``; the marks * and † are those of `splitee run`.

    Examples
    --------
    >>> import splitee
    >>> trace = splitee.Trace([[0.6, 0.9], [0.8, 0.9]], [[0, 1], [1, 1]], [1, 1])
    >>> results = splitee.replay(trace, [splitee.FixedExit(1), splitee.FinalExit()], repeats=1)
    >>> policy_frame(results.rows())[["layer", "accuracy %", "cost λ"]].loc["exit 1"].tolist()
    ['1', '50.00', '1.00']
    """
    import pandas as pd

    headings, cells = table_cells(rows)
    names = {key: one_line(heading) for key, heading in headings.items()}
    return pd.DataFrame(cells).rename(columns=names).set_index("policy")


def one_line(heading: str) -> str:
    """Return a heading without its line break.

    Examples
    --------
    >>> one_line("off-\\nloaded %"), one_line("cost\\nλ"), one_line("reward\\n")
    ('offloaded %', 'cost λ', 'reward')
    """
    return heading.replace("-\n", "").replace("\n", " ").strip()


def policy_table(rows: Rows, title: str, width: int = WIDTH) -> Table:
    """Lay out a summary as a table for the terminal.

    Parameters
    ----------
    rows : list of dict
        From `Results.rows`, one per policy.
    title : str
        The scenario.
    width : int
        Width of the terminal in columns; reward, utility and the parts of the cost need 142.
    """
    table = Table(
        title=Text(title),  # not markup: names may hold brackets
        caption=""
        if width >= WIDTH
        else f"(a terminal of {WIDTH} columns also shows the parts of the cost, reward and utility)",
        box=box.SIMPLE_HEAD,
        title_justify="left",
        caption_justify="left",
        title_style="bold",
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    headings, cells = table_cells(rows)
    shown = [key for key in headings if width >= WIDTH or key not in _ONLY_WIDE]
    for key in shown:
        table.add_column(headings[key], justify="left" if key == "policy" else "right", no_wrap=True)
    for row, texts in zip(rows, cells, strict=True):
        table.add_row(*(Text(texts[key]) for key in shown), style=None if row["on_device"] else "dim")
    return table


def _cells(row: Row, measure: str) -> dict[str, str]:
    """Return a row's cells by column."""
    timed = "latency" in row
    marks = ("*" if row["sees_final"] else "") + ("" if row["on_device"] else "†")
    cells = {
        "policy": row["policy"] + marks,
        "layer": _layer(row),
        "on_device": f"{100 * (1 - row['offload_rate']):.1f}",
        "offloaded": f"{100 * row['offload_rate']:.1f}",
        "measure": f"{100 * row[measure]:.2f}",
        "delta": _delta(row, measure),
        "cost": f"{row['cost']:.2f}",
        "parts": "" if timed else f"{row['cost_layers'] + row['cost_exits']:.2f} + {row['cost_offload']:.2f}",
        "change": "–" if row["cost_change"] != row["cost_change"] else f"{100 * row['cost_change']:+.1f}",
        "reward": f"{row['reward']:.3f}",
        "utility": "–" if row["utility"] != row["utility"] else f"{row['utility']:.3f}",
    }
    if timed:
        cells |= {
            "p50": f"{row['latency_p50']:.1f}",
            "p95": f"{row['latency_p95']:.1f}",
            "energy": f"{row['energy']:.1f}",
            "kilobytes": f"{row['kilobytes']:.2f}",
        }
    return cells


def _layer(row: Row) -> str:
    """Return the layer settled on and, for policies that learn, in how many repeats."""
    if row["varies"]:
        return "each"
    if not row["learns"] and row["layer_repeats"] == row["repeats"]:
        return str(row["layer"])
    return f"{row['layer']} ({row['layer_repeats']}/{row['repeats']})"


def _delta(row: Row, measure: str) -> str:
    low, high = row[f"{measure}_delta_low"], row[f"{measure}_delta_high"]
    delta = 100 * row[f"{measure}_delta"]
    if low != low or (low == high == 0):
        return f"{delta:+.2f}"
    return f"{delta:+.2f} [{100 * low:+.2f}, {100 * high:+.2f}]"


_BREAKDOWN = {  # column of a breakdown: heading, format
    "samples": ("samples", ",d"),
    "accuracy": ("accuracy [95 %]", ".2%"),
    "agreement": ("agreement", ".2%"),
    "cost": ("cost λ [95 %]", ".2f"),
    "exited": ("exits on device", ".1%"),
    "mean_layer": ("mean layer", ".2f"),
    "macro_f1": ("macro-F1 [95 %]", ".4f"),
    "balanced_accuracy": ("balanced accuracy [95 %]", ".2%"),
}


def breakdown_table(rows: Rows, title: str) -> Table:
    """Lay out results by group or by class (`splitee.results.breakdown`) for the terminal.

    Parameters
    ----------
    rows : list of dict
        At least one; None stands for a value that is not known.
    title : str
    """
    table = Table(title=Text(title), box=box.SIMPLE_HEAD, title_justify="left", padding=(0, 1, 0, 0))
    names = [key for key in ("policy", "group") if key in rows[0]]
    numbers = [key for key in _BREAKDOWN if key in rows[0]]
    for key in names:
        table.add_column(key)
    for key in numbers:
        table.add_column(_BREAKDOWN[key][0], justify="right")
    for row in rows:
        table.add_row(*(Text(str(row[key])) for key in names), *(_with_interval(row, key) for key in numbers))
    return table


def _with_interval(row: Row, key: str) -> str:
    heading, form = _BREAKDOWN[key]
    if row[key] is None:
        return "–"
    ends = [row.get(f"{key}_low"), row.get(f"{key}_high")] if "[95 %]" in heading else []
    shown = format(row[key], form)
    if not ends or None in ends:
        return shown
    low, high = (format(end, form).rstrip("%") for end in ends)
    return f"{shown} [{low}, {high}]"
