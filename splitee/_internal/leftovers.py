"""What killed processes leave beside an output: temporary files and working folders, swept up by the next.

A working folder, ``OUT.partial``, holds the result that is being made and, if the run can be resumed, its
finished pieces.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from splitee._internal.locks import locked, locked_file
from splitee._internal.swapping import remove

# entries of a working folder: which run it belongs to, its lock, and the last steps of `put_in_place`
RUN, LOCK, FINISHED, REPLACED = "run.json", "lock", "finished", "replaced"
FINAL = "final"  # the result, before it is put in place


def working_place(place: Path) -> Path:
    """Return the working folder of an output: beside it, or in it if it cannot be exchanged."""
    return place / ".partial" if is_fixed(place) else place.with_name(place.name + ".partial")


def is_fixed(place: Path) -> bool:
    """Return whether a folder exists that cannot be exchanged, or should not: a shell may be in it."""
    if not place.is_dir():
        return False
    with suppress(OSError):
        here = Path.cwd().resolve()
        if place == here or place in here.parents:
            return True
    return place.is_mount() or not os.access(place.parent, os.W_OK | os.X_OK)


def sweep_up(path: Path) -> None:
    """Remove the temporary files that killed processes left beside `path`."""
    prefix = f".{path.name[:100]}."
    with os.scandir(path.parent) as entries:
        stale = [one for one in entries if one.name.startswith(prefix) and one.name.endswith(".tmp")]
    for entry in stale:
        with suppress(OSError), open(entry.path, "r+b") as file:
            if locked(file):
                os.unlink(entry.path)


def tidy(place: Path) -> None:
    """Remove the working folder of an output that exists, if a finished or failed run left it."""
    folder = working_place(place)
    if not folder.is_dir() or not ((folder / LOCK).is_file() or not any(folder.iterdir())):
        return
    with suppress(OSError), locked_file(folder / LOCK) as handle:
        if handle is not None:
            settle(place, folder)
            if not (folder / RUN).exists() and is_ours(folder):
                discard(folder)


def settle(place: Path, folder: Path) -> None:
    """Bring a working folder to what it was before, or after, the step in which its process was killed."""
    if (folder / REPLACED).exists() and not place.exists():
        os.replace(folder / REPLACED, place)  # killed between two renames
    if _is_finished(place, folder):
        clear(folder)
    for entry in list(folder.iterdir()):
        if entry.suffix == ".tmp":
            remove(entry)


def _is_finished(place: Path, folder: Path) -> bool:
    note = folder / FINISHED
    return note.exists() and place.exists() and note.read_text(encoding="utf-8") == identity(place)


def identity(path: Path) -> str:
    """Return what a file or folder keeps when it is renamed."""
    found = path.stat()
    return f"{found.st_dev}:{found.st_ino}"


def is_ours(folder: Path) -> bool:
    """Return whether a working folder holds nothing but what a killed process may have left in it."""
    ours = {LOCK, FINISHED, REPLACED, FINAL}
    return {entry.name for entry in folder.iterdir() if entry.suffix != ".tmp"} <= ours


def discard(folder: Path) -> None:
    """Remove a working folder; what says that it is finished, and its lock, go last."""
    clear(folder)
    (folder / LOCK).unlink(missing_ok=True)
    with suppress(OSError):  # another process has claimed it meanwhile
        folder.rmdir()


def clear(folder: Path) -> None:
    """Remove everything in a working folder but its lock."""
    last = (FINISHED, LOCK)
    for entry in sorted(folder.iterdir()):
        if entry.name not in last:
            remove(entry)
    (folder / FINISHED).unlink(missing_ok=True)
