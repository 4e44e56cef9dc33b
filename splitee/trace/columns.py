"""Convert the columns of a trace to fixed dtypes and shapes, and check every value."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from splitee._internal.errors import InputError

Floats = NDArray[np.float32]
Halves = NDArray[np.float16]
Integers = NDArray[np.int32]
Strings = NDArray[np.object_]
Array = TypeVar("Array", bound=NDArray[Any])

_SLACK = 1e-6  # how far rounding may put a float32 softmax maximum outside [1/K, 1]
_ENTROPY_SLACK = 1e-3  # entropies may come from half precision


def floats(name: str, values: ArrayLike, shape: tuple[int, ...] | None = None) -> Floats:
    """Return finite numbers as a read-only float32 copy, rounded once; without `shape`, accept any matrix.

    Raises
    ------
    InputError
        If the shape differs or a value is not finite; the message names the row and the exit.
    """
    array = _numbers(name, values, shape)
    with np.errstate(over="ignore"):  # overflow gives infinity, refused below
        rounded = array.astype(np.float32, order="F")  # replays read by exit
    _refuse(name, rounded, ~np.isfinite(rounded), lambda value: f"is {value}, not a finite number")
    return _locked(rounded)


def halves(name: str, values: ArrayLike, shape: tuple[int, ...]) -> Halves:
    """Return finite numbers as a read-only float16 copy, rounded once."""
    array = _numbers(name, values, shape)
    with np.errstate(over="ignore"):
        rounded = array.astype(np.float16, order="C")
    _refuse(name, rounded, ~np.isfinite(rounded), lambda value: f"is {value} in float16, not a finite number")
    return _locked(rounded)


def integers(name: str, values: ArrayLike, shape: tuple[int, ...]) -> Integers:
    """Return non-negative whole numbers as a read-only int32 copy; whole floats such as 3.0 are accepted."""
    array = _numbers(name, values, shape)
    if array.dtype.kind == "f":
        _refuse(name, array, ~np.isfinite(array), lambda value: f"is {value}, not a whole number")
        _refuse(name, array, array != np.floor(array), lambda value: f"is {value}, not a whole number")
    _refuse(name, array, array < 0, lambda value: f"is {value}, which is negative")
    _refuse(name, array, array > np.iinfo(np.int32).max, lambda value: f"is {value}, which is too large")
    return _locked(array.astype(np.int32, order="F"))


def strings(name: str, values: Any, shape: tuple[int, ...]) -> Strings:
    """Return texts (or integers as decimal text) as a read-only object array of `str`, shape (n,)."""
    (count,) = shape
    listed = values.tolist() if hasattr(values, "tolist") else values
    if not isinstance(listed, list | tuple) or len(listed) != count:
        raise InputError(f"{name} must be a list of one text per sample ({count})")
    if set(map(type, listed)) != {str}:
        for row, value in enumerate(listed):
            if not isinstance(value, str | int | np.integer):
                raise InputError(f"{name} at row {row} (from 0) is {value!r}, not a text")
        listed = [str(value) for value in listed]
    if not _is_unicode("".join(listed)):
        row = next(row for row, value in enumerate(listed) if not _is_unicode(value))
        raise InputError(f"{name} at row {row} (from 0) is {listed[row]!r}, which is not valid Unicode")
    array: Strings = np.empty(count, dtype=object)
    array[:] = listed
    return _locked(array)


def optional(
    convert: Callable[[str, Any, tuple[int, ...]], Array], name: str, values: Any, shape: tuple[int, ...]
) -> Array | None:
    """Convert an optional column; None stays None."""
    return None if values is None else convert(name, values, shape)


def check_confidence(name: str, values: Floats, classes: int, softmax: bool) -> None:
    """Refuse values that cannot be the largest of `classes` probabilities (scores: outside 0..1).

    Rounded values may lie half a unit of their last digit below 1/K: 0.3333 is one of three classes.
    """
    lowest = 1 / classes if softmax else 0.0
    wide = values.astype(np.float64)
    _refuse(name, values, wide > 1 + _SLACK, lambda value: f"is {value}, above 1")
    below = (
        f"below 1/classes = {lowest:.6g}, so it is no softmax maximum"
        " (another kind of score? softmax=False, on the command line --scores)"
        if softmax
        else "below 0"
    )
    slack = _SLACK if softmax else 0.0
    if softmax and (wide < lowest - slack).any():
        slack = max(slack, 1.001 * half_unit(values))  # a little more than half, for float32
    _refuse(name, values, wide < lowest - slack, lambda value: f"is {value}, {below}")


def half_unit(values: Floats) -> float:
    """Return half a unit of the last digit of decimals with at most six; 0 if they have more.

    Examples
    --------
    >>> half_unit(np.float32([0.33, 0.5])), half_unit(np.float32([1 / 3]))
    (0.005, 0.0)
    """
    for digits in range(1, 7):
        if (np.round(values.astype(np.float64), digits).astype(np.float32) == values).all():
            return float(0.5 * 10**-digits)
    return 0.0


def check_entropy(values: Floats, classes: int) -> None:
    """Refuse entropies outside 0..ln(classes) nats."""
    most = math.log(classes)
    _refuse("entropy", values, values < -_SLACK, lambda value: f"is {value}, which is negative")
    _refuse(
        "entropy",
        values,
        values > most + _ENTROPY_SLACK,
        lambda value: f"is {value}, above ln(classes) = {most:.4f}: give entropies in nats, not bits",
    )


def check_class(name: str, values: Integers, classes: int) -> None:
    """Refuse class numbers that are not below `classes`."""
    _refuse(
        name,
        values,
        values >= classes,
        lambda value: f"is class {value}, but there are {classes}, 0..{classes - 1} (give classes=)",
    )


def two_class_entropy(confidence: Floats) -> Floats:
    """Return the entropy (nats) of two-class probabilities from the larger of the two; 0 at confidence 1."""
    likely = np.clip(confidence.astype(np.float64), 0.5, 1.0)
    unlikely = 1 - likely
    # x ln x tends to 0 at x = 0, so any finite logarithm serves there
    surprise = np.log(np.where(unlikely > 0, unlikely, 1.0))
    return floats("entropy", -(likely * np.log(likely) + unlikely * surprise))


def check_per_class(name: str, values: NDArray[Any]) -> None:
    """Refuse anything but finite numbers of shape (n, L, K) with two classes or more."""
    if values.dtype.kind not in "fiu" or values.ndim != 3 or not values.size or values.shape[2] < 2:
        raise InputError(
            f"{name} hold {values.dtype} of shape {values.shape}: give numbers (samples, exits, classes)"
        )
    _refuse(name, values, ~np.isfinite(values), lambda value: f"is {value}, not a finite number")


def read_logits(logits: NDArray[Any]) -> tuple[Floats, Floats, NDArray[np.intp]]:
    """Convert logits, shape (n, L, K), to confidence, entropy (nats) and prediction, each of shape (n, L).

    All is computed in float64 and rounded once. p·ln p counts as 0 at p = 0, so the entropy is always finite.
    """
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    exponent = np.exp(shifted)
    total = exponent.sum(axis=-1, keepdims=True)
    probability = exponent / total
    entropy = np.log(total[..., 0]) - (probability * shifted).sum(axis=-1)
    return (
        probability.max(axis=-1).astype(np.float32),
        np.maximum(entropy, 0).astype(np.float32),
        logits.argmax(axis=-1),
    )


def read_probabilities(
    probabilities: NDArray[Any],
) -> tuple[Floats, Floats, NDArray[np.intp], NDArray[np.float64] | None]:
    """Convert probabilities, shape (n, L, K), to confidence, entropy, prediction and, if none is 0, logits.

    Raises
    ------
    InputError
        If a value is not between 0 and 1, or the classes of a sample do not sum to 1.
    """
    check_per_class("probabilities", probabilities)
    wide = probabilities.astype(np.float64)
    outside = ~((wide >= -_SLACK) & (wide <= 1 + _SLACK))
    _refuse("probabilities", wide, outside, lambda value: f"is {value}, not between 0 and 1")
    total = wide.sum(axis=-1)
    why = "so they are not the probabilities of one class each (sigmoids of several labels are out of scope)"
    _refuse(
        "probabilities", total, np.abs(total - 1) > 1e-2, lambda value: f"sum to {float(value):.4g}, {why}"
    )
    wide = np.clip(wide, 0, None)
    wide = wide / wide.sum(axis=-1, keepdims=True)
    logarithm = np.log(np.where(wide > 0, wide, 1.0))
    return (
        wide.max(axis=-1).astype(np.float32),
        np.maximum(-(wide * logarithm).sum(axis=-1), 0).astype(np.float32),
        wide.argmax(axis=-1),
        logarithm if (wide > 0).all() else None,
    )


def entropy_bounds(
    confidence: NDArray[np.float64], classes: int, slack: float = 0.0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the least and the largest entropy (nats) of `classes` probabilities with these maxima.

    Parameters
    ----------
    confidence : ndarray
        Largest probabilities.
    classes : int
        K.
    slack : float
        By how much the maxima may be rounded.

    Examples
    --------
    >>> low, high = entropy_bounds(np.array([0.5]), 4)
    >>> low.round(4).tolist(), high.round(4).tolist()
    ([0.6931], [1.2425])
    """
    above = np.clip(confidence + slack, 1 / classes, 1)
    below = np.clip(confidence - slack, 1 / classes, 1)
    full = np.floor(1 / above + 1e-9)  # as many classes as can have the maximum, and one the rest
    rest = np.clip(1 - full * above, 0, 1)
    low = -full * above * np.log(above) - rest * np.log(np.where(rest > 0, rest, 1.0))
    others = (1 - below) / (classes - 1)
    high = -below * np.log(below) - (1 - below) * np.log(np.where(others > 0, others, 1.0))
    return low, high


