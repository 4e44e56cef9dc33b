import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import splitee

PRICE = st.floats(0, 100)


@given(PRICE, PRICE, st.integers(2, 24))
def test_gamma_by_multiplication(layer: float, exit_: float, layers: int) -> None:
    costs = splitee.CostModel(layer=layer, exit=exit_)
    assert costs.device(layers).tolist() == [layer * i + exit_ for i in range(1, layers + 1)]
    every = [(layer + exit_) * i for i in range(1, layers + 1)]
    assert costs.device(layers, every_exit=True).tolist() == every
    regular = splitee.CostModel(layer=layer, exit=exit_, exit_layers=range(1, layers + 1))
    assert regular.device(layers, every_exit=True).tolist() == every


def test_the_papers_units() -> None:
    costs = splitee.CostModel()
    assert costs.device(12)[0] == pytest.approx(1)  # one layer with its exit is λ
    assert costs.device(12, every_exit=True)[-1] == pytest.approx(12)
    assert costs.sending(12).tolist() == [5.0] * 13


def test_sending_by_layer_needs_a_price_for_the_input() -> None:
    costs = splitee.CostModel(offload=[1, 2, 3])
    assert costs.sending(3)[1:].tolist() == [1, 2, 3]
    assert np.isnan(costs.sending(3)[0])
    with pytest.raises(ValueError, match="offload_input"):
        costs.sending(3, send_input=True)
    priced = splitee.CostModel(offload=[1, 2, 3], offload_input=0.5)
    assert priced.sending(3, send_input=True).tolist() == [0.5, 1, 2, 3]


def test_a_device_sees_its_own_layers() -> None:
    costs = splitee.CostModel(offload=[1, 2, 3], device_layers=2)
    seen = costs.on_device(3)
    assert seen.sending(2)[1:].tolist() == [1, 2]
    assert seen.device_layers == 2
    assert splitee.CostModel(device_layers=3).on_device(3).device_layers is None


def test_prices_cannot_be_changed_from_outside() -> None:
    mine = np.array([1.0, 2.0])
    costs = splitee.CostModel(offload=mine, sample_offload=mine)
    mine[0] = 9
    assert costs.sending(2)[1] == 1
    assert costs.by_sample(2).tolist() == [1, 2]


@pytest.mark.parametrize("price", [10**400, [10**400], -1, [-1.0], float("nan"), [1.0, float("inf")], "dear"])
def test_what_is_no_price_is_told(price: object) -> None:
    with pytest.raises(splitee.InputError, match=r"^offload (is|must be) "):
        splitee.CostModel(offload=price)  # type: ignore[arg-type]


@pytest.mark.parametrize("layers", [5, [2, 1], [1.5, 2], [[1], [2, 3]], []])
def test_layers_of_exits_ascend(layers: object) -> None:
    with pytest.raises(splitee.InputError, match=r"exit_layers is .*: give ascending layers, from 1 on"):
        splitee.CostModel(exit_layers=layers)  # type: ignore[arg-type]
