"""Read files that anyone may have made: regular files only, of bounded size, with one line for any fault."""

from __future__ import annotations

import json
import os
import stat
import sys
from io import BufferedReader
from pathlib import Path
from typing import Any

from splitee._internal.errors import FileError, InputError

MOST_JSON = 2**28  # bytes of a JSON file; run.json of 10,000 scenarios has 2**27
_CHUNK = 2**24  # bytes of standard input that are read at a time
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


def one_line(error: OSError, path: str | Path) -> InputError:
    """Return the InputError that an OSError becomes; it names the error's own file, else `path`."""
    if isinstance(error, InputError):
        return error
    reason = error.strerror or " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, FileNotFoundError):
        reason = "no such file"
    return FileError(f"{error.filename or path}: {reason[:1].lower()}{reason[1:]}")


def exists(path: str | Path) -> bool:
    """Return whether there is a file or folder of this name; False if there cannot be."""
    try:
        return os.path.exists(path)
    except (OSError, ValueError):
        return False


def open_regular(path: str | Path, most: int | None = None) -> BufferedReader:
    """Open a regular file for reading.

    A pipe or a device is refused: reading it could wait, or go on, for ever.

    Parameters
    ----------
    path : str or Path
    most : int, optional
        Largest size in bytes. Default: the memory of this machine.

    Raises
    ------
    InputError
        If there is no such file, it is not a regular file, it is too large, or it cannot be opened.
    """
    try:
        # O_NONBLOCK: opening a pipe would wait for a writer
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except OSError as error:
        raise one_line(error, path) from error
    except ValueError as error:  # a NUL in the name
        raise InputError(f"{str(path)!r} cannot be the name of a file ({error})") from error
    try:
        checked_size(handle, path, most)
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def checked_size(handle: int, path: str | Path, most: int | None = None) -> int:
    """Return the size of an open regular file; see `open_regular`."""
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode):
        raise InputError(f"{path} is {_KINDS.get(stat.S_IFMT(found.st_mode), 'no file')}: give a file")
    limit = memory() if most is None else most
    if found.st_size > limit:
        raise InputError(f"{path} has {found.st_size:,} bytes: at most {limit:,} can be read")
    return found.st_size


def memory() -> int:
    """Return the bytes of memory of this machine, or 64 GiB if they are unknown."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 2**36


def read_bytes(path: str | Path, most: int | None = None) -> bytes:
    """Return the content of a regular file; see `open_regular`."""
    try:
        with open_regular(path, most) as file:
            return file.read()
    except OSError as error:
        raise one_line(error, path) from error


def read_stdin() -> bytes:
    """Return what standard input holds, at most half of this machine's memory.

    Raises
    ------
    InputError
        If it is a device such as /dev/zero, or larger.
    """
    source = sys.stdin.buffer
    try:
        device = stat.S_ISCHR(os.fstat(source.fileno()).st_mode) and not source.isatty()
    except (OSError, AttributeError):  # not a file of the system, as in tests
        device = False
    if device:
        raise InputError("standard input is a device: pipe a file's content into it")
    parts, left = [], memory() // 2
    while part := source.read(_CHUNK):
        parts.append(part)
        left -= len(part)
        if left < 0:
            raise InputError("standard input is more than half of this machine's memory: write it to a file")
    return b"".join(parts)


def read_json(path: str | Path, most: int = MOST_JSON) -> Any:
    """Read a JSON file.

    Raises
    ------
    InputError
        If the file cannot be read or holds no JSON.
    """
    try:
        return parse_json(read_bytes(path, most))
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} is not readable JSON: {' '.join(str(error).split())[:200]}") from error


def parse_json(data: str | bytes) -> Any:
    """Parse JSON; whatever is wrong with it, deep nesting included, is a ValueError."""
    try:
        return json.loads(data)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
