"""The page of the suite: one HTML file with tables and figures, which loads nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from splitee.bench.figures import cost_and_drop, ranks
from splitee.bench.words import HEADINGS, TRACKS, cells_of, own_ranks, title_of
from splitee.report.figures.style import png
from splitee.report.html import Image, address, templates

_BY_TRACK = ("rank", "entrant", "score", "drop", "broken")  # columns of a track's table
_TOLD = ("drop 1", "regret")  # questions whose tracks are shown


class Part(NamedTuple):
    """A table of the page."""

    title: str
    headings: dict[str, str]
    rows: list[tuple[dict[str, str], str]]  # cells, and the class of the row


class Section(NamedTuple):
    """A question, its table of all cells, figures, and its tables by track."""

    title: str
    table: Part
    figures: list[Image]
    tracks: list[Part]


def page(document: Mapping[str, Any], times: Mapping[str, Any]) -> str:
    """Return the page as HTML, which is also well-formed XML.

    Parameters
    ----------
    document : mapping
        See `splitee.bench.tables.document_of`.
    times : mapping
        Seconds per decision and bytes of state, by entrant.
    """
    sections = [
        _section(document, times, question) for question in ("drop 1", "drop 0.5", "drop 2", "regret")
    ]
    template = templates(Path(__file__).parent).get_template("page.html.jinja")
    return template.render(document=document, sections=sections, own=own_ranks(document))


def _section(document: Mapping[str, Any], times: Mapping[str, Any], question: str) -> Section:
    rows, own = document["tables"][question]["all"], document["own"]
    best = ", ".join(f"{row['entrant']} {row['rank']}" for row in rows[:10])
    figures = [
        Image(
            address(png(ranks(rows, own))),
            f"Chart of ranks with intervals; the first ten: {best}.",
            "Ranks. Two policies whose intervals do not overlap differ with 95 % confidence.",
        )
    ]
    if question != "regret":
        limit = float(question.removeprefix("drop "))
        figures.append(
            Image(
                address(png(cost_and_drop(rows, own, limit))),
                "Chart of cost over that of cloud-only against the mean drop of accuracy; see the table.",
                "Cost and drop: the best are at the bottom, left of the dashed line.",
            )
        )
    told = document["tables"][question] if question in _TOLD else {}
    tracks = [track for track in TRACKS if track != "all" and track in told]
    return Section(
        title_of(document, question, "all").partition(": ")[2].removesuffix(". Lower is better."),
        _part(document, times, question, "all", tuple(HEADINGS[question == "regret"])),
        figures,
        [_part(document, times, question, track, _BY_TRACK) for track in tracks],
    )


def _part(
    document: Mapping[str, Any], times: Mapping[str, Any], question: str, track: str, columns: tuple[str, ...]
) -> Part:
    headings = {key: HEADINGS[question == "regret"][key] for key in columns}
    rows = []
    for row in document["tables"][question][track]:
        kind = "own" if row["entrant"] in document["own"] else "elsewhere" if row["rank"] is None else ""
        cells = cells_of(row, times, question)
        rows.append(({key: cells[key] for key in columns}, kind))
    return Part(TRACKS[track], headings, rows)
