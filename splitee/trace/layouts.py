"""Read tables of confidences and predictions in long or wide layout.

A long table has one row per sample and exit (`sample, exit, confidence, prediction, label, ...`), rows in any
order. A wide table has one row per sample and numbered columns (`id, confidence_1, prediction_1, ...`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitee._internal.errors import InputError
from splitee.data.labels import counted, encode_classes
from splitee.data.tables import Table

CLASS_COLUMNS = ("prediction", "label", "cloud_prediction")
SCORES = ("value", "target")  # columns of regression models
_OPTIONAL = ("entropy", "value")  # per-exit columns
_PER_EXIT = ("confidence", "prediction", *_OPTIONAL)
_NEEDED = {"long": ("sample", "exit", "confidence", "prediction"), "wide": ("confidence", "prediction")}
_TEXTS = ("group", "text_hash")
_COUNTS = ("length", "input_bytes")
_MEASURES = ("sharpness", "noise")  # of images
_PER_SAMPLE = ("label", "target", *_COUNTS, *_MEASURES, *_TEXTS, "cloud_confidence", "cloud_prediction")


@dataclass
class Found:
    """The content of a file.

    Attributes
    ----------
    columns : dict of str to array
        Keyed by Trace's argument names; a label of -1 means none.
    class_names : tuple of str or None
        Class names, if the file or the caller has any.
    notes : list of str
        What the user should know about how the file was read.
    exit_layers : tuple of int or None
        The backbone layers of the exits, if the caller named them.
    """

    columns: dict[str, Any]
    class_names: tuple[str, ...] | None
    notes: list[str] = field(default_factory=list)
    exit_layers: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Asked:
    """What the caller says about a file; see `import_trace`."""

    renamed: Mapping[str, str] = field(default_factory=dict)
    class_names: Sequence[str] | None = None
    classes: int | None = None
    no_label: Sequence[str] = ()
    exit_layers: Sequence[int] | None = None


def layout_names(layout: str) -> dict[str, str]:
    """Return the column names of a "long" or "wide" table by splitee's names; `--map` can change them."""
    if layout == "long":
        per_exit = {name: name for name in ("sample", "exit", *_PER_EXIT)}
    else:
        per_exit = {"id": "id", **{name: f"{name}_{{}}" for name in _PER_EXIT}}
    return per_exit | {name: name for name in _PER_SAMPLE}


def read_layout(table: Table, layout: str, asked: Asked | None = None) -> Found:
    """Read a long or a wide table.

    Parameters
    ----------
    table : Table
        The table.
    layout : str
        "long", "wide", or "auto" (recognised by the columns).
    asked : Asked, optional
        Names of columns, classes and exits; in wide tables `{}` stands for the exit number.

    Raises
    ------
    InputError
        If a column or a cell is missing, duplicated or invalid; the message names the column and the row.
    """
    asked = asked or Asked()
    if layout == "auto":
        layout = _recognise(table, asked.renamed)
    names = layout_names(layout)
    for ours, theirs in asked.renamed.items():
        if ours not in names:
            raise InputError(f"--map {ours}={theirs}: the columns of a {layout} table are {', '.join(names)}")
        names[ours] = theirs
    names = without_half_scores(names, table.names, asked.renamed)
    _check_present(table, names, [*_NEEDED[layout], *asked.renamed])
    if not len(table):
        raise InputError("the table has no rows")
    found = (_read_long if layout == "long" else _read_wide)(table, names, asked)
    if ignored := [name for name in table.names if name not in table.used]:
        found.notes.append(f"ignored columns: {listed(ignored)}")
    found.notes = [counted(len(table), "row") + " read", *table.notes, *found.notes]
    return found


def _recognise(table: Table, renamed: Mapping[str, str]) -> str:
    """Return "wide" if there are numbered columns, "long" if there is an exit column."""
    wide = {**layout_names("wide"), **renamed}
    if any(_numbered(table, name, wide[name]) for name in ("confidence", "prediction") if "{}" in wide[name]):
        return "wide"
    if renamed.get("exit", "exit") in table:
        return "long"
    raise InputError(
        "neither a long table (sample, exit, confidence, prediction) nor a wide one (confidence_1,"
        f" prediction_1, ...): its columns are {listed(table.names)};"
        " map them with --map NAME=COLUMN"
        f"{_separated(table.names)}"
    )


