"""A folder of tables with a manifest: how results lie on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from splitee._internal.errors import InputError
from splitee._internal.files import atomic_path, refuse_existing, write_text

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = 1
_MANIFEST = "manifest.json"
_ALSO_CSV = ("summary", "repeats")
_TABLES = ("summary", "repeats", "regret", "samples", "choices")
REMEDY = "run what wrote it again, with overwriting (--overwrite)"


def write_tables(
    folder: Path, tables: dict[str, pd.DataFrame], manifest: dict[str, Any], overwrite: bool
) -> None:
    """Write each table as Parquet, the small ones also as CSV, and last the manifest.

    Raises
    ------
    FileExistsError
        Where one of the files exists and `overwrite` is false; nothing is written then.
    """
    files = [_MANIFEST, *(f"{name}.parquet" for name in _TABLES), *(f"{name}.csv" for name in _ALSO_CSV)]
    for file in files:
        refuse_existing(folder / file, overwrite)
    for file in files:  # also those of what is replaced that will not be written now
        (folder / file).unlink(missing_ok=True)
    for name, table in tables.items():
        if name in _ALSO_CSV:
            write_text(folder / f"{name}.csv", table.to_csv(index=False))
        with atomic_path(folder / f"{name}.parquet") as temporary:
            table.to_parquet(temporary, index=False, compression="zstd")
    write_text(folder / _MANIFEST, json.dumps({"schema": SCHEMA, **manifest}, indent=1) + "\n")


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read the manifest that `write_tables` wrote, without its schema.

    Raises
    ------
    InputError
        Where there is none, it is damaged, or another version wrote it.
    """
    if not (folder / _MANIFEST).is_file():
        raise InputError(f"{folder} holds no results ({_MANIFEST} is missing){_hint(folder)}")
    try:
        manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{folder / _MANIFEST} is damaged: {REMEDY}") from error
    if not isinstance(manifest, dict) or manifest.pop("schema", None) != SCHEMA:
        raise InputError(f"{folder}: results of another schema; this splitee reads {SCHEMA}")
    return manifest


def results_folder(folder: Path) -> Path:
    """Return the folder of the results: `folder`, or its one scenario if `splitee run --out` wrote it."""
    if (folder / _MANIFEST).is_file() or not (folder / "run.json").is_file():
        return folder
    scenarios = _scenarios(folder)
    return scenarios[0] if len(scenarios) == 1 else folder


def _scenarios(folder: Path) -> list[Path]:
    return sorted(file.parent for file in folder.glob(f"*/{_MANIFEST}"))


def _hint(folder: Path) -> str:
    names = [str(scenario) for scenario in _scenarios(folder)] if folder.is_dir() else []
    return f": load one of its scenarios, {', '.join(names)}" if names else ""


def read_tables(folder: Path) -> tuple[dict[str, pd.DataFrame], dict[str, Any]]:
    """Read what `write_tables` wrote: the tables that are there, and the manifest.

    Raises
    ------
    InputError
        Where there is no manifest, a table is missing or damaged, or another version wrote it.
    """
    import pandas as pd

    manifest = read_manifest(folder)
    tables = {}
    for name in _TABLES:
        file = folder / f"{name}.parquet"
        if file.exists():
            try:
                tables[name] = pd.read_parquet(file)
            except PermissionError:
                raise
            except (ValueError, OSError) as error:  # Arrow's errors are such too
                raise InputError(f"{folder} is damaged: {file.name} cannot be read: {REMEDY}") from error
        elif name != "choices":
            raise InputError(f"{folder} holds no whole results ({file.name} is missing): {REMEDY}")
    return tables, manifest
