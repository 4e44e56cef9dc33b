"""Find traces by name or path, and the source trace that belongs to a target trace."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from splitee._internal.errors import InputError
from splitee.data import BUNDLED as _BUNDLED
from splitee.trace.file import read_manifest


def bundled_traces() -> list[str]:
    """Return the names of the traces that come with splitee, sorted."""
    return sorted(file.stem for file in _BUNDLED.glob("*.parquet"))


def find_trace(path: str | Path) -> Path:
    """Return the file that `path` names; a bundled name takes precedence over a file in the working folder.

    Raises
    ------
    InputError
        If `path` is a folder, or neither a file nor a bundled name.
    """
    bundled = bundled_traces()
    if str(path) in bundled:
        return _BUNDLED / f"{path}.parquet"
    file = Path(path)
    if file.is_dir():
        raise InputError(f"{file} is a folder: give a trace file in it")
    if file.exists():
        return file
    near = difflib.get_close_matches(file.stem, bundled, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise InputError(f"{path}: no such file, nor a bundled trace ({', '.join(bundled) or 'none'}){hint}")


def find_source(manifest: Mapping[str, Any]) -> str | None:
    """Find the bundled validation trace of the model that made a trace (its source-domain trace).

    Only file footers are read.

    Two manifests are of the same model if their weights have the same SHA-256 (written by
    `splitee precompute`). If one of them has no such hash, their training records are compared instead
    (`splitee train` writes its validation trace before a weights file exists).

    A bundled trace is accepted if the SHA-256 of its data equals the hash of the validation data in the
    training record, whatever the data are called. Otherwise it is accepted if its split is "validation" and
    its name ends with ``_validation``; the validation split of another data set is a target, not a source.

    Parameters
    ----------
    manifest : mapping
        The manifest of the target trace.

    Returns
    -------
    str or None
        The bundled name, or None if no bundled trace fits.
    """
    recorded = _lookup(manifest, "training", "validation", "sha256")
    named = None
    for name in bundled_traces():
        other = read_manifest(_BUNDLED / f"{name}.parquet")
        if same_model(manifest, other) is not True:
            continue
        if recorded is not None and _lookup(other, "data", "sha256") == recorded:
            return name
        if name.endswith("_validation") and _lookup(other, "data", "split") == "validation":
            named = named or name
    return named


def same_model(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool | None:
    """Return whether two manifests are of the same model; None if they hold too little to decide."""
    for path in (("model", "sha256"), ("training",)):
        facts = _lookup(one, *path), _lookup(other, *path)
        if all(facts):
            return bool(facts[0] == facts[1])
    return None


def _lookup(facts: Any, *path: str) -> Any:
    """Return the value under nested keys of a manifest; None if a key is missing."""
    for key in path:
        facts = facts.get(key) if isinstance(facts, Mapping) else None
    return facts
