"""`splitee plan`: where to cut, for a device, a link and limits."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from splitee.cli import options, system_options, systems

if TYPE_CHECKING:
    from splitee.report.planning import Judged, Plan

DEFAULT_TRACE = "imdb"


@click.command("plan")
@click.argument("trace", default=DEFAULT_TRACE)
@system_options.system
@options.device_layers("m, the layers that the device holds: a number, half or all.  [default: all]")
@options.max_drop(options.NUMBER, "1", options.MAX_DROP)
@options.max_p95()
@click.option("--max-mj", type=options.NUMBER, metavar="MJ", help="Mean energy of the device per sample.")
@options.seed("Seed of the orders and of random arrivals.")
@options.out("Folder for plan.json and figures.", required=False)
@options.overwrite("Replace what is in --out.")
@options.as_json()
def command(
    trace: str,
    given: dict[str, Any],
    device_layers: int | str | None,
    max_drop: float,
    max_p95: float | None,
    max_mj: float | None,
    seed: int,
    out: Path | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Find the cheapest cut within limits, for TRACE on a device, a link and a cloud.

    TRACE is a file or a bundled trace. Rules are the cloud alone, exits, splits and cascades with thresholds.
    They are chosen on half of the samples and judged on the other half. Costs are mean latencies, unless
    --weights says otherwise.

    \b
    Examples:
      splitee plan imdb --layer-ms 15 --exit-ms 1 --uplink 5 --rtt 40
      splitee plan imdb --layer-ms 15 --exit-ms 1 --link hsdpa_bus_1_down --arrivals 2/s --max-p95 400
      splitee plan mine.parquet --device pi.json --uplink 1 --max-drop 0.5 --max-mj 300 --json
    """
    from splitee._internal.folders import new_folder
    from splitee.cli.meter import announce_compiling, working
    from splitee.cli.traces import read_traces
    from splitee.report.planning import Limits, plan

    (loaded,) = read_traces((trace,))
    system = systems.system_of(given, loaded, device_layers)
    limits = Limits(max_drop, max_p95, max_mj)
    announce_compiling()
    with working(f"planning for {loaded.name}"):
        found = plan(loaded, system, limits, seed)
    document = _document(found, loaded.name, system.to_dict(), vars(limits), seed)
    if out is not None:
        from splitee.report.figures.plan import plan_figures

        with (
            working("drawing figures and writing files"),
            new_folder(
                out, own=("plan.json", "frontier.png", "latencies.png", "link.png"), overwrite=overwrite
            ) as made,
        ):
            (made / "plan.json").write_text(json.dumps(document, indent=1, allow_nan=False) + "\n")
            for name, content in plan_figures(found, loaded, system, limits, seed).items():
                (made / name).write_bytes(content)
    if as_json:
        click.echo(json.dumps(document, allow_nan=False))
        return
    _print(found, loaded.name)
    if out is not None:
        click.echo(f"wrote {out}")


def _document(
    found: Plan, trace: str, system: dict[str, Any], limits: dict[str, Any], seed: int
) -> dict[str, Any]:
    from splitee.report.planning import as_dict

    return {
        "trace": trace,
        "system": system,
        "limits": limits,
        "seed": seed,
        "answer": None if found.answer is None else as_dict(found.answer),
        "outage": None
        if found.outage is None
        else {name: None if math.isnan(value) else value for name, value in vars(found.outage).items()},
        "table": [as_dict(one) for one in found.table],
        "sentences": found.sentences,
    }


def _print(found: Plan, trace: str) -> None:
    from rich import box
    from rich.table import Table

    from splitee.cli.printing import table_console

    console = table_console(118, highlight=False)
    lines = found.sentences
    answer = lines[: 2 if found.outage is not None and lines[1].startswith("If the link") else 1]
    console.print(" ".join(answer), soft_wrap=True, markup=False)
    console.print()
    energy = any(not math.isnan(one.judged_on.energy) for one in found.table)
    table = Table(box=box.SIMPLE_HEAD, title=f"{trace}: rules that no other beats in drop, p95 and cost")
    for heading in ("rule", "α", "p50 ms", "p95 ms", "mean ms", *(["mJ"] if energy else []), "KB"):
        table.add_column(heading, justify="left" if heading == "rule" else "right", no_wrap=True)
    for heading in ("offloaded", "points lost [95 %]"):
        table.add_column(heading, justify="right", no_wrap=True)
    for one in found.table:
        table.add_row(*_cells(one, energy), style="bold" if one is found.answer else None)
    console.print(table)
    for line in lines[len(answer) :]:
        console.print(f"· {line}", soft_wrap=True, markup=False)


def _cells(one: Judged, energy: bool) -> list[str]:
    row, alpha = one.judged_on, getattr(one.policy, "threshold", None)
    return [
        one.policy.label,
        "" if alpha is None else f"{alpha:g}",
        f"{row.latency_p50:.1f}",
        f"{row.latency_p95:.1f}",
        f"{row.latency:.1f}",
        *([f"{row.energy:.1f}"] if energy else []),
        f"{row.kilobytes:.2f}",
        f"{row.offload_rate:.1%}",
        f"{row.drop:.2f} [{row.drop_low:.2f}, {row.drop_high:.2f}]",
    ]
