"""Compile functions with numba: arithmetic as written, cached on disk, without the interpreter lock.

Compiled code is cached beside the package or, if that folder is read-only, in the user's cache folder
(``NUMBA_CACHE_DIR`` names another).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

from numba import njit
from numba.core import event

_OPTIONS = {"nogil": True, "error_model": "numpy"}  # neither fastmath nor contraction: sums stay as written
_warned: list[str] = []


def compiled(function: Callable[..., Any]) -> Any:
    """Compile a function at its first call."""
    return _compile(function)


def inlined(function: Callable[..., Any]) -> Any:
    """Compile a function into each compiled function that calls it."""
    return _compile(function, forceinline=True)


def when_compiling(notify: Callable[[], object]) -> None:
    """Call `notify` once, at the first compilation of code that is not cached."""
    event.register("numba:compile", _Once(notify))


class _Once(event.Listener):  # type: ignore[misc]
    def __init__(self, notify: Callable[[], object]) -> None:
        self._notify, self._first = notify, Lock()

    def on_start(self, _: object) -> None:
        if self._first.acquire(blocking=False):  # and never released
            self._notify()

    def on_end(self, _: object) -> None:
        pass


@cache
def _sources() -> str:
    """Return a text that changes with any source file of the package."""
    files = sorted(Path(__file__).parents[1].rglob("*.py"))
    return repr([(file.name, (found := file.stat()).st_mtime_ns, found.st_size) for file in files])


def _compile(function: Callable[..., Any], **options: bool) -> Any:
    try:
        made = njit(cache=True, **_OPTIONS, **options)(function)
        # numba checks a function's own file only, but code from any other file may be inlined into it
        made._cache._cache_file._source_stamp = _sources()
        return made
    except RuntimeError as error:  # numba found no writable cache folder
        if not _warned:
            _warned.append(str(error))
            warnings.warn(
                "no cache folder is writable, so code is compiled again in every process: "
                "set NUMBA_CACHE_DIR to a folder that you can write to",
                stacklevel=3,
            )
        return njit(**_OPTIONS, **options)(function)
