"""Import traces: from tables, arrays, logits or probabilities, in files or in memory."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from splitee._internal.errors import InputError
from splitee.data.labels import NO_LABEL, count_classes
from splitee.data.tables import Reading, Table, read_source
from splitee.trace import Trace
from splitee.trace.arrays import holds_arrays, read_arrays
from splitee.trace.columns import entropy_bounds, half_unit
from splitee.trace.layouts import Asked, Found, read_layout

FORMATS = ("auto", "npz", "long", "wide")
_HALF, _SLACK = 1e-3, 1e-2  # of confidences and entropies, which may come from half precision or be rounded


class Imported(NamedTuple):
    """An imported trace, and notes for the user on how its file was read."""

    trace: Trace
    notes: list[str]


def import_trace(
    source: Any,
    format: str = "auto",
    *,
    renamed: Mapping[str, str] | None = None,
    classes: int | None = None,
    class_names: Sequence[str] | None = None,
    no_label: Sequence[str] = (),
    exit_layers: Sequence[int] | None = None,
    softmax: bool = True,
    name: str = "mine",
    reading: Reading | None = None,
) -> Imported:
    """Import a trace from a table or from arrays.

    Parameters
    ----------
    source : str, Path, bytes, DataFrame or mapping of str to array
        A path, a file's content (CSV, TSV, JSON, JSON Lines, Parquet, NPZ or NPY), or data in memory.
    format : str
        "long": one row per sample and exit, with columns sample, exit, confidence, prediction and others;
        "wide": one row per sample, with columns confidence_1, prediction_1, ...; "npz": arrays (or columns of
        lists) by the names of Trace's arguments, or logits or probabilities of shape (n, L, K); "auto":
        recognised by the content.
    renamed : mapping of str to str, optional
        The file's names of columns that differ from splitee's, as in {"sample": "doc_id"} or, in wide
        tables, {"confidence": "conf_{}"} with {} for the exit number.
    classes : int, optional
        Number of classes K. Default: the highest class number + 1.
    class_names : sequence of str, optional
        Names of classes 0, 1, ...; if omitted, classes given by name are numbered in sorted order.
    no_label : sequence of str
        Marks in the label column that mean no label, such as "-1" or "-"; their samples are left out.
    exit_layers : sequence of int, optional
        The backbone layer of each exit, if the file numbers exits by it, such as (4, 8, 12).
    softmax : bool
        False if the confidences are other scores in 0..1.
    name : str
        Name of the trace.
    reading : Reading, optional
        Separator, decimal mark and encoding of a text file, if they are not certain.

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
    if isinstance(source, str):
        source = Path(source)
    asked = Asked(dict(renamed or {}), class_names, classes, no_label, exit_layers)
    found = _read(read_source(source, reading), format, asked, reading)
    rows = len(found.columns["confidence"])
    notes = found.notes
    _leave_out(found)
    arguments = found.columns | ({} if classes is None else {"classes": classes})
    classes = _classes(found, classes)
    if softmax:
        notes += _of_percent(arguments, classes)
        _check_entropy(arguments, classes)
    manifest: dict[str, Any] = {} if found.class_names is None else {"class_names": list(found.class_names)}
    if found.exit_layers is not None:
        manifest["exit_layers"] = list(found.exit_layers)
    trace = Trace(**arguments, softmax=softmax, name=name, manifest=manifest)
    if left := rows - trace.samples:
        notes[0] += f", {left:,} of {rows:,} samples left out (no label)"
    if trace.label is not None and trace.value is None:
        notes.append(count_classes(trace.label.astype(np.int64), _names(trace)))
    return Imported(trace, notes)


