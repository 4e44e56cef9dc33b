"""UCB-tuned and Thompson sampling: learners that also know how much the rewards of an arm vary.

β = 1 explores as if all arms varied as much as they could; the rewards of most layers vary far less. Two
rewards of one arm (one sample exits, the other is offloaded) differ by at most R = 1 + μ·o, o being the
largest offload cost. Both learners use R, which is known beforehand. With S(i), N(i), Q(i) = S(i)/N(i) of the
rewards that have arrived of arm i, and M(i) = Σ(r − Q(i))² (Welford's recurrence), the indices are

    UCB-tuned:  Q(i) + R·sqrt( ln t / N(i) · min(1/4, V(i)/R² + sqrt(2·ln t / N(i))) ),  V(i) = M(i)/N(i)
    Thompson:   Q(i) + z·sqrt( V(i)/N(i) ),  V(i) = (R²/4 + M(i))/N(i),  z standard normal

Every arm is played once, ascending; then the arm of the greatest index, the lowest on ties. An arm of which
no reward has arrived has the index ∞.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from splitee._internal.jit import AHEAD, LARGE, aligned, inlined, kernel, prefetch
from splitee.policies.base import SplitLearner, SplitPolicy, check_switch
from splitee.policies.played import Actions, Played, room_for
from splitee.policies.problem import Floats, Orders, Table, check_threshold, reward
from splitee.policies.setting import Name
from splitee.policies.ucb import VECTOR, logarithms, whole_vectors
from splitee.system.world import World, act_at, begin_round, new_lane, taken_in

TUNED, THOMPSON = range(2)
CHUNK = 2048  # rounds whose random numbers are drawn at a time


@inlined
def choose(rule, first, span, log_t, noise, count, mean, width, best, chosen):  # type: ignore[no-untyped-def]
    """Find the arm of the greatest index in every lane, the lowest on ties.

    Parameters
    ----------
    rule : int
        TUNED or THOMPSON.
    first : int
        The lowest arm.
    span : float
        R.
    log_t : float
        ln t.
    noise : float64 array, shape (arms, lanes)
        z of each arm from `first` on; empty for TUNED.
    count, mean, width : float64 arrays, shape (m + 1, lanes)
        N, Q and, by `learn`, the part of the index that changes with feedback only.
    best : float64 array, shape (lanes,)
        Scratch: the greatest index so far.
    chosen : uintp array, shape (lanes,)
        Filled in: the arm of each lane.
    """
    for r in range(np.uintp(len(best))):
        best[r] = -math.inf
    for arm in range(np.uintp(first), np.uintp(len(mean))):
        for r in range(np.uintp(len(best))):
            if rule == TUNED:
                x = log_t / count[arm, r]
                variance = width[arm, r] + math.sqrt(2.0 * x)
                index = mean[arm, r] + span * math.sqrt(x * (variance if variance < 0.25 else 0.25))
            else:
                index = mean[arm, r] + noise[arm - np.uintp(first), r] * width[arm, r]
            chosen[r] = arm if index > best[r] else chosen[r]
            best[r] = index if index > best[r] else best[r]


@inlined
def learn(rule, span, arm, r, gain, total, count, mean, spread, width):  # type: ignore[no-untyped-def]
    """Add a reward to an arm of lane r: S, N, Q, M (r − Q before times r − Q after), and the width.

    `width` is V/R² for TUNED, sqrt(V/N) for THOMPSON.
    """
    before, s, n = gain - mean[arm, r], total[arm, r] + gain, count[arm, r] + 1.0
    q = s / n
    m = spread[arm, r] + (before * (gain - q) if n > 1.0 else 0.0)  # before the first reward, Q was ∞
    total[arm, r], count[arm, r], mean[arm, r], spread[arm, r] = s, n, q, m
    width[arm, r] = m / n / (span * span) if rule == TUNED else math.sqrt((0.25 * (span * span) + m) / n / n)


@kernel
def play(  # type: ignore[no-untyped-def]
    rule, first, span, logs, noise, start, confidence, alpha, mu, gamma, offload, order, state, action
):
    """Play rounds start, start + 1, … in all lanes, as many as there are `logs`; feedback arrives at once.

    Parameters
    ----------
    rule, first, span
        See `choose`.
    logs : float64 array, shape (rounds,)
        ln t of these rounds.
    noise : float64 array, shape (rounds, arms, lanes)
        z of these rounds; (rounds, 0, 0) for TUNED.
    start : int
        The first round, from 0.
    confidence, alpha, mu, gamma, offload
        See `splitee.policies.problem.reward`.
    order : int32 array, shape (m, repeats)
        Which sample comes.
    state : tuple of float64 arrays, shape (m + 1, lanes)
        S, N, Q, M and the width; kept from one call to the next.
    action : uint8 or uint16 array, shape (m, repeats)
        Filled in: the layer of the split, plus L + 1 if it offloads.
    """
    total, count, mean, spread, width = state
    arms, repeats = len(total), order.shape[1]
    best, chosen = np.empty(total.shape[1]), np.zeros(total.shape[1], np.uintp)
    columns, large = np.uintp(len(alpha)), confidence.size > LARGE
    for k in range(len(logs)):
        t = start + k
        if large and t + AHEAD < len(order):
            for r in range(repeats):
                prefetch(confidence, np.uintp(order[t + AHEAD, r]))
        if t >= arms - first:
            choose(rule, first, span, logs[k], noise[k], count, mean, width, best, chosen)
        for r in range(np.uintp(repeats)):
            split, s = chosen[r] if t >= arms - first else np.uintp(first + t), np.uintp(order[t, r])
            action[t, r] = split + columns if np.float64(confidence[s, split]) < alpha[split] else split
            gain = reward(confidence, alpha, mu, gamma, offload, s, split, confidence[s, 0])
            learn(rule, span, split, r, gain, total, count, mean, spread, width)


@kernel
def play_late(  # type: ignore[no-untyped-def]
    rule, first, span, logs, noise, confidence, alpha, mu, world, order, r, state, action
):
    """Play all rounds of repeat r; feedback arrives, and costs are known, as the world has it.

    See `splitee.policies.ucb.play_late`. `noise` has shape (rounds, arms, 1) for THOMPSON.
    """
    total, count, mean, spread, width = state
    arms, rounds, columns = len(total), order.shape[0], np.uintp(len(alpha))
    best, chosen, here = np.empty(1), np.zeros(1, np.uintp), np.zeros((1, len(alpha)))
    lane, taken = new_lane(rounds), 0
    for t in range(rounds):
        start = begin_round(world, lane, t, r, order[t, r])
        while taken_in(lane, t, start, taken):
            s, split = np.uintp(order[taken, r]), np.uintp(action[taken, r])
            split = split - columns if split >= columns else split
            here[0, split] = lane.paid[taken]
            far = confidence[s, 0]
            if lane.lost[taken] > 0:
                far = confidence[s, np.uintp(arms - 1) if split == 0 else split]
            gain = reward(confidence, alpha, mu, world.device[0, world.kind[s]], here, s, split, far)
            learn(rule, span, split, np.uintp(0), gain, total, count, mean, spread, width)
            taken += 1
        if t >= arms - first:
            choose(rule, first, span, logs[t], noise[t], count, mean, width, best, chosen)
        i, s = chosen[0] if t >= arms - first else np.uintp(first + t), np.uintp(order[t, r])
        offloads = np.float64(confidence[s, i]) < alpha[i]
        action[t, r] = i + columns if offloads else i
        act_at(world, lane, t, s, start, taken, i, 0, offloads)


State = tuple[Floats, Floats, Floats, Floats, Floats]


def begin(arms: int, repeats: int) -> State:
    """Return the state of a learner before its first round: S, N, Q, M and the width, rows 0 to m.

    Q = ∞ says that nothing has arrived of an arm.
    """
    total, count, mean, spread, width = aligned((5, arms + 1, whole_vectors(repeats)))
    mean[:] = math.inf
    return total, count, mean, spread, width


def reward_span(mu: float, offload: Floats, arms: int) -> float:
    """Return R = 1 + μ·o, o being the largest cost of offloading after a layer of the device."""
    return 1.0 + mu * float(offload[:, 1 : arms + 1].max())


@dataclass(frozen=True)
class _ByVariance(SplitPolicy):
    """What the two learners share."""

    threshold: float
    send_input: bool = False
    learns: ClassVar[bool] = True
    rule: ClassVar[int]

    def __post_init__(self) -> None:
        check_threshold(self.threshold)
        check_switch("send_input", self.send_input)

    def noise(self, rngs: Sequence[np.random.Generator], rounds: int, arms: int, lanes: int) -> Floats:
        """Return standard normal numbers, shape (rounds, arms, lanes), if it needs any."""
        if self.rule != THOMPSON:
            return np.empty((rounds, 0, 0))
        drawn = np.zeros((rounds, arms + 1 - self.first, lanes))
        for lane, rng in enumerate(rngs):
            drawn[:, :, lane] = rng.standard_normal(drawn.shape[:2])
        return drawn

    def play(
        self, table: Table, order: Orders, rngs: Sequence[np.random.Generator], world: World | None
    ) -> Played:
        actions = Actions.of_splits(table.layers, self.every_exit)
        action = room_for(order.shape, actions)
        worth = self.worth(table)
        span, logs = reward_span(table.mu, table.offload, table.arms), logarithms(len(order))
        if world is not None:
            for r in range(order.shape[1]):
                noise = self.noise(rngs[r : r + 1], len(order), table.arms, 1)
                state = begin(table.arms, 1)
                play_late(
                    self.rule, self.first, span, logs, noise, *worth[:3], world, order, r, state, action
                )
            return Played(action, actions)
        state, lanes = begin(table.arms, order.shape[1]), whole_vectors(len(rngs))
        for start in range(0, len(order), CHUNK):
            some = logs[start : start + CHUNK]
            noise = self.noise(rngs, len(some), table.arms, lanes)
            play(self.rule, self.first, span, some, noise, start, *worth, order, state, action)
        return Played(action, actions)

    def live(self) -> LiveByVariance:
        """Return this learner as a device loop: the same compiled code, one lane."""
        return LiveByVariance(self)


@dataclass(frozen=True)
class UCBTuned(_ByVariance):
    """UCB whose width follows the variance seen; evaluates one exit per sample and updates that arm.

    i_t = argmax_i Q(i) + R·sqrt( ln t / N(i) · min(1/4, V(i)/R² + sqrt(2·ln t / N(i))) ): the published index
    on rewards divided by R; see this module.

    Parameters
    ----------
    threshold : float
        α.
    send_input : bool
        Whether offloading the input (layer 0) is an arm too.

    References
    ----------
    Auer, Cesa-Bianchi, Fischer (2002): Finite-time Analysis of the Multiarmed Bandit Problem, section 4.

    Examples
    --------
    >>> UCBTuned(0.7).label
    'UCB-tuned'
    """

    name: ClassVar[str] = "UCB-tuned"
    rule: ClassVar[int] = TUNED


@dataclass(frozen=True)
class ThompsonSplit(_ByVariance):
    """Gaussian Thompson sampling; evaluates one exit per sample and updates that arm.

    i_t = argmax_i θ(i), θ(i) drawn from a normal distribution of mean Q(i) and variance V(i)/N(i), V(i) =
    (R²/4 + Σ(r − Q(i))²) / N(i): the variance of the rewards seen and of one more of the largest possible
    variance, so that two equal rewards do not look like certainty.

    Parameters
    ----------
    threshold : float
        α.
    send_input : bool
        Whether offloading the input (layer 0) is an arm too.

    References
    ----------
    Thompson (1933), Biometrika 25; Russo et al. (2018): A Tutorial on Thompson Sampling, section 4.

    Examples
    --------
    >>> ThompsonSplit(0.7).label
    'Thompson'
    """

    name: ClassVar[str] = "Thompson"
    rule: ClassVar[int] = THOMPSON


class LiveByVariance(SplitLearner):
    """UCB-tuned or Thompson on a device, sample by sample."""

    policy: _ByVariance

    def begin_stream(self) -> None:  # noqa: D102
        self.state = begin(self.problem.device_exits, 1)
        self.span = reward_span(self.problem.mu, self.worth[3], self.problem.device_exits)
        self.best, self.chosen = np.empty(VECTOR), np.zeros(VECTOR, np.uintp)

    def choose(self, t: int) -> int:  # noqa: D102
        first, arms = self.policy.first, self.problem.device_exits
        noise = self.policy.noise([self.rng], 1, arms, VECTOR)[0]  # drawn in every round, as a replay does
        if t <= arms + 1 - first:
            return first + t - 1
        _, count, mean, _, width = self.state
        known = count, mean, width, self.best, self.chosen
        choose(self.policy.rule, first, self.span, math.log(t), noise, *known)
        return int(self.chosen[0])

    def update(self, seen: NDArray[np.float32], split: int, known: bool) -> None:  # noqa: D102
        s, i = np.uintp(0), np.uintp(split)
        gain = reward(seen, *self.worth, s, i, seen[0, 0])
        learn(self.policy.rule, self.span, i, s, gain, *self.state)


NAMES = (
    Name("ucb-tuned", lambda s: UCBTuned(s.threshold, s.send_input)),
    Name("thompson", lambda s: ThompsonSplit(s.threshold, s.send_input), ("ThompsonSplit",)),
)
