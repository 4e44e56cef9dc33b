"""Policies that do not learn, against the specification; what the device cannot hold."""

import naive
from hypothesis import given
from strategies import Case, cases, worlds
from twins import EXAMPLES, check, replayed

import splitee
from splitee.policies import released


@EXAMPLES
@given(cases(worlds(exit_layers=None)))
def test_policies_that_do_not_learn(case: Case) -> None:
    world, order, alpha = case.world, case.order, case.threshold
    pairs = [
        (splitee.FixedSplit(case.layer, alpha), naive.fixed_split(world, order, case.layer, alpha)),
    ]
    for policy, rounds in pairs:
        check(replayed(case, policy), rounds, case)
        assert replayed(case, policy.live()).split[0].tolist() == [played.split for played in rounds]
    free = [
        (splitee.FixedExit(case.layer), naive.fixed_exit(world, order, case.layer)),
        (splitee.FinalExit(), naive.final_exit(world, order)),
    ]
    if world.offload_input is not None:
        free.append((splitee.CloudOnly(), naive.cloud_only(world, order)))
    for policy, rounds in free:
        check(replayed(case, policy), rounds, case, has_arms=False)


@EXAMPLES
@given(cases())
def test_random_split_is_the_specification_with_its_own_draws(case: Case) -> None:
    result = replayed(case, splitee.RandomSplit(case.threshold))
    drawn = result.split[0].tolist()
    assert set(drawn) <= set(range(1, (case.world.device_layers or case.world.layers) + 1))
    check(result, naive.random_split(case.world, case.order, drawn, case.threshold), case)


def test_what_needs_more_layers_than_the_device_holds() -> None:
    trace = splitee.Trace([[0.6, 0.7, 0.9]] * 5, [[0, 1, 1]] * 5)
    policies = {
        "cascade": splitee.ElasticBERT(0.8),
        "short cascade": splitee.ElasticBERT(0.8, last=2),
        "deep split": splitee.CascadeSplit(3, 0.8),
        "split": splitee.CascadeSplit(2, 0.8),
        "released": released.SplitEE(0.8),
        "learner": splitee.ThompsonSplit(0.8),
    }
    results = splitee.replay(trace, policies, splitee.CostModel(device_layers=2), repeats=1)
    held = {name: result.on_device for name, result in results.items()}
    assert held == {
        "cascade": False,
        "short cascade": True,
        "deep split": False,
        "split": True,
        "released": False,
        "learner": True,
    }
    assert results["short cascade"].split.max() == 2
    assert results["short cascade"].offload_rate.tolist() == [0.0]
