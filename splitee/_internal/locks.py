"""Locks on files, which end with the process that holds them."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

_HELD = (errno.EAGAIN, errno.EACCES)  # other errors: this file system has no locks


def locked(file: IO[Any]) -> bool:
    """Lock an open file until it is closed; return False if another process holds it. No-op without fcntl."""
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in _HELD
    return True


@contextmanager
def locked_file(path: Path) -> Iterator[IO[bytes] | None]:
    """Create and lock a file, and yield it; yield None if another process holds the lock.

    The folder of the file is created again if the holder of the lock removes it meanwhile.
    """
    while True:
        path.parent.mkdir(exist_ok=True)
        try:
            file = path.open("ab")
        except FileNotFoundError:
            continue
        with file:
            if not locked(file):
                yield None
                return
            try:
                same = os.path.samestat(os.fstat(file.fileno()), path.stat())
            except FileNotFoundError:
                same = False
            if same:  # else its last holder has removed it: lock the new one
                yield file
                return
