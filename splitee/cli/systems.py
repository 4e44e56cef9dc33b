"""The `System` that the options of a device, a link and a cloud make (`splitee.cli.system_options`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from splitee._internal.errors import InputError
from splitee._internal.numbers import layers_held
from splitee.cli.system_options import NAMES
from splitee.system.settings import SystemSettings

if TYPE_CHECKING:
    from splitee.system.system import System
    from splitee.trace import Trace


def is_given(given: dict[str, Any]) -> bool:
    """Return whether a device is described; InputError if only something else of a system is."""
    if given["device"] is not None or given["layer_ms"] is not None:
        return True
    if name := set_by_hand(*NAMES):
        raise InputError(f"{option(name)} is of a system: give --device FILE or --layer-ms too")
    return False


def set_by_hand(*names: str) -> str:
    """Return the first of these options that the command line sets; "" if none is."""
    context = click.get_current_context()
    sources = {name: context.get_parameter_source(name) for name in names}
    return next((name for name, source in sources.items() if source is ParameterSource.COMMANDLINE), "")


def system_of(given: dict[str, Any], trace: Trace, device_layers: int | str | None) -> System:
    """Return the system that the options describe, for a trace; InputError if two contradict each other."""
    held = None if device_layers is None else layers_held(device_layers, trace.layers)
    return SystemSettings(**given).system(held, option)


def option(name: str) -> str:
    """Return the option that gives a setting."""
    return "--outage" if name == "outages" else f"--{name.replace('_', '-')}"
