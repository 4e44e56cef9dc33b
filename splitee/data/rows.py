"""Read texts and labels from tables, check them, map labels to a model's classes, and split rows."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from splitee._internal.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

_ANY = (-np.inf, np.inf)
_INTEGER = re.compile("-?[0-9]{1,18}")


@dataclass(frozen=True)
class Rows:
    """Texts of one split with labels, ids and identity.

    Attributes
    ----------
    name : str
        Name for tables and messages, such as "imdb/test".
    text : tuple of lists of str
        One list per text column (one or two), each of length n.
    label : ndarray, shape (n,), or None
        int64: indices into `label_names`; float64: regression scores. None if the split has no labels.
    label_names : tuple of str or None
        Class names in order; None for scores or without labels.
    id : list of str
        The value of the file's id column, else the row number in the file (from 0).
    identity : dict
        Where the rows come from, and their SHA-256; it is written to manifests.
    """

    name: str
    text: tuple[list[str], ...]
    label: NDArray[Any] | None
    label_names: tuple[str, ...] | None
    id: list[str]
    identity: dict[str, object]

    def __len__(self) -> int:
        return len(self.text[0])

    @property
    def regression(self) -> bool:
        """Whether the labels are regression scores, not classes."""
        return self.label is not None and self.label.dtype.kind == "f"

    def take(self, rows: NDArray[np.int64]) -> Rows:
        """Return the given rows (0-based), in the given order."""
        return replace(
            self,
            text=tuple([column[i] for i in rows] for column in self.text),
            label=None if self.label is None else self.label[rows],
            id=[self.id[i] for i in rows],
        )

    @property
    def fingerprint(self) -> str:
        """Hexadecimal SHA-256 of the texts and labels, in order."""
        digest = hashlib.sha256()
        for column in self.text:
            for text in column:
                encoded = text.encode("utf-8", "surrogatepass")
                digest.update(len(encoded).to_bytes(8, "little"))
                digest.update(encoded)
        if self.label is not None:
            digest.update(self.label.astype(f"<{self.label.dtype.kind}8").tobytes())
        return digest.hexdigest()


def load_file(
    path: str | Path,
    text: Sequence[str] = ("text",),
    label: str | None = None,
    label_names: Sequence[str] | None = None,
    regression: bool = False,
) -> Rows:
    r"""Read a Parquet, CSV or JSONL file with one or two text columns and, if named, a label column.

    Parameters
    ----------
    path : str or Path
        The file; its suffix names the format.
    text : sequence of str
        One or two column names.
    label : str, optional
        The label column. Rows labelled -1 are dropped if other rows have labels.
    label_names : sequence of str, optional
        Names of classes 0, 1, ... Default: the numbers, or the sorted label texts.
    regression : bool
        Whether labels are scores, such as a similarity from 0 to 5.

    Raises
    ------
    InputError
        If the file cannot be read, or a column or a value is missing or invalid.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "reviews.csv"
    >>> _ = path.write_text("text,label\nfine,1\ndull,0\n")
    >>> load_file(path, label="label").label.tolist()
    [1, 0]
    """
    path = Path(path)
    names = tuple(label_names) if label_names else None
    rows = rows_from_frame(
        read_frame(path), str(path), tuple(text), label, names, path.stem, _ANY if regression else None
    )
    return replace(rows, identity={"source": "file", "file": path.name, "sha256": rows.fingerprint})


def join(parts: Mapping[str, Rows]) -> Rows:
    """Concatenate the rows of several parts; each id is prefixed by the part's name.

    Raises
    ------
    InputError
        If some parts have labels and others have none.
    """
    rows = list(parts.values())
    labels = [part.label for part in rows if part.label is not None]
    if 0 < len(labels) < len(rows):
        bare = next(name for name, part in parts.items() if part.label is None)
        raise InputError(f"{bare} has no labels but other parts have: read the parts one by one")
    return replace(
        rows[0],
        name="+".join(part.name for part in rows),
        text=tuple(
            [text for column in columns for text in column]
            for columns in zip(*(r.text for r in rows), strict=True)
        ),
        label=np.concatenate(labels) if labels else None,
        id=[f"{name}/{i}" for name, part in parts.items() for i in part.id],
    )


def rows_from_frame(
    frame: pd.DataFrame,
    where: str,
    text: tuple[str, ...],
    label: str | None,
    label_names: tuple[str, ...] | None,
    name: str,
    score_range: tuple[float, float] | None = None,
) -> Rows:
    """Convert a table to checked rows.

    Rows without a label (-1, or a score outside `score_range`) are dropped if other rows have labels. With
    `score_range`, labels are regression scores.
    """
    if not 1 <= len(text) <= 2:
        raise InputError(f"{where}: one or two text columns are needed, not {len(text)}")
    for column in (*text, *([label] if label else [])):
        if column not in frame.columns:
            present = ", ".join(map(str, frame.columns)) or "none"
            raise InputError(
                f"{where} has no column {column!r}: its columns are {present} (choose them with --text-column"
                " and --label-column)"
            )
    if frame.empty:
        raise InputError(f"{where} has no rows")
    for column in text:
        bad = frame[column].map(lambda value: not isinstance(value, str)).to_numpy()
        if bad.any():
            raise InputError(f"{where}, row {int(bad.argmax())}: column {column!r} does not hold text")
    labels: NDArray[np.int64] | NDArray[np.float64] | None = None
    kept = np.arange(len(frame), dtype=np.int64)
    if label is not None and score_range is not None:
        labels = _scores(frame[label], where, label)
        known = (labels >= score_range[0]) & (labels <= score_range[1])
        labels, kept = (labels, np.flatnonzero(known)) if known.any() else (None, kept)
    elif label is not None:
        labels, label_names = _label_indices(frame[label], where, label, label_names)
        if (labels < 0).all():
            labels = None
        elif (labels < 0).any():
            kept = np.flatnonzero(labels >= 0)
    ids = frame["id"].astype(str).tolist() if "id" in frame.columns else [str(i) for i in range(len(frame))]
    return Rows(name, tuple(frame[column].tolist() for column in text), labels, label_names, ids, {}).take(
        kept
    )


def map_labels(rows: Rows, model_names: Sequence[str], label_map: Mapping[str, str]) -> Rows:
    """Convert labels to the class order of a model.

    Parameters
    ----------
    rows : Rows
        The data; rows without labels are returned unchanged.
    model_names : sequence of str
        The model's class names, in order.
    label_map : mapping of str to str
        Label name of the data to class name of the model, for names that differ.

    Raises
    ------
    InputError
        If labels are scores, or a label has no class in the model.
    """
    if rows.label is None:
        return rows
    if rows.regression:
        raise InputError(f"{rows.name} holds scores, but the model has classes: {', '.join(model_names)}")
    names = rows.label_names or tuple(str(i) for i in range(int(rows.label.max()) + 1))
    if unused := [name for name in label_map if name not in names]:
        raise InputError(f"{rows.name} has no label {unused[0]!r}: its labels are {', '.join(names)}")
    mapped = [label_map.get(name, name) for name in names]
    unknown = [name for name in mapped if name not in model_names]
    if unknown:
        raise InputError(
            f"{rows.name}: the model has no class {unknown[0]!r} (it has {', '.join(model_names)}); "
            f"map each label to a class with --label-map {unknown[0]}=CLASS"
        )
    table = np.array([list(model_names).index(name) for name in mapped], dtype=np.int64)
    return replace(rows, label=table[rows.label], label_names=tuple(model_names))


def hold_out(rows: Rows, count: int, seed: int) -> tuple[Rows, Rows]:
    """Split rows at random into the rest and `count` held-out rows; both keep their order.

    Raises
    ------
    InputError
        If `count` is not between 1 and n - 1.
    """
    if not 0 < count < len(rows):
        raise InputError(f"{rows.name} has {len(rows)} rows: cannot hold out {count}, give fewer")
    order = np.random.default_rng(seed).permutation(len(rows))
    parts = {"rest": rows.take(np.sort(order[count:])), "held out": rows.take(np.sort(order[:count]))}
    rest, held = (
        replace(part, identity={**rows.identity, "part": name, "sha256": part.fingerprint})
        for name, part in parts.items()
    )
    return rest, held


def check_learnable(rows: Rows) -> None:
    """Raise InputError if rows have no labels, or all labels are equal."""
    if rows.label is None:
        raise InputError(f"{rows.name} has no labels: training needs them")
    if (rows.label == rows.label[0]).all():
        raise InputError(f"{rows.name}: all {len(rows)} labels are the same, there is nothing to learn")


def _scores(values: pd.Series, where: str, column: str) -> NDArray[np.float64]:
    import pandas as pd

    scores = pd.to_numeric(values, errors="coerce").to_numpy(dtype=np.float64)
    if not np.isfinite(scores).all():
        row = int((~np.isfinite(scores)).argmax())
        raise InputError(
            f"{where}, row {row}: column {column!r} holds {values.iloc[row]!r}, but regression needs numbers"
        )
    return scores


def _label_indices(
    values: pd.Series, where: str, column: str, names: tuple[str, ...] | None
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    empty = (values.isna() | (values.astype(str).str.strip() == "")).to_numpy()
    if empty.any():
        raise InputError(
            f"{where}, row {int(empty.argmax())}: column {column!r} is empty; "
            "give every row a label (-1 for none), or name no label column"
        )
    texts = values.astype(str)
    whole = _whole_numbers(values)
    # numbers are indices into the list of names, unless the names are themselves these numbers
    if whole is not None and not (names and set(texts) - {"-1"} <= set(names)):
        names = names or tuple(str(i) for i in range(int(whole.max(initial=1)) + 1))
        wrong = whole[(whole < -1) | (whole >= len(names))]
        if wrong.size:
            raise InputError(
                f"{where}: column {column!r} holds label {wrong[0]}, but there are {len(names)} classes, "
                f"0 to {len(names) - 1}"
            )
        return whole, names
    if whole is not None:
        texts = texts.mask(whole == -1, "-1")
        found = {"-1": -1} | {name: i for i, name in enumerate(names or ())}
        return np.array([found[text] for text in texts], dtype=np.int64), names or ()
    names = names or tuple(sorted(set(texts)))
    unknown = sorted(set(texts) - set(names))
    if unknown:
        raise InputError(
            f"{where}: column {column!r} holds {unknown[0]!r}, but the labels are {', '.join(names)}"
        )
    place = {name: i for i, name in enumerate(names)}
    return np.array([place[text] for text in texts], dtype=np.int64), names


def _whole_numbers(values: pd.Series) -> NDArray[np.int64] | None:
    """Return the values as integers if all are whole: 1, 1.0 (pandas) or "1" (CSV); else None."""
    if values.dtype.kind not in "iuf":
        if not all(isinstance(value, str) and _INTEGER.fullmatch(value) for value in values):
            return None
        return np.array([int(value) for value in values], dtype=np.int64)
    numbers = values.to_numpy()
    whole = np.isfinite(numbers) & (numbers == np.round(numbers))
    return numbers.astype(np.int64) if whole.all() else None


def read_frame(path: Path) -> pd.DataFrame:
    """Read a Parquet, CSV or JSONL file; the suffix names the format."""
    import pandas as pd

    if not path.exists():
        raise InputError(f"{path}: no such file")
    readers: dict[str, Callable[[Path], pd.DataFrame]] = {
        ".parquet": pd.read_parquet,
        ".csv": _read_csv,
        ".jsonl": _read_jsonl,
    }
    if path.suffix not in readers:
        raise InputError(f"{path}: give a .parquet, .csv or .jsonl file")
    try:
        return readers[path.suffix](path)
    except (ValueError, OSError) as error:  # from pandas' parsers; includes pyarrow's ArrowInvalid
        raise InputError(f"{path} cannot be read as {path.suffix[1:]}: {error}") from error


def _read_csv(path: Path) -> pd.DataFrame:
    import pandas as pd

    # read as text: "007" stays an id, "12" a text, and "NA" is not a missing value
    frame = pd.read_csv(path, keep_default_na=False, dtype=str)
    if not isinstance(frame.index, pd.RangeIndex):  # pandas takes surplus fields as an index
        raise ValueError("rows have more fields than the header; put texts with commas in quotes")
    return frame


def _read_jsonl(path: Path) -> pd.DataFrame:
    import pandas as pd

    with path.open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file if line.strip()]
    if not all(isinstance(row, dict) for row in rows):
        raise ValueError('every line must be an object, such as {"text": "..."}')
    return pd.DataFrame(rows)
