"""Import traces from NPZ arrays and CSV tables."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from splitee._internal.errors import InputError
from splitee.trace import Trace
from splitee.trace.classes import CLASS_COLUMNS, encode_classes
from splitee.trace.csv import Found, read_csv, without_half_scores

FORMATS = ("auto", "npz", "long", "wide")
_ARRAYS = (
    *("confidence", "prediction", "label", "entropy", "id", "length", "group", "logits"),
    *("cloud_confidence", "cloud_prediction", "value", "target", "classes", "class_names"),
)


class Imported(NamedTuple):
    """An imported trace, and notes for the user on how its file was read."""

    trace: Trace
    notes: list[str]


def import_trace(
    source: str | Path | bytes,
    format: str = "auto",
    *,
    renamed: Mapping[str, str] | None = None,
    classes: int | None = None,
    class_names: Sequence[str] | None = None,
    softmax: bool = True,
    name: str = "mine",
) -> Imported:
    """Import a trace from an NPZ file or a CSV table (long or wide).

    Parameters
    ----------
    source : str, Path or bytes
        A path, or the file's content.
    format : str
        "npz": arrays by the names of Trace's arguments; "long": a CSV row per sample and exit, with columns
        sample, exit, confidence, prediction and others; "wide": a CSV row per sample, with columns
        confidence_1, prediction_1, ...; "auto": recognised by the content.
    renamed : mapping of str to str, optional
        The file's names of columns that differ from splitee's, as in {"sample": "doc_id"} or, in wide
        tables, {"confidence": "conf_{}"} with {} for the exit number.
    classes : int, optional
        Number of classes K. Default: the highest class number + 1.
    class_names : sequence of str, optional
        Names of classes 0, 1, ...; if omitted, classes given by name are numbered in sorted order.
    softmax : bool
        False if the confidences are other scores in 0..1.
    name : str
        Name of the trace.

    Raises
    ------
    InputError
        If something is missing, duplicated or invalid; the message names the place.

    Examples
    --------
    >>> table = b'''doc,exit,confidence,prediction
    ... a,1,0.6,neg
    ... a,2,0.9,pos
    ... '''
    >>> import_trace(table, renamed={"sample": "doc"}).trace
    <Trace 'mine': 1 samples × 2 exits, 2 classes, no labels>
    """
    if format not in FORMATS:
        raise InputError(f"unknown format {format!r}: choose from {', '.join(FORMATS)}")
    data = source if isinstance(source, bytes) else Path(source).read_bytes()
    if data[:4] == b"PAR1":
        raise InputError("this is a Parquet file: import reads CSV and NPZ (a trace needs no import)")
    if format == "npz" or (format == "auto" and data[:2] == b"PK"):
        found = _read_npz(data, renamed or {}, class_names)
    else:
        found = read_csv(data, format, renamed or {}, class_names)
    arguments = found.columns | ({} if classes is None else {"classes": classes})
    manifest = None if found.class_names is None else {"class_names": found.class_names}
    return Imported(Trace(**arguments, softmax=softmax, name=name, manifest=manifest), found.notes)


def _read_npz(data: bytes, renamed: Mapping[str, str], class_names: Sequence[str] | None) -> Found:
    names = {name: name for name in _ARRAYS}
    for ours, theirs in renamed.items():
        if ours not in names:
            raise InputError(f"--map {ours}={theirs}: the arrays of a trace are {', '.join(names)}")
        names[ours] = theirs
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            held = list(file)
            names = without_half_scores(names, held, renamed)
            columns: dict[str, Any] = {ours: file[theirs] for ours, theirs in names.items() if theirs in held}
    # numpy raises ValueError for arrays of objects, which only pickle could read
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError) as error:
        raise InputError(f"cannot be read as NPZ: {error}") from error
    for needed in ("confidence", "prediction", *renamed):
        if needed not in columns:
            raise InputError(
                f"there is no array {names[needed]!r} among {', '.join(held)};"
                f" map it with --map {needed}=ARRAY"
            )
    if "classes" in columns:
        columns["classes"] = columns["classes"].tolist()
    held_names = columns.pop("class_names", None)
    if class_names is None and held_names is not None:
        class_names = [str(name) for name in held_names.ravel()]
    found = None if class_names is None else tuple(class_names)
    if any(columns[name].dtype.kind == "U" for name in CLASS_COLUMNS if name in columns):
        found = _encode_arrays(columns, class_names)
    ignored = [name for name in held if name not in names.values()]
    return Found(columns, found, [f"ignored arrays: {', '.join(ignored)}"] if ignored else [])


def _encode_arrays(columns: dict[str, Any], class_names: Sequence[str] | None) -> tuple[str, ...] | None:
    """Replace class names in arrays by numbers, in place; return the names."""
    import pyarrow as pa

    present = [name for name in CLASS_COLUMNS if name in columns]
    cells = {name: pa.array(columns[name].ravel().astype(str), pa.string()) for name in present}
    numbers, found = encode_classes(cells, class_names, 0)
    for name in present:
        columns[name] = numbers[name].reshape(columns[name].shape)
    return found
