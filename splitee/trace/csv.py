"""Read CSV tables of confidences and predictions in long or wide layout.

A long table has one row per sample and exit (`sample, exit, confidence, prediction, label, ...`), rows in any
order. A wide table has one row per sample and numbered columns (`id, confidence_1, prediction_1, ...`).
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from splitee._internal.errors import InputError
from splitee.trace.classes import CLASS_COLUMNS, encode_classes

SCORES = ("value", "target")  # columns of regression models
_OPTIONAL = ("entropy", "value")  # per-exit columns
_PER_EXIT = ("confidence", "prediction", *_OPTIONAL)
_NEEDED = {"long": ("sample", "exit", "confidence", "prediction"), "wide": ("confidence", "prediction")}
_PER_SAMPLE = ("label", "target", "length", "group", "cloud_confidence", "cloud_prediction")


class Found(NamedTuple):
    """The content of a file: columns keyed by Trace's argument names, class names, notes for the user."""

    columns: dict[str, Any]
    class_names: tuple[str, ...] | None
    notes: list[str]


def layout_names(layout: str) -> dict[str, str]:
    """Return the column names of a "long" or "wide" table by splitee's names; `--map` can change them."""
    if layout == "long":
        per_exit = {name: name for name in ("sample", "exit", *_PER_EXIT)}
    else:
        per_exit = {"id": "id", **{name: f"{name}_{{}}" for name in _PER_EXIT}}
    return per_exit | {name: name for name in _PER_SAMPLE}


def read_csv(
    data: bytes, layout: str, renamed: Mapping[str, str], class_names: Sequence[str] | None = None
) -> Found:
    """Read a CSV table.

    Parameters
    ----------
    data : bytes
        The table, UTF-8, with a header.
    layout : str
        "long", "wide", or "auto" (recognised by the columns).
    renamed : mapping of str to str
        The file's names for some of `layout_names(layout)`; in wide tables `{}` stands for the exit number.
    class_names : sequence of str, optional
        The names of classes 0, 1, ...

    Raises
    ------
    InputError
        If a column or a cell is missing, duplicated or invalid; the message names the column and the row
        (the header is row 1, as in a spreadsheet).
    """
    table = _Table(data)
    if layout == "auto":
        layout = _recognise(table, renamed)
    names = layout_names(layout)
    for ours, theirs in renamed.items():
        if ours not in names:
            raise InputError(f"--map {ours}={theirs}: the columns of a {layout} table are {', '.join(names)}")
        names[ours] = theirs
    names = without_half_scores(names, table.header, renamed)
    _check_present(table, names, [*_NEEDED[layout], *renamed])
    columns, names_found, notes = (_read_long if layout == "long" else _read_wide)(table, names, class_names)
    if ignored := [name for name in table.header if name not in table.used]:
        notes.append(f"ignored columns: {', '.join(ignored)}")
    return Found(columns, names_found, notes)


