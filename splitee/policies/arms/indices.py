"""Index policies: in every round the arm of the greatest upper bound on its mean reward, the lowest on ties.

N, Q and M are the number, the mean and the sum of squared deviations of the rewards of an arm that have
arrived, R = 1 + μ·o the span of the rewards of an arm (o: the largest cost of an offload), V = M/N. Round t
plays the arm of the greatest index; an arm of which nothing has arrived has the index ∞, and every arm is
played once, ascending, before.

    KL-UCB              R·u − s,  u = max{u ≤ 1 : N·kl(q, u) ≤ ln t}
    Bayes-UCB           Q + z_t·sqrt(W/N),  z_t the 1 − 1/(t·ln t) quantile of N(0, 1),  W = (R²/4 + M)/N
    UCB-V               Q + sqrt(2·V·ln t/N) + 3·R·ln t/N
    UCB-BwK             min(1, c̄ + b) / max(κ̄ − b, sqrt(ln t/t)),  b = sqrt(ln t/N)
    UCB-tuned, released Q + sqrt( ln t/N·min(1/4, V + sqrt(2·ln t/N)) )

kl is the divergence of Bernoulli distributions, q the mean of (r + s)/R with s = μ·γ_i + R − 1. u is searched
among the multiples of 2⁻¹⁶, so that indices are the same on every machine. c̄ is the mean confidence of the
answers, κ̄ the mean of κ over the largest constant cost γ_m + o, at most 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import ClassVar

import numpy as np

from splitee._internal.jit import inlined, kernel
from splitee.policies.arms.rounds import Game, LiveArms, brought, game_of, stop_at
from splitee.policies.base import SplitPolicy, check_switch
from splitee.policies.played import Actions, Played, room_for
from splitee.policies.problem import Floats, Orders, Table, check_threshold
from splitee.policies.setting import Name
from splitee.policies.ucb import logarithms
from splitee.policies.variance import reward_span
from splitee.system.world import World, begin_round, new_lane, taken_in

KL, BAYES, VARIANCE, KNAPSACK, RELEASED = range(5)
COUNT, TOTAL, MEAN, SPREAD, PAID, KNOWN, SHIFT = range(7)  # rows of a state, by arm
LOG, QUANTILE, FLOOR = range(3)  # columns of the clock
GRID = 2**16
_LOGS = np.array([-math.inf, *(math.log(k / GRID) for k in range(1, GRID + 1))])


@inlined
def fits(logs, q, known, n, log_t, k):  # type: ignore[no-untyped-def]
    """Return whether N·kl(q, k/GRID) ≤ ln t, `known` being q·ln q + (1 − q)·ln(1 − q)."""
    return n * (known - q * logs[k] - (1.0 - q) * logs[GRID - k]) <= log_t


@inlined
def kl_index(logs, span, log_t, state, arm, best):  # type: ignore[no-untyped-def]
    """Return the index of KL-UCB; any number below `best` if it cannot reach that."""
    n, q, known, shift = state[COUNT, arm], state[MEAN, arm], state[KNOWN, arm], state[SHIFT, arm]
    low, high = np.int64(q * GRID), np.int64(GRID)
    if best > -math.inf:
        least = np.int64((best + shift) / span * GRID) - 1  # one step below `best`: rounding is far less
        if least >= GRID or (least > low and not fits(logs, q, known, n, log_t, least)):
            return -math.inf
    while high - low > 1:
        middle = (low + high) // 2
        if fits(logs, q, known, n, log_t, middle):
            low = middle
        else:
            high = middle
    return span * (low / GRID) - shift


@inlined
def index_of(rule, logs, span, now, state, arm, best):  # type: ignore[no-untyped-def]
    """Return the index of an arm; see this module."""
    n, q = state[COUNT, arm], state[MEAN, arm]
    if n == 0.0:
        return math.inf
    if rule == KL:
        return kl_index(logs, span, now[LOG], state, arm, best)
    if rule == BAYES:
        return q + now[QUANTILE] * state[KNOWN, arm]
    x = now[LOG] / n
    if rule == VARIANCE:
        return q + math.sqrt(2.0 * state[SPREAD, arm] / n * x) + 3.0 * span * x
    if rule == KNAPSACK:
        b = math.sqrt(x)
        return min(1.0, q + b) / max(state[PAID, arm] / n - b, now[FLOOR])
    return q + math.sqrt(x * min(0.25, state[SPREAD, arm] / n + math.sqrt(2.0 * x)))


@inlined
def choose(rule, first, logs, span, t, now, state):  # type: ignore[no-untyped-def]
    """Return the arm of round t (from 0).

    Parameters
    ----------
    rule : int
        KL, BAYES, VARIANCE, KNAPSACK or RELEASED.
    first : int
        The lowest arm.
    logs : float64 array, shape (GRID + 1,)
        ln of k/GRID.
    span : float
        R.
    t : int
    now : float64 array, shape (3,)
        ln t, z_t and sqrt(ln t/t).
    state : float64 array, shape (7, m + 1)
        See `begin`.
    """
    arms = state.shape[1]
    if t < arms - first:
        return first + t
    best, chosen = -math.inf, first
    for arm in range(first, arms):
        index = index_of(rule, logs, span, now, state, arm, best)
        if index > best:
            best, chosen = index, arm
    return chosen


@inlined
def learn(rule, span, most, mu, state, arm, confidence, cost):  # type: ignore[no-untyped-def]
    """Learn of an arm what a round brought; `most` is the largest constant cost."""
    gain = confidence - mu * cost
    if rule == KL:
        gain = min(1.0, max(0.0, (gain + state[SHIFT, arm]) / span))
    elif rule == KNAPSACK:
        gain = confidence
        state[PAID, arm] += min(1.0, cost / most) if most > 0.0 else 0.0
    before, n = gain - state[MEAN, arm], state[COUNT, arm] + 1.0
    state[COUNT, arm] = n
    state[TOTAL, arm] += gain
    q = state[TOTAL, arm] / n
    state[MEAN, arm] = q
    state[SPREAD, arm] += before * (gain - q)
    if rule == KL:
        known = q * math.log(q) if q > 0.0 else 0.0
        state[KNOWN, arm] = known + ((1.0 - q) * math.log(1.0 - q) if q < 1.0 else 0.0)
    elif rule == BAYES:
        state[KNOWN, arm] = math.sqrt((0.25 * (span * span) + state[SPREAD, arm]) / n / n)


@kernel
def play(rule, logs, span, most, clock, game, world, order, r, state, action):  # type: ignore[no-untyped-def]
    """Play all rounds of repeat r; feedback arrives, and costs are known, as the world has it.

    Parameters
    ----------
    rule, logs, span, most, state
        See `choose` and `learn`.
    clock : float64 array, shape (rounds, 3)
        See `choose`.
    game : Game
    world : World
    order : int32 array, shape (rounds, repeats)
    r : int
    action : uint8 or uint16 array, shape (rounds, repeats)
        Filled in: the layer of the split, plus L + 1 if it offloads.
    """
    lane, taken = new_lane(order.shape[0]), 0
    for t in range(order.shape[0]):
        start = begin_round(world, lane, t, r, order[t, r])
        while taken_in(lane, t, start, taken):
            arm, confidence, cost = brought(game, world, lane, order, action, taken, r)
            learn(rule, span, most, game.mu, state, arm, confidence, cost)
            taken += 1
        i = choose(rule, game.first, logs, span, t, clock[t], state)
        stop_at(game, world, lane, order, action, t, r, start, taken, i)


def begin(arms: int, span: float, mu: float, gamma: Floats) -> Floats:
    """Return the state before the first round: N, ΣrN, Q, M, Σκ, what a rule keeps, and s; by arm 0..m."""
    state = np.zeros((7, arms + 1))
    state[SHIFT] = mu * gamma[: arms + 1] + (span - 1.0)
    return state


@lru_cache(maxsize=4)
def clock_of(rounds: int) -> Floats:
    """Return ln t, z_t and sqrt(ln t/t) of t = 1..rounds, shape (rounds, 3); z_1 = 0."""
    clock = np.zeros((rounds, 3))
    clock[:, LOG] = logarithms(rounds)
    normal = NormalDist()
    for t in range(2, rounds + 1):
        clock[t - 1, QUANTILE] = normal.inv_cdf(1.0 - 1.0 / (t * math.log(t)))
        clock[t - 1, FLOOR] = math.sqrt(math.log(t) / t)
    return clock


@dataclass(frozen=True)
class _Index(SplitPolicy):
    """What the index policies share."""

    threshold: float
    send_input: bool = False
    learns: ClassVar[bool] = True
    rule: ClassVar[int]

    def __post_init__(self) -> None:
        check_threshold(self.threshold)
        check_switch("send_input", self.send_input)

    def play(
        self, table: Table, order: Orders, rngs: Sequence[np.random.Generator], world: World | None
    ) -> Played:
        world = table.in_rounds(0) if world is None else world
        actions = Actions.of_splits(table.layers, self.every_exit)
        action = room_for(order.shape, actions)
        game: Game = game_of(self, table, world, actions)
        gamma, offload = table.device(every_exit=False), table.offload
        span, most = known_costs(table.mu, gamma, offload, table.arms)
        for r in range(order.shape[1]):
            state = begin(table.arms, span, table.mu, gamma)
            play(self.rule, _LOGS, span, most, clock_of(len(order)), game, world, order, r, state, action)
        return Played(action, actions)

    def live(self) -> LiveIndex:
        """Return this learner as a device loop: the same compiled code."""
        return LiveIndex(self)


def known_costs(mu: float, gamma: Floats, offload: Floats, arms: int) -> tuple[float, float]:
    """Return R and the largest constant cost, γ_m + o."""
    return reward_span(mu, offload, arms), float(gamma[arms] + offload[:, 1 : arms + 1].max())


@dataclass(frozen=True)
class KLUCB(_Index):
    """KL-UCB on rewards scaled to [0, 1]: the upper bound follows the divergence of Bernoulli distributions.

    Parameters
    ----------
    threshold : float
        α.
    send_input : bool
        Whether offloading the input (layer 0) is an arm too.

    References
    ----------
    Garivier, Cappé (2011): The KL-UCB Algorithm for Bounded Stochastic Bandits and Beyond, with its c = 0.
    Scaling each arm by its own known cost, and the multiples of 2⁻¹⁶, are ours.

    Examples
    --------
    >>> KLUCB(0.7).label
    'KL-UCB'
    """

    name: ClassVar[str] = "KL-UCB"
    rule: ClassVar[int] = KL


@dataclass(frozen=True)
class BayesUCB(_Index):
    """Bayes-UCB: a quantile of the normal posterior of an arm's mean, which moves up with time.

    Parameters
    ----------
    threshold : float
        α.
    send_input : bool
        Whether offloading the input (layer 0) is an arm too.

    References
    ----------
    Kaufmann, Cappé, Garivier (2012): On Bayesian Upper Confidence Bounds for Bandit Problems; the paper was
    not read in full [memory]. The variance is that of `ThompsonSplit`. arXiv 2604.24810 applies it to exits.

    Examples
    --------
    >>> BayesUCB(0.7).label
    'Bayes-UCB'
    """

    name: ClassVar[str] = "Bayes-UCB"
    rule: ClassVar[int] = BAYES


@dataclass(frozen=True)
class UCBV(_Index):
    """UCB-V: the width follows the variance seen, with no cap, and a term for its own error.

    Parameters
    ----------
    threshold : float
        α.
    send_input : bool
        Whether offloading the input (layer 0) is an arm too.

    See Also
    --------
    splitee.UCBTuned : the same idea with a cap of 1/4.

    References
    ----------
    Audibert, Munos, Szepesvári (2009): Exploration-exploitation tradeoff using variance estimates in
    multi-armed bandits. Constants as in the code of arXiv 2604.24810, by a summary of it [secondary].

    Examples
    --------
    >>> UCBV(0.7).label
    'UCB-V'
    """

    name: ClassVar[str] = "UCB-V"
    rule: ClassVar[int] = VARIANCE


@dataclass(frozen=True)
class UCBBwK(_Index):
    """UCB-BwK: confidence per cost, both optimistic; it maximises a ratio, not the reward C − μ·cost.

    Parameters
    ----------
    threshold : float
        α.
    send_input : bool
        Whether offloading the input (layer 0) is an arm too.

    References
    ----------
    Bandits with knapsacks: Badanidiyuru, Kleinberg, Slivkins (2013). The index is that of the code of arXiv
    2604.24810 as a summary has it [secondary]; the width b is ours [derived], for it could not be read.

    Examples
    --------
    >>> UCBBwK(0.7).label
    'UCB-BwK'
    """

    name: ClassVar[str] = "UCB-BwK"
    rule: ClassVar[int] = KNAPSACK


@dataclass(frozen=True)
class UCBTunedReleased(_Index):
    """UCB-tuned as the code of arXiv 2604.24810 has it: on rewards that are not scaled to [0, 1].

    The code defines a scaler and does not use it [secondary]. Rewards here span R > 1, so the cap of 1/4 and
    the variance are in other units than the rewards, and it explores less than the published index.

    Parameters
    ----------
    threshold : float
        α.
    send_input : bool
        Whether offloading the input (layer 0) is an arm too.

    See Also
    --------
    splitee.UCBTuned : the published index, on rewards divided by R.

    Examples
    --------
    >>> UCBTunedReleased(0.7).label
    'UCB-tuned (released, not scaled)'
    """

    name: ClassVar[str] = "UCB-tuned (released, not scaled)"
    rule: ClassVar[int] = RELEASED


class LiveIndex(LiveArms):
    """An index policy on a device, sample by sample."""

    policy: _Index

    def begin_stream(self) -> None:  # noqa: D102
        _, self.mu, gamma, offload = self.worth
        self.span, self.most = known_costs(self.mu, gamma, offload, self.problem.device_exits)
        self.state = begin(self.problem.device_exits, self.span, self.mu, gamma)
        self.clock = clock_of(2**10)

    def choose(self, t: int) -> int:  # noqa: D102
        if t > len(self.clock):
            self.clock = clock_of(2 * len(self.clock))
        now, rule = self.clock[t - 1], self.policy.rule
        return int(choose(rule, self.policy.first, _LOGS, self.span, t - 1, now, self.state))

    def take(self, arm: int, confidence: float, cost: float) -> None:  # noqa: D102
        learn(self.policy.rule, self.span, self.most, self.mu, self.state, arm, confidence, cost)


NAMES = (
    Name("kl-ucb", lambda s: KLUCB(s.threshold, s.send_input)),
    Name("bayes-ucb", lambda s: BayesUCB(s.threshold, s.send_input)),
    Name("ucb-v", lambda s: UCBV(s.threshold, s.send_input)),
    Name("ucb-bwk", lambda s: UCBBwK(s.threshold, s.send_input)),
    Name("ucb-tuned-released", lambda s: UCBTunedReleased(s.threshold, s.send_input)),
)
