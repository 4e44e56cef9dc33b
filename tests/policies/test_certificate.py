"""The evidence of a certified split: its factors, and that a bad rule is seldom certified."""

import numpy as np
import pytest

import splitee
from splitee.policies.certificate import (
    BETS,
    ERROR_KAPPAS,
    HEAVY,
    HEAVY_LESS,
    LESS,
    NONE,
    ONE,
    SHARES,
    begin_state,
    bets_of,
    learn_full,
    log_evidence,
    renew,
)
from splitee.policies.paths import Costs, paths_of
from splitee.policies.problem import Problem


@pytest.mark.parametrize("delta", [1e-4, 0.01, 0.5])
@pytest.mark.parametrize("error", [False, True])
def test_factors_are_positive_and_fair_at_delta(delta: float, error: bool) -> None:
    """At d = δ the mean factor is 1, whether a loss is seen for sure or with probability e."""
    log, kappas = bets_of(delta, error), ERROR_KAPPAS if error else [kappa for kappa, _ in BETS]
    for x, e in enumerate(SHARES):
        for q, kappa in enumerate(kappas):
            less = np.exp(log[x, q, NONE] + log[x, q, LESS])
            gained = np.exp(log[x, q, NONE] + log[x, q, HEAVY_LESS])
            assert less == pytest.approx(1 + kappa * e / (1 - e * delta) * (delta + 1))
            assert gained == pytest.approx(1 + kappa * e / (1 - e * delta) * (delta + 1 / e))
            none, one, heavy = np.exp([log[x, q, NONE], *(log[x, q, NONE] + log[x, q, [ONE, HEAVY]])])
            assert heavy == pytest.approx(1 - kappa)
            assert delta * one + (1 - delta) * none == pytest.approx(1)
            assert delta * (e * heavy + (1 - e) * none) + (1 - delta) * none == pytest.approx(1)


def simulated(rate: float, delta: float, population: int | None, rounds: int, seed: int) -> np.ndarray:
    """Full audits of an exit that is always sure and wrong at a rate: ln E of its riskiest rule by round."""
    rng = np.random.default_rng(seed)
    wrong = rng.random(rounds) < rate
    if population:
        wrong = rng.permutation(np.arange(population) < round(rate * population))[:rounds]
    costs = splitee.CostModel(offload=5.0, device_layers=1)
    problem = Problem(2, 1, costs, 0.1, 2, 0.7)
    paths, _, _ = paths_of(Costs(costs.gamma(2), costs.offload_costs(2, 1), problem), 2, delta)
    state, bets = begin_state(paths, delta, population, bool(population), 0, 1.0), bets_of(delta)
    renew(state, np.zeros(1))
    prediction = np.stack([np.zeros(rounds), wrong, np.zeros(rounds)], axis=1).astype(np.int32)
    confidence = np.ones((rounds, 3), dtype=np.float32)
    logs = np.empty(rounds)
    for t in range(rounds):
        learn_full(paths, bets, state, confidence, prediction, np.zeros(0, dtype=np.int32), t)
        logs[t] = log_evidence(state, 0, 0)
    return logs


def test_evidence_of_a_bad_rule_seldom_reaches_one_over_the_level() -> None:
    reached = [simulated(0.1, 0.1, None, 300, seed).max() >= np.log(1 / 0.2) for seed in range(120)]
    assert sum(reached) <= 0.2 * 120 + 2.5 * np.sqrt(0.16 * 120)
    assert simulated(0.0, 0.1, None, 60, 0)[-1] > np.log(1 / 0.05)


def test_without_replacement_a_rule_at_delta_ends_without_evidence_and_a_better_one_with_more() -> None:
    reached = [simulated(0.1, 0.1, 300, 300, seed).max() >= np.log(1 / 0.2) for seed in range(120)]
    assert sum(reached) <= 0.2 * 120 + 2.5 * np.sqrt(0.16 * 120)
    with_, without = (simulated(0.0, 0.1, n, 60, 0)[-1] for n in (None, 120))
    assert without > with_ + 1
