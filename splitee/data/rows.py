"""Texts and labels of a table: checked, mapped to a model's classes, and split."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import Field, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from splitee._internal.errors import InputError
from splitee.data.labels import NO_LABEL, count_classes, count_marks, counted, encode_classes
from splitee.data.tables import Reading, Table, naming, read_table

if TYPE_CHECKING:
    import pandas as pd

MULTI_LABEL = (
    "several labels per sample (multi-label classification) are out of scope, so give one column with"
    " one class "
    "per row (docs/models.md)"
)
_ANY = (-np.inf, np.inf)
_NUMBER = re.compile(r"\s*[+-]?[0-9]+([.,][0-9]+)?\s*")


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
    notes : tuple of str
        How the file was read: rows read and left out, labels that occur, empty texts.
    """

    name: str
    text: tuple[list[str], ...]
    label: NDArray[Any] | None
    label_names: tuple[str, ...] | None
    id: list[str]
    identity: dict[str, object]
    notes: tuple[str, ...] = ()

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
    def text_hash(self) -> list[str]:
        """The first 16 hexadecimal digits of the SHA-256 of each sample's text or texts."""
        found = []
        for texts in zip(*self.text, strict=True):
            digest = hashlib.sha256()
            for text in texts:
                digest.update(_sized(text))
            found.append(digest.hexdigest()[:16])
        return found

    @property
    def fingerprint(self) -> str:
        """Hexadecimal SHA-256 of the texts and labels, in order."""
        digest = hashlib.sha256()
        for column in self.text:
            for text in column:
                digest.update(_sized(text))
        if self.label is not None:
            digest.update(self.label.astype(f"<{self.label.dtype.kind}8").tobytes())
        return digest.hexdigest()


class Samples(Protocol):
    """What rows of texts and images (`splitee.data.images.Images`) share: see `Rows`."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def name(self) -> str:
        """Name for tables and messages."""
        ...

    @property
    def label(self) -> NDArray[Any] | None:
        """Classes or scores."""
        ...

    @property
    def label_names(self) -> tuple[str, ...] | None:
        """Class names in order."""
        ...

    @property
    def identity(self) -> dict[str, object]:
        """Where the samples come from."""
        ...

    @property
    def regression(self) -> bool:
        """Whether labels are scores."""
        ...

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the content."""
        ...

    def __len__(self) -> int: ...

    def take(self, rows: NDArray[np.int64]) -> Any:
        """Return the given samples (0-based), in the given order."""
        ...


Some = TypeVar("Some", bound=Samples)


def load_file(
    path: str | Path | pd.DataFrame,
    text: Sequence[str] | str = ("text",),
    label: str | None = None,
    label_names: Sequence[str] | None = None,
    regression: bool = False,
    *,
    no_label: Sequence[str] = (),
    reading: Reading | None = None,
) -> Rows:
    r"""Read a table with one or two text columns and, if named, a label column.

    Parameters
    ----------
    path : str, Path or DataFrame
        A CSV, TSV, JSON, JSON Lines, Parquet or NPZ file, or a table in memory.
    text : str or sequence of str
        One or two column names.
    label : str, optional
        The label column.
    label_names : sequence of str, optional
        Names of classes 0, 1, ... Default: the numbers, or the sorted label texts.
    regression : bool
        Whether labels are scores, such as a similarity from 0 to 5.
    no_label : sequence of str
        Marks that mean no label, such as "-1", "-" or "empty"; their rows are left out.
    reading : Reading, optional
        Separator, decimal mark and encoding of a text file, if they are not certain.

    Returns
    -------
    Rows
        Its `notes` say how many rows were read and left out, and which labels occur.

    Raises
    ------
    InputError
        If the file cannot be read, or a column or a value is missing or invalid.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "reviews.csv"
    >>> _ = path.write_text("text;label\nfine;1\ndull;0\n")
    >>> rows = load_file(path, label="label")
    >>> rows.label.tolist()
    [1, 0]
    >>> rows.notes
    ('2 rows read', "labels: '0' 1, '1' 1")
    """
    names = tuple(label_names) if label_names else None
    columns = (text,) if isinstance(text, str) else tuple(text)
    frame = hasattr(path, "iloc")
    file = None if frame else Path(path)  # type: ignore[arg-type]
    where = "the data frame" if file is None else str(file)
    with naming(where):
        table = read_table(path if file is None else file, reading)
    rows = rows_from_table(
        table,
        where,
        columns,
        label,
        names,
        "data" if file is None else file.stem,
        _ANY if regression else None,
        no_label,
    )
    source = {"source": "data frame"} if file is None else {"source": "file", "file": file.name}
    return replace(rows, identity={**source, "sha256": rows.fingerprint})


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


