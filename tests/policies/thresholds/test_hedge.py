"""HIL-F, HIL-N and H2T2 equal their specification, and weigh the best thresholds most."""

import naive_thresholds
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up import easy
from strategies import Case, cases, held, worlds
from systems import SystemCase, system_cases
from threshold_checks import CLASSES, DELAYS, EXAMPLES, check_in_rounds, check_in_system, coins_of

import splitee
from splitee.policies.thresholds.hedge import HIL

settings_of = st.fixed_dictionaries(
    {
        "feedback": st.sampled_from(["none", "full"]),
        "error": st.sampled_from([0.0, 1.0, (3.0, 0.5, 1.0, 2.0)]),
        "experts": st.sampled_from([2, 3, 20]),
        "horizon": st.sampled_from([1, 30, 10_000]),
    }
)


def twin_of(case: Case, policy: HIL) -> naive_thresholds.HIL:
    errors = list(policy.error) if isinstance(policy.error, tuple) else [policy.error]
    given = policy.layer, CLASSES, policy.feedback == "full", errors, policy.experts, policy.horizon
    return naive_thresholds.HIL(case.world, *given, coins_of(case, 2))


@EXAMPLES
@given(cases(worlds(exit_layers=None)), settings_of, st.sampled_from(DELAYS))
def test_it_equals_its_twin(case: Case, given: dict, delay: int) -> None:
    policy = HIL(min(case.layer, held(case.world)), **given)
    check_in_rounds(case, policy, lambda: twin_of(case, policy), delay)


@EXAMPLES
@given(system_cases(), settings_of)
def test_in_a_system(one: SystemCase, given: dict) -> None:
    policy = HIL(min(one.case.layer, held(one.case.world)), **(given | {"feedback": "none"}))
    check_in_system(one, policy, lambda: twin_of(one.case, policy))


@pytest.mark.parametrize("feedback", ["none", "full"])
def test_it_finds_the_best_threshold(feedback: str) -> None:
    """Below 0.8 the third exit is often wrong, above never: what is kept is what is sure."""
    trace, costs = easy(rate=0.0, n=20_000), splitee.CostModel(offload=1.0, device_layers=3)
    policy = HIL(3, feedback, error=10.0, experts=12, horizon=20_000)
    result = splitee.replay(trace, policy, costs, mu=0.1, repeats=2)
    unsure = (trace.confidence[:, 2] < 0.8).mean()
    explored = policy.rates()[0] * (1 - unsure) if feedback == "none" else 0.0
    assert result.offloaded[:, 10_000:].mean() == pytest.approx(unsure + explored, abs=0.03)


def test_each_answer_has_its_threshold() -> None:
    """Errors of answer 1 cost nothing: it is kept; those of answer 0 cost: it is offloaded."""
    rng = np.random.default_rng(0)
    label = rng.integers(2, size=10_000)
    noisy = np.where(rng.random(10_000) < 0.6, label, 1 - label)
    trace = splitee.Trace(np.full((10_000, 2), 0.7), np.stack([noisy, label], axis=1))
    costs = splitee.CostModel(offload=1.0, device_layers=1)
    result = splitee.replay(trace, HIL(1, error=(10.0, 0.0)), costs, mu=0.5, orders=[list(range(10_000))])
    late = result.offloaded[0, 5000:]
    assert late[noisy[5000:] == 0].mean() > 0.95
    assert late[noisy[5000:] == 1].mean() < 0.15


def test_full_feedback_is_no_device() -> None:
    with pytest.raises(splitee.InputError, match="no device knows"):
        HIL(2, "full").live()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"layer": 0}, "layer"),
        ({"feedback": "some"}, "choose none or full"),
        ({"error": ()}, "error is empty"),
        ({"error": -1.0}, "error is -1.0"),
        ({"experts": 1}, "experts"),
        ({"horizon": 0}, "horizon"),
    ],
)
def test_bad_parameters_are_refused(given: dict, message: str) -> None:
    with pytest.raises(splitee.InputError, match=message):
        HIL(**({"layer": 2} | given))


def test_costs_of_errors_fit_the_classes() -> None:
    with pytest.raises(splitee.InputError, match="error has 3 costs for 2 classes: give 2"):
        splitee.replay(easy(n=50), HIL(2, error=(1.0, 1.0, 1.0)))
