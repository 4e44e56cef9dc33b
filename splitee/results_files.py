"""Results as files: Parquet and CSV tables with a manifest that says what was replayed, and with what."""

from __future__ import annotations

import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from splitee.errors import InputError
from splitee.files import atomic_path, refuse_existing, write_text
from splitee.policies.base import as_dict
from splitee.results import METRICS, REFERENCE, Curve, Result, Results

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = 1
_MANIFEST = "manifest.json"
_FILES = (
    _MANIFEST,
    "summary.csv",
    "summary.parquet",
    "repeats.csv",
    "repeats.parquet",
    "regret.parquet",
    "samples.parquet",
    "choices.parquet",
)


def save_results(
    results: Results, folder: str | Path, *, choices: bool = False, overwrite: bool = False
) -> None:
    """Write tables (Parquet, the small ones also CSV) and a manifest to a folder.

    ``summary`` (both intervals), ``repeats``, ``regret``, ``samples`` (sums over repeats, by sample id) and,
    where `choices` is true, ``choices`` (every one, with its sample id).

    Raises
    ------
    FileExistsError
        Where the folder holds a file of one of these names and `overwrite` is false; nothing is written then.
    """
    import pandas as pd

    folder = Path(folder)
    for name in _FILES:
        refuse_existing(folder / name, overwrite)
    summary = pd.concat([results.summary("data"), results.summary("run")], ignore_index=True)
    for name, table in {"summary": summary, "repeats": results.repeats()}.items():
        write_text(folder / f"{name}.csv", table.to_csv(index=False), overwrite=True)
        _write_parquet(folder / f"{name}.parquet", table)
    _write_parquet(folder / "regret.parquet", results.curves())
    _write_parquet(folder / "samples.parquet", results.by_sample())
    if choices:
        tables = [result.choices().assign(policy=name) for name, result in results.items()]
        _write_parquet(folder / "choices.parquet", pd.concat(tables, ignore_index=True))
    else:
        (folder / "choices.parquet").unlink(missing_ok=True)  # those of what is being replaced
    manifest = {
        "schema": SCHEMA,
        **results.facts,
        "policies": {name: _described(result) for name, result in results.members.items()},
        "libraries": {n: version(n) for n in ("splitee", "numpy", "numba", "pandas", "pyarrow", "scipy")}
        | {"python": platform.python_version()},
    }
    write_text(folder / _MANIFEST, json.dumps(manifest, indent=1) + "\n", overwrite=True)


def load_results(folder: str | Path) -> Results:
    """Read results that `save_results` wrote.

    Summaries, intervals, regret curves and, where they were saved, choices are as they were; what was not
    saved says so when it is asked for.

    Raises
    ------
    InputError
        Where the folder holds none, or those of another version.
    """
    import pandas as pd

    folder = Path(folder)
    if not (folder / _MANIFEST).is_file():
        raise InputError(f"{folder} holds no results ({_MANIFEST} is missing)")
    manifest: dict[str, Any] = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
    if manifest.get("schema") != SCHEMA:
        raise InputError(f"{folder}: results of schema {manifest.get('schema')}; this splitee reads {SCHEMA}")
    tables = {name: pd.read_parquet(folder / f"{name}.parquet") for name in ("repeats", "regret", "samples")}
    kept = folder / "choices.parquet"
    choices = pd.read_parquet(kept) if kept.exists() else None
    described: dict[str, dict[str, Any]] = manifest.pop("policies")
    members = {
        name: _member(name, facts, {k: _of(name, table) for k, table in tables.items()}, choices)
        for name, facts in described.items()
    }
    reference = members.pop(REFERENCE)
    facts = {key: value for key, value in manifest.items() if key not in ("schema", "libraries")}
    return Results(members, reference, facts, _of(REFERENCE, tables["samples"])["id"].to_numpy())


def _member(
    name: str, facts: dict[str, Any], tables: dict[str, pd.DataFrame], choices: pd.DataFrame | None
) -> Result:
    repeats, regret, samples = tables["repeats"], tables["regret"], tables["samples"]
    count = len(repeats)
    return Result(
        name=name,
        policy=facts,
        totals=repeats[list(METRICS)].to_numpy(),
        per_sample=samples[list(METRICS)].to_numpy(),
        shown=samples["shown"].to_numpy(),
        settled=repeats["layer"].to_numpy(dtype=np.int16),
        curve=Curve(
            regret["t"].unique(),
            regret["common"].to_numpy().reshape(count, -1),
            regret["own"].to_numpy().reshape(count, -1),
        ),
        on_device=bool(facts["on_device"]),
        saved_choices=None if choices is None or name == REFERENCE else _of(name, choices),
    )


def _of(name: str, table: pd.DataFrame) -> pd.DataFrame:
    return table[table["policy"] == name].drop(columns="policy").reset_index(drop=True)


def _described(result: Result) -> dict[str, Any]:
    facts = result.policy if isinstance(result.policy, dict) else as_dict(result.policy)
    return facts | {"on_device": result.on_device, "sees_final": result.sees_final}


def _write_parquet(path: Path, table: pd.DataFrame) -> None:
    with atomic_path(path, overwrite=True) as temporary:
        table.to_parquet(temporary, index=False, compression="zstd")
