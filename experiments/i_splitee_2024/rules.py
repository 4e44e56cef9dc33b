"""Fixed rules (layer, α): all of them, and those that a source recommends, for all images or per bin of a context."""

from __future__ import annotations

import numpy as np
import pandas as pd
from levels import MU
from numpy.typing import NDArray

import splitee
from splitee.policies.base import Policy

ALPHAS = tuple(k / 100 for k in range(101))


def every_rule(layers: int) -> dict[tuple[int, float], Policy]:
    """Return all rules of so many layers on the device; layer 0 offloads the input."""
    rules: dict[tuple[int, float], Policy] = {(0, 0.0): splitee.CloudOnly()}
    return rules | {(i, a): splitee.FixedSplit(i, a) for i in range(1, layers + 1) for a in ALPHAS}


def fixed_rules(trace: splitee.Trace, costs: splitee.CostModel) -> pd.DataFrame:
    """Return accuracy, cost and reward of every rule, those of layers that the device lacks among them."""
    every, rows = every_rule(trace.layers), []
    named = {f"{i}/{a}": policy for (i, a), policy in every.items()}
    results = splitee.replay(trace, named, costs, mu=MU, repeats=1)
    for (layer, alpha), result in zip(every, results.values(), strict=True):
        measured = {name: float(getattr(result, name)[0]) for name in ("accuracy", "cost", "reward")}
        rows.append({"layer": layer, "alpha": alpha, **measured})
    return pd.DataFrame(rows)


def quartiles(source: splitee.Trace, by: str) -> list[float]:
    """Return the edges of four bins of a context, equally full on the source."""
    return np.quantile(getattr(source, by), (0.25, 0.5, 0.75)).tolist()


def recommended(
    source: splitee.Trace, costs: splitee.CostModel, device: int, bins: NDArray[np.intp], loss: float
) -> list[Policy]:
    """Return the rule of each bin that a labelled source recommends.

    Of all combinations of a rule per bin, the cheapest whose accuracy on the source is at most `loss` below the last
    exit's. Bins are added one by one; what costs more and is not more accurate is dropped.
    """
    rules, best = every_rule(device), None
    for b in range(bins.max() + 1):
        table = fixed_rules(source.select(bins == b), costs)
        table = table[table["layer"] <= device] * [1, 1, *[(bins == b).mean()] * 3]
        own = _frontier(
            table["accuracy"].to_numpy(), table["cost"].to_numpy(), np.arange(len(table))[:, None]
        )
        if best is None:
            best = own
            continue
        (right, cost, chosen), (more, paid, ones) = best, own
        both = np.repeat(chosen, len(ones), axis=0), np.tile(ones, (len(chosen), 1))
        best = _frontier(np.add.outer(right, more).ravel(), np.add.outer(cost, paid).ravel(), np.hstack(both))
    assert best is not None
    enough = best[0] >= source.accuracy_per_exit()[-1] - loss - 1e-9
    every = list(rules.values())
    return [every[k] for k in best[2][int(np.argmax(enough))]]


def _frontier(right: NDArray[np.float64], cost: NDArray[np.float64], chosen: NDArray[np.intp]):
    """Return accuracy, cost and choices, cheapest first, without those that are no more accurate than a cheaper one."""
    order = np.lexsort((-right, cost))
    right, cost, chosen = right[order], cost[order], chosen[order]
    best_before = np.maximum.accumulate(np.append(-np.inf, right[:-1]))
    kept = right > best_before + 1e-12
    return right[kept], cost[kept], chosen[kept]
