"""The link-aware split (`splitee.policies.adaptive`), and what adapts to it."""

import naive_system
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from systems import SystemCase, system_cases

import splitee
from splitee.policies.adaptive import PRICES, tabulated


@settings(max_examples=15)
@given(system_cases(), st.booleans(), st.sampled_from([0.0, 0.2, 10.0]))
def test_it_equals_its_twin_but_for_ties(one: SystemCase, queue: bool, memory: float) -> None:
    """The source is summed in another order, so that rules of equal worth may be taken for each other."""
    case = one.case
    policy = splitee.LinkAware(one.trace, queue, memory, case.send_input)
    result = splitee.replay(one.trace, policy, one.system, mu=case.world.mu, orders=[case.order])
    rounds = naive_system.link_aware(
        one.physics, case.world, case.order, one.arrivals, case.world, queue, 1e3 * memory, case.send_input
    )
    ((_, played),) = result.measures.rounds.blocks
    taken = [(r.layer or (one.physics.device_layers if r.lost else 0)) for r in rounds]
    same = np.array(taken) == result.split[0]
    first = int(np.argmin(same)) if not same.all() else len(rounds)
    assert played.measured[0, :first, 0].tolist() == [r.latency for r in rounds[:first]]
    if first < len(rounds):  # both rules are worth the same
        value, _ = tabulated(one.trace, one.trace.layers)
        assert np.abs(np.diff(np.sort(value, axis=0), axis=0)).min() < 1e-9


def test_the_tabulated_value_is_the_best_threshold() -> None:
    trace = splitee.load_trace("rte_validation")
    value, alpha = tabulated(trace, trace.layers)
    own, far = trace.confidence[:, 3].astype(float), trace.confidence[:, -1].astype(float)
    for k in (0, 3, 40, PRICES - 1):
        p = k / (PRICES - 1)
        worth = lambda a, p=p: np.where(own >= a, own, far - p).mean()  # noqa: E731
        assert value[4, k] == pytest.approx(max(worth(a) for a in (0.0, 2.0, *own)))
        assert worth(alpha[4, k]) == pytest.approx(value[4, k])
    assert alpha[0, 0] == np.inf
    assert (np.diff(value, axis=1) <= 1e-12).all()  # a higher price is never worth more


def test_it_offloads_while_the_link_is_fast_and_not_while_it_fades() -> None:
    trace = splitee.load_trace("sst2_validation")
    link = splitee.Link(time_s=[0, 40, 80], mbit_s=[20.0, 0.002, 0.002], rtt=20)
    system = splitee.System(splitee.DeviceProfile(15, 1), link, device_layers=6, arrivals=400.0)
    results = splitee.replay(trace, [splitee.LinkAware(trace), splitee.CloudOnly()], system, repeats=1)
    aware = results["link-aware"]
    arrived = 0.4 * np.arange(trace.samples) % 120
    fast, slow = arrived < 38, (arrived > 45) & (arrived < 78)
    assert aware.offloaded[0, fast].mean() > 0.8
    assert aware.offloaded[0, slow].mean() < 0.2
    assert aware.latency[0] < 0.5 * results["cloud-only"].latency[0]


def test_bad_parameters() -> None:
    with pytest.raises(splitee.InputError, match="give the source's validation trace"):
        splitee.LinkAware("imdb")  # type: ignore[arg-type]
    trace, other = splitee.load_trace("rte_validation"), splitee.load_trace("snli")
    with pytest.raises(splitee.InputError, match="source trace"):
        splitee.replay(trace, splitee.LinkAware(other), repeats=1)
