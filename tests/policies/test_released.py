"""Released variants do what the authors' public code does."""

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import Case, cases, worlds
from twins import EXAMPLES, replayed

import splitee
from splitee.policies import released


@EXAMPLES
@given(cases(worlds(extras=False)), st.booleans())
def test_released_learners(case: Case, side: bool) -> None:
    policy = (released.SplitEES if side else released.SplitEE)(case.threshold)
    if len(case.order) < case.world.layers:
        with pytest.raises(splitee.InputError, match="stream of at least"):
            replayed(case, policy)
        return
    rounds = naive.released(case.world, case.order, case.threshold, side)
    check_released(replayed(case, policy), rounds)


@EXAMPLES
@given(cases(worlds(extras=False)))
def test_released_elasticbert(case: Case) -> None:
    rounds = naive.released_elasticbert(case.world, case.order, case.threshold)
    check_released(replayed(case, released.ElasticBERT(case.threshold)), rounds)


def check_released(result: splitee.Result, rounds: list[naive.Round]) -> None:
    """Their prices are sums of other numbers, equal to a rounding."""
    assert result.split[0].tolist() == [r.split for r in rounds]
    assert result.offloaded[0].tolist() == [r.offloaded for r in rounds]
    assert result.cost[0] == pytest.approx(np.mean([r.cost for r in rounds]), rel=1e-12, abs=1e-12)
    assert result.reward[0] == pytest.approx(np.mean([r.reward for r in rounds]), rel=1e-12, abs=1e-12)
    if rounds[0].right is not None:
        assert result.accuracy[0] == np.mean([float(r.right) for r in rounds])
    parts = result.cost_layers + result.cost_exits + result.cost_offload
    assert parts[0] == pytest.approx(result.cost[0], abs=1e-9)


def test_released_by_hand() -> None:
    # α = 0.7, μ = 0.1, o = 5: r(1) of samples 0, 2 is 0.9 − 0.1, of sample 1 it is 0.6 − 0.6; r(2) = C − 0.2
    trace = splitee.Trace(
        np.array([[0.9, 0.8], [0.6, 0.6], [0.9, 0.9]], dtype=np.float64), [[0, 1], [0, 1], [0, 1]], [0, 1, 0]
    )
    play = lambda policy: splitee.replay(  # noqa: E731
        trace, policy, splitee.CostModel(offload=5.0, layer=9.0, exit=7.0), mu=0.1, orders=[[0, 1, 2]]
    )
    # first looks: arm 1 at sample 0 (0.8), arm 2 at sample 1 (0.4). t = 1, ln 1 = 0: arm 1, 0.8 again
    # t = 2: arm 1 0.8 + sqrt(0.693/2) = 1.389, arm 2 0.4 + sqrt(0.693) = 1.233: arm 1, sample 1 is sent: 0.0
    # t = 3: arm 1 1.6/3 + sqrt(1.0986/3) = 1.138, arm 2 0.4 + sqrt(1.0986) = 1.448: arm 2
    result = play(released.SplitEE(threshold=0.7))
    assert result.split.tolist() == [[1, 1, 2]]
    assert result.offloaded.tolist() == [[False, True, False]]
    assert result.cost[0] == pytest.approx((1 + (1 + 5) + 1.8) / 3)
    assert result.accuracy[0] == 2 / 3  # exit 1 says 0: right; the cloud 1: right; exit 2 1: wrong
    result = play(released.ElasticBERT(threshold=0.7))  # sample 0 is sure at 1 and answered at 2
    assert result.split.tolist() == [[2, 2, 2]]
    assert result.cost.tolist() == [2.0]


def test_regret_of_released_variants_is_at_their_own_price() -> None:
    trace = splitee.Trace([[0.9, 0.95], [0.6, 0.9]], [[0, 1], [0, 1]])
    result = splitee.replay(
        trace, released.SplitEES(0.7), splitee.CostModel(layer=3.0, exit=4.0), mu=0.1, orders=[[0, 1]]
    )
    assert result.sees_final
    # r(1) = 0.9 − 0.1 and 0.9 − 0.6, r(2) = 0.95 − 0.2 and 0.9 − 0.2: means 0.55 and 0.725
    worth = {1: 0.55, 2: 0.725}
    expected = np.cumsum([0.725 - worth[split] for split in result.split[0].tolist()])
    assert result.regret("own")[0] == pytest.approx(expected, abs=1e-6)


def test_released_variants_know_exits_after_every_layer_only() -> None:
    trace = splitee.Trace([[0.9, 0.95]] * 2, [[0, 1]] * 2, manifest={"exit_layers": [3, 6]})
    with pytest.raises(splitee.InputError, match="every layer"):
        splitee.replay(trace, released.ElasticBERT(0.7), repeats=1)


def test_they_learn_at_once() -> None:
    trace = splitee.Trace([[0.9, 0.95]] * 4, [[0, 1]] * 4)
    with pytest.raises(splitee.InputError, match="learns at once"):
        splitee.replay(trace, released.SplitEE(0.7), repeats=1, delay=1)
