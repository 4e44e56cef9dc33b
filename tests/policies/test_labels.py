"""Labels that are bought: `splitee.policies.labels`, and both learners that buy some."""

import numpy as np
import pytest
from made_up import harmless

import splitee
from splitee.policies.labels import loss_of

HALF = splitee.CostModel(offload=12.0, device_layers=3)
BOTH = pytest.mark.parametrize("make", [splitee.CertifiedSplit, splitee.AuditedStopping])


def test_the_loss_of_an_exit() -> None:
    prediction, label = np.array([[1, 1, 0, 2]]), np.array([0])  # column 0: the last exit
    bought = [int(loss_of.py_func(prediction, label, 0, i, True)) for i in (1, 2, 3)]
    assert bought == [0, -1, 0]
    assert [int(loss_of.py_func(prediction, label, 0, i, False)) for i in (1, 2, 3)] == [0, 1, 1]
    assert loss_of.py_func(prediction, np.array([1]), 0, 2, True) == 1


def test_stopping_uses_an_exit_that_disagrees_harmlessly() -> None:
    trace = harmless(8000)
    silent = splitee.replay(trace, splitee.AuditedStopping(0.02), HALF, repeats=4)
    policy = splitee.AuditedStopping(0.02, loss="error", labels=2000, label_cost=0.5)
    result = splitee.replay(trace, policy, HALF, repeats=4)
    assert result.name == "audited stopping (δ = 0.02, error, ≤ 2000 labels)"
    assert result.cost.mean() < 0.95 * silent.cost.mean()
    assert ((result.cost_labels > 0) & (result.cost_labels * trace.samples / 0.5 <= 2000 + 1e-6)).all()
    parts = result.cost_layers + result.cost_exits + result.cost_offload + result.cost_labels
    assert result.cost == pytest.approx(parts)
    bound = result.certificate().groupby("repeat")["bound"].last()
    right = (trace.prediction[:, -1] == trace.label).mean()
    assert (right - result.accuracy <= bound + 1e-9).all()


@BOTH
def test_labels_that_were_not_bought_change_no_decision(make) -> None:  # type: ignore[no-untyped-def]
    trace = harmless()
    policy = make(0.03, loss="error", labels=500)
    order = [np.arange(trace.samples)]
    result = splitee.replay(trace, policy, HALF, orders=order, delay=7)
    bought = result.per_sample[:, result.measures.metrics.index("cost_labels")] > 0
    assert 0 < bought.sum() <= 500
    changed = trace.replace(label=np.where(bought, trace.label, 1 - trace.label))
    again = splitee.replay(changed, policy, HALF, orders=order, delay=7)
    assert again.split.tolist() == result.split.tolist()
    assert again.cost.tolist() == result.cost.tolist()


@BOTH
def test_labels_are_refused_where_there_are_none(make) -> None:  # type: ignore[no-untyped-def]
    policy = make(0.03, loss="error", labels=5)
    with pytest.raises(splitee.InputError, match="buys labels, and trace bare has none"):
        splitee.replay(splitee.Trace([[0.6, 0.9]], [[0, 1]], name="bare"), policy)
    with pytest.raises(splitee.InputError, match="cannot run on a device: its feedback has no labels"):
        policy.live()
    system = splitee.System(
        splitee.DeviceProfile(layer_ms=1.0, exit_ms=0.2), splitee.Link(uplink=1.0), tokens=9
    )
    with pytest.raises(splitee.InputError, match="give a CostModel"):
        splitee.replay(harmless(50), policy, system)
    for wrong, words in (
        ({"loss": "none"}, "loss is 'none': choose disagreement or error"),
        ({"labels": -1}, "labels is -1"),
        ({"label_cost": -0.5}, "label_cost is -0.5"),
        ({"label_cost": True}, "label_cost is True"),
    ):
        with pytest.raises(splitee.InputError, match=words):
            make(**wrong)
