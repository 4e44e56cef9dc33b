"""Write files in one step, beside their place and then renamed, and never over others by accident.

Temporary files that killed processes left are removed by the next that writes to the same place.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from splitee._internal.errors import InputError
from splitee._internal.leftovers import sweep_up, tidy
from splitee._internal.locks import locked
from splitee._internal.reading import one_line

# places


def real_path(path: str | Path) -> Path:
    """Return the path that is written to: links are followed, also one whose target does not exist.

    Raises
    ------
    InputError
        If no file can have this name.
    """
    try:
        found = Path(os.path.realpath(path))
        if found.is_symlink():
            raise InputError(f"{path} is a link that leads to itself: give another name")
        return found
    except OSError as error:
        raise one_line(error, path) from error
    except ValueError as error:  # a NUL
        if isinstance(error, InputError):
            raise
        raise InputError(f"{str(path)!r} cannot be the name of a file ({error})") from error


def refuse_existing(path: Path, overwrite: bool) -> None:
    """Raise FileExistsError if `path` exists and may not be replaced."""
    try:
        if not path.exists():
            return
    except (OSError, ValueError):
        real_path(path)
        raise
    tidy(real_path(path))
    if not overwrite:
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
        If `out` is a folder, cannot be written, or is one of the inputs.
    """
    with one_line_for(out):
        if out.is_dir():
            raise InputError(f"{out} is a folder: give a file in it, such as {out / 'NAME'}")
        if out.exists() and not out.is_file():
            raise InputError(f"{out} is not a regular file: give another name")
        refuse_no_folder(out)
        if out.exists() and any(one and Path(one).exists() and out.samefile(one) for one in read):
            raise InputError(f"{out} is an input file: give the output another name")
        refuse_existing(out, overwrite)


def refuse_no_folder(out: Path) -> None:
    """Raise InputError if `out` cannot be written: by its name, or by the folder that it would lie in."""
    with one_line_for(out):
        place = real_path(out)
        os.path.lexists(place)
        with suppress(FileNotFoundError, NotADirectoryError):
            place.stat()  # a name that is too long is found here
        for parent in place.parents:
            if parent.exists():
                if not parent.is_dir():
                    raise InputError(f"{out}: {parent} is not a folder, so nothing can be written there")
                if not os.access(parent, os.W_OK | os.X_OK) and not place.is_dir():
                    raise InputError(f"{out}: nothing can be written to {parent} (permission denied)")
                return


@contextmanager
def one_line_for(path: str | Path) -> Iterator[None]:
    """Turn every OSError of the block, except FileExistsError, into an InputError of one line."""
    try:
        yield
    except (InputError, FileExistsError):
        raise
    except OSError as error:
        raise one_line(error, path) from error


# files


@contextmanager
def atomic_path(path: str | Path, *, overwrite: bool = False, durable: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success, sync it to disk and rename it to `path`.

    Links are followed, and a file that is replaced passes on its mode.

    Parameters
    ----------
    path : str or Path
        The final name. Its folder is created if it is missing.
    overwrite : bool
        Whether an existing file may be replaced.
    durable : bool
        Whether the file must be on disk before it gets its name. False for files of a working folder.

    Raises
    ------
    FileExistsError
        If `path` exists and `overwrite` is false; nothing is written then.
    InputError
        If the file cannot be written, for instance because the disk is full.
    """
    path = real_path(path)
    with one_line_for(path):
        refuse_existing(path, overwrite)
        path.parent.mkdir(parents=True, exist_ok=True)
        if durable:
            sweep_up(path)
        with _temporary(path) as temporary:
            yield temporary
            temporary.chmod(_mode(path))
            if durable:
                with temporary.open("rb") as file:
                    os.fsync(file.fileno())
            refuse_existing(path, overwrite)  # it may have appeared in the meantime
            os.replace(temporary, path)
        if durable:
            sync_folder(path.parent)


def write_text(path: str | Path, text: str, *, overwrite: bool = False, durable: bool = True) -> None:
    """Write `text` to `path` as UTF-8, atomically; see `atomic_path`."""
    with atomic_path(path, overwrite=overwrite, durable=durable) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


@contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """Yield a hidden file beside `path`, locked while this process lives, and removed at the end."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}.", suffix=".tmp")
    temporary = Path(name)
    with os.fdopen(handle, "r+b") as file:
        locked(file)
        try:
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)


def _mode(path: Path) -> int:
    """Return the mode of a file that exists, else that of new files."""
    if path.exists():
        return path.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` durable (no-op if folders cannot be opened)."""
    if hasattr(os, "O_DIRECTORY"):
        handle = os.open(folder, os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