class _Table:
    """A CSV file as columns of uninterpreted text."""

    def __init__(self, data: bytes) -> None:
        import pyarrow as pa
        from pyarrow import csv as arrow_csv

        try:
            text = data.decode("utf-8-sig")
            # quoted names may hold line breaks, so the header needs a CSV reader
            self.header = next(csv.reader(io.StringIO(text, newline="")), [])
        except (UnicodeDecodeError, csv.Error) as error:
            raise InputError(f"neither CSV text (UTF-8) nor NPZ: {error}") from error
        if not self.header:
            raise InputError("the file or its first line is empty: the first line must name the columns")
        if len(self.header) == 1 and (marks := [mark for mark in (";", "\t", "|") if mark in self.header[0]]):
            raise InputError(f"its columns are separated by {marks[0]!r}: save it with commas")
        for name in self.header:
            if self.header.count(name) > 1:
                raise InputError(f"two columns are called {name!r}")
        try:
            table = arrow_csv.read_csv(
                io.BytesIO(data),
                # Arrow's errors name the row only with one thread
                read_options=arrow_csv.ReadOptions(use_threads=False, block_size=1 << 24),
                parse_options=arrow_csv.ParseOptions(newlines_in_values=True),
                convert_options=arrow_csv.ConvertOptions(
                    column_types=dict.fromkeys(self.header, pa.string())
                ),
            )
        except pa.ArrowInvalid as error:
            raise InputError(f"not valid CSV: {error}") from error
        if not table.num_rows:
            raise InputError("the file has a header, but no rows")
        self.used: set[str] = set()
        self._table = table

    def texts(self, name: str) -> Any:
        """Return a column as a pyarrow array of strings, unchanged."""
        self.used.add(name)
        return self._table[name].combine_chunks()

    def cells(self, name: str) -> Any:
        """Return a column as a pyarrow array of strings, stripped of surrounding space."""
        import pyarrow.compute as pc

        return pc.utf8_trim_whitespace(self.texts(name))

    def holds(self, name: str) -> bool:
        """Return whether the column exists and is not empty."""
        if name not in self.header:
            return False
        return any(bool(text) for text in self.cells(name).unique().to_pylist())

    def numbers(self, name: str, kind: type[np.generic]) -> NDArray[Any]:
        """Parse a column directly as `kind`, so that decimals are rounded once."""
        import pyarrow as pa

        cells = self.cells(name)
        arrow = pa.from_numpy_dtype(np.dtype(kind))
        try:
            values: NDArray[Any] = cells.cast(arrow).to_numpy(zero_copy_only=False)
        except pa.ArrowInvalid:
            row = next(row for row, cell in enumerate(cells) if not _parses(cell, arrow))
            what = "number" if issubclass(kind, np.floating) else "whole number"
            raise InputError(
                f"column {name!r}, row {row + 2}: {cells[row].as_py()!r} is not a {what}"
            ) from None
        return values


def _parses(cell: Any, kind: Any) -> bool:
    import pyarrow as pa

    try:
        cell.cast(kind)
    except pa.ArrowInvalid:
        return False
    return True


def _recognise(table: _Table, renamed: Mapping[str, str]) -> str:
    """Return "wide" if there are numbered columns, "long" if there is an exit column."""
    wide = {**layout_names("wide"), **renamed}
    if any(_numbered(table, name, wide[name]) for name in ("confidence", "prediction") if "{}" in wide[name]):
        return "wide"
    if renamed.get("exit", "exit") in table.header:
        return "long"
    raise InputError(
        "neither a long table (sample, exit, confidence, prediction) nor a wide one (confidence_1,"
        f" prediction_1, ...): its columns are {', '.join(table.header)};"
        " map them with --map NAME=COLUMN"
    )


def _check_present(table: _Table, names: Mapping[str, str], needed: Sequence[str]) -> None:
    for ours in needed:
        theirs = names[ours]
        if "exit" not in names and ours in _PER_EXIT:  # numbered columns of a wide table
            if _numbered(table, ours, theirs):
                continue
            theirs = theirs.replace("{}", "1", 1)
        if theirs not in table.header:
            raise InputError(
                f"there is no column {theirs!r} among {', '.join(table.header)};"
                f" map it with --map {ours}=COLUMN"
            )


def _read_long(table: _Table, names: Mapping[str, str], class_names: Sequence[str] | None) -> Found:
    samples = table.texts(names["sample"]).dictionary_encode()  # numbered by first appearance
    ids = samples.dictionary.to_pylist()
    numbers, exit_ = np.unique(table.numbers(names["exit"], np.int64), return_inverse=True)
    notes = _check_exits(numbers)
    row = _rows(samples.indices.to_numpy().astype(np.int64), exit_, ids, numbers)

    wanted = _per_sample(table, names) | {
        (name, 0): names[name]
        for name in _PER_EXIT
        if name in names and (name not in _OPTIONAL or table.holds(names[name]))
    }
    arrays, found = _arrays(table, wanted, class_names)
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
    return Found(columns, found, notes)


