"""Numbers as people write them: 5, 0.7, 5/6, half, all, and lists with commas.

Each reader takes a number or its text and returns the value. The line of an InputError starts with the value:
callers put the name of the option or key before it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from fractions import Fraction
from numbers import Integral, Real
from typing import Any, TypeVar

from splitee._internal.errors import InputError

# of a fraction: Fraction("1e99999999") would take all memory
_PART = re.compile(r"[+-]?(\d{1,50}\.?\d{0,50}|\.\d{1,50})(e[+-]?\d{1,3})?", re.IGNORECASE)
ALL, HALF, RECOMMENDED = "all", "half", "recommended"

T = TypeVar("T")


def check_whole(name: str, value: object, least: int = 1) -> None:
    """Raise InputError unless `value` is a whole number of at least `least`; True and False are none.

    Examples
    --------
    >>> check_whole("layer", 3)
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise InputError(f"{name} is {value!r}: give a whole number, at least {least}")


def check_share(name: str, value: object, least: float, most: float) -> None:
    """Raise InputError unless `value` is a number from `least` to `most`; True and False are none.

    Examples
    --------
    >>> check_share("failure", 0.05, 1e-12, 0.5)
    """
    if isinstance(value, bool) or not (isinstance(value, Real) and least <= float(value) <= most):
        raise InputError(f"{name} is {value!r}: give a share from {least:g} to {most:g}, such as 0.01")


def number(value: object) -> float:
    """Read a finite number of at least 0: 5, "0.7", "5/6" or "half".

    Raises
    ------
    InputError
        If it is anything else.

    Examples
    --------
    >>> number("5/6") == 5 / 6, number(" half "), number("1e3")
    (True, 0.5, 1000.0)
    """
    found = _parsed(value)
    if found is None or not 0 <= found < math.inf:
        raise InputError(f"{value!r} is not a finite number of at least 0: write it as 5, 0.7 or 5/6")
    return found


def share(value: object) -> float:
    """Read a number from 0 to 1."""
    found = _parsed(value)
    if found is None or not 0 <= found <= 1:
        raise InputError(f"{value!r} is not between 0 and 1: give a number such as 0.7 or 5/6")
    return found


def threshold(value: object) -> float | str:
    """Read a threshold α: a number from 0 to 1, or "recommended"."""
    if _word(value) == RECOMMENDED:
        return RECOMMENDED
    found = _parsed(value)
    if found is None or not 0 <= found <= 1:
        raise InputError(
            f"{value!r} is not a confidence between 0 and 1: give a number such as 0.7, or recommended"
        )
    return found


def whole(value: object, least: int = 0) -> int:
    """Read a whole number of at least `least`."""
    found = _parsed(value)
    if found is None or not math.isfinite(found) or found != int(found) or found < least:
        raise InputError(f"{value!r} is not a whole number of at least {least}")
    return int(found)


def layer_count(value: object) -> int | str:
    """Read a number of layers: a whole number of at least 1, "all" or "half"; see `layers_held`.

    Examples
    --------
    >>> layer_count("6"), layer_count("Half")
    (6, 'half')
    """
    if (word := _word(value)) in (ALL, HALF):
        return word
    found = _parsed(value)
    if found is None or not math.isfinite(found) or found != int(found) or found < 1:
        raise InputError(f"{value!r} is not a number of layers: give a whole number, half or all")
    return int(found)


def layers_held(count: int | str, layers: int) -> int:
    """Return the number of layers that `layer_count` read, for a model of L layers.

    Examples
    --------
    >>> layers_held("half", 12), layers_held("all", 12), layers_held(3, 12)
    (6, 12, 3)
    """
    held = {ALL: layers, HALF: max(1, layers // 2)}.get(str(count), count)
    if not 1 <= int(held) <= layers:
        raise InputError(f"{held} is not from 1 to {layers}: give a whole number of layers, half or all")
    return int(held)


def items(given: object) -> list[Any]:
    """Return the entries of a list, or of a text with commas; anything else is one entry.

    Examples
    --------
    >>> items("0.7, 0.8"), items([1, "5/6"]), items(3)
    (['0.7', '0.8'], [1, '5/6'], [3])
    """
    if isinstance(given, str):
        return [part.strip() for part in given.split(",")]
    if isinstance(given, Sequence):
        return [part for entry in given for part in (items(entry) if isinstance(entry, str) else [entry])]
    return [given]


def listed(given: object, read: Callable[[object], T]) -> tuple[T, ...]:
    """Read every entry of `items`; each value may occur once.

    Examples
    --------
    >>> listed("1,5/2", number), listed("half,3", layer_count)
    ((1.0, 2.5), ('half', 3))

    Raises
    ------
    InputError
        If the list is empty, an entry cannot be read, or a value occurs twice.
    """
    return each(items(given), read)


def each(entries: Sequence[Any], read: Callable[[object], T]) -> tuple[T, ...]:
    """Read entries that are already separate; see `listed`."""
    values = [read(entry) for entry in entries]
    if not values:
        raise InputError("the list is empty: give at least one value")
    seen: set[T] = set()
    twice = next((value for value in values if value in seen or seen.add(value)), None)  # type: ignore[func-returns-value]
    if twice is not None:
        raise InputError(f"{twice!r} occurs twice: give each value once")
    return tuple(values)


def _word(value: object) -> str:
    return value.strip().lower() if isinstance(value, str) else ""


def _parsed(value: object) -> float | None:
    """Return the number, NaN and infinity included; None if it is none."""
    if isinstance(value, str):
        if _word(value) == HALF:
            return 0.5
        if not value.isascii():  # float would read digits of other scripts
            return None
        try:
            above, slash, below = value.strip().partition("/")
            if not slash:
                return float(value)
            if not (_PART.fullmatch(above.strip()) and _PART.fullmatch(below.strip())):
                return None
            return float(Fraction(above) / Fraction(below))
        except (ValueError, ZeroDivisionError, OverflowError):
            return None
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    try:
        return float(value)
    except OverflowError:  # a whole number beyond 10**308
        return None
