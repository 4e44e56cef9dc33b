"""UEE-UCB equals its specification, and finds the best exit where dominance holds."""

import naive_thresholds
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import Case, cases, worlds
from systems import SystemCase, system_cases
from threshold_checks import DELAYS, EXAMPLES, check_in_rounds, check_in_system

import splitee
from splitee.policies.thresholds.dominance import UEEUCB

EXPLORATIONS = st.sampled_from([0.0, 0.1, 1.0])


@EXAMPLES
@given(cases(worlds(exit_layers=None)), EXPLORATIONS, st.booleans(), st.sampled_from(DELAYS))
def test_it_equals_its_twin(case: Case, exploration: float, offload: bool, delay: int) -> None:
    twin = lambda: naive_thresholds.UEEUCB(case.world, exploration, offload, released=False)  # noqa: E731
    check_in_rounds(case, UEEUCB(exploration, offload), twin, delay)


@EXAMPLES
@given(system_cases(), EXPLORATIONS, st.booleans())
def test_in_a_system(one: SystemCase, exploration: float, offload: bool) -> None:
    twin = lambda: naive_thresholds.UEEUCB(one.case.world, exploration, offload, released=False)  # noqa: E731
    check_in_system(one, UEEUCB(exploration, offload), twin)


def dominant(n: int, right: list[float], seed: int = 0) -> splitee.Trace:
    """Exits of which the later are right wherever the earlier are, with these accuracies."""
    rng = np.random.default_rng(seed)
    label = rng.integers(2, size=n)
    correct = rng.random((n, 1)) < np.array(right)
    return splitee.Trace(np.full((n, len(right)), 0.8), np.where(correct, label[:, None], 1 - label[:, None]))


def test_it_finds_the_best_exit() -> None:
    """An exit more costs μ = 0.05: the third is worth 0.2 more than the first, the fourth nothing."""
    trace = dominant(20_000, [0.6, 0.7, 0.9, 0.91, 0.92])
    layers = splitee.CostModel(layer=1.0, exit=0.0, offload=20.0)
    result = splitee.replay(trace, UEEUCB(exploration=0.3), layers, mu=0.05, repeats=2)
    late = result.split[:, 10_000:]
    assert (late == 3).mean() > 0.9
    cheap = splitee.CostModel(layer=1.0, exit=0.0, offload=0.5, device_layers=2)
    result = splitee.replay(trace, UEEUCB(exploration=0.3), cheap, mu=0.05, repeats=2)
    assert result.offloaded[:, 10_000:].mean() > 0.9  # after exit 1
    assert result.split.max() == 2


def test_as_released_it_weighs_layers_and_never_offloads() -> None:
    """Exit 2 of 3 gains 0.3 and costs 1/3 of a point more than exit 1, whatever a layer costs here."""
    trace = dominant(20_000, [0.6, 0.9, 0.95])
    costs = splitee.CostModel(layer=0.0, exit=0.0, offload=0.0, device_layers=2)
    result = splitee.replay(trace, UEEUCB(0.1, released=True), costs, repeats=1)
    assert (result.split[:, 10_000:] == 1).mean() > 0.8
    assert result.split.max() == 2
    assert not result.offloaded.any()


def test_bad_parameters_are_refused() -> None:
    with pytest.raises(splitee.InputError, match="exploration"):
        UEEUCB(exploration=float("inf"))
    with pytest.raises(splitee.InputError, match="offload is 1"):
        UEEUCB(offload=1)
