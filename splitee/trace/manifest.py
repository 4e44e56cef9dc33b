"""The manifest of a trace: the producer's facts about it, of which splitee reads a few."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from splitee._internal.errors import InputError

SCHEMA = 1
# facts that the trace computes itself; a producer's values under these names are dropped
OWN = ("schema", "name", "classes", "layers", "samples", "confidence", "fingerprint")


def check_own(manifest: Mapping[str, Any]) -> None:
    """Raise InputError if a fact that the trace computes itself is missing or of a wrong type.

    A file that is loaded is checked against its columns; this is for one whose footer alone is read.
    """
    for name, kind, least in _KINDS:
        value = manifest.get(name)
        if type(value) is not kind or (isinstance(value, int) and not least <= value < 2**40):
            raise InputError(f"its manifest says {name} = {value!r:.60}: it is damaged")


_KINDS: tuple[tuple[str, type, int], ...] = (
    ("name", str, 0),
    ("fingerprint", str, 0),
    ("classes", int, 2),
    ("layers", int, 1),
    ("samples", int, 1),
)


def producer_facts(manifest: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the producer's part of a manifest as a JSON copy (tuples become lists).

    Raises
    ------
    InputError
        If something in it cannot be written as JSON.
    """
    if manifest is not None and not isinstance(manifest, Mapping):
        raise InputError(f"manifest must be a mapping, not {type(manifest).__name__}")
    facts = {key: value for key, value in (manifest or {}).items() if key not in OWN}
    try:
        copy: dict[str, Any] = json.loads(json.dumps(facts, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"manifest must hold only JSON values: {error}") from error
    return copy


def class_names(facts: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Return `class_names`, distinct texts, or None if the manifest has none."""
    names = facts.get("class_names")
    if names is None:
        return None
    if not _is_list_of(names, str) or len(set(names)) != len(names):
        raise InputError(f"manifest: class_names must be a list of distinct texts, not {names!r}")
    return tuple(names)


def exit_layers(facts: Mapping[str, Any], layers: int) -> tuple[int, ...]:
    """Return `exit_layers`, the backbone layer (from 1) of each exit. Default: 1..layers."""
    given = facts.get("exit_layers")
    if given is None:
        return tuple(range(1, layers + 1))
    rising = _is_list_of(given, int) and all(a < b for a, b in zip([0, *given], given, strict=False))
    if not rising or len(given) != layers:
        raise InputError(f"manifest: exit_layers must be {layers} rising layer numbers from 1, not {given!r}")
    return tuple(given)


def recommended_threshold(facts: Mapping[str, Any]) -> float | None:
    """Return the `value` of `recommended_threshold`, in 0..1, or None if there is none."""
    recommended = facts.get("recommended_threshold")
    if recommended is None:
        return None
    value = recommended.get("value") if isinstance(recommended, dict) else None
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 1:
        raise InputError(
            "manifest: recommended_threshold must be {'value': a number in 0..1, 'rule': how it was chosen},"
            f" not {recommended!r}"
        )
    return float(value)


def _is_list_of(values: Any, kind: type) -> bool:
    return isinstance(values, list) and all(type(value) is kind for value in values)
