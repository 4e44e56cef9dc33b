"""`splitee bench`: policies on the sealed suite, in one table and one page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from splitee._internal.errors import InputError
from splitee.cli import options
from splitee.cli.meter import Meter
from splitee.cli.printing import table_console

WIDTH = 110
COLUMNS = ("rank", "entrant", "score", "drop", "worst_drop", "broken", "fell_back")  # the page has all
AROUND = 4  # rows shown above and below a policy of a file
QUESTIONS = ("regret", "drop 0.5", "drop 1", "drop 2")
PARTS = ("all", "constant", "shift", "drift", "short", "delay", "system", "text", "image")


@click.command("bench")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path), metavar="[POLICY.py]...")
@options.out("Folder of the tables, the page and all numbers.", required=False)
@click.option("--all", "again", is_flag=True, help="Play the package's policies again, beside POLICY.py.")
@click.option(
    "--question",
    type=click.Choice(QUESTIONS),
    default="drop 1",
    show_default=True,
    help="The table to print: regret, or the cost at this drop of accuracy in points at most.",
)
@click.option(
    "--track", type=click.Choice(PARTS), default="all", show_default=True, help="The cells it is about."
)
@click.option(
    "--limit",
    type=click.FloatRange(1, 86_400),
    default=1800.0,
    show_default=True,
    help="Seconds of the processor that a POLICY.py may take in all.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(0.1, 86_400),
    default=60.0,
    show_default=True,
    help="Seconds that a POLICY.py may take for one answer.",
)
@click.option("--workers", type=click.IntRange(1, 1024), help="Processes.  [default: one per processor]")
@options.on_ray("cells")
@click.option("--cells", "listing", is_flag=True, help="List cells and entrants; play nothing.")
@options.overwrite("Replace --out if it exists, when all is played.")
@options.as_json()
def command(
    files: tuple[Path, ...],
    out: Path | None,
    again: bool,
    question: str,
    track: str,
    limit: float,
    timeout: float,
    workers: int | None,
    on_ray: bool,
    ray_address: str | None,
    listing: bool,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Compare policies on EE-Bench, a sealed suite of traces, streams, costs and systems.

    Without POLICY.py, all policies of the package are played. With some, these are played and ranked among
    the stored results of the package's. A policy file runs in a process of its own and sees what a device
    sees; one that crashes, cheats or does not return is reported and left out. An interrupted command
    continues when it is run again.

    \b
    Examples:
      splitee bench mine.py --out mine
      splitee bench --out all
      splitee bench --cells
    """
    if listing:
        click.echo(_listed(as_json))
        return
    if out is None:
        raise InputError("the results need a folder: give --out FOLDER")
    import os

    from splitee.bench.running import bench, here, on

    play_on = here(workers or os.cpu_count() or 1)
    if on_ray or ray_address:
        from splitee._internal.ray import Cluster

        play_on = on(Cluster(ray_address))
    with Meter(out.name, "{:.1f} cells/s") as meter:
        made = bench(
            out,
            files,
            again=again,
            play_on=play_on,
            limit=limit,
            timeout=timeout,
            overwrite=overwrite,
            report=meter.say,
            begin=meter.begin,
            advance=lambda computed: meter.advance(1, int(computed)),
        )
    text = (made / "bench.json").read_text(encoding="utf-8")
    if as_json:
        click.echo(text.rstrip("\n"))
        return
    _print(json.loads(text), json.loads((made / "times.json").read_text()), question, track, made)


def _print(document: dict[str, Any], times: dict[str, Any], question: str, track: str, out: Path) -> None:
    from rich.table import Table

    from splitee.bench.words import HEADINGS, cells_of, own_ranks, title_of

    shown = Table(title=title_of(document, question, track), title_justify="left", box=None, pad_edge=False)
    headings = HEADINGS[question == "regret"]
    for key in COLUMNS:
        shown.add_column(headings[key], justify="left" if key == "entrant" else "right", no_wrap=True)
    rows = document["tables"][question][track]
    own = [place for place, row in enumerate(rows) if row["entrant"] in document["own"]]
    near = [place for place in range(len(rows)) if not own or any(abs(place - o) <= AROUND for o in own)]
    near = [place for place in range(len(rows)) if place <= AROUND or place in near]
    for before, place in zip([-1, *near], near, strict=False):
        if place > before + 1:
            shown.add_row(*("…" for _ in COLUMNS), style="dim")
        cells = cells_of(rows[place], times, question)
        shown.add_row(*(cells[key] for key in COLUMNS), style="bold" if place in own else None)
    table_console(WIDTH).print(shown)
    for name, places in own_ranks(document):
        click.echo(f"{name}: rank {places}")
    click.echo(f"wrote {out}: page.html (all columns and tracks), bench.json, cells.parquet, times.json")
    for name, why in document["failed"].items():
        click.echo(f"warning: {name} is not in the table: {why}", err=True)


def _listed(as_json: bool) -> str:
    from dataclasses import asdict

    from splitee.bench.entrants import ENTRANTS
    from splitee.bench.suite import VERSION, cells, seal

    entrants = [{"name": e.name, "form": e.form, "source": e.source, "bound": e.bound} for e in ENTRANTS]
    if as_json:
        document = {"suite": VERSION, "seal": seal(), "cells": [asdict(c) for c in cells()]}
        return json.dumps(document | {"entrants": entrants})
    lines = [f"{VERSION}, seal {seal()}"]
    lines += [f"{cell.number:4d}  {cell.track:9}{cell.title}" for cell in cells()]
    lines += [f"{one['name']:32}{one['form']:11}{one['source']}" for one in entrants]
    return "\n".join(lines)
