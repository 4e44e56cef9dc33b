"""The device loop equals its twin: thresholds per exit, skipped exits, audits, the input, delay."""

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import Case, cases, held, worlds
from twins import EXAMPLES, check, replayed

import splitee
from splitee.policies.loop import Context


class Anything:
    """Decides by a generator of its own, which depends on all that it has seen: no rule is left out.

    Offloads the input at times, skips exits, answers though unsure, audits though sure.
    """

    def __init__(self, seed: int, send_input: bool, held: int) -> None:
        self.seed, self.may_send, self.held = seed, send_input, held

    def restart(self) -> None:
        self.log: list[tuple[object, ...]] = []
        self.state = self.seed

    def draw(self, *seen: object) -> int:
        self.state = hash((self.state, *seen)) % 10**6
        return self.state

    def first(self, t: int) -> int:
        return self.draw(t) % (self.held + self.may_send) + (not self.may_send)

    def next(self, i: int, confidence: float, prediction: int) -> int:
        choice = self.draw(i, confidence, prediction) % 4
        if choice == 0:
            return splitee.ANSWER
        if choice == 1 or i == self.held:
            return splitee.OFFLOAD
        return i + 1 + self.state // 4 % (self.held - i)

    def note(self, t: int, evaluated, offloaded, cost, confidence, prediction) -> None:
        self.draw(t, cost, confidence, prediction)
        self.log.append((t, evaluated, offloaded, cost, confidence, prediction))


class Custom(Anything):
    """The same as a custom policy of the package."""

    name = "anything"

    def start(self, problem, rng):
        self.restart()
        self.problem = problem

    def begin(self, t, context):
        assert isinstance(context, Context)
        return self.first(t)

    def decide(self, exit, confidence, prediction):
        return self.next(exit, confidence, prediction)

    def learn(self, t, feedback):
        evaluated = list(zip(feedback.exits, feedback.confidences, feedback.predictions, strict=True))
        cloud = (feedback.cloud_confidence, feedback.cloud_prediction)
        self.note(t, evaluated, feedback.offloaded, feedback.cost, *cloud)


@EXAMPLES
@given(cases(worlds(exit_layers=None)), st.integers(0, 99), st.sampled_from([0, 1, 4, 300]))
def test_any_custom_policy(case: Case, seed: int, delay: int) -> None:
    given = seed, case.send_input, held(case.world)
    custom, twin = Custom(*given), Anything(*given)
    twin.restart()
    result = replayed(case, custom, delay)
    rounds = naive.device_loop(case.world, case.order, twin.first, twin.next, twin.note, delay)
    assert custom.log == twin.log
    assert sorted(entry[0] for entry in custom.log) == list(range(1, len(case.order) + 1))
    check(result, rounds, case, has_arms=False) if not acts_by_threshold(rounds, custom, case) else None
    assert result.split[0].tolist() == [played.split for played in rounds]
    assert result.offloaded[0].tolist() == [played.offloaded for played in rounds]
    exits = {entry[0]: len(entry[1]) for entry in twin.log}
    assert result.evaluated[0].tolist() == [exits[t] for t in range(1, len(rounds) + 1)]


def acts_by_threshold(rounds: list[naive.Round], custom: Custom, case: Case) -> bool:
    """Whether all it did is what a split at α does, by chance: its regret is then that of a split policy."""
    exits = {entry[0]: len(entry[1]) for entry in custom.log}
    splits = [(played.split, exits[t]) for t, played in enumerate(rounds, 1)]
    if not (all(n == min(i, 1) for i, n in splits) or all(n == i for i, n in splits)):
        return False
    return all(
        played.offloaded == (not naive.exits(case.world, s, played.split, case.threshold))
        for s, played in zip(case.order, rounds, strict=True)
    )


class ByThreshold:
    """Splits at layers in turn, at its own α."""

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold

    def start(self, problem, rng):
        self.m = problem.device_exits

    def begin(self, t, context):
        return 1 + t % self.m

    def decide(self, exit, confidence, prediction):
        return splitee.ANSWER if confidence >= np.float32(self.threshold) else splitee.OFFLOAD

    def learn(self, t, feedback): ...


@EXAMPLES
@given(cases())
def test_a_policy_that_splits_at_its_threshold_has_regret_by_arm(case: Case) -> None:
    m = held(case.world)
    drawn = [1 + t % m for t in range(1, len(case.order) + 1)]
    rounds = naive.random_split(case.world, case.order, drawn, case.threshold)
    check(replayed(case, ByThreshold(case.threshold)), rounds, case)


@pytest.mark.parametrize(
    ("begin", "decide", "message"),
    [
        (-1, 0, "began round 1 with -1"),
        (None, 0, "began round 1 with None"),
        (7, 0, "began round 1 with 7: begin returns 1 to 3"),
        (2, 1, "decided 1 after exit 2 in round 1"),
        (2, 2, "decided 2 after exit 2"),
        (2, 4, "decided 4 after exit 2 in round 1: .* up to 3"),
        (2, "answer", "decided 'answer'"),
    ],
)
def test_an_action_that_cannot_be_is_one_clear_line(begin: object, decide: object, message: str) -> None:
    policy = Custom(0, False, 3)
    policy.begin, policy.decide = lambda *_: begin, lambda *_: decide  # type: ignore[method-assign]
    trace = splitee.Trace([[0.6, 0.7, 0.8, 0.9]] * 3, [[0, 1, 1, 1]] * 3)
    with pytest.raises(splitee.InputError, match=f"policy anything {message}"):
        splitee.replay(trace, policy, splitee.CostModel(device_layers=3))


def test_a_policy_may_ask_for_entropies() -> None:
    class ByEntropy(ByThreshold):
        needs_entropy = True

        def decide(self, exit, confidence, prediction, entropy):
            return splitee.ANSWER if entropy < 0.5 else splitee.OFFLOAD

    entropy = np.float32([[0.4, 0.1], [0.6, 0.2]])
    trace = splitee.Trace([[0.8, 0.9], [0.6, 0.9]], [[0, 1], [1, 1]], entropy=entropy)
    result = splitee.replay(trace, ByEntropy(0.7), splitee.CostModel(device_layers=1), orders=[[0, 1]])
    assert result.offloaded.tolist() == [[False, True]]


def test_the_context_has_the_length_of_the_input() -> None:
    class Lengths(ByThreshold):
        def begin(self, t, context):
            self.seen = [*getattr(self, "seen", []), context.tokens]
            return 1

    policy = Lengths(0.7)
    splitee.replay(splitee.Trace([[0.8, 0.9]] * 2, [[0, 1]] * 2, length=[5, 9]), policy, orders=[[1, 0]])
    assert policy.seen == [9, 5]
