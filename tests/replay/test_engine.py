"""The compiled engine equals the plain-Python specification decision for decision."""

from concurrent.futures import ThreadPoolExecutor
from unittest import mock

import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import Case, cases, worlds
from twins import EXAMPLES, check, costs_of, replayed, trace_of

import splitee
import splitee._internal.processor
import splitee.replay.arrivals
import splitee.replay.engine
import splitee.replay.lanes
import splitee.replay.replay
import splitee.results.tally
from splitee._internal.processor import EIGHT, LANES
from splitee.policies.base import PlainPolicy

SIDES = ("causal", "published", "skip")


@EXAMPLES
@given(cases(worlds(exit_layers=None)))
def test_splitee(case: Case) -> None:
    policy = splitee.SplitEE(case.threshold, case.exploration, case.send_input)
    rounds = naive.split_ee(case.world, case.order, case.threshold, case.exploration, case.send_input)
    check(replayed(case, policy), rounds, case, send_input=case.send_input)


@EXAMPLES
@given(cases(worlds(exit_layers=None)), st.sampled_from(SIDES))
def test_splitee_s(case: Case, side: str) -> None:
    policy = splitee.SplitEES(case.threshold, case.exploration, side, case.send_input)
    rounds = naive.split_ee_s(case.world, case.order, case.threshold, case.exploration, side, case.send_input)
    check(replayed(case, policy), rounds, case, every_exit=True, send_input=case.send_input)


@settings(max_examples=25, deadline=None)
@given(cases(worlds(exit_layers=None)), st.sampled_from([9, 17, 25]), st.sampled_from((None, *SIDES)))
def test_repeats_side_by_side_are_each_the_specification(case: Case, repeats: int, side: str | None) -> None:
    orders = np.stack([np.random.default_rng(r).permutation(case.order) for r in range(repeats)])
    given = case.threshold, case.exploration, *([] if side is None else [side]), case.send_input
    policy = splitee.SplitEE(*given) if side is None else splitee.SplitEES(*given)
    specification = naive.split_ee if side is None else naive.split_ee_s
    result = splitee.replay(
        trace_of(case.world), policy, costs_of(case.world), mu=case.world.mu, orders=orders
    )
    for order, splits in zip(orders.tolist(), result.split.tolist(), strict=True):
        assert splits == [told.split for told in specification(case.world, order, *given)]


@EXAMPLES
@given(cases(worlds(exit_layers=None)))
def test_policies_that_do_not_learn(case: Case) -> None:
    world, order, alpha = case.world, case.order, case.threshold
    pairs = [
        (splitee.FixedSplit(case.layer, alpha), naive.fixed_split(world, order, case.layer, alpha)),
        (splitee.BestFixedSplit(alpha), naive.best_fixed_split(world, order, alpha)),
    ]
    for policy, rounds in pairs:
        check(replayed(case, policy), rounds, case)
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


@EXAMPLES
@given(cases(), st.sampled_from(("SplitEE", "UCB-tuned", "Thompson", *SIDES)))
def test_the_live_learner_is_the_replayed_one(case: Case, which: str) -> None:
    """The plain-Python path, which shows a policy only what a device sees, ends in the same decisions."""
    if case.world.sample_offload is not None:  # a live device does not know the price of a sample
        object.__setattr__(case.world, "sample_offload", None)
    if which == "SplitEE":
        policy = splitee.SplitEE(case.threshold, case.exploration, case.send_input)
    elif which == "UCB-tuned":
        policy = splitee.UCBTuned(case.threshold, case.send_input)
    elif which == "Thompson":
        policy = splitee.ThompsonSplit(case.threshold, case.send_input)
    else:
        policy = splitee.SplitEES(case.threshold, case.exploration, which, case.send_input)
    learner = policy.learner()
    assert isinstance(learner, PlainPolicy)
    compiled, live = replayed(case, policy), replayed(case, learner)
    assert live.split.tolist() == compiled.split.tolist()
    assert live.offloaded.tolist() == compiled.offloaded.tolist()
    assert live.reward.tolist() == compiled.reward.tolist()


