"""Learners that forget: discounted UCB and sliding-window UCB, for streams that drift.

With R = 1 + μ·o the span of an arm's rewards, X̄(i) the mean of the rewards that count of arm i, N(i) their
number or weight, and n = Σ N(i),

    D-UCB:   X̄(i) + 2·R·sqrt( ξ·ln n / N(i) ),  a reward's weight is discounted by γ per later reward
    SW-UCB:  X̄(i) + R·sqrt( ξ·ln min(t, τ) / N(i) ),  the last τ rewards of all arms count

Round t plays the arm of the greatest index, the lowest on ties; an arm without rewards that count has the
index ∞, and every arm is played once, ascending, before. Rewards come in in the order of the rounds.

Both explore for ever: with K arms and τ = 2000 the width of SW-UCB stays near R·sqrt(ξ·ln τ·K/τ), which is
0.3 for K = 12 and o = 5 λ, more than most layers differ by.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from splitee._internal.errors import InputError
from splitee._internal.jit import inlined, kernel
from splitee._internal.numbers import check_share, check_whole, share, whole
from splitee.policies.arms.rounds import LiveArms, brought, game_of, stop_at
from splitee.policies.base import SplitPolicy, check_switch
from splitee.policies.played import Actions, Played, room_for
from splitee.policies.problem import Floats, Orders, Table, check_threshold
from splitee.policies.setting import Name
from splitee.policies.ucb import logarithms
from splitee.policies.variance import reward_span
from splitee.system.world import World, begin_round, new_lane, taken_in

COUNT, TOTAL = range(2)  # rows of a state, by arm
ARM, GAIN = range(2)  # rows of the ring of rewards
XI = 0.6  # ξ; the bounds need more than 1/2


@inlined
def choose(first, span, window, logs, t, state):  # type: ignore[no-untyped-def]
    """Return the arm of round t (from 0).

    Parameters
    ----------
    first : int
        The lowest arm.
    span : float
        R.
    window : int
        τ; 0 if rewards are discounted.
    logs : float64 array, shape (at least τ,)
        ln 1, ln 2, …; not read if rewards are discounted.
    t : int
    state : float64 array, shape (2, m + 1)
        N and the sum of rewards, weighted.
    """
    arms = state.shape[1]
    if t < arms - first:
        return first + t
    if window > 0:
        width = span * math.sqrt(XI * logs[min(t + 1, window) - 1])
    else:
        n = 0.0
        for arm in range(first, arms):
            n += state[COUNT, arm]
        width = 2.0 * span * math.sqrt(XI * max(0.0, math.log(n))) if n > 0.0 else 0.0
    best, chosen = -math.inf, first
    for arm in range(first, arms):
        n = state[COUNT, arm]
        index = state[TOTAL, arm] / n + width / math.sqrt(n) if n > 0.0 else math.inf
        if index > best:
            best, chosen = index, arm
    return chosen


@inlined
def learn(discount, ring, taken, state, arm, gain):  # type: ignore[no-untyped-def]
    """Learn the reward of an arm; `ring`, shape (2, τ), has the last rewards, (2, 0) if they are discounted.

    `taken` is how many rewards have come before.
    """
    window = ring.shape[1]
    if window == 0:
        for j in range(state.shape[1]):
            state[COUNT, j] *= discount
            state[TOTAL, j] *= discount
    else:
        at = taken % window
        if taken >= window:
            old = np.int64(ring[ARM, at])
            state[COUNT, old] -= 1.0
            state[TOTAL, old] -= ring[GAIN, at]
            if state[COUNT, old] == 0.0:
                state[TOTAL, old] = 0.0  # no rounding is left over
        ring[ARM, at], ring[GAIN, at] = arm, gain
    state[COUNT, arm] += 1.0
    state[TOTAL, arm] += gain


@kernel
def play(span, discount, ring, logs, game, world, order, r, state, action):  # type: ignore[no-untyped-def]
    """Play all rounds of repeat r; see `choose` and `learn`, and `splitee.policies.arms.indices.play`."""
    lane, taken = new_lane(order.shape[0]), 0
    for t in range(order.shape[0]):
        start = begin_round(world, lane, t, r, order[t, r])
        while taken_in(lane, t, start, taken):
            arm, confidence, cost = brought(game, world, lane, order, action, taken, r)
            learn(discount, ring, taken, state, arm, confidence - game.mu * cost)
            taken += 1
        i = choose(game.first, span, ring.shape[1], logs, t, state)
        stop_at(game, world, lane, order, action, t, r, start, taken, i)


@dataclass(frozen=True)
class _Forgetting(SplitPolicy):
    """What the two learners share."""

    threshold: float
    learns: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_threshold(self.threshold)
        check_switch("send_input", getattr(self, "send_input", False))

    @property
    def memory(self) -> tuple[float, int]:
        """γ, and τ or 0."""
        raise NotImplementedError

    def play(
        self, table: Table, order: Orders, rngs: Sequence[np.random.Generator], world: World | None
    ) -> Played:
        world = table.in_rounds(0) if world is None else world
        actions = Actions.of_splits(table.layers, self.every_exit)
        action = room_for(order.shape, actions)
        game, span = game_of(self, table, world, actions), reward_span(table.mu, table.offload, table.arms)
        (discount, window), logs = self.memory, logarithms(len(order))
        for r in range(order.shape[1]):
            ring, state = begin(table.arms, window)
            play(span, discount, ring, logs, game, world, order, r, state, action)
        return Played(action, actions)

    def live(self) -> LiveForgetting:
        """Return this learner as a device loop: the same compiled code."""
        return LiveForgetting(self)


def begin(arms: int, window: int) -> tuple[Floats, Floats]:
    """Return the ring of rewards and the state before the first round."""
    return np.zeros((2, window)), np.zeros((2, arms + 1))


@dataclass(frozen=True)
class DiscountedUCB(_Forgetting):
    """D-UCB: old rewards fade.

    Parameters
    ----------
    threshold : float
        α.
    discount : float
        γ; a reward that is 1/(1 − γ) rewards old has lost 63 % of its weight.
    send_input : bool
        Whether offloading the input (layer 0) is an arm too.

    References
    ----------
    Garivier, Moulines (2011): On Upper-Confidence Bound Policies for Switching Bandit Problems; arXiv
    0805.3415. The paper was not read in full [memory]. γ and ξ = 0.6 were not tuned.

    Examples
    --------
    >>> DiscountedUCB(0.7).label
    'D-UCB (γ = 0.9995)'
    """

    discount: float = 0.9995
    send_input: bool = False
    name: ClassVar[str] = "D-UCB"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_share("discount", self.discount, 0.5, 1.0)
        if self.discount == 1.0:
            raise InputError("discount is 1: give less, for a learner that forgets")

    @property
    def memory(self) -> tuple[float, int]:  # noqa: D102
        return float(self.discount), 0

    @property
    def label(self) -> str:  # noqa: D102
        return f"{self.name} (γ = {self.discount:g})"


@dataclass(frozen=True)
class SlidingWindowUCB(_Forgetting):
    """SW-UCB: the last rewards count, the others do not.

    Parameters
    ----------
    threshold : float
        α.
    window : int
        τ, in rewards of all arms together.
    send_input : bool
        Whether offloading the input (layer 0) is an arm too.

    References
    ----------
    Garivier, Moulines (2011): On Upper-Confidence Bound Policies for Switching Bandit Problems; arXiv
    0805.3415. The paper was not read in full [memory]. τ and ξ = 0.6 were not tuned.

    Examples
    --------
    >>> SlidingWindowUCB(0.7, window=500).label
    'SW-UCB (τ = 500)'
    """

    window: int = 2000
    send_input: bool = False
    name: ClassVar[str] = "SW-UCB"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole("window", self.window)
        if self.window > 10**7:
            raise InputError(f"window is {self.window}: give at most 10000000 rewards")

    @property
    def memory(self) -> tuple[float, int]:  # noqa: D102
        return 1.0, int(self.window)

    @property
    def label(self) -> str:  # noqa: D102
        return f"{self.name} (τ = {self.window})"


class LiveForgetting(LiveArms):
    """D-UCB or SW-UCB on a device, sample by sample."""

    policy: _Forgetting

    def begin_stream(self) -> None:  # noqa: D102
        _, self.mu, _, offload = self.worth
        self.span = reward_span(self.mu, offload, self.problem.device_exits)
        self.discount, self.window = self.policy.memory
        self.ring, self.state = begin(self.problem.device_exits, self.window)
        self.logs = logarithms(max(1, self.window))
        self.rewards = 0

    def choose(self, t: int) -> int:  # noqa: D102
        return int(choose(self.policy.first, self.span, self.window, self.logs, t - 1, self.state))

    def take(self, arm: int, confidence: float, cost: float) -> None:  # noqa: D102
        learn(self.discount, self.ring, self.rewards, self.state, arm, confidence - self.mu * cost)
        self.rewards += 1


NAMES = (
    Name("d-ucb", lambda s: DiscountedUCB(s.threshold, send_input=s.send_input), ("DiscountedUCB",)),
    Name("sw-ucb", lambda s: SlidingWindowUCB(s.threshold, send_input=s.send_input), ("SlidingWindowUCB",)),
    Name("d-ucb:DISCOUNT", lambda s, gamma: DiscountedUCB(s.threshold, share(gamma), s.send_input)),
    Name("sw-ucb:SAMPLES", lambda s, n: SlidingWindowUCB(s.threshold, whole(n, 1), s.send_input)),
)