def read_scores(values: Floats, low: float, high: float) -> tuple[Floats, NDArray[np.intp]]:
    """Convert regression scores, shape (n, L), to confidence and class, each of shape (n, L).

    Scores have no softmax, so the confidence measures how little the score changed since the exit before:
    1 − |y_i − y_{i−1}| / (high − low), at least 0, and 0 at exit 1. The class comes from `round_scores`.
    """
    wide = values.astype(np.float64)
    confidence = np.zeros_like(wide)
    confidence[:, 1:] = np.clip(1 - np.abs(np.diff(wide, axis=1)) / (high - low), 0, 1)
    return confidence.astype(np.float32), round_scores(wide, low, high)


def round_scores(scores: NDArray[Any], low: float, high: float) -> NDArray[np.intp]:
    """Round scores to classes: the index of the nearest value of `score_classes`."""
    steps = len(score_classes(low, high)) - 1
    share = (np.clip(scores, low, high) - low) / (high - low)
    classes: NDArray[np.intp] = np.rint(share * steps).astype(np.intp)
    return classes


def score_classes(low: float, high: float) -> list[float]:
    """Return the evenly spaced scores that serve as classes: steps of about 1, 2 to 101 values.

    Examples
    --------
    >>> score_classes(0, 5)
    [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    """
    count = int(np.clip(round(high - low) + 1, 2, 101))
    return [float(score) for score in np.linspace(low, high, count)]


