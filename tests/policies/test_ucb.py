"""SplitEE and SplitEE-S equal the specification, decision for decision, also with delay and live."""

import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import Case, cases, worlds
from twins import EXAMPLES, check, costs_of, replayed, trace_of

import splitee
from splitee._internal import jit
from splitee.policies.loop import DeviceLoop

SIDES = ("causal", "published", "skip")
DELAYS = st.sampled_from([0, 0, 1, 2, 7, 200])


@EXAMPLES
@given(cases(worlds(exit_layers=None)), DELAYS)
def test_splitee(case: Case, delay: int) -> None:
    policy = splitee.SplitEE(case.threshold, case.exploration, case.send_input)
    rounds = naive.split_ee(case.world, case.order, case.threshold, case.exploration, case.send_input, delay)
    check(replayed(case, policy, delay), rounds, case, send_input=case.send_input)


@EXAMPLES
@given(cases(worlds(exit_layers=None)), st.sampled_from(SIDES), DELAYS)
def test_splitee_s(case: Case, side: str, delay: int) -> None:
    policy = splitee.SplitEES(case.threshold, case.exploration, side, case.send_input)
    rounds = naive.split_ee_s(
        case.world, case.order, case.threshold, case.exploration, side, case.send_input, delay
    )
    check(replayed(case, policy, delay), rounds, case, every_exit=True, send_input=case.send_input)


@settings(max_examples=20)
@given(cases(worlds(exit_layers=None)), st.sampled_from([7, 9, 17, 65]), st.sampled_from((None, *SIDES)))
def test_repeats_side_by_side_are_each_the_specification(case: Case, repeats: int, side: str | None) -> None:
    orders = np.stack([np.random.default_rng(r).permutation(case.order) for r in range(repeats)])
    given = case.threshold, case.exploration, *([] if side is None else [side]), case.send_input
    policy = splitee.SplitEE(*given) if side is None else splitee.SplitEES(*given)
    specification = naive.split_ee if side is None else naive.split_ee_s
    result = splitee.replay(
        trace_of(case.world), policy, costs_of(case.world), mu=case.world.mu, orders=orders
    )
    for order, splits in zip(orders.tolist(), result.split.tolist(), strict=True):
        assert splits == [played.split for played in specification(case.world, order, *given)]


@EXAMPLES
@given(cases(), st.sampled_from(("SplitEE", "causal", "skip")), DELAYS)
def test_live_it_decides_as_in_the_replay(case: Case, which: str, delay: int) -> None:
    """The device loop shows a policy only what a device sees, and ends in the same decisions."""
    object.__setattr__(case.world, "sample_offload", None)  # a live device does not know a sample's cost
    given = (case.threshold, case.exploration, *([] if which == "SplitEE" else [which]), case.send_input)
    policy = (splitee.SplitEE if which == "SplitEE" else splitee.SplitEES)(*given)
    live = policy.live()
    assert isinstance(live, DeviceLoop)
    compiled, stepwise = replayed(case, policy, delay), replayed(case, live, delay)
    assert stepwise.split.tolist() == compiled.split.tolist()
    assert stepwise.offloaded.tolist() == compiled.offloaded.tolist()
    assert stepwise.evaluated.tolist() == compiled.evaluated.tolist()
    assert stepwise.reward == pytest.approx(compiled.reward, rel=1e-12, abs=1e-12)


def test_what_no_device_knows_cannot_run_live() -> None:
    with pytest.raises(splitee.InputError, match="no device knows"):
        splitee.SplitEES(0.7, side_information="published").live()
    trace = splitee.Trace([[0.6, 0.9], [0.8, 0.7]], [[0, 1], [1, 1]])
    costs = splitee.CostModel(sample_offload=[1.0, 2.0])
    with pytest.raises(splitee.InputError, match="does not know the cost of a sample"):
        splitee.replay(trace, splitee.SplitEE(0.7).live(), costs)


def test_a_lost_answer_teaches_what_the_device_answered_with() -> None:
    from splitee.policies.loop import Feedback
    from splitee.policies.problem import Problem

    live = splitee.SplitEE(0.7).live()
    live.start(Problem(3, 3, splitee.CostModel(), 0.1, 2, 0.7), np.random.default_rng(0))
    live.learn(1, Feedback((1,), (0.6,), (0,), True, 6.0, None, None))
    assert live.state[1][1, 0] == 1
    assert live.state[0][1, 0] == pytest.approx(0.0, abs=1e-7)
    live.learn(2, Feedback((2,), (0.9,), (0,), False, 1.8, None, None))
    assert live.state[1].sum() == 2


@pytest.mark.parametrize("side", [None, *SIDES])
def test_rows_that_are_fetched_early_change_no_decision(
    side: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    n = jit.LARGE // 4 + 50  # rows × columns beyond what a kernel takes for small
    rng = np.random.default_rng(4)
    confidence = rng.uniform([0.5, 0.6, 0.5], [0.9, 1.0, 1.0], (n, 3)).astype(np.float32)
    trace = splitee.Trace(confidence, rng.integers(2, size=(n, 3)), rng.integers(2, size=n))
    order = rng.permutation(n)[:3000]
    world = naive.World(
        trace.confidence.tolist(), trace.prediction.tolist(), trace.label.tolist(), offload=[1.0] * 3
    )
    if side is None:
        policy, rounds = splitee.SplitEE(0.8), naive.split_ee(world, order.tolist(), 0.8)
    else:
        policy = splitee.SplitEES(0.8, side_information=side)
        rounds = naive.split_ee_s(world, order.tolist(), 0.8, 1.0, side)
    result = splitee.replay(trace, policy, splitee.CostModel(offload=1.0), mu=0.1, orders=[order, order])
    assert len(set(result.split[0].tolist())) == 3
    assert result.split.tolist() == [[played.split for played in rounds]] * 2
    assert result.accuracy[1] == np.mean([played.right for played in rounds])


def test_an_arm_of_which_nothing_has_arrived_goes_first() -> None:
    """α above all: every sample is offloaded, so that with delay 5 nothing has arrived in rounds 3 to 6."""
    trace = splitee.Trace([[0.6, 0.7, 0.9]] * 12, [[0, 1, 1]] * 12)
    costs = splitee.CostModel(device_layers=2)
    result = splitee.replay(trace, splitee.SplitEE(1.0), costs, orders=[range(12)], delay=5)
    # arm 1 arrives at the end of round 6, arm 2 of round 7: round 7 plays arm 2, of which nothing has arrived
    assert result.split[0, :7].tolist() == [1, 2, 1, 1, 1, 1, 2]


def test_bad_parameters_are_refused() -> None:
    for wrong in (
        lambda: splitee.SplitEE(0.7, 1.0, "published"),
        lambda: splitee.SplitEES(0.7, 1.0, "causal", 3),
    ):
        with pytest.raises(splitee.InputError, match="send_input"):
            wrong()
