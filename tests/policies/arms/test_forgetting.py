"""D-UCB and SW-UCB (`splitee.policies.arms.forgetting`); test_every_learner.py has the rest."""

import naive_arms
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from learners import generator
from strategies import Case, cases, worlds
from twins import replayed

import splitee
from splitee.policies.arms.forgetting import DiscountedUCB, SlidingWindowUCB


@settings(max_examples=25)
@given(cases(worlds(max_layers=5)), st.sampled_from([0, 1, 30]), st.sampled_from([1, 2, 9, 50]))
def test_short_memories_equal_their_twins(case: Case, delay: int, window: int) -> None:
    for policy, kind, given_ in (
        (SlidingWindowUCB(case.threshold, window, case.send_input), naive_arms.SlidingWindowUCB, window),
        (DiscountedUCB(case.threshold, 1 - 0.3 / window, case.send_input), naive_arms.DiscountedUCB, None),
    ):
        memory = {"discount": 1 - 0.3 / window} if given_ is None else {"window": window}
        rounds = naive_arms.in_rounds(type("Short", (kind,), memory), case, delay, generator())
        assert replayed(case, policy, delay).split[0].tolist() == [r.split for r in rounds]


def test_they_follow_a_change_that_splitee_sleeps_through() -> None:
    rng, n = np.random.default_rng(0), 6000
    means = np.array([[0.55, 0.95, 0.95]] * n + [[0.55, 0.55, 0.95]] * n)
    confidence = np.clip(means + rng.normal(0, 0.02, means.shape), 0.5, 1)
    trace = splitee.Trace(confidence, np.zeros(confidence.shape, dtype=int))
    policies = [DiscountedUCB(0.4, 0.99), SlidingWindowUCB(0.4, 300), splitee.SplitEE(0.4, 0.0)]
    order = [range(2 * n)]
    results = splitee.replay(trace, policies, splitee.CostModel(offload=0.0), mu=0.2, orders=order)
    before, after = ({k: r.split[0, at:].tolist() for k, r in results.items()} for at in (0, -1000))
    for name in (policies[0].label, policies[1].label):
        assert before[name][:n].count(2) > after[name].count(2)
        assert after[name].count(1) + after[name].count(3) > after[name].count(2)


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda: SlidingWindowUCB(0.7, 0), "window"),
        (lambda: SlidingWindowUCB(0.7, 10**8), "at most 10000000"),
        (lambda: DiscountedUCB(0.7, 1.0), "give less"),
        (lambda: DiscountedUCB(0.7, 0.1), "discount"),
        (lambda: DiscountedUCB(0.7, send_input=1), "send_input"),
    ],
)
def test_bad_parameters_are_refused(make, line: str) -> None:
    with pytest.raises(splitee.InputError, match=line):
        make()
