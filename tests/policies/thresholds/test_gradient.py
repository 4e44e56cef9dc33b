"""A policy gradient over thresholds; the suite of every learner compares it with its twin."""

import numpy as np
import pytest

import splitee
from splitee.policies.thresholds.gradient import ALPHAS, GradientAdaEE, climb


def test_the_step_is_the_gradient_of_the_logarithm() -> None:
    rng, u = np.random.default_rng(0), np.zeros(5)
    theta = rng.normal(size=5)
    theta[2] += 3.0  # the maximum stays where it is

    def log_pi(at: np.ndarray) -> float:
        power = (1 + 0.5 * (theta.max() - at)) ** -2.0
        return float(np.log(power[1] / power.sum()))

    moved = theta.copy()
    climb(moved, u, 1, 1e-6)
    for k in (0, 1, 3, 4):
        ahead, behind = theta.copy(), theta.copy()
        ahead[k] += 1e-6
        behind[k] -= 1e-6
        slope = (log_pi(ahead) - log_pi(behind)) / 2e-6
        assert (moved[k] - theta[k]) / 1e-6 == pytest.approx(slope, rel=1e-3, abs=1e-6)


def test_it_learns_not_to_offload_what_does_not_pay() -> None:
    rng = np.random.default_rng(1)
    confidence = np.stack([rng.uniform(0.5, 1.0, 6000), np.full(6000, 0.97)], axis=1)
    trace = splitee.Trace(confidence, np.zeros((6000, 2), dtype=int))
    policy = GradientAdaEE(rate=0.5)
    early, late = slice(0, 1000), slice(5000, None)
    shares = {}
    for offload in (0.1, 9.0):
        costs = splitee.CostModel(offload=offload, device_layers=1)
        sent = splitee.replay(trace, policy, costs, mu=0.1, repeats=4).offloaded
        shares[offload] = sent[:, early].mean(), sent[:, late].mean()
    assert shares[9.0][1] < 0.5 * shares[9.0][0]
    assert shares[0.1][1] > shares[9.0][1] + 0.2
    assert len(ALPHAS) == 51
