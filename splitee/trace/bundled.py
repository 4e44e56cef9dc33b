"""Bundled traces by name, trace files, and the bundled validation trace of a model."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from splitee._internal.errors import InputError
from splitee._internal.numbers import items
from splitee._internal.reading import exists
from splitee.data import BUNDLED as _BUNDLED
from splitee.trace.file import read_manifest


def bundled_traces() -> list[str]:
    """Return the names of the bundled traces."""
    return sorted(file.stem for file in _BUNDLED.glob("*.parquet"))


def find_trace(path: str | Path) -> Path:
    """Return the file that `path` names; a bundled name takes precedence over a file of that name.

    Raises
    ------
    InputError
        If there is neither; the line suggests the nearest bundled name.
    """
    bundled = bundled_traces()
    if not isinstance(path, str | os.PathLike):
        raise InputError(f"trace is {path!r}: give a file or a bundled name ({', '.join(bundled)})")
    if str(path) in bundled:
        return _BUNDLED / f"{path}.parquet"
    file = Path(path)
    if exists(file) and file.is_dir():
        raise InputError(f"{file} is a folder, not a trace file")
    if exists(file):
        return file
    near = difflib.get_close_matches(file.stem, bundled, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise InputError(f"{path}: no such file, nor a bundled trace ({', '.join(bundled) or 'none'}){hint}")


def trace_names(given: str | Iterable[str]) -> list[str]:
    """Return the names in a list of traces, or in a text with commas.

    Examples
    --------
    >>> trace_names("imdb,scitail"), trace_names(["imdb", "yelp_sentences, scitail"])
    (['imdb', 'scitail'], ['imdb', 'yelp_sentences', 'scitail'])
    """
    names: list[str] = []
    for entry in [given] if isinstance(given, str) else given:
        whole = not isinstance(entry, str) or exists(entry)  # a file may have a comma in its name
        names += [entry] if whole else items(entry)
    return names


def find_source(manifest: Mapping[str, Any]) -> str | None:
    """Return the name of the bundled validation trace of a trace's model.

    Only footers are read. Two traces have the same model if the SHA-256 of the weights is equal
    (`splitee precompute` writes it), or, if one manifest lacks it, the record of the training
    (`splitee train` writes its validation trace before the weights). A trace is the validation trace if
    the SHA-256 of its data is the one that the training recorded. Otherwise its split must be "validation"
    and its name end with ``_validation``; other validation splits are targets.

    Parameters
    ----------
    manifest : mapping
        The manifest of the target trace.

    Returns
    -------
    str or None
        The bundled name, or None.
    """
    recorded = _fact(manifest, "training", "validation", "sha256")
    named = None
    for name in bundled_traces():
        other = read_manifest(_BUNDLED / f"{name}.parquet")
        if same_model(manifest, other) is not True:
            continue
        if recorded is not None and _fact(other, "data", "sha256") == recorded:
            return name
        if name.endswith("_validation") and _fact(other, "data", "split") == "validation":
            named = named or name
    return named


def same_model(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool | None:
    """Return whether two manifests are of one model; None if they do not say."""
    for path in (("model", "sha256"), ("training",)):
        facts = _fact(one, *path), _fact(other, *path)
        if all(facts):
            return bool(facts[0] == facts[1])
    return None


def _fact(facts: Any, *path: str) -> Any:
    """Return the value under nested keys of a manifest; None if there is none."""
    for key in path:
        facts = facts.get(key) if isinstance(facts, Mapping) else None
    return facts
