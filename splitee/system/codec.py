"""Codecs: how the state between two layers is written as bytes for the link.

float32 is exact, float16 halves the bytes, int8 quarters them with one float32 scale per token. NumPy
only, so that a simulation, a device and a cloud use the same code.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from splitee._internal.errors import InputError, suggest
from splitee._internal.numbers import check_whole

CODECS = ("float32", "float16", "int8")
Part = NDArray[Any] | bytes

_WIDTH = {"float32": 4, "float16": 2, "int8": 1}  # bytes per number
_SCALE = 4  # bytes of a token's scale in int8
_KIND = {"float32": "<f4", "float16": "<f2", "int8": "i1"}  # little-endian on every machine
_MOST = 2**62  # bytes of a state


def check_codec(codec: object) -> str:
    """Return the codec's name.

    Raises
    ------
    InputError
        If there is no such codec; the line suggests the closest.
    """
    if codec not in CODECS:
        raise InputError(f"no codec is called {codec!r}: {suggest(codec, CODECS)}")
    return str(codec)


def state_bytes(codec: str, tokens: ArrayLike, hidden: int) -> NDArray[np.int64]:
    """Return the bytes of a state under a codec.

    Parameters
    ----------
    codec : {"float32", "float16", "int8"}
    tokens : array of int, shape (k,)
        Tokens per sample, without padding.
    hidden : int
        Width of the state.

    Returns
    -------
    ndarray of int64, shape (k,)

    Raises
    ------
    InputError
        If the codec is unknown, or a number is not a whole one of at least 0 (`hidden`: 1).

    Examples
    --------
    >>> [int(state_bytes(codec, 128, 768)) for codec in CODECS]
    [393216, 196608, 98816]
    """
    check_codec(codec)
    check_whole("hidden", hidden)
    count = np.asarray(tokens)
    per_token = int(hidden) * _WIDTH[codec] + (_SCALE if codec == "int8" else 0)
    if count.dtype.kind not in "iu" or (count.size and int(count.min()) < 0):
        raise InputError("tokens must be whole numbers of at least 0")
    if count.size and int(count.max()) * per_token > _MOST:
        raise InputError(f"a state of {count.max()} tokens of width {hidden} is too large")
    size: NDArray[np.int64] = count.astype(np.int64) * np.int64(per_token)
    return size


def encode(codec: str, state: ArrayLike) -> tuple[NDArray[Any], ...]:
    """Return a state as the arrays that are transferred; together they have `state_bytes` bytes.

    Parameters
    ----------
    codec : {"float32", "float16", "int8"}
    state : array of float, shape (tokens, hidden)
        The state after a layer.

    Returns
    -------
    tuple of ndarray
        The numbers, shape (tokens, hidden); for int8 also the scales, float32, shape (tokens,). int8 numbers
        times the scale of their token differ from the state by at most half the scale. In float16, values
        beyond ±65,504 become ±65,504.

    Raises
    ------
    InputError
        If the state is not a matrix of finite numbers.

    Examples
    --------
    >>> numbers, scale = encode("int8", [[1.0, -127.0], [0.0, 0.0]])
    >>> numbers.tolist(), scale.tolist()
    ([[1, -127], [0, 0]], [1.0, 0.0])
    """
    check_codec(codec)
    values = np.ascontiguousarray(state, dtype=np.float32)
    if values.ndim != 2 or not values.shape[1]:
        raise InputError(f"the state has shape {values.shape}: give (tokens, hidden)")
    peak = np.abs(values).max(axis=1)  # per token; NaN if one of its values is NaN
    if not np.isfinite(peak).all():
        token = int(np.flatnonzero(~np.isfinite(peak))[0])
        raise InputError(f"the state of token {token} holds NaN or infinite values")
    if codec == "float32":
        return (values.astype(_KIND[codec], copy=False),)
    if codec == "float16":
        return (np.clip(values, -65504, 65504).astype(_KIND[codec]),)
    # the division is exact enough in float64 that no number rounds to more than 127
    scale = (peak.astype(np.float64) / 127).astype("<f4")
    divisor = np.where(scale > 0, scale, 1).astype(np.float64)
    numbers = np.clip(np.rint(values / divisor[:, None]), -127, 127).astype(np.int8)
    return numbers, scale


def decode(codec: str, parts: Sequence[Part], hidden: int) -> NDArray[np.float32]:
    """Return the state that `encode` wrote, float32, shape (tokens, hidden).

    Parameters
    ----------
    codec : {"float32", "float16", "int8"}
    parts : sequence of bytes or ndarray
        From `encode`, or their bytes.
    hidden : int
        Width of the state.

    Raises
    ------
    InputError
        If the parts are not those of a state of this width.

    Examples
    --------
    >>> decode("int8", [b"\\x01\\x81", b"\\x00\\x00\\x00\\x3f"], hidden=2).tolist()
    [[0.5, -63.5]]
    """
    check_codec(codec)
    check_whole("hidden", hidden)
    sizes = [len(part) if isinstance(part, bytes) else part.nbytes for part in parts]
    tokens, rest = divmod(sizes[0] if sizes else 1, hidden * _WIDTH[codec])
    expected = [sizes[0] if sizes else 0, *([_SCALE * tokens] if codec == "int8" else [])]
    if rest or sizes != expected:
        raise InputError(f"parts of {sizes} bytes are no {codec} state of width {hidden}")
    numbers = np.frombuffer(parts[0], _KIND[codec]).reshape(tokens, hidden)
    state: NDArray[np.float32] = numbers.astype(np.float32)
    if codec == "int8":
        state *= np.frombuffer(parts[1], "<f4")[:, None]
    return state


def as_rows(state: Any) -> Any:
    """Return states as matrices, the form in which codecs write them; of NumPy, torch or ONNX alike.

    Parameters
    ----------
    state : array or Tensor
        Shape (b, t, width) of t tokens, (b, channels, rows, columns) of maps, or (b, width).

    Returns
    -------
    array or Tensor, shape (b, positions, width)

    Examples
    --------
    >>> maps = np.arange(8).reshape(1, 2, 2, 2)
    >>> as_rows(maps)[0].tolist(), bool((from_rows(as_rows(maps), (2, 2, 2)) == maps).all())
    ([[0, 4], [1, 5], [2, 6], [3, 7]], True)
    """
    if state.ndim == 4:
        return state.reshape(*state.shape[:2], -1).swapaxes(1, 2)
    return state[:, None] if state.ndim == 2 else state


def from_rows(rows: Any, shape: Sequence[int]) -> Any:
    """Return what `as_rows` made rows of: states of this shape, that of one sample."""
    if len(shape) == 3:
        rows = rows.swapaxes(1, 2)
    return rows.reshape(len(rows), *shape)


def rows_shape(shape: Sequence[int]) -> tuple[int, int]:
    """Return positions and width of a state of this shape, that of one sample.

    Examples
    --------
    >>> rows_shape((8, 3, 5)), rows_shape((7, 16)), rows_shape((16,))
    ((15, 8), (7, 16), (1, 16))
    """
    if len(shape) == 3:
        return int(shape[1] * shape[2]), int(shape[0])
    return (1 if len(shape) == 1 else int(shape[0])), int(shape[-1])
