"""How each key of a grid is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from splitee._internal.errors import InputError
from splitee._internal.numbers import each, layer_count, listed, number, share, threshold, whole
from splitee.policies.names import canonical
from splitee.replay.orders import STREAMS
from splitee.system.settings import SystemSettings
from splitee.trace.bundled import trace_names


@dataclass(frozen=True)
class NamedSystem:
    """A system of a grid, and its name in the tables."""

    name: str
    settings: SystemSettings

    def to_dict(self) -> dict[str, Any]:
        """Return the name and the settings in one mapping of plain types, as a grid lists them."""
        return {"name": self.name, **self.settings.to_dict()}


def _traces(given: Any) -> tuple[str, ...]:
    return each(trace_names(given if isinstance(given, Sequence) else [given]), _text)


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise InputError(f"{value!r} is not a name or file: give one such as imdb")
    return value


def _interval(value: object) -> str:
    if value not in ("data", "run"):
        raise InputError(f"{value!r} is not an interval: choose data or run")
    return str(value)


def _stream(value: object) -> str:
    if value not in STREAMS:
        raise InputError(f"{value!r} is not a stream: choose one of {', '.join(STREAMS)}")
    return str(value)


def _mu(value: object) -> float | str:
    return "auto" if value == "auto" else number(value)


def _systems(given: Any) -> tuple[NamedSystem | None, ...]:
    """Read systems; those without a name are called by their place."""
    entries = [given] if isinstance(given, Mapping) else given
    if entries == (None,):
        return (None,)
    if not isinstance(entries, Sequence) or isinstance(entries, str) or not entries:
        raise InputError(f"{given!r} is not a list of systems: give some, such as [{{layer_ms: 15}}]")
    made = []
    for place, entry in enumerate(entries, start=1):
        if not isinstance(entry, NamedSystem):
            name = str(entry.get("name", place)) if isinstance(entry, Mapping) else str(place)
            try:
                settings = SystemSettings.read(
                    {key: value for key, value in entry.items() if key != "name"}
                    if isinstance(entry, Mapping)
                    else entry
                )
            except InputError as error:
                raise InputError(f"{name}: {error}") from error
            entry = NamedSystem(name, settings)
        made.append(entry)
    names = [one.name for one in made]
    if twice := [name for name in names if names.count(name) > 1]:
        raise InputError(f"two are called {twice[0]}: give each its own name")
    return tuple(made)


def _switch(value: object) -> bool:
    if not isinstance(value, bool):
        raise InputError(f"{value!r} is not a switch: give true or false")
    return value


READ: dict[str, Callable[[Any], Any]] = {
    "traces": _traces,
    "policies": partial(listed, read=canonical),
    "systems": _systems,
    "offload": partial(listed, read=number),
    "mu": partial(listed, read=_mu),
    "layer_cost": partial(listed, read=share),
    "device_layers": partial(listed, read=layer_count),
    "threshold": partial(listed, read=threshold),
    "exploration": partial(listed, read=number),
    "repeats": partial(whole, least=1),
    "seed": whole,
    "stream": partial(listed, read=_stream),
    "offload_input": lambda given: None if given is None else number(given),
    "send_input": _switch,
    "source": lambda given: None if given is None else _text(given),
    "interval": partial(listed, read=_interval),
}
