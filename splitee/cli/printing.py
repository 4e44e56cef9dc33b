"""Standard output that cannot fail a command, or run what a name holds.

What cannot be encoded is replaced. Control characters are shown as escapes, because names come from files,
and a terminal would obey them.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any, TextIO

from splitee._internal.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

# control characters of ASCII and Latin-1, and those that reverse the direction of text
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_STYLE = re.compile(r"(\x1b\[[0-9;]*m)")  # colours and bold, which rich writes to terminals


def table_console(width: int, **options: Any) -> Console:
    """Return rich's console for tables; a pipe has no width of its own, so rows get this one unbroken."""
    from rich.console import Console

    console = Console(**options)
    return console if console.is_terminal else Console(width=width, **options)


def printable(text: str) -> str:
    """Return a text with control characters, line ends and tabs aside, as escapes.

    Examples
    --------
    >>> print(printable("a\x1b[31mb"))
    a\\x1b[31mb
    """
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


class _Printable:
    """A text stream that writes control characters as escapes."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        """Write a text; on a terminal its colours stay."""
        if self.stream.isatty():
            parts = _STYLE.split(text)
            text = "".join(part if i % 2 else printable(part) for i, part in enumerate(parts))
        else:
            text = printable(text)
        with _named():
            return self.stream.write(text)

    def flush(self) -> None:
        """Write out what is buffered."""
        with _named():
            self.stream.flush()


@contextmanager
def _named() -> Iterator[None]:
    """Name standard output in errors of the block; a closed pipe is left to click."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise InputError(f"standard output: {reason} (what --out names is written before)") from error


@contextmanager
def printable_output() -> Iterator[None]:
    """Make standard output printable; write it out at the end, so that a full disk is an error here."""
    real = sys.stdout
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
    sys.stdout = _Printable(real)
    try:
        yield
        sys.stdout.flush()
    except InputError:
        with suppress(OSError, ValueError, AttributeError):
            _empty(real)
        raise
    finally:
        sys.stdout = real


def _empty(stream: TextIO) -> None:
    """Write out what is buffered or, where that fails, to nowhere: Python would report the error at exit."""
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
