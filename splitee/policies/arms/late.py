"""Three ways to learn from late rewards: as they come, from queues, or with means for what is under way.

Only what is offloaded is late. Rewards taken in as they come are those of exits first: the mean of an arm is
biased while offloads are under way. The other learners of the package take rewards in in the order of the
rounds, which is one cure: the mean is that of a whole prefix. All three here play SplitEE's index, so that
without a delay the first two are SplitEE to the bit, and the comparison is of the ways to wait:

    i_t = argmax_i  Q(i) + β·sqrt(ln t / N(i)),   every arm once, ascending, at first; the lowest on ties

- Delayed UCB1: Q and N of the rewards that have arrived, in the order of arrival. This is the naive contrast.
- QPM-D: rewards that arrive wait in a queue of their arm. The learner inside, which knows no delay, is
  asked  for an arm; while the queue of that arm has a reward, the learner gets it and is asked again.
  Only then is the  arm played. ln t counts the rewards that the learner inside has got.
- Means for what is under way: a reward under way counts as the mean of the arm's offloads that are back,

      Q(i) = (E + (n + p)·O/n) / (e + n + p),   N(i) = e + n + p,

  with e exits of sum E, n offloads that are back of sum O, and p offloads under way. Until the first is back,
  offloads under way do not count.

An arm of which nothing counts has the index ∞.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from splitee._internal.errors import InputError
from splitee._internal.jit import inlined, kernel
from splitee.policies.arms.rounds import LiveArms, answer_of, arm_of, brought, game_of, stop_at
from splitee.policies.base import SplitPolicy, check_switch
from splitee.policies.loop import OFFLOAD, Context, Feedback
from splitee.policies.played import Actions, Played, room_for
from splitee.policies.problem import Floats, Orders, Table, check_threshold
from splitee.policies.setting import Name
from splitee.policies.ucb import logarithms
from splitee.system.world import HEAD, TAIL, World, begin_round, new_lane, taken_in

ARRIVES, QUEUES, MEANS = range(3)
_RULES = {"arrives": ARRIVES, "queues": QUEUES, "means": MEANS}
_LABELS = {"arrives": "delayed UCB1", "queues": "QPM-D", "means": "means of what is late"}
COUNT, TOTAL, EXITS, EXIT_SUM, BACK, BACK_SUM, PENDING = range(7)  # rows of a state, by arm


@inlined
def index_of(rule, weight, state, arm):  # type: ignore[no-untyped-def]
    """Return the index of an arm, `weight` being β·sqrt(ln t)."""
    n, total = state[COUNT, arm], state[TOTAL, arm]
    if rule == MEANS:
        n, total = state[EXITS, arm], state[EXIT_SUM, arm]
        back = state[BACK, arm]
        if back > 0.0:
            late = back + state[PENDING, arm]
            n, total = n + late, total + late * (state[BACK_SUM, arm] / back)
    return total / n + weight * (1.0 / math.sqrt(n)) if n > 0.0 else math.inf


@inlined
def best_arm(rule, first, beta, logs, step, state):  # type: ignore[no-untyped-def]
    """Return the arm of step `step` (from 0): each once, then the greatest index."""
    arms = state.shape[1]
    if step < arms - first:
        return first + step
    weight, best, chosen = beta * math.sqrt(logs[step]), -math.inf, first
    for arm in range(first, arms):
        index = index_of(rule, weight, state, arm)
        if index > best:
            best, chosen = index, arm
    return chosen


@inlined
def credit(state, arm, gain, offloaded):  # type: ignore[no-untyped-def]
    """Count a reward that the index is to know."""
    state[COUNT, arm] += 1.0
    state[TOTAL, arm] += gain
    if offloaded:
        state[BACK, arm] += 1.0
        state[BACK_SUM, arm] += gain
        state[PENDING, arm] -= 1.0
    else:
        state[EXITS, arm] += 1.0
        state[EXIT_SUM, arm] += gain


@inlined
def put(queue, gains, t, arm, gain):  # type: ignore[no-untyped-def]
    """Put the reward of round t at the end of its arm's queue.

    `queue` has, by round, the next round of the same queue, and then the first and the last of each arm; −1:
    none. `gains` has the rewards by round.
    """
    rounds, arms = len(gains), (len(queue) - len(gains)) // 2
    last = queue[rounds + arms + arm]
    queue[rounds + arm if last < 0 else last] = t
    queue[rounds + arms + arm], queue[t], gains[t] = t, -1, gain


@inlined
def get(queue, gains, arm):  # type: ignore[no-untyped-def]
    """Take the first round of an arm's queue off it, and return it; −1: the queue is empty."""
    rounds, arms = len(gains), (len(queue) - len(gains)) // 2
    t = queue[rounds + arm]
    if t >= 0:
        queue[rounds + arm] = queue[t]
        if queue[t] < 0:
            queue[rounds + arms + arm] = -1
    return t


