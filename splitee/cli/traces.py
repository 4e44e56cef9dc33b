"""The traces that commands read: bundled names, files, standard input and lists with commas."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from splitee._internal.errors import InputError

if TYPE_CHECKING:
    from splitee.trace import Trace

STDIN = "-"


def read_trace(name: str | Path) -> Trace:
    """Read a trace from a file, a bundled name, or "-", which is standard input."""
    from splitee._internal.reading import read_stdin
    from splitee.trace import from_bytes, load_trace

    if str(name) != STDIN:
        return load_trace(name)
    try:
        return from_bytes(read_stdin())
    except InputError as error:
        raise InputError(f"standard input: {error}") from error


def read_traces(names: Iterable[str]) -> list[Trace]:
    """Read every trace of a list whose entries may have commas: imdb,mine.parquet."""
    from splitee.trace.bundled import trace_names

    return [read_trace(name) for name in trace_names(names)]


def threshold_of(trace: Trace, given: float | str | None) -> tuple[float, str]:
    """Return α of a trace and its origin: as given, else recommended by the trace, else the default."""
    from splitee.policies.problem import DEFAULT_THRESHOLD

    if isinstance(given, float):
        return given, "given"
    if trace.recommended_threshold is not None:
        return trace.recommended_threshold, "recommended by the trace"
    return DEFAULT_THRESHOLD, "default: the trace recommends none"


def source_of(trace: Trace, given: str | None) -> Trace | None:
    """Return the source's validation trace: as given, else the bundled one of the same model, else None."""
    from splitee.trace.bundled import find_source

    name = given or find_source(trace.manifest)
    return None if name is None else read_trace(name)


def summary_line(trace: Trace) -> str:
    """Describe a trace in one line."""
    labels = "with labels" if trace.has_labels else "without labels"
    return (
        f"{trace.name}, {trace.samples:,} samples × {trace.layers} exits, {trace.classes} classes, {labels},"
        f" fingerprint {trace.fingerprint[:12]}"
    )
