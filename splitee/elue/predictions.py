r"""Predictions as files: the answers of a method under each of its settings, and their FLOPs.

Each method has a folder in the layout of ELUE's submissions: ``TASK_SETTING.tsv`` with the columns index,
prediction and, where they are known, modules (those that ran for the sample); and
``TASK_infer_exit_layer_SETTING.tsv`` with the columns index, exit_layer (1-based) and, in addition to
ELUE's, flops. ``method.json`` describes the method, and ``gold.tsv`` holds index and label. A submission for
unlabelled test files has no ``gold.tsv``. Folders of ELUE's authors have neither flops nor ``method.json``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from splitee._internal.checksums import check_files, write_fingerprints
from splitee._internal.errors import InputError
from splitee._internal.files import refuse_existing, write_text
from splitee._internal.folders import claimed_folder, put_in_place
from splitee._internal.reading import read_json
from splitee.data.tables import Reading, naming, read_table
from splitee.elue.metrics import ElueTask, get_task

if TYPE_CHECKING:
    import pandas as pd

Points = NDArray[np.float64]  # (k, 2): FLOPs and performance in per cent, in order of FLOPs

_METHOD, _GOLD = "method.json", "gold.tsv"
_SETTING = re.compile(r"[A-Za-z0-9.+-][A-Za-z0-9._+-]*")  # it becomes part of a file name


@dataclass(frozen=True)
class Setting:
    """Answers of a method under one setting.

    Attributes
    ----------
    prediction : ndarray, shape (n,)
        Classes, or scores for a regression task.
    exit_layer : ndarray of int, shape (n,)
        The layer (1-based) whose exit answered.
    flops : ndarray of float, shape (n,)
        FLOPs per sample, those in the cloud included; NaN where they are unknown.
    modules : sequence of str, optional
        For each sample, the modules that ran with the shapes of their inputs, from `modules_run`.
    """

    prediction: NDArray[Any]
    exit_layer: NDArray[np.int64]
    flops: NDArray[np.float64]
    modules: Sequence[str] | None = None


@dataclass(frozen=True)
class Method:
    """Answers of a method to one task.

    Attributes
    ----------
    name : str
        Name in tables; methods of one name with several seeds count as one method.
    task : str
        One of `splitee.elue.metrics.TASKS`.
    label : ndarray, shape (n,), or None
        The right answers; None for a submission.
    settings : mapping of str to Setting
        Keyed by names such as "confidence-0.9".
    facts : mapping
        Further facts, such as ``parameters`` (int), ``seed``, ``split``, ``model``, ``data``.
    """

    name: str
    task: str
    label: Any
    settings: Mapping[str, Setting]
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        about = get_task(self.task)
        if not self.settings:
            raise InputError(f"{self.name}: no predictions, give at least one setting")
        if about.regression and self.label is not None:
            # rounded as in traces, so that equal samples compare as equal
            label = np.asarray(self.label, dtype=np.float32).astype(np.float64)
            object.__setattr__(self, "label", label)
        for name, setting in self.settings.items():
            if not _SETTING.fullmatch(name):
                raise InputError(
                    f"setting {name!r}: use only letters, digits and . _ + -, because it names a file"
                )
            for column in ("prediction", "exit_layer", "flops"):
                if getattr(setting, column).shape != (len(self),):
                    raise InputError(
                        f"{self.name}, {name}: {len(getattr(setting, column))} values of {column} "
                        f"for {len(self)} samples"
                    )

    def __len__(self) -> int:
        known = next(iter(self.settings.values())).prediction if self.label is None else self.label
        return len(known)

    @property
    def right(self) -> NDArray[Any]:
        """The right answers; InputError if they are unknown."""
        if self.label is None:
            raise InputError(f"{self.name} on {self.task} has no {_GOLD}: a score needs the right answers")
        right: NDArray[Any] = self.label
        return right

    @property
    def about(self) -> ElueTask:
        """The task's metric and data."""
        return get_task(self.task)

    @property
    def parameters(self) -> int | None:
        """Number of parameters of the model, or None if it is unknown."""
        found = self.facts.get("parameters")
        return None if found is None else int(found)

    def points(self, rows: NDArray[np.int64] | None = None) -> Points:
        """Return (FLOPs, performance in per cent) of each setting, shape (settings, 2), in order of FLOPs.

        Parameters
        ----------
        rows : ndarray of int, optional
            Samples for the performance, which may repeat. Default: all. FLOPs are always means over all
            samples, so a resampled curve has the same FLOPs.
        """
        taken = slice(None) if rows is None else rows
        label = self.right[taken]
        for name, one in self.settings.items():
            if np.isnan(one.flops).any():
                raise InputError(
                    f"{self.name} on {self.task}, {name}: no FLOPs: give a reference with the column layers, "
                    "or the model with --flops-of MODEL"
                )
        found = [
            (float(one.flops.mean()), 100 * self.about.metric(one.prediction[taken], label))
            for one in self.settings.values()
        ]
        return np.array(sorted(found, key=lambda point: point[0]))  # stable for equal FLOPs


