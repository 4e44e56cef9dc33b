"""Write files and folders atomically, and never overwrite one by accident."""

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
    """Raise FileExistsError if `path` exists and may not be replaced."""
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists already: choose another name, or overwrite it (--overwrite)")


def refuse_place(out: Path, overwrite: bool, *read: str | Path | None) -> None:
    """Check, before any work is done, that the file `out` may be written.

    Parameters
    ----------
    out : Path
        The file to write.
    overwrite : bool
        Whether an existing file may be replaced.
    *read : str, Path or None
        The input files, which must not be replaced.

    Raises
    ------
    FileExistsError
        If `out` exists and may not be replaced.
    InputError
        If `out` is a folder, has a file as a parent, or is one of the inputs.
    """
    if out.is_dir():
        raise InputError(f"{out} is a folder: give a file in it, such as {out / 'NAME'}")
    refuse_no_folder(out)
    if out.exists() and any(one and Path(one).exists() and out.samefile(one) for one in read):
        raise InputError(f"{out} is an input file: give the output another name")
    refuse_existing(out, overwrite)


def refuse_no_folder(out: Path) -> None:
    """Raise InputError if a parent of `out` is a file."""
    for parent in out.parents:
        if parent.exists():
            if not parent.is_dir():
                raise InputError(f"{out}: {parent} is not a folder, so nothing can be written there")
            return


@contextmanager
def atomic_path(path: str | Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success, sync it to disk and rename it to `path`.

    Parameters
    ----------
    path : str or Path
        The final name. Its folder is created if it is missing.
    overwrite : bool
        Whether an existing file may be replaced.

    Raises
    ------
    FileExistsError
        If `path` exists and `overwrite` is false; nothing is written then.
    """
    path = Path(path)
    refuse_existing(path, overwrite)
    path.parent.mkdir(parents=True, exist_ok=True)
    # a hidden name in the same folder, so that the rename is atomic
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)  # mkstemp creates private files
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        refuse_existing(path, overwrite)  # it may have appeared in the meantime
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
    """Lock and yield ``OUT.partial``, the working folder of an unfinished run that will write `out`.

    The folder is new, or left by an earlier attempt of the same run. The lock is held until the block ends;
    call `discard` (or `put_in_place`) when the run is finished.

    Parameters
    ----------
    out : Path
        The final folder or file.
    run : mapping
        JSON values that identify the run: its options and inputs.

    Raises
    ------
    InputError
        If the folder belongs to a run with other options or inputs, or another process holds the lock.
    """
    folder = out.with_name(out.name + ".partial")
    wanted = json.dumps(run, indent=1, sort_keys=True)
    note, lock = folder / "run.json", folder / "lock"
    folder.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as handle:
        if not _locked(handle):
            raise InputError(f"another run is writing {out} (it holds {folder}): wait until it ends")
        if note.exists():
            if (found := note.read_text(encoding="utf-8")) != wanted:
                other = _difference(found, wanted)
                raise InputError(
                    f"{folder} holds another unfinished run ({other}; see its run.json): "
                    "finish that run with its own options, remove the folder, or choose another --out"
                )
        elif any(path != lock and path.suffix != ".tmp" for path in folder.iterdir()):
            raise InputError(
                f"{folder} does not record which run it belongs to (run.json): remove the folder"
            )
        else:
            write_text(note, wanted)
        yield folder


def put_in_place(made: Path, out: Path, folder: Path) -> None:
    """Rename `made`, which lies in the partial `folder`, to `out`, replacing it; then discard `folder`."""
    if out.exists():
        os.replace(out, folder / "replaced")
    os.replace(made, out)
    discard(folder)


def discard(folder: Path) -> None:
    """Remove a folder so that it is never found half empty under its name."""
    aside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    os.replace(folder, aside / folder.name)
    shutil.rmtree(aside)


def _locked(handle: IO[str]) -> bool:
    """Lock an open file until it is closed; return False if another process holds it. No-op without fcntl."""
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _difference(found: str, wanted: str) -> str:
    """Return the first entry in which two run records differ."""
    try:
        old, new = _flat(json.loads(found)), _flat(json.loads(wanted))
    except ValueError:
        return "its run.json is damaged"
    key = min(k for k in old.keys() | new.keys() if old.get(k) != new.get(k))
    return f"{key} is {old.get(key)!r} there, {new.get(key)!r} here"


def _flat(value: object, name: str = "") -> dict[str, object]:
    if not isinstance(value, dict):
        return {name: value}
    inner = [_flat(v, f"{name}.{k}" if name else str(k)) for k, v in value.items()]
    return {key: v for part in inner for key, v in part.items()}


def _sync_folder(folder: Path) -> None:
    """Make a rename in `folder` durable (no-op if folders cannot be opened)."""
    if hasattr(os, "O_DIRECTORY"):
        handle = os.open(folder, os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
