"""What is known in hindsight, against the specification; nothing gets more reward than the oracle."""

import naive
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import Case, cases, worlds
from twins import EXAMPLES, check, costs_of, replayed, trace_of

import splitee


@EXAMPLES
@given(cases(worlds(exit_layers=None)))
def test_oracle(case: Case) -> None:
    policy = splitee.Oracle(case.threshold, case.send_input)
    rounds = naive.per_sample_oracle(case.world, case.order, case.send_input)
    check(replayed(case, policy), rounds, case, has_arms=False)


@EXAMPLES
@given(cases(worlds(exit_layers=None, send_input=True)), st.integers(1, 4))
def test_no_policy_gets_more_reward_of_any_sample_than_the_oracle(case: Case, patience: int) -> None:
    alpha, held = case.threshold, case.world.device_layers or case.world.layers
    last = held if held < case.world.layers else None
    policies = {
        "splitee": splitee.SplitEE(alpha, send_input=True),
        "splitee-s": splitee.SplitEES(alpha),
        "split": splitee.FixedSplit(case.layer, alpha),
        "exit": splitee.FixedExit(case.layer),
        "cloud": splitee.CloudOnly(),
        "cascade": splitee.ElasticBERT(alpha, last=last),
        "patience": splitee.PABEE(patience, last),
        "cascade split": splitee.CascadeSplit(case.layer, alpha),
        "oracle": splitee.Oracle(),
    }
    trace, costs = trace_of(case.world), costs_of(case.world)
    results = splitee.replay(trace, policies, costs, mu=case.world.mu, orders=[case.order])
    reward = {name: result.per_sample[:, 3] for name, result in results.items()}
    for name, sums in reward.items():
        assert (reward["oracle"] >= sums - 1e-9).all(), name


@EXAMPLES
@given(cases(worlds(exit_layers=None)))
def test_best_fixed_split(case: Case) -> None:
    rounds = naive.best_fixed_split(case.world, case.order, case.threshold)
    check(replayed(case, splitee.BestFixedSplit(case.threshold)), rounds, case)


def test_the_oracle_beats_plain_exits_on_half_a_device() -> None:
    """As released with 43ef22a, the oracle only split: IMDb, o = 12, m = 6, 0.002 against 0.328."""
    costs = splitee.CostModel(offload=12.0, device_layers=6)
    policies = [splitee.Oracle(0.9), *(splitee.FixedExit(i) for i in range(1, 7))]
    results = splitee.replay(splitee.load_trace("imdb"), policies, costs, repeats=1)
    oracle, *exits = (result.reward[0] for result in results.values())
    assert oracle > max(exits)


def test_bad_parameters_are_refused() -> None:
    with pytest.raises(splitee.InputError, match="send_input"):
        splitee.Oracle(0.7, 1.0)
    with pytest.raises(splitee.InputError, match="between 0 and 1"):
        splitee.Oracle(-1)
    with pytest.raises(splitee.InputError, match="only exists in a replay"):
        splitee.Oracle().live()
