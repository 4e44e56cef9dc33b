"""The options of a device, a link and a cloud, which `plan`, `run` and others share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from functools import wraps
from typing import Any

import click

from splitee.cli import options
from splitee.system.settings import SystemSettings

_OPTIONS = (
    options.device("Profile of the device: a file of splitee profile, or a bundled name.", "FILE"),
    click.option("--layer-ms", type=options.NUMBER, help="ms of a layer on the device, instead of --device."),
    click.option("--exit-ms", type=options.NUMBER, help="ms of an exit.  [default: 0]"),
    click.option("--layer-mj", type=options.NUMBER, help="mJ of a layer on the device."),
    click.option("--exit-mj", type=options.NUMBER, help="mJ of an exit."),
    click.option("--uplink", type=options.NUMBER, help="Mbit/s from the device to the cloud.  [default: 5]"),
    click.option(
        "--rtt", type=options.NUMBER, default=f"{SystemSettings.rtt:g}", show_default=True,
        help="Round trip in ms.",
    ),
    click.option("--link", metavar="FILE", help="Rates over time: a file, or a name."),
    click.option(
        "--outage", "outages", multiple=True, metavar="FROM:TO",
        help="The link is down from FROM to TO, in seconds; repeatable.",
    ),
    click.option("--cloud-ms", type=options.NUMBER, help="ms of the whole model in the cloud."),
    click.option("--cloud", metavar="FILE", help="Profile of the cloud, instead of --cloud-ms."),
    click.option(
        "--sends", type=click.Choice(["cheaper", "state", "input"]), default=SystemSettings.sends,
        show_default=True,
        help="What an offload sends.",
    ),
    options.codec(
        click.Choice(["float16", "float32", "int8"]), SystemSettings.codec, "How states are encoded."
    ),
    click.option("--arrivals", metavar="RATE", help="At 10/s: random; or 250: every 250 ms."),
    click.option("--deadline", type=options.NUMBER, help="ms after which the device answers by itself."),
    click.option("--input-bytes", type=options.NUMBER, help="Bytes of an input.  [default: 4 per token]"),
    click.option("--input-tokens", type=click.IntRange(min=1), help="Tokens, if the trace has no lengths."),
    click.option(
        "--weights", metavar="UNIT=COST,...", default=SystemSettings.weights, show_default=True,
        help="What costs are made of: ms, mJ, KB.",
    ),
    options.data_root("Folder of data sets; FOLDER/networks holds links by name."),
)  # fmt: skip
NAMES = tuple(field.name for field in fields(SystemSettings))


def system(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a system; the command gets them as one dict, `given`."""

    @wraps(command)
    def gathered(*args: Any, **kwargs: Any) -> Any:
        given = {name: kwargs.pop(name) for name in NAMES}
        return command(*args, given=given, **kwargs)

    for option in reversed(_OPTIONS):
        gathered = option(gathered)
    return gathered
