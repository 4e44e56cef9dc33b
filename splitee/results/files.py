"""A folder of tables with a manifest: how results lie on disk.

The manifest holds the SHA-256 of every file, and its own; both are verified when results are loaded.
"""

from __future__ import annotations

import io
import json
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from splitee._internal.checksums import opened, sealed, sha256_of
from splitee._internal.errors import FileError, InputError
from splitee._internal.files import atomic_path, write_text
from splitee._internal.folders import new_folder
from splitee._internal.reading import read_bytes, read_json

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = 2  # 1: without checksums
MANIFEST = "manifest.json"
_ALSO_CSV = ("summary", "repeats")
_OPTIONAL = ("choices", "certificate")
_TABLES = ("summary", "repeats", "regret", "samples", *_OPTIONAL)
FILES = (MANIFEST, *(f"{name}.parquet" for name in _TABLES), *(f"{name}.csv" for name in _ALSO_CSV))
REMEDY = "run what wrote it again, with overwriting (--overwrite)"
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet computes if a text starts with it


def write_tables(
    folder: Path, tables: dict[str, pd.DataFrame], manifest: dict[str, Any], overwrite: bool
) -> None:
    """Write each table as Parquet, the small ones also as CSV, and the manifest, in one step.

    Other files in the folder stay.

    Raises
    ------
    FileExistsError
        If one of the files exists and `overwrite` is false; nothing is written then.
    """
    with new_folder(folder, own=FILES, overwrite=overwrite) as made:
        for name, table in tables.items():
            if name in _ALSO_CSV:
                write_text(made / f"{name}.csv", csv_text(table), durable=False)
            with atomic_path(made / f"{name}.parquet", durable=False) as temporary:
                table.to_parquet(temporary, index=False, compression="zstd")
        document = sealed({"schema": SCHEMA, **manifest, "files": sha256_of(made)})
        write_text(made / MANIFEST, json.dumps(document, indent=1) + "\n", durable=False)


def csv_text(table: pd.DataFrame) -> str:
    """Return a table as CSV; texts that a spreadsheet would take for a formula start with an apostrophe."""

    def plain(value: object) -> object:
        return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value

    texts = {str(name): table[name].map(plain) for name in table if table[name].dtype.kind not in "biufM"}
    return table.assign(**texts).rename(columns=plain).to_csv(index=False)


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read the manifest that `write_tables` wrote, without its schema and checksums.

    Raises
    ------
    InputError
        If there is none, it is damaged, or another version wrote it.
    """
    manifest = _manifest(folder)
    manifest.pop("files", None)
    return manifest


def _manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest without its schema, verified if it has checksums."""
    if not (folder / MANIFEST).is_file():
        raise InputError(f"{folder} holds no results ({MANIFEST} is missing){_hint(folder)}")
    try:
        manifest = dict(read_json(folder / MANIFEST))
    except FileError:
        raise
    except (ValueError, TypeError) as error:
        raise InputError(f"{folder / MANIFEST} is damaged: {REMEDY}") from error
    try:
        schema = manifest.get("schema")
        if type(schema) is not int or not 1 <= schema <= SCHEMA:
            raise InputError(
                f"{folder}: results of another schema ({schema!r:.40}); this splitee reads {SCHEMA}"
            )
        if schema > 1 or {"files", "sha256"} & manifest.keys():
            manifest = opened(manifest)
            if not isinstance(manifest["files"], dict):
                raise ValueError
    except (ValueError, TypeError, KeyError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{folder} is damaged: {MANIFEST} does not match its checksum: {REMEDY}") from error
    del manifest["schema"]
    return manifest


def results_folder(folder: Path) -> Path:
    """Return the folder of the results: `folder`, or its one scenario if `splitee run --out` wrote it."""
    if (folder / MANIFEST).is_file() or not (folder / "run.json").is_file():
        return folder
    scenarios = _scenarios(folder)
    return scenarios[0] if len(scenarios) == 1 else folder


def _scenarios(folder: Path) -> list[Path]:
    return sorted(file.parent for file in folder.glob(f"*/{MANIFEST}"))


def _hint(folder: Path) -> str:
    names = [str(scenario) for scenario in _scenarios(folder)] if folder.is_dir() else []
    return f": load one of its scenarios, {', '.join(names)}" if names else ""


def read_tables(folder: Path) -> tuple[dict[str, pd.DataFrame], dict[str, Any]]:
    """Read what `write_tables` wrote: the tables that are there, and the manifest without its checksums.

    Raises
    ------
    InputError
        If there is no manifest, a table is missing or damaged, or another version wrote it.
    """
    import pandas as pd

    manifest = _manifest(folder)
    written = manifest.pop("files", None)  # absent from results of schema 1
    tables = {}
    for name in _TABLES:
        file = folder / f"{name}.parquet"
        if not file.exists():
            if name not in _OPTIONAL or file.name in (written or ()):
                raise InputError(f"{folder} holds no whole results ({file.name} is missing): {REMEDY}")
            continue
        data = read_bytes(file)
        if written is not None and sha256(data).hexdigest() != written.get(file.name):
            raise InputError(f"{folder} is damaged: {file.name} does not match its checksum: {REMEDY}")
        try:
            tables[name] = pd.read_parquet(io.BytesIO(data))
        except (ValueError, OSError) as error:  # Arrow's errors are such too
            raise InputError(f"{folder} is damaged: {file.name} cannot be read: {REMEDY}") from error
    return tables, manifest
