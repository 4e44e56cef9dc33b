"""`splitee trace show`: how good every exit of a trace is, and how informative its confidence."""

from __future__ import annotations

import json
import math
from typing import Any

import click
import numpy as np
from rich.table import Table

from splitee.cli import options
from splitee.cli.printing import table_console
from splitee.cli.traces import read_trace, summary_line, threshold_of
from splitee.costs import CostModel
from splitee.trace import Trace
from splitee.trace.quality import auroc, balanced_accuracy, macro_f1
from splitee.trace.reliability import expected_calibration_error

WIDTH = 142  # of the table in a pipe, which has no width of its own
_COLUMNS = {  # key: heading, format
    "exit": ("exit", "d"),
    "layer": ("layer", "d"),
    "accuracy": ("accuracy", ".2%"),
    "macro_f1": ("macro-\nF1", ".3f"),
    "balanced_accuracy": ("balanced\naccuracy", ".2%"),
    "agreement": ("agrees\nwith last", ".2%"),
    "mean_confidence": ("confidence", ".3f"),
    "calibration_error": ("calibration\nerror", ".3f"),
    "auroc": ("AUROC\nright", ".3f"),
    "auroc_agreement": ("AUROC\nagrees", ".3f"),
    "share_at_threshold": ("share\n≥ α", ".1%"),
    "break_even_offload": ("break-\neven o", ".2f"),
}
_LABELLED = ("accuracy", "macro_f1", "balanced_accuracy", "calibration_error", "auroc")


@click.command("show", short_help="Show every exit of TRACE: accuracy, confidence, break-even cost.")
@click.argument("trace")
@options.threshold(options.THRESHOLD, "α, the confidence to exit.  [default: the recommended α, else 0.7]")
@options.as_json()
def command(trace: str, threshold: float | str | None, as_json: bool) -> None:
    """Show accuracy, confidence, calibration error and break-even offload cost of every exit of TRACE.

    AUROC is the probability that a right answer (or one that agrees with the last exit) has a greater
    confidence than another: 1 if the confidence separates them, 0.5 if it is uninformative.
    """
    loaded = read_trace(trace)
    alpha, source = threshold_of(loaded, threshold)
    rows = exits(loaded, alpha)
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


def exits(trace: Trace, threshold: float) -> list[dict[str, Any]]:
    """Describe each exit; values that need labels are None without them."""
    device = CostModel(exit_layers=trace.exit_layers).device(trace.layers)
    accuracy, agreement = trace.accuracy_per_exit(), trace.agreement_per_exit()
    rows = []
    for i, layer in enumerate(trace.exit_layers):
        confidence, answer = trace.confidence[:, i].astype(np.float64), trace.prediction[:, i]
        share = float((trace.confidence[:, i] >= np.float32(threshold)).mean())
        stays = 1.0 if i + 1 == trace.layers else share  # the last exit never offloads
        row: dict[str, Any] = dict.fromkeys(_COLUMNS)
        if trace.label is not None:
            right = answer == trace.label
            row |= {
                "accuracy": float(accuracy[i]),
                "macro_f1": macro_f1(answer, trace.label),
                "balanced_accuracy": balanced_accuracy(answer, trace.label),
                "calibration_error": expected_calibration_error(confidence, right),
                "auroc": _or_none(auroc(confidence, right)),
            }
        row |= {
            "exit": i + 1,
            "layer": layer,
            "agreement": float(agreement[i]),
            "auroc_agreement": _or_none(auroc(confidence, answer == trace.prediction[:, -1])),
            "mean_confidence": float(confidence.mean()),
            "share_at_threshold": share,
            # None means never: JSON has no infinity
            "break_even_offload": float(device[i]) / stays if stays else None,
        }
        rows.append(row)
    return rows


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value


def _print_header(trace: Trace) -> None:
    click.echo(summary_line(trace))
    manifest = trace.manifest
    if trace.recommended_threshold is not None:
        rule = manifest["recommended_threshold"].get("rule")
        click.echo(f"recommended α = {trace.recommended_threshold:g}" + (f" ({rule})" if rule else ""))
    for key in ("model", "data"):
        if key in manifest:
            fact = manifest[key]
            click.echo(f"{key}: {fact if isinstance(fact, str) else json.dumps(fact, ensure_ascii=False)}")


def _print_exits(trace: Trace, rows: list[dict[str, Any]], threshold: str) -> None:
    table = Table(title=threshold, title_justify="left")
    shown = [key for key in _COLUMNS if trace.has_labels or key not in _LABELLED]
    for key in shown:
        table.add_column(_COLUMNS[key][0], justify="right")
    for row in rows:
        cells = [_cell(key, row[key]) for key in shown]
        table.add_row(*cells)
    console = table_console(WIDTH)
    console.print(table)
    click.echo(
        "break-even o: the offload cost in λ at which splitting here costs as much as offloading every input;"
        " above it, the split is cheaper."
    )


def _cell(key: str, value: float | None) -> str:
    if value is None:
        return "never" if key == "break_even_offload" else "–"
    return format(value, _COLUMNS[key][1])
