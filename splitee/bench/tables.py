"""The table of the suite: rows of cells in, ranks and means by question and track out."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from splitee._internal.errors import InputError
from splitee.bench.entrants import ENTRANTS
from splitee.bench.playing import Row
from splitee.bench.ranks import ranked
from splitee.bench.suite import QUESTIONS, TRACKS, VERSION, cells, seal
from splitee.bench.traces import FORMS

if TYPE_CHECKING:
    import pandas as pd

FIELD = Path(__file__).parent / "field.parquet"
PARTS = ("all", *TRACKS, "text", "image")
"""What tables speak of: all cells, those of a track, those of texts or of images."""
_FLOATS = ("score", "cost", "drop", "reward", "disagreement", "offloaded", "latency", "energy", "kilobytes",
           "promise", "promise_broken")  # fmt: skip
_MEASURED = ("latency", "energy", "kilobytes")  # in cells with a clock
_TEXTS = ("entrant", "question", "member", "why")


_COLUMNS = ["cell", "entrant", "question", "member", "fell_back", "broken", *_FLOATS, "why"]


def as_frame(rows: Iterable[Row], field: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return rows of cells as a table, after the stored field: one row per cell, entrant and question."""
    import pandas as pd

    given = list(rows)
    made = pd.DataFrame(given, columns=None if given else _COLUMNS)
    for name in ("why", *_FLOATS):
        if name not in made:
            made[name] = None
    made["why"] = made["why"].fillna("")
    made = made.astype(dict.fromkeys(_FLOATS, "float32") | {"cell": "int16"})
    made = made[_COLUMNS]
    if field is not None:
        made = pd.concat([field, made], ignore_index=True)
    made["question"] = pd.Categorical(made["question"], QUESTIONS)
    made = made.sort_values(["cell", "question"], kind="stable", ignore_index=True)
    return made.astype(dict.fromkeys(_TEXTS, "category"))


def stored_field() -> pd.DataFrame:
    """Return the stored results of the package's entrants.

    Raises
    ------
    InputError
        If they are of another suite: traces, cells or systems have changed.
    """
    import pyarrow.parquet as pq

    data = FIELD.read_bytes() if FIELD.is_file() else b""
    kept = (pq.read_metadata(io.BytesIO(data)).metadata or {}) if data else {}
    if kept.get(b"seal", b"").decode() != seal():
        raise InputError(
            "the stored results of the package's policies are of another suite than this one: give --all, "
            "which plays them again"
        )
    frame: pd.DataFrame = pq.read_table(io.BytesIO(data)).to_pandas()
    return frame.astype(dict.fromkeys(_TEXTS, "object"))


def store_field(frame: pd.DataFrame, place: Path = FIELD) -> None:
    """Write the results of the package's entrants as the stored ones."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pandas(frame, preserve_index=False)
    table = table.replace_schema_metadata((table.schema.metadata or {}) | {b"seal": seal().encode()})
    pq.write_table(table, place, compression="zstd")


def document_of(
    frame: pd.DataFrame, own: Sequence[str], failed: Mapping[str, str], facts: Mapping[str, Any]
) -> dict[str, Any]:
    """Return everything that the page and the printed table show, in plain types.

    Parameters
    ----------
    frame : DataFrame
        See `as_frame`.
    own : sequence of str
        Entrants of policy files.
    failed : mapping of str to str
        Why other policy files are not in the table.
    facts : mapping
        Of the run.
    """
    present = set(frame["entrant"].astype(str))
    entrants = [
        {"name": e.name, "form": e.form, "source": e.source, "sees": e.sees, "bound": e.bound}
        for e in ENTRANTS
        if e.name in present
    ]
    entrants += [{"name": name, "form": "file", "source": "", "sees": "", "bound": False} for name in own]
    names = [str(one["name"]) for one in entrants]
    bounds = {str(one["name"]) for one in entrants if one["bound"]}
    every = cells()
    frame = frame.assign(
        entrant=frame["entrant"].astype(str),
        question=frame["question"].astype(str),
        trace=[every[number].trace for number in frame["cell"]],
        track=[every[number].track for number in frame["cell"]],
        kind=[FORMS[every[number].trace].kind for number in frame["cell"]],
    )
    tables = {}
    for question in QUESTIONS:
        asked = frame[frame["question"] == question]
        parts = {part: asked[_belongs(asked, part)] for part in PARTS}
        tables[question] = {
            part: _table(rows, question, names, bounds) for part, rows in parts.items() if len(rows)
        }
    return {
        "suite": VERSION,
        **{name: facts[name] for name in ("seal", "field", "files", "libraries")},
        "cells": len(every),
        "traces": len(FORMS),
        "own": list(own),
        "failed": dict(sorted(failed.items())),
        "entrants": entrants,
        "tables": tables,
    }


def _belongs(frame: pd.DataFrame, part: str) -> Any:
    if part == "all":
        return np.ones(len(frame), dtype=bool)
    return frame["track" if part in TRACKS else "kind"] == part


def _table(
    frame: pd.DataFrame, question: str, names: Sequence[str], bounds: set[str]
) -> list[dict[str, Any]]:
    """Return one row per entrant, ranked ones first; bounds have no rank."""
    by_trace = frame.pivot_table("score", "trace", "entrant", aggfunc="mean", observed=True)
    ranking = [name for name in names if name not in bounds]
    found = ranked(by_trace[ranking].to_numpy(np.float64))
    place = {name: k for k, name in enumerate(ranking)}
    told = frame.assign(
        constant=frame["cost"].where(frame["latency"].isna()),
        broken=100.0 * frame["broken"],
        fell_back=100.0 * frame["fell_back"],
        promise_broken=100.0 * frame["promise_broken"],
    ).groupby("entrant", observed=True)
    means = told[
        ["drop", "broken", "promise_broken", "fell_back", "disagreement", "constant", *_MEASURED]
    ].mean()
    worst = told["drop"].max()
    rows = []
    for name in names:
        of, k = means.loc[name], place.get(name)
        rows.append(
            {
                "entrant": name,
                "rank": None if k is None else int(found.rank[k]),
                "best": None if k is None else int(found.best[k]),
                "worst": None if k is None else int(found.worst[k]),
                "score": _number(by_trace[name].mean()),
                "low": None if k is None else _number(found.low[k]),
                "high": None if k is None else _number(found.high[k]),
                "drop": _number(of["drop"]),
                "worst_drop": _number(worst[name]),
                "broken": None if question == "regret" else _number(of["broken"]),
                **{key: _number(of[key]) for key in ("promise_broken", "fell_back", "disagreement")},
                "cost": _number(of["constant"]),
                **{
                    key: _number(of[column])
                    for key, column in zip(("ms", "mJ", "KB"), _MEASURED, strict=True)
                },
            }
        )
    return sorted(rows, key=lambda row: (row["rank"] is None, row["rank"] or 0, row["score"]))


def _number(value: Any) -> float | None:
    return None if value is None or np.isnan(value) else round(float(value), 3)
