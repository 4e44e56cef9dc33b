"""Find multi-exit checkpoints, and read their configuration and size without loading the weights."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from splitee._internal.checksums import FINGERPRINTS, check_files, read_fingerprints
from splitee._internal.errors import InputError
from splitee._internal.files import real_path, refuse_existing, refuse_no_folder
from splitee._internal.leftovers import is_fixed
from splitee._internal.reading import open_regular, parse_json, read_json
from splitee.data import BUNDLED as _DATA

MOST_CONFIG = 2**24  # bytes of JSON
MODEL_TYPE = "splitee_multi_exit"
STAGED_TYPE = "splitee_staged"
BUNDLED = "sst2_slender"  # the checkpoint that comes with splitee


def find_checkpoint(path: str | Path) -> Path:
    """Return the folder that `path` names; the bundled name takes precedence over a folder of that name."""
    return _DATA / BUNDLED if str(path) == BUNDLED else Path(path)


def check_out(out: Path, overwrite: bool) -> None:
    """Raise an error if a new checkpoint may not be written to `out`.

    Raises
    ------
    FileExistsError
        If `out` exists and may not be replaced.
    InputError
        If `out` may be replaced but is not a checkpoint.
    """
    refuse_no_folder(out)
    refuse_existing(out, overwrite)
    if not out.exists():
        return
    if not (out / "config.json").is_file():
        raise InputError(
            f"{out} exists and is not a checkpoint, so it is not overwritten: choose another name"
        )
    if is_fixed(real_path(out)):
        raise InputError(f"{out} is the current folder or a mount point: choose another --out")
    written = read_fingerprints(out)  # None: from before there were fingerprints
    found = {file.relative_to(out).as_posix() for file in out.rglob("*") if not file.is_dir()}
    if written is not None and (foreign := found - {*written, FINGERPRINTS, "validation.parquet"}):
        raise InputError(
            f"{out / min(foreign)} was not written by splitee, and would be lost: move it, "
            "or choose another --out"
        )


def read_config(folder: str | Path) -> dict[str, Any]:
    """Read the configuration of a multi-exit checkpoint.

    Raises
    ------
    InputError
        If the folder holds no multi-exit checkpoint, or its configuration is damaged.
    """
    file = find_checkpoint(folder) / "config.json"
    if not file.is_file():
        raise InputError(f"{folder}: no checkpoint there (config.json is missing)")
    check_files(find_checkpoint(folder), "config.json")
    config = read_json(file, MOST_CONFIG)
    kind = config.get("model_type") if isinstance(config, dict) else None
    if kind not in (MODEL_TYPE, STAGED_TYPE):
        raise InputError(
            f"{folder} is a checkpoint without exits (type {kind!r}): add exits with "
            f"splitee train --backbone {folder}"
        )
    if not isinstance(config.get("backbone"), dict):
        raise InputError(f"{file} is damaged: it names no backbone")
    check_values(config, file)
    return config  # type: ignore[no-any-return]


def check_values(config: dict[str, Any], file: Path) -> None:
    """Raise InputError if a configuration has a value of a wrong type, or one that would take all memory."""
    for key, (fits, wanted) in _VALUES.items():
        if key in config and not fits(config[key]):
            raise InputError(f"{file} is damaged: {key} is {_short(config[key])}, not {wanted}")
    classes = config.get("id2label")
    if isinstance(classes, dict) and sorted(classes) != sorted(map(str, range(len(classes)))):
        raise InputError(f"{file} is damaged: id2label does not name the classes 0, 1, …")
    check_sizes(config, file)


def check_sizes(config: Any, file: Path) -> None:
    """Raise InputError if a configuration, also of a backbone, has a number that would take all memory."""
    for key, value in _leaves(config):
        if isinstance(value, int) and abs(value) > _MOST.get(key, 2**31):
            raise InputError(
                f"{file} is damaged: {key} is {_short(value)}: at most {_MOST.get(key, 2**31):,}"
            )


def _leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner, key)
    else:
        yield key, value


def _short(value: Any) -> str:
    return "beyond 2**63" if type(value) is int and abs(value) > 2**63 else f"{value!r:.60}"


def _is_whole(value: Any, least: int = 1) -> bool:
    return type(value) is int and value >= least


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < math.inf


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _are_exits(value: Any) -> bool:
    return (
        isinstance(value, list)
        and 0 < len(value) <= _MOST["num_hidden_layers"]
        and all(map(_is_whole, value))
        and all(a < b for a, b in itertools.pairwise(value))
    )


_MOST = dict.fromkeys(("num_hidden_layers", "n_layers", "n_layer", "num_layers"), 1000) | {
    "num_labels": 2**20,
    "max_tokens": 2**20,
    "exits": 1000,
    "image_size": 4096,
    "exit_states": 1001,
}
_Fits = Callable[[Any], bool]
_VALUES: dict[str, tuple[_Fits, str]] = {  # keys of MultiExitConfig: what fits, in code and in words
    "exits": (lambda v: v is None or _are_exits(v), "a list of rising layer numbers"),
    "pooling": (lambda v: isinstance(v, str) or _are_texts(v), "a text, or one per exit"),
    "exit_dropout": (lambda v: _is_number(v) and 0 <= v < 1, "a number from 0 to 1"),
    "exit_dense": (lambda v: isinstance(v, bool), "true or false"),
    "gradient_equilibrium": (lambda v: isinstance(v, bool), "true or false"),
    "recommended_threshold": (lambda v: v is None or isinstance(v, dict), "a JSON object"),
    "training": (lambda v: v is None or isinstance(v, dict), "a JSON object"),
    "max_tokens": (_is_whole, "a whole number above 0"),
    "confidence": (lambda v: v in ("softmax", "learned"), "softmax or learned"),
    "exit_states": (_is_whole, "a whole number above 0"),
    "image_size": (_is_whole, "a whole number above 0"),
    "image_mean": (lambda v: isinstance(v, list) and all(map(_is_number, v)), "a list of numbers"),
    "image_std": (lambda v: isinstance(v, list) and all(map(_is_number, v)), "a list of numbers"),
    "exit_join": (lambda v: v in ("concat", "mean"), "concat or mean"),
    "num_labels": (_is_whole, "a whole number above 0"),
    "score_range": (
        lambda v: v is None or (isinstance(v, list) and len(v) == 2 and all(map(_is_number, v))),
        "two numbers",
    ),
    "id2label": (
        lambda v: v is None or (isinstance(v, dict) and all(isinstance(one, str) for one in v.values())),
        "a JSON object of class names",
    ),
    "label2id": (lambda v: v is None or isinstance(v, dict), "a JSON object of class names"),
}


def parameters_of(folder: str | Path) -> int:
    """Count the parameters of a checkpoint from the header of its model.safetensors.

    Raises
    ------
    InputError
        If the file is missing or damaged.
    """
    file = find_checkpoint(folder) / "model.safetensors"
    try:
        with open_regular(file, most=2**63) as handle:
            # eight bytes hold the length of the header, which is JSON
            length = int.from_bytes(handle.read(8), "little")
            header = parse_json(handle.read(min(length, MOST_CONFIG)))
        return sum(math.prod(one["shape"]) for name, one in header.items() if name != "__metadata__")
    except InputError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, MemoryError, OverflowError) as error:
        raise InputError(f"{file} is damaged: {' '.join(str(error).split())[:120]}") from error
