"""BEEM equals its specification, and its fit keeps the accuracy on the source."""

import naive_thresholds
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up import random_trace, twelve_layers
from strategies import Case, cases, held, worlds
from threshold_checks import EXAMPLES
from twins import check, replayed

import splitee
from splitee.policies.thresholds.beem import BEEM


@EXAMPLES
@given(
    cases(worlds(exit_layers=None)), st.sampled_from([0.0, 0.2, 0.7, 1.5]), st.integers(0, 9), st.booleans()
)
def test_it_equals_its_twin(case: Case, alpha: float, seed: int, whole: bool) -> None:
    layers, rng = case.world.layers, np.random.default_rng(seed)
    weights = None if seed < 5 else [float(w) for w in rng.choice([0.0, 0.25, 0.5, 1.0], layers)]
    last = None if whole else case.layer
    policy = BEEM(alpha, None if weights is None else tuple(weights), last)
    by_depth = [0.1 * i for i in range(1, layers + 1)]
    rounds = naive_thresholds.beem(case.world, case.order, weights or by_depth, [alpha] * layers, last)
    result = replayed(case, policy)
    check(result, rounds, case, has_arms=False)
    if (last or layers) <= held(case.world):
        assert replayed(case, policy.live()).split.tolist() == result.split.tolist()


def test_one_threshold_for_each_exit() -> None:
    trace = splitee.Trace([[0.8, 0.8, 0.8]] * 2, [[0, 0, 0], [0, 1, 1]])
    policy = BEEM((9.0, 1.5, 1.5), weights=(1.0, 1.0, 1.0))
    assert splitee.replay(trace, policy, orders=[[0, 1]]).split.tolist() == [[2, 3]]
    with pytest.raises(splitee.InputError, match="BEEM has 2 weights for 3 exits"):
        splitee.replay(trace, BEEM(1.0, weights=(1.0, 1.0)))


@pytest.mark.parametrize("weigh", ["depth", "accuracy"])
def test_the_fit_keeps_the_accuracy(weigh: str) -> None:
    source = twelve_layers()
    last = (source.prediction[:, -1] == source.label).mean()
    drops = []
    for most in (0.0, 0.05, 0.5):
        policy = BEEM.fitted(source, most, weigh)
        result = splitee.replay(source, policy, repeats=1)
        assert result.accuracy[0] >= last - most - 1e-12
        drops.append(result.cost[0])
    assert drops[0] >= drops[1] >= drops[2]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BEEM(-1.0), "evidence has -1.0"),
        (lambda: BEEM(1.0, weights=()), "weights is empty"),
        (lambda: BEEM(1.0, weights=(True,)), "weights has True"),
        (lambda: BEEM(1.0, last=0), "layer"),
        (lambda: BEEM.fitted(random_trace(9, labels=False)), "give a labelled trace"),
        (lambda: BEEM.fitted(random_trace(9), weigh="width"), "choose depth or accuracy"),
    ],
)
def test_bad_parameters_are_refused(make, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(splitee.InputError, match=message):
        make()
