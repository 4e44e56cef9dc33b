"""`splitee explore`: a page in which a cut is planned for other devices, links and limits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from splitee.cli import options, system_options, systems
from splitee.cli.plan import DEFAULT_TRACE

_ON_THE_PAGE = ("layer_ms", "exit_ms", "uplink", "rtt")  # what the page adds to the command it shows


@click.command("explore")
@click.argument("trace", default=DEFAULT_TRACE)
@system_options.system
@options.device_layers("m, the layers that the device holds: a number, half or all.  [default: all]")
@options.max_drop(options.NUMBER, "1", options.MAX_DROP)
@options.max_p95()
@options.out("The page to write.")
@options.overwrite("Replace the page if it exists.")
def command(
    trace: str,
    given: dict[str, Any],
    device_layers: int | str | None,
    max_drop: float,
    max_p95: float | None,
    out: Path,
    overwrite: bool,
) -> None:
    """Write a page that finds the cheapest cut while sliders are moved, for TRACE.

    The page is one HTML file that needs no network (extra `explore`). It begins with the numbers given, and
    answers what `splitee plan` prints for the numbers of its sliders.

    \b
    Examples:
      splitee explore imdb --layer-ms 15 --exit-ms 1 --uplink 5 --rtt 40 --out page.html
      splitee explore mine.parquet --device pi.json --sends input --out page.html
    """
    from splitee._internal.files import refuse_place, write_text
    from splitee.cli.meter import announce_compiling, working
    from splitee.cli.traces import read_traces
    from splitee.report.exploring import explore_page, need_explore_extra
    from splitee.report.planning import Limits

    need_explore_extra()
    refuse_place(out, overwrite, trace)
    (loaded,) = read_traces((trace,))
    system = systems.system_of(given, loaded, device_layers)
    limits = Limits(max_drop, max_p95)
    announce_compiling()
    with working(f"planning for {loaded.name}"):
        page = explore_page(loaded, system, limits, ["splitee", "plan", trace, *_kept(given)])
    write_text(out, page, overwrite=overwrite)
    click.echo(f"wrote {out}: {len(page.encode()) / 1e6:.1f} MB, open it in a browser")


def _kept(given: dict[str, Any]) -> list[str]:
    """Return the options typed that the page does not vary, as words of a command."""
    words = []
    for name in system_options.NAMES:
        if name not in _ON_THE_PAGE and systems.set_by_hand(name):
            value = given[name]
            whole = isinstance(value, float) and value.is_integer()
            words += [f"--{name.replace('_', '-')}", str(int(value) if whole else value)]
    return words
