"""Read arrays by the names of Trace's arguments: confidences and predictions, logits or probabilities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitee._internal.errors import InputError
from splitee.data.labels import counted, encode_classes
from splitee.data.rows import MULTI_LABEL
from splitee.trace.columns import check_per_class, read_logits, read_probabilities
from splitee.trace.layouts import CLASS_COLUMNS, Asked, Found, listed, without_half_scores

_PER_EXIT = ("confidence", "prediction", "entropy", "value")
_PER_CLASS = ("logits", "probabilities")
_PER_SAMPLE = (
    "label",
    "id",
    "length",
    "input_bytes",
    "sharpness",
    "noise",
    "group",
    "text_hash",
    "cloud_confidence",
    "cloud_prediction",
    "target",
)
_NAMES = (*_PER_EXIT, *_PER_CLASS, *_PER_SAMPLE, "classes", "class_names")
_MANY = 128  # exits; more than samples, they are more likely samples

Arrays = Mapping[str, NDArray[Any]]


def holds_arrays(arrays: Arrays, renamed: Mapping[str, str]) -> bool:
    """Return whether there is an array with a value per exit or class, as opposed to columns of a table."""
    names = [renamed.get(name, name) for name in (*_PER_EXIT, *_PER_CLASS)]
    return any(name in arrays and arrays[name].ndim > 1 for name in names) or "" in arrays


def read_arrays(arrays: Arrays, asked: Asked) -> Found:
    """Read arrays: per exit (n, L), per class (n, L, K), per sample (n,).

    Raises
    ------
    InputError
        If an array is missing or has another shape; the message says how to mend it, such as by a transpose.
    """
    if "" in arrays:  # an NPY file holds one array without a name
        arrays = {_guess(arrays[""]): arrays[""]}
    names = {name: name for name in _NAMES}
    for ours, theirs in asked.renamed.items():
        if ours not in names:
            raise InputError(f"--map {ours}={theirs}: the arrays of a trace are {', '.join(names)}")
        names[ours] = theirs
    names = without_half_scores(names, list(arrays), asked.renamed)
    columns: dict[str, Any] = {ours: arrays[theirs] for ours, theirs in names.items() if theirs in arrays}
    derived = any(name in columns for name in _PER_CLASS) and "confidence" not in columns
    for needed in (*(() if derived else ("confidence", "prediction")), *asked.renamed):
        if needed not in columns:
            raise InputError(
                f"there is no array {names[needed]!r} among {listed(list(arrays))};"
                f" map it with --map {needed}=ARRAY, or give logits or probabilities (samples, exits,"
                " classes)"
            )
    notes = []
    if ignored := [name for name in arrays if name not in names.values()]:
        notes.append(f"ignored arrays: {listed(ignored)}")
    _check_shapes(columns)
    known = columns.pop("classes", None)
    held_names = columns.pop("class_names", None)
    if derived:
        notes += _derive(columns)
    classes = asked.classes
    if classes is None and known is not None:
        classes = int(known.ravel()[0]) if known.size == 1 and known.dtype.kind in "iu" else None
        if classes is None:
            raise InputError("the array 'classes' must hold one whole number")
    given = asked.class_names
    if given is None and held_names is not None:
        given = [str(name) for name in held_names.ravel()]
    if "logits" in columns and classes is None and columns["logits"].ndim == 3:
        classes = columns["logits"].shape[2]
    found, more = _encode(columns, given, classes, asked)
    if classes is not None:
        columns["classes"] = classes
    main = columns["confidence"]
    notes = [counted(len(main), "sample") + " read", *notes, *more]
    return Found(columns, found, notes, None if asked.exit_layers is None else tuple(asked.exit_layers))


def _guess(array: NDArray[Any]) -> str:
    """Return what the only array of a file is: logits, or probabilities if they sum to 1."""
    if array.ndim != 3:
        raise InputError(
            f"the file holds one array of shape {array.shape}: give logits (samples, exits, classes), or"
            " an NPZ "
            "file with the arrays confidence and prediction: np.savez('mine.npz', confidence=...,"
            " prediction=...)"
        )
    return "probabilities" if _sums_to_one(array, 2) else "logits"


def _sums_to_one(array: NDArray[Any], axis: int) -> bool:
    if array.dtype.kind not in "fiu" or not array.size:
        return False
    with np.errstate(all="ignore"):
        wide = array.astype(np.float64)
        return bool((wide >= 0).all() and np.allclose(wide.sum(axis=axis), 1, atol=1e-2))


def _check_shapes(columns: dict[str, Any]) -> None:
    """Refuse transposed arrays, and labels of several classes per sample."""
    for name in _PER_CLASS:
        if name in columns and columns[name].dtype.kind not in "fiu":
            raise InputError(f"{name} holds {columns[name].dtype}, not numbers")
    main = next(name for name in ("confidence", "probabilities", "logits") if name in columns)
    shape = columns[main].shape
    if len(shape) < 2:
        raise InputError(
            f"{main} has the shape {shape}: give (samples, exits{', classes' * (main in _PER_CLASS)})"
        )
    label = columns.get("label")
    if label is not None and label.ndim == 2 and min(label.shape) > 1:
        numbers = label.dtype.kind in "biuf"
        if numbers and ((label == 0) | (label == 1)).all() and (label.sum(axis=1) == 1).all():
            raise InputError("label is one-hot: give class numbers, label.argmax(axis=1)")
        raise InputError(f"label has the shape {label.shape}: {MULTI_LABEL}")
    if "prediction" in columns and columns["prediction"].ndim == 3:
        raise InputError(f"prediction has the shape {columns['prediction'].shape}: {MULTI_LABEL}")
    if label is not None and label.ndim == 2:  # (n, 1)
        columns["label"] = label = label.ravel()
    lengths = {len(columns[name]) for name in _PER_SAMPLE if name in columns and columns[name].ndim == 1}
    turned = f"np.swapaxes({main}, 0, 1)" if len(shape) > 2 else f"{main}.T"
    if lengths == {shape[1]} and shape[1] != shape[0]:
        raise InputError(
            f"{main} has the shape {shape}, but there are {shape[1]:,} samples: arrays are (samples,"
            " exits, ...),"
            f" so save {turned}"
        )
    if not lengths and shape[1] > max(shape[0], _MANY):
        raise InputError(
            f"{main} has the shape {shape}, which would be {shape[0]:,} samples with {shape[1]:,} exits:"
            " if it is "
            f"(exits, samples), save {turned}; else make the trace in Python with splitee.Trace"
        )


def _derive(columns: dict[str, Any]) -> list[str]:
    """Put confidence, entropy and prediction, derived from logits or probabilities, among the columns."""
    name = "probabilities" if "probabilities" in columns else "logits"
    values = columns[name]
    if values.ndim != 3:
        raise InputError(f"{name} has the shape {values.shape}: give (samples, exits, classes)")
    if "logits" in columns and _sums_to_one(columns["logits"], 2) and columns["logits"].shape[2] > 1:
        raise InputError("logits are probabilities, which sum to 1: give --map probabilities=logits")
    if name == "probabilities":
        if not _sums_to_one(values, 2) and _sums_to_one(values, 1):
            raise InputError(
                "probabilities sum to 1 over axis 1: give (samples, exits, classes), np.swapaxes(p, 1, 2)"
            )
        confidence, entropy, prediction, logits = read_probabilities(values)
        if "logits" not in columns and logits is not None:
            columns["logits"] = logits
        del columns["probabilities"]
    else:
        check_per_class("logits", values)
        confidence, entropy, prediction = read_logits(values)
    if "prediction" in columns:
        given = columns["prediction"]
        if given.shape != prediction.shape or given.dtype.kind not in "biuf" or (given != prediction).any():
            raise InputError(
                f"prediction differs from the largest of the {name}: the classes may be in another order;"
                " leave "
                "prediction out, or mend it"
            )
    columns |= {"confidence": confidence, "prediction": prediction}
    columns.setdefault("entropy", entropy)
    return [f"confidence, prediction and entropy are derived from the {name}"]


def _encode(
    columns: dict[str, Any], names: Any, classes: int | None, asked: Asked
) -> tuple[tuple[str, ...] | None, list[str]]:
    """Replace the classes in arrays by numbers, in place; return the names and notes."""
    import pyarrow as pa

    cells = {}
    for name in CLASS_COLUMNS:
        if name not in columns:
            continue
        values = columns[name].ravel()
        if values.dtype.kind not in "biufUO":
            raise InputError(f"{name} holds {values.dtype}, not numbers or texts")
        if values.dtype.kind in "iuf" and len(values):
            distinct, place = np.unique(values, return_inverse=True)
            texts = [
                format(value, ".17g") if distinct.dtype.kind == "f" else str(value) for value in distinct
            ]
            cells[name] = pa.DictionaryArray.from_arrays(
                pa.array(place.astype(np.int32)), pa.array(texts, pa.string())
            )
        else:
            try:
                cells[name] = pa.array([str(value) for value in values.tolist()], pa.string())
            except UnicodeError as error:
                raise InputError(f"{name} holds a text that is not valid Unicode") from error
    encoded = encode_classes(cells, names, 0, classes=classes, no_label=asked.no_label, labels=["label"])
    for name in cells:
        columns[name] = encoded.columns[name].reshape(columns[name].shape)
    return encoded.names, encoded.notes
