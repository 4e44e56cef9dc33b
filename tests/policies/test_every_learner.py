"""One suite over every registered learner: its twin, its device loop, what it may know, how it is cut.

A learner is tried because it has a name (`splitee.policies.names`); see `tests/support/learners.py`.
"""

import dataclasses

import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from learners import ELSEWHERE, generator, known_in, learners, twins
from made_up import random_trace
from strategies import Case, cases, worlds
from systems import SystemCase, system_cases
from twins import costs_of, trace_of

import splitee
from splitee.policies.base import Policy
from splitee.replay import player

DELAYS = st.sampled_from([0, 0, 1, 3, 200])
FEW, MANY = settings(max_examples=12), settings(max_examples=60)
TWINS = twins()


def in_rounds(case: Case, policies: dict[str, Policy], delay: int, world: naive.World | None = None):  # type: ignore[no-untyped-def]
    world = case.world if world is None else world
    return splitee.replay(
        trace_of(world),
        policies,
        costs_of(world),
        mu=world.mu,
        orders=[case.order],
        threshold=case.threshold,
        delay=delay,
    )


def in_system(one: SystemCase, policies: dict[str, Policy], trace: splitee.Trace):  # type: ignore[no-untyped-def]
    case = one.case
    return splitee.replay(
        trace, policies, one.system, mu=case.world.mu, orders=[case.order], threshold=case.threshold
    )


def test_every_learner_has_a_twin() -> None:
    world = naive.World([[0.6, 0.9]], [[0, 1]], offload=[1.0] * 2, offload_input=1.0)
    case = Case(world, [0], 0.7, 1.0, False, [1], 1)
    named = set(learners(case, trace_of(case.world)))
    assert named <= {*TWINS, *ELSEWHERE}, "add TWINS to a module tests/naive_*.py"
    assert set(TWINS) <= named, "no learner has this name"


def equal_in_rounds(case: Case, delay: int) -> None:
    policies = {n: p for n, p in learners(case, trace_of(case.world)).items() if n in TWINS}
    results = in_rounds(case, policies, delay)
    for name, result in results.items():
        rounds = TWINS[name].rounds(case, delay, generator())
        assert result.split[0].tolist() == [r.split for r in rounds], name
        assert result.offloaded[0].tolist() == [r.offloaded for r in rounds], name
        costs, rewards = (np.mean([getattr(r, what) for r in rounds]) for what in ("cost", "reward"))
        assert result.cost[0] == pytest.approx(costs, rel=1e-9, abs=1e-12), name
        assert result.reward[0] == pytest.approx(rewards, rel=1e-9, abs=1e-12), name


def equal_in_a_system(one: SystemCase) -> None:
    policies = {n: p for n, p in learners(one.case, one.trace).items() if n in TWINS and TWINS[n].system}
    known = known_in(one)
    for name, result in in_system(one, policies, one.trace).items():
        rounds = TWINS[name].system(one, known, generator())  # type: ignore[misc]
        last = one.physics.device_layers
        assert result.split[0].tolist() == [r.layer or (last if r.lost else 0) for r in rounds], name
        assert result.offloaded[0].tolist() == [r.offloaded and not r.lost for r in rounds], name
        ((_, played),) = result.measures.rounds.blocks
        assert played.measured[0, :, 0].tolist() == [r.latency for r in rounds], name


@FEW
@given(cases(worlds(exit_layers=None, max_layers=9)), DELAYS)
def test_each_equals_its_twin(case: Case, delay: int) -> None:
    equal_in_rounds(case, delay)


@pytest.mark.slow
@MANY
@given(cases(worlds(exit_layers=None)), DELAYS)
def test_each_equals_its_twin_in_more_worlds(case: Case, delay: int) -> None:
    equal_in_rounds(case, delay)


@FEW
@given(system_cases())
def test_each_equals_its_twin_in_a_system(one: SystemCase) -> None:
    equal_in_a_system(one)


@pytest.mark.slow
@MANY
@given(system_cases())
def test_each_equals_its_twin_in_more_systems(one: SystemCase) -> None:
    equal_in_a_system(one)


@FEW
@given(cases(worlds(max_layers=6)), DELAYS)
def test_live_each_decides_as_in_the_replay(case: Case, delay: int) -> None:
    object.__setattr__(case.world, "sample_offload", None)  # a live device does not know a sample's cost
    policies = learners(case, trace_of(case.world), sees_final=False)
    policies.pop("link-aware", None)  # it has no device loop
    compiled = in_rounds(case, policies, delay)
    live = in_rounds(case, {name: policy.live() for name, policy in policies.items()}, delay)
    for name in policies:
        assert live[name].split.tolist() == compiled[name].split.tolist(), name
        assert live[name].offloaded.tolist() == compiled[name].offloaded.tolist(), name


@FEW
@given(system_cases())
def test_live_in_a_system_each_decides_as_in_the_replay(one: SystemCase) -> None:
    policies = learners(one.case, one.trace, sees_final=False)
    policies = {n: p for n, p in policies.items() if n in TWINS and TWINS[n].system}
    compiled = in_system(one, policies, one.trace)
    live = in_system(one, {name: policy.live() for name, policy in policies.items()}, one.trace)
    for name in policies:
        assert live[name].split.tolist() == compiled[name].split.tolist(), name
        assert live[name].offloaded.tolist() == compiled[name].offloaded.tolist(), name


