"""Where traces are: those that come with splitee, by name, and files; and which of them is whose source."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from splitee._internal.errors import InputError
from splitee._internal.numbers import items
from splitee.data import BUNDLED as _BUNDLED
from splitee.trace.file import read_manifest


def bundled_traces() -> list[str]:
    """Names of the traces that come with splitee."""
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
    if file.is_dir():
        raise InputError(f"{file} is a folder, not a trace file")
    if file.exists():
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
        whole = not isinstance(entry, str) or Path(entry).exists()  # a file may have a comma in its name
        names += [entry] if whole else items(entry)
    return names


def find_source(manifest: Mapping[str, Any]) -> str | None:
    """Find the bundled trace of the data that the model of a trace was validated on.

    Only footers are read. The model is the same where the weights are (`splitee precompute` writes their
    SHA-256), or, where one of the two manifests has none (`splitee train` writes its own validation trace
    before there is a file of weights), where the record of the training is. The data are the validation data
    where their SHA-256 is that which the training recorded, whatever they are called, held-out rows and
    files included; else where the split is "validation" and the trace's name ends with ``_validation``: the
    validation split of another data set is a target.

    Parameters
    ----------
    manifest : mapping
        Of the target trace.

    Returns
    -------
    str or None
        The bundled name; None where there is none.
    """
    recorded = _told(manifest, "training", "validation", "sha256")
    named = None
    for name in bundled_traces():
        other = read_manifest(_BUNDLED / f"{name}.parquet")
        if same_model(manifest, other) is not True:
            continue
        if recorded is not None and _told(other, "data", "sha256") == recorded:
            return name
        if name.endswith("_validation") and _told(other, "data", "split") == "validation":
            named = named or name
    return named


def same_model(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool | None:
    """Tell whether two manifests are of one model; None where they do not tell."""
    for path in (("model", "sha256"), ("training",)):
        facts = _told(one, *path), _told(other, *path)
        if all(facts):
            return bool(facts[0] == facts[1])
    return None


def _told(facts: Any, *path: str) -> Any:
    """What a manifest tells under nested keys; None where it tells nothing, or puts a text there."""
    for key in path:
        facts = facts.get(key) if isinstance(facts, Mapping) else None
    return facts
