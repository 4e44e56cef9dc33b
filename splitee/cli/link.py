"""`splitee link`: what a link carries."""

from __future__ import annotations

import contextlib
import json

import click
import numpy as np

from splitee.cli import Group, live_options, options
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


@command.command(short_help="Pass connections on over the link of FILE.")
@click.argument("file")
@click.option(
    "--to", required=True, metavar="URL", help="Address of the server, such as http://127.0.0.1:8000."
)
@live_options.host("Address to listen on.")
@live_options.port("Port to listen on; 0: any that is free.", 0)
@options.rtt()
@options.outages()
@click.option(
    "--packet-loss",
    "loss",
    type=options.NUMBER,
    default="0",
    show_default=True,
    help="Share of packets that are lost.",
)
@options.seed("Seed of the losses.")
@options.data_root("Folder of data sets; FOLDER/networks holds links by name.")
@options.as_json("Print the address as JSON.")
def relay(
    file: str,
    to: str,
    host: str,
    port: int,
    rtt: float,
    outages: tuple[str, ...],
    loss: float,
    seed: int,
    data_root: str | None,
    as_json: bool,
) -> None:
    """Pass connections on to a server over the link of FILE, to try a device and a cloud on one machine.

    FILE is what `splitee link show` takes. Bytes to the server pass at the rate of the link; either way takes
    half of --rtt. In an outage connections are reset. The address to connect to is printed; Ctrl-C stops.
    """
    import asyncio

    from splitee.runtime.relay import Relay
    from splitee.system.settings import span

    link = load_link(file, rtt=rtt, outages=[span(text, "--outage") for text in outages], data_root=data_root)
    made = Relay(to, link, loss=loss, seed=seed)

    async def serve() -> None:
        address = await made.start(port, host)
        click.echo(json.dumps({"url": address}) if as_json else f"{link.name}: {address} → {to}")
        await asyncio.Event().wait()

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve())


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
