"""One reader for every table: CSV, TSV, JSON, JSON Lines, Parquet, data frames, NPY and NPZ."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from splitee._internal.errors import InputError
from splitee._internal.reading import read_bytes
from splitee.data.arrays import read_npy, read_npz
from splitee.data.containers import container
from splitee.data.decoding import decode, encoding_name
from splitee.data.delimited import read_delimited, separator
from splitee.data.numbers import NotANumberError, parse_numbers
from splitee.data.records import read_json

if TYPE_CHECKING:
    import pandas as pd

_JSON = {".json": None, ".jsonl": True, ".ndjson": True}
_DELIMITED = (".csv", ".tsv", ".tab", ".txt")
_FREE, _RATIO = 1 << 25, 1000  # cells of a Parquet file: beyond the first, this many per byte


@dataclass(frozen=True)
class Reading:
    """How a text file is written, where the content does not say it with certainty.

    Parameters
    ----------
    sep : str, optional
        Separator of the columns: a character, or comma, semicolon, tab, pipe or space.
    decimal : str, optional
        "." or ",".
    encoding : str, optional
        Encoding, such as "cp1252".
    quoting : bool, optional
        Whether cells may stand in quotation marks.

    Examples
    --------
    >>> table = read_table("text;score\\nfine;0,5\\n".encode("utf-16"))
    >>> table.numbers("score", np.float32).tolist()
    [0.5]
    """

    sep: str | None = None
    decimal: str | None = None
    encoding: str | None = None
    quoting: bool | None = None

    def __post_init__(self) -> None:
        if self.sep is not None:
            object.__setattr__(self, "sep", separator(self.sep))
        if self.decimal not in (None, ".", ","):
            raise InputError(f"--decimal {self.decimal!r}: give . or ,")
        if self.encoding is not None:
            encoding_name(self.encoding)


class Table:
    """Columns of equal length by name, and how they are read.

    Parameters
    ----------
    columns : mapping of str to pyarrow or NumPy array
        Cells, or per row a list (of lists) of numbers.
    first_row : int
        The number of the first row in messages: 2 below a header, 1 in JSON, 0 in arrays and data frames.
    reading : Reading
        Gives the decimal separator.
    notes : sequence of str
        What the user should know about how the file was read.
    """

    def __init__(
        self,
        columns: Mapping[str, Any],
        first_row: int,
        reading: Reading | None = None,
        notes: Sequence[str] = (),
    ) -> None:
        self.columns = dict(columns)
        self.first_row = first_row
        self.notes = list(notes)
        self.used: set[str] = set()
        self._decimal = reading.decimal if reading else None

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def __contains__(self, name: object) -> bool:
        return name in self.columns

    @property
    def names(self) -> list[str]:
        """The names of the columns."""
        return list(self.columns)

    def row(self, index: int) -> int:
        """Return the number of a row in messages."""
        return index + self.first_row

    def nested(self, name: str) -> bool:
        """Return whether a column holds a list per row."""
        import pyarrow as pa

        column = self.columns[name]
        if isinstance(column, np.ndarray):
            return column.ndim > 1
        return bool(_is_list(column.type) or pa.types.is_struct(column.type) or pa.types.is_map(column.type))

    def is_text(self, name: str) -> bool:
        """Return whether a column holds text, not numbers."""
        import pyarrow as pa

        kind = self._arrow(name).type
        return bool(pa.types.is_string(kind) or pa.types.is_null(kind))

    def missing(self, name: str) -> int | None:
        """Return the first row whose cell is missing (null, not just empty); None if there is none."""
        column = self._arrow(name)
        return int(np.flatnonzero(np.asarray(column.is_null()))[0]) if column.null_count else None

    def texts(self, name: str) -> Any:
        """Return a column as a pyarrow array of strings, unchanged; a missing cell is empty.

        Numbers are written as whole numbers if they are whole.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        column = self._arrow(name)
        if pa.types.is_boolean(column.type):
            column = pc.if_else(column, "True", "False")
        elif not pa.types.is_string(column.type):
            try:
                column = column.cast(pa.string())
            except pa.ArrowException as error:
                raise InputError(f"column {name!r} holds {column.type}, not text or numbers") from error
        return column if column.null_count == 0 else pc.fill_null(column, "")

    def cells(self, name: str) -> Any:
        """Return a column as a pyarrow array of strings, without the spaces around each."""
        import pyarrow.compute as pc

        return pc.utf8_trim_whitespace(self.texts(name))

    def holds(self, name: str) -> bool:
        """Return whether the column exists and is not empty."""
        if name not in self:
            return False
        return self.nested(name) or any(bool(text) for text in self.cells(name).unique().to_pylist())

    def numbers(self, name: str, kind: type[np.generic]) -> NDArray[Any]:
        """Return a column as numbers of a NumPy type; decimals are rounded once.

        Raises
        ------
        InputError
            If a cell is not a number, or not a whole number if `kind` is an integer; the message names it.
        """
        column = self._arrow(name)
        if (found := _typed(column, kind)) is not None:
            return found
        cells = self.cells(name)
        try:
            values, notes = parse_numbers(cells, kind, self._decimal)
        except NotANumberError as bad:
            what = "whole number" if np.dtype(kind).kind == "i" else "number"
            hint = ""
            if "," in cells[bad.row].as_py() and self._decimal is None:
                hint = " (--decimal , reads decimal commas)"
            raise InputError(
                f"column {name!r}, row {self.row(bad.row)}: {cells[bad.row].as_py()!r} is not a {what}{hint}"
            ) from None
        except InputError as error:
            raise InputError(f"column {name!r}: {error}") from error
        for note in notes:
            if (line := f"{note} are read as numbers") not in self.notes:
                self.notes.append(line)
        return values

    def to_pandas(self) -> pd.DataFrame:
        """Return a DataFrame: columns of whole numbers as int64, of numbers as float64, others as texts."""
        import pandas as pd

        return pd.DataFrame({name: self._values(name) for name in self.columns})

    def _values(self, name: str) -> Any:
        for kind in (np.int64, np.float64):
            try:
                return self.numbers(name, kind)
            except InputError:
                continue
        return self.texts(name).to_pylist()

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return every column as a NumPy array, lists as (n, L) or (n, L, K).

        Raises
        ------
        InputError
            If the lists of a column differ in length, or a cell is missing.
        """
        found: dict[str, NDArray[Any]] = {}
        for name, column in self.columns.items():
            if isinstance(column, np.ndarray):
                found[name] = column
            elif self.nested(name):
                found[name] = self._matrix(name)
            elif (numbers := _typed(column, np.float64)) is not None:
                found[name] = numbers
            else:
                found[name] = np.array(self.texts(name).to_pylist(), dtype=object)
        return found

    def _arrow(self, name: str) -> Any:
        """Return a column of cells as a pyarrow array."""
        import pyarrow as pa

        self.used.add(name)
        column = self.columns[name]
        if self.nested(name):
            raise InputError(f"column {name!r} holds a list per row, not one value")
        if isinstance(column, np.ndarray):
            if column.dtype.kind in "biuf":
                column = column.astype(np.float32) if column.dtype == np.float16 else column
                return pa.array(np.ascontiguousarray(column.astype(column.dtype.newbyteorder("="))))
            try:
                return pa.array(column.astype(str).tolist(), pa.string())
            except UnicodeError as error:
                raise InputError(f"column {name!r} holds a text that is not valid Unicode") from error
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        if pa.types.is_large_string(column.type) or pa.types.is_string_view(column.type):
            column = column.cast(pa.string())
        return column

    def _matrix(self, name: str) -> NDArray[Any]:
        import pyarrow as pa

        self.used.add(name)
        values, shape = self.columns[name], [len(self)]
        while _is_list(values.type):
            if values.null_count:
                row = int(np.flatnonzero(np.asarray(values.is_null()))[0])
                raise InputError(f"column {name!r}, row {self.row(row)}: a list is missing")
            if pa.types.is_fixed_size_list(values.type):
                lengths = np.array([values.type.list_size])
            else:
                lengths = np.unique(np.asarray(values.value_lengths()))
            if len(lengths) != 1:
                raise InputError(
                    f"column {name!r} holds lists of {lengths[0]} to {lengths[-1]} values: give one length"
                )
            shape.append(int(lengths[0]))
            values = values.flatten()
        if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
            return np.array(values.to_pylist(), dtype=object).reshape(shape)
        numbers = _typed(values, np.float64)
        if numbers is None:
            raise InputError(f"column {name!r} holds lists of {values.type}, not of numbers")
        return numbers.reshape(shape)


Arrays = dict[str, NDArray[Any]]


def read_table(source: Any, reading: Reading | None = None) -> Table:
    """Read a table.

    Parameters
    ----------
    source : str, Path, bytes or DataFrame
        A path, a file's content, or a table in memory.
    reading : Reading, optional
        How a text file is written.

    Raises
    ------
    InputError
        If it cannot be read, or holds arrays of different lengths; the message does not name the file.
    """
    found = read_source(source, reading)
    if isinstance(found, Table):
        return found
    lengths = {len(values) for values in found.values() if values.ndim}
    if len(lengths) != 1 or not all(values.ndim for values in found.values()):
        raise InputError("its arrays differ in length, so they are no table")
    return Table(found, 0, reading)


def read_source(source: Any, reading: Reading | None = None) -> Table | Arrays:
    """Read a table, or the arrays of an NPZ or JSON file, which may differ in length; see `read_table`."""
    reading = reading or Reading()
    if isinstance(source, Mapping):
        return {str(name): np.asarray(values) for name, values in source.items()}
    if hasattr(source, "columns") and hasattr(source, "iloc"):
        return Table(_of_frame(source), 0, reading)
    data = source if isinstance(source, bytes) else read_bytes(source)
    suffix = "" if isinstance(source, bytes) else Path(source).suffix.lower()
    kind = container(data, suffix)
    if kind == "parquet":
        return Table(_of_parquet(data), 0, reading)
    if kind == "npz":
        return read_npz(data)
    if kind == "npy":
        return _of_npy(read_npy(data), reading)
    text = decode(data, reading.encoding)
    plain = suffix in _DELIMITED or reading.sep is not None
    if suffix in _JSON or (not plain and text.lstrip()[:1] in ("{", "[")):
        return _of_json(read_json(text, _JSON.get(suffix)), reading)
    columns, notes = read_delimited(text, suffix, reading.sep, reading.quoting)
    return Table(columns, 2, reading, notes)


@contextmanager
def naming(where: object) -> Iterator[None]:
    """Put the name of the file before the line of an InputError."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def _of_npy(array: NDArray[Any], reading: Reading) -> Table | Arrays:
    if array.dtype.names:
        return Table({name: array[name] for name in array.dtype.names}, 0, reading)
    return {"": array}


