"""`splitee trace`: list, show, verify, import, export, calibrate, join, describe; choose thresholds."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

import click

from splitee._internal.errors import InputError
from splitee._internal.files import atomic_path, refuse_place
from splitee._internal.reading import read_stdin
from splitee.cli import Group, options
from splitee.cli.calibrate import command as calibrate
from splitee.cli.croissant import command as croissant
from splitee.cli.listing import command as list_
from splitee.cli.show import command as show
from splitee.cli.texts import marks, reading
from splitee.cli.threshold import command as threshold
from splitee.cli.traces import STDIN, read_trace, summary_line
from splitee.trace import with_cloud
from splitee.trace.checks import check_trace
from splitee.trace.exporting import LAYOUTS, export_csv
from splitee.trace.importing import FORMATS, import_trace


@click.group(cls=Group)
def command() -> None:
    """List, show, verify, import, export, calibrate, join and describe traces, and choose thresholds.

    A trace is one Parquet file with the outputs of every exit of a model for every sample. TRACE is such a
    file, the name of a bundled trace, or - for standard input.
    """


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
    click.echo(f"ok: {summary_line(loaded)}")
    for warning in warnings:
        click.echo(f"warning: {warning}")


@command.command("import", short_help="Make a trace from a table or arrays: CSV, JSON, Parquet, NPZ.")
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
@options.no_label
@click.option(
    "--exit-layers",
    type=options.LAYERS,
    metavar="LAYERS",
    help="The backbone layer of each exit, if the file numbers exits by it: 4,8,12.",
)
@options.reading
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
    no_label: str | None,
    exit_layers: tuple[int, ...] | None,
    sep: str | None,
    decimal: str | None,
    encoding: str | None,
    quoting: bool | None,
    scores: bool,
    name: str | None,
    overwrite: bool,
) -> None:
    """Make a trace from FILE: CSV, TSV, JSON, JSON Lines, Parquet, NPZ or NPY; - reads standard input.

    \b
    npz   arrays confidence and prediction, (samples, exits), or logits or probabilities, (samples,
          exits, classes); optionally label, entropy, id, length, group, cloud_confidence,
          cloud_prediction, value, target (of scores). Columns of lists are read in the same way
    long  one row per sample and exit: sample, exit, confidence, prediction; optionally the others
    wide  one row per sample: confidence_1, prediction_1, confidence_2, ...; optionally id and the others

    Exits are numbered from 1 (or 0). Predictions and labels are numbers from 0 or names of classes.
    """
    refuse_place(out, overwrite, file)
    columns = options.pairs(renamed, "--map", "OURS=THEIRS, such as sample=doc_id")
    try:
        trace, notes = import_trace(
            read_stdin() if file == "-" else file,
            format_,
            renamed=columns,
            classes=classes,
            class_names=options.names_list(class_names),
            no_label=marks(no_label),
            exit_layers=exit_layers,
            reading=reading(sep, decimal, encoding, quoting),
            softmax=not scores,
            name=name or ("stdin" if file == "-" else Path(file).stem),
        )
    except InputError as error:
        raise InputError(f"{'standard input' if file == '-' else file}: {error}") from error
    trace.save(out, overwrite=overwrite)
    for line in [*notes, *(f"warning: {warning}" for warning in check_trace(trace))]:
        click.echo(line, err=True)
    click.echo(f"{out}: {summary_line(trace)}")


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
    click.echo(f"{out}: {summary_line(joined)}; {far.name} answers in the cloud")


for subcommand in (show, calibrate, threshold, list_, croissant):
    command.add_command(subcommand)
