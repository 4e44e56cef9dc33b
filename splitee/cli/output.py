"""The folder of `splitee run --out`: a folder per scenario, summary.csv and run.json, written in one step."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from splitee._internal.checksums import FINGERPRINTS, read_fingerprints, write_fingerprints
from splitee._internal.errors import InputError
from splitee._internal.files import write_text
from splitee._internal.folders import new_folder
from splitee.cli.meter import say

if TYPE_CHECKING:
    from splitee.results.results import Results

NOTE = "run.json"
_REPORT = "report.html"  # of `splitee report`, made from the results that are replaced
_TOP = (NOTE, FINGERPRINTS, "summary.csv", _REPORT)
_SUFFIXES = (".parquet", ".csv", ".json", ".png", ".pdf")
_NOT_IN_SUMMARY = ("system", "interval", "max_drop", "policy", "preset", "source")  # and what the tables have
_IN_TABLES = ("policies", "remarks", "by_group", "by_class", "repeats", "samples")


@contextmanager
def scenario_folders(out: Path, names: Sequence[str], overwrite: bool) -> Iterator[Path]:
    """Yield an empty folder that takes the place of all that an earlier run wrote to `out`.

    Raises
    ------
    FileExistsError
        If there is something of this kind in `out`, and `overwrite` is false.
    InputError
        If files that `splitee run` did not write would be lost, or another run writes to `out`.
    """
    written = _written(out)
    old = {file.parts[0] for file in written if len(file.parts) > 1}
    for folder in sorted({*old, *names}):
        foreign = next((file for file in _files(out, folder) if file not in written), None)
        if foreign is not None and overwrite:
            raise InputError(
                f"{out / foreign} was not written by splitee run, and would be lost: move it, "
                "or choose another --out"
            )
    outdated = (out / _REPORT).exists()
    with new_folder(out, own={*_TOP, *old, *names}, overwrite=overwrite) as made:
        yield made
    if outdated:
        say(f"removed {out / _REPORT}, which showed the old results: run splitee report {out} again")


def _files(out: Path, folder: str) -> list[Path]:
    return sorted(file.relative_to(out) for file in (out / folder).rglob("*") if not file.is_dir())


def _written(out: Path) -> set[Path]:
    """Return the files of scenarios that an earlier run wrote to `out`."""
    try:
        noted = read_fingerprints(out)
    except InputError:
        noted = None
    if noted is not None:
        return {Path(name) for name in noted}
    # damaged, or from before there were fingerprints
    folders = [file.parent.name for file in out.glob("*/manifest.json")]
    return {file for folder in folders for file in _files(out, folder) if file.suffix in _SUFFIXES}


def write_scenarios(
    folder: Path,
    names: Sequence[str],
    results: Sequence[Results],
    choices: bool,
    document: Sequence[Mapping[str, Any]],
) -> None:
    """Write results and figures of each scenario, and what all have in common."""
    import pandas as pd

    from splitee.report.figures.curves import save_figures
    from splitee.results.files import csv_text

    tables = []
    for name, one, described in zip(names, results, document, strict=True):
        one.save(folder / name, choices=choices)
        save_figures(one, folder / name)
        facts = {k: v for k, v in described.items() if k not in (*_IN_TABLES, *_NOT_IN_SUMMARY)}
        both = pd.concat([one.summary("data"), one.summary("run")], ignore_index=True)
        tables.append(pd.concat([pd.DataFrame([facts] * len(both)), both], axis=1))
    write_text(folder / "summary.csv", csv_text(pd.concat(tables, ignore_index=True)))
    write_text(folder / NOTE, json.dumps({"scenarios": list(document)}, indent=1) + "\n")
    write_fingerprints(folder)
