"""How functions are compiled: by numba, arithmetic as written, cached on disk, without the interpreter lock.

Compiled code is kept beside the package or, where that folder is read-only, in the user's cache folder
(``NUMBA_CACHE_DIR`` names another).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils, event
from numba.extending import intrinsic
from numpy.typing import DTypeLike, NDArray

LINE = 64  # bytes of a cache line
LARGE = 2**17  # elements of a float32 table (512 KB) beyond which its rows are prefetched
AHEAD = 6  # rounds ahead that rows are prefetched
_OPTIONS = {
    "nogil": True,
    "error_model": "numpy",
    "no_cfunc_wrapper": True,
}  # no fastmath
_warned: list[str] = []


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a function when it is first called."""
    return _compile(function)


def inlined(function: Callable[..., Any]) -> Any:
    """Compile a function into the kernels that call it. It makes no array, and calls nothing that does.

    A call of its own would count references to every array that it is given, in every round. This counts
    none: it borrows its caller's. A count is an atomic instruction, and a world has 40 arrays.
    """
    return _compile(function, forceinline=True, _nrt=False)


def inlined_making(function: Callable[..., Any]) -> Any:
    """Compile a function into the kernels that call it, though it makes arrays or calls what does."""
    return _compile(function, forceinline=True)


def _compile(function: Callable[..., Any], **options: bool) -> Any:
    _drop_stale()
    try:
        return njit(cache=True, **_OPTIONS, **options)(function)
    except RuntimeError as error:  # numba found no folder that it can write to
        if not _warned:
            _warned.append(str(error))
            warnings.warn(
                "compiled code cannot be cached (no cache folder is writable), so every process compiles it "
                "again: set NUMBA_CACHE_DIR to a folder of yours",
                stacklevel=3,
            )
        return njit(**_OPTIONS, **options)(function)


def when_compiling(notify: Callable[[], object]) -> None:
    """Call `notify` once, when a function is compiled that was not cached."""
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
def _drop_stale() -> None:
    """Remove cached code that is older than a source file of the package.

    numba compares the cache of a function with that function's own file only, but a kernel contains code of
    the functions that it calls, which live in other files.
    """
    package = Path(__file__).parents[1]
    newest = max(file.stat().st_mtime for file in package.rglob("*.py"))
    for index in package.glob("**/__pycache__/*.nbi"):
        try:
            if index.stat().st_mtime < newest:
                index.unlink()
        except OSError:  # read-only, or another process has removed it
            continue


def aligned(shape: tuple[int, ...], dtype: DTypeLike = np.float64) -> NDArray[Any]:
    """Return zeros that begin at a cache line, so that no vector or row of whole lines lies in two."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    space = np.zeros(size + LINE, dtype=np.uint8)
    begin = -space.ctypes.data % LINE
    return space[begin : begin + size].view(dtype).reshape(shape)


@intrinsic
def prefetch(typing, table, row):  # type: ignore[no-untyped-def]
    """Ask the memory for the first and the last 64 bytes of a row of a C-contiguous table, without waiting.

    A trace of 10⁴ samples is larger than the near caches, one of 10⁶ than all. The orders say which samples
    come next, so their rows can be on the way while earlier rounds are played.
    """
    return types.void(table, types.uint64), _prefetch


def _prefetch(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    array = context.make_array(signature.args[0])(context, builder, arguments[0])
    stride = cgutils.unpack_tuple(builder, array.strides)[0]
    start = builder.add(builder.ptrtoint(array.data, ir.IntType(64)), builder.mul(arguments[1], stride))
    byte, i32 = ir.IntType(8).as_pointer(), ir.IntType(32)
    signature = ir.FunctionType(ir.VoidType(), [byte, i32, i32, i32])
    fetch = builder.module.declare_intrinsic("llvm.prefetch", [byte], signature)
    last = builder.sub(builder.add(start, stride), ir.IntType(64)(64))
    for line in (start, last):
        address = builder.inttoptr(line, byte)
        builder.call(fetch, [address, i32(0), i32(3), i32(1)])  # read, keep near, data
    return context.get_dummy_value()
