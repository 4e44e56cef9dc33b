"""The `System` that the options of a device, a link and a cloud make (`splitee.cli.system_options`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from splitee._internal.errors import InputError
from splitee._internal.numbers import layers_held
from splitee.cli import options
from splitee.cli.system_options import NAMES

if TYPE_CHECKING:
    from splitee.system.system import System
    from splitee.trace import Trace


def is_given(given: dict[str, Any]) -> bool:
    """Return whether a device is described; InputError if only something else of a system is."""
    if given["device"] is not None or given["layer_ms"] is not None:
        return True
    if name := set_by_hand(*NAMES):
        option = "outage" if name == "outages" else name.replace("_", "-")
        raise InputError(f"--{option} is of a system: give --device FILE or --layer-ms too")
    return False


def set_by_hand(*names: str) -> str:
    """Return the first of these options that the command line sets; "" if none is."""
    context = click.get_current_context()
    sources = {name: context.get_parameter_source(name) for name in names}
    return next((name for name, source in sources.items() if source is ParameterSource.COMMANDLINE), "")


def system_of(given: dict[str, Any], trace: Trace, device_layers: int | str | None) -> System:
    """Return the system that the options describe, for a trace.

    Raises
    ------
    InputError
        If two options contradict each other, or the device is missing.
    """
    from splitee.system.link import Link
    from splitee.system.link_files import load_link
    from splitee.system.profile import DeviceProfile
    from splitee.system.system import System

    if (given["device"] is None) == (given["layer_ms"] is None):
        raise InputError("what the device takes: give either --device FILE or --layer-ms (and --exit-ms)")
    by_hand = [name for name in ("exit_ms", "layer_mj", "exit_mj") if given[name] is not None]
    if given["device"] is not None:
        if by_hand:
            raise InputError(f"--{by_hand[0].replace('_', '-')} is the profile's: leave it out with --device")
        device = DeviceProfile.load(given["device"])
    else:
        energies = {name: given[name] for name in ("layer_mj", "exit_mj") if given[name] is not None}
        if energies:
            energies = {"layer_mj": 0.0, "exit_mj": 0.0, **energies}
        device = DeviceProfile(given["layer_ms"], given["exit_ms"] or 0.0, **energies)
    outages = [span(text) for text in given["outages"]]
    if given["link"] is not None:
        if given["uplink"] is not None:
            raise InputError("--uplink and --link both give the rate: leave one out")
        link = load_link(given["link"], rtt=given["rtt"], outages=outages)
    else:
        link = Link(5.0 if given["uplink"] is None else given["uplink"], given["rtt"], outages)
    if given["cloud"] is not None and given["cloud_ms"] is not None:
        raise InputError("--cloud and --cloud-ms both say what the cloud takes: leave one out")
    cloud = given["cloud_ms"] if given["cloud"] is None else DeviceProfile.load(given["cloud"])
    return System(
        device,
        link,
        cloud,
        sends=given["sends"],
        codec=given["codec"],
        arrivals=_arrivals(given["arrivals"]),
        weights=_weights(given["weights"]),
        deadline=given["deadline"],
        device_layers=None if device_layers is None else layers_held(device_layers, trace.layers),
        input_bytes=given["input_bytes"],
        tokens=given["input_tokens"],
    )


def _arrivals(text: str | None) -> str | float | None:
    """Return ms between samples if the text is a number; a rate stays a text."""
    if text is None or "/" in text:
        return text
    return options.NUMBER.read(text)  # type: ignore[no-any-return]


def span(text: str) -> tuple[float, float]:
    """Return start and end (s) of an outage, written as FROM:TO."""
    start, colon, end = text.partition(":")
    try:
        return float(start), float(end) if colon else float("nan")
    except ValueError as error:
        raise InputError(f"--outage {text!r}: write it as FROM:TO, in seconds, such as 60:90") from error


def _weights(text: str) -> dict[str, float]:
    pairs = options.pairs(options.names_list(text) or [], "--weights", "ms=1")
    return {unit.strip(): options.NUMBER.read(cost) for unit, cost in pairs.items()}
