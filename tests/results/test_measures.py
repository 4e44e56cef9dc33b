"""Counts, measures and comparisons against plain sums over the choices."""

import numpy as np
import pytest
from made_up import random_trace

import splitee
from splitee.results import counts, measures
from splitee.results.rounds import Rounds
from splitee.results.setup import AGREES, RIGHT


@pytest.mark.parametrize("shuffled", [True, False])
def test_measures_are_what_the_choices_say(shuffled: bool) -> None:
    trace = random_trace(200, layers=4)
    rng = np.random.default_rng(1)
    extra = rng.uniform(0, 1, 200)
    offload = [1.0, 0.5, 0.25, 0.0]
    costs = splitee.CostModel(offload=offload, offload_input=2.0, sample_offload=extra)
    orders = None if shuffled else rng.integers(200, size=(3, 150))
    policies = [splitee.SplitEE(0.8), splitee.CascadeSplit(3, 0.8), splitee.ExploreThenCommit(0.8, 20)]
    results = splitee.replay(trace, policies, costs, repeats=3, orders=orders, seed=7)
    for result in results.values():
        order = result.setup.streams.block(0, 3).T
        answer = np.where(result.offloaded, 4, result.split)
        right = trace.prediction[order, answer - 1] == trace.label[order]
        assert result.accuracy == pytest.approx(right.mean(axis=1), rel=1e-12)
        assert result.offload_rate == pytest.approx(result.offloaded.mean(axis=1), rel=1e-12)
        o = np.array([2.0, 1.0, 0.5, 0.25, 0.0])[result.split] + extra[order]
        assert result.cost_offload == pytest.approx((o * result.offloaded).mean(axis=1), rel=1e-9)
        assert result.cost_exits == pytest.approx(result.evaluated.mean(axis=1) / 6, rel=1e-9)
        sums = np.zeros(200)
        np.add.at(sums, order.ravel(), right.ravel())
        np.testing.assert_allclose(result.per_sample[:, 0], sums)
        late = [np.bincount(row[row.size // 2 :]).argmax() for row in result.split]
        assert result.settled.tolist() == late
        at = result.curve.rounds - 1
        np.testing.assert_allclose(result.curve.common, result.regret()[:, at], rtol=1e-9, atol=1e-9)


def test_compare_is_the_paired_difference() -> None:
    trace = random_trace(300)
    policies = [splitee.SplitEE(0.8), splitee.FixedExit(5), splitee.FinalExit()]
    results = splitee.replay(trace, policies, repeats=4)
    difference = results.compare("SplitEE", "final-exit")
    row = results.summary().set_index("policy").loc["SplitEE"]
    for metric in ("accuracy", "cost", "utility"):
        for end in ("", "_low", "_high"):
            assert difference[f"{metric}{end}"] == row[f"{metric}_delta{end}"]
    same = results.compare("exit 5", "final-exit")
    assert same["accuracy"] == same["accuracy_low"] == same["accuracy_high"] == 0
    run = results.compare("SplitEE", "exit 5", interval="run")
    assert run["cost_low"] < run["cost"] < run["cost_high"]
    with pytest.raises(KeyError, match="no policy 'x'"):
        results.compare("SplitEE", "x")
    with pytest.raises(splitee.InputError, match="choose data or run"):
        results.compare("SplitEE", "exit 5", interval="other")


def test_marks_say_right_and_agreed() -> None:
    trace = splitee.Trace([[0.6, 0.9]], [[0, 1]], [0], cloud_confidence=[0.9], cloud_prediction=[1])
    result = splitee.replay(trace, splitee.FixedExit(1), repeats=1)
    assert result.setup.marks.tolist() == [[AGREES, RIGHT, AGREES]]
    assert result.agreement.tolist() == [0.0]
    assert measures.METRICS[1] == "agreement"
    rounds: Rounds = result.measures.rounds
    assert (rounds.by_sample, rounds.times) == (True, 1)
    played = rounds.blocks[0][1]
    assert counts.by_sample([(played, np.zeros((1, 1), dtype=np.int32))], 1).sum() == 1
