"""What policies read of a trace: α on the line, rewards by hand, what a device knows."""

import naive
import numpy as np
import pytest

import splitee
from splitee._internal.numbers import check_whole
from splitee.policies.base import display_name
from splitee.policies.played import Actions, Played
from splitee.policies.problem import DEFAULT_THRESHOLD, Problem, Table, alpha_by_layer, as_alpha
from splitee.policies.rules import Confidence, Said


@pytest.mark.parametrize("alpha", [0.6, 0.65, 0.7, 0.9, 0.95, np.float32(0.9), 0.75])
def test_a_confidence_written_as_alpha_reaches_alpha(alpha: float) -> None:
    """A table's 0.9 is float32(0.9), which is below 0.9: α is rounded as it is, in every part."""
    trace = splitee.Trace([[alpha, 0.99]] * 5, [[0, 1]] * 5, [0] * 5)
    costs = splitee.CostModel(device_layers=1)
    for policy in (
        splitee.FixedSplit(1, alpha),
        splitee.SplitEE(alpha),
        splitee.SplitEE(alpha).live(),
        splitee.CascadeSplit(1, alpha),
        splitee.CascadeSplit(1, alpha).live(),
    ):
        assert splitee.replay(trace, policy, costs, repeats=1).offload_rate[0] == 0
    assert splitee.replay(trace, splitee.ElasticBERT(alpha), repeats=1).split.max() == 1
    assert Confidence(alpha).sure(1, Said(np.float32([alpha]), np.array([0])), None)[0].all()
    world = naive.World([[as_alpha(alpha), 0.99]], [[0, 1]], offload=[1.0, 1.0])
    assert naive.exits(world, 0, 1, alpha)


def test_a_table_has_the_cloud_before_the_exits() -> None:
    trace = splitee.Trace([[0.6, 0.9], [0.8, 0.7]], [[0, 1], [1, 1]], [1, 0])
    costs = splitee.CostModel(offload=[1.0, 2.0], offload_input=0.5, sample_offload=[0.0, 0.25])
    table = Table.of(trace, costs, 0.1, DEFAULT_THRESHOLD)
    assert table.confidence[:, 0].tolist() == trace.confidence[:, 1].tolist()
    assert table.prediction.tolist() == [[1, 0, 1], [1, 1, 1]]
    assert table.offload.tolist() == [[0.5, 1.0, 2.0], [0.75, 1.25, 2.25]]
    assert alpha_by_layer(0.75, 2).tolist() == [np.inf, 0.75, -np.inf]
    means = table.mean_rewards(0.75, False, np.array([0, 1]))
    world = naive.World(
        trace.confidence.tolist(), trace.prediction.tolist(),
        offload=[1.0, 2.0], offload_input=0.5, sample_offload=[0.0, 0.25],
    )  # fmt: skip
    assert means.tolist() == [naive.mean_reward(world, [0, 1], i, 0.75, False) for i in (0, 1, 2)]


def test_a_device_knows_its_own_layers() -> None:
    trace = splitee.Trace([[0.6, 0.9, 0.9]], [[0, 1, 1]])
    table = Table.of(trace, splitee.CostModel(offload=[1.0, 2.0, 3.0], device_layers=2), 0.1, 0.7)
    problem: Problem = table.problem
    assert (problem.exits, problem.device_exits, problem.classes, problem.unit) == (3, 2, 2, "λ")
    assert np.asarray(problem.costs.offload).tolist() == [1.0, 2.0]
    alpha, mu, gamma, offload = problem.worth(0.7, every_exit=True)
    assert (mu, gamma.tolist()) == (0.1, [0.0, 1.0, 2.0, 0.0])
    assert alpha[-1] == -np.inf
    assert offload[0, 1:].tolist() == [1.0, 2.0, 0.0]


def test_actions_of_a_split_policy_are_numbered_by_layer() -> None:
    actions = Actions.of_splits(3, every_exit=True)
    assert actions.layer.tolist() == [0, 1, 2, 3, 0, 1, 2, 3]
    assert actions.offloaded.tolist() == [False] * 4 + [True] * 4
    assert actions.answer.tolist() == [0, 1, 2, 3, 0, 0, 0, 0]
    assert Actions.of_splits(3, every_exit=False).evaluated.tolist() == [0, 1, 1, 1] * 2
    assert len(actions.then(actions)) == 16
    assert Actions.of_splits(127, every_exit=False).dtype is np.uint8
    assert Actions.of_splits(128, every_exit=False).dtype is np.uint16
    assert Played(np.zeros((1, 1), np.uint8), actions).actions is actions


def test_a_model_of_many_layers() -> None:
    """More actions than a byte numbers."""
    rng = np.random.default_rng(0)
    trace = splitee.Trace(rng.uniform(0.5, 1, (40, 140)), rng.integers(2, size=(40, 140)))
    world = naive.World(trace.confidence.tolist(), trace.prediction.tolist(), offload=[5.0] * 140)
    order = list(range(40)) * 8
    result = splitee.replay(trace, splitee.SplitEE(0.8), orders=[order])
    assert result.split[0].tolist() == [played.split for played in naive.split_ee(world, order, 0.8)]


def test_names_and_counts() -> None:
    assert display_name(splitee.SplitEES(0.7)) == "SplitEE-S (causal)"
    with pytest.raises(splitee.InputError, match="samples is 0"):
        check_whole("samples", 0)
