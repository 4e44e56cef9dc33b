"""Fixed rules with fitted thresholds: by their mean loss, or by offline risk control.

On the half of a cell that chooses settings, one of the rules of `splitee.trace.risk` fits thresholds.
The loss is [answer is wrong] − [the cloud is wrong], or, without labels, [answer is not the cloud's]. A rule
is a split or a cascade up to a layer. Of those that a risk ε accepts, one per layer and kind, the cheapest on
the same half is taken.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from splitee._internal.errors import InputError
from splitee.bench.suite import LIMITS, Task
from splitee.policies.base import AnyPolicy
from splitee.policies.cascades import CascadeSplit
from splitee.policies.contexts import ByContext
from splitee.policies.fixed import CloudOnly, FixedSplit
from splitee.policies.problem import Table
from splitee.trace import Trace
from splitee.trace.risk import accepted, risk_grid

FAILURE = 0.1  # δ of "ltt" and "ucb-wsr"
SEED = 0  # of the order in which "ucb-wsr" looks at the samples


def fitted_rules(task: Task, rule: str, loss: str = "error") -> list[AnyPolicy]:
    """Return the cheapest rule at each limit of the suite, fitted to the task's calibration half.

    Parameters
    ----------
    task : Task
    rule : {"naive", "crc", "ltt", "ucb-wsr"}
    loss : {"error", "disagreement"}

    Returns
    -------
    list of policy
        `CloudOnly` where no threshold is accepted.

    Examples
    --------
    >>> from splitee.bench.suite import cells, ready
    >>> [policy.label for policy in fitted_rules(ready(cells()[0], judge=False).task, "naive")]
    ['cascade split 12', 'cascade split 12', 'cascade split 12']
    """
    assert task.calibration is not None
    assert task.costs is not None
    trace, m = task.calibration, task.arms
    table = Table.of(trace, task.costs, task.mu, task.threshold)
    offload = np.broadcast_to(table.offload, (trace.samples, table.layers + 1))
    best: dict[float, tuple[float, AnyPolicy]] = {
        limit: (float(offload[:, 0].mean()), CloudOnly()) for limit in LIMITS
    }
    for (layer, every_exit, limit), alpha in _accepted(trace, m, rule, loss).items():
        stop = _stop(table.confidence, layer, alpha, every_exit, table.layers)
        at = np.where(stop > 0, stop, layer)
        cost = table.device(every_exit)[at] + np.where(stop > 0, 0.0, offload[:, layer])
        if (mean := float(cost.mean())) < best[limit][0]:
            best[limit] = mean, (CascadeSplit if every_exit else FixedSplit)(layer, alpha)
    return [policy for _, policy in best.values()]


def rules_by_context(task: Task) -> list[AnyPolicy]:
    """Return the cheapest rule for each third of a context, by its mean loss on labels, at each limit.

    The context is the noise of an image, or the length of a text; edges and rules are of the task's
    calibration half.

    Raises
    ------
    InputError
        If the trace has neither.
    """
    trace = task.calibration
    assert trace is not None
    by = "noise" if trace.noise is not None else "length"
    values = getattr(trace, by)
    if values is None:
        raise InputError(f"trace {trace.name} has neither noise nor lengths")
    edges = sorted(set(np.quantile(values, [1 / 3, 2 / 3]).tolist()))
    place = np.searchsorted(edges, values, side="right")
    bins = [np.flatnonzero(place == b) for b in range(len(edges) + 1)]
    rules = [fitted_rules(replace(task, calibration=trace.select(rows)), "naive") for rows in bins]
    return [ByContext(each, by, tuple(edges)) for each in zip(*rules, strict=True)]


@lru_cache(maxsize=32)  # cells of a trace differ in costs, which do not change what is accepted
def _accepted(trace: Trace, arms: int, rule: str, loss: str) -> dict[tuple[int, bool, float], float]:
    """Return α by layer, whether it is a cascade, and limit; those that are accepted."""
    cloud = trace.prediction[:, -1] if trace.cloud_prediction is None else trace.cloud_prediction
    answer = np.concatenate([cloud[:, None], trace.prediction], axis=1)
    shuffled = np.random.default_rng(SEED).permutation(trace.samples)
    if loss == "error":
        right = (answer == np.asarray(trace.label)[:, None])[shuffled].astype(np.float64)
        lost = right[:, :1] - right
    else:
        lost = (answer != answer[:, :1])[shuffled].astype(np.float64)
    confidence = np.concatenate([trace.confidence[:, -1:], trace.confidence], axis=1)[shuffled]
    lowest = -1.0 if loss == "error" else 0.0
    grid, rows, found = risk_grid(trace.classes), np.arange(trace.samples), {}
    for layer in range(1, arms + 1):
        for every_exit in (False, True):
            stops = (_stop(confidence, layer, alpha, every_exit, trace.layers) for alpha in grid)
            losses = np.stack([lost[rows, stop] for stop in stops])
            for limit in LIMITS:
                if many := accepted(losses, rule, limit / 100, FAILURE, lowest):
                    found[layer, every_exit, limit] = grid[many - 1]
    return found


def _stop(
    confidence: NDArray[np.float32], layer: int, alpha: float, every_exit: bool, layers: int
) -> NDArray[np.intp]:
    """Return the exit that answers each sample; 0 if it is offloaded."""
    sure = confidence[:, 1 : layer + 1] >= np.float32(alpha)
    if layer == layers:
        sure = sure.copy()
        sure[:, -1] = True  # exit L always answers
    if not every_exit:
        sure = np.where(np.arange(1, layer + 1) == layer, sure, False)
    return np.where(sure.any(axis=1), sure.argmax(axis=1) + 1, 0)
