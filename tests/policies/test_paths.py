"""Paths: thresholds, what asking costs, and what the source suggests."""

import math

import numba
import numpy as np
import pytest

import splitee
from splitee.policies.paths import ACTION, FULL_AUDIT, SAFE, Costs, paths_of, rank, thresholds
from splitee.policies.problem import Problem, Table


def costs_of(costs: splitee.CostModel, layers: int = 4, other_cloud: bool = False) -> Costs:
    problem = Problem(layers, costs.arms(layers), costs, 0.1, 2, 0.7, other_cloud=other_cloud)
    return Costs(costs.gamma(layers), costs.offload_costs(layers, 1), problem)


def test_thresholds_ascend_from_one_over_k_and_a_table_s_number_reaches_its_own() -> None:
    for classes in (2, 3, 7, 1000):
        grid = thresholds(classes)
        assert (np.diff(grid) > 0).all()
        assert grid[0, 0] == np.float32(1 / classes)
        assert (grid[1] > grid[0]).all()
    assert np.float32(0.9) in thresholds(2)[0]


def test_the_rank_is_that_of_a_search() -> None:
    ranked = numba.njit(lambda grid, row, confidence: rank(grid, row, confidence))
    grid = thresholds(3)
    for row in (0, 1):
        for c in [0.0, 1.0, *grid[row], *np.nextafter(grid[row], 0), 0.4321]:
            assert ranked(grid, row, c) == np.searchsorted(grid[row], c, side="right") - 1


def test_asking_and_falling_back_take_what_is_cheapest() -> None:
    dear = costs_of(splitee.CostModel(offload=10.0))  # all 4 layers on the device
    assert dear.asking(2, 1) == (pytest.approx(4 * 5 / 6 + 2 / 6), (4, False, 2))
    assert dear.fallback() == (pytest.approx(4 * 5 / 6 + 1 / 6), (4, False, 1))
    other = costs_of(splitee.CostModel(offload=10.0), other_cloud=True)
    assert other.asking(2, 1)[1] == (2, True, 1)
    assert other.fallback()[1] == (0, True, 0)
    unknown = costs_of(splitee.CostModel(offload=[3.0, 1.0, 5.0, 5.0], device_layers=3))
    assert unknown.fallback() == (pytest.approx(2 * 5 / 6 + 1 / 6 + 1), (2, True, 1))
    with pytest.raises(splitee.InputError, match="give offload_input"):
        costs_of(splitee.CostModel(offload=[3.0], device_layers=1), layers=1, other_cloud=True).fallback()


def test_a_path_has_its_actions() -> None:
    paths, actions, weights = paths_of(costs_of(splitee.CostModel(offload=5.0, device_layers=2)), 2, 0.01)
    assert paths.way[:, :3].tolist() == [[1, 0, 0], [2, 0, 0], [2, 0, 0]]
    assert weights == [0.5, 0.5]

    def of(number: int) -> tuple[int, bool, int]:
        return int(actions.layer[number]), bool(actions.offloaded[number]), int(actions.evaluated[number])

    assert [of(k) for k in paths.way[1, ACTION:]] == [(2, False, 1), (2, True, 1)] * 2
    assert of(paths.way[-1, ACTION + FULL_AUDIT]) == (2, True, 2)
    assert of(paths.way[-1, ACTION + SAFE]) == (0, True, 0)
    assert paths.cost[-1, SAFE] == 5.0
    assert paths.cost[-1, FULL_AUDIT] == pytest.approx(7.0)


def test_a_source_moves_weight_to_the_path_that_is_cheap_on_it() -> None:
    rng = np.random.default_rng(0)
    last = rng.integers(2, size=500)
    prediction = np.stack([1 - last, last, last, last], axis=1)  # exit 1 is always wrong
    source = splitee.Trace(np.full((500, 4), 0.99), prediction)
    table = Table.of(source, splitee.CostModel(), 0.0, 0.7)
    paths, _, weights = paths_of(costs_of(splitee.CostModel(device_layers=3)), 2, 0.01, table)
    assert sum(weights) == pytest.approx(1)
    assert np.argmax(weights) == 1
    assert weights[0] >= 0.1 / len(weights)
    assert math.isclose(weights[0], 0.1 / len(weights), rel_tol=1e-3)
    assert paths.many == 3
