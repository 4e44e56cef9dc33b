"""The manifest of a trace: what its producer tells about it, and the few facts that splitee reads back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from splitee._internal.errors import InputError

SCHEMA = 1
# what a trace says about itself; whatever a producer passes under these names gives way to it
OWN = ("schema", "name", "classes", "layers", "samples", "confidence", "fingerprint")


def producer_facts(manifest: Mapping[str, Any] | None) -> dict[str, Any]:
    """Give the producer's part of a manifest, as JSON has it (tuples become lists), in a copy.

    Raises
    ------
    InputError
        Where something in it is not JSON.
    """
    if manifest is not None and not isinstance(manifest, Mapping):
        raise InputError(f"manifest must be a mapping, not {type(manifest).__name__}")
    facts = {key: value for key, value in (manifest or {}).items() if key not in OWN}
    try:
        copy: dict[str, Any] = json.loads(json.dumps(facts, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise InputError(f"manifest must hold only what JSON can: {error}") from error
    return copy


def class_names(facts: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Give `class_names`, distinct texts, or None where there are none."""
    names = facts.get("class_names")
    if names is None:
        return None
    if not _is_list_of(names, str) or len(set(names)) != len(names):
        raise InputError(f"manifest: class_names must be a list of distinct texts, not {names!r}")
    return tuple(names)


def exit_layers(facts: Mapping[str, Any], layers: int) -> tuple[int, ...]:
    """Give `exit_layers`, the backbone layer (from 1) each exit sits at; 1..layers where it is not said."""
    given = facts.get("exit_layers")
    if given is None:
        return tuple(range(1, layers + 1))
    rising = _is_list_of(given, int) and all(a < b for a, b in zip([0, *given], given, strict=False))
    if not rising or len(given) != layers:
        raise InputError(f"manifest: exit_layers must be {layers} rising layer numbers from 1, not {given!r}")
    return tuple(given)


def recommended_threshold(facts: Mapping[str, Any]) -> float | None:
    """Give the `value` of `recommended_threshold`, in 0..1, or None where none is recommended."""
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
