"""What `splitee plan` found: the system, and the rule by its name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from splitee._internal.errors import InputError
from splitee._internal.reading import read_json
from splitee.policies.fixed import CloudOnly
from splitee.runtime.setting import system_of

_MOST = 2**26  # bytes
_KINDS = {"exit": "exit", "split": "split", "cascade split": "cascade-split"}  # in tables: as a name


def planned(file: str | Path) -> tuple[dict[str, Any], str, float | None]:
    """Return the system, the name of the policy, and α if it has one.

    Parameters
    ----------
    file : path
        What `splitee plan --json` printed, or ``plan.json`` of its `--out`.

    Raises
    ------
    InputError
        If it is no plan, or one without an answer.
    """
    found = read_json(file, _MOST)
    if not isinstance(found, dict) or not isinstance(found.get("system"), dict) or "answer" not in found:
        raise InputError(f"{file} is no plan: splitee plan --json writes one")
    answer = found["answer"]
    if answer is None:
        raise InputError(f"{file} has no answer: no rule keeps its limits; plan with others")
    try:
        label, layer, alpha = str(answer["policy"]), int(answer["layer"]), answer["threshold"]
        name = label if label == CloudOnly.name else f"{_KINDS[label.rpartition(' ')[0]]}:{layer}"
        threshold = None if alpha is None else float(alpha)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{file} is damaged: its answer names no rule ({error})") from error
    return system_of(found["system"]).to_dict(), name, threshold
