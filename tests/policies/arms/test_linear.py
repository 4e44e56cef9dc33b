"""LinUCB and μLinUCB (`splitee.policies.arms.linear`); test_every_learner.py has the rest."""

import numpy as np
import pytest

import splitee
from splitee.policies.arms import linear
from splitee.policies.arms.linear import LinUCB, MuLinUCB


def test_the_inverse_is_that_of_the_normal_equations() -> None:
    rng = np.random.default_rng(0)
    models, x, y = linear.begin(2), rng.normal(size=(50, 4)), rng.normal(size=50)
    for row, target in zip(x, y, strict=True):
        linear.learn(models, 1, row, target, np.zeros(4))
    a = np.eye(4) + x.T @ x
    assert models[1, :4] == pytest.approx(np.linalg.inv(a))
    assert models[1, linear.THETA] == pytest.approx(np.linalg.solve(a, x.T @ y))
    assert (models[0] == linear.begin(1)[0]).all()


def test_lin_ucb_finds_the_arm_of_each_length() -> None:
    rng, n = np.random.default_rng(0), 6000
    short = rng.random(n) < 0.5
    confidence = np.where(short[:, None], [0.9, 0.9, 0.9, 0.9], [0.55, 0.55, 0.55, 0.95])
    trace = splitee.Trace(confidence, np.zeros((n, 4), dtype=int), length=np.where(short, 5, 400))
    costs = splitee.CostModel(offload=20.0)
    result = splitee.replay(trace, LinUCB(0.5), costs, mu=0.05, orders=[range(n)])
    late = result.split[0, 3000:]
    assert (late[short[3000:]] == 1).mean() > 0.9
    assert (late[~short[3000:]] == 4).mean() > 0.9


def test_mu_lin_ucb_regrets_less_in_1500_rounds_if_depth_is_a_parabola() -> None:
    rng, n, layers = np.random.default_rng(0), 1500, 12
    depth = np.arange(1, layers + 1) / layers
    confidence = np.clip(0.6 + 0.6 * depth - 0.3 * depth**2 + rng.normal(0, 0.03, (n, layers)), 0.5, 1)
    trace = splitee.Trace(confidence, np.zeros((n, layers), dtype=int))
    policies = [MuLinUCB(0.5), splitee.SplitEE(0.5)]
    results = splitee.replay(trace, policies, splitee.CostModel(offload=5.0), mu=0.03, repeats=5)
    shared, alone = (result.regret("common").mean() for result in results.values())
    assert shared < alone


def test_bad_parameters_are_refused() -> None:
    for made in (LinUCB, MuLinUCB):
        with pytest.raises(splitee.InputError, match="exploration"):
            made(0.7, -1)
        with pytest.raises(splitee.InputError, match="send_input"):
            made(0.7, 1.0, 2)
