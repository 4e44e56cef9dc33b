"""Convert classes given as numbers or names to class numbers, and marks of no label to -1."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from splitee._internal.errors import InputError

NO_LABEL = -1
MOST = 100_000  # classes given as numbers
_MARKS = ("", "-", "--", "–", "—", "?", "n/a", "na", "nan", "null", "nil", "unlabeled", "unlabelled")
_SHOWN = 12
_WHOLE = re.compile(r"[+-]?(0|[1-9][0-9]{0,20})(\.[0-9]{0,30})?([eE][+-]?[0-9]{1,3})?")


class Encoded(NamedTuple):
    """Class numbers by column, -1 for no label; the class names, if there are any; notes for the user."""

    columns: dict[str, NDArray[np.int64]]
    names: tuple[str, ...] | None
    notes: list[str]


def encode_classes(
    cells: Mapping[str, Any],
    names: Sequence[str] | None = None,
    first_row: int = 0,
    *,
    classes: int | None = None,
    no_label: Collection[str] = (),
    labels: Collection[str] = (),
) -> Encoded:
    """Number the classes consistently across columns.

    Parameters
    ----------
    cells : mapping of str to pyarrow array of strings
        The class columns, keyed by the name that error messages use.
    names : sequence of str, optional
        The names of classes 0, 1, ...; if omitted, names are numbered in sorted order.
    first_row : int
        The number that error messages give to the first row.
    classes : int, optional
        The number of classes, if the caller knows it.
    no_label : collection of str
        Marks in the columns `labels` that mean no label, such as "-1" or "-"; "empty" is the empty cell.
    labels : collection of str
        The columns of right classes, as opposed to predictions. If all cells of one are a mark, such as -1,
        the column holds no labels.

    Raises
    ------
    InputError
        If a cell is empty or a usual mark of no label, is not one of the given names, is a name among
        numbers, or if numbers count from 1 and no names say which classes there are.

    Examples
    --------
    >>> import pyarrow as pa
    >>> found = encode_classes({"label": pa.array(["good", "-", "bad"])}, no_label=["-"], labels=["label"])
    >>> found.columns["label"].tolist(), found.names
    ([1, -1, 0], ('bad', 'good'))
    """
    encoded = {column: values.dictionary_encode() for column, values in cells.items()}
    distinct = {column: values.dictionary.to_pylist() for column, values in encoded.items()}
    known = {_plain(name): number for number, name in enumerate(names or ())}
    if names is not None and len(known) < len(names):
        raise InputError(f"class names {', '.join(names)}: give each name once")
    none = {_plain("" if mark == "empty" else mark) for mark in no_label}
    notes: list[str] = []
    for column in labels:
        if column not in distinct:
            continue
        marks = {_plain(text) for text in distinct[column]}
        if {mark for mark in marks if not _is_mark(mark)} <= none and not marks & known.keys():
            none |= marks
            notes.append(f"no labels: every cell of column {column!r} is {_listed(sorted(marks))}")
            continue
        notes += [
            f"no cell of column {column!r} is {mark!r}, the mark of no label"
            for mark in sorted(none - marks - {"-1"})
        ]

    found = _Cells(cells, first_row)
    texts: set[str] = set()
    for column, values in distinct.items():
        plain = {_plain(text) for text in values}
        texts |= plain - none if column in labels else plain
        if column in labels:
            _ask_for_marks(found, column, plain - none - known.keys())
    code = _code(found, texts, names, known, classes, notes)
    code |= {mark: NO_LABEL for mark in none if mark not in code}
    columns = {}
    for column, values in encoded.items():
        numbers = np.array([code[_plain(text)] for text in distinct[column]], dtype=np.int64)
        columns[column] = numbers[values.indices.to_numpy(zero_copy_only=False)]
    if names is None and not all(isinstance(_whole(text), int) for text in texts):
        names = sorted(texts)
    return Encoded(columns, None if names is None else tuple(names), notes)


def count_classes(labels: NDArray[np.int64], names: Sequence[str] | None) -> str:
    """Return the classes that occur with their counts, and those that do not, as one line.

    Examples
    --------
    >>> count_classes(np.array([0, 2, 0]), ["bad", "so-so", "good"])
    "labels: 'bad' 2, 'good' 1; 'so-so' does not occur"
    """
    counts = np.bincount(labels, minlength=len(names or ()))
    named = [names[i] if names and i < len(names) else str(i) for i in range(len(counts))]
    there = [f"{name!r} {count:,}" for name, count in zip(named, counts, strict=True) if count]
    absent = [repr(name) for name, count in zip(named, counts, strict=True) if not count]
    line = "labels: " + _first(there)
    if absent:
        line += f"; {_first(absent)} {'does' if len(absent) == 1 else 'do'} not occur"
    return line


class _Cells:
    """The cells of all columns, to name the first that is wrong."""

    def __init__(self, cells: Mapping[str, Any], first_row: int) -> None:
        self.cells, self.first_row = cells, first_row

    def refuse(self, bad: Collection[str], why: str) -> None:
        for column, values in self.cells.items():
            for row, cell in enumerate(values.to_pylist()):
                if _plain(cell) in bad:
                    raise InputError(f"{column}, row {row + self.first_row}: {cell!r} {why}")


def _ask_for_marks(found: _Cells, column: str, texts: set[str]) -> None:
    """Refuse marks that usually mean no label, unless the caller says what they are."""
    marks = [text for text in texts if _is_mark(text)]
    if not marks:
        return
    cells = [_plain(cell) for cell in found.cells[column].to_pylist()]
    mark = max(marks, key=lambda text: (cells.count(text), text))
    shown, option = (repr(mark), f"--no-label={mark}") if mark else ("empty", "--no-label empty")
    held = "is empty" if not mark else f"holds {shown}"
    others = sorted({text for text in texts if text})
    raise InputError(
        f"column {column!r} {held} in {cells.count(mark):,} of {len(cells):,} rows (the first: row "
        f"{cells.index(mark) + found.first_row}): if that means no label, give {option}, and these rows"
        " are left out"
        + (f"; if it is a class, give --class-names={','.join(sorted(others)[:_SHOWN])}" if mark else "")
    )


def _code(
    found: _Cells,
    texts: set[str],
    names: Sequence[str] | None,
    known: Mapping[str, int],
    classes: int | None,
    notes: list[str],
) -> dict[str, int]:
    """Return the number of every text."""
    found.refuse(texts & {""} - known.keys(), "is empty: give every sample a class, or leave the column out")
    if names is not None and texts <= known.keys():
        return dict(known)
    numbers = {text: number for text in texts if (number := _whole(text)) is not None}
    if len(numbers) == len(texts):
        return _numbered(found, numbers, names, classes, notes)
    if names is not None:
        found.refuse(texts - known.keys(), f"is none of the class names {_first(list(names))}")
    if all(_is_number(text) for text in texts):
        found.refuse(
            texts - numbers.keys(),
            "is not a class number: numbers to regress need --regression, names of classes --class-names",
        )
    if numbers:
        found.refuse(
            texts - numbers.keys(),
            "is not a class number, but other cells are: use numbers or names only, or name all with"
            " --class-names",
        )
    return {name: number for number, name in enumerate(sorted(texts))}


def _numbered(
    found: _Cells,
    numbers: Mapping[str, int],
    names: Sequence[str] | None,
    classes: int | None,
    notes: list[str],
) -> dict[str, int]:
    """Return the classes that are given as numbers, from 0 or, if names say how many there are, from 1."""
    if not numbers:
        return {}
    least, most = min(numbers.values()), max(numbers.values())
    listed = ",".join(sorted(numbers, key=numbers.__getitem__)[:_SHOWN])
    if least < 0:
        bad = {text for text, number in numbers.items() if number < 0}
        found.refuse(
            bad,
            f"is negative, and classes are numbered from 0: give --class-names={listed} to make it a class",
        )
    count = len(names) if names is not None else classes
    if names is not None and least >= 1 and most == len(names):
        notes.append(f"classes are numbered from 1 in the file: 1 is {names[0]!r}, {most} is {names[-1]!r}")
        return {text: number - 1 for text, number in numbers.items()}
    if count is not None and most >= count:
        bad = {text for text, number in numbers.items() if number >= count}
        found.refuse(bad, f"is not a class: there are {count} classes, 0 to {count - 1}")
    if most >= MOST:
        found.refuse(
            {text for text, number in numbers.items() if number >= MOST}, "is too large for a class number"
        )
    if count is None and least >= 1 and most >= 2:
        raise InputError(
            f"the classes are numbered from {least} to {most} and none is 0: give --class-names with the"
            " name of "
            "every class, such as --class-names"
            f" {','.join(str(number) for number in range(1, min(most, 12) + 1))}, "
            f"or --classes {most + 1} if there is a class 0 that does not occur"
        )
    return dict(numbers)


def _plain(text: str) -> str:
    """Return "3" for "3.0" and "+3", as float columns write integers; other texts unchanged."""
    number = _whole(text)
    return text if number is None else str(number)


def _whole(text: str) -> int | None:
    """Parse "3", "3.0" or "3e0"; return None for anything else, such as "007", which is a name."""
    if not _WHOLE.fullmatch(text):
        return None
    number = float(text)
    return int(number) if number.is_integer() and abs(number) < 2**31 else None


def _is_mark(text: str) -> bool:
    """Return whether a text usually means no label."""
    return text == "-1" or text.lower() in _MARKS


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _listed(texts: Sequence[str]) -> str:
    return " or ".join("empty" if not text else repr(text) for text in texts)


def _first(texts: Sequence[str]) -> str:
    shown = ", ".join(texts[:_SHOWN])
    return shown if len(texts) <= _SHOWN else f"{shown} and {len(texts) - _SHOWN} more"


def counted(number: int, what: str) -> str:
    """Return a number with its noun: 1 row, 1,000 rows."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def count_marks(codes: NDArray[np.int64], cells: Any) -> str:
    """Return the marks of the rows without a label with their counts, as one phrase."""
    marks = Counter(cell for cell, code in zip(cells.to_pylist(), codes, strict=True) if code == NO_LABEL)
    return ", ".join(
        f"{'empty' if not mark else repr(mark)} {count:,}" for mark, count in marks.most_common(_SHOWN)
    )