def fingerprint(columns: Mapping[str, NDArray[Any]], classes: int, softmax: bool) -> str:
    """Return the hexadecimal SHA-256 of a trace's content.

    The hash covers one line of JSON (classes, softmax, and each column's name, type and shape), then the
    little-endian bytes of each column. A text column is hashed as the byte lengths of its UTF-8 texts
    (int64), then the texts.
    """
    header = {
        "classes": classes,
        "columns": [
            [name, "str" if values.dtype == object else values.dtype.name, values.shape]
            for name, values in columns.items()
        ],
        "softmax": softmax,
    }
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode() + b"\n")
    for values in columns.values():
        if values.dtype == object:
            together = "".join(values)
            texts = values if together.isascii() else [text.encode() for text in values]
            digest.update(np.fromiter(map(len, texts), "<i8", len(texts)).tobytes())
            digest.update(together.encode())
        else:
            digest.update(values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes())
    return digest.hexdigest()


def _numbers(name: str, values: ArrayLike, shape: tuple[int, ...] | None) -> NDArray[Any]:
    try:
        array = np.asarray(values)
    except (ValueError, TypeError) as error:  # ragged lists, tensors on another device
        raise InputError(f"{name} cannot be converted to an array: {error}") from error
    if array.dtype.kind not in "fiub":
        raise InputError(f"{name} must hold numbers, not {array.dtype}")
    if shape is None:
        if array.ndim != 2 or array.shape[0] < 1 or array.shape[1] < 2:
            raise InputError(
                f"{name} must have shape (samples, exits), at least 1 sample and 2 exits, not {array.shape}"
            )
    elif array.shape != shape:
        raise InputError(f"{name} must have shape {shape}, not {array.shape}")
    return array


def _refuse(name: str, values: NDArray[Any], bad: NDArray[np.bool_], why: Callable[[str], str]) -> None:
    """Raise InputError for the first bad value, if there is one."""
    if bad.any():
        place = tuple(int(i) for i in np.unravel_index(int(np.argmax(bad)), bad.shape))
        exit_ = f", exit {place[1] + 1} (from 1)" if len(place) > 1 else ""
        raise InputError(f"{name} at row {place[0]} (from 0){exit_} {why(str(values[place]))}")


def _locked(array: Array) -> Array:
    array.flags.writeable = False
    return array


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate
        return False
    return True