def _check_present(table: Table, names: Mapping[str, str], needed: Sequence[str]) -> None:
    for ours in needed:
        theirs = names[ours]
        if "exit" not in names and ours in _PER_EXIT:  # numbered columns of a wide table
            if _numbered(table, ours, theirs):
                continue
            theirs = theirs.replace("{}", "1", 1)
        if theirs not in table:
            raise InputError(
                f"there is no column {theirs!r} among {listed(table.names)}; map it with --map {ours}=COLUMN"
            )


def _read_long(table: Table, names: Mapping[str, str], asked: Asked) -> Found:
    samples = table.texts(names["sample"]).dictionary_encode()  # numbered by first appearance
    ids = samples.dictionary.to_pylist()
    numbers, exit_ = np.unique(table.numbers(names["exit"], np.int64), return_inverse=True)
    notes, exit_layers = _check_exits(numbers, asked.exit_layers)
    row = _rows(table, samples.indices.to_numpy().astype(np.int64), exit_, ids, numbers)

    wanted = _per_sample(table, names) | {
        (name, 0): names[name]
        for name in _PER_EXIT
        if name in names and (name not in _OPTIONAL or table.holds(names[name]))
    }
    arrays, found = _arrays(table, wanted, asked, notes)
    columns: dict[str, Any] = {"id": ids}
    for (name, _), values in arrays.items():
        if name in _PER_EXIT:
            columns[name] = values[row]
            continue
        columns[name] = values[row[:, 0]]
        differs = (values[row] != columns[name][:, None]).any(axis=1)
        if differs.any():
            sample = ids[int(np.argmax(differs))]
            raise InputError(
                f"sample {sample!r} has different values of {names[name]!r} in its rows: give one per sample"
            )
    return Found(columns, found, notes, exit_layers)


def _read_wide(table: Table, names: Mapping[str, str], asked: Asked) -> Found:
    numbered = {name: _numbered(table, name, names[name]) for name in _PER_EXIT if name in names}
    notes, exit_layers = _check_exits(np.array(sorted(numbered["confidence"])), asked.exit_layers)
    for name in numbered.keys() & set(_OPTIONAL):
        if not any(table.holds(theirs) for theirs in numbered[name].values()):
            del numbered[name]
    for name, by_exit in numbered.items():
        for exit_ in sorted(by_exit.keys() ^ numbered["confidence"].keys()):
            has, lacks = ("confidence", name) if exit_ in numbered["confidence"] else (name, "confidence")
            raise InputError(f"exit {exit_} has a {has} column but no {lacks} column")

    wanted = _per_sample(table, names) | {
        (name, exit_): theirs for name, by_exit in numbered.items() for exit_, theirs in by_exit.items()
    }
    arrays, found = _arrays(table, wanted, asked, notes)
    columns: dict[str, Any] = {name: values for (name, _), values in arrays.items() if name not in numbered}
    for name, by_exit in numbered.items():
        columns[name] = np.stack([arrays[name, exit_] for exit_ in sorted(by_exit)], axis=1)
    if names["id"] in table:
        columns["id"] = table.texts(names["id"]).to_pylist()
    return Found(columns, found, notes, exit_layers)


def _numbered(table: Table, ours: str, pattern: str) -> dict[int, str]:
    """Return the columns that match a pattern such as `confidence_{}`, keyed by exit number."""
    before, mark, after = pattern.partition("{}")
    if not mark:
        raise InputError(f"--map {ours}={pattern}: in a wide table, write {{}} in place of the exit number")
    found: dict[int, str] = {}
    for name in table.names:
        if match := re.fullmatch(f"{re.escape(before)}([0-9]{{1,9}}){re.escape(after)}", name):
            if (number := int(match[1])) in found:
                raise InputError(
                    f"{found[number]!r} and {name!r} are both the {ours} of exit {number}: remove one"
                )
            found[number] = name
    return found


def _check_exits(
    numbers: NDArray[np.int64], layers: Sequence[int] | None
) -> tuple[list[str], tuple[int, ...] | None]:
    """Refuse sorted exit numbers with gaps, unless `layers` says that they are these layers of the backbone.

    Return a note if they count from 0, and the layers.
    """
    first, count = int(numbers[0]), len(numbers)
    named = None if layers is None else tuple(layers)
    if named is not None and len(named) != count:
        raise InputError(f"--exit-layers names {len(named)} layers, but the file has {count} exits")
    if named is not None and named == tuple(numbers.tolist()):
        return [], named
    if first not in (0, 1) or int(numbers[-1]) - first != count - 1:
        listed = ", ".join(str(number) for number in numbers[:12]) + (", ..." if count > 12 else "")
        mend = ""
        if first > 0 and count <= 100:
            given = ",".join(str(number) for number in numbers)
            mend = f": if these are layers of the backbone, give --exit-layers {given}"
        raise InputError(f"exits must be numbered 1, 2, 3, ... without gaps, not {listed}{mend}")
    return [] if first else [f"exits count from 0 in the file; they are 1..{count} in the trace"], named


