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
from splitee.cli import Group, options
from splitee.cli.calibrate import command as calibrate
from splitee.cli.traces import STDIN, read_trace, threshold_of
from splitee.costs import CostModel
from splitee.trace import Trace, with_cloud
from splitee.trace.checks import check_trace
from splitee.trace.exporting import LAYOUTS, export_csv
from splitee.trace.importing import FORMATS, import_trace
from splitee.trace.reliability import expected_calibration_error


@click.group(cls=Group)
def command() -> None:
    """Show, verify, import, export, calibrate and join traces.

    A trace is one Parquet file with the outputs of every exit of a model for every sample. TRACE is such a
    file, the name of a bundled trace, or - for standard input.
    """


@command.command(short_help="Show every exit of TRACE: accuracy, confidence, break-even cost.")
@click.argument("trace")
@options.threshold(options.THRESHOLD, "α, the confidence to exit.  [default: the recommended α, else 0.7]")
@options.as_json()
def show(trace: str, threshold: float | str | None, as_json: bool) -> None:
    """Show accuracy, confidence, calibration error and break-even offload cost of every exit of TRACE."""
    loaded = read_trace(trace)
    alpha, source = threshold_of(loaded, threshold)
    rows = _exits(loaded, alpha)
    if as_json:
        click.echo(
            json.dumps(
                {
                    "manifest": loaded.manifest,
                    "labels": loaded.has_labels,
                    "threshold": {"value": alpha, "source": source},
                    "exits": rows,
                }
            )
        )
    else:
        _print_header(loaded)
        _print_exits(loaded, rows, f"α = {alpha:g} ({source})")


@command.command()
@click.argument("trace")
@options.as_json()
def verify(trace: str, as_json: bool) -> None:
    """Check every byte and value of TRACE.

    An error is one line and exit code 2. Unusual values are warnings and exit code 0.
    """
    loaded = read_trace(trace)
    warnings = check_trace(loaded)
    if as_json:
        click.echo(json.dumps({"ok": True, "fingerprint": loaded.fingerprint, "warnings": warnings}))
        return
    click.echo(f"ok: {_summary(loaded)}")
    for warning in warnings:
        click.echo(f"warning: {warning}")


@command.command("import", short_help="Make a trace from an NPZ file or a CSV table.")
@click.argument("file")
@options.out("The trace file to write (.parquet).")
@options.format_(FORMATS, "auto")
@click.option(
    "--map",
    "renamed",
    multiple=True,
    metavar="OURS=THEIRS",
    help="The file's name for a column: sample=doc_id; in wide tables with {} for the exit:"
    " confidence=conf_{}. Repeatable.",
)
@click.option(
    "--classes", type=click.IntRange(2), help="Number of classes.  [default: the highest class + 1]"
)
@options.class_names("Names of the classes 0, 1, …, separated by commas.  [default: sorted]")
@click.option("--scores", is_flag=True, help="The confidences are not softmax maxima and may be below 1/K.")
@options.name("Name of the trace.  [default: the name of FILE]")
@options.overwrite()
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
    """Make a trace from FILE, an NPZ file or a CSV table; - reads standard input.

    \b
    NPZ   arrays confidence and prediction, (samples, exits), and optionally label, entropy, id,
          length, group, logits, cloud_confidence, cloud_prediction, value, target (of scores)
    long  one row per sample and exit: sample, exit, confidence, prediction; optionally the others
    wide  one row per sample: confidence_1, prediction_1, confidence_2, ...; optionally id and the others

    Exits are numbered from 1 (or 0). Predictions and labels are numbers from 0 or names of classes.
    """
    refuse_place(out, overwrite, file)
    columns = options.pairs(renamed, "--map", "OURS=THEIRS, such as sample=doc_id")
    try:
        trace, notes = import_trace(
            sys.stdin.buffer.read() if file == "-" else file,
            format_,
            renamed=columns,
            classes=classes,
            class_names=options.names_list(class_names),
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
@options.out("The CSV file to write; - writes standard output.")
@options.format_(LAYOUTS, "long")
@options.overwrite()
def export(trace: str, out: Path, format_: str, overwrite: bool) -> None:
    """Write TRACE as CSV, from which `splitee trace import` makes the same trace.

    All digits are kept. The logits and the manifest are not exported.
    """
    if str(out) != STDIN:
        refuse_place(out, overwrite, trace)
    loaded = read_trace(trace)
    if str(out) == STDIN:
        export_csv(loaded, sys.stdout.buffer, format_)
    else:
        with atomic_path(out, overwrite=overwrite) as temporary, temporary.open("wb") as sink:
            export_csv(loaded, sink, format_)
    flags = [] if loaded.softmax else ["--scores"]
    highest = max(
        values.max() for name in ("prediction", "label") if (values := loaded.columns.get(name)) is not None
    )
    if loaded.classes != max(2, highest + 1):
        flags.append(f"--classes {loaded.classes}")
    if flags:
        click.echo(
            f"to import it again: splitee trace import {shlex.quote(str(out))} {' '.join(flags)}", err=True
        )


@command.command(short_help="Add the answers of a larger model in the cloud.")
@click.argument("device")
@click.argument("cloud")
@options.out("The trace file to write (.parquet).")
@options.name("Name of the trace.  [default: that of DEVICE]")
@options.overwrite()
def join(device: str, cloud: str, out: Path, name: str | None, overwrite: bool) -> None:
    """Join DEVICE, the trace of a small model, with CLOUD, the trace of a large one on the same samples.

    In the joined trace the last exit of CLOUD answers offloaded samples.
    """
    refuse_place(out, overwrite, device, cloud)
    far = read_trace(cloud)
    joined = with_cloud(read_trace(device), far)
    if name:
        joined = joined.replace(name=name)
    joined.save(out, overwrite=overwrite)
    click.echo(f"{out}: {_summary(joined)}; {far.name} answers in the cloud")


command.add_command(calibrate)


def _summary(trace: Trace) -> str:
    labels = "with labels" if trace.has_labels else "without labels"
    return (
        f"{trace.name}, {trace.samples:,} samples × {trace.layers} exits, {trace.classes} classes, {labels},"
        f" fingerprint {trace.fingerprint[:12]}"
    )


def _exits(trace: Trace, threshold: float) -> list[dict[str, Any]]:
    """Describe each exit; values that need labels are None without them."""
    device = CostModel(exit_layers=trace.exit_layers).device(trace.layers)
    accuracy, agreement = trace.accuracy_per_exit(), trace.agreement_per_exit()
    rows = []
    for i, layer in enumerate(trace.exit_layers):
        confidence = trace.confidence[:, i].astype(np.float64)
        share = float((confidence >= threshold).mean())
        stays = 1.0 if i + 1 == trace.layers else share  # the last exit never offloads
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
                # None means never: JSON has no infinity
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
            fact = manifest[key]
            click.echo(f"{key}: {fact if isinstance(fact, str) else json.dumps(fact, ensure_ascii=False)}")


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
        error, cost = row["calibration_error"], row["break_even_offload"]
        table.add_row(
            str(row["exit"]),
            str(row["layer"]),
            f"{row[right[1]]:.2%}",
            f"{row['mean_confidence']:.3f}",
            "–" if error is None else f"{error:.3f}",
            f"{row['share_at_threshold']:.1%}",
            "never" if cost is None else f"{cost:.2f} λ",
        )
    Console().print(table)
    click.echo(
        "break-even o: the offload cost at which splitting here costs as much as offloading every input;"
        " above it, the split is cheaper."
    )
