"""A grid: its cells in order, the prices of a cell, and which policies each setting makes."""

import numpy as np
import pytest

from splitee._internal.errors import InputError
from splitee.sweep.grid import Cell, Grid
from splitee.sweep.keys import READ


def test_cells_are_all_combinations_in_order():
    grid = Grid(["a", "b"], offload=[1, 5], mu=[0.1, 0.2], device_layers=["all", 2])
    cells = grid.cells()
    assert [cell.number for cell in cells] == list(range(16))
    assert [(cell.trace, cell.device_layers, cell.mu, cell.offload) for cell in cells[:3]] == [
        ("a", "all", 0.1, 1.0),
        ("a", "all", 0.1, 5.0),
        ("a", "all", 0.2, 1.0),
    ]
    assert [cell.trace for cell in cells] == ["a"] * 8 + ["b"] * 8


@pytest.mark.parametrize(
    ("device", "layers", "held"), [("all", 12, 12), ("half", 7, 3), ("half", 1, 1), (5, 9, 5)]
)
def test_words_for_the_layers_of_a_device(device, layers, held):
    assert Cell(0, "a", device, 5 / 6, 0.1, 5.0).holds(layers) == held


def test_a_layer_with_its_exit_costs_one_lambda():
    for layer in (5 / 6, 0.6, 1.0):
        costs = Cell(0, "a", "half", layer, 0.1, 4.0).costs(4, offload_input=2.0)
        np.testing.assert_allclose(costs.device(2, every_exit=True)[0], 1.0)
    with pytest.raises(InputError, match="device_layers 5"):
        Cell(0, "a", 5, 5 / 6, 0.1, 5.0).holds(4)


def test_policies_without_a_setting_are_made_once():
    grid = Grid(
        "a", ["splitee", "cloud-only", "split:2"], threshold=["recommended", 0.9], exploration=[1, 0.5]
    )
    labels = [type(policy).__name__ for policy in grid.members(grid.cells()[0], 4, 0.8, None)]
    assert sorted(labels) == ["CloudOnly", "FixedSplit", "FixedSplit", *["SplitEE"] * 4]
    assert grid.alphas(None) == [0.7, 0.9]
    assert Grid("a", threshold=["recommended", 0.9]).alphas(0.9) == [0.9]


def test_systems_are_read_key_by_key():
    systems = READ["systems"]([{"layer-ms": "1/2", "weights": {"mJ": 2}}, {"name": "b", "device": "pi.json"}])
    assert [one.name for one in systems] == ["1", "b"]
    assert systems[0].to_dict() == {"name": "1", "layer_ms": 0.5, "weights": "mJ=2.0"}
    assert READ["systems"]([one.to_dict() for one in systems]) == systems


def test_what_a_grid_says_makes_it_again():
    grid = Grid(["a"], "splitee", mu="1/10", threshold="recommended", repeats=3, interval=["data", "run"])
    assert Grid(**grid.to_dict()) == grid
