"""The trace file: a Parquet file that other tools can read, sealed by a checksum over every byte.

The footer's key-value metadata holds the manifest (`splitee`, JSON) and the SHA-256 of the whole file
(`splitee.sha256`), computed with that field's 64 digits set to zeros. The checksum detects damage, not
forgery: anyone who can write the file can write the digest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitee._internal.errors import InputError
from splitee._internal.reading import memory, open_regular, parse_json
from splitee.trace.manifest import SCHEMA, check_own

Columns = dict[str, NDArray[Any]]

_MAGIC = b"PAR1"  # a Parquet file starts with it and ends with: footer, its length (4 bytes), _MAGIC
_KEY = b"splitee.sha256"
_BLANK = b"0" * 64
# The footer is compact Thrift: a text is 0x18, its length, its bytes. The field occurs exactly once, because
# statistics, which could hold sample text that imitates it, are off, and JSON escapes control characters.
_FIELD = b"\x18\x0e" + _KEY + b"\x18\x40"

_MATRICES = ("confidence", "entropy", "prediction", "logits", "value")  # (n, L) or more; all others are (n,)
_OPTIONAL = (
    *("entropy", "label", "length", "input_bytes", "sharpness", "noise"),
    *("group", "text_hash", "logits"),
    *("cloud_confidence", "cloud_prediction", "value", "target"),
)
_NAMES = ("id", "confidence", "prediction", *_OPTIONAL)
WHOLE = "whole"  # in the log of a device: whether every exit of the sample is known
LOG = "splitee_log"  # its entry in the manifest
# Byte-stream-split halves float32 columns. It is not used for float16, which DuckDB could not read.
_SPLIT = (
    *("confidence.list.element", "entropy.list.element", "value.list.element"),
    *("cloud_confidence", "sharpness", "noise"),
)
_DICTIONARY = ("prediction.list.element", "label", "length", "group", "cloud_prediction")


def encode(columns: Mapping[str, NDArray[Any]], manifest: Mapping[str, Any]) -> bytes:
    """Return the bytes of a trace file; the same columns and manifest give the same bytes.

    Parameters
    ----------
    columns : mapping of str to array
        The columns in the file's order, each (n,), (n, L) or, for logits, (n, L, classes).
    manifest : mapping
        JSON values; `classes` determines the width of the class columns.
    """
    import pyarrow as pa

    fields, arrays = [], []
    for name, values in columns.items():
        kind = _arrow_type(name, values, manifest["classes"])
        array = pa.array(values.ravel(), type=kind)
        if name in _MATRICES:
            kind = pa.list_(pa.field("element", kind, nullable=False), values[0].size)
            array = pa.FixedSizeListArray.from_arrays(array, type=kind)
        fields.append(pa.field(name, kind, nullable=name in _OPTIONAL))
        arrays.append(array)
    return encode_table(pa.Table.from_arrays(arrays, schema=pa.schema(fields)), manifest)


def encode_table(table: Any, manifest: Mapping[str, Any]) -> bytes:
    """Return the bytes of a sealed file for any pyarrow Table."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(
        sink,
        table.schema,
        compression="zstd",
        use_dictionary=list(_DICTIONARY),
        use_byte_stream_split=list(_SPLIT),
        write_statistics=False,
        write_page_checksum=True,
    ) as writer:
        writer.write_table(table)
        text = json.dumps(manifest, sort_keys=True, separators=(",", ":"), allow_nan=False)
        # not as metadata of the schema, which would write the field twice
        writer.add_key_value_metadata({"splitee": text, _KEY.decode(): _BLANK.decode()})
    data = bytearray(sink.getvalue())
    start = _digest_start(data)
    if start is None:
        raise RuntimeError("this version of pyarrow lays out footers differently: no place for the checksum")
    data[start : start + len(_BLANK)] = _digest(data, start)
    return bytes(data)


def decode(data: bytes) -> tuple[Columns, dict[str, Any]]:
    """Decode the bytes of a trace file to its columns and manifest; columns of other names are ignored.

    Of the log of a device, the samples are read of which every exit is known (column ``whole``).

    Raises
    ------
    InputError
        If the bytes are not a trace file, were changed after writing, come from a newer splitee, or lack a
        required part.
    """
    table, manifest = decode_table(data, (*_NAMES, WHOLE))
    with _one_line():
        if WHOLE in table.column_names:
            table = table.filter(table.column(WHOLE)).drop_columns([WHOLE])
            manifest.pop(LOG, None)
            if not table.num_rows:
                raise InputError(
                    "is the log of a device without a sample of which every exit is known: run "
                    "splitee device with --complete-log"
                )
        return _columns(table), manifest


def decode_table(data: bytes, wanted: Sequence[str] | None = None) -> tuple[Any, dict[str, Any]]:
    """Decode the bytes of a sealed file to a pyarrow Table of these columns (default: all), and its manifest.

    Raises
    ------
    InputError
        If the bytes are not such a file, were changed after writing, or come from a newer splitee.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    _check_seal(data)
    with _one_line():
        file = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
        # the manifest first: a newer version may have other columns
        manifest = _manifest((file.metadata.metadata or {}).get(b"splitee"))
        names = [name for name in file.schema_arrow.names if wanted is None or name in wanted]
        if len(set(names)) != len(names):
            raise InputError(f"has duplicate column names among {', '.join(names)}")
        _check_memory(file)
        # no Arrow threads: they sometimes abort a short command at exit (arrow #34314)
        return file.read(columns=names, use_threads=False), manifest


@contextmanager
def _one_line() -> Iterator[None]:
    """Turn the errors of Arrow into an InputError."""
    import pyarrow as pa

    try:
        yield
    except InputError:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:  # ValueError: names that are not UTF-8
        why = " ".join(str(error).split())
        raise InputError(f"cannot be read as Parquet: {why}") from error


def release_memory() -> None:
    """Return the memory that Arrow keeps for the next file (three times the size of a large trace)."""
    import pyarrow as pa

    pa.default_memory_pool().release_unused()


def read_manifest(path: Path) -> dict[str, Any]:
    """Read the manifest of a trace file from its footer; fast, but nothing is verified.

    Raises
    ------
    InputError
        If there is no manifest, or it comes from a newer splitee.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with open_regular(path) as file:
            metadata = pq.read_metadata(file).metadata
        manifest = _manifest((metadata or {}).get(b"splitee"))
        check_own(manifest)
        return manifest
    except InputError as error:
        if str(error).startswith(str(path)):
            raise
        raise InputError(f"{path}: {error}") from error
    except (pa.ArrowException, OSError, ValueError) as error:
        why = " ".join(str(error).split())[:200]
        raise InputError(f"{path}: cannot be read as Parquet: {why}") from error


