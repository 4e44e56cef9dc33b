"""How functions are compiled: by numba, arithmetic as written, cached on disk, without the interpreter lock.

Compiled code is kept beside the package or, where that folder is read-only, in the user's cache folder
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
_told: list[str] = []


def compiled(function: Callable[..., Any]) -> Any:
    """Compile a function when it is first called."""
    return _compile(function)


def inlined(function: Callable[..., Any]) -> Any:
    """Compile a function into each compiled function that calls it."""
    return _compile(function, forceinline=True)


def when_compiling(tell: Callable[[], object]) -> None:
    """Call `tell` when something is compiled that was not kept; once, though all takes many seconds."""
    event.register("numba:compile", _Once(tell))


class _Once(event.Listener):  # type: ignore[misc]
    def __init__(self, tell: Callable[[], object]) -> None:
        self._tell, self._first = tell, Lock()

    def on_start(self, _: object) -> None:
        if self._first.acquire(blocking=False):  # and never released
            self._tell()

    def on_end(self, _: object) -> None:
        pass


@cache
def _sources() -> str:
    """Return what changes with any source file of the package."""
    files = sorted(Path(__file__).parents[1].rglob("*.py"))
    return repr([(file.name, (told := file.stat()).st_mtime_ns, told.st_size) for file in files])


def _compile(function: Callable[..., Any], **options: bool) -> Any:
    try:
        made = njit(cache=True, **_OPTIONS, **options)(function)
        # numba looks at a function's own file only, but what is compiled into it may come from any other
        made._cache._cache_file._source_stamp = _sources()
        return made
    except RuntimeError as error:  # numba found no folder that it can write to
        if not _told:
            _told.append(str(error))
            warnings.warn(
                "compiled code cannot be kept (no cache folder can be written to), so it is compiled anew in "
                "every process: set NUMBA_CACHE_DIR to a folder of yours",
                stacklevel=3,
            )
        return njit(**_OPTIONS, **options)(function)
