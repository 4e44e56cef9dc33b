"""Read a file that a user names, and only a file: a pipe or a device could be endless."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

from splitee._internal.errors import InputError

_CHUNK = 1 << 24


def read_file(path: str | Path) -> bytes:
    """Return the content of a regular file.

    Raises
    ------
    InputError
        If there is no such file, it is a folder, a pipe or a device, or it does not fit in memory.
    """
    try:
        kind, size = os.stat(path).st_mode, os.stat(path).st_size
        if stat.S_ISDIR(kind):
            raise InputError(f"{path} is a folder: give a file in it")
        if not stat.S_ISREG(kind):
            raise InputError(f"{path} is a pipe or a device, not a file: write its content to a file first")
        if size > _memory():
            raise InputError(f"{path} has {size / 1e9:,.0f} GB, more than this machine's memory: split it")
        return Path(path).read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        if isinstance(error, InputError):
            raise
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise InputError(f"{path} cannot be read: {why.lower()}") from error


def read_stdin() -> bytes:
    """Return what standard input holds; it is bounded by half of this machine's memory.

    Raises
    ------
    InputError
        If it is a device such as /dev/zero, or larger.
    """
    source = sys.stdin.buffer
    try:
        if stat.S_ISCHR(os.fstat(source.fileno()).st_mode) and not source.isatty():
            raise InputError("standard input is a device: pipe a file's content into it")
    except (OSError, AttributeError):  # not a file of the system, as in tests
        pass
    parts, left = [], _memory() // 2
    while part := source.read(_CHUNK):
        parts.append(part)
        left -= len(part)
        if left < 0:
            raise InputError("standard input is more than half of this machine's memory: write it to a file")
    return b"".join(parts)


def _memory() -> int:
    """Return the size of the machine's memory in bytes."""
    try:
        return int(os.sysconf("SC_PAGE_SIZE")) * int(os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):  # not on this system
        return 1 << 40
