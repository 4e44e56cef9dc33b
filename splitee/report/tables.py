"""The table of policies: which rows, which texts, and how the terminal shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    import pandas as pd

FAMILIES = ("exit ", "split ", "cascade split ")  # of which only the members worth a look are shown
WIDTH = 142  # columns a terminal must have for the whole table


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


def within(summary: pd.DataFrame, max_drop: float) -> pd.Series | None:
    """Return the row of the cheapest usable policy that loses at most `max_drop` points.

    It must do so at the lower end of its interval; where there are no intervals, by its mean.

    Returns
    -------
    Series or None
        None where there is no such policy.
    """
    measure = measure_of(summary)
    low = summary[f"{measure}_delta_low"]
    if low.isna().all():
        low = summary[f"{measure}_delta"]
    fit = summary[(100 * low >= -max_drop) & usable(summary)]
    return None if fit.empty else fit.sort_values("cost", kind="stable").iloc[0]


COLUMNS = {  # key: heading, of two lines where a narrow column may break it
    "policy": "policy",
    "layer": "layer",
    "kept": "exits on\ndevice %",
    "sent": "off-\nloaded %",
    "measure": "{measure}\n%",
    "delta": "Δ points\n[95 %]",
    "cost": "cost\nλ",
    "parts": "= device\n+ offload",
    "change": "Δ cost\n%",
    "reward": "reward\n",
    "utility": "utility\n",
}
_ONLY_WIDE = ("kept", "parts", "reward", "utility")


def table_cells(summary: pd.DataFrame) -> tuple[dict[str, str], list[dict[str, str]]]:
    """Return a summary as texts, for every kind of table.

    Parameters
    ----------
    summary : DataFrame
        One row a policy, of `Results.summary`.

    Returns
    -------
    headings : dict of str to str
        By column (`COLUMNS`), in order; a line break where a narrow column may have one (see `one_line`).
    rows : list of dict of str to str
        The cells of each policy by column, in the summary's order.
    """
    measure = measure_of(summary)
    headings = {key: heading.format(measure=measure) for key, heading in COLUMNS.items()}
    return headings, [_cells(row, measure) for _, row in summary.iterrows()]


def policy_frame(summary: pd.DataFrame) -> pd.DataFrame:
    """Return a summary as the terminal's table in texts, to be shown in a notebook.

    Parameters
    ----------
    summary : DataFrame
        One row a policy, of `Results.summary`.

    Returns
    -------
    DataFrame
        Index ``policy``; the marks * and † are those of `splitee run`.

    Examples
    --------
    >>> import splitee
    >>> trace = splitee.Trace([[0.6, 0.9], [0.8, 0.9]], [[0, 1], [1, 1]], [1, 1])
    >>> results = splitee.replay(trace, [splitee.FixedExit(1), splitee.FinalExit()], repeats=1)
    >>> policy_frame(results.summary())[["layer", "accuracy %", "cost λ"]].loc["exit 1"].tolist()
    ['1', '50.00', '1.00']
    """
    import pandas as pd

    headings, rows = table_cells(summary)
    names = {key: one_line(heading) for key, heading in headings.items()}
    return pd.DataFrame(rows).rename(columns=names).set_index("policy")


def one_line(heading: str) -> str:
    """Return a heading without its line break.

    Examples
    --------
    >>> one_line("off-\\nloaded %"), one_line("cost\\nλ"), one_line("reward\\n")
    ('offloaded %', 'cost λ', 'reward')
    """
    return heading.replace("-\n", "").replace("\n", " ").strip()


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
    headings, rows = table_cells(summary)
    shown = [key for key in headings if width >= WIDTH or key not in _ONLY_WIDE]
    for key in shown:
        table.add_column(headings[key], justify="left" if key == "policy" else "right", no_wrap=True)
    for cells, there in zip(rows, summary["on_device"], strict=True):
        table.add_row(*(Text(cells[key]) for key in shown), style=None if there else "dim")
    return table


def _cells(row: pd.Series, measure: str) -> dict[str, str]:
    """Return a row's cells by column."""
    marks = ("*" if row["sees_final"] else "") + ("" if row["on_device"] else "†")
    return {
        "policy": row["policy"] + marks,
        "layer": _layer(row),
        "kept": f"{100 * (1 - row['offload_rate']):.1f}",
        "sent": f"{100 * row['offload_rate']:.1f}",
        "measure": f"{100 * row[measure]:.2f}",
        "delta": _delta(row, measure),
        "cost": f"{row['cost']:.2f}",
        "parts": f"{row['cost_layers'] + row['cost_exits']:.2f} + {row['cost_offload']:.2f}",
        "change": "–" if row["cost_change"] != row["cost_change"] else f"{100 * row['cost_change']:+.1f}",
        "reward": f"{row['reward']:.3f}",
        "utility": "–" if row["utility"] != row["utility"] else f"{row['utility']:.3f}",
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
