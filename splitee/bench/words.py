"""The table in words: headings, cells and the sentence above it, for the terminal and the page."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

_MEASURES = {
    "drop": "drop, points",
    "worst_drop": "worst cell",
    "broken": "limit broken, %",
    "promise_broken": "promise broken, %",
    "fell_back": "fell back, %",
    "cost": "cost, λ",
    "ms": "ms",
    "mJ": "mJ",
    "KB": "KB",
    "seconds": "µs/decision",
    "bytes": "state, KB",
}
HEADINGS = {
    True: {"rank": "rank", "entrant": "policy", "score": "regret", **_MEASURES},
    False: {"rank": "rank", "entrant": "policy", "score": "cost, % of cloud-only", **_MEASURES},
}
"""Headings by column; by whether the question is regret."""
TRACKS = {
    "all": "all cells",
    "constant": "constant costs in λ, shuffled",
    "shift": "settings chosen on other data",
    "drift": "streams that change",
    "short": "300 rounds",
    "delay": "feedback 200 rounds late",
    "system": "devices and links, in ms",
    "text": "texts",
    "image": "images",
}


def title_of(document: Mapping[str, Any], question: str, track: str) -> str:
    """Return the sentence above a table."""
    what = (
        "regret per round against the best fixed split in hindsight, % of the span of rewards"
        if question == "regret"
        else f"cost where at most {_points(question)} of accuracy may be lost"
    )
    return f"{document['suite']}, {TRACKS[track]}: {what}. Lower is better."


def own_ranks(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the policies of files, each with its ranks by question in words."""
    found = []
    for name in document["own"]:
        places = []
        for question, parts in document["tables"].items():
            [row] = [row for row in parts["all"] if row["entrant"] == name]
            places.append(f"{row['rank']} ({row['best']}–{row['worst']}) of {question}")
        found.append((name, ", ".join(places)))
    return found


def cells_of(row: Mapping[str, Any], times: Mapping[str, Any], question: str) -> dict[str, str]:
    """Return the cells of a row as texts, in the order of `HEADINGS`.

    Examples
    --------
    >>> row = dict.fromkeys(_MEASURES) | {"entrant": "mine", "rank": 2, "best": 1, "worst": 5}
    >>> row |= {"score": -69.315, "low": None, "high": None}
    >>> cells_of(row, {"mine": {"seconds": 4e-6, "bytes": 2048}}, "drop 1")["score"]
    '50.0'
    """
    rank = "–" if row["rank"] is None else f"{row['rank']} ({row['best']}–{row['worst']})"
    measured = times.get(row["entrant"], {})
    seconds, size = measured.get("seconds"), measured.get("bytes")
    return {
        "rank": rank,
        "entrant": row["entrant"] + ("" if row["rank"] is not None else " (bound)"),
        "score": _score(row, question),
        "drop": _number(row["drop"], 2),
        "worst_drop": _number(row["worst_drop"], 1),
        "broken": _number(row["broken"], 1),
        "promise_broken": _number(row["promise_broken"], 1),
        "fell_back": _number(row["fell_back"], 0),
        "cost": _number(row["cost"], 2),
        "ms": _number(row["ms"], 1),
        "mJ": _number(row["mJ"], 0),
        "KB": _number(row["KB"], 2),
        "seconds": _number(None if seconds is None else 1e6 * seconds, 0),
        "bytes": _number(None if size is None else size / 1e3, 1),
    }


def _points(question: str) -> str:
    limit = question.removeprefix("drop ")
    return f"{limit} point{'s' * (limit != '1')}"


def _score(row: Mapping[str, Any], question: str) -> str:
    def told(value: float) -> str:
        return f"{value:.1f}" if question == "regret" else f"{100 * math.exp(value / 100):.1f}"

    if row["low"] is None:
        return told(row["score"])
    return f"{told(row['score'])} [{told(row['low'])}, {told(row['high'])}]"


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{round(value, digits) + 0.0:.{digits}f}"  # no -0.0