def _of_json(columns: dict[str, list[Any]], reading: Reading) -> Table | Arrays:
    lengths = {len(values) for values in columns.values()}
    if len(lengths) > 1:
        return {name: _array(name, values) for name, values in columns.items()}
    notes: list[str] = []
    return Table({name: _column(name, values, notes) for name, values in columns.items()}, 1, reading, notes)


def _of_frame(frame: Any) -> dict[str, Any]:
    names = [str(name) for name in frame.columns]
    if len(set(names)) < len(names):
        raise InputError(f"two columns are called {max(names, key=names.count)!r}: rename one")
    columns = {name: _column(name, frame.iloc[:, i], []) for i, name in enumerate(names)}
    index = frame.index
    if index.name is not None and str(index.name) not in columns:  # set_index("id")
        columns[str(index.name)] = _column(str(index.name), index.to_series(), [])
    return columns


def _of_parquet(data: bytes) -> dict[str, Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(io.BytesIO(data))
        about = file.metadata
        if (about.metadata or {}).get(b"splitee") is not None:
            raise InputError("this is a trace already: it needs no import (splitee trace verify checks it)")
        cells = about.num_rows * max(1, about.num_columns)
        if about.num_rows < 0 or cells > _FREE + _RATIO * len(data):
            raise InputError(
                f"its footer says {about.num_rows:,} rows, more than {len(data):,} bytes can hold"
            )
        table = file.read(use_threads=False)
        table.validate(full=True)
    except InputError:
        raise
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError, OverflowError, MemoryError) as error:
        why = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(f"cannot be read as Parquet: {why}") from error
    names = table.column_names
    if len(set(names)) < len(names):
        raise InputError(f"two columns are called {max(names, key=names.count)!r}: rename one")
    return {name: table[name].combine_chunks() for name in names}