@inlined
def next_back(lane, waits, many, start):  # type: ignore[no-untyped-def]
    """Return the place in `waits` of the round whose feedback arrived first until `start`; −1: none has."""
    found, due = -1, math.inf
    for w in range(many):
        u = waits[w]
        if lane.due[u] <= start and lane.due[u] < due:
            lost = False
            for job in range(lane.at[HEAD], lane.at[TAIL]):
                lost = lost or lane.jobs[job] == u
            if not lost:
                found, due = w, lane.due[u]
    return found


@kernel
def play(rule, beta, logs, queue, gains, game, world, order, r, state, action):  # type: ignore[no-untyped-def]
    """Play all rounds of repeat r; see `best_arm`, `put` and `splitee.policies.arms.indices.play`.

    `state` has shape (7, m + 1): number and sum of rewards, of exits, of offloads; offloads under way.
    """
    rounds, columns = order.shape[0], len(game.alpha)
    lane, waits, many, step, taken = new_lane(rounds), np.zeros(rounds, np.int64), 0, 0, 0
    for t in range(rounds):
        start = begin_round(world, lane, t, r, order[t, r])
        while taken_in(lane, t, start, taken):  # the link's rate is known in the order of the rounds
            taken += 1
        place = next_back(lane, waits, many, start)
        while place >= 0:
            u = waits[place]
            many -= 1
            for w in range(place, many):
                waits[w] = waits[w + 1]
            arm, confidence, cost = brought(game, world, lane, order, action, u, r)
            if rule == QUEUES:
                put(queue, gains, u, arm, confidence - game.mu * cost)
            else:
                credit(state, arm, confidence - game.mu * cost, action[u, r] >= columns)
            place = next_back(lane, waits, many, start)
        i = best_arm(rule, game.first, beta, logs, t if rule != QUEUES else step, state)
        if rule == QUEUES:
            u = get(queue, gains, i)
            while u >= 0:
                credit(state, arm_of(game, action, u, r), gains[u], action[u, r] >= columns)
                step += 1
                i = best_arm(rule, game.first, beta, logs, step, state)
                u = get(queue, gains, i)
        stop_at(game, world, lane, order, action, t, r, start, taken, i)
        state[PENDING, i] += 1.0 if action[t, r] >= columns else 0.0
        waits[many] = t
        many += 1


def begin(arms: int, rounds: int) -> tuple[NDArray[np.int64], Floats, Floats]:
    """Return the queues, the rewards in them, and the state before the first round."""
    return np.full(rounds + 2 * (arms + 1), -1), np.zeros(rounds), np.zeros((7, arms + 1))


