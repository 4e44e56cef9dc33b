"""Device profiles: milliseconds and millijoules of every layer, exit and codec, by token count."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from splitee._internal.errors import InputError, shown, suggest
from splitee._internal.files import write_text
from splitee._internal.numbers import check_whole
from splitee._internal.reading import exists, read_json
from splitee.system.codec import check_codec
from splitee.system.profile_checks import (
    amounts,
    amounts_by_codec,
    json_facts,
    layers_of_exits,
    sample_tokens,
    token_counts,
)

Floats = NDArray[np.float64]

KINDS = ("measured", "quoted", "assumed")
SCHEMA = 1
_BUNDLED = Path(__file__).parent / "profiles"
_MOST_BYTES = 2**24  # of a profile file


@dataclass(frozen=True, eq=False)
class DeviceProfile:
    """What computing costs on a device.

    Parameters
    ----------
    layer_ms : float or array, shape (L,) or (T, L)
        Milliseconds of a layer. A number holds for every layer of the backbone. An array has, for every exit,
        what lies between the exit before and this one; or one entry per layer of the backbone, which are
        summed up to every exit. T is the number of token counts.
    exit_ms : float or array, shape (L,) or (T, L)
        Milliseconds of an exit.
    layer_mj, exit_mj : float or array, optional
        Millijoules, in the same shapes. None: unknown.
    tokens : sequence of int, length T, optional
        The ascending token counts of the rows. Between two counts values are interpolated linearly, below
        the first they are those of the first, and beyond the last there are none. None: any token count.
    tokenize_ms, tokenize_mj : float or array, shape (T,)
        Tokenising, paid once per sample if the device computes at least one layer.
    encode_ms, encode_mj : mapping of str to float or array, shape (T,)
        Writing a state as bytes, by codec. Empty: 0 for every codec.
    radio_mw, radio_mj_per_mbit : float
        Energy of the radio: milliwatts while it transfers, and millijoules per Mbit sent.
    hidden : int, optional
        Width of the state.
    name : str
        Name of the profile.
    kind : {"measured", "quoted", "assumed"}
        Whether the values were measured by `splitee profile`, are published, or are an assumption.
    source : str
        Where the values come from.
    facts : mapping
        How they were measured: threads, quartiles, the model's fingerprint, where the energy comes from.
        JSON values.

    Raises
    ------
    InputError
        If a value is negative, not finite or above 1e9, or shapes do not fit each other.

    Examples
    --------
    >>> device = DeviceProfile(layer_ms=[[2.0, 2.0], [6.0, 4.0]], exit_ms=0.1, tokens=[10, 30])
    >>> times = device.at(np.array([10, 20]), exit_layers=(1, 2))
    >>> times.layer_ms.tolist(), times.exit_ms.tolist()
    ([[2.0, 2.0], [4.0, 3.0]], [[0.1, 0.1], [0.1, 0.1]])
    """

    layer_ms: float | ArrayLike
    exit_ms: float | ArrayLike = 0.0
    layer_mj: float | ArrayLike | None = None
    exit_mj: float | ArrayLike | None = None
    tokens: Sequence[int] | NDArray[np.int64] | None = None
    tokenize_ms: float | ArrayLike = 0.0
    tokenize_mj: float | ArrayLike = 0.0
    encode_ms: Mapping[str, float | ArrayLike] = field(default_factory=dict)
    encode_mj: Mapping[str, float | ArrayLike] = field(default_factory=dict)
    radio_mw: float = 0.0
    radio_mj_per_mbit: float = 0.0
    hidden: int | None = None
    name: str = ""
    kind: str = "assumed"
    source: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._set("tokens", token_counts(self.tokens))
        count = None if self.tokens is None else len(self.tokens)
        for name in ("layer_ms", "exit_ms", "layer_mj", "exit_mj"):
            if (value := getattr(self, name)) is not None or name.endswith("ms"):
                self._set(name, amounts(name, value, count, by_layer=True))
        for name in ("tokenize_ms", "tokenize_mj"):
            self._set(name, amounts(name, getattr(self, name), count))
        for name in ("encode_ms", "encode_mj"):
            self._set(name, amounts_by_codec(name, getattr(self, name), count))
        for name in ("radio_mw", "radio_mj_per_mbit"):
            self._set(name, amounts(name, getattr(self, name), None))
        if self.hidden is not None:
            check_whole("hidden", self.hidden)
            self._set("hidden", int(self.hidden))
        if self.kind not in KINDS:
            raise InputError(f"kind is {shown(self.kind)}: {suggest(self.kind, KINDS)}")
        for name in ("name", "source"):
            if not isinstance(value := getattr(self, name), str):
                raise InputError(f"{name} is {shown(value)}: give a text")
        self._set("facts", json_facts(self.facts))
        self._check_depths()

    @property
    def regular(self) -> tuple[float, float] | None:
        """The milliseconds of a layer and of an exit, if each is one number; else None."""
        if isinstance(self.layer_ms, float) and isinstance(self.exit_ms, float):
            return self.layer_ms, self.exit_ms
        return None

    @property
    def depth(self) -> int | None:
        """The number of layers or exits of the arrays; None if the profile fits any number."""
        sizes = {np.shape(values)[-1] for values in self._arrays().values() if np.ndim(values)}
        return max(sizes) if sizes else None

    def at(self, tokens: ArrayLike, exit_layers: Sequence[int]) -> Times:
        """Return the values for samples of these token counts, on a model with these exits.

        Parameters
        ----------
        tokens : array of int, shape (k,)
            Tokens per sample, special tokens included.
        exit_layers : sequence of int, length L
            The backbone layer (from 1) of every exit, ascending.

        Raises
        ------
        InputError
            If a sample has more tokens than the profile, or the profile is one of another number of layers.
        """
        count = sample_tokens(tokens)
        layers = layers_of_exits(exit_layers)
        if self.tokens is not None and count.size and count.max() > self.tokens[-1]:
            raise InputError(
                f"a sample has {int(count.max())} tokens, beyond the profile{self._named()}, which ends at "
                f"{self.tokens[-1]}: measure more (splitee profile --tokens …,{int(count.max())})"
            )
        parts: dict[str, Any] = {
            name: None if values is None else self._by_sample_and_exit(name, values, count, layers)
            for name, values in self._arrays().items()
        }
        for name in ("tokenize_ms", "tokenize_mj"):
            parts[name] = self._by_sample(getattr(self, name), count)
        return Times(**parts, _profile=self, _count=count)

    def check_model(self, manifest: Mapping[str, Any]) -> None:
        """Raise InputError if the profile was measured with another model than that of a trace's manifest.

        Models are compared by the SHA-256 of their weights. Where one side does not name it, nothing is said.
        """
        ours, theirs = _fingerprint(self.facts), _fingerprint(manifest)
        if ours is not None and theirs is not None and ours != theirs:
            raise InputError(
                f"the profile{self._named()} was measured with another model (weights {ours[:12]}…) than the "
                f"trace's (weights {theirs[:12]}…): measure that one (splitee profile MODEL)"
            )

    @classmethod
    def load(cls, file: str | Path) -> DeviceProfile:
        """Read a profile: a JSON file, or a bundled name.

        Raises
        ------
        InputError
            If there is no such file, or it is not a valid profile.
        """
        path = find_profile(file)
        found = read_json(path, _MOST_BYTES)
        if not isinstance(found, dict) or found.get("splitee_profile") != SCHEMA:
            raise InputError(f"{file} is not a device profile (splitee profile writes one)")
        known = [part.name for part in fields(cls)]
        given = {key: value for key, value in found.items() if key != "splitee_profile"}
        for unknown in given.keys() - known:
            raise InputError(f"{file}: a profile has no {shown(unknown)}: {suggest(unknown, known)}")
        if "layer_ms" not in given:
            raise InputError(f"{file}: layer_ms is missing")
        try:
            return cls(**given)
        except InputError as error:
            raise InputError(f"{file}: {error}") from error

    def save(self, file: str | Path, overwrite: bool = False) -> None:
        """Write the profile as JSON.

        Raises
        ------
        FileExistsError
            If the file exists and `overwrite` is false.
        """
        text = json.dumps(self.to_dict(), indent=1)
        rows = re.sub(r"\[\n[^][{}]*\]", lambda found: " ".join(found[0].split()), text)  # one line per row
        write_text(file, rows + "\n", overwrite=overwrite)

    def to_dict(self) -> dict[str, Any]:
        """As plain types, for a file or a manifest; what is the default is left out."""
        plain: dict[str, Any] = {"splitee_profile": SCHEMA}
        for part in fields(self):
            value = getattr(self, part.name)
            if isinstance(value, Mapping) and part.name != "facts":
                value = {key: np.asarray(values).tolist() for key, values in value.items()}
            elif isinstance(value, Mapping):
                value = json.loads(json.dumps(dict(value)))
            elif isinstance(value, np.ndarray):
                value = value.tolist()
            if part.name == "layer_ms" or value not in (None, {}, "", 0.0):
                plain[part.name] = value
        return plain

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)  # the class is frozen

    def _arrays(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("layer_ms", "exit_ms", "layer_mj", "exit_mj")}

    def _named(self) -> str:
        return f" {self.name}" if self.name else ""

    def _check_depths(self) -> None:
        """Raise InputError if two arrays are of different numbers of layers."""
        sizes = {name: np.shape(values)[-1] for name, values in self._arrays().items() if np.ndim(values) > 0}
        if len({sizes[name] for name in sizes if name.startswith("layer")}) > 1:
            raise InputError(f"layer_mj has {sizes['layer_mj']} layers, layer_ms has {sizes['layer_ms']}")
        if len({sizes[name] for name in sizes if name.startswith("exit")}) > 1:
            raise InputError(f"exit_mj has {sizes['exit_mj']} exits, exit_ms has {sizes['exit_ms']}")

    def _by_exit(self, name: str, values: float | Floats, layers: NDArray[np.int64]) -> Floats:
        """Return values per exit, shape (L,) or (T, L)."""
        per_layer = name.startswith("layer")
        if isinstance(values, float):
            gaps = np.diff(layers, prepend=0)
            return values * gaps if per_layer else np.full(len(layers), values)
        size = values.shape[-1]
        if size == len(layers):
            return values
        if size != layers[-1]:
            raise InputError(
                f"the profile{self._named()} has {size} {'layers' if per_layer else 'exits'} ({name}), "
                f"the trace has {len(layers)} exits, the last at layer {layers[-1]}"
            )
        if not per_layer:
            return values[..., layers - 1]
        starts = np.append(0, layers[:-1])
        summed: Floats = np.add.reduceat(values, starts, axis=-1)
        return summed

    def _by_sample(self, values: float | Floats, count: NDArray[np.int64]) -> Floats:
        """Return a number, or values by token count, for samples of these token counts, shape (k,)."""
        if isinstance(values, float):
            return np.full(len(count), values)
        assert self.tokens is not None
        return np.interp(count, self.tokens, values)

    def _by_sample_and_exit(
        self, name: str, given: float | Floats, count: NDArray[np.int64], layers: NDArray[np.int64]
    ) -> Floats:
        """Return values of an array of the profile for samples of these token counts, shape (k, L)."""
        values = self._by_exit(name, given, layers)
        if values.ndim == 1:
            return np.repeat(values[None, :], len(count), axis=0)
        assert self.tokens is not None
        return np.stack([np.interp(count, self.tokens, column) for column in values.T], axis=1)


@dataclass(frozen=True, eq=False)
class Times:
    """The values of a profile for k samples on a model with L exits.

    Attributes
    ----------
    layer_ms, exit_ms : ndarray of float64, shape (k, L)
        Milliseconds between every exit and the one before, and of the exit.
    layer_mj, exit_mj : ndarray of float64, shape (k, L), or None
        Millijoules; None if they are unknown.
    tokenize_ms, tokenize_mj : ndarray of float64, shape (k,)
        Of tokenising.
    """

    layer_ms: Floats
    exit_ms: Floats
    layer_mj: Floats | None
    exit_mj: Floats | None
    tokenize_ms: Floats
    tokenize_mj: Floats
    _profile: DeviceProfile = field(repr=False)
    _count: NDArray[np.int64] = field(repr=False)

    def encode_ms(self, codec: str) -> Floats:
        """Return the milliseconds of encoding a state, shape (k,); 0 if the profile knows no codec."""
        return self._encode("encode_ms", codec)

    def encode_mj(self, codec: str) -> Floats:
        """Return the millijoules of encoding a state, shape (k,); 0 if the profile knows no codec."""
        return self._encode("encode_mj", codec)

    def _encode(self, name: str, codec: str) -> Floats:
        by_codec = getattr(self._profile, name)
        check_codec(codec)
        if by_codec and codec not in by_codec:
            raise InputError(
                f"the profile{self._profile._named()} has no {name} of {codec}: it has {', '.join(by_codec)}"
            )
        return self._profile._by_sample(by_codec.get(codec, 0.0), self._count)


def bundled_profiles() -> list[str]:
    """Return the names of the bundled device profiles."""
    return sorted(file.stem for file in _BUNDLED.glob("*.json"))


def find_profile(file: str | Path) -> Path:
    """Return the file of a profile; a bundled name takes precedence over a file of that name.

    Raises
    ------
    InputError
        If there is neither.
    """
    names = bundled_profiles()
    if str(file) in names:
        return _BUNDLED / f"{file}.json"
    if exists(file):
        return Path(file)
    raise InputError(f"{file}: no such file, nor a bundled profile: {suggest(file, names)}")


def _fingerprint(facts: Mapping[str, Any]) -> str | None:
    """Return the SHA-256 of the weights that a manifest or a profile names; None if there is none."""
    model = facts.get("model")
    found = model.get("sha256") if isinstance(model, Mapping) else None
    return found if isinstance(found, str) and found else None
