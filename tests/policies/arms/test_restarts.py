"""Learners that start again (`splitee.policies.arms.restarts`); test_every_learner.py has the rest."""

import naive
import naive_arms
import numpy as np
import pytest
from learners import generator
from strategies import Case
from twins import replayed

import splitee
from splitee.policies.arms.restarts import RestartingUCB

TWINS = {
    "cusum": naive_arms.CusumUCB,
    "glr": naive_arms.GlrUCB,
    "confidence": naive_arms.ByConfidence,
    "share": naive_arms.ByShare,
    "agreement": naive_arms.ByAgreement,
}


def drifting(changes: bool, n: int = 1500, last: float = 0.9) -> Case:
    """Exits 1 and 2 lose confidence and agreement half way, if there is a change.

    Rewards hardly show it, for what is unsure is offloaded, unless the last exit loses confidence too.
    """
    rng = np.random.default_rng(3)
    late = (np.arange(2 * n) >= n) & changes
    means = np.where(late[:, None], [0.58, 0.6, last], [0.8, 0.85, 0.9])
    confidence = np.clip(means + rng.normal(0, 0.08, means.shape), 0.5, 1).astype(np.float32).astype(float)
    wrong = rng.random(means.shape) < np.where(late[:, None], 0.6, 0.1) * np.array([1, 1, 0])
    world = naive.World(
        confidence.tolist(), wrong.astype(int).tolist(), offload=[0.5] * 3, offload_input=6.0, mu=0.1
    )
    return Case(world, list(range(2 * n)), 0.75, 1.0, False, [1] * (2 * n), 1)


@pytest.mark.parametrize("delay", [0, 40])
@pytest.mark.parametrize("by", TWINS)
def test_each_notices_a_change_as_its_twin_does(by: str, delay: int) -> None:
    begun: list[int] = []

    class Noting(TWINS[by]):  # type: ignore[name-defined,misc]
        def restart(self, t: int) -> None:
            begun.append(t)
            super().restart(t)

    case = drifting(changes=True, last=0.62 if by in ("cusum", "glr") else 0.9)
    rounds = naive_arms.in_rounds(Noting, case, delay, generator())
    result = replayed(case, RestartingUCB(case.threshold, by), delay)
    assert result.split[0].tolist() == [r.split for r in rounds]
    assert result.offloaded[0].tolist() == [r.offloaded for r in rounds]
    assert result.cost[0] == pytest.approx(np.mean([r.cost for r in rounds]))
    first, *alarms = begun
    assert first == 1
    assert alarms
    assert 1500 < alarms[0] < 1950 + delay


def test_without_an_alarm_it_is_ucb_tuned() -> None:
    case = drifting(changes=False)
    restarting = replayed(case, RestartingUCB(case.threshold, "agreement"))
    assert (restarting.split == replayed(case, splitee.UCBTuned(case.threshold)).split).all()


def test_exit_1_is_paid_for_if_it_is_evaluated() -> None:
    case = drifting(changes=False, n=30)
    results = {by: replayed(case, RestartingUCB(case.threshold, by)) for by in ("share", "agreement")}
    evaluated = results["share"].evaluated[0]
    assert evaluated.tolist() == np.minimum(results["share"].split[0], 2).tolist()
    assert (results["agreement"].evaluated[0] == 1).all()


def test_bad_parameters_are_refused() -> None:
    with pytest.raises(splitee.InputError, match="choose cusum, glr, confidence, share, agreement"):
        RestartingUCB(0.7, "chance")
