"""A `System` in words and numbers: the options of the command line, and the keys of a sweep's grid."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import TYPE_CHECKING, Any

from splitee._internal.errors import InputError, suggest
from splitee._internal.numbers import items, number, whole

if TYPE_CHECKING:
    from splitee.system.system import System


@dataclass(frozen=True)
class SystemSettings:
    """What describes a System; one value per option, already read.

    Attributes
    ----------
    device : str, optional
        File of a profile, or a bundled name.
    layer_ms, exit_ms, layer_mj, exit_mj : float, optional
        ms and mJ of a layer and of an exit, instead of `device`.
    uplink : float, optional
        Mbit/s. Default: 5.
    rtt : float
        Round trip in ms.
    link : str, optional
        File of a link, or its name, instead of `uplink`.
    outages : tuple of str
        When the link is down, as FROM:TO in seconds.
    cloud_ms : float, optional
        ms of the whole model in the cloud.
    cloud : str, optional
        File of the cloud's profile, instead of `cloud_ms`.
    sends, codec : str
        See `System`.
    arrivals : str, optional
        ms between samples, or a rate such as 10/s.
    deadline, input_bytes : float, optional
        See `System`.
    input_tokens : int, optional
        Tokens per sample, for traces without lengths.
    weights : str
        Cost per unit, such as "ms=1, mJ=0.5".
    data_root : str, optional
        Folder of data sets; its folder ``networks`` holds links by name.

    Examples
    --------
    >>> SystemSettings(layer_ms=15.0, exit_ms=1.0, weights="mJ=1", layer_mj=30.0).system().unit
    'mJ'
    """

    device: str | None = None
    layer_ms: float | None = None
    exit_ms: float | None = None
    layer_mj: float | None = None
    exit_mj: float | None = None
    uplink: float | None = None
    rtt: float = 40.0
    link: str | None = None
    outages: tuple[str, ...] = ()
    cloud_ms: float | None = None
    cloud: str | None = None
    sends: str = "cheaper"
    codec: str = "float16"
    arrivals: str | None = None
    deadline: float | None = None
    input_bytes: float | None = None
    input_tokens: int | None = None
    weights: str = "ms=1"
    data_root: str | None = None

    @classmethod
    def read(cls, given: object) -> SystemSettings:
        """Return the settings that a mapping holds; keys may have hyphens.

        Raises
        ------
        InputError
            If a key is not known or a value is none of its kind; the line names the key.

        Examples
        --------
        >>> SystemSettings.read({"layer-ms": "15", "arrivals": 250}).arrivals
        '250.0'
        """
        if not isinstance(given, Mapping):
            raise InputError(f"{given!r} is not a system: give keys and values, such as {{layer_ms: 15}}")
        known = [field.name for field in fields(cls)]
        values = {}
        for key, value in given.items():
            name = str(key).replace("-", "_")
            if name not in known:
                raise InputError(f"no key is called {key!r}: {suggest(name, known)}")
            try:
                values[name] = _READ[name](value)
            except InputError as error:
                raise InputError(f"{key}: {error}") from error
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Return what differs from the defaults, in plain types, as `read` takes it."""
        changed = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}
        return {name: list(v) if isinstance(v, tuple) else v for name, v in changed.items()}

    def system(self, device_layers: int | None = None, spelled: Callable[[str], str] = str) -> System:
        """Return the system that these settings describe.

        Parameters
        ----------
        device_layers : int, optional
            m. Default: all.
        spelled : callable
            Returns how an error line writes a setting's name.

        Raises
        ------
        InputError
            If two settings contradict each other, or the device is missing.
        """
        from splitee.system.profile import DeviceProfile
        from splitee.system.system import System

        if self.cloud is not None and self.cloud_ms is not None:
            raise InputError(
                f"{spelled('cloud')} and {spelled('cloud_ms')} both say what the cloud takes: leave one out"
            )
        device, link = self._device(spelled), self._link(spelled)
        return System(
            device,
            link,
            self.cloud_ms if self.cloud is None else DeviceProfile.load(self.cloud),
            sends=self.sends,
            codec=self.codec,
            arrivals=number(self.arrivals) if self.arrivals and "/" not in self.arrivals else self.arrivals,
            weights=_weights(self.weights, spelled("weights")),
            deadline=self.deadline,
            device_layers=device_layers,
            input_bytes=self.input_bytes,
            tokens=self.input_tokens,
        )

    def _device(self, spelled: Callable[[str], str]) -> Any:
        from splitee.system.profile import DeviceProfile

        if (self.device is None) == (self.layer_ms is None):
            raise InputError(
                f"what the device takes: give either {spelled('device')} FILE or {spelled('layer_ms')} "
                f"(and {spelled('exit_ms')})"
            )
        if self.device is not None:
            for name in ("exit_ms", "layer_mj", "exit_mj"):
                if getattr(self, name) is not None:
                    raise InputError(
                        f"{spelled(name)} is the profile's: leave it out with {spelled('device')}"
                    )
            return DeviceProfile.load(self.device)
        assert self.layer_ms is not None
        layer_mj, exit_mj = self.layer_mj, self.exit_mj
        if layer_mj is not None or exit_mj is not None:
            layer_mj, exit_mj = layer_mj or 0.0, exit_mj or 0.0
        return DeviceProfile(self.layer_ms, self.exit_ms or 0.0, layer_mj=layer_mj, exit_mj=exit_mj)

    def _link(self, spelled: Callable[[str], str]) -> Any:
        from splitee.system.link import Link
        from splitee.system.link_files import load_link

        outages = [span(text, spelled("outages")) for text in self.outages]
        if self.link is None:
            return Link(5.0 if self.uplink is None else self.uplink, self.rtt, outages)
        if self.uplink is not None:
            raise InputError(f"{spelled('uplink')} and {spelled('link')} both give the rate: leave one out")
        return load_link(self.link, rtt=self.rtt, outages=outages, data_root=self.data_root)


def span(text: str, name: str) -> tuple[float, float]:
    """Return start and end (s) of an outage, written as FROM:TO; `name` is what the error line calls it."""
    start, colon, end = text.partition(":")
    try:
        return float(start), float(end) if colon else float("nan")
    except ValueError as error:
        raise InputError(f"{name} {text!r}: write it as FROM:TO, in seconds, such as 60:90") from error


def _weights(text: str, name: str) -> dict[str, float]:
    weights = {}
    for entry in items(text):
        unit, equals, cost = entry.partition("=")
        if not equals:
            raise InputError(f"{name} {entry!r} has no =: write it as ms=1")
        weights[unit.strip()] = number(cost)
    return weights


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise InputError(f"{value!r} is not a text")
    return value


def _words(value: object) -> str:
    """Read a mapping of unit to cost, or the same as a text."""
    if isinstance(value, Mapping):
        return ", ".join(f"{unit}={number(cost)!r}" for unit, cost in value.items())
    return _text(value)


def _spans(value: object) -> tuple[str, ...]:
    spans: Sequence[Any] = items(value)
    return tuple(_text(span) for span in spans)


_READ: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys((field.name for field in fields(SystemSettings)), _text),
    **dict.fromkeys(("layer_ms", "exit_ms", "layer_mj", "exit_mj", "uplink", "rtt"), number),
    **dict.fromkeys(("cloud_ms", "deadline", "input_bytes"), number),
    "outages": _spans,
    "arrivals": lambda value: value if isinstance(value, str) else repr(number(value)),
    "input_tokens": partial(whole, least=1),
    "weights": _words,
}
