"""Linear models of the reward: LinUCB, one per arm on a context; μLinUCB, one for all arms on their depth.

A model predicts θᵀx with θ = A⁻¹b, where A = I + Σ x·xᵀ and b = Σ y·x of what has arrived. Round t plays,
the lowest arm on ties,

    LinUCB:   argmax_i  θ_iᵀx + β·sqrt(xᵀA_i⁻¹x),              y the reward
    μLinUCB:  argmax_i  θᵀx_i − μ·γ_i + β·sqrt(x_iᵀA⁻¹x_i),    y the reward + μ·γ_i

- LinUCB's x = (1, ln(1 + tokens)/6, ln(rate)/3, ln(1 + queue)/3): the length (0 if the trace has none), the
  rate that the device takes for the link's over that at first (cut to ±1), and the samples that wait.
- μLinUCB's x_i = ([i > 0], i/m, (i/m)², [i = 0]): a parabola over depth, and the input for itself. All arms
  share four parameters, and what one brings teaches of the others. γ_i is known, so it is not learned.

Models begin at θ = 0: with a small β, an arm not tried yet looks worse than one that brings something.
A⁻¹ is kept by the formula of Sherman and Morrison.
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
from splitee.policies.arms.context import Before, lengths_of, seen_before
from splitee.policies.arms.rounds import LiveArms, brought, game_of, stop_at
from splitee.policies.base import SplitPolicy, check_switch
from splitee.policies.loop import Context
from splitee.policies.played import Actions, Played, room_for
from splitee.policies.problem import Floats, Orders, Table, check_threshold
from splitee.policies.setting import Name
from splitee.system.world import World, begin_round, new_lane, taken_in

SIZE = 4  # of x
TARGET, THETA = SIZE, SIZE + 1  # rows of a model after those of A⁻¹: b and θ


@inlined
def describe(shared, arm, arms, tokens, rate, queue, x):  # type: ignore[no-untyped-def]
    """Fill in x, shape (4,)."""
    if shared:
        depth = arm / arms
        x[0], x[1], x[2] = (1.0 if arm > 0 else 0.0), depth, depth * depth
        x[3] = 1.0 if arm == 0 else 0.0
    else:
        x[0], x[1] = 1.0, math.log(1.0 + tokens) / 6.0
        x[2] = min(1.0, max(-1.0, math.log(rate) / 3.0))
        x[3] = math.log(1.0 + queue) / 3.0


@inlined
def choose(shared, first, beta, paid, tokens, rate, queue, models, x):  # type: ignore[no-untyped-def]
    """Return the arm of the greatest index.

    Parameters
    ----------
    shared : bool
        One model for all arms (μLinUCB), or one each.
    first : int
        The lowest arm.
    beta : float
    paid : float64 array, shape (m + 1,)
        μ·γ by arm.
    tokens : int
    rate : float
    queue : int
        See this module.
    models : float64 array, shape (1 or m + 1, 6, 4)
        By model: A⁻¹, b and θ.
    x : float64 array, shape (4,)
        Scratch.
    """
    best, chosen = -math.inf, first
    for arm in range(first, len(paid)):
        j = 0 if shared else arm
        describe(shared, arm, len(paid) - 1, tokens, rate, queue, x)
        mean, variance = 0.0, 0.0
        for a in range(SIZE):
            mean += models[j, THETA, a] * x[a]
            for b in range(SIZE):
                variance += x[a] * models[j, a, b] * x[b]
        index = mean + beta * math.sqrt(max(0.0, variance))
        if shared:
            index -= paid[arm]
        if index > best:
            best, chosen = index, arm
    return chosen


@inlined
def learn(models, j, x, y, step):  # type: ignore[no-untyped-def]
    """Give model j an example; `step`, shape (4,), is scratch."""
    size = 1.0
    for a in range(SIZE):
        step[a] = 0.0
        for b in range(SIZE):
            step[a] += models[j, a, b] * x[b]
        size += x[a] * step[a]
    for a in range(SIZE):
        models[j, TARGET, a] += y * x[a]
        for b in range(SIZE):
            models[j, a, b] -= step[a] * step[b] / size
    for a in range(SIZE):
        models[j, THETA, a] = 0.0
        for b in range(SIZE):
            models[j, THETA, a] += models[j, a, b] * models[j, TARGET, b]


@kernel
def play(shared, beta, paid, lengths, game, world, order, r, models, action):  # type: ignore[no-untyped-def]
    """Play all rounds of repeat r; see `choose` and `splitee.policies.arms.indices.play`."""
    rounds, x, step = order.shape[0], np.zeros(SIZE), np.zeros(SIZE)
    lane, taken, seen = new_lane(rounds), 0, np.zeros((2, rounds))
    for t in range(rounds):
        s = order[t, r]
        start = begin_round(world, lane, t, r, s)
        while taken_in(lane, t, start, taken):
            arm, confidence, cost = brought(game, world, lane, order, action, taken, r)
            tokens = lengths[order[taken, r]]
            describe(shared, arm, len(paid) - 1, tokens, seen[0, taken], seen[1, taken], x)
            gain = confidence - game.mu * cost
            learn(models, 0 if shared else arm, x, gain + paid[arm] if shared else gain, step)
            taken += 1
        seen[0, t], seen[1, t] = seen_before(world, lane, t, r, start, taken)
        i = choose(shared, game.first, beta, paid, lengths[s], seen[0, t], seen[1, t], models, x)
        stop_at(game, world, lane, order, action, t, r, start, taken, i)


def begin(models: int) -> Floats:
    """Return so many models before the first round: A⁻¹ = I, b = 0, θ = 0."""
    state = np.zeros((models, SIZE + 2, SIZE))
    state[:, :SIZE] = np.eye(SIZE)
    return state


@dataclass(frozen=True)
class _Linear(SplitPolicy):
    """What the two learners share."""

    threshold: float
    exploration: float = 1.0
    send_input: bool = False
    learns: ClassVar[bool] = True
    shared: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_threshold(self.threshold)
        check_switch("send_input", self.send_input)
        if not (isinstance(self.exploration, Real) and 0 <= self.exploration < math.inf):
            raise InputError(f"exploration is {self.exploration!r}: give a finite number, at least 0")

    def play(
        self, table: Table, order: Orders, rngs: Sequence[np.random.Generator], world: World | None
    ) -> Played:
        world = table.in_rounds(0) if world is None else world
        actions = Actions.of_splits(table.layers, self.every_exit)
        action = room_for(order.shape, actions)
        game, lengths, beta = game_of(self, table, world, actions), lengths_of(table), float(self.exploration)
        paid = table.mu * table.device(every_exit=False)[: table.arms + 1]
        for r in range(order.shape[1]):
            models = begin(1 if self.shared else table.arms + 1)
            play(self.shared, beta, paid, lengths, game, world, order, r, models, action)
        return Played(action, actions)

    def live(self) -> LiveLinear:
        """Return this learner as a device loop."""
        return LiveLinear(self)


@dataclass(frozen=True)
class LinUCB(_Linear):
    """LinUCB: per arm, a linear model of the reward on length, link and queue.

    Parameters
    ----------
    threshold : float
        α.
    exploration : float
        β.
    send_input : bool
        Whether offloading the input (layer 0) is an arm too.

    References
    ----------
    Li, Chu, Langford, Schapire (2010): A Contextual-Bandit Approach to Personalized News Article
    Recommendation, algorithm 1 (disjoint models). The features are ours.

    Examples
    --------
    >>> LinUCB(0.7).label
    'LinUCB'
    """

    name: ClassVar[str] = "LinUCB"


@dataclass(frozen=True)
class MuLinUCB(_Linear):
    """μLinUCB: what comes after the device is one linear model of the depth of the split.

    Differences from the paper: it minimises delay and always offloads, with features of the network
    behind the split (operations and layers by kind, bytes); here rewards, an exit and a parabola over
    depth. Its forced rounds off the arm "all on the device", which brings no feedback there, and its
    weights of key frames are left out: every arm brings feedback here.

    Parameters
    ----------
    threshold : float
        α.
    exploration : float
        β.
    send_input : bool
        Whether offloading the input (layer 0) is an arm too.

    References
    ----------
    ANS, Autodidactic Neurosurgeon (WWW 2021), by a summary of its code [secondary]; features [derived].

    Examples
    --------
    >>> MuLinUCB(0.7).label
    'μLinUCB'
    """

    name: ClassVar[str] = "μLinUCB"
    shared: ClassVar[bool] = True


@kernel
def chosen(shared, first, beta, paid, seen, models, x):  # type: ignore[no-untyped-def]
    """Return `choose` of what is seen (tokens, rate, queue), for Python."""
    return choose(shared, first, beta, paid, seen[0], seen[1], seen[2], models, x)


@kernel
def taught(shared, arm, paid, seen, gain, models, x, step):  # type: ignore[no-untyped-def]
    """Describe an arm as it was seen and `learn`, for Python."""
    describe(shared, arm, len(paid) - 1, seen[0], seen[1], seen[2], x)
    learn(models, 0 if shared else arm, x, gain + paid[arm] if shared else gain, step)


class LiveLinear(LiveArms):
    """LinUCB or μLinUCB on a device, sample by sample."""

    policy: _Linear

    def begin_stream(self) -> None:  # noqa: D102
        m = self.problem.device_exits
        _, self.mu, gamma, _ = self.worth
        self.paid: NDArray[np.float64] = self.mu * gamma[: m + 1]
        self.models, self.before = begin(1 if self.policy.shared else m + 1), Before()
        self.x, self.step = np.zeros(SIZE), np.zeros(SIZE)
        self.seen: list[tuple[int, float, float]] = []
        self.number = 0

    def begin(self, t: int, context: Context) -> int:
        """Return the first exit to evaluate."""
        tokens, rate, queue = self.before.of(context)
        self.seen.append((tokens, rate, float(queue)))
        given, policy = (self.paid, self.seen[-1], self.models, self.x), self.policy
        self.split = int(chosen(policy.shared, policy.first, float(policy.exploration), *given))
        return self.split

    def take(self, arm: int, confidence: float, cost: float) -> None:  # noqa: D102
        seen, gain = self.seen[self.number], confidence - self.mu * cost
        self.number += 1
        taught(self.policy.shared, arm, self.paid, seen, gain, self.models, self.x, self.step)


NAMES = (
    Name("lin-ucb", lambda s: LinUCB(s.threshold, s.exploration, s.send_input)),
    Name("mu-lin-ucb", lambda s: MuLinUCB(s.threshold, s.exploration, s.send_input)),
)
