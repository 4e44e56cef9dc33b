"""The options of a device, a link and a cloud, which `plan`, `run` and others share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from functools import wraps
from typing import Any

import click

from splitee.cli import options
from splitee.system.settings import SystemSettings

_CLOUD = options.cloud("Profile of the cloud, instead of --cloud-ms.", "FILE")
_ROOT = options.data_root("Folder of data sets; FOLDER/networks holds links by name.")
_OPTIONS = (
    options.device("Profile of the device: a file of splitee profile, or a bundled name.", "FILE"),
    click.option("--layer-ms", type=options.NUMBER, help="ms of a layer on the device, instead of --device."),
    click.option("--exit-ms", type=options.NUMBER, help="ms of an exit.  [default: 0]"),
    click.option("--layer-mj", type=options.NUMBER, help="mJ of a layer on the device."),
    click.option("--exit-mj", type=options.NUMBER, help="mJ of an exit."),
    click.option("--uplink", type=options.NUMBER, help="Mbit/s from the device to the cloud.  [default: 5]"),
    options.rtt(SystemSettings.rtt),
    click.option("--link", metavar="FILE", help="Rates over time: a file, or a name."),
    options.outages(),
    click.option("--cloud-ms", type=options.NUMBER, help="ms of the whole model in the cloud."),
    _CLOUD,
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
    _ROOT,
)  # fmt: skip
NAMES = tuple(field.name for field in fields(SystemSettings))


LIVE_NAMES = tuple(name for name in NAMES if name not in ("cloud", "data_root"))


def system(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a system; the command gets them as one dict, `given`."""
    return _gathering(command, _OPTIONS, NAMES)


def live_system(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add those of the system that a device is part of: its --cloud is an address, not a profile."""
    return _gathering(command, tuple(one for one in _OPTIONS if one not in (_CLOUD, _ROOT)), LIVE_NAMES)


def _gathering(
    command: Callable[..., Any], added: tuple[Callable[..., Any], ...], names: tuple[str, ...]
) -> Callable[..., Any]:
    @wraps(command)
    def gathered(*args: Any, **kwargs: Any) -> Any:
        given = {name: kwargs.pop(name) for name in names}
        return command(*args, given=given, **kwargs)

    for option in reversed(added):
        gathered = option(gathered)
    return gathered
