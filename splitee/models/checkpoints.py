"""Find multi-exit checkpoints, and read their configuration and size without loading the weights."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

from splitee._internal.errors import InputError
from splitee._internal.files import refuse_existing
from splitee.data import BUNDLED as _DATA

MODEL_TYPE = "splitee_multi_exit"
BUNDLED = "sst2_slender"  # the checkpoint that comes with splitee


def find_checkpoint(path: str | Path) -> Path:
    """Return the folder that `path` names; the bundled name takes precedence over a folder of that name."""
    return _DATA / BUNDLED if str(path) == BUNDLED else Path(path)


def check_out(out: Path, overwrite: bool) -> None:
    """Raise an error if a new checkpoint may not be written to `out`.

    Raises
    ------
    FileExistsError
        If `out` exists and may not be replaced.
    InputError
        If `out` may be replaced but is not a checkpoint.
    """
    refuse_existing(out, overwrite)
    if out.exists() and not (out / "config.json").is_file():
        raise InputError(
            f"{out} exists and is not a checkpoint, so it is not overwritten: choose another name"
        )


def read_config(folder: str | Path) -> dict[str, Any]:
    """Read the configuration of a multi-exit checkpoint.

    Raises
    ------
    InputError
        If the folder holds no multi-exit checkpoint, or its configuration is damaged.
    """
    file = find_checkpoint(folder) / "config.json"
    if not file.is_file():
        raise InputError(f"{folder}: no checkpoint there (config.json is missing)")
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{file} is not readable JSON: {error}") from error
    kind = config.get("model_type") if isinstance(config, dict) else None
    if kind != MODEL_TYPE:
        raise InputError(
            f"{folder} is a checkpoint without exits (type {kind!r}): add exits with "
            f"splitee train --backbone {folder}"
        )
    if not isinstance(config.get("backbone"), dict):
        raise InputError(f"{file} is damaged: it names no backbone")
    return config  # type: ignore[no-any-return]


def parameters_of(folder: str | Path) -> int:
    """Count the parameters of a checkpoint from the header of its model.safetensors.

    Raises
    ------
    InputError
        If the file is missing or damaged.
    """
    file = find_checkpoint(folder) / "model.safetensors"
    try:
        with file.open("rb") as handle:  # eight bytes hold the length of the header, which is JSON
            header = json.loads(handle.read(int.from_bytes(handle.read(8), "little")))
        return sum(math.prod(one["shape"]) for name, one in header.items() if name != "__metadata__")
    except FileNotFoundError as error:
        raise InputError(f"{folder}: model.safetensors is missing") from error
    except (ValueError, KeyError, TypeError, AttributeError, MemoryError, OverflowError) as error:
        raise InputError(f"{file} is damaged: {' '.join(str(error).split())[:120]}") from error


def file_sha256(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
