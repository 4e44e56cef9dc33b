"""Kill a process before one of its file operations."""

import builtins
import io
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from splitee._internal import swapping

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
OPERATIONS = (
    *(
        "chmod",
        "fsync",
        "link",
        "mkdir",
        "open",
        "remove",
        "rename",
        "replace",
        "rmdir",
        "symlink",
        "truncate",
    ),
    *("unlink", "utime"),
)


class Injector:
    """Counts the operations on files below a folder, and ends this process before the last of them.

    Parameters
    ----------
    folder : Path
    last : int, optional
        The number, from 1, of the operation that is not made. Default: all are made.
    """

    def __init__(self, folder: Path, last: int | None = None) -> None:
        self.folder, self.last, self.made = os.path.realpath(folder), last, 0

    def install(self) -> None:
        """Wrap the functions; this process is not used for anything else afterwards."""
        for name in OPERATIONS:
            setattr(os, name, self.wrapped(getattr(os, name)))
        builtins.open = io.open = self.wrapped(io.open)
        swapping.exchange = self.wrapped(swapping.exchange)

    def wrapped(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that counts its calls."""

        def call(*given: Any, **named: Any) -> Any:
            if self.changes(function, given, named):
                self.made += 1
                if self.made == self.last:
                    os.kill(os.getpid(), signal.SIGKILL)
            return function(*given, **named)

        return call

    def changes(self, function: Callable[..., Any], given: tuple[Any, ...], named: dict[str, Any]) -> bool:
        """Return whether a call changes something below the folder."""
        if function.__name__ == "open":
            mode = given[1] if len(given) > 1 else named.get("mode", named.get("flags", "r"))
            if not (mode & WRITES if isinstance(mode, int) else set(mode) & set("wax+")):
                return False
        path, holder = given[0], named.get("dir_fd")
        if isinstance(path, int):
            path = os.readlink(f"/proc/self/fd/{path}")
        elif holder is not None:
            path = os.path.join(os.readlink(f"/proc/self/fd/{holder}"), os.fsdecode(path))
        return os.path.abspath(os.fsdecode(path)).startswith(self.folder)


def forked(work: Callable[[], int], log: Path, seconds: int = 120) -> int:
    """Do some work in a child process; return its exit status, negative if a signal ended it.

    Whatever is printed goes to the file `log`. A child that takes too long is killed by SIGALRM.
    """
    sys.stdout.flush()
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 99
    try:
        signal.alarm(seconds)
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        code = work()
    except SystemExit as exit_:
        code = int(exit_.code or 0)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