def write_method(method: Method, folder: str | Path, *, overwrite: bool = False) -> None:
    """Write a method's folder atomically.

    Raises
    ------
    FileExistsError
        If `folder` exists and `overwrite` is false.
    InputError
        If `folder` exists but holds no method.
    """
    folder = Path(folder)
    refuse_existing(folder, overwrite)
    if folder.exists() and not (folder / _METHOD).is_file():
        raise InputError(
            f"{folder} exists and holds no method, so it is not overwritten: choose another name"
        )
    with claimed_folder(folder) as work:
        final = work / "final"
        final.mkdir()
        for name, one in method.settings.items():
            columns: dict[str, Any] = {"prediction": one.prediction}
            columns |= {} if one.modules is None else {"modules": list(one.modules)}
            _write(final / f"{method.task}_{name}.tsv", **columns)
            known = {} if np.isnan(one.flops).any() else {"flops": one.flops}
            _write(final / _exits_file(method.task, name), exit_layer=one.exit_layer, **known)
        if method.label is not None:
            _write(final / _GOLD, label=method.label)
        record = {"name": method.name, "task": method.task, **method.facts}
        write_text(final / _METHOD, json.dumps(record, indent=1) + "\n")
        write_fingerprints(final)
        put_in_place(final, folder, work)


def read_method(folder: str | Path) -> Method:
    """Read a method's folder.

    Raises
    ------
    InputError
        If a file is missing or invalid, does not match its checksum (files of other programs have none), or
        files contradict each other; the message names the file.
    """
    folder = Path(folder)
    file = folder / _METHOD
    check_files(folder)
    try:
        facts = dict(read_json(file)) if file.is_file() else _named_by_files(folder)
        name, task = facts.pop("name"), facts.pop("task")
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise InputError(f"{file} is damaged: it needs a JSON object with name and task") from error
    size, seed = facts.get("parameters"), facts.get("seed")
    if not isinstance(name, str) or not isinstance(task, str):
        raise InputError(f"{file}: name and task must be texts")
    if size is not None and (type(size) is not int or size < 1):
        raise InputError(f"{file}: parameters is {size!r}: give a whole number above 0")
    if seed is not None and type(seed) is not int:
        raise InputError(f"{file}: seed is {seed!r}: give a whole number")
    about = get_task(task)
    gold = _read(folder / _GOLD, "label") if (folder / _GOLD).is_file() else None
    if gold is not None and not about.regression:
        _whole(gold["label"], folder / _GOLD)
    label = None if gold is None else gold["label"].to_numpy()
    prefix, settings = f"{task}_", {}
    for path in sorted(folder.glob(f"{prefix}*.tsv")):
        setting = path.stem.removeprefix(prefix)
        if setting.startswith("infer_exit_layer_"):
            continue
        answers = _read(path, "prediction", like=gold)
        beside = folder / _exits_file(task, setting)
        gold = answers if gold is None else gold
        exits = _read(beside, "exit_layer", like=gold)
        if not about.regression:
            _whole(answers["prediction"], path)
        _whole(exits["exit_layer"], beside, least=1)
        if "flops" in exits.columns:
            check_numbers(exits, beside, "flops")
            if (exits["flops"] <= 0).any():
                raise InputError(f"{beside}: flops must be above 0")
        settings[setting] = Setting(
            answers["prediction"].to_numpy(),
            exits["exit_layer"].to_numpy(dtype=np.int64),
            exits.get("flops", exits["exit_layer"] * np.nan).to_numpy(dtype=np.float64),
            answers["modules"].astype(str).tolist() if "modules" in answers.columns else None,
        )
    if not settings:
        raise InputError(f"{folder} holds no predictions ({prefix}SETTING.tsv)")
    return Method(name, task, label, settings, facts)


def read_methods(folders: Sequence[str | Path]) -> list[Method]:
    """Read every method in or below these folders; merge settings of the same method, task and seed.

    Raises
    ------
    InputError
        If there is no method, or parts of one method contradict each other.
    """
    found: dict[tuple[str, str, object], Method] = {}
    for folder in map(Path, folders):
        files = [*folder.rglob(_METHOD), *folder.rglob("*_infer_exit_layer_*.tsv")] if folder.is_dir() else []
        if not files:
            raise InputError(f"{folder}: no method of ELUE in or below it ({_METHOD})")
        for place in sorted({file.parent for file in files}):
            one = read_method(place)
            key = (one.name, one.task, one.facts.get("seed"))
            found[key] = _merged(found[key], one) if key in found else one
    return list(found.values())


