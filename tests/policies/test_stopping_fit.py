"""The fit of audited stopping: a logistic regression that does not rise, and the best rule for a price."""

import numpy as np
import pytest

import splitee
from splitee.policies.paths import Costs
from splitee.policies.problem import Problem
from splitee.policies.stopping_fit import (
    CELLS,
    CENTRES,
    RULE_COST,
    RULE_LOSS,
    SAFE_END,
    add_pair,
    begin_audits,
    begin_rules,
    fit,
    forget_audits,
    logistic,
    make_rule,
    solve,
    stops_of,
)


def problem_of(costs: splitee.CostModel, layers: int = 4) -> Costs:
    problem = Problem(layers, costs.arms(layers), costs, 0.1, 2, 0.7)
    return Costs(costs.gamma(layers), costs.offload_costs(layers, 1), problem)


def test_newton_s_method_ends_near_where_the_gradient_is_zero() -> None:
    rng = np.random.default_rng(0)
    z = CENTRES[rng.integers(40, CELLS, 3000)]
    loss = rng.random(3000) < 1 / (1 + np.exp(1 + 1.5 * z))
    count = np.zeros((CELLS, 2), dtype=np.int64)
    np.add.at(count, (np.searchsorted(CENTRES, z), 0), 1)
    np.add.at(count, (np.searchsorted(CENTRES, z), 1), loss)
    a, b, c = logistic(count)
    p = 1 / (1 + np.exp(-(a + b * CENTRES + c * CENTRES**2)))
    r = count[:, 0] * p - count[:, 1]
    gradient = [(r * CENTRES**k).sum() for k in range(3)]
    assert gradient == pytest.approx([-0.3 * a, -0.3 * (b + 3), -c], abs=0.2)
    assert logistic(np.zeros((CELLS, 2), dtype=np.int64)) == (0.0, -3.0, 0.0)


def audited(seed: int = 0):
    """300 trajectories of three exits; the deeper, the surer."""
    rng = np.random.default_rng(seed)
    stops, _ = stops_of(problem_of(splitee.CostModel(offload=8.0, device_layers=3)))
    audits, rules = begin_audits(3), begin_rules(3)
    for k in range(300):
        for i in range(1, 4):
            cell = int(np.clip(rng.normal(60 + 8 * i, 15), 0, CELLS - 1))
            audits.trajectory[k, i] = cell
            add_pair(audits, i, cell, int(rng.random() < 1 / (1 + np.exp(CENTRES[cell]))))
        audits.seen[0] += 1
    fit(audits, rules)
    return stops, audits, rules


def test_chances_do_not_rise_with_confidence() -> None:
    _, _, rules = audited()
    assert (np.diff(rules.chance[1:], axis=1) <= 0).all()
    assert (np.diff(rules.place[1:], axis=1) >= 0).all()
    assert rules.place.max() == 5


def test_rules_lose_less_and_cost_more_the_dearer_a_loss_is() -> None:
    stops, audits, rules = audited()
    means = []
    for price in (0.01, 1.0, 10.0, 100.0, 1e6):
        make_rule(stops, audits, rules, SAFE_END, price)
        means.append(rules.mean[SAFE_END].copy())
    losses, costs = np.array(means)[:, RULE_LOSS], np.array(means)[:, RULE_COST]
    assert (np.diff(losses) <= 1e-12).all()
    assert costs[0] < costs[-1] <= 8.0 + 1e-9
    assert losses[-1] == 0


def test_the_mixture_spends_what_it_may() -> None:
    stops, audits, rules = audited()
    mix = solve(stops, audits, rules, 0.05, 1.0, 300)
    safe, risky = rules.mean[0, RULE_LOSS], rules.mean[1, RULE_LOSS]
    spends = [loss + 0.2 * np.sqrt(loss / 300) for loss in (safe, risky)]
    assert 0 <= mix <= 1
    assert (1 - mix) * spends[0] + mix * spends[1] == pytest.approx(0.05)
    assert solve(stops, audits, rules, 1.0, 1.0, 300) == 0.0


def test_pairs_are_a_ring() -> None:
    audits = begin_audits(1)
    for k in range(2500):
        add_pair(audits, 1, k % 100, k % 2)
    assert audits.pairs[1, :, 0].sum() == 2000
    assert audits.pairs[1, :, 1].sum() == 1000
    forget_audits(audits)
    assert not audits.pairs.any()


def test_exits_that_cost_as_much_as_the_fallback_are_left_out() -> None:
    stops, actions = stops_of(problem_of(splitee.CostModel(offload=2.0)))
    assert len(stops.ask) == 3  # γ_2 = 11/6 is below 2
    stops, _ = stops_of(problem_of(splitee.CostModel(offload=0.5)))
    assert len(stops.ask) == 1
    assert len(actions)
