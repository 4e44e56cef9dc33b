"""Checksums: of files, of a folder's files, of JSON documents, and of the pieces of an unfinished run.

A checksum detects damage, not forgery: whoever can write a file can write its checksum.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from splitee._internal.errors import InputError
from splitee._internal.files import atomic_path, write_text
from splitee._internal.reading import open_regular, read_bytes, read_json

FINGERPRINTS = "fingerprints.json"  # of a folder: {"files": {name: SHA-256}, "sha256": of this document}
_SEAL = "sha256"


def file_sha256(path: str | Path) -> str:
    """Return the hexadecimal SHA-256 of a regular file of any size."""
    with open_regular(path, most=2**63) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file in a folder, ``fingerprints.json`` aside, by its relative name."""
    files = sorted(file for file in folder.rglob("*") if file.is_file() and file != folder / FINGERPRINTS)
    return {file.relative_to(folder).as_posix(): file_sha256(file) for file in files}


def first_changed(folder: Path, wanted: Mapping[str, str], *names: str) -> str | None:
    """Return the first of these files (default: all) that is missing or does not match its SHA-256."""
    for name in names or wanted:
        try:
            if file_sha256(folder / name) != wanted.get(name):
                return name
        except InputError:
            return name
    return None


# documents


def sealed(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a JSON document with the SHA-256 of its content as the last entry."""
    return {**document, _SEAL: _digest(document)}


def opened(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a sealed document without its checksum.

    Raises
    ------
    ValueError
        If it has none, or does not match it.
    """
    content = {key: value for key, value in document.items() if key != _SEAL}
    if document.get(_SEAL) != _digest(content):
        raise ValueError("it does not match its checksum")
    return content


def _digest(document: Mapping[str, Any]) -> str:
    # through text, as the reader has it: keys become texts, tuples lists
    content = json.loads(json.dumps(document))
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


# folders


def write_fingerprints(folder: Path) -> None:
    """Write the SHA-256 of every file in a folder to its ``fingerprints.json``."""
    document = sealed({"files": sha256_of(folder)})
    write_text(folder / FINGERPRINTS, json.dumps(document, indent=1) + "\n", overwrite=True)


def refresh_fingerprints(folder: Path, *written: str) -> None:
    """Let the fingerprints of a folder, if it has any, hold for files that were just written again.

    The other files keep the fingerprints that they have: damage to them is still found.
    """
    if (known := read_fingerprints(folder)) is None:
        return
    kept = {name: digest for name, digest in known.items() if (folder / name).exists()}
    kept |= {name: file_sha256(folder / name) for name in written}
    text = json.dumps(sealed({"files": kept}), indent=1) + "\n"
    write_text(folder / FINGERPRINTS, text, overwrite=True)


def read_fingerprints(folder: Path) -> dict[str, str] | None:
    """Return what `write_fingerprints` wrote, or None if the folder has no such file.

    Raises
    ------
    InputError
        If the file is damaged.
    """
    file = folder / FINGERPRINTS
    if not file.exists():
        return None
    try:
        files = opened(read_json(file))["files"]
        return {str(name): str(digest) for name, digest in files.items()}
    except (ValueError, LookupError, AttributeError, TypeError) as error:
        raise InputError(f"{file} is damaged") from error


def check_files(folder: Path, *names: str) -> None:
    """Check files of a folder (default: all that are there) against its fingerprints, if it has any.

    Raises
    ------
    InputError
        If one was changed or damaged after it was written.
    """
    written = read_fingerprints(folder)
    if written is None:
        return
    present = [name for name in names or written if name in written and (folder / name).exists()]
    if present and (changed := first_changed(folder, written, *present)):
        raise InputError(
            f"{folder / changed} does not match its checksum: it was changed or damaged after it was written "
            f"(if you changed it, remove {FINGERPRINTS})"
        )


def damaged_file(folder: Path) -> str | None:
    """Return the first file of a folder that is missing or does not match the folder's fingerprints.

    ``fingerprints.json`` itself is returned if it is missing or damaged.
    """
    try:
        wanted = read_fingerprints(folder)
    except InputError:
        wanted = None
    return FINGERPRINTS if wanted is None else first_changed(folder, wanted)


# pieces


@contextmanager
def piece_path(piece: Path) -> Iterator[Path]:
    """Yield a temporary path; on success, write its SHA-256 beside `piece` and rename it to `piece`.

    Neither needs to reach the disk at once: a piece that was lost or damaged is computed again.
    """
    with atomic_path(piece, overwrite=True, durable=False) as temporary:
        yield temporary
        write_text(_beside(piece), file_sha256(temporary), overwrite=True, durable=False)


def whole_piece(piece: Path) -> bool | None:
    """Return whether a piece matches its checksum; None if there is no such piece."""
    if not piece.exists():
        return None
    try:
        return file_sha256(piece).encode() == read_bytes(_beside(piece))
    except InputError:
        return False


def read_piece(piece: Path) -> bytes:
    """Return the content of a piece that matches its checksum.

    Raises
    ------
    InputError
        If it does not: it was damaged while the run was going on.
    """
    data = read_bytes(piece)
    if hashlib.sha256(data).hexdigest().encode() != read_bytes(_beside(piece)):
        raise InputError(f"{piece} was damaged during the run: run the command again to compute it again")
    return data


def _beside(piece: Path) -> Path:
    return piece.with_name(piece.name + ".sha256")