def _read(source: Table | dict[str, Any], format: str, asked: Asked, reading: Reading | None) -> Found:
    """Read a table as long or wide, arrays or columns of lists as arrays."""
    if isinstance(source, Table):
        nested = [name for name in source.names if source.nested(name)]
        if format == "npz" or (format == "auto" and nested):
            source = source.arrays()
        else:
            return read_layout(source, format, asked)
    elif format in ("long", "wide") or (format == "auto" and not holds_arrays(source, asked.renamed)):
        lengths = {len(values) for values in source.values() if values.ndim}
        if len(lengths) == 1 and all(values.ndim == 1 for values in source.values()):
            columns = any(name in source for name in ("exit", asked.renamed.get("exit", "exit")))
            if format != "auto" or columns or any(name[-1:].isdigit() for name in source):
                return read_layout(Table(source, 0, reading), format, asked)
    return read_arrays(source, asked)


def _leave_out(found: Found) -> None:
    """Leave out the samples without a label, in place; all are kept if none has one."""
    label = found.columns.get("label")
    if label is None or (label != NO_LABEL).all():
        return
    if (label == NO_LABEL).all():
        del found.columns["label"]
        return
    kept = np.flatnonzero(label != NO_LABEL)
    rows = len(label)
    for name, values in found.columns.items():
        if hasattr(values, "shape") and values.ndim and len(values) == rows:
            found.columns[name] = values[kept]
        elif isinstance(values, list):
            found.columns[name] = [values[row] for row in kept]
    found.columns.setdefault("id", [str(row) for row in kept])  # numbered as in the file


def _classes(found: Found, classes: int | None) -> int:
    if classes is not None:
        return classes
    if found.class_names is not None:
        return len(found.class_names)
    known = found.columns.get("classes")
    if known is not None:
        return int(known)
    present = [found.columns[name] for name in ("prediction", "label") if name in found.columns]
    return max(2, 1 + max(int(values.max(initial=0)) for values in present))


def _of_percent(columns: dict[str, Any], classes: int) -> list[str]:
    """Divide confidences in per cent by 100, in place: all are between 100/K and 100, and one is above 1."""
    names = [name for name in ("confidence", "cloud_confidence") if name in columns]
    notes = []
    for name in names:
        values = np.asarray(columns[name])
        if values.dtype.kind not in "fiu" or not values.size:
            continue
        wide = values.astype(np.float64)
        if wide.max() > 1.5 and wide.max() <= 100 + 1e-4 and wide.min() >= 100 / classes - 0.5:
            if unit := 2 * half_unit(values.astype(np.float32)):  # the decimals that the file has
                wide = np.round(wide, round(-math.log10(unit)))
            columns[name] = wide / 100
            notes.append(f"{name} is in per cent, and divided by 100")
    return notes


def _check_entropy(columns: Mapping[str, Any], classes: int) -> None:
    """Refuse entropies that no distribution with these confidences has: in bits, or divided by ln K."""
    if "entropy" not in columns or classes < 2:
        return
    confidence, entropy = (np.asarray(columns[name]) for name in ("confidence", "entropy"))
    if (
        entropy.shape != confidence.shape
        or entropy.dtype.kind not in "fiu"
        or confidence.dtype.kind not in "fiu"
    ):
        return
    wide, maxima = entropy.astype(np.float64), confidence.astype(np.float32)
    low, high = entropy_bounds(maxima.astype(np.float64), classes, half_unit(maxima) + _HALF)
    if not _impossible(wide, low, high):
        return
    for factor, what, mend in (
        (
            math.log(classes),
            f"divided by ln {classes}",
            f"multiply them by ln {classes} = {math.log(classes):.4f}",
        ),
        (math.log(2), "in bits", f"multiply them by ln 2 = {math.log(2):.4f}"),
    ):
        if not _impossible(wide * factor, low, high):
            raise InputError(
                f"the entropies are {what}: no probabilities with these confidences have them in nats;"
                f" {mend}, or "
                "leave the column out"
            )


def _impossible(entropy: Any, low: Any, high: Any) -> bool:
    """Return whether more than one in twenty entropies lie outside their bounds."""
    return bool(((entropy < low - _SLACK) | (entropy > high + _SLACK)).mean() > 0.05)


def _names(trace: Trace) -> list[str]:
    return trace.manifest.get("class_names") or [str(number) for number in range(trace.classes)]
