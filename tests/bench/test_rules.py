"""Fitted rules keep their limit on the half they are fitted to, and are the cheapest that do."""

import numpy as np
import pytest

import splitee
from splitee.bench.rules import fitted_rules, rules_by_context
from splitee.bench.suite import LIMITS, cells, ready
from splitee.policies.cascades import CascadeSplit
from splitee.policies.fixed import CloudOnly, FixedSplit
from splitee.trace.risk import risk_grid

CELLS = [c for c in cells() if c.trace == "mrpc_validation"]


@pytest.mark.parametrize("loss", ["error", "disagreement"])
@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.title)
def test_the_naive_rule_is_the_cheapest_within_the_limit(cell, loss) -> None:
    """By an oracle that replays every rule."""
    half = ready(cell, judge=False)
    trace = half.trace
    m, grid = half.task.arms, risk_grid(trace.classes)
    tried = {
        f"{kind.__name__} {layer} {alpha}": kind(layer, alpha)
        for kind in (FixedSplit, CascadeSplit)
        for layer in range(1, m + 1)
        for alpha in grid
    }
    played = half.play({"cloud": CloudOnly(), **tried}, 1)
    cloud = played["cloud"]
    found = fitted_rules(half.task, "naive", loss)
    results = half.play({str(k): policy for k, policy in enumerate(found)}, 1)
    for limit, ours in zip(LIMITS, results.values(), strict=True):
        within = [float(cloud.cost.mean())]
        for kind in (FixedSplit, CascadeSplit):
            for layer in range(1, m + 1):
                lost = []
                for alpha in grid:  # from the safe end: the walk stops before the first that breaks the limit
                    result = played[f"{kind.__name__} {layer} {alpha}"]
                    value = (
                        float(cloud.accuracy[0] - result.accuracy[0])
                        if loss == "error"
                        else float(1 - result.agreement[0])
                    )
                    if value > limit / 100 + 1e-12:
                        break
                    lost.append(float(result.cost[0]))
                within += lost[-1:]
        assert float(ours.cost[0]) == pytest.approx(min(within))


def test_careful_rules_are_never_cheaper() -> None:
    half = ready(next(c for c in cells() if c.trace == "snli" and c.track == "constant"), judge=False)
    costs = {}
    for rule in ("naive", "crc", "ltt", "ucb-wsr"):
        found = {str(k): policy for k, policy in enumerate(fitted_rules(half.task, rule, "disagreement"))}
        costs[rule] = np.array([r.cost.mean() for r in half.play(found, 1).values()])
    for rule in ("crc", "ltt", "ucb-wsr"):
        assert (costs[rule] >= costs["naive"] - 1e-9).all()
    assert (np.diff(costs["naive"]) <= 1e-9).all()  # a looser limit is no dearer


def test_labels_of_the_other_half_are_not_used() -> None:
    cell = CELLS[0]
    half = ready(cell, judge=True)
    assert half.task.calibration is not None
    assert not set(half.task.calibration.id) & set(half.trace.id)
    assert isinstance(fitted_rules(half.task, "ltt")[0], splitee.CloudOnly)


@pytest.mark.parametrize("trace", ["caltech101 mixed", "qqp"])
def test_rules_by_context_are_those_of_each_third(trace: str) -> None:
    half = ready(next(c for c in cells() if c.trace == trace), judge=False)
    found = rules_by_context(half.task)
    values = half.trace.noise if trace == "caltech101 mixed" else half.trace.length
    assert values is not None
    for policy, limit in zip(found, LIMITS, strict=True):
        played = half.play({"it": policy, "cloud": CloudOnly()}, 1)
        bins = np.searchsorted(policy.edges, values, side="right")
        assert np.bincount(bins).min() > half.trace.samples / 5
        for b, one in enumerate(policy.each):
            rows = np.flatnonzero(bins == b)
            alone = splitee.replay(half.trace.select(rows), one, half.costs, half.task.mu, repeats=1)
            assert alone.accuracy[0] >= (half.trace.prediction[rows, -1] == half.trace.label[rows]).mean() - (
                limit / 100 + 1e-9
            )
        assert played["it"].cost.mean() <= played["cloud"].cost.mean()
