"""`splitee trace list`: the bundled traces, or those in a folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from splitee._internal.errors import InputError
from splitee.cli import options
from splitee.cli.printing import table_console

_COUNTS = {"samples": "samples", "exits": "layers", "classes": "classes"}  # our names and the manifest's
WIDTH = 142  # of the table in a pipe, which has no width of its own


@click.command("list", short_help="List the bundled traces, or the traces in FOLDER.")
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@options.as_json()
def command(folder: Path | None, as_json: bool) -> None:
    """List the bundled traces, or the trace files in FOLDER: size, labels, recommended α, model and data.

    Only the footers of the files are read: `splitee trace verify` checks every byte.
    """
    from splitee.trace.bundled import bundled_traces, find_trace

    if folder is None:
        files = {name: find_trace(name) for name in bundled_traces()}
    elif folder.is_dir():
        files = {str(file): file for file in sorted(folder.glob("*.parquet"))}
    else:
        raise InputError(f"{folder} is not a folder: give one, or none for the bundled traces")
    rows, others = [], []
    for name, file in files.items():
        try:
            rows.append({"trace": name, **_described(file)})
        except InputError as error:
            others.append(f"{name}: {error}")
    if as_json:
        click.echo(json.dumps({"traces": rows, "not_traces": others}))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("trace", *_COUNTS, "α", "labels", "data", "model"):
        table.add_column(heading, justify="right" if heading in (*_COUNTS, "α") else "left")
    for row in rows:
        alpha = "–" if row["threshold"] is None else f"{row['threshold']:g}"
        sizes = (f"{row[count]:,}" for count in _COUNTS)
        table.add_row(
            row["trace"], *sizes, alpha, "yes" if row["labels"] else "no", row["data"], row["model"]
        )
    console = table_console(WIDTH, highlight=False, markup=False)
    if rows:
        console.print(table)
    else:
        click.echo(f"{folder} holds no traces")
    for line in others:
        click.echo(f"not a trace: {line}", err=True)


def _described(file: Path) -> dict[str, Any]:
    import pyarrow.parquet as pq

    from splitee.trace.file import read_manifest
    from splitee.trace.manifest import recommended_threshold

    manifest = read_manifest(file)
    return {
        **{ours: _count(manifest, key) for ours, key in _COUNTS.items()},
        "labels": "label" in pq.read_schema(file).names,
        "threshold": recommended_threshold(manifest),
        "data": _named(manifest.get("data"), "task", "name"),
        "model": _named(manifest.get("model"), "name", "backbone"),
    }


def _count(manifest: dict[str, Any], key: str) -> int:
    if not isinstance(value := manifest.get(key), int):
        raise InputError(f"its manifest has no number of {key}")
    return value


def _named(fact: Any, *keys: str) -> str:
    """Return the name in a fact of a manifest: a text, or an entry of one of the keys."""
    if isinstance(fact, dict):
        fact = next((fact[key] for key in keys if fact.get(key)), None)
    return "–" if fact is None else str(fact)