def rows_from_table(
    table: Table,
    where: str,
    text: tuple[str, ...],
    label: str | None,
    label_names: tuple[str, ...] | None,
    name: str,
    score_range: tuple[float, float] | None = None,
    no_label: Sequence[str] = (),
) -> Rows:
    """Convert a table to checked rows, without those that have no label.

    No label is a mark of `no_label`, or a score outside `score_range`; with `score_range`, labels are
    regression scores. If no row has a label, all rows are kept and `label` is None.
    """
    with naming(where):
        return _rows(table, text, label, label_names, name, score_range, no_label)


def _rows(
    table: Table,
    text: tuple[str, ...],
    label: str | None,
    label_names: tuple[str, ...] | None,
    name: str,
    score_range: tuple[float, float] | None,
    no_label: Sequence[str],
) -> Rows:
    if not 1 <= len(text) <= 2:
        raise InputError(f"one or two text columns are needed, not {len(text)}")
    if label is not None and not isinstance(label, str):
        raise InputError(f"{len(label)} label columns are given: {MULTI_LABEL}")
    for column in (*text, *([label] if label else [])):
        if column not in table:
            present = " ".join(", ".join(table.names).split()) or "none"
            raise InputError(
                f"there is no column {column!r}: its columns are {_short(present)} (choose them with"
                " --text-column"
                " and --label-column)"
            )
    if not len(table):
        raise InputError("the file has no rows")
    texts = tuple(_texts(table, column, label) for column in text)
    notes = list(table.notes)
    labels: NDArray[np.int64] | NDArray[np.float64] | None = None
    left = ""
    if label is not None and score_range is not None:
        try:
            labels = table.numbers(label, np.float64)
        except InputError as error:
            raise InputError(f"{error}: regression needs numbers as labels") from error
        if not np.isfinite(labels).all():
            row = int((~np.isfinite(labels)).argmax())
            raise InputError(
                f"row {table.row(row)}: column {label!r} holds {labels[row]}, not a finite number"
            )
        kept = (labels >= score_range[0]) & (labels <= score_range[1])
        left = f"their scores are outside {score_range[0]:g} to {score_range[1]:g}"
    elif label is not None:
        if table.nested(label):
            raise InputError(f"column {label!r} holds a list per row: {MULTI_LABEL}")
        cells = table.cells(label)
        found = encode_classes(
            {label: cells}, label_names, table.first_row, no_label=no_label, labels=[label]
        )
        labels, label_names = found.columns[label], found.names
        kept = labels != NO_LABEL
        notes += found.notes
        left = f"no label: {count_marks(labels, cells)}"
        if label_names is None:
            label_names = tuple(str(i) for i in range(int(labels.max(initial=1)) + 1))
    else:
        kept = np.ones(len(table), dtype=bool)
    if not kept.any():
        labels, kept = None, np.ones(len(table), dtype=bool)
    read = counted(len(table), "row") + " read"
    notes.insert(0, read if kept.all() else f"{read}, {int((~kept).sum()):,} left out ({left})")
    if labels is not None and score_range is None:
        notes.append(count_classes(labels[kept].astype(np.int64), label_names))
    notes += _empty(table, text, texts)
    ids = [str(i) for i in range(len(table))]
    if "id" in table and not table.nested("id"):
        ids = table.texts("id").to_pylist()
    rows = Rows(name, texts, labels, label_names, ids, {}, tuple(notes))
    return rows.take(np.flatnonzero(kept))