def _merged(one: Method, other: Method) -> Method:
    twice = set(one.settings) & set(other.settings)
    if twice:
        raise InputError(
            f"{one.name} on {one.task} has the setting {min(twice)} twice: give each a seed or a name"
        )
    if (one.label is None) != (other.label is None) or (
        one.label is not None and not np.array_equal(one.label, other.right)
    ):
        raise InputError(
            f"{one.name} on {one.task}: its parts were scored on different samples: use the same"
        )
    sizes = [m.parameters for m in (one, other)]
    largest = {} if None in sizes else {"parameters": max(size for size in sizes if size is not None)}
    return Method(one.name, one.task, one.label, {**one.settings, **other.settings}, {**one.facts, **largest})


def _named_by_files(folder: Path) -> dict[str, Any]:
    """Return name and task of a folder without ``method.json``, as ELUE's authors write it."""
    found = {file.name.partition("_infer_exit_layer_")[0] for file in folder.glob("*_infer_exit_layer_*.tsv")}
    if len(found) != 1:
        has = f"it has files of {', '.join(sorted(found))}" if found else f"{_METHOD} is missing"
        raise InputError(f"{folder} holds no method of ELUE ({has})")
    return {"name": folder.resolve().name, "task": found.pop()}


def modules_run(tokens: int, width: int, layer: int, exits: Sequence[int]) -> str:
    """Return the modules that ran for a sample with the shapes of their inputs, in ELUE's notation.

    Parameters
    ----------
    tokens, width, layer : int
        Length of the text, hidden size, and the layer (1-based) that answered.
    exits : sequence of int
        The layers whose exits were evaluated.

    Examples
    --------
    >>> modules_run(10, 768, 2, [2])
    '(10),emb; (10,768),layer_1; (10,768),layer_2; (768),exit_2'
    """
    parts = [f"({tokens}),emb"]
    for at in range(1, layer + 1):
        parts.append(f"({tokens},{width}),layer_{at}")
        if at in exits:
            parts.append(f"({width}),exit_{at}")
    return "; ".join(parts)


def with_flops(method: Method, by_layer: Mapping[int, float]) -> Method:
    """Fill in unknown FLOPs of a method by the layer that answered.

    Raises
    ------
    InputError
        If a layer is missing in `by_layer`.
    """
    settings = {}
    for name, one in method.settings.items():
        unknown = np.isnan(one.flops)
        needed = sorted(set(one.exit_layer[unknown].tolist()))
        if lacking := [layer for layer in needed if layer not in by_layer]:
            raise InputError(
                f"{method.name} on {method.task}, {name}: answers of layer {lacking[0]}, but FLOPs are known "
                f"for layers {', '.join(map(str, sorted(by_layer)))}: give --flops-of MODEL"
            )
        flops = one.flops.copy()
        flops[unknown] = [by_layer[layer] for layer in one.exit_layer[unknown].tolist()]
        settings[name] = replace(one, flops=flops)
    return replace(method, settings=settings)


def _exits_file(task: str, setting: str) -> str:
    return f"{task}_infer_exit_layer_{setting}.tsv"


def _write(path: Path, **columns: NDArray[Any]) -> None:
    import pandas as pd

    frame = pd.DataFrame(columns)
    frame.insert(0, "index", np.arange(len(frame)))
    write_text(path, frame.to_csv(sep="\t", index=False))


def _read(path: Path, *columns: str, like: pd.DataFrame | None = None) -> pd.DataFrame:
    with naming(path):
        frame = read_table(path, Reading(sep="\t")).to_pandas()
    check_numbers(frame, path, "index", *columns)
    if like is not None and not np.array_equal(frame["index"], like["index"]):
        raise InputError(f"{path}: its indices differ from those of {_GOLD}: use the same samples")
    return frame


def check_numbers(frame: pd.DataFrame, path: Path, *columns: str) -> None:
    """Raise InputError unless a table has these columns and they hold finite numbers."""
    import pandas as pd

    for column in columns:
        if column not in frame.columns:
            present = ", ".join(map(str, frame.columns))
            raise InputError(f"{path} has no column {column!r}: its columns are {present}")
        numbers = pd.to_numeric(frame[column], errors="coerce").to_numpy(dtype=np.float64)
        if not np.isfinite(numbers).all():
            row = int((~np.isfinite(numbers)).argmax())
            raise InputError(f"{path}, row {row}: column {column!r} does not hold a number")


def _whole(column: pd.Series, path: Path, least: int = 0) -> None:
    """Raise InputError unless a column holds whole numbers of at least `least`."""
    if column.dtype.kind != "i" or (column < least).any():
        raise InputError(f"{path}: column {column.name!r} must hold whole numbers from {least} on")
