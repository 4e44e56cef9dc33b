"""Playing: what threads, blocks, other policies and labels must not change."""

from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import Case, cases, worlds
from twins import EXAMPLES, costs_of, trace_of

import splitee
from splitee.replay import player


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


@settings(max_examples=30)
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


@settings(max_examples=40)
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


@settings(max_examples=40)
@given(cases(), st.integers(1, 5), st.integers(1, 9), st.integers(0, 3))
def test_how_rounds_are_shared_changes_nothing(case: Case, threads: int, lanes: int, delay: int) -> None:
    trace, costs = trace_of(case.world), costs_of(case.world)
    policies = [
        splitee.SplitEES(case.threshold, case.exploration),
        splitee.ThompsonSplit(case.threshold),
        splitee.ExploreThenCommit(case.threshold, 3),
        splitee.CascadeSplit(case.layer, case.threshold),
    ]

    def reroundsanew() -> list[splitee.Result]:
        results = splitee.replay(trace, policies, costs, mu=case.world.mu, repeats=19, seed=3, delay=delay)
        return list(results.values())

    before = reroundsanew()
    with (
        mock.patch.object(player.config, "NUMBA_NUM_THREADS", threads),
        mock.patch.object(player, "SHARED", 0),
        mock.patch.object(player, "LANES", lanes),
    ):
        after = reroundsanew()
    for one, other in zip(before, after, strict=True):
        assert one.split.tolist() == other.split.tolist()
        assert np.array_equal(one.settled, other.settled)
        assert np.array_equal(one.totals, other.totals, equal_nan=True)
        assert np.array_equal(one.per_sample, other.per_sample, equal_nan=True)
        assert np.array_equal(one.curve.own, other.curve.own)


def test_an_error_of_a_custom_policy_ends_the_replay() -> None:
    class Wrong:
        def start(self, problem, rng): ...
        def begin(self, t, context):
            raise RuntimeError("mine")

        def decide(self, *seen): ...
        def learn(self, *seen): ...

    trace = splitee.Trace([[0.6, 0.9]] * 20, [[0, 1]] * 20)
    with mock.patch.object(player, "SHARED", 0), pytest.raises(RuntimeError, match="mine"):
        splitee.replay(trace, [splitee.SplitEE(0.7), Wrong()], repeats=40)


@given(st.integers(1, 300), st.integers(1, 4), st.sampled_from([1, 10, 700_000, 10**7, 10**9]))
def test_blocks_hold_every_repeat_once(repeats: int, shares: int, rounds: int) -> None:
    blocks = player._blocks(repeats, rounds, shares)
    assert [repeat for a, b in blocks for repeat in range(a, b)] == list(range(repeats))
    assert all(b - a <= player.LANES for a, b in blocks)
    assert all(b - a == 1 or (b - a) * rounds <= player.BLOCK_ROUNDS for a, b in blocks)


def test_actions_that_fill_the_memory_lie_in_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    from splitee.policies import played

    trace = splitee.Trace([[0.6, 0.9], [0.8, 0.7]] * 30, [[0, 1], [1, 1]] * 30)
    policies = [splitee.SplitEE(0.7), splitee.ThompsonSplit(0.7), splitee.ExploreThenCommit(0.7, 5)]
    before = splitee.replay(trace, policies, repeats=5)
    monkeypatch.setattr(played, "IN_MEMORY", 10)
    after = splitee.replay(trace, policies, repeats=5)
    for name, result in before.items():
        rounds = after[name].measures.rounds.blocks[0][1]
        assert isinstance(rounds.action.base, np.memmap)
        assert result.split.tolist() == after[name].split.tolist()
        assert np.array_equal(result.totals, after[name].totals, equal_nan=True)
