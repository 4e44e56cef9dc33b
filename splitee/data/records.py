"""Read JSON and JSON Lines: a list of records, one record per line, or one list per column."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from splitee._internal.errors import InputError

Records = list[dict[str, Any]]
Columns = dict[str, list[Any]]


def read_json(text: str, lines: bool | None = None) -> Columns:
    """Return the columns of a JSON text by name; what a record lacks is None.

    Parameters
    ----------
    text : str
        Records, ``[{"text": ...}, ...]``; one record per line; columns, ``{"text": [...], ...}``; what
        `DataFrame.to_json` writes by default or with ``orient="split"`` or ``"table"``; or one key with
        records.
    lines : bool, optional
        Whether there is one record per line. Default: if the text is not one JSON value.

    Raises
    ------
    InputError
        If it is none of these, a key occurs twice in a record, or it is nested too deeply.
    """
    if lines:
        return _columns(_lines(text))
    try:
        value = _load(text)
    except InputError as error:
        if lines is None and "\n" in text.strip() and "Extra data" in str(error):
            return _columns(_lines(text))
        raise
    if isinstance(value, list):
        return _columns(_records(value))
    if not isinstance(value, dict):
        raise InputError('the JSON text is a single value: give records, such as [{"text": "..."}, ...]')
    return _of_object(value)


def _of_object(value: dict[str, Any]) -> Columns:
    if {"columns", "data"} <= value.keys() and isinstance(value["columns"], list):  # orient="split"
        names, rows = value["columns"], value["data"]
        if not isinstance(rows, list) or any(
            not isinstance(row, list) or len(row) != len(names) for row in rows
        ):
            raise InputError(f"its data must be rows of {len(names)} cells, as many as its columns")
        if len(set(map(str, names))) < len(names):
            raise InputError("two of its columns have one name: rename one")
        return {str(name): [row[i] for row in rows] for i, name in enumerate(names)}
    if isinstance(value.get("data"), list) and isinstance(value.get("schema"), dict):  # orient="table"
        return _columns(_records(value["data"]))
    inner = list(value.values())
    if inner and all(isinstance(column, list) for column in inner):
        if len(inner) == 1 and inner[0] and isinstance(inner[0][0], dict):
            return _columns(_records(inner[0]))
        return value
    if inner and all(
        isinstance(column, dict) for column in inner
    ):  # to_json's default: {column: {row: cell}}
        keys = list(inner[0])
        if any(list(column) != keys for column in inner):
            raise InputError("its columns hold different rows: give records, such as [{...}, {...}]")
        return {name: list(column.values()) for name, column in value.items()}
    return _columns([value])  # JSON Lines of one line


def _lines(text: str) -> Records:
    records = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = _load(line)
        except InputError as error:
            raise InputError(f"line {number}: {error}") from error
        if not isinstance(value, dict):
            raise InputError(f'line {number} is not an object, such as {{"text": "..."}}')
        records.append(value)
    return records


def _records(values: list[Any]) -> Records:
    for number, value in enumerate(values, start=1):
        if not isinstance(value, dict):
            raise InputError(f'record {number} is not an object, such as {{"text": "..."}}')
    return values


def _columns(records: Records) -> Columns:
    names = list(dict.fromkeys(name for record in records for name in record))
    if len(names) * len(records) > 1_000_000 + 50 * sum(map(len, records)):
        raise InputError("most of its records lack most of its keys: give every record the same keys")
    return {name: [record.get(name) for record in records] for name in names}


def _load(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_once)
    except RecursionError:
        raise InputError("the JSON text is nested too deeply for a table") from None
    except InputError:
        raise
    except ValueError as error:  # includes numbers of too many digits
        raise InputError(f"not valid JSON: {' '.join(str(error).split())[:200]}") from error


def _once(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    pairs = list(pairs)
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"the key {twice[:60]!r} occurs twice in a record: remove one")
    return found
