"""The tracked threshold equals its specification, and keeps to its share of errors on average."""

import naive_thresholds
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up import easy
from strategies import Case, cases, held, worlds
from systems import SystemCase, system_cases
from threshold_checks import DELAYS, EXAMPLES, check_in_rounds, check_in_system, coins_of

import splitee
from splitee.policies.thresholds.tracking import TrackedThreshold

settings_of = st.fixed_dictionaries(
    {
        "target": st.sampled_from([0.0, 0.1, 1.0]),
        "rate": st.sampled_from([0.0, 0.005, 0.3]),
        "audits": st.sampled_from([0.05, 0.5, 1.0]),
    }
)


def twin_of(case: Case, policy: TrackedThreshold) -> naive_thresholds.TrackedThreshold:
    coins = [coin for (coin,) in coins_of(case, 1)]
    given = policy.layer, policy.target, policy.rate, policy.audits
    return naive_thresholds.TrackedThreshold(case.world, *given, coins)


@EXAMPLES
@given(cases(worlds(exit_layers=None)), settings_of, st.sampled_from(DELAYS))
def test_it_equals_its_twin(case: Case, given: dict, delay: int) -> None:
    policy = TrackedThreshold(min(case.layer, held(case.world)), **given)
    check_in_rounds(case, policy, lambda: twin_of(case, policy), delay)


@EXAMPLES
@given(system_cases(), settings_of)
def test_in_a_system(one: SystemCase, given: dict) -> None:
    policy = TrackedThreshold(min(one.case.layer, held(one.case.world)), **given)
    check_in_system(one, policy, lambda: twin_of(one.case, policy))


def test_the_share_of_errors_is_its_target_also_after_a_change() -> None:
    """The second half of the stream has confidences that mean less; a fixed threshold would not notice."""
    trace = easy(rate=0.0, n=20_000)
    confidence = trace.confidence.copy()
    confidence[10_000:, 2] = (confidence[10_000:, 2] + 1) / 2
    trace = trace.replace(confidence=confidence)
    policy, costs = (
        TrackedThreshold(3, target=0.02, rate=0.02, audits=0.3),
        splitee.CostModel(device_layers=3),
    )
    result = splitee.replay(trace, policy, costs, orders=[list(range(20_000))])
    wrong = ~result.offloaded[0] & (trace.prediction[:, 2] != trace.prediction[:, 3])
    for half in (slice(3_000, 10_000), slice(12_000, 20_000)):
        assert wrong[half].mean() == pytest.approx(0.02 * (1 - 0.3), abs=0.006)


def test_without_a_target_everything_is_offloaded() -> None:
    trace = splitee.Trace(np.full((50, 3), 0.9), np.zeros((50, 3), dtype=int))
    result = splitee.replay(trace, TrackedThreshold(2, 0.0), splitee.CostModel(device_layers=2), repeats=1)
    assert result.offloaded.all()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"layer": 0}, "layer"),
        ({"target": 2.0}, "target"),
        ({"rate": -1.0}, "rate"),
        ({"audits": 0.0}, "audits"),
    ],
)
def test_bad_parameters_are_refused(given: dict, message: str) -> None:
    with pytest.raises(splitee.InputError, match=message):
        TrackedThreshold(**({"layer": 2} | given))
