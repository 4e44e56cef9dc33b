"""`splitee link`: what a link carries."""

from __future__ import annotations

import json

import click
import numpy as np

from splitee.cli import Group, options
from splitee.cli.texts import reading
from splitee.system.link import Link
from splitee.system.link_files import FORMATS, load_link

_BARS = "▁▂▃▄▅▆▇█"
_WIDTH = 72  # of the sparkline


@click.group(cls=Group)
def command() -> None:
    """Show what a link between a device and the cloud carries."""


@command.command(short_help="Show rate, fades and outages of FILE.")
@click.argument("file")
@options.format_(FORMATS, "auto")
@options.data_root("Folder of data sets; FOLDER/networks holds links by name.")
@options.reading
@options.as_json()
def show(
    file: str,
    format_: str,
    data_root: str | None,
    sep: str | None,
    decimal: str | None,
    encoding: str | None,
    quoting: bool | None,
    as_json: bool,
) -> None:
    """Show mean, p5 and median rate of the link in FILE, its fades, and the rate over time.

    FILE is a bundled link (5g_walking_down, hsdpa_bus_1_down, hsdpa_ferry_1_down), a file, or the name of a
    link in --data-root. A fade is a run of rates below a quarter of the mean; an outage carries nothing.

    \b
    csv       a table with the columns time_s (seconds) and mbit_s (Mbit/s)
    mahimahi  one line per opportunity to transfer 1,500 bytes, in ms; counted per second
    pairs     "seconds Mbit/s" per line, without a header
    """
    how = reading(sep, decimal, encoding, quoting)
    link = load_link(file, format=format_, reading=how, data_root=data_root)
    found = {key: value for key, value in link.describe().items() if key != "rtt"}
    bars, width = sparkline(link)
    if as_json:
        click.echo(json.dumps({**found, "sparkline": bars}))
        return
    if link.constant:
        click.echo(f"{link.name}: {link.mean:g} Mbit/s at all times")
        return
    click.echo(f"{link.name}: {found['rows']:,} rows, {found['seconds']:,.4g} s, then again from the start")
    click.echo(f"mean {found['mean']:.3g}, median {found['p50']:.3g}, p5 {found['p5']:.3g} Mbit/s")
    for what, key in (("fades below a quarter of the mean", "fade"), ("outages", "outage")):
        count = found[f"{key}s"]
        click.echo(f"{what}: {count}" + (f", the longest {found[f'longest_{key}']:.3g} s" if count else ""))
    click.echo(bars)
    click.echo(f"a bar: {width:.3g} s; the highest: {found['highest']:.3g} Mbit/s")


def sparkline(link: Link, most: int = _WIDTH) -> tuple[str, float]:
    """Return the mean rate over time as bars, and the seconds of one.

    Examples
    --------
    >>> sparkline(Link(time_s=[0, 1, 2, 3], mbit_s=[8.0, 4.0, 0.0, 1.0]))
    ('█▅▁▂', 1.0)
    """
    if link.constant:
        return _BARS[-1], np.inf
    bars = min(most, len(link.bits_per_ms))
    at = np.linspace(0.0, link.period_ms, bars + 1)
    carried = np.append(0.0, np.cumsum(link.bits_per_ms * np.diff(link.edges_ms)))
    rate = np.diff(np.interp(at, link.edges_ms, carried))
    height = np.floor(rate / rate.max() * (len(_BARS) - 1) + 0.5).astype(int)
    return "".join(_BARS[level] for level in height), float(at[1] / 1000)
