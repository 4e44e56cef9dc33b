"""ELUE's own data folders: tab-separated files with GLUE's or their own headers, and ELUE's label numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from splitee._internal.errors import InputError
from splitee.data.rows import Rows

# task of splitee: ELUE's folder, and the label names in the order of ELUE's numbers
FOLDERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "sst2_sentences": ("SST-2", ("negative", "positive")),
    "imdb": ("IMDb", ("negative", "positive")),
    "mrpc": ("MRPC", ("not_equivalent", "equivalent")),
    "stsb": ("STS-B", ()),
    "snli": ("SNLI", ("entailment", "neutral", "contradiction")),
    "scitail": ("SciTail", ("neutral", "entails")),
}
_SPLITS = {"train": "train", "validation": "dev", "test": "test"}
_HEADERS = {"#1 String": "sentence1", "#2 String": "sentence2", "Quality": "label"}  # MRPC, as in GLUE


def elue_names(task: str, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return a task's label names in the order of ELUE's numbers; `names` if ELUE has no such task.

    Examples
    --------
    >>> elue_names("scitail", ("entails", "neutral"))
    ('neutral', 'entails')
    """
    return FOLDERS[task][1] if task in FOLDERS else names


def elue_file(root: Path, task: str, split: str) -> Path | None:
    """Return the file of a split below a root with ELUE's folders, such as SciTail/dev.tsv; None without."""
    if task not in FOLDERS or split not in _SPLITS:
        return None
    path = root / FOLDERS[task][0] / f"{_SPLITS[split]}.tsv"
    return path if path.is_file() else None


def read_elue(
    path: Path,
    task: str,
    text: tuple[str, ...],
    names: tuple[str, ...],
    scores: tuple[float, float] | None,
    name: str,
) -> Rows:
    """Read a file of ELUE, which may have a byte order mark, an index column and stray quotation marks.

    Parameters
    ----------
    path : path
        From `elue_file`.
    task : str
        Name of the task in `FOLDERS`.
    text, names : tuples of str
        The task's text columns, and its label names in the order of the result's numbers.
    scores : pair of float, optional
        Range of the labels of a regression task.
    name : str
        Name of the rows.

    Returns
    -------
    Rows
        Without labels if the file has no column ``label``, as ELUE's test files.

    Raises
    ------
    InputError
        If a column is missing, a line has too many fields, or a label is none of ELUE's.
    """
    try:
        lines = [line.rstrip("\r") for line in path.read_text(encoding="utf-8-sig").split("\n")]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as UTF-8: {error}") from error
    head = [_HEADERS.get(column, column) for column in lines[0].split("\t")]
    if missing := [column for column in text if column not in head]:
        raise InputError(f"{path} has no column {missing[0]!r}: its columns are {', '.join(head)}")
    rows = [line.split("\t") for line in lines[1:] if line]
    for number, row in enumerate(rows, 2):
        if len(row) != len(head):
            raise InputError(f"{path}, line {number}: {len(row)} fields instead of {len(head)}")
    if not rows:
        raise InputError(f"{path} holds no rows")
    columns = {column: [row[place] for row in rows] for place, column in enumerate(head)}
    ids = columns.get("index", [str(i) for i in range(len(rows))])
    texts = tuple(columns[column] for column in text)
    if "label" not in columns:
        return Rows(name, texts, None, names or None, ids, {})
    try:
        if scores is not None:
            return Rows(name, texts, np.array([float(v) for v in columns["label"]]), None, ids, {})
        numbers = [names.index(_label(value, FOLDERS[task][1])) for value in columns["label"]]
    except (ValueError, IndexError) as error:
        raise InputError(
            f"{path}: a label is none of ELUE's ({', '.join(FOLDERS[task][1]) or 'numbers'}): {error}"
        ) from error
    return Rows(name, texts, np.array(numbers), names, ids, {})


def _label(value: str, names: tuple[str, ...]) -> str:
    """Return the name of a label that is written as a name or as ELUE's number."""
    if value in names:
        return value
    number = int(value)
    if number < 0:
        raise ValueError(f"{value!r}")
    return names[number]