def _column(name: str, values: Any, notes: list[str]) -> Any:
    """Return a column of a data frame or of JSON as a pyarrow array; mixed cells as strings."""
    import pyarrow as pa

    try:
        found = pa.Array.from_pandas(values) if hasattr(values, "iloc") else pa.array(values)
        return found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found
    except UnicodeEncodeError as error:
        raise InputError(f"column {name!r} holds a text that is not valid Unicode") from error
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        pass
    cells = list(values)
    if all(hasattr(cell, "shape") or isinstance(cell, list | tuple) for cell in cells):
        return _array(name, cells)
    if any(isinstance(cell, list | dict | set | tuple) for cell in cells):
        raise InputError(f"column {name!r} mixes lists and single values")
    notes.append(f"column {name!r} mixes kinds of values, which are read as texts")
    try:
        return pa.array([None if _missing(cell) else str(cell) for cell in cells], pa.string())
    except (UnicodeEncodeError, ValueError) as error:
        raise InputError(f"column {name!r} holds a value that is not text: {type(error).__name__}") from error


def _array(name: str, values: Any) -> NDArray[Any]:
    """Return nested lists as an array of numbers or texts."""
    try:
        array = np.array([np.asarray(cell) for cell in values]) if len(values) else np.empty(0)
    except (ValueError, OverflowError, RecursionError) as error:
        raise InputError(f"{name!r} holds lists of different lengths") from error
    if array.dtype.kind not in "biufU":
        raise InputError(f"{name!r} holds values that are neither numbers nor texts")
    return array


def _missing(cell: Any) -> bool:
    return cell is None or (isinstance(cell, float) and cell != cell)


def _is_list(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _typed(column: Any, kind: type[np.generic]) -> NDArray[Any] | None:
    """Return a column of numbers as a NumPy type; None if it holds texts or gaps, or would be rounded."""
    import pyarrow as pa

    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)) or column.null_count:
        return None
    values: NDArray[Any] = column.to_numpy(zero_copy_only=False)
    if np.dtype(kind).kind == "i" and values.dtype.kind == "f":
        if not (np.isfinite(values) & (values == np.floor(values)) & (np.abs(values) < 2**53)).all():
            return None
    elif np.dtype(kind).kind == "i" and values.dtype == np.uint64 and (values > 2**63 - 1).any():
        return None
    with np.errstate(over="ignore"):
        return values.astype(kind)
