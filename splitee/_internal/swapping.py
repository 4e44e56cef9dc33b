"""Exchange two folders, and what goes with it: modes, foreign entries, and the disk."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


def swap(made: Path, place: Path, aside: Path) -> None:
    """Give `made` the name `place`, in one step if the system can; what was there is at `made` or `aside`.

    A folder that cannot be renamed gets the entries one by one, its JSON files last.
    """
    if not place.is_dir():
        os.replace(made, place)
        return
    if made.parent.parent == place:  # the working folder is inside
        for entry in sorted(made.iterdir(), key=lambda one: (one.suffix == ".json", one.name)):
            os.replace(entry, place / entry.name)
        return
    try:
        exchange(made, place)
    except OSError:  # not on this system, or not in this file system
        if aside.exists():
            remove(aside)
        os.replace(place, aside)
        os.replace(made, place)


def exchange(one: Path, other: Path) -> None:
    """Exchange the names of two paths of a file system, atomically (Linux).

    Raises
    ------
    OSError
        If the system or the file system cannot.
    """
    function = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if os.name == "posix" else None
    if function is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if function(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(other))


def remove(path: Path) -> None:
    """Remove a file, a link or a whole folder."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def carry(source: Path, target: Path, names: Collection[str]) -> None:
    """Give `target` the entries of `source` of these names, as hard links where that is possible."""
    for name in sorted(set(names)):
        entry, here = source / name, target / name
        if entry.is_dir() and not entry.is_symlink():
            shutil.copytree(entry, here, symlinks=True, copy_function=_link)
        else:
            _link(str(entry), str(here))


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:  # no hard links here
        shutil.copy2(source, target, follow_symlinks=False)


def keep_modes(old: Path, new: Path) -> None:
    """Give a file or folder, and the files in it, the modes of those of the same names in `old`."""
    for path in (new, *(new.rglob("*") if new.is_dir() else ())):
        before = old / path.relative_to(new)
        if before.exists() and not path.is_symlink() and before.is_dir() == path.is_dir():
            path.chmod(before.stat().st_mode & 0o777)


def sync_tree(path: Path) -> None:
    """Write a file, or the files of a folder, to the disk."""
    for file in (path, *path.rglob("*")) if path.is_dir() else (path,):
        if file.is_file() and not file.is_symlink():
            with suppress(PermissionError), file.open("rb") as handle:
                os.fsync(handle.fileno())