@EXAMPLES
@given(cases(worlds(labels=True, cloud=False)), st.randoms(use_true_random=False))
def test_labels_decide_nothing_and_unseen_answers_of_the_cloud_neither(case: Case, rng: object) -> None:
    trace, costs = trace_of(case.world), costs_of(case.world)
    policies = {
        "a": splitee.SplitEE(case.threshold, case.exploration),
        "b": splitee.SplitEES(case.threshold, case.exploration),
        "c": splitee.BestFixedSplit(case.threshold),
        "d": splitee.UCBTuned(case.threshold),
        "e": splitee.ThompsonSplit(case.threshold),
        "f": splitee.ExploreThenCommit(case.threshold, 5),
        "g": splitee.Oracle(case.threshold),
        "h": splitee.CascadeSplit(case.layer, case.threshold),
        "i": splitee.PABEE(1),
        "j": splitee.ElasticBERT(case.threshold),
    }
    shuffled = list(case.world.label)
    rng.shuffle(shuffled)

    def splits(of: splitee.Trace) -> list[object]:
        results = splitee.replay(of, policies, costs, mu=case.world.mu, orders=[case.order])
        return [results[name].split.tolist() for name in policies]

    assert splits(trace) == splits(trace.replace(label=shuffled)) == splits(trace.replace(label=None))


@EXAMPLES
@given(cases(worlds(cloud=False)), st.integers(0, 2**32 - 1))
def test_a_causal_learner_does_not_use_what_it_did_not_observe(case: Case, seed: int) -> None:
    """Samples are shown once each, so that 'not observed' is a matter of one round."""
    order = list(dict.fromkeys(case.order))
    trace, costs = trace_of(case.world), costs_of(case.world)
    rng = np.random.default_rng(seed)
    for policy in (
        splitee.SplitEE(case.threshold, case.exploration, case.send_input),
        splitee.SplitEES(case.threshold, case.exploration, "causal", case.send_input),
        splitee.SplitEES(case.threshold, case.exploration, "skip", case.send_input),
        splitee.UCBTuned(case.threshold, case.send_input),
        splitee.ThompsonSplit(case.threshold, case.send_input),
        splitee.ExploreThenCommit(case.threshold, 7),
    ):
        before = splitee.replay(trace, policy, costs, mu=case.world.mu, orders=[order])
        unseen = np.array(order)[~before.offloaded[0] & (before.split[0] < trace.layers)]
        confidence = trace.confidence.copy()
        confidence[unseen, -1] = rng.uniform(0.25, 1, len(unseen))
        after = splitee.replay(
            trace.replace(confidence=confidence), policy, costs, mu=case.world.mu, orders=[order]
        )
        assert after.split.tolist() == before.split.tolist()


