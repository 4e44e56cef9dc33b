"""`splitee trace`: show, verify, import, export, calibrate and join traces."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from splitee._internal.errors import InputError
from splitee._internal.files import atomic_path, refuse_place
from splitee.cli.calibrate import command as calibrate
from splitee.cli.group import Group
from splitee.costs import CostModel
from splitee.trace import Trace, load_trace, with_cloud
from splitee.trace.checks import check_trace
from splitee.trace.exporting import LAYOUTS, export_csv
from splitee.trace.importing import FORMATS, import_trace
from splitee.trace.reliability import expected_calibration_error

_json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document and nothing else."
)
_overwrite_option = click.option("--overwrite", is_flag=True, help="Replace the output where it exists.")


@click.group(cls=Group)
def command() -> None:
    """Show, verify, import, export, calibrate and join traces.

    A trace is one Parquet file: what every exit of a model said about every sample. TRACE is such a file,
    or the name of a bundled trace.
    """


@command.command()
@click.argument("trace")
@click.option("--threshold", type=click.FloatRange(0, 1), help="α; default: the recommended one, else 0.7.")
@_json_option
def show(trace: str, threshold: float | None, as_json: bool) -> None:
    """Show what is in TRACE, exit by exit."""
    loaded = load_trace(trace)
    source = "given"
    if threshold is None:
        threshold, source = loaded.recommended_threshold, "recommended by the trace"
    if threshold is None:
        threshold, source = 0.7, "default: the trace recommends none"
    rows = _exits(loaded, threshold)
    if as_json:
        click.echo(
            json.dumps(
                {
                    "manifest": loaded.manifest,
                    "labels": loaded.has_labels,
                    "threshold": {"value": threshold, "source": source},
                    "exits": rows,
                }
            )
        )
    else:
        _print_header(loaded)
        _print_exits(loaded, rows, f"α = {threshold:g} ({source})")


@command.command()
@click.argument("trace")
@_json_option
def verify(trace: str, as_json: bool) -> None:
    """Check every byte and value of TRACE.

    Errors are one line and exit code 2; what is merely odd is a warning and exit code 0.
    """
    loaded = load_trace(trace)
    warnings = check_trace(loaded)
    if as_json:
        click.echo(json.dumps({"ok": True, "fingerprint": loaded.fingerprint, "warnings": warnings}))
        return
    click.echo(f"ok: {_summary(loaded)}")
    for warning in warnings:
        click.echo(f"warning: {warning}")


@command.command("import", short_help="Make a trace of an NPZ file or a CSV table.")
@click.argument("file")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The trace file to write.")
@click.option("--format", "format_", type=click.Choice(FORMATS), default="auto", show_default=True)
@click.option(
    "--map",
    "renamed",
    multiple=True,
    metavar="OURS=THEIRS",
    help="The file's name for a column: sample=doc_id; in wide tables with {} for the exit:"
    " confidence=conf_{}. Repeatable.",
)
@click.option("--classes", type=click.IntRange(2), help="How many classes; default: the highest + 1.")
@click.option("--class-names", metavar="A,B,...", help="Names of classes 0, 1, ...; default: sorted.")
@click.option("--scores", is_flag=True, help="The confidences are no softmax maxima: they may be below 1/K.")
@click.option("--name", help="What to call the trace; default: the file's name.")
@_overwrite_option
def import_(
    file: str,
    out: Path,
    format_: str,
    renamed: tuple[str, ...],
    classes: int | None,
    class_names: str | None,
    scores: bool,
    name: str | None,
    overwrite: bool,
) -> None:
    """Make a trace of FILE, an NPZ file or a CSV table; - reads standard input.

    \b
    NPZ   arrays confidence and prediction, (samples, exits), and optionally label, entropy, id,
          length, group, logits, cloud_confidence, cloud_prediction, value, target (of scores)
    long  a row per sample and exit: sample, exit, confidence, prediction; optionally the others
    wide  a row per sample: confidence_1, prediction_1, confidence_2, ...; optionally id and the others

    Exits are numbered from 1 (or 0). Predictions and labels are numbers from 0 or names of classes.
    """
    refuse_place(out, overwrite, file)
    try:
        trace, notes = import_trace(
            sys.stdin.buffer.read() if file == "-" else file,
            format_,
            renamed=_renamed(renamed),
            classes=classes,
            class_names=None if class_names is None else [part.strip() for part in class_names.split(",")],
            softmax=not scores,
            name=name or ("stdin" if file == "-" else Path(file).stem),
        )
    except InputError as error:
        raise InputError(f"{'standard input' if file == '-' else file}: {error}") from error
    trace.save(out, overwrite=overwrite)
    for line in [*notes, *(f"warning: {warning}" for warning in check_trace(trace))]:
        click.echo(line, err=True)
    click.echo(f"{out}: {_summary(trace)}")


@command.command(short_help="Write TRACE as a CSV table.")
@click.argument("trace")
@click.option("--out", required=True, help="The CSV file to write; - writes standard output.")
@click.option("--format", "layout", type=click.Choice(LAYOUTS), default="long", show_default=True)
@_overwrite_option
def export(trace: str, out: str, layout: str, overwrite: bool) -> None:
    """Write TRACE as CSV, so that `splitee trace import` gives the same trace again.

    Everything is kept to the last digit, except logits and the manifest, which CSV has no place for.
    """
    if out != "-":
        refuse_place(Path(out), overwrite, trace)
    loaded = load_trace(trace)
    if out == "-":
        export_csv(loaded, sys.stdout.buffer, layout)
    else:
        with atomic_path(out, overwrite=overwrite) as temporary, temporary.open("wb") as sink:
            export_csv(loaded, sink, layout)
    flags = [] if loaded.softmax else ["--scores"]
    highest = max(
        values.max() for name in ("prediction", "label") if (values := loaded.columns.get(name)) is not None
    )
    if loaded.classes != max(2, highest + 1):
        flags.append(f"--classes {loaded.classes}")
    if flags:
        click.echo(f"to import it again: splitee trace import {shlex.quote(out)} {' '.join(flags)}", err=True)


@command.command(short_help="Let another model answer in the cloud.")
@click.argument("device")
@click.argument("cloud")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The trace's file (.parquet).")
@click.option("--name", help="What to call the trace; default: that of DEVICE.")
@_overwrite_option
def join(device: str, cloud: str, out: Path, name: str | None, overwrite: bool) -> None:
    """Join the trace DEVICE of a small model with CLOUD, a big one's of the same samples.

    What is offloaded, the last exit of CLOUD answers.
    """
    refuse_place(out, overwrite, device, cloud)
    far = load_trace(cloud)
    joined = with_cloud(load_trace(device), far)
    if name:
        joined = joined.replace(name=name)
    joined.save(out, overwrite=overwrite)
    click.echo(f"{out}: {_summary(joined)}; {far.name} answers in the cloud")


command.add_command(calibrate)


def _renamed(pairs: tuple[str, ...]) -> dict[str, str]:
    for pair in pairs:
        if "=" not in pair:
            raise InputError(f"--map {pair}: write it as ours=theirs, as in sample=doc_id")
    return dict(pair.split("=", 1) for pair in pairs)


def _summary(trace: Trace) -> str:
    labels = "with labels" if trace.has_labels else "without labels"
    return (
        f"{trace.name}, {trace.samples:,} samples × {trace.layers} exits, {trace.classes} classes, {labels},"
        f" fingerprint {trace.fingerprint[:12]}"
    )


def _exits(trace: Trace, threshold: float) -> list[dict[str, Any]]:
    """Describe each exit; what labels would tell is None without them."""
    device = CostModel(exit_layers=trace.exit_layers).device(trace.layers)
    accuracy, agreement = trace.accuracy_per_exit(), trace.agreement_per_exit()
    rows = []
    for i, layer in enumerate(trace.exit_layers):
        confidence = trace.confidence[:, i].astype(np.float64)
        share = float((confidence >= threshold).mean())
        stays = 1.0 if i + 1 == trace.layers else share  # nothing is sent from the last exit
        error = None
        if trace.label is not None:
            error = expected_calibration_error(confidence, trace.prediction[:, i] == trace.label)
        rows.append(
            {
                "exit": i + 1,
                "layer": layer,
                "accuracy": float(accuracy[i]) if trace.has_labels else None,
                "agreement": float(agreement[i]),
                "mean_confidence": float(confidence.mean()),
                "calibration_error": error,
                "share_at_threshold": share,
                # None is never: JSON knows no infinity
                "break_even_offload": float(device[i]) / stays if stays else None,
            }
        )
    return rows


def _print_header(trace: Trace) -> None:
    click.echo(_summary(trace))
    manifest = trace.manifest
    if trace.recommended_threshold is not None:
        rule = manifest["recommended_threshold"].get("rule")
        click.echo(f"recommended α = {trace.recommended_threshold:g}" + (f" ({rule})" if rule else ""))
    for key in ("model", "data"):
        if key in manifest:
            told = manifest[key]
            click.echo(f"{key}: {told if isinstance(told, str) else json.dumps(told, ensure_ascii=False)}")


def _print_exits(trace: Trace, rows: list[dict[str, Any]], threshold: str) -> None:
    right = ("accuracy", "accuracy") if trace.has_labels else ("agrees with last", "agreement")
    table = Table(title=threshold, title_justify="left")
    for heading in (
        "exit",
        "layer",
        right[0],
        "confidence",
        "calibration error",
        "share ≥ α",
        "break-even o",
    ):
        table.add_column(heading, justify="right")
    for row in rows:
        error, price = row["calibration_error"], row["break_even_offload"]
        table.add_row(
            str(row["exit"]),
            str(row["layer"]),
            f"{row[right[1]]:.2%}",
            f"{row['mean_confidence']:.3f}",
            "–" if error is None else f"{error:.3f}",
            f"{row['share_at_threshold']:.1%}",
            "never" if price is None else f"{price:.2f} λ",
        )
    Console().print(table)
    click.echo(
        "break-even o: the offload price at which splitting here costs as much as sending everything;"
        " above it, the split is cheaper."
    )
