"""Folders that are written in one step: made in a working folder, then exchanged with the one in place.

The working folder is locked, so two processes never write the same output. What a killed process left in it
is used by the next attempt of the same run, or removed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from splitee._internal.errors import InputError
from splitee._internal.files import (
    one_line_for,
    real_path,
    refuse_existing,
    refuse_no_folder,
    sync_folder,
    write_text,
)
from splitee._internal.leftovers import (
    FINAL,
    FINISHED,
    LOCK,
    REPLACED,
    RUN,
    clear,
    discard,
    identity,
    is_fixed,
    is_ours,
    settle,
    tidy,
    working_place,
)
from splitee._internal.locks import locked_file
from splitee._internal.swapping import carry, keep_modes, swap, sync_tree


@contextmanager
def claimed_folder(out: Path, run: Mapping[str, object] | None = None) -> Iterator[Path]:
    """Lock and yield ``OUT.partial``, the working folder of a run that will write `out`.

    The lock is held until the block ends, and ends with the process. Call `put_in_place` when the run is
    finished.

    Parameters
    ----------
    out : Path
        The final folder or file.
    run : mapping, optional
        JSON values that identify the run: its options and inputs. An earlier attempt of the same run is
        continued. Default: nothing is kept of earlier attempts, nor of this one if it fails.

    Raises
    ------
    InputError
        If the folder belongs to a run with other options or inputs, or another process holds the lock.
    """
    place = real_path(out)
    folder = working_place(place)
    with one_line_for(folder), _claimed(folder, out):
        settle(place, folder)
        if run is None:
            _refuse_other(folder, None)
            clear(folder)
            try:
                yield folder
            except BaseException:
                discard(folder)
                raise
        else:
            wanted = json.dumps(run, indent=1, sort_keys=True)
            _refuse_other(folder, wanted)
            if not (folder / RUN).exists():
                write_text(folder / RUN, wanted)
            yield folder


@contextmanager
def new_folder(out: str | Path, *, own: Collection[str], overwrite: bool = False) -> Iterator[Path]:
    """Yield an empty folder whose entries take the place of those of `out`, in one step, if all goes well.

    Parameters
    ----------
    out : str or Path
        The final folder.
    own : collection of str
        Names of the entries that are replaced or removed. Others stay in the folder.
    overwrite : bool
        Whether entries of these names may be replaced.

    Raises
    ------
    FileExistsError
        If an entry of these names exists and `overwrite` is false; nothing is written then.
    InputError
        If another process writes to `out`, or it cannot be written.
    """
    place = real_path(out)
    refuse_entries(out, own, overwrite)
    with claimed_folder(Path(out)) as work:
        made = work / FINAL
        made.mkdir()
        yield made
        refuse_entries(out, own, overwrite)
        if place.is_dir() and not is_fixed(place):
            carry(place, made, {entry.name for entry in place.iterdir()} - set(own))
        put_in_place(made, place, work)


def refuse_entries(out: str | Path, own: Collection[str], overwrite: bool) -> None:
    """Raise an error if `out` is no folder, or holds entries of these names that may not be replaced.

    What a killed process left of a finished run is removed.
    """
    place = real_path(out)
    with one_line_for(out):
        if place.exists() and not place.is_dir():
            raise InputError(f"{out} is a file: give a folder")
        refuse_no_folder(place)
        present = [name for name in own if place.is_dir() and os.path.lexists(place / name)]
        if not present:
            return
        tidy(place)
        refuse_existing(Path(out) / min(present), overwrite)
        if is_fixed(place):
            raise InputError(
                f"{out} is the current folder, a mount point, or in a folder that cannot be written, so its "
                "results cannot be replaced in one step: choose another --out"
            )


def refuse_foreign(out: Path, own: Collection[str], what: str, overwrite: bool) -> None:
    """Raise if `out` may not be replaced: it exists, or with `overwrite`, holds more than these entries."""
    refuse_no_folder(out)
    refuse_existing(out, overwrite)
    if out.exists() and (not out.is_dir() or not {path.name for path in out.iterdir()} <= set(own)):
        raise InputError(f"{out} holds more than {what} results: remove it, or choose another --out")


def put_in_place(made: Path, out: Path, folder: Path) -> None:
    """Give `made`, which lies in the working `folder`, the name `out` in one step; then remove the folder."""
    place = real_path(out)
    with one_line_for(out):
        keep_modes(place, made)
        sync_tree(made)
        # if this process is killed after the swap, the next one knows that the working folder is litter
        write_text(folder / FINISHED, identity(made), overwrite=True)
        swap(made, place, folder / REPLACED)
        sync_folder(place.parent)
    discard(folder)


@contextmanager
def _claimed(folder: Path, out: str | Path) -> Iterator[IO[bytes]]:
    """Create a working folder and hold its lock."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file, but a folder of this name is needed: move it")
    folder.mkdir(parents=True, exist_ok=True)
    with locked_file(folder / LOCK) as handle:
        if handle is None:
            raise InputError(f"another run is writing {out} (it holds {folder}): wait until it ends")
        yield handle


def _refuse_other(folder: Path, wanted: str | None) -> None:
    """Raise InputError if a working folder belongs to another run."""
    note = folder / RUN
    if note.exists():
        found = note.read_text(encoding="utf-8", errors="replace")
        if found != wanted:
            other = "of a command that resumes" if wanted is None else _difference(found, wanted)
            raise InputError(
                f"{folder} holds another unfinished run ({other}; see its run.json): "
                "finish that run with its own options, remove the folder, or choose another --out"
            )
    elif not is_ours(folder):
        raise InputError(f"{folder} does not record which run it belongs to (run.json): remove the folder")


def _difference(found: str, wanted: str) -> str:
    """Return the first entry in which two run records differ."""
    try:
        old, new = _flat(json.loads(found)), _flat(json.loads(wanted))
        key = min(k for k in old.keys() | new.keys() if old.get(k) != new.get(k))
    except (ValueError, RecursionError):
        return "its run.json is damaged"
    return f"{key} is {old.get(key)!r} there, {new.get(key)!r} here"


def _flat(value: object, name: str = "") -> dict[str, object]:
    if not isinstance(value, dict):
        return {name: value}
    inner = [_flat(v, f"{name}.{k}" if name else str(k)) for k, v in value.items()]
    return {key: v for part in inner for key, v in part.items()}
