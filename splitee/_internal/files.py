"""Writing files so that a reader never sees half of one, and nothing is overwritten by accident."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from splitee._internal.errors import InputError


def refuse_existing(path: Path, overwrite: bool) -> None:
    """Raise FileExistsError where `path` exists and may not be replaced."""
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists already: choose another name, or overwrite it (--overwrite)")


def refuse_place(out: Path, overwrite: bool, *read: str | Path | None) -> None:
    """Raise, before any work is done, where no file `out` may be made of the files `read`.

    Raises
    ------
    FileExistsError
        Where it exists and may not be replaced.
    InputError
        Where it is a folder, lies in what is none, or is a file that is read: it would be lost.
    """
    if out.is_dir():
        raise InputError(f"{out} is a folder: give a file in it, such as {out / 'NAME'}")
    refuse_no_folder(out)
    if out.exists() and any(one and Path(one).exists() and out.samefile(one) for one in read):
        raise InputError(f"{out} is what is read: give what is written another name")
    refuse_existing(out, overwrite)


def refuse_no_folder(out: Path) -> None:
    """Raise InputError where `out` would lie in a file."""
    for parent in out.parents:
        if parent.exists():
            if not parent.is_dir():
                raise InputError(f"{out}: {parent} is no folder, so nothing can be written there")
            return


@contextmanager
def atomic_path(path: str | Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`; on success it is synced to disk and takes its name.

    Parameters
    ----------
    path : str or Path
        The name the file will have. Its folder is made where it is missing.
    overwrite : bool
        Whether an existing file may be replaced.

    Raises
    ------
    FileExistsError
        Where `path` exists and `overwrite` is false; nothing is written then.
    """
    path = Path(path)
    refuse_existing(path, overwrite)
    path.parent.mkdir(parents=True, exist_ok=True)
    # a hidden name in the same folder, so that replacing is one step of the file system
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)  # mkstemp makes private files
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        refuse_existing(path, overwrite)  # it may have appeared while we wrote
        os.replace(temporary, path)
        _sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str, *, overwrite: bool = False) -> None:
    """Write `text` to `path` as UTF-8, atomically."""
    with atomic_path(path, overwrite=overwrite) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def claimed_folder(out: Path, run: Mapping[str, object]) -> Iterator[Path]:
    """Yield ``OUT.partial``, the folder of the unfinished `run` that writes `out`: new, or this very run's.

    It is this process's alone for the while. Whoever has finished calls `discard`.

    Raises
    ------
    InputError
        Where the folder belongs to a run with other options or inputs, or one is at work in it.
    """
    folder = out.with_name(out.name + ".partial")
    wanted = json.dumps(run, indent=1, sort_keys=True)
    note, lock = folder / "run.json", folder / "lock"
    folder.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as handle:
        if not _locked(handle):
            raise InputError(f"another run is writing {out} (it holds {folder}): wait until it ends")
        if note.exists():
            if (there := note.read_text(encoding="utf-8")) != wanted:
                other = _difference(there, wanted)
                raise InputError(
                    f"{folder} holds another unfinished run ({other}; see its run.json): "
                    "finish that with its own options, remove the folder, or choose another --out"
                )
        elif any(path != lock and path.suffix != ".tmp" for path in folder.iterdir()):
            raise InputError(f"{folder} does not say whose it is (run.json is missing): remove the folder")
        else:
            write_text(note, wanted)
        yield folder


def put_in_place(made: Path, out: Path, folder: Path) -> None:
    """Give `made`, which lies in the partial `folder`, the name `out`, in place of what has it."""
    if out.exists():
        os.replace(out, folder / "replaced")
    os.replace(made, out)
    discard(folder)


def discard(folder: Path) -> None:
    """Remove a folder so that no half of it is ever found under its name."""
    aside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    os.replace(folder, aside / folder.name)
    shutil.rmtree(aside)


def _locked(handle: IO[str]) -> bool:
    """Take the lock of an open file until it is closed, by whatever end; without fcntl there is none."""
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _difference(there: str, wanted: str) -> str:
    """Name the first entry in which two runs differ."""
    try:
        old, new = _flat(json.loads(there)), _flat(json.loads(wanted))
    except ValueError:
        return "its note is damaged"
    key = min(k for k in old.keys() | new.keys() if old.get(k) != new.get(k))
    return f"{key} is {old.get(key)!r} there, {new.get(key)!r} here"


def _flat(value: object, name: str = "") -> dict[str, object]:
    if not isinstance(value, dict):
        return {name: value}
    inner = [_flat(v, f"{name}.{k}" if name else str(k)) for k, v in value.items()]
    return {key: v for part in inner for key, v in part.items()}


def _sync_folder(folder: Path) -> None:
    """Make the new name itself durable (a no-op where folders cannot be opened)."""
    if hasattr(os, "O_DIRECTORY"):
        handle = os.open(folder, os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