def _read_wide(table: _Table, names: Mapping[str, str], class_names: Sequence[str] | None) -> Found:
    numbered = {name: _numbered(table, name, names[name]) for name in _PER_EXIT if name in names}
    notes = _check_exits(np.array(sorted(numbered["confidence"])))
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
    arrays, found = _arrays(table, wanted, class_names)
    columns: dict[str, Any] = {name: values for (name, _), values in arrays.items() if name not in numbered}
    for name, by_exit in numbered.items():
        columns[name] = np.stack([arrays[name, exit_] for exit_ in sorted(by_exit)], axis=1)
    if names["id"] in table.header:
        columns["id"] = table.texts(names["id"]).to_pylist()
    return Found(columns, found, notes)


def _numbered(table: _Table, ours: str, pattern: str) -> dict[int, str]:
    """Return the columns that match a pattern such as `confidence_{}`, keyed by exit number."""
    before, mark, after = pattern.partition("{}")
    if not mark:
        raise InputError(f"--map {ours}={pattern}: in a wide table, write {{}} in place of the exit number")
    found: dict[int, str] = {}
    for name in table.header:
        if match := re.fullmatch(f"{re.escape(before)}([0-9]+){re.escape(after)}", name):
            if (number := int(match[1])) in found:
                raise InputError(
                    f"{found[number]!r} and {name!r} are both the {ours} of exit {number}: remove one"
                )
            found[number] = name
    return found


def _check_exits(numbers: NDArray[np.int64]) -> list[str]:
    """Refuse gaps in sorted exit numbers; return a note if they count from 0."""
    first = int(numbers[0])
    if first not in (0, 1) or int(numbers[-1]) - first != len(numbers) - 1:
        listed = ", ".join(str(number) for number in numbers[:12]) + (", ..." if len(numbers) > 12 else "")
        raise InputError(f"exits must be numbered 1, 2, 3, ... without gaps, not {listed}")
    return [] if first else [f"exits count from 0 in the file; they are 1..{len(numbers)} in the trace"]


def _rows(
    sample: NDArray[np.int64], exit_: NDArray[np.int64], ids: Sequence[str], numbers: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the row of each (sample, exit) pair, shape (n, L); refuse missing or duplicate pairs."""
    pair = sample * len(numbers) + exit_
    order = np.argsort(pair, kind="stable")
    doubled = np.flatnonzero(np.diff(pair[order]) == 0)
    if doubled.size:
        first, second = order[doubled[0]], order[doubled[0] + 1]
        raise InputError(
            f"sample {ids[sample[first]]!r} has two rows for exit {numbers[exit_[first]]}:"
            f" rows {first + 2} and {second + 2}"
        )
    short = np.flatnonzero(np.bincount(sample) < len(numbers))
    if short.size:
        absent = np.setdiff1d(np.arange(len(numbers)), exit_[sample == short[0]])
        raise InputError(f"sample {ids[short[0]]!r} has no row for exit {numbers[absent[0]]}")
    return order.reshape(len(ids), len(numbers))


def _per_sample(table: _Table, names: Mapping[str, str]) -> dict[tuple[str, int], str]:
    """Return the optional per-sample columns that exist; empty columns are skipped, except `group`."""
    return {
        (name, 0): names[name]
        for name in _PER_SAMPLE
        if name in names and (names[name] in table.header if name == "group" else table.holds(names[name]))
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
    table: _Table, wanted: Mapping[tuple[str, int], str], class_names: Sequence[str] | None
) -> tuple[dict[tuple[str, int], NDArray[Any]], tuple[str, ...] | None]:
    """Read the wanted columns, given as {(splitee's name, exit): column}, each with its own dtype."""
    cells = {theirs: table.cells(theirs) for (ours, _), theirs in wanted.items() if ours in CLASS_COLUMNS}
    classes, found = encode_classes(cells, class_names, 2)
    arrays: dict[tuple[str, int], NDArray[Any]] = {}
    for (ours, exit_), theirs in wanted.items():
        if ours in CLASS_COLUMNS:
            values: NDArray[Any] = classes[theirs]
        elif ours == "group":
            values = table.texts(theirs).to_numpy(zero_copy_only=False)
        else:
            values = table.numbers(theirs, np.int64 if ours == "length" else np.float32)
        arrays[ours, exit_] = values
    return arrays, found