@dataclass(frozen=True)
class LateUCB(SplitPolicy):
    """UCB on rewards that come late.

    Parameters
    ----------
    threshold : float
        α.
    rule : {"arrives", "queues", "means"}
        How it learns: delayed UCB1, QPM-D, or means for what is under way; see this module.
    exploration : float
        β.
    send_input : bool
        Whether offloading the input (layer 0) is an arm too.

    See Also
    --------
    splitee.SplitEE : the same index on rewards in the order of the rounds.

    References
    ----------
    Joulani, György, Szepesvári (2013): Online Learning under Delayed Feedback (QPM-D, delayed UCB1). The
    third rule is ours [derived].

    Examples
    --------
    >>> import splitee
    >>> trace = splitee.load_trace("rte_validation")
    >>> late = splitee.replay(trace, [LateUCB(0.8), splitee.SplitEE(0.8)], repeats=1, delay=0)
    >>> (late["delayed UCB1"].split == late["SplitEE"].split).all()
    np.True_
    """

    threshold: float
    rule: str = "arrives"
    exploration: float = 1.0
    send_input: bool = False
    learns: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_threshold(self.threshold)
        check_switch("send_input", self.send_input)
        if not isinstance(self.rule, str) or self.rule not in _RULES:
            raise InputError(f"rule is {self.rule!r}: choose {', '.join(_RULES)}")
        if not (isinstance(self.exploration, Real) and 0 <= self.exploration < math.inf):
            raise InputError(f"exploration is {self.exploration!r}: give a finite number, at least 0")

    @property
    def label(self) -> str:  # noqa: D102
        return _LABELS[self.rule]

    def play(  # noqa: D102
        self, table: Table, order: Orders, rngs: Sequence[np.random.Generator], world: World | None
    ) -> Played:
        world = table.in_rounds(0) if world is None else world
        actions = Actions.of_splits(table.layers, self.every_exit)
        action = room_for(order.shape, actions)
        game, logs = game_of(self, table, world, actions), logarithms(len(order))
        for r in range(order.shape[1]):
            queue, gains, state = begin(table.arms, len(order))
            rule, beta = _RULES[self.rule], float(self.exploration)
            play(rule, beta, logs, queue, gains, game, world, order, r, state, action)
        return Played(action, actions)

    def live(self) -> LiveLate:
        """Return this learner as a device loop."""
        return LiveLate(self)


@kernel
def asked(rule, first, beta, logs, step, state):  # type: ignore[no-untyped-def]
    """Return `best_arm`, for Python."""
    return best_arm(rule, first, beta, logs, step, state)


class LiveLate(LiveArms):
    """A learner of late rewards on a device, sample by sample; feedback comes in as it arrives."""

    policy: LateUCB

    def begin_stream(self) -> None:  # noqa: D102
        _, self.mu, _, _ = self.worth
        _, _, self.state = begin(self.problem.device_exits, 0)
        self.queues: list[list[tuple[float, bool]]] = [[] for _ in range(self.problem.device_exits + 1)]
        self.logs, self.steps = logarithms(2**10), 0

    def choose(self, t: int) -> int:  # noqa: D102
        if self.policy.rule != "queues":
            return self.ask(t - 1)
        arm = self.ask(self.steps)
        while self.queues[arm]:
            credit(self.state, arm, *self.queues[arm].pop(0))
            self.steps += 1
            arm = self.ask(self.steps)
        return arm

    def ask(self, step: int) -> int:
        """Return the arm of a step."""
        if step >= len(self.logs):
            self.logs = logarithms(2 * len(self.logs))
        policy = self.policy
        beta = float(policy.exploration)
        return int(asked(_RULES[policy.rule], policy.first, beta, self.logs, step, self.state))

    def begin(self, t: int, context: Context) -> int:
        """Return the first exit to evaluate."""
        self.split = self.choose(t)
        self.state[PENDING, 0] += self.split == 0
        return self.split

    def decide(self, exit: int, confidence: float, prediction: int) -> int:
        """Answer there if the exit is sure."""
        action = super().decide(exit, confidence, prediction)
        self.state[PENDING, exit] += action == OFFLOAD
        return action

    def learn(self, t: int, feedback: Feedback) -> None:
        """Learn from what has arrived, as it arrives."""
        arm, confidence, cost = answer_of(feedback)
        gain = confidence - self.mu * cost
        if self.policy.rule == "queues":
            self.queues[arm].append((gain, feedback.offloaded))
        else:
            credit(self.state, arm, gain, feedback.offloaded)


NAMES = (
    Name("delayed-ucb", lambda s: LateUCB(s.threshold, "arrives", s.exploration, s.send_input)),
    Name("qpm-d", lambda s: LateUCB(s.threshold, "queues", s.exploration, s.send_input)),
    Name("late-means", lambda s: LateUCB(s.threshold, "means", s.exploration, s.send_input)),
)
