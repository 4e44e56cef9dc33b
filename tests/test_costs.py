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
    assert costs.offload_by_layer(12).tolist() == [5.0] * 13


def test_sending_by_layer_needs_a_price_for_the_input() -> None:
    costs = splitee.CostModel(offload=[1, 2, 3])
    assert costs.offload_by_layer(3)[1:].tolist() == [1, 2, 3]
    assert np.isnan(costs.offload_by_layer(3)[0])
    with pytest.raises(ValueError, match="offload_input"):
        costs.offload_by_layer(3, send_input=True)
    priced = splitee.CostModel(offload=[1, 2, 3], offload_input=0.5)
    assert priced.offload_by_layer(3, send_input=True).tolist() == [0.5, 1, 2, 3]


def test_a_device_sees_its_own_layers() -> None:
    costs = splitee.CostModel(offload=[1, 2, 3], device_layers=2)
    seen = costs.on_device(3)
    assert seen.offload_by_layer(2)[1:].tolist() == [1, 2]
    assert seen.device_layers == 2
    assert splitee.CostModel(device_layers=3).on_device(3).device_layers is None


def test_prices_cannot_be_changed_from_outside() -> None:
    mine = np.array([1.0, 2.0])
    costs = splitee.CostModel(offload=mine, sample_offload=mine)
    mine[0] = 9
    assert costs.offload_by_layer(2)[1] == 1
    assert costs.offload_costs(2, 2)[:, 1].tolist() == [2, 3]


@pytest.mark.parametrize("price", [10**400, [10**400], -1, [-1.0], float("nan"), [1.0, float("inf")], "dear"])
def test_what_is_no_price_is_told(price: object) -> None:
    with pytest.raises(splitee.InputError, match=r"^offload (is|must be) "):
        splitee.CostModel(offload=price)  # type: ignore[arg-type]


@pytest.mark.parametrize("layers", [5, [2, 1], [1.5, 2], [[1], [2, 3]], []])
def test_layers_of_exits_ascend(layers: object) -> None:
    with pytest.raises(splitee.InputError, match=r"exit_layers is .*: give ascending layers, from 1 on"):
        splitee.CostModel(exit_layers=layers)  # type: ignore[arg-type]


def test_terms_add_up_to_the_cost() -> None:
    costs = splitee.CostModel(
        layer=0.8,
        exit=0.2,
        offload=[1.0, 2.0, 3.0],
        offload_input=0.5,
        sample_offload=[0.0, 0.25],
        extra={"energy": ([1.0, 2.0, 4.0], 0.5), "queue": (0.0, [[1, 2, 3, 4], [0, 0, 0, 1]])},
    )
    terms = costs.terms(3, 2)
    assert [term.name for term in terms] == ["layers", "exits", "offload", "energy", "queue"]
    np.testing.assert_allclose(sum(term.device for term in terms)[1, 1:], costs.gamma(3)[1, 1:])
    np.testing.assert_allclose(sum(term.device for term in terms)[3, 3], costs.gamma(3)[3, 3])
    np.testing.assert_allclose(
        sum(term.offload for term in terms) + np.zeros((2, 4)), costs.offload_costs(3, 2)
    )
    assert costs.offload_costs(3, 2)[1].tolist() == [1.25, 1.75, 2.75, 4.75]
    assert costs.gamma(3)[2, 3] == pytest.approx(3 * 0.8 + 2 * 0.2 + 4.0)  # two exits evaluated, stop at 3


def test_extra_terms_are_reported_by_name() -> None:
    trace = splitee.Trace([[0.6, 0.9]] * 4, [[0, 1]] * 4, [1] * 4)
    costs = splitee.CostModel(extra={"energy": ([3.0, 5.0], 2.0)})
    result = splitee.replay(trace, splitee.FixedSplit(1, 0.7), costs, repeats=1)
    assert result.cost_energy.tolist() == [5.0]  # 3 on the device and 2 for the offload
    assert result.cost[0] == pytest.approx(1 + 5 + 5)
    assert "cost_energy" in result.summary()


@pytest.mark.parametrize(
    "extra",
    [{"exits": (1, 1)}, {"a b": (1, 1)}, {"x": 3}, {"x": (1, 1, 1)}, {"x": (-1, 0)}, 5, {"x": ([1], 0)}],
)
def test_extra_terms_that_cannot_be(extra: object) -> None:
    trace = splitee.Trace([[0.6, 0.9]], [[0, 1]])
    with pytest.raises(splitee.InputError, match="extra"):
        splitee.replay(trace, splitee.FinalExit(), splitee.CostModel(extra=extra))  # type: ignore[arg-type]


@given(st.lists(st.floats(0, 100), min_size=2, max_size=12), st.floats(0, 5))
def test_layers_of_different_costs(layers: list[float], exit_: float) -> None:
    n = len(layers)
    costs = splitee.CostModel(layer=layers, exit=exit_)
    assert costs.device(n).tolist() == pytest.approx([sum(layers[:i]) + exit_ for i in range(1, n + 1)])
    assert costs.device(n, every_exit=True).tolist() == pytest.approx(
        [sum(layers[:i]) + exit_ * i for i in range(1, n + 1)]
    )
    parts = costs.terms(n, 1)
    assert sum(term.device for term in parts) == pytest.approx(costs.gamma(n))
    same = splitee.CostModel(layer=[2.5] * n, exit=exit_, device_layers=2)
    assert same.gamma(n) == pytest.approx(splitee.CostModel(layer=2.5, exit=exit_).gamma(n))
    assert same.on_device(n).device(2).tolist() == same.device(n)[:2].tolist()
    with pytest.raises(splitee.InputError, match="one per exit"):
        costs.gamma(n + 1)


def test_a_replay_with_measured_layers() -> None:
    trace = splitee.load_trace("rte_validation")
    costs = splitee.CostModel(layer=np.arange(1.0, 13.0), exit=0.5, offload=20.0, device_layers=6)
    results = splitee.replay(trace, [splitee.FixedExit(3), splitee.SplitEE(0.8)], costs, repeats=2)
    assert results["exit 3"].cost.tolist() == [6.5, 6.5]
    assert (results["SplitEE"].cost_layers <= 21).all()