def _arrow_type(name: str, values: NDArray[Any], classes: int) -> Any:
    """Return the Arrow type of a column's elements."""
    import pyarrow as pa

    if name in ("prediction", "label", "cloud_prediction"):
        return pa.from_numpy_dtype(np.min_scalar_type(-classes))  # the smallest that holds classes - 1
    return pa.string() if values.dtype == object else pa.from_numpy_dtype(values.dtype)


def _check_seal(data: bytes) -> None:
    if data[:4] != _MAGIC:
        raise InputError(
            "is not a Parquet file; `splitee trace import` makes a trace of a table (CSV, JSON, NPZ, ...)"
        )
    if len(data) < 12 or data[-4:] != _MAGIC:
        raise InputError("is cut off or damaged: it starts as a Parquet file but does not end as one")
    start = _digest_start(data)
    if start is None and _KEY not in data:
        raise InputError(
            "is a Parquet file, but not a trace: `splitee trace import` makes one of its columns"
        )
    if start is None or data[start : start + len(_BLANK)] != _digest(data, start):
        raise InputError("does not match its checksum: it was changed or damaged after it was written")


def _digest_start(data: bytes | bytearray) -> int | None:
    """Return the position of the digest's 64 digits in the footer, or None if there is none."""
    footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    if footer < len(_MAGIC) or data.count(_FIELD, footer) != 1:
        return None
    start = data.index(_FIELD, footer) + len(_FIELD)
    return start if start + len(_BLANK) <= len(data) - 8 else None


def _digest(data: bytes | bytearray, start: int) -> bytes:
    """Return the hexadecimal SHA-256 of `data` with the 64 digits at `start` replaced by zeros."""
    view = memoryview(data)
    digest = hashlib.sha256(view[:start])
    digest.update(_BLANK)
    digest.update(view[start + len(_BLANK) :])
    return digest.hexdigest().encode()


def _manifest(text: bytes | None) -> dict[str, Any]:
    if text is None:
        raise InputError("has no manifest")
    try:
        manifest = parse_json(text)
    except ValueError as error:
        raise InputError(f"has a manifest that is not JSON: {error}") from error
    schema = manifest.get("schema") if isinstance(manifest, dict) else None
    if type(schema) is not int or schema < 1:
        raise InputError(f"has a manifest without a schema version ({schema!r})")
    if schema > SCHEMA:
        raise InputError(
            f"was written by a newer splitee (schema {schema}, this one reads {SCHEMA}): upgrade splitee"
        )
    assert isinstance(manifest, dict)
    return manifest


def _check_memory(file: Any) -> None:
    """Raise InputError if the columns would not fit in this machine's memory, whatever the file's size."""
    widths = [getattr(field.type, "list_size", 1) for field in file.schema_arrow]
    needed = 2 * file.metadata.num_rows * sum(widths)  # of at least two bytes each, but for small classes
    if needed > memory():
        raise InputError(f"holds {needed // 2:,} values, which do not fit in this machine's memory")


def _columns(table: Any) -> Columns:
    """Convert a pyarrow Table to arrays by name: (n,), (n, L) or, for logits, (n, L, classes)."""
    import pyarrow as pa

    columns: Columns = {}
    if table.num_rows == 0:
        raise InputError("has no samples")
    for name in table.column_names:
        column = table[name].combine_chunks()
        if column.null_count == len(column) and name in _OPTIONAL:
            continue  # a nullable column without values counts as absent
        if pa.types.is_fixed_size_list(column.type) != (name in _MATRICES):
            raise InputError(f"column {name} has type {column.type}, which a trace cannot have there")
        values = column.flatten() if name in _MATRICES else column
        if column.null_count or values.null_count:
            raise InputError(f"column {name} lacks some values: it must have all, or none")
        array = _array(values)
        columns[name] = array.reshape(len(column), -1) if name in _MATRICES else array
    missing = [name for name in _NAMES if name not in _OPTIONAL and name not in columns]
    if missing:
        raise InputError(f"lacks the column {missing[0]}")
    if "logits" in columns:
        columns["logits"] = _by_exit(columns["logits"], columns["confidence"].shape)
    return columns


def _array(values: Any) -> NDArray[Any]:
    """Convert a pyarrow Array without nulls to NumPy; Arrow's own method would load pandas."""
    import pyarrow as pa

    if pa.types.is_integer(values.type) or pa.types.is_floating(values.type):
        return np.from_dlpack(values)
    return np.array(values.to_pylist(), dtype=object)


def _by_exit(logits: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    if logits.shape[1] % shape[1]:
        raise InputError(
            f"column logits has {logits.shape[1]} values per row, not a multiple of the {shape[1]} exits"
        )
    return logits.reshape(*shape, -1)
