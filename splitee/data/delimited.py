"""Read CSV, TSV and their kin: find the separator, check the quotation marks, keep every cell as text."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from itertools import islice
from typing import Any

from splitee._internal.errors import InputError

SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe"}
_NAMES = {name: mark for mark, name in SEPARATORS.items()} | {"space": " ", "\\t": "\t"}
_LOOKED_AT = 50  # rows that must agree on a separator
_FEW = 1000  # a column of more different values is not one of labels


def separator(given: str) -> str:
    """Return the character that `--sep` names: itself, or comma, semicolon, tab, pipe or space.

    Examples
    --------
    >>> separator("tab"), separator(";")
    ('\\t', ';')
    """
    found = _NAMES.get(given.strip().lower(), given)
    if len(found) != 1 or not found.isascii() or found in '"\r\n':
        raise InputError(f"--sep {given!r}: give one character, or {', '.join(_NAMES)}")
    return found


def read_delimited(
    text: str, suffix: str = "", sep: str | None = None, quoting: bool | None = None
) -> tuple[dict[str, Any], list[str]]:
    """Return the columns of a table with a header, as pyarrow arrays of strings by name, and notes.

    Parameters
    ----------
    text : str
        The table.
    suffix : str
        The end of the file's name; ".tsv" and ".tab" have tabs.
    sep : str, optional
        The separator. Default: the one that the header and the first rows agree on.
    quoting : bool, optional
        Whether a cell may stand in quotation marks; then the cell may hold separators, line ends and
        doubled marks. Default: yes, except in tab-separated tables whose header has none.

    Raises
    ------
    InputError
        If the separator is not certain, a row has too many or too few cells, a quotation mark is stray, or a
        column name repeats; the message names the line or the row (the header is row 1).
    """
    text = text.lstrip("\r\n") if not text[:1].isspace() or text[:1] in "\r\n" else text
    if not text.strip():
        raise InputError("the file or its first line is empty: the first line must name the columns")
    if sep is None:
        sep = "\t" if suffix in (".tsv", ".tab") else _find_separator(text)
    line = re.match("[^\r\n]*", text)[0]  # type: ignore[index]
    cells = line.split(sep)
    if quoting is None:
        quoting = sep != "\t" or all(len(cell) > 1 and cell[0] == cell[-1] == '"' for cell in cells)
    spaced = sep not in " \t" and len(cells) > 1 and all(cell.startswith(" ") for cell in cells[1:])
    if quoting and '"' in text and not spaced:
        _check_quotes(text, sep)
    notes: list[str] = []
    read = _read_spaced if spaced else _read
    names, arrays = read(text, sep, quoting)
    columns = _named(names, arrays)
    if not arrays or not len(arrays[0]):
        raise InputError("the file has a header, but no rows")
    if quoting and '"' in text and text.count("\n") > len(arrays[0]) + 1:
        _check_joined(text, sep, arrays)
    if not quoting and '"' in text:
        notes += _enclosed(columns)
    return columns, notes


def _find_separator(text: str) -> str:
    """Return the separator that occurs in the header and gives every row as many cells."""
    header = re.match('(?:[^"\r\n]|"[^"]*")*', text)[0]  # type: ignore[index]
    bare = re.sub('"[^"]*"', "", header)
    found = [mark for mark in SEPARATORS if mark in bare]
    if len(found) < 2:
        return found[0] if found else ","
    fits = []
    for mark in found:
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=mark)
        try:
            counts = {len(row) for row in islice(rows, _LOOKED_AT) if row}
        except csv.Error:
            continue
        if len(counts) == 1:
            fits.append(mark)
    if len(fits) == 1:
        return fits[0]
    listed = " and ".join(repr(mark) for mark in found)
    raise InputError(
        f"its header holds {listed}: name the separator with --sep, such as --sep {SEPARATORS[found[0]]}"
    )


def _read(text: str, sep: str, quoting: bool) -> tuple[list[str], list[Any]]:
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    try:
        header = next(csv.reader(io.StringIO(text, newline=""), delimiter=sep, quoting=_style(quoting)), [])
    except csv.Error as error:
        raise InputError(f"its header is not valid CSV: {error}") from error
    alone = len(header) == 1
    try:
        data = (text.rstrip("\r\n") if alone else text).encode()
        table = arrow_csv.read_csv(
            io.BytesIO(data),
            # Arrow's errors name the row only with one thread
            read_options=arrow_csv.ReadOptions(use_threads=False, block_size=1 << 24),
            parse_options=arrow_csv.ParseOptions(
                delimiter=sep,
                quote_char='"' if quoting else False,
                newlines_in_values=quoting,
                ignore_empty_lines=not alone,  # in a table of one column it is an empty cell
            ),
            convert_options=arrow_csv.ConvertOptions(column_types=dict.fromkeys(header, pa.string())),
        )
    except (pa.ArrowException, UnicodeEncodeError) as error:
        raise InputError(_explained(" ".join(str(error).split())[:300], sep)) from error
    columns = [column.combine_chunks() for column in table.columns]
    return header, [column.cast(pa.string()) for column in columns]


def _read_spaced(text: str, sep: str, quoting: bool) -> tuple[list[str], list[Any]]:
    """Read a table with a space after every separator, which may stand before a quotation mark."""
    import pyarrow as pa

    rows = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=sep,
        quoting=_style(quoting),
        skipinitialspace=True,
        strict=True,
    )
    lines: list[list[str]] = []
    try:
        for row in rows:
            if row and lines and len(row) != len(lines[0]):
                raise InputError(
                    f"row {len(lines) + 1} has {len(row)} cells, but the header has {len(lines[0])}:"
                    " put texts that hold separators in quotation marks"
                )
            if row:
                lines.append(row)
    except csv.Error as error:
        raise InputError(f"line {rows.line_num} is not valid CSV: {error}") from error
    try:
        return lines[0], [pa.array(column, pa.string()) for column in zip(*lines[1:], strict=True)]
    except UnicodeEncodeError as error:
        raise InputError(f"not valid Unicode: {error.reason}") from error


def _style(quoting: bool) -> Any:
    return csv.QUOTE_MINIMAL if quoting else csv.QUOTE_NONE


def _explained(message: str, sep: str) -> str:
    if "Expected" in message:
        return (
            f"not valid CSV, with the separator {sep!r}: {message} (put texts that hold separators in"
            " quotation"
            " marks, or name another --sep)"
        )
    return f"not valid CSV: {message}"


def _named(header: list[str], arrays: list[Any]) -> dict[str, Any]:
    """Return the columns by name, without the spaces around it; unnamed empty columns are left out."""
    names = [name.strip() for name in header]
    columns: dict[str, Any] = {}
    count = Counter(names)
    for name, array in zip(names, arrays, strict=False):
        if count[name] > 1:
            if not name and not any(text.strip() for text in array.unique().to_pylist()):
                continue  # spreadsheets write empty columns on the right
            raise InputError(f"two columns are called {name!r}: rename one")
        columns[name] = array
    return columns


def _check_quotes(text: str, sep: str) -> None:
    """Refuse a quoted cell that does not end, and one that goes on after its end."""
    mark = re.escape(sep)
    valid = re.compile(
        rf'(?:[^"]++|(?<![^{mark}\r\n])(?:"[^"]*+")++(?=[{mark}\r\n]|\Z)|(?<=[^{mark}\r\n"])"[^{mark}\r\n]*+)*+'
    )
    end = valid.match(text).end()  # type: ignore[union-attr]
    if end == len(text):
        return
    line = text.count("\n", 0, end) + 1
    cell = re.compile('(?:"[^"]*+")++').match(text, end)
    mend = (
        'double the marks inside a quoted cell (""), or give --no-quoting if they are characters of the text'
    )
    if cell is None or cell.end() == len(text):
        raise InputError(f"line {line}: a quotation mark opens a cell and none closes it: {mend}")
    after = text.count("\n", 0, cell.end()) + 1
    where = f"line {line}" if after == line else f"line {line}: the cell ends in line {after}, and there"
    colon = ":" if after == line else ""
    raise InputError(f"{where}{colon} text follows the closing quotation mark: {mend}")


def _check_joined(text: str, sep: str, arrays: list[Any]) -> None:
    """Refuse a quoted cell whose lines are rows: a stray mark swallows rows up to the next mark."""
    needed = len(arrays) - 1  # separators per row
    if not needed:
        return
    ends = []
    for array in (arrays[0], arrays[-1]):  # where labels usually are
        values = array.unique().to_pylist() if len(array) > 1 else []
        few = len(values) < min(len(array), _FEW) and all(len(value) <= 30 for value in values)
        ends.append(set(values) - {""} if few else set())
    first, last = ends
    mark = re.escape(sep)
    for cell in re.finditer(rf'(?<![^{mark}\r\n])"((?:[^"]|"")*)"', text):
        lines = cell[1].replace("\r", "").split("\n")
        if len(lines) == 1 or lines[0].count(sep) + lines[-1].count(sep) < needed:
            continue
        if any(line.count(sep) < needed for line in lines[1:-1]):
            continue
        as_last = all(sep in line and line.rsplit(sep, 1)[1] in last for line in lines[:-1])
        as_first = all(sep in line and line.split(sep, 1)[0] in first for line in lines[1:])
        if as_last or as_first:
            line = text.count("\n", 0, cell.start()) + 1
            raise InputError(
                f"line {line}: a quotation mark opens a cell that ends in line {line + len(lines) - 1},"
                " and the "
                "lines between look like rows: double the mark inside a quoted cell, or give --no-quoting if "
                "marks are characters of the text"
            )


def _enclosed(columns: dict[str, Any]) -> list[str]:
    """Note the cells that look quoted in a table without quoting."""
    import pyarrow.compute as pc

    count = sum(pc.sum(pc.match_substring_regex(array, '^".*"$')).as_py() or 0 for array in columns.values())
    if not count:
        return []
    stand = "1 cell stands" if count == 1 else f"{count:,} cells stand"
    return [f"{stand} in quotation marks, which are kept as characters (--quoting removes them)"]
