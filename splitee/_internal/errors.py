"""The exception for invalid input, and suggestions for mistyped names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_LONGEST = 1500  # characters of a message


class InputError(ValueError):
    """Invalid input; the message is one line that says what is wrong, where, and how to mend it.

    The command line prints the message and exits with code 2. Any other exception is a bug. A message that
    quotes a very long value is shortened in the middle.
    """

    def __init__(self, message: object = "", *rest: object) -> None:
        text = str(message)
        if len(text) > _LONGEST:
            text = f"{text[: _LONGEST - 500]} … {text[-400:]}"
        super().__init__(text, *rest)


class FileError(InputError, OSError):
    """A file that cannot be read or written, with the same one line."""


def suggest(name: object, known: Iterable[str]) -> str:
    """Return a hint for an unknown name: the closest known name, if any is close, and all known names.

    Examples
    --------
    >>> suggest("sst2", ["sst-2", "imdb"])
    'did you mean sst-2? there are sst-2, imdb'
    """
    names = list(known)
    near = difflib.get_close_matches(str(name), names, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    return f"{hint}there are {', '.join(names)}"


def shown(value: object, most: int = 60) -> str:
    """Return a value as an error line shows it: on one line, and not long.

    Examples
    --------
    >>> shown([1, "a\\nb"]), shown(list(range(100)), 12)
    ("[1, 'a\\\\nb']", '[0, 1, 2, 3…')
    """
    try:
        text = " ".join(repr(value).split())
    except ValueError:  # a whole number of more digits than Python writes
        text = f"a very long {type(value).__name__}"
    return text if len(text) <= most else f"{text[: most - 1]}…"
