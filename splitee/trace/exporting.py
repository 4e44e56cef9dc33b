"""Write traces as CSV tables that import to the same trace."""

from __future__ import annotations

from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from splitee._internal.errors import InputError
from splitee.trace import Trace

LAYOUTS = ("long", "wide")


def export_csv(trace: Trace, sink: BinaryIO, layout: str = "long") -> None:
    """Write a trace as a CSV table that `import_trace` can read; logits and the manifest are left out.

    Numbers are written with enough digits to restore the same float32. The imported trace has the same
    fingerprint if the import gets the same `softmax` and, if the highest class never occurs, `classes`.

    Parameters
    ----------
    trace : Trace
        The trace.
    sink : binary file
        The destination; the table is UTF-8.
    layout : str
        "long", a row per sample and exit, or "wide", a row per sample.

    Raises
    ------
    InputError
        If the layout is unknown, or sample ids repeat in a long table, which could not be read back.

    Examples
    --------
    >>> import io
    >>> table = io.BytesIO()
    >>> export_csv(Trace([[0.6, 0.9]], [[0, 1]], label=[1]), table)
    >>> print(table.getvalue().decode(), end="")
    sample,exit,confidence,prediction,label
    "0",1,0.6,0,1
    "0",2,0.9,1,1
    """
    import pyarrow as pa
    from pyarrow import csv

    if layout not in LAYOUTS:
        raise InputError(f"unknown layout {layout!r}: choose from {', '.join(LAYOUTS)}")
    table = pa.table(_long(trace) if layout == "long" else _wide(trace))
    sink.write(",".join(table.column_names).encode() + b"\n")  # Arrow would quote the names
    csv.write_csv(table, sink, csv.WriteOptions(include_header=False))


def _long(trace: Trace) -> dict[str, NDArray[Any]]:
    if len(set(trace.id)) != trace.samples:
        raise InputError(
            "sample ids repeat, so a long table cannot tell the samples apart: use --format wide"
        )
    exits = np.tile(np.arange(1, trace.layers + 1), trace.samples)
    columns = {"sample": np.repeat(trace.id, trace.layers), "exit": exits}
    for name, values in _written(trace).items():
        columns[name] = values.ravel() if values.ndim == 2 else np.repeat(values, trace.layers)
    return columns


def _wide(trace: Trace) -> dict[str, NDArray[Any]]:
    columns: dict[str, NDArray[Any]] = {"id": trace.id}
    for name, values in _written(trace).items():
        if values.ndim == 1:
            columns[name] = values
            continue
        for exit_ in range(trace.layers):
            columns[f"{name}_{exit_ + 1}"] = values[:, exit_]
    return columns


def _written(trace: Trace) -> dict[str, NDArray[Any]]:
    return {name: values for name, values in trace.columns.items() if name not in ("id", "logits")}
