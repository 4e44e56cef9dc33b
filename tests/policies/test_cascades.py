"""Cascades equal the specification, and run live."""

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import Case, cases, worlds
from twins import EXAMPLES, check, costs_of, replayed, trace_of

import splitee


@EXAMPLES
@given(cases(worlds(exit_layers=None)), st.integers(1, 6), st.booleans())
def test_cascades_on_the_device(case: Case, patience: int, whole: bool) -> None:
    world, order, alpha = case.world, case.order, case.threshold
    last = None if whole else case.layer
    rounds = naive.elasticbert(world, order, alpha, last)
    check(replayed(case, splitee.ElasticBERT(alpha, last=last)), rounds, case, has_arms=False)
    for policy in (splitee.PABEE(patience, last), splitee.ElasticBERT(patience=patience, last=last)):
        check(replayed(case, policy), naive.pabee(world, order, patience, last), case, has_arms=False)
        if (last or world.layers) <= (world.device_layers or world.layers):
            assert replayed(case, policy.live()).split.tolist() == replayed(case, policy).split.tolist()


@EXAMPLES
@given(cases(worlds()), st.integers(0, 2**20), st.sampled_from([0.0, 0.2, 0.5, 1.0]))
def test_cascades_by_entropy(case: Case, seed: int, limit: float) -> None:
    trace = trace_of(case.world)
    entropies = np.random.default_rng(seed).choice([0.0, 0.2, 0.25, 0.5, 0.9], trace.confidence.shape)
    entropies = entropies.astype(np.float32)
    told = trace.replace(entropy=entropies)
    rounds = naive.deebert(case.world, case.order, entropies.astype(float).tolist(), limit, case.layer)
    for policy in (splitee.DeeBERT(limit, case.layer), splitee.ElasticBERT(entropy=limit, last=case.layer)):
        result = splitee.replay(
            told,
            policy,
            costs_of(case.world),
            mu=case.world.mu,
            orders=[case.order],
            threshold=case.threshold,
        )
        check(result, rounds, case, has_arms=False)
        live = splitee.replay(told, policy.live(), costs_of(case.world), orders=[case.order])
        assert live.split.tolist() == result.split.tolist()


@EXAMPLES
@given(cases(worlds(exit_layers=None)))
def test_cascade_split(case: Case) -> None:
    policy = splitee.CascadeSplit(case.layer, case.threshold)
    rounds = naive.cascade_split(case.world, case.order, case.layer, case.threshold)
    check(replayed(case, policy), rounds, case, has_arms=False)
    live = replayed(case, policy.live())
    assert live.split[0].tolist() == [played.split for played in rounds]
    assert live.offloaded[0].tolist() == [played.offloaded for played in rounds]


@EXAMPLES
@given(cases(worlds(exit_layers=None)), st.data())
def test_one_threshold_per_exit(case: Case, data: st.DataObject) -> None:
    world, layers = case.world, case.world.layers
    alphas = data.draw(
        st.lists(st.sampled_from([0.0, 0.5, 0.6, 0.75, 0.9, 1.0]), min_size=layers - 1, max_size=layers - 1)
    )
    rounds = naive.elasticbert(world, case.order, alphas)
    check(replayed(case, splitee.ElasticBERT(alphas)), rounds, case, has_arms=False)
    policy = splitee.CascadeSplit(case.layer, alphas)
    rounds = naive.cascade_split(world, case.order, case.layer, alphas)
    check(replayed(case, policy), rounds, case, has_arms=False)
    live = replayed(case, policy.live())
    assert live.split[0].tolist() == [played.split for played in rounds]
    assert live.offloaded[0].tolist() == [played.offloaded for played in rounds]


def test_entropy_that_a_trace_does_not_tell() -> None:
    trace = splitee.Trace([[0.6, 0.9]], [[0, 2]])
    with pytest.raises(splitee.InputError, match="entrop"):
        splitee.replay(trace, splitee.DeeBERT(0.3), repeats=1)


def test_what_a_cascade_cannot_be() -> None:
    for wrong in (
        lambda: splitee.ElasticBERT(),
        lambda: splitee.ElasticBERT(0.9, patience=2),
        lambda: splitee.ElasticBERT(1.1),
        lambda: splitee.DeeBERT(-0.1),
        lambda: splitee.DeeBERT(float("nan")),
        lambda: splitee.PABEE(0),
        lambda: splitee.PABEE(2.5),
        lambda: splitee.PABEE(2, last=0),
        lambda: splitee.CascadeSplit(0, 0.5),
        lambda: splitee.CascadeSplit(1, 2.0),
        lambda: splitee.CascadeSplit(1, [0.5, 2.0]),
        lambda: splitee.ElasticBERT([]),
        lambda: splitee.replay(
            splitee.load_trace("rte_validation"), splitee.ElasticBERT([0.9, 0.8]), repeats=1
        ),
    ):
        with pytest.raises(splitee.InputError):
            wrong()