def _texts(table: Table, column: str, label: str | None) -> list[str]:
    """Return a column of texts; refuse one that holds numbers, or has gaps."""
    if table.nested(column) or not table.is_text(column):
        raise InputError(
            f"row {table.row(0)}: column {column!r} does not hold text: name another --text-column"
        )
    missing = table.missing(column)
    if missing is not None:
        raise InputError(f"row {table.row(missing)}: column {column!r} does not hold text: it is missing")
    texts: list[str] = table.texts(column).to_pylist()
    if _look_like_ids(column, texts):
        others = [
            other
            for other in table.names
            if other not in (column, label) and not table.nested(other) and table.is_text(other)
            and any(" " in cell.strip() for cell in table.texts(other).unique().to_pylist())
        ]  # fmt: skip
        if others:
            raise InputError(
                f"column {column!r} holds only numbers, such as {texts[0]!r}: is the text in column"
                f" {others[0]!r}? "
                f"name it with --text-column {others[0]}"
            )
    return texts


def _look_like_ids(column: str, texts: list[str]) -> bool:
    """Return whether a column of numbers seems to number the rows: all differ, or its name says so."""
    if not all(_NUMBER.fullmatch(text) for text in texts):
        return False
    named = column == "text" or column.lower().endswith(("id", "idx", "index"))
    return named or (len(set(texts)) == len(texts) > 2)


def _empty(table: Table, columns: tuple[str, ...], texts: tuple[list[str], ...]) -> list[str]:
    """Note texts that are empty, and columns of numbers."""
    notes = []
    for column, cells in zip(columns, texts, strict=True):
        empty = [row for row, text in enumerate(cells) if not text.strip()]
        if empty:
            first = ", ".join(str(table.row(row)) for row in empty[:5]) + (", ..." if len(empty) > 5 else "")
            count = "1 text is" if len(empty) == 1 else f"{len(empty):,} texts are"
            notes.append(f"{count} empty in column {column!r} (row {first})")
        if all(_NUMBER.fullmatch(text) for text in cells):
            notes.append(
                f"column {column!r} holds only numbers, such as {cells[0]!r}, which are taken as texts"
            )
    return notes


def map_labels(rows: Some, model_names: Sequence[str], label_map: Mapping[str, str]) -> Some:
    """Convert labels to the class order of a model.

    Parameters
    ----------
    rows : Rows or Images
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
        raise InputError(f"{rows.name}: {_no_class(unknown[0], names, model_names)}")
    table = np.array([list(model_names).index(name) for name in mapped], dtype=np.int64)
    return replace(rows, label=table[rows.label], label_names=tuple(model_names))


def _no_class(unknown: str, names: Sequence[str], model_names: Sequence[str]) -> str:
    """Say how to name a label that is no class of the model."""
    line = f"the model has no class {unknown!r} (it has {', '.join(model_names)})"
    if names == tuple(map(str, range(len(names)))):
        order = "" if len(names) != len(model_names) else f", such as --class-names {','.join(model_names)}"
        return (
            f"{line}, and the labels are numbers: name them in order with --class-names{order}, or map"
            " each with "
            f"--label-map {unknown}=CLASS"
        )
    return f"{line}: map each label to a class with --label-map {unknown}=CLASS"


def hold_out(rows: Some, count: int, seed: int) -> tuple[Some, Some]:
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


def check_learnable(rows: Samples) -> None:
    """Raise InputError if rows have no labels, or all labels are equal."""
    if rows.label is None:
        raise InputError(f"{rows.name} has no labels: training needs them")
    if (rows.label == rows.label[0]).all():
        raise InputError(f"{rows.name}: all {len(rows)} labels are the same, there is nothing to learn")


def _sized(text: str) -> bytes:
    """Return a text as bytes, after its length."""
    encoded = text.encode("utf-8", "surrogatepass")
    return len(encoded).to_bytes(8, "little") + encoded


def _short(names: str) -> str:
    return names if len(names) <= 300 else names[:300] + " ..."
