"""PCEE with given tables, and with tables filled by what was offloaded."""

import naive_thresholds
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up import easy, random_trace
from strategies import Case, cases, worlds
from systems import SystemCase, system_cases
from threshold_checks import CLASSES, DELAYS, EXAMPLES, check_in_rounds, check_in_system

import splitee
from splitee.policies.thresholds.pcee import PCEE, PCEEOnline, share_right

LEVELS, EXPLORATIONS = st.sampled_from([0.0, 0.4, 0.7, 1.0]), st.sampled_from([0.0, 0.02, 0.5])


@EXAMPLES
@given(
    cases(worlds(exit_layers=None)),
    LEVELS,
    EXPLORATIONS,
    st.sampled_from([1, 3, 20]),
    st.sampled_from(DELAYS),
)
def test_online_it_equals_its_twin(
    case: Case, level: float, exploration: float, bins: int, delay: int
) -> None:
    twin = lambda: naive_thresholds.PCEEOnline(case.world, CLASSES, level, exploration, bins)  # noqa: E731
    check_in_rounds(case, PCEEOnline(level, exploration, bins), twin, delay)


@EXAMPLES
@given(system_cases(), LEVELS, EXPLORATIONS)
def test_online_in_a_system(one: SystemCase, level: float, exploration: float) -> None:
    twin = lambda: naive_thresholds.PCEEOnline(one.case.world, CLASSES, level, exploration, 3)  # noqa: E731
    check_in_system(one, PCEEOnline(level, exploration, 3), twin)


def test_online_what_is_kept_agrees() -> None:
    """Where the third exit is sure it is wrong on 0.2 %, else on 30 %: only the former are kept."""
    trace = easy(rate=0.002, n=20_000)
    result = splitee.replay(trace, PCEEOnline(0.98), splitee.CostModel(device_layers=3), repeats=2)
    assert result.offload_rate.mean() < 0.35  # what is not sure is 20 %, the rest teaches
    assert result.agreement.mean() > 0.99


@pytest.mark.parametrize("of", ["label", "agreement"])
def test_the_table_is_the_share_that_was_right(of: str) -> None:
    trace = random_trace(200, layers=3)
    right = share_right(trace, of, 5)
    truth = trace.label if of == "label" else trace.prediction[:, -1]
    for i in range(3):
        for b in range(5):
            inside = (trace.confidence[:, i] >= 0.5 + 0.1 * b) & (
                (trace.confidence[:, i] < 0.6 + 0.1 * b) | (b == 4)
            )
            share = (trace.prediction[inside, i] == truth[inside]).mean() if inside.any() else 0.0
            assert right[i, b] == pytest.approx(share)


@pytest.mark.parametrize("offload", [False, True])
@pytest.mark.parametrize("last", [None, 2])
def test_it_stops_where_the_table_says(offload: bool, last: int | None) -> None:
    source, trace = random_trace(300, layers=4, seed=1), random_trace(200, layers=4, seed=2)
    costs = splitee.CostModel(device_layers=3)
    policy = PCEE(source, 0.8, bins=5, last=last, offload=offload)
    right, end = share_right(source, "label", 5), last or (3 if offload else 4)
    result = splitee.replay(trace, policy, costs, orders=[list(range(200))])
    for s in range(200):
        sure = [right[i, min(int((trace.confidence[s, i] - 0.5) * 10), 4)] >= 0.8 for i in range(end)]
        stop = sure.index(True) + 1 if True in sure else end
        assert (result.split[0, s], result.offloaded[0, s]) == (stop, offload and not sure[stop - 1])
    if end <= 3:
        live = splitee.replay(trace, policy.live(), costs, orders=[list(range(200))])
        assert live.split.tolist() == result.split.tolist()
        assert live.offloaded.tolist() == result.offloaded.tolist()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"level": 1.2}, "level is 1.2"),
        ({"of": "labels"}, "choose label or agreement"),
        ({"source": "rte"}, "give the source's validation trace"),
        ({"bins": 0}, "bins"),
        ({"last": 0}, "layer"),
        ({"source": random_trace(9, labels=False)}, "has no labels: give of='agreement'"),
    ],
)
def test_bad_parameters_are_refused(given: dict, message: str) -> None:
    with pytest.raises(splitee.InputError, match=message):
        PCEE(**({"source": random_trace(9)} | given))


def test_a_source_of_another_model_is_refused() -> None:
    with pytest.raises(splitee.InputError, match="source trace"):
        splitee.replay(random_trace(9, layers=4), PCEE(random_trace(9, layers=3)))
    assert np.isfinite(share_right(random_trace(9), "agreement", 50)).all()
