"""ELUE scores as a table, with notes."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from typing import Any

import pandas as pd

Row = dict[Hashable, Any]
_COLUMNS: dict[str, Callable[[Row], str]] = {
    "task": lambda row: str(row["task"]),
    "method": lambda row: str(row["method"]),
    "seeds": lambda row: str(row["seeds"]),
    "M param.": lambda row: _number(row["parameters"], "{:.1f}", 1e6),
    "settings": lambda row: str(row["settings"]),
    "GFLOPs": lambda row: f"{row['flops_low'] / 1e9:.2f}–{row['flops_high'] / 1e9:.2f}",
    "best %": lambda row: f"{row['best']:.2f}",
    "score": lambda row: _score(row, "score"),
    "on the grid": lambda row: _score(row, "grid_score"),
}
_NEEDS = {"M param.": "parameters", "GFLOPs": "flops_low", "best %": "best", "on the grid": "grid_score"}
_LEFT = ("task", "method")


def score_table(scores: pd.DataFrame) -> str:
    """Format the table of `splitee.elue.score.score` or `average`, one line per row."""
    names = [name for name in _COLUMNS if _NEEDS.get(name, name) in scores.columns]
    cells = [[_COLUMNS[name](row) for name in names] for row in scores.to_dict("records")]
    widths = [max(map(len, column)) for column in zip(names, *cells, strict=True)]
    lines = (
        "  ".join(
            cell.ljust(width) if name in _LEFT else cell.rjust(width)
            for name, cell, width in zip(names, line, widths, strict=True)
        ).rstrip()
        for line in (names, *cells)
    )
    return "\n".join(lines)


def score_notes(scores: pd.DataFrame) -> list[str]:
    """Return notes: the range of the common grid, and the settings that were left out."""
    found = []
    for task, part in scores.groupby("task", sort=False):
        low, high = (float(part[end].iloc[0]) for end in ("grid_from", "grid_to"))
        if math.isnan(low):
            found.append(f"{task}: the methods share no range of FLOPs, so there is no grid{_apart(part)}")
        else:
            found.append(
                f"{task}: the grid is {low / 1e9:.2f} to {high / 1e9:.2f} GFLOPs, which all methods cover"
            )
        if outside := int(part["outside"].sum()):
            found.append(f"{task}: {outside} settings lie outside the reference's range and are not scored")
    return found


def _apart(part: pd.DataFrame) -> str:
    """Name the two methods whose ranges are farthest apart."""
    curves = [row for row in part.to_dict("records") if row["flops_low"] < row["flops_high"]]
    if not curves:
        return ""
    late = max(curves, key=lambda row: float(row["flops_low"]))
    early = min(curves, key=lambda row: float(row["flops_high"]))
    if late["flops_low"] < early["flops_high"]:
        return ""
    return (
        f": {early['method']} ends at {early['flops_high'] / 1e9:.2f} GFLOPs, {late['method']} begins at "
        f"{late['flops_low'] / 1e9:.2f} (score one without the other)"
    )


def _number(value: Any, form: str, unit: float = 1.0) -> str:
    return "—" if value is None or math.isnan(value) else form.format(value / unit)


def _score(row: Row, measure: str) -> str:
    text = _number(row[measure], "{:+.2f}")
    low, high = row.get(f"{measure}_low"), row.get(f"{measure}_high")
    if text == "—" or low is None or high is None:
        return text
    return f"{text} [{low:+.2f}, {high:+.2f}]"