def _rows(
    table: Table,
    sample: NDArray[np.int64],
    exit_: NDArray[np.int64],
    ids: Sequence[str],
    numbers: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Return the row of each (sample, exit) pair, shape (n, L); refuse missing or duplicate pairs."""
    pair = sample * len(numbers) + exit_
    order = np.argsort(pair, kind="stable")
    doubled = np.flatnonzero(np.diff(pair[order]) == 0)
    if doubled.size:
        first, second = order[doubled[0]], order[doubled[0] + 1]
        raise InputError(
            f"sample {ids[sample[first]]!r} has two rows for exit {numbers[exit_[first]]}:"
            f" rows {table.row(first)} and {table.row(second)}"
        )
    short = np.flatnonzero(np.bincount(sample) < len(numbers))
    if short.size:
        absent = np.setdiff1d(np.arange(len(numbers)), exit_[sample == short[0]])
        raise InputError(f"sample {ids[short[0]]!r} has no row for exit {numbers[absent[0]]}")
    return order.reshape(len(ids), len(numbers))


def _per_sample(table: Table, names: Mapping[str, str]) -> dict[tuple[str, int], str]:
    """Return the optional per-sample columns that exist; empty columns are skipped, except `group`."""
    return {
        (name, 0): names[name]
        for name in _PER_SAMPLE
        if name in names and (names[name] in table if name == "group" else table.holds(names[name]))
    }


def without_half_scores(
    names: Mapping[str, str], held: Collection[str], asked: Collection[str]
) -> dict[str, str]:
    """Drop `value` and `target` (regression scores) unless the table means them.

    They are kept if both columns exist or if `asked` names them. A single column of such a name is more
    likely to hold something else.
    """
    both = all(any(re.fullmatch(_pattern(names[name]), column) for column in held) for name in SCORES)
    claimed = [theirs for ours, theirs in names.items() if ours not in SCORES]
    meant = {name for name in SCORES if names[name] not in claimed and (both or name in asked)}
    return {ours: theirs for ours, theirs in names.items() if ours not in SCORES or ours in meant}


def _pattern(name: str) -> str:
    return re.escape(name).replace(re.escape("{}"), "[0-9]+")


def _arrays(
    table: Table, wanted: Mapping[tuple[str, int], str], asked: Asked, notes: list[str]
) -> tuple[dict[tuple[str, int], NDArray[Any]], tuple[str, ...] | None]:
    """Read the wanted columns, given as {(splitee's name, exit): column}, each with its own dtype."""
    cells = {theirs: table.cells(theirs) for (ours, _), theirs in wanted.items() if ours in CLASS_COLUMNS}
    labels = [theirs for (ours, _), theirs in wanted.items() if ours == "label"]
    encoded = encode_classes(
        cells,
        asked.class_names,
        table.first_row,
        classes=asked.classes,
        no_label=asked.no_label,
        labels=labels,
    )
    notes += encoded.notes
    arrays: dict[tuple[str, int], NDArray[Any]] = {}
    for (ours, exit_), theirs in wanted.items():
        if ours in CLASS_COLUMNS:
            values: NDArray[Any] = encoded.columns[theirs]
        elif ours in _TEXTS:
            values = table.texts(theirs).to_numpy(zero_copy_only=False)
        else:
            values = table.numbers(theirs, np.int64 if ours in _COUNTS else np.float32)
        arrays[ours, exit_] = values
    return arrays, encoded.names


def listed(names: Sequence[str]) -> str:
    """Return names with commas; of many, the first."""
    shown = ", ".join(" ".join(name.split())[:60] for name in names[:30])
    return shown if len(names) <= 30 else f"{shown} and {len(names) - 30:,} more"


def _separated(names: Sequence[str]) -> str:
    """Return a hint if the only column looks like several."""
    return " (separated by spaces? --sep space)" if len(names) == 1 and " " in names[0].strip() else ""
