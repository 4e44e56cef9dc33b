"""Results by group of samples, and by class: where a policy is right, and what that costs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from splitee._internal.errors import InputError
from splitee.results.intervals import Floats, bootstrap_means, bootstrap_sums, data_interval
from splitee.results.measures import METRICS, Counted
from splitee.results.result import Result
from splitee.trace import Trace
from splitee.trace.quality import f1_by_class

Rows = list[dict[str, Any]]
_SHOWN = ("accuracy", "agreement", "cost", "offload_rate")


def by_group(results: Mapping[str, Result]) -> Rows:
    """Return one row per policy and group: samples, means with 95 % *data* intervals, mean layer.

    Parameters
    ----------
    results : mapping of str to Result
        Of one replay, not reloaded ones.

    Returns
    -------
    list of dict
        ``policy``, ``group``, ``samples`` (distinct); the means ``accuracy``, ``agreement``, ``cost`` and
        ``offload_rate``, each with ``_low`` and ``_high``; ``exited``, the share answered on the device;
        ``mean_layer``, where the device stopped (0: the input was offloaded).

    Raises
    ------
    InputError
        If the trace has no groups, or the results were loaded from a file.
    """
    rows: Rows = []
    for name, result in results.items():
        counted = _counted(name, result)
        trace = counted.rounds.setup.trace
        check_breakdown("group", trace)
        assert trace.group is not None
        sums, shown, layers = counted.per_sample[:, : len(METRICS)], counted.shown, counted.layer_sums
        for group in sorted(set(trace.group.tolist())):
            here = (trace.group == group) & (shown > 0)
            if not here.any():
                continue
            total, ours = shown[here].sum(), sums[here]
            means = ours.sum(axis=0) / total
            (drawn,) = bootstrap_means([ours], shown[here])
            low, high = data_interval(drawn)
            row: dict[str, Any] = {"policy": name, "group": group, "samples": int(here.sum())}
            for metric in _SHOWN:
                k = METRICS.index(metric)
                row |= _with_ends(metric, means[k], low[k], high[k])
            row["exited"] = 1.0 - row["offload_rate"]
            row["mean_layer"] = float(layers[here].sum() / total)
            rows.append(row)
    return rows


def by_class(results: Mapping[str, Result]) -> Rows:
    """Return one row per policy: macro-F1 and balanced accuracy with 95 % *data* intervals.

    All rounds of all repeats are counted together. The resamples are those of the other data intervals. In
    each resample a class counts if it occurs there (see `splitee.trace.quality`).

    Parameters
    ----------
    results : mapping of str to Result
        Of one replay, not reloaded ones.

    Returns
    -------
    list of dict
        ``policy``, ``classes`` (K), ``macro_f1``, ``balanced_accuracy``, each with ``_low`` and ``_high``.

    Raises
    ------
    InputError
        If the trace has no labels, or the results were loaded from a file.
    """
    from scipy.sparse import csr_matrix

    rows: Rows = []
    for name, result in results.items():
        counted = _counted(name, result)
        trace, seen = counted.rounds.setup.trace, counted.shown > 0
        check_breakdown("class", trace)
        assert trace.label is not None
        s, answer, times = counted.answers()
        right = answer == trace.label[s]
        size = trace.samples, trace.classes
        hit = csr_matrix((times[right], (s[right], answer[right])), shape=size)[seen]
        predicted = csr_matrix((times, (s, answer)), shape=size)[seen]
        everyone = np.arange(trace.samples)
        labelled = csr_matrix((counted.shown, (everyone, trace.label)), shape=size)[seen]
        matrices = hit, predicted, labelled
        point = _scores(*(np.asarray(m.sum(axis=0), dtype=np.float64).reshape(1, -1) for m in matrices))
        drawn = _scores(*bootstrap_sums(matrices)) if seen.sum() > 1 else np.full((1, 2), np.nan)
        low, high = data_interval(drawn)
        row: dict[str, Any] = {"policy": name, "classes": trace.classes}
        for k, score in enumerate(("macro_f1", "balanced_accuracy")):
            row |= _with_ends(score, point[0, k], low[k], high[k])
        rows.append(row)
    return rows


def _scores(hit: Floats, predicted: Floats, labelled: Floats) -> Floats:
    """Return macro-F1 and balanced accuracy of each row, shape (rows, 2), from counts by class (rows, K)."""
    with np.errstate(invalid="ignore"):
        recall = hit / labelled
    f1 = f1_by_class(hit, predicted, labelled)
    return np.stack([np.nanmean(f1, axis=1), np.nanmean(recall, axis=1)], axis=1)


def _with_ends(name: str, mean: float, low: float, high: float) -> dict[str, float]:
    return {name: float(mean), f"{name}_low": float(low), f"{name}_high": float(high)}


def check_breakdown(by: str, trace: Trace) -> None:
    """Raise InputError if a trace has no groups, or no labels, that a breakdown needs."""
    if by == "group" and trace.group is None:
        raise InputError(
            f"trace {trace.name} has no groups: give Trace(..., group=[...]), or import a column group"
        )
    if by == "class" and trace.label is None:
        raise InputError(f"trace {trace.name} has no labels: scores by class need them")


def _counted(name: str, result: Result) -> Counted:
    if not isinstance(result.measures, Counted):
        raise InputError(f"the results of {name} were loaded from a file, which holds no groups nor answers")
    return result.measures
