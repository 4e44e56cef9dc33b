"""HI-LCB equals its specification, and finds the rule that costs least."""

import naive
import naive_thresholds
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up import easy
from strategies import Case, cases, held, worlds
from systems import SystemCase, system_cases
from threshold_checks import CLASSES, DELAYS, EXAMPLES, check_in_rounds, check_in_system

import splitee
from splitee.policies.thresholds.device import bin_of, binning
from splitee.policies.thresholds.hierarchical import HILCB

settings_of = st.fixed_dictionaries(
    {
        "lite": st.booleans(),
        "exploration": st.sampled_from([0.0, 0.02, 0.5]),
        "error": st.sampled_from([0.0, 1.0, 3.0]),
        "bins": st.sampled_from([1, 3, 20]),
    }
)


def made(case: Case, one_exit: bool, given: dict) -> tuple[HILCB, naive.World]:
    layer = min(case.layer, held(case.world)) if one_exit else None
    return HILCB(layer=layer, send_input=case.send_input and not one_exit, **given)


def twin_of(case: Case, policy: HILCB) -> naive_thresholds.HILCB:
    fields = policy.layer, policy.lite, policy.exploration, policy.error, policy.bins, policy.send_input
    return naive_thresholds.HILCB(case.world, CLASSES, *fields)


@EXAMPLES
@given(cases(worlds(exit_layers=None)), st.booleans(), settings_of, st.sampled_from(DELAYS))
def test_it_equals_its_twin(case: Case, one_exit: bool, given: dict, delay: int) -> None:
    policy = made(case, one_exit, given)
    check_in_rounds(case, policy, lambda: twin_of(case, policy), delay)


@EXAMPLES
@given(system_cases(), st.booleans(), settings_of)
def test_in_a_system(one: SystemCase, one_exit: bool, given: dict) -> None:
    policy = made(one.case, one_exit, given)
    check_in_system(one, policy, lambda: twin_of(one.case, policy))


def test_in_a_long_stream() -> None:
    """The layer is chosen at most every 25 rounds."""
    trace = easy(n=1500)
    world = naive.World(
        trace.confidence.astype(float).tolist(), trace.prediction.tolist(), offload=[3.0] * 4, device_layers=3
    )
    case = Case(world, list(range(1500)), 0.7, 1.0, False, [1] * 1500, 1)
    for lite in (False, True):
        policy = HILCB(lite=lite)
        check_in_rounds(case, policy, lambda p=policy: twin_of(case, p), 0)


def test_it_finds_the_cheapest_exit_and_keeps_what_is_surely_right() -> None:
    trace = easy(rate=0.0, n=20_000)
    costs = splitee.CostModel(offload=8.0, device_layers=3)
    result = splitee.replay(trace, HILCB(error=5.0), costs, mu=0.1, repeats=2)
    late, answers = slice(10_000, None), result.split[:, 10_000:]
    assert (answers == 3).mean() > 0.95  # sure for 80 %, at 2 λ more than exit 1, sure for 45 %
    unsure = trace.confidence[:, 2] < 0.8
    orders = result.measures.rounds.setup.streams.block(0, 2).T
    offloaded = result.offloaded[:, late][answers == 3]
    assert (offloaded == unsure[orders[:, late]][answers == 3]).mean() > 0.99


def test_bins_lie_between_guessing_and_certainty() -> None:
    low, scale = binning(2, 20)
    at = [bin_of(low, scale, 20, np.float32(c)) for c in (0.0, 0.5, 0.5249, 0.5251, 0.99, 1.0)]
    assert at == [0, 0, 0, 1, 19, 19]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"layer": 0}, "layer"),
        ({"exploration": -1}, "exploration is -1: give a finite number, at least 0"),
        ({"error": float("nan")}, "error"),
        ({"layer": 2, "send_input": True}, "leave layer out"),
        ({"bins": 0}, "bins"),
    ],
)
def test_bad_parameters_are_refused(given: dict, message: str) -> None:
    with pytest.raises(splitee.InputError, match=message):
        HILCB(**given)


def test_scores_are_refused() -> None:
    scores = np.float32([[1.0, 2.0]] * 3)
    trace = splitee.Trace([[0.5, 0.5]] * 3, [[0, 0]] * 3, value=scores)
    with pytest.raises(splitee.InputError, match="needs classes"):
        splitee.replay(trace, HILCB())
    with pytest.raises(splitee.InputError, match="needs classes"):
        splitee.replay(trace, HILCB().live())