def evaluated(result: splitee.Result, k: int, m: int) -> set[int]:
    """Return the exits that were evaluated in round k."""
    ((_, played),) = result.measures.rounds.blocks
    actions, action = played.actions, int(played.action[k, 0])
    if actions.exits is not None:
        return set(actions.exits[action])
    layer, many = int(actions.layer[action]), int(actions.evaluated[action])
    found = set(range(1, layer + 1)) if many > 1 else {layer}
    return found | ({m} if played.lost is not None and played.lost[k, 0] else set())


def changed(world: naive.World, s: int, kept: set[int], seed: int) -> naive.World:
    """Return the world in which sample s has other outputs at all exits but those kept (0: the cloud)."""
    rng = np.random.default_rng(seed)
    confidence, prediction = [list(row) for row in world.confidence], [list(row) for row in world.prediction]
    cloud, answer = list(world.cloud_confidence or []), list(world.cloud_prediction or [])
    for i in range(1, world.layers + 1):
        if i not in kept:
            confidence[s][i - 1] = float(np.float32(rng.uniform(0.25, 1.0)))
            prediction[s][i - 1] = int(rng.integers(2))
    if 0 not in kept:
        cloud[s], answer[s] = float(np.float32(rng.uniform(0.25, 1.0))), 1 - min(answer[s], 1)
    return dataclasses.replace(
        world,
        confidence=confidence,
        prediction=prediction,
        cloud_confidence=cloud,
        cloud_prediction=answer,
    )


def until_it_comes_again(order: list[int], k: int) -> int:
    return next((u for u in range(k + 1, len(order)) if order[u] == order[k]), len(order))


@FEW
@given(cases(worlds(cloud=True, max_layers=6)), st.sampled_from([0, 2, 9]), st.integers(0, 10**6))
def test_no_decision_depends_on_what_had_not_arrived(case: Case, delay: int, seed: int) -> None:
    """What one round did not evaluate, and what the cloud says before it arrives, change nothing."""
    k = seed % len(case.order)
    s = case.order[k]
    k = case.order.index(s)
    source = trace_of(case.world)
    policies = learners(case, source, sees_final=False)
    before = in_rounds(case, policies, delay)
    for name, result in before.items():
        other = changed(case.world, s, evaluated(result, k, 0), seed)
        after = in_rounds(case, {name: policies[name]}, delay, other)[name]
        end = until_it_comes_again(case.order, k)
        if result.offloaded[0, k]:
            end = min(end, k + delay + 1)
        assert after.split[0, :end].tolist() == result.split[0, :end].tolist(), name
        assert after.offloaded[0, :end].tolist() == result.offloaded[0, :end].tolist(), name


@FEW
@given(system_cases(), st.integers(0, 10**6))
def test_no_decision_in_a_system_depends_on_what_had_not_arrived(one: SystemCase, seed: int) -> None:
    case = one.case
    world = case.world
    if world.cloud_confidence is None:
        n = len(world.confidence)
        cloud = [naive.cloud_confidence(world, s) for s in range(n)]
        answers = [naive.cloud_answer(world, s) for s in range(n)]
        world = dataclasses.replace(world, cloud_confidence=cloud, cloud_prediction=answers)
    lengths = one.trace.length
    k = case.order.index(case.order[seed % len(case.order)])
    s = case.order[k]
    policies = learners(case, one.trace, sees_final=False)
    policies = {name: policy for name, policy in policies.items() if policy.in_time}
    before = in_system(one, policies, trace_of(world).replace(length=lengths))
    for name, result in before.items():
        kept = evaluated(result, k, one.physics.device_layers)
        other = trace_of(changed(world, s, kept, seed)).replace(length=lengths)
        after = in_system(one, {name: policies[name]}, other)[name]
        end = until_it_comes_again(case.order, k)
        if result.offloaded[0, k]:  # and its answer was not lost
            end = min(end, begun_before_the_answer(one, result, k))
        assert after.split[0, :end].tolist() == result.split[0, :end].tolist(), name
        assert after.offloaded[0, :end].tolist() == result.offloaded[0, :end].tolist(), name


def begun_before_the_answer(one: SystemCase, result: splitee.Result, k: int) -> int:
    """Return a number of first rounds that began before the answer of round k was back."""
    if one.arrivals is None:
        return k + 1
    ((_, played),) = result.measures.rounds.blocks
    answered = np.array(one.arrivals) + played.measured[0, :, 0]
    return (
        max([k, *np.flatnonzero(answered < answered[k]).tolist()]) + 1
    )  # what was answered before had begun before


def test_the_block_of_repeats_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    trace = random_trace(70, layers=5, seed=3)
    case = Case(
        naive.World([[0.5] * 5], [[0] * 5], offload=[3.0] * 5, offload_input=3.0),
        [0],
        0.7,
        1.0,
        False,
        [1],
        1,
    )
    policies = learners(case, trace)
    whole = splitee.replay(trace, policies, splitee.CostModel(offload=3.0), repeats=5, delay=2)
    monkeypatch.setattr(player, "LANES", 2)
    parts = splitee.replay(trace, policies, splitee.CostModel(offload=3.0), repeats=5, delay=2)
    assert len(parts["splitee"].measures.rounds.blocks) == 3
    for name in policies:
        assert (whole[name].split == parts[name].split).all(), name
        assert (whole[name].offloaded == parts[name].offloaded).all(), name