@settings(max_examples=60, deadline=None)
@given(cases())
def test_a_logged_replay_and_one_worked_out_later_agree(case: Case) -> None:
    trace, costs = trace_of(case.world), costs_of(case.world)
    policy = splitee.SplitEES(case.threshold, case.exploration)
    logged, later = (
        splitee.replay(trace, policy, costs, mu=case.world.mu, repeats=3, seed=5, log=log)
        for log in (True, False)
    )
    assert logged.split.tolist() == later.split.tolist()
    assert logged.offloaded.tolist() == later.offloaded.tolist()
    assert later.regret()[:, -1] == pytest.approx(later.curve.common[:, -1], abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(cases(worlds(send_input=True)))
def test_other_policies_in_the_call_and_how_many_repeats_change_nothing(case: Case) -> None:
    trace, costs = trace_of(case.world), costs_of(case.world)
    alone = splitee.replay(trace, splitee.RandomSplit(case.threshold), costs, repeats=2, seed=1)
    many = splitee.replay(
        trace,
        [splitee.CloudOnly(), splitee.SplitEE(case.threshold), splitee.RandomSplit(case.threshold)],
        costs,
        repeats=4,
        seed=1,
    )
    assert many["random"].split[:2].tolist() == alone.split.tolist()
    np.testing.assert_array_equal(many["random"].totals[:2], alone.totals)


@pytest.mark.parametrize("side", [None, *SIDES])
def test_a_stream_that_no_cache_holds(side: str | None) -> None:
    """What is fetched beforehand changes no decision."""
    n = splitee._internal.processor.IN_CACHE + 500
    rng = np.random.default_rng(4)
    confidence = rng.uniform([0.5, 0.6, 0.5], [0.9, 1.0, 1.0], (n, 3)).astype(np.float32)
    trace = splitee.Trace(confidence, rng.integers(2, size=(n, 3)), rng.integers(2, size=n))
    order = rng.permutation(n)
    world = naive.World(
        trace.confidence.tolist(), trace.prediction.tolist(), trace.label.tolist(), offload=[1.0] * 3
    )
    if side is None:
        policy, rounds = splitee.SplitEE(0.8), naive.split_ee(world, order.tolist(), 0.8)
    else:
        policy = splitee.SplitEES(0.8, side_information=side)
        rounds = naive.split_ee_s(world, order.tolist(), 0.8, 1.0, side)
    result = splitee.replay(trace, policy, splitee.CostModel(offload=1.0), mu=0.1, orders=[order, order])
    assert len(set(result.split[0].tolist())) == 3
    assert result.split.tolist() == [[played.split for played in rounds]] * 2
    assert result.accuracy[1] == np.mean([played.right for played in rounds])
    assert result.reward[0] == pytest.approx(np.mean([played.reward for played in rounds]), rel=1e-12)


@settings(max_examples=60, deadline=None)
@given(cases(), st.integers(1, 5), st.integers(1, 2), st.integers(1, 9))
def test_how_rounds_are_shared_out_and_counted_changes_nothing(
    case: Case, threads: int, vectors: int, rounds: int
) -> None:
    """Lanes (one vector or two; else three), threads, and rounds that are played before they are counted."""
    trace, costs = trace_of(case.world), costs_of(case.world)
    policies = [
        splitee.SplitEES(case.threshold, case.exploration),
        splitee.ThompsonSplit(case.threshold),
        splitee.ExploreThenCommit(case.threshold, 3),
        splitee.CascadeSplit(case.layer, case.threshold),
    ]

    def told() -> list[splitee.Result]:
        results = splitee.replay(trace, policies, costs, mu=case.world.mu, repeats=19, seed=3)
        return list(results.values())

    before = told()
    with (
        mock.patch.object(splitee.replay.replay.config, "NUMBA_NUM_THREADS", threads),
        mock.patch.object(splitee.replay.replay, "SHARED", 0),
        mock.patch.object(splitee.replay.arrivals, "LANE_ROUNDS", vectors * EIGHT * trace.samples),
        mock.patch.object(splitee.replay.lanes, "FULL", rounds),
    ):
        after = told()
    for one, other in zip(before, after, strict=True):
        assert one.split.tolist() == other.split.tolist()
        assert np.array_equal(one.settled, other.settled)
        assert np.array_equal(one.books.outcomes.rounds, other.books.outcomes.rounds)
        np.testing.assert_allclose(one.totals, other.totals, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(one.curve.own, other.curve.own, rtol=1e-9, atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(cases())
def test_what_each_sample_always_does_is_counted_as_if_it_were_played(case: Case) -> None:
    """A policy that does the same with a sample whatever comes is not played repeat by repeat."""
    trace, costs = trace_of(case.world), costs_of(case.world)
    n = trace.samples
    shuffles = np.array([np.random.default_rng(seed).permutation(n) for seed in range(3)])
    policies = [
        splitee.FixedSplit(case.layer, case.threshold),
        splitee.FixedExit(case.layer),
        splitee.CascadeSplit(case.layer, case.threshold),
        splitee.Oracle(case.threshold),
        splitee.FinalExit(),
    ]
    still = splitee.replay(trace, policies, costs, mu=case.world.mu, orders=shuffles)
    doubled = np.concatenate([shuffles, shuffles], axis=1)  # no shuffles, so these are played
    played = splitee.replay(trace, policies, costs, mu=case.world.mu, orders=doubled)
    for name in still:
        assert still[name].split.tolist() == played[name].split[:, :n].tolist()
        sums = 2 * still[name].per_sample, played[name].per_sample
        np.testing.assert_allclose(*sums, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(still[name].totals, played[name].totals, rtol=1e-12, atol=1e-12)
        ends = still[name].curve.own[:, -1], played[name].curve.own[:, -1]
        np.testing.assert_allclose(2 * ends[0], ends[1], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("threads", [1, 2])
def test_what_is_counted_of_a_long_stream_is_what_its_choices_say(threads: int) -> None:
    """Longer than what is added up in one number, in one block of lanes and in several, and in two kinds."""
    n, repeats = splitee.results.tally.FULL + 3_000, 60
    rng = np.random.default_rng(1)
    confidence = rng.uniform([0.5, 0.6, 0.5], [0.9, 1.0, 1.0], (n, 3)).astype(np.float32)
    trace = splitee.Trace(confidence, rng.integers(2, size=(n, 3)), rng.integers(2, size=n))
    costs = splitee.CostModel(offload=[1.0, 0.5, 0.25], sample_offload=rng.uniform(0, 1, n))
    policies = [
        splitee.SplitEE(0.8),
        splitee.SplitEES(0.8),
        splitee.RandomSplit(0.8),
        splitee.ExploreThenCommit(0.8, splitee.results.tally.FULL + 500),
        splitee.CascadeSplit(2, 0.8),
    ]
    with mock.patch.object(splitee.replay.replay.config, "NUMBA_NUM_THREADS", threads):
        results = splitee.replay(trace, policies[:1], costs, repeats=repeats, seed=7)  # shared by threads
        results = dict(results) | dict(splitee.replay(trace, policies[1:], costs, repeats=repeats, seed=7))
    for name, result in results.items():
        order = np.stack([result.scene.arrivals.order(repeat) for repeat in range(repeats)])
        far = np.where(result.offloaded, 3, result.split)
        answer = trace.prediction[order, far - 1]
        assert result.accuracy == pytest.approx((answer == trace.label[order]).mean(axis=1), rel=1e-12), name
        assert result.offload_rate == pytest.approx(result.offloaded.mean(axis=1), rel=1e-12)
        price = np.array([0, 1.0, 0.5, 0.25])[result.split] + costs.sample_offload[order]
        assert result.cost_offload == pytest.approx((price * result.offloaded).mean(axis=1), rel=1e-9)
        late = [np.bincount(row[n // 2 :]).argmax() for row in result.split]
        assert result.settled.tolist() == late
        at = result.curve.rounds - 1
        np.testing.assert_allclose(result.curve.common, result.regret()[:, at], rtol=1e-9, atol=1e-9)
        shown = result.books.outcomes.rounds.sum() * result.books.times
        assert shown == n * repeats


def test_a_sample_is_shown_as_often_as_can_be_counted() -> None:
    trace = splitee.Trace([[0.6, 0.9]], [[0, 1]])
    with pytest.raises(splitee.InputError, match="shown 536,870,912 times"):
        splitee.replay(trace, splitee.SplitEE(0.7), repeats=2**29)


def test_shuffles_are_made_once_by_whoever_asks_first() -> None:
    arrivals = splitee.replay.arrivals.Arrivals(200_000, 4, 11)
    with ThreadPoolExecutor(max_workers=4) as pool:
        made = list(pool.map(lambda _: arrivals.block(0, 4), range(4)))
    assert all(block is made[0] for block in made)


def test_all_policies_meet_the_shuffles_that_were_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []
    make = splitee.replay.arrivals._Shuffles._make

    def counted(shuffles: splitee.replay.arrivals._Shuffles) -> object:
        made.append(shuffles)
        return make(shuffles)

    monkeypatch.setattr(splitee.replay.arrivals._Shuffles, "_make", counted)
    trace = splitee.Trace([[0.6, 0.9], [0.8, 0.7]], [[0, 1], [1, 1]])
    splitee.replay(trace, [splitee.SplitEE(alpha) for alpha in (0.6, 0.7, 0.8)], repeats=100, seed=10**6)
    assert len(made) == 5


@given(st.integers(1, 300), st.integers(1, 4), st.sampled_from([1, 10, 700_000, 1_100_000, 10**7]))
def test_blocks_hold_every_repeat_once_and_fill_vectors(repeats: int, shares: int, rounds: int) -> None:
    blocks = splitee.replay.arrivals.Arrivals(rounds, repeats, 0).blocks(shares)
    assert [repeat for block in blocks for repeat in block] == list(range(repeats))
    assert len(blocks) % shares == 0
    assert all(len(block) <= LANES for block in blocks)
    assert all(
        len(block) <= EIGHT or len(block) * rounds < 2 * splitee.replay.arrivals.LANE_ROUNDS
        for block in blocks
    )
    if shares == 1:
        assert all(len(block) % EIGHT == 0 for block in blocks[:-1])
        assert all(len(block) > 0 for block in blocks)


def test_a_live_learner_keeps_confidences_as_a_trace_does() -> None:
    """Rounded once to float32, and then compared: here up to α."""
    exact, rounded = (splitee.SplitEES(0.75).learner() for _ in range(2))
    for learner, confidence in ((exact, 0.75), (rounded, 0.7499999999)):
        learner.start(3, splitee.CostModel(), 0.1, np.random.default_rng(0))
        learner.learn(1, 2, np.array([confidence, 0.9]), offloaded=False, final_confidence=None)
    assert rounded._state.tolist() == exact._state.tolist()


def test_a_live_learner_must_be_told_what_came_back() -> None:
    learner = splitee.SplitEE(0.7).learner()
    learner.start(2, splitee.CostModel(), 0.1, np.random.default_rng(0))
    with pytest.raises(splitee.InputError, match="round 1 was offloaded"):
        learner.learn(1, 1, np.array([0.6]), offloaded=True, final_confidence=None)
