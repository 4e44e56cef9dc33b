"""Exit or input, and the best rule in hindsight."""

import numpy as np
import pytest

import splitee

TRACE = splitee.load_trace("rte_validation")


def test_exit_or_input_pays_for_the_input() -> None:
    costs = splitee.CostModel(offload=8.0, offload_input=2.0)
    ours, split = (
        splitee.replay(TRACE, kind(4, 0.7), costs, repeats=1)
        for kind in (splitee.ExitOrInput, splitee.FixedSplit)
    )
    assert ours.offload_rate == split.offload_rate
    assert ours.cost == pytest.approx(split.cost - 6.0 * split.offload_rate)
    by_layer = splitee.CostModel(offload=np.arange(1.0, 13.0), offload_input=2.0)
    assert splitee.replay(TRACE, splitee.ExitOrInput(4, 0.7), by_layer, repeats=1).cost == pytest.approx(
        ours.cost
    )
    extra = splitee.CostModel(extra={"energy": (1.0, np.ones(13))})
    with pytest.raises(splitee.InputError, match="no extra costs by layer"):
        splitee.replay(TRACE, splitee.ExitOrInput(4, 0.7), extra, repeats=1)


def test_exit_or_input_in_a_system_sends_the_input() -> None:
    device = splitee.DeviceProfile(15, 1, hidden=768)
    states = splitee.System(device, splitee.Link(1.0, 40), sends="state")
    inputs = splitee.System(device, splitee.Link(1.0, 40), sends="input")
    ours = splitee.replay(TRACE, "exit-or-input:4", states, threshold=0.7, repeats=1)
    split = splitee.replay(TRACE, "split:4", inputs, threshold=0.7, repeats=1)
    assert ours.latency == split.latency
    assert ours.kilobytes == split.kilobytes
    assert ours.latency < splitee.replay(TRACE, "split:4", states, threshold=0.7, repeats=1).latency


def test_the_best_rule_beats_every_layer_and_threshold() -> None:
    costs = splitee.CostModel(offload=3.0, device_layers=6)
    best = splitee.replay(TRACE, "best-rule", costs, repeats=1)
    every = [splitee.FixedSplit(i, alpha) for i in range(1, 7) for alpha in splitee.BestRule().thresholds]
    rewards = [splitee.replay(TRACE, {"x": one}, costs, repeats=1)["x"].reward[0] for one in every]
    assert best.reward[0] == pytest.approx(max(rewards))
    system = splitee.System(
        splitee.DeviceProfile(15, 1), splitee.Link(time_s=[0, 3], mbit_s=[0.01, 5.0]), arrivals=90.0
    )
    timed = splitee.replay(TRACE, ["best-rule", "best-split"], system, repeats=2)
    assert (timed[0].reward >= timed[1].reward - 1e-12).all()
    with pytest.raises(splitee.InputError, match="give a tuple"):
        splitee.BestRule([0.7])  # type: ignore[arg-type]
