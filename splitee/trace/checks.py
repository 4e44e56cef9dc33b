"""Check a trace for oddities: no errors, but signs that results computed from it may mislead."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from splitee.trace import Trace, load_trace

_MOST = 1000  # classes of which every permutation is searched


def check_trace(trace: Trace | str | Path) -> list[str]:
    """List the oddities of a trace, one line each.

    Parameters
    ----------
    trace : Trace, str or Path
        A trace, a trace file, or the name of a bundled trace.

    Returns
    -------
    list of str
        Empty if nothing is odd.

    Raises
    ------
    InputError
        If the file is damaged, or a value in it is impossible.

    Examples
    --------
    >>> check_trace(Trace([[0.6, 0.9], [0.8, 0.9]], [[0, 1], [1, 0]], label=[0, 1]))
    ['exit 2: every confidence is 0.9']
    """
    found = trace if isinstance(trace, Trace) else load_trace(trace)
    return [*check_labels(found), *_constant_exits(found), *_repeated(found)]


def check_labels(trace: Trace) -> list[str]:
    """List the oddities of a trace's labels, one line each."""
    return [*_labels(trace), *_permuted(trace)]


def _labels(trace: Trace) -> Iterator[str]:
    if trace.label is None:
        yield "no labels: accuracy will be NaN, reports show agreement with the last exit"
        return
    if trace.samples > 1 and (trace.label == trace.label[0]).all():
        yield f"every label is class {trace.label[0]}"
    if trace.value is not None:  # the classes are rounded scores
        return
    names = trace.manifest.get("class_names") or range(trace.classes)
    if unanswered := np.setdiff1d(trace.label, trace.prediction).tolist():
        shown = ", ".join(repr(names[number]) for number in unanswered[:3])
        more = f" and {len(unanswered) - 3} more" if len(unanswered) > 3 else ""
        affected = np.isin(trace.label, unanswered).sum()
        yield (
            f"no exit ever answers {shown}{more}, the label of {affected} of {trace.samples} samples: "
            "check the spelling of the class names"
        )


def _permuted(trace: Trace) -> Iterator[str]:
    """Warn if the last exit were far more accurate with its classes in another order."""
    if trace.label is None or trace.value is not None or not 2 <= trace.classes <= _MOST:
        return
    from scipy.optimize import linear_sum_assignment

    k = trace.classes
    pairs = trace.prediction[:, -1].astype(np.int64) * k + trace.label
    confusion = np.bincount(pairs, minlength=k * k).reshape(k, k)  # predicted, label
    predicted, label = linear_sum_assignment(confusion, maximize=True)
    now, best = (confusion[rows].sum() / trace.samples for rows in (np.diag_indices(k), (predicted, label)))
    if best - now < max(0.25, 2 / np.sqrt(trace.samples)):
        return
    names = trace.manifest.get("class_names") or range(k)
    moved = [(i, j) for i, j in zip(predicted, label, strict=True) if i != j and confusion[i].any()]
    order = ", ".join(f"{names[i]} is {names[j]}" for i, j in moved[:6]) + (", ..." if len(moved) > 6 else "")
    yield (
        f"the last exit's accuracy is {now:.2%}, but {best:.2%} if predicted {order}: the labels and the "
        "predictions seem to number the classes in different orders"
    )


def _constant_exits(trace: Trace) -> Iterator[str]:
    if trace.samples == 1:
        return
    for exit_ in range(trace.layers):
        for name, values in (("confidence", trace.confidence), ("prediction", trace.prediction)):
            column = values[:, exit_]
            if (column == column[0]).all():
                yield f"exit {exit_ + 1}: every {name} is {column[0]!s}"


def _repeated(trace: Trace) -> Iterator[str]:
    rows = np.hstack([trace.confidence.view(np.int32), trace.prediction])
    same = trace.samples - len(np.unique(np.ascontiguousarray(rows).view(f"V{rows[0].nbytes}")))
    if same:
        yield f"{same} of {trace.samples} samples repeat another's confidences and predictions"
    ids = trace.samples - len(set(trace.id))
    if ids:
        yield f"{ids} of {trace.samples} samples repeat another's id"
