"""`splitee sweep`: a grid of replays in, two tables out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from splitee._internal.errors import InputError
from splitee.cli import options
from splitee.cli.meter import Meter, announce_compiling

if TYPE_CHECKING:
    from splitee.sweep import Sweep
    from splitee.sweep.running import Play


@click.command("sweep")
@click.argument("grid", type=click.Path(path_type=Path))
@options.out("Folder of the tables: summary and repeats (Parquet).", required=False)
@click.option("--dry-run", is_flag=True, help="Print the whole grid and its size; replay nothing.")
@options.on_ray("cells")
@options.overwrite("Replace --out if it exists, when all cells are done.")
@options.as_json()
def command(
    grid: Path,
    out: Path | None,
    dry_run: bool,
    on_ray: bool,
    ray_address: str | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Replay every combination of the settings in GRID, a YAML file.

    An interrupted command continues when it is run again, and writes the same files, byte for byte.

    \b
    Keys (traces is required; values separated by commas may stand for a list):
      traces, policies, offload, layer_cost, mu, device_layers (a number, all, half),
      threshold (a number, recommended), exploration, stream, interval (data, run);
      repeats, seed, offload_input, send_input, source;
      systems: a list of devices with links, instead of offload and layer_cost; the
      keys of each are the options of splitee run (layer_ms, uplink, ...), and name

    \b
    Examples:
      splitee sweep grid.yaml --dry-run
      splitee sweep grid.yaml --out results
    """
    from splitee.sweep import Sweep, read_grid, sweep
    from splitee.sweep.running import play_here, play_on

    asked = read_grid(grid)
    if dry_run:
        work = Sweep(asked)
        plan = work.facts | {"cells": len(work.sizes), "decisions": sum(work.sizes)}
        click.echo(json.dumps(plan) if as_json else _shown(work))
        return
    if out is None:
        raise InputError("the results need a folder: give --out FOLDER, or --dry-run")
    play: Play = play_here
    if on_ray or ray_address:
        from splitee._internal.ray import Cluster

        play = play_on(Cluster(ray_address))
    with Meter(out.name, "{:,.0f} decisions/s") as meter:
        announce_compiling(meter.say)
        done = sweep(
            asked,
            out,
            play=play,
            overwrite=overwrite,
            report=meter.say,
            begin=meter.begin,
            advance=lambda decisions, computed: meter.advance(decisions, decisions * computed),
        )
    cells = len(asked.cells())
    click.echo(json.dumps({"out": str(done), "cells": cells}) if as_json else f"wrote {done}: {cells} cells")


def _shown(work: Sweep) -> str:
    import yaml

    grid = work.grid.to_dict()
    text = yaml.safe_dump(grid, sort_keys=False, allow_unicode=True, default_flow_style=None, width=100)
    return f"{text}# {len(work.sizes):,} cells, {sum(work.sizes):,} decisions"
