"""`splitee trace calibrate`: temperatures fitted on a labelled source and applied to a target trace."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.table import Table

from splitee._internal.errors import InputError
from splitee._internal.files import refuse_place
from splitee.cli import options
from splitee.cli.printing import table_console
from splitee.cli.traces import read_trace, source_of
from splitee.trace import Trace
from splitee.trace.reliability import expected_calibration_error

WIDTH = 110  # of the table in a pipe, which has no width of its own
Pair = dict[str, float | None]  # "before" and "after"


@click.command("calibrate", short_help="Calibrate the confidences of TRACE: one temperature per exit.")
@click.argument("trace")
@options.source("Labelled validation trace of the same model.  [default: the bundled one of the same model]")
@options.out("The trace file to write (.parquet).")
@options.overwrite()
@options.as_json()
def command(trace: str, source: str | None, out: Path, overwrite: bool, as_json: bool) -> None:
    """Fit one temperature per exit on the source's labels, and divide the logits of TRACE by them.

    Predictions do not change. α is chosen again on the calibrated source by the rule that chose it before.
    The labels of TRACE are not used. With more than two classes both traces need logits.

    \b
    Example:
      splitee trace calibrate imdb --out imdb-calibrated.parquet
    """
    from splitee.trace.temperature import apply_temperatures, calibrate

    refuse_place(out, overwrite, trace, source)
    target = read_trace(trace)
    fitted = source_of(target, source)
    if fitted is None:
        raise InputError(
            f"no bundled validation trace is of the model of {target.name}:"
            " give --source, a labelled validation trace of the same model"
        )
    made = calibrate(target, fitted).replace(name=out.stem)
    temperatures = made.manifest["calibration"]["temperatures"]
    rows = _exits((target, made), (fitted, apply_temperatures(fitted, temperatures)), temperatures)
    made.save(out, overwrite=overwrite)

    chosen = made.manifest["recommended_threshold"]
    if as_json:
        document = {
            "out": str(out),
            "fingerprint": made.fingerprint,
            "trace": target.name,
            "source": made.manifest["calibration"]["source"],
            "threshold": {
                "before": target.recommended_threshold,
                "after": chosen["value"],
                "rule": chosen["rule"],
            },
            "exits": rows,
        }
        click.echo(json.dumps(document, allow_nan=False))
        return
    _print(rows, target, fitted)
    for exit_, found in made.manifest["calibration"].get("undetermined", {}).items():
        click.echo(
            f"warning: exit {exit_} is not calibrated: the likelihood has no minimum up to T = {found:.4g} "
            f"(its answers on {fitted.name} are all right, or no better than chance)",
            err=True,
        )
    before = target.recommended_threshold
    was = "none was recommended before" if before is None else f"before: {before:g}"
    click.echo(f"{out}: α = {chosen['value']:g} ({chosen['rule']}, on calibrated {fitted.name}); {was}")


def _exits(
    target: tuple[Trace, Trace], source: tuple[Trace, Trace], temperatures: list[float]
) -> list[dict[str, Any]]:
    """Describe each exit before and after; values that need labels are None without them."""
    return [
        {
            "exit": i + 1,
            "layer": layer,
            "temperature": temperatures[i],
            "source_calibration_error": _pair(source, lambda one, i=i: _error(one, i)),
            "calibration_error": _pair(target, lambda one, i=i: _error(one, i)),
            "mean_confidence": _pair(target, lambda one, i=i: float(_confidence(one, i).mean())),
            "share_at_threshold": _pair(target, lambda one, i=i: _share(one, i)),
        }
        for i, layer in enumerate(target[0].exit_layers)
    ]


def _pair(traces: tuple[Trace, Trace], measure: Any) -> Pair:
    return {when: measure(one) for when, one in zip(("before", "after"), traces, strict=True)}


def _confidence(trace: Trace, i: int) -> Any:
    return trace.confidence[:, i].astype(np.float64)


def _error(trace: Trace, i: int) -> float | None:
    if trace.label is None:
        return None
    return expected_calibration_error(_confidence(trace, i), trace.prediction[:, i] == trace.label)


def _share(trace: Trace, i: int) -> float | None:
    alpha = trace.recommended_threshold  # of each trace itself
    return None if alpha is None else float((_confidence(trace, i) >= alpha).mean())


def _print(rows: list[dict[str, Any]], target: Trace, source: Trace) -> None:
    title = f"{target.name}, calibrated on {source.name} ({source.samples:,} samples): before → after"
    table = Table(title=title, title_justify="left")
    columns = {
        "calibration error\non the source": ("source_calibration_error", ".3f"),
        "calibration error": ("calibration_error", ".3f"),
        "confidence": ("mean_confidence", ".3f"),
        "share ≥ α": ("share_at_threshold", ".1%"),
    }
    for heading in ("exit", "T", *columns):
        table.add_column(heading, justify="right")
    for row in rows:
        cells = [_arrow(row[key], form) for key, form in columns.values()]
        table.add_row(str(row["exit"]), f"{row['temperature']:.3f}", *cells)
    console = table_console(WIDTH, highlight=False)
    console.print(table)


def _arrow(pair: Pair, form: str) -> str:
    before, after = (
        "–" if value is None else format(value, form) for value in (pair["before"], pair["after"])
    )
    return "–" if before == after == "–" else f"{before} → {after}"
