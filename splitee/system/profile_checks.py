"""Check and convert the values of a device profile; every fault is an InputError of one line."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from splitee._internal.errors import InputError, shown
from splitee.system.codec import check_codec

Floats = NDArray[np.float64]

_LARGEST = 1e9  # ms, mJ or mW: twelve days, a megajoule
_MOST_VALUES = 10**6  # of one array


def token_counts(given: Any) -> NDArray[np.int64] | None:
    """Return token counts as int64: ascending, from 1 on; None stays."""
    if given is None:
        return None
    try:
        counts = np.asarray(given)
    except ValueError:  # lists of different lengths
        counts = np.empty((0, 0))
    if counts.ndim != 1 or not counts.size or counts.dtype.kind not in "iu" or len(counts) > _MOST_VALUES:
        raise InputError(f"tokens is {shown(given)}: give ascending whole numbers, such as [8, 16, 32]")
    if counts[0] < 1 or int(counts.max()) > 2**31 or (np.diff(counts.astype(np.int64)) <= 0).any():
        raise InputError(f"tokens is {shown(given)}: give ascending whole numbers from 1 on")
    return _frozen(counts.astype(np.int64))


def amounts(name: str, given: Any, count: int | None, by_layer: bool = False) -> float | Floats:
    """Return a number, or an array by token count or layer, checked."""
    try:
        array = np.asarray(given)
    except ValueError:  # lists of different lengths
        array = np.empty(0, dtype=object)
    if array.dtype.kind not in "iuf":
        raise InputError(f"{name} is {shown(given)}: give a number, or an array of numbers")
    values = array.astype(np.float64)
    allowed: tuple[tuple[int, ...], ...] = ((),)
    wanted = "one number"
    if by_layer:
        width = values.shape[-1:] if values.ndim else ()
        allowed = ((), width) if count is None else ((), width, (count, *width))
        wanted += ", or one per exit" + ("" if count is None else f", or ({count}, exits)")
    elif count is not None:
        allowed = ((), (count,))
        wanted += f", or one per token count ({count})"
    if values.shape not in allowed or 0 in values.shape or values.size > _MOST_VALUES:
        hint = " (tokens names the rows' token counts)" if values.ndim == 2 and count is None else ""
        raise InputError(f"{name} has shape {values.shape}: give {wanted}{hint}")
    if not ((values >= 0) & (values <= _LARGEST)).all():
        raise InputError(f"{name} must be between 0 and {_LARGEST:g}")
    return float(values) if values.ndim == 0 else _frozen(values)


def amounts_by_codec(name: str, given: Any, count: int | None) -> Mapping[str, float | Floats]:
    """Return the amounts of every codec; see `amounts`."""
    if not isinstance(given, Mapping):
        raise InputError(f"{name} is {shown(given)}: give a mapping of codec to ms or mJ")
    return {check_codec(codec): amounts(f"{name}[{codec}]", values, count) for codec, values in given.items()}


def json_facts(given: Any) -> Mapping[str, Any]:
    """Return a copy of a mapping of JSON values."""
    if not isinstance(given, Mapping):
        raise InputError(f"facts is {shown(given)}: give a mapping")
    try:
        copy: dict[str, Any] = json.loads(json.dumps(dict(given), allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"facts must hold only JSON values: {error}") from error
    return copy


def sample_tokens(tokens: ArrayLike) -> NDArray[np.int64]:
    """Return the tokens of samples as int64, shape (k,)."""
    count = np.asarray(tokens)
    if count.ndim != 1 or count.dtype.kind not in "iu" or (count.size and count.min() < 0):
        raise InputError(f"tokens has shape {count.shape}: give whole numbers of tokens, one per sample")
    return count.astype(np.int64)


def layers_of_exits(given: Sequence[int]) -> NDArray[np.int64]:
    """Return the backbone layers of exits as int64: ascending, from 1 on."""
    layers = np.asarray(given)
    rising = layers.ndim == 1 and layers.size > 0 and layers.dtype.kind in "iu"
    if not rising or (np.diff(layers.astype(np.int64), prepend=0) <= 0).any():
        raise InputError(f"exit_layers is {shown(given)}: give ascending layers, from 1 on")
    return layers.astype(np.int64)


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    array.flags.writeable = False
    return array
