"""UCB over thresholds equals its specification, and finds the best threshold."""

import naive_thresholds
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up import easy
from strategies import Case, cases, held, worlds
from systems import SystemCase, system_cases
from threshold_checks import DELAYS, EXAMPLES, check_in_rounds, check_in_system

import splitee
from splitee.policies.thresholds.arms import AdaEE, BufferAwareAdaEE, CeeBERT, CeeBERTReleased

GRIDS = st.sampled_from([(0.5, 0.75), (0.0, 0.6, 0.75, 1.0), tuple(k / 100 for k in range(50, 101))])


@EXAMPLES
@given(cases(worlds(exit_layers=None)), GRIDS, st.sampled_from([0.0, 0.1, 1.0]), st.sampled_from(DELAYS))
def test_adaee_at_any_exit_with_any_arms(case: Case, grid: tuple, exploration: float, delay: int) -> None:
    layer = min(case.layer, held(case.world))
    twin = lambda: naive_thresholds.adaee(case.world, layer, list(grid), exploration)  # noqa: E731
    check_in_rounds(case, AdaEE(layer, grid, exploration), twin, delay)


@EXAMPLES
@given(system_cases(), st.booleans(), st.booleans())
def test_buffer_aware_adaee_in_a_system(one: SystemCase, linear: bool, released: bool) -> None:
    layer = min(one.case.layer, held(one.case.world))
    policy = BufferAwareAdaEE(layer, linear, released)
    twin = lambda: naive_thresholds.buffer_aware(one.case.world, layer, linear, released)  # noqa: E731
    check_in_system(one, policy, twin)


def test_adaee_finds_the_best_threshold() -> None:
    """The last exit is sure where the third is not, so that offloading below 0.8 gains 0.3 − μ·o."""
    trace = easy(n=20_000)
    confidence = trace.confidence.copy()
    confidence[:, 3] = 0.95
    trace = trace.replace(confidence=confidence)
    costs = splitee.CostModel(offload=1.0, device_layers=3)
    grid = (0.5, 0.6, 0.7, 0.8, 1.0)
    result = splitee.replay(trace, AdaEE(3, grid, exploration=0.1), costs, mu=0.1, repeats=2)
    assert result.offload_rate.mean() == pytest.approx((confidence[:, 2] < 0.8).mean(), abs=0.03)
    dear = splitee.replay(trace, AdaEE(3, grid, exploration=0.1), costs, mu=1.0, repeats=2)
    assert dear.offload_rate.mean() < 0.03


def test_ceebert_stops_at_exits_in_between() -> None:
    trace = easy(n=3000)
    costs = splitee.CostModel(offload=5.0, device_layers=3)
    result = splitee.replay(trace, CeeBERT(), costs, mu=0.01, repeats=1)
    assert set(result.split[0].tolist()) == {1, 2, 3}
    assert set(result.split[0, result.offloaded[0]].tolist()) == {3}


def test_the_arms_of_the_linear_form() -> None:
    alpha = BufferAwareAdaEE(linear=True).alphas()
    assert alpha.shape == (11, 105)
    assert alpha.min() == 0.5
    assert alpha.max() == 1.0
    assert (np.diff(alpha, axis=0) > 0).all()  # it grows with the queue
    assert BufferAwareAdaEE().alphas().shape == (11, 51)


def test_the_queue_matters() -> None:
    """Samples arrive faster than the device works, so that some wait, and q is not always 0."""
    trace = splitee.load_trace("sst2_validation")
    link = splitee.Link(5.0, rtt=20)
    system = splitee.System(splitee.DeviceProfile(15, 1), link, device_layers=6, arrivals="30/s")
    alone = splitee.System(splitee.DeviceProfile(15, 1), link, device_layers=6)
    policy = BufferAwareAdaEE(2)
    for each in (system, alone):
        result = splitee.replay(trace, [policy, AdaEE(2)], each, repeats=1, seed=1)
        assert {each.split.min() for each in result.values()} == {2}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: AdaEE(thresholds=[0.9, 0.5]),
            "thresholds is .*: give confidences between 0 and 1, ascending",
        ),
        (lambda: AdaEE(thresholds=()), "at least 1 confidences"),
        (lambda: AdaEE(layer=0), "layer"),
        (lambda: CeeBERT(exploration=-1), "exploration"),
        (lambda: CeeBERTReleased(thresholds=[2]), "thresholds"),
        (lambda: BufferAwareAdaEE(linear=1), "linear is 1: give True or False"),
    ],
)
def test_bad_parameters_are_refused(make, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(splitee.InputError, match=message):
        make()
