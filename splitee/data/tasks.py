"""Named data sets: text columns, label names and where the rows come from.

A task is read from local files, ``ROOT/NAME/SPLIT.parquet`` (or another table), if a root is given
(``--data-root`` or the environment variable ``SPLITEE_DATA_ROOT``), otherwise from the Hugging Face hub.
Column names and label order are those of the hub, so one definition serves both. ELUE's own folders
(``ROOT/SciTail/dev.tsv``) are read as well; see `splitee.data.elue_files`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from splitee._internal.errors import InputError, suggest
from splitee.data.elue_files import elue_file, read_elue
from splitee.data.rows import (
    Rows,
    check_learnable,
    hold_out,
    join,
    load_file,
    map_labels,
    rows_from_table,
)
from splitee.data.tables import Table, naming, read_table

__all__ = [
    "DATA_ROOT_VARIABLE",
    "PAIRS",
    "TASKS",
    "Pair",
    "Rows",
    "Task",
    "check_learnable",
    "get_task",
    "hold_out",
    "load_file",
    "load_task",
    "map_labels",
    "rows_from_table",
]

DATA_ROOT_VARIABLE = "SPLITEE_DATA_ROOT"
NO_LABELS = ("-1",)  # the hub's mark of rows without a label
_SUFFIXES = (".parquet", ".csv", ".tsv", ".jsonl", ".json")
_STEMS = {"validation": ("validation", "dev")}  # GLUE's own name of the file


@dataclass(frozen=True)
class Task:
    """A labelled data set: its text columns, its label column and the label names in order.

    A regression task has a `score_range` instead of label names; scores outside of it count as missing.
    """

    name: str
    text: tuple[str, ...]
    label_names: tuple[str, ...]
    label: str = "label"
    hub: str | None = None
    hub_config: str | None = None
    folder: str | None = None  # below the data root; default: the name
    hub_splits: Mapping[str, str] = field(default_factory=dict)  # hub names of splits that differ
    score_range: tuple[float, float] | None = None
    whole_train: bool = False  # drop training rows whose text is part of another row's (SST-2 has phrases)


_SENTIMENT = ("negative", "positive")
_NLI = ("entailment", "neutral", "contradiction")
_RTE = ("entailment", "not_entailment")
_GLUE = "nyu-mll/glue"

TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task("sst2", ("sentence",), _SENTIMENT, hub=_GLUE, hub_config="sst2"),
        # the whole sentences among SST-2's phrases: closest to the 8,544 sentences of ELUE's SST-2
        Task(
            "sst2_sentences",
            ("sentence",),
            _SENTIMENT,
            hub=_GLUE,
            hub_config="sst2",
            folder="sst2",
            whole_train=True,
        ),
        Task("imdb", ("text",), _SENTIMENT, hub="stanfordnlp/imdb"),
        Task("yelp_sentences", ("text",), _SENTIMENT),
        Task("yelp_reviews", ("text",), _SENTIMENT, hub="fancyzhx/yelp_polarity"),
        Task(
            "rte",
            ("sentence1", "sentence2"),
            _RTE,
            hub=_GLUE,
            hub_config="rte",
        ),
        Task(
            "scitail",
            ("premise", "hypothesis"),
            ("entails", "neutral"),
            hub="allenai/scitail",
            hub_config="tsv_format",
        ),
        Task(
            "mrpc",
            ("sentence1", "sentence2"),
            ("not_equivalent", "equivalent"),
            hub=_GLUE,
            hub_config="mrpc",
        ),
        Task(
            "qqp",
            ("question1", "question2"),
            ("not_duplicate", "duplicate"),
            hub=_GLUE,
            hub_config="qqp",
        ),
        Task(
            "mnli",
            ("premise", "hypothesis"),
            _NLI,
            hub=_GLUE,
            hub_config="mnli",
            hub_splits={"validation": "validation_matched", "test": "test_matched"},
        ),
        Task(
            "mnli_mm",
            ("premise", "hypothesis"),
            _NLI,
            hub=_GLUE,
            hub_config="mnli",
            hub_splits={"validation": "validation_mismatched", "test": "test_mismatched"},
        ),
        Task("cola", ("sentence",), ("unacceptable", "acceptable"), hub=_GLUE, hub_config="cola"),
        Task("qnli", ("question", "sentence"), _RTE, hub=_GLUE, hub_config="qnli"),
        Task("snli", ("premise", "hypothesis"), _NLI, hub="stanfordnlp/snli"),
        Task("stsb", ("sentence1", "sentence2"), (), hub=_GLUE, hub_config="stsb", score_range=(0, 5)),
    )
}


@dataclass(frozen=True)
class Pair:
    """A source domain for fine-tuning and an unlabelled target stream (SplitEE, section 5)."""

    source: str
    target: str
    label_map: Mapping[str, str] = field(default_factory=dict)  # target label name to source label name


PAIRS: dict[str, Pair] = {
    pair.target: pair
    for pair in (
        Pair("sst2_sentences", "imdb"),
        Pair("sst2_sentences", "yelp_sentences"),
        Pair("rte", "scitail", {"entails": "entailment", "neutral": "not_entailment"}),
        Pair("mrpc", "qqp", {"not_duplicate": "not_equivalent", "duplicate": "equivalent"}),
        Pair("mnli", "snli"),
    )
}


def get_task(name: str) -> Task:
    """Return the task called `name`.

    Raises
    ------
    InputError
        If there is no such task; the message suggests the closest name.

    Examples
    --------
    >>> get_task("sst2").label_names
    ('negative', 'positive')
    """
    if name not in TASKS:
        raise InputError(f"no task is called {name!r}: {suggest(name, TASKS)}")
    return TASKS[name]


def load_task(name: str, split: str, data_root: str | Path | None = None) -> Rows:
    """Load one split of a named task.

    Parameters
    ----------
    name : str
        One of `TASKS`.
    split : str
        "train", "validation", "test", or another file name; "validation+test" concatenates both, with ids
        such as "test/0".
    data_root : path, optional
        Folder of local files. Default: the environment variable ``SPLITEE_DATA_ROOT``. Without either, the
        rows come from the Hugging Face hub.

    Raises
    ------
    InputError
        If the task or split does not exist, or its rows cannot be read.
    """
    task = get_task(name)
    identity: dict[str, object]
    if "+" in split:
        parts = split.split("+")
        if len(set(parts)) < len(parts) or not all(parts):
            raise InputError(f"split {split!r}: name each part once, such as validation+test")
        joined = join({part: load_task(name, part, data_root) for part in parts})
        identity = {k: v for k, v in joined.identity.items() if k != "sha256"} | {"split": split}
        return replace(joined, identity=identity | {"sha256": joined.fingerprint})
    data_root = data_root or os.environ.get(DATA_ROOT_VARIABLE)
    if data_root and (file := elue_file(Path(data_root), name, split)):
        args = task.text, task.label_names, task.score_range, f"{name}/{split}"
        rows = read_elue(file, name, *args)
        identity = {"task": name, "split": split, "source": "ELUE", "sha256": rows.fingerprint}
        return replace(rows, identity=identity)
    if data_root:
        path = _local_file(Path(data_root), task, split)
        with naming(path):
            table = read_table(path)
        where = str(path)
        identity = {"source": "file"}
    elif task.hub:
        table, identity = _read_hub(task, split)
        where = f"{task.hub} {task.hub_config or ''}".strip()
    else:
        raise InputError(
            f"task {name} is not on the hub: give --data-root (or {DATA_ROOT_VARIABLE}), "
            f"the folder that holds {task.folder or name}/{split}.parquet"
        )
    names, scores = task.label_names or None, task.score_range
    rows = rows_from_table(table, where, task.text, task.label, names, f"{name}/{split}", scores, NO_LABELS)
    if task.whole_train and split == "train":
        rows = rows.take(_whole(rows.text[0]))
    return replace(rows, identity={"task": name, "split": split, **identity, "sha256": rows.fingerprint})


def _local_file(root: Path, task: Task, split: str) -> Path:
    folder = root / (task.folder or task.name)
    for stem in _STEMS.get(split, (split,)):
        for suffix in _SUFFIXES:
            if (path := folder / f"{stem}{suffix}").exists():
                return path
    present = sorted(path.name for path in folder.glob("*")) if folder.is_dir() else []
    has = f"it has {', '.join(present)}" if present else "there is no such folder or it is empty"
    raise InputError(f"{folder}: no {split}.parquet, .csv, .tsv, .jsonl or .json; {has}")


def _read_hub(task: Task, split: str) -> tuple[Table, dict[str, object]]:
    try:
        import datasets
    except ImportError as error:
        raise InputError(
            f"reading {task.hub} from the hub needs datasets: pip install 'splitee[models]', "
            "or give --data-root to read local files"
        ) from error
    hub_split = task.hub_splits.get(split, split)
    try:
        data = datasets.load_dataset(task.hub, task.hub_config, split=hub_split)
    except (OSError, ValueError) as error:  # hub unreachable, or no such split
        raise InputError(
            f"{task.hub} {hub_split} could not be loaded from the hub "
            f"({' '.join(str(error).split())[:200]}): give --data-root to read local files"
        ) from error
    return read_table(data.to_pandas()), {"source": "hub", "hub": task.hub, "config": task.hub_config}


def _whole(texts: Sequence[str]) -> NDArray[np.int64]:
    """Return the rows whose text is not part of another row's text; of equal texts, the first."""
    stripped = [text.strip() for text in texts]
    first: dict[str, int] = {}
    for i, text in enumerate(stripped):
        first.setdefault(text, i)
    by_length = sorted(first, key=len)
    between = next(c for c in map(chr, range(0xE000, 0xF8FF)) if not any(c in text for text in by_length))
    joined = between.join(by_length)
    kept, start = [], 0
    for text in by_length:
        start += len(text) + 1
        if joined.find(text, start) < 0:  # only longer texts follow
            kept.append(first[text])
    return np.sort(np.array(kept, dtype=np.int64))
