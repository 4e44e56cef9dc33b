"""Late rewards (`splitee.policies.arms.late`): what equals SplitEE, and whose means are biased."""

import numpy as np
import pytest
from hypothesis import given, settings
from strategies import Case, cases, worlds
from twins import replayed

import splitee
from splitee.policies.arms import late
from splitee.policies.arms.late import LateUCB


@settings(max_examples=25)
@given(cases(worlds(max_layers=6)))
def test_without_a_delay_two_of_them_are_splitee(case: Case) -> None:
    given_ = {"exploration": case.exploration, "send_input": case.send_input}
    expected = replayed(case, splitee.SplitEE(case.threshold, case.exploration, case.send_input))
    for rule in ("arrives", "queues"):
        result = replayed(case, LateUCB(case.threshold, rule, **given_))
        assert result.split.tolist() == expected.split.tolist()


def error_of_the_mean(rule: str, delay: int) -> float:
    """How far the mean of the only arm is off that of its rewards so far, on average over a short stream."""
    rng = np.random.default_rng(0)
    n = 2000
    confidence = np.column_stack([rng.choice([0.55, 0.95], n), np.full(n, 0.99)])
    trace = splitee.Trace(confidence, np.zeros((n, 2), dtype=int))
    costs = splitee.CostModel(layer=1.0, exit=0.0, offload=6.0, device_layers=1)
    live = LateUCB(0.7, rule).live()
    off: list[float] = []
    truth = float(np.mean([c - 0.1 if c > 0.7 else 0.99 - 0.7 for c in confidence[:, 0]]))

    class Watched:
        name, threshold = "watched", 0.7
        start, begin, decide = live.start, live.begin, live.decide

        def learn(self, t: int, feedback: splitee.policies.loop.Feedback) -> None:
            live.learn(t, feedback)
            now = sum(live.state[late.COUNT])
            if now > 100:
                weight = 0.0 if rule == "arrives" else 1.0
                off.append(late_mean(live, weight) - truth)

    splitee.replay(trace, Watched(), costs, mu=0.1, orders=[range(n)], delay=delay)
    return float(np.mean(off))


def late_mean(live: late.LiveLate, weight: float) -> float:
    state = live.state[:, 1]
    under_way = weight * state[late.PENDING]
    back = state[late.BACK]
    total = state[late.EXIT_SUM] + (back + under_way) * (state[late.BACK_SUM] / back if back else 0.0)
    return float(total / (state[late.EXITS] + back + under_way))


def test_means_are_unbiased_only_if_what_is_under_way_counts() -> None:
    """Exits bring 0.85, offloads 0.29: while 300 rounds are under way, exits alone are in the mean."""
    assert error_of_the_mean("arrives", 300) > 0.03
    assert abs(error_of_the_mean("means", 300)) < 0.012
    assert abs(error_of_the_mean("arrives", 0)) < 0.012


def test_bad_parameters_are_refused() -> None:
    for given_, line in (
        ({"rule": "later"}, "choose arrives, queues, means"),
        ({"exploration": -1}, "exploration"),
        ({"send_input": 2}, "send_input"),
    ):
        with pytest.raises(splitee.InputError, match=line):
            LateUCB(0.7, **given_)


@pytest.mark.parametrize("rule", ["arrives", "queues", "means"])
def test_the_rate_of_the_link_is_known_in_the_order_of_the_rounds(rule: str) -> None:
    """On a link that changes: what is cheaper to send depends on the rate that is known."""
    trace = splitee.load_trace("imdb").select(range(400))
    link = splitee.Link(time_s=[0.0, 0.2, 0.5], mbit_s=[0.02, 8.0, 0.05])
    system = splitee.System(
        splitee.DeviceProfile(layer_ms=2.0, exit_ms=1.0, hidden=8), link, cloud=400.0, arrivals=9.0
    )
    policy = LateUCB(0.9, rule)
    whole = splitee.replay(trace, {"it": policy}, system, repeats=2)["it"]
    loop = splitee.replay(trace, {"it": policy.live()}, system, repeats=2)["it"]
    assert (whole.split == loop.split).all()
    assert np.allclose(whole.latency, loop.latency, rtol=1e-12)
