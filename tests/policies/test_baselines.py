"""Baselines, other learners and released variants equal their plain-Python twins, decision for decision."""

from dataclasses import replace

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import Case, cases, worlds
from twins import EXAMPLES, check, costs_of, replayed, trace_of

import splitee
from splitee.policies import released


def noise_of(case: Case) -> list[list[float]]:
    """What the policies' own generator of repeat 0 draws."""
    rng = np.random.default_rng(np.random.SeedSequence(0, spawn_key=(1, 0)))
    return rng.standard_normal((len(case.order), len(naive.arms_of(case.world, case.send_input)))).tolist()


@EXAMPLES
@given(cases(worlds(exit_layers=None)))
def test_ucb_tuned(case: Case) -> None:
    policy = splitee.UCBTuned(case.threshold, case.send_input)
    rounds = naive.ucb_tuned(case.world, case.order, case.threshold, case.send_input)
    check(replayed(case, policy), rounds, case, send_input=case.send_input)


@EXAMPLES
@given(cases(worlds(exit_layers=None)))
def test_thompson(case: Case) -> None:
    policy = splitee.ThompsonSplit(case.threshold, case.send_input)
    rounds = naive.thompson_split(case.world, case.order, case.threshold, noise_of(case), case.send_input)
    check(replayed(case, policy), rounds, case, send_input=case.send_input)


@EXAMPLES
@given(cases(worlds(exit_layers=None)), st.integers(1, 30))
def test_explore_then_commit(case: Case, samples: int) -> None:
    policy = splitee.ExploreThenCommit(case.threshold, samples)
    rounds = naive.explore_then_commit(case.world, case.order, case.threshold, samples)
    only_explored = samples >= len(case.order)
    check(replayed(case, policy), rounds, case, every_exit=only_explored, explored=samples)


@EXAMPLES
@given(cases(worlds(max_layers=8)), st.data())
def test_source_split(case: Case, data: st.DataObject) -> None:
    source = data.draw(worlds(layers=case.world.layers))
    priced = replace(
        case.world,
        confidence=source.confidence,
        prediction=source.prediction,
        label=None,
        cloud_confidence=source.cloud_confidence,
        cloud_prediction=source.cloud_prediction,
    )
    if (extra := case.world.sample_offload) is not None:
        mean = float(np.mean(extra))
        priced = replace(priced, sample_offload=[mean] * len(source.confidence))
    policy = splitee.SourceSplit(case.threshold, trace_of(source))
    rounds = naive.source_split(case.world, case.order, case.threshold, priced)
    check(replayed(case, policy), rounds, case)


@EXAMPLES
@given(cases(worlds(exit_layers=None)))
def test_oracle(case: Case) -> None:
    policy = splitee.Oracle(case.threshold, case.send_input)
    rounds = naive.per_sample_oracle(case.world, case.order, case.threshold, case.send_input)
    check(replayed(case, policy), rounds, case, has_arms=False)


@EXAMPLES
@given(cases(worlds(exit_layers=None)), st.integers(1, 6), st.booleans())
def test_cascades_on_the_device(case: Case, patience: int, whole: bool) -> None:
    world, order, alpha = case.world, case.order, case.threshold
    last = None if whole else case.layer
    rounds = naive.elasticbert(world, order, alpha, last)
    check(replayed(case, splitee.ElasticBERT(alpha, last=last)), rounds, case, has_arms=False)
    for policy in (splitee.PABEE(patience, last), splitee.ElasticBERT(patience=patience, last=last)):
        check(replayed(case, policy), naive.pabee(world, order, patience, last), case, has_arms=False)


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


@EXAMPLES
@given(cases(worlds(exit_layers=None)))
def test_cascade_split(case: Case) -> None:
    policy = splitee.CascadeSplit(case.layer, case.threshold)
    rounds = naive.cascade_split(case.world, case.order, case.layer, case.threshold)
    check(replayed(case, policy), rounds, case, has_arms=False)


@EXAMPLES
@given(cases(), st.booleans())
def test_released_learners(case: Case, side: bool) -> None:
    policy = (released.SplitEES if side else released.SplitEE)(case.threshold)
    if len(case.order) < case.world.layers:
        with pytest.raises(splitee.InputError, match="stream of at least"):
            replayed(case, policy)
        return
    rounds = naive.released(case.world, case.order, case.threshold, side)
    check_released(replayed(case, policy), rounds)


@EXAMPLES
@given(cases())
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


def test_variance_decides_in_a_long_stream() -> None:
    """Only after some hundred rounds is UCB-tuned's variance below the largest possible."""
    rng = np.random.default_rng(5)
    sure = np.column_stack([rng.uniform(0.5, 1, 800), rng.uniform(0.78, 0.82, 800), np.full(800, 0.81)])
    world = naive.World(
        sure.astype(np.float32).astype(float).tolist(), [[0, 0, 0]] * 800, offload=[2.0] * 3, mu=0.05
    )
    case = Case(world, list(range(800)) * 2, 0.6, 1.0, False, [1] * 1600, 1)
    check(replayed(case, splitee.UCBTuned(0.6)), naive.ucb_tuned(world, case.order, 0.6), case)
    rounds = naive.thompson_split(world, case.order, 0.6, noise_of(case))
    check(replayed(case, splitee.ThompsonSplit(0.6)), rounds, case)


def test_misplaced_arguments_are_no_switches() -> None:
    for wrong in (
        lambda: splitee.UCBTuned(0.7, 1.0),
        lambda: splitee.SplitEE(0.7, 1.0, "published"),
        lambda: splitee.SplitEES(0.7, 1.0, "causal", 3),
        lambda: splitee.Oracle(0.7, 1.0),
    ):
        with pytest.raises(splitee.InputError, match="send_input"):
            wrong()


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


def test_a_source_of_another_model() -> None:
    told = [{"model": {"sha256": letter * 64}} for letter in "ab"]
    one, two = (splitee.Trace([[0.6, 0.9]], [[0, 1]], manifest=facts) for facts in told)
    with pytest.raises(splitee.InputError, match="another model"):
        splitee.replay(one, splitee.SourceSplit(0.7, two), repeats=1)
    with pytest.raises(splitee.InputError, match="different models"):
        splitee.concatenate([one.replace(name="one"), two.replace(name="two")])


def test_what_a_baseline_cannot_be() -> None:
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
        lambda: splitee.ExploreThenCommit(0.5, samples=0),
        lambda: splitee.SourceSplit(0.5, "imdb"),
        lambda: splitee.UCBTuned(7),
        lambda: splitee.Oracle(-1),
    ):
        with pytest.raises(splitee.InputError):
            wrong()


def test_entropy_that_a_trace_does_not_tell() -> None:
    trace = splitee.Trace([[0.6, 0.9]], [[0, 2]])
    with pytest.raises(splitee.InputError, match="entrop"):
        splitee.replay(trace, splitee.DeeBERT(0.3), repeats=1)


def test_source_of_another_depth() -> None:
    source = splitee.Trace([[0.6, 0.9, 0.9]], [[0, 1, 1]])
    with pytest.raises(splitee.InputError, match=r"source trace mine has exits \(1, 2, 3\)"):
        splitee.replay(splitee.Trace([[0.6, 0.9]], [[0, 1]]), splitee.SourceSplit(0.7, source), repeats=1)


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
