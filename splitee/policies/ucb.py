"""SplitEE and SplitEE-S: UCB over layers, without labels (Bajpai et al. 2023, algorithms 1 and 2).

An arm i is a layer to split at: the device computes up to layer i and answers if its confidence C_i reaches
the threshold α, or if i = L, the last layer; else it offloads, and the cloud answers with confidence C_L. The
reward of a sample is, μ being the points of confidence that one unit of cost is worth,

    r(i) = C_i − μ·γ_i if the device answers, else C_L − μ·(γ_i + o)

with γ_i the cost of the device and o that of the offload. Every arm is played once, ascending. Afterwards
round t plays, the lowest arm on ties,

    i_t = argmax_i  Q(i) + β·sqrt(ln t)·h(i),     Q(i) = S(i)/N(i),     h(i) = 1/sqrt(N(i)),

S(i) being the sum and N(i) the number of the rewards that have arrived of arm i, β ≥ 0 how much is explored.
An arm of which none has arrived has the index ∞. SplitEE updates the arm it played, SplitEE-S every arm up to
it.

A kernel plays many repeats at once: the state of an arm is a row with one lane per repeat, and the innermost
loops run over lanes, so that the compiler makes vector instructions of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from numbers import Real
from typing import ClassVar

import numpy as np

from splitee._internal.errors import InputError
from splitee._internal.jit import AHEAD, LARGE, aligned, inlined, kernel, prefetch
from splitee.policies.base import SplitLearner, SplitPolicy, check_switch
from splitee.policies.played import Actions, Played, room_for
from splitee.policies.problem import Floats, Orders, Table, check_threshold, reward
from splitee.policies.setting import Name
from splitee.system.world import World, act, begin_round, new_lane, offload_cost, taken_in

ALONE, CAUSAL, PUBLISHED, SKIP = range(4)  # ALONE: SplitEE; else what SplitEE-S takes for an unseen C_L
_SIDES = {"causal": CAUSAL, "published": PUBLISHED, "skip": SKIP}
VECTOR = 8  # lanes are padded to a multiple, so that loops over them are whole vectors


@inlined
def choose(first, weight, mean, width, best, chosen):  # type: ignore[no-untyped-def]
    """Find i_t = argmax_i Q(i) + weight·h(i) in every lane, the lowest arm on ties.

    Four arms a pass, so that `best` and `chosen` are read and written a quarter as often.

    Parameters
    ----------
    first : int
        The lowest arm: 0 if the input may be offloaded, else 1.
    weight : float
        β·sqrt(ln t).
    mean, width : float64 arrays, shape (rows, lanes)
        Q and h by arm; rows − first is a multiple of four, and Q = −∞ in the rows after the last arm.
    best : float64 array, shape (lanes,)
        Scratch: the greatest index so far.
    chosen : uintp array, shape (lanes,)
        Filled in: the arm of each lane.
    """
    for r in range(np.uintp(len(best))):
        best[r] = -math.inf
    for a in range(np.uintp(first), np.uintp(len(mean)), np.uintp(4)):
        b, c, d = a + np.uintp(1), a + np.uintp(2), a + np.uintp(3)
        for r in range(np.uintp(len(best))):
            index_a, index_b = mean[a, r] + weight * width[a, r], mean[b, r] + weight * width[b, r]
            index_c, index_d = mean[c, r] + weight * width[c, r], mean[d, r] + weight * width[d, r]
            left, at_left = (index_b if index_b > index_a else index_a), (b if index_b > index_a else a)
            right, at_right = (index_d if index_d > index_c else index_c), (d if index_d > index_c else c)
            index, at = (right if right > left else left), (at_right if right > left else at_left)
            chosen[r] = at if index > best[r] else chosen[r]
            best[r] = index if index > best[r] else best[r]


@inlined
def credit(arm, r, gain, roots, total, count, mean, width):  # type: ignore[no-untyped-def]
    """Add a reward to an arm of lane r: S, N, and with them Q = S/N and h = 1/sqrt(N)."""
    s, n = total[arm, r] + gain, count[arm, r] + 1.0
    total[arm, r], count[arm, r] = s, n
    mean[arm, r], width[arm, r] = s / n, roots[np.uintp(np.int64(n))]  # by int64: the faster conversion


@inlined
def learn(  # type: ignore[no-untyped-def]
    mode, first, confidence, alpha, mu, gamma, offload, s, split, known, far, r,
    roots, total, count, mean, width,
):  # fmt: skip
    """Learn from sample s, split at layer `split`, in lane r.

    SplitEE (ALONE) updates the arm it played. SplitEE-S updates every arm j ≤ split. If j would have
    offloaded, r(j) contains C_L. If the device does not know it, CAUSAL takes the deepest confidence seen,
    and SKIP does not update j.

    Parameters
    ----------
    mode : int
    first : int
        The lowest arm.
    confidence, alpha, mu, gamma, offload, s
        See `splitee.policies.problem.reward`.
    split : unsigned integer
    known : bool
        Whether C_L is known; see `is_known`.
    far : float32
        C_L, or the deepest confidence seen.
    r : unsigned integer
    roots : float64 array, shape (rounds + 1,)
        1/sqrt(N); see `inverse_roots`.
    total, count, mean, width : float64 arrays, shape (rows, lanes)
        S, N, Q, h.
    """
    if mode == ALONE:
        gain = reward(confidence, alpha, mu, gamma, offload, s, split, far)
        credit(split, r, gain, roots, total, count, mean, width)
        return
    for arm in range(min(np.uintp(first), split), split + np.uintp(1)):
        would_offload = np.float64(confidence[s, arm]) < alpha[arm]
        if known or mode == CAUSAL or not would_offload or arm == split:
            gain = reward(confidence, alpha, mu, gamma, offload, s, arm, far)
            credit(arm, r, gain, roots, total, count, mean, width)


@inlined
def is_known(mode, confidence, alpha, other_cloud, s, split):  # type: ignore[no-untyped-def]
    """Return whether C_L is known: offloaded, or exit L was reached and the cloud has no other model.

    PUBLISHED reads it all the same. SplitEE (ALONE) needs it only if it has offloaded.
    """
    offloaded = np.float64(confidence[s, split]) < alpha[split]
    return mode in (ALONE, PUBLISHED) or offloaded or (split == len(alpha) - 1 and not other_cloud)


@kernel
def play(  # type: ignore[no-untyped-def]
    mode, first, arms, weights, confidence, alpha, mu, gamma, offload, other_cloud, order, roots, state,
    action,
):  # fmt: skip
    """Play all rounds in all lanes; feedback arrives at once, and costs are those given.

    Parameters
    ----------
    mode, first, confidence, alpha, mu, gamma, offload, other_cloud, roots
        See `learn`.
    arms : int
        m: the arms are first..m.
    weights : float64 array, shape (rounds,)
        β·sqrt(ln t), t = 1, 2, …
    order : int32 array, shape (rounds, repeats)
        Which sample comes.
    state : tuple of arrays
        S, N, Q, h; see `begin`.
    action : uint8 or uint16 array, shape (rounds, repeats)
        Filled in: the layer of the split, plus L + 1 if it offloads.
    """
    rounds, repeats = order.shape
    total, count, mean, width = state
    best, chosen = np.empty(mean.shape[1]), np.zeros(mean.shape[1], np.uintp)
    columns, large = np.uintp(len(alpha)), confidence.size > LARGE
    for t in range(rounds):
        if large and t + AHEAD < rounds:
            for r in range(repeats):
                prefetch(confidence, np.uintp(order[t + AHEAD, r]))
        if t > arms - first:
            choose(first, weights[t], mean, width, best, chosen)
        for r in range(np.uintp(repeats)):
            split, s = chosen[r] if t > arms - first else np.uintp(first + t), np.uintp(order[t, r])
            action[t, r] = split + columns if np.float64(confidence[s, split]) < alpha[split] else split
            known = is_known(mode, confidence, alpha, other_cloud, s, split)
            far = confidence[s, 0] if known else confidence[s, split]
            learn(
                mode, first, confidence, alpha, mu, gamma, offload, s, split, known, far, r,
                roots, total, count, mean, width,
            )  # fmt: skip


@kernel
def play_late(  # type: ignore[no-untyped-def]
    mode, first, arms, weights, confidence, alpha, mu, other_cloud, world, order, r, roots, state, action
):
    """Play all rounds of repeat r; feedback arrives, and costs are known, as the world has it.

    The learner takes feedback in in the order of the rounds. It knows what the offload of the played arm
    cost, and what others would have cost at the rate that the device takes for the link's. If the answer was
    lost, the arm has brought the confidence that the device answered with.

    Parameters
    ----------
    mode, first, arms, weights, confidence, alpha, mu, other_cloud, order, roots, action
        See `play`.
    world : World
    r : int
    state : tuple of arrays
        Of one repeat, in lane 0.
    """
    rounds, columns, every = order.shape[0], np.uintp(len(alpha)), 0 if mode == ALONE else 1
    total, count, mean, width = state
    best, chosen, here = np.empty(1), np.zeros(1, np.uintp), np.zeros((1, len(alpha)))
    lane, taken = new_lane(rounds), 0
    for t in range(rounds):
        start = begin_round(world, lane, t, r, order[t, r])
        while taken_in(lane, t, start, taken):
            s, split = np.uintp(order[taken, r]), np.uintp(action[taken, r])
            split = split - columns if split >= columns else split
            k = world.kind[s]
            here[0, split] = lane.paid[taken]
            if mode != ALONE:
                for j in range(first, split):
                    here[0, j] = offload_cost(world, s, k, j, lane.rate[taken])
            lost = lane.lost[taken] > 0
            known = is_known(mode, confidence, alpha, other_cloud, s, split) and (
                not lost or mode == PUBLISHED
            )
            deepest = confidence[s, np.uintp(arms) if split == 0 else split]
            learn(
                mode, first, confidence, alpha, mu, world.device[every, k], here, s, split, known,
                confidence[s, 0] if known else deepest, np.uintp(0), roots, total, count, mean, width,
            )  # fmt: skip
            taken += 1
        if t > arms - first:
            choose(first, weights[t], mean, width, best, chosen)
        i, s = chosen[0] if t > arms - first else np.uintp(first + t), np.uintp(order[t, r])
        offloads, k = np.float64(confidence[s, i]) < alpha[i], world.kind[s]
        action[t, r] = i + columns if offloads else i
        ms, mj = world.device_ms[every, k, i], world.device_mj[every, k, i]
        act(world, lane, t, s, start, taken, i, ms, mj, offloads)


def whole_vectors(repeats: int) -> int:
    """Return the number of lanes of so many repeats: a multiple of `VECTOR`."""
    return -(-repeats // VECTOR) * VECTOR


def begin(first: int, arms: int, repeats: int) -> tuple[Floats, Floats, Floats, Floats]:
    """Return the state of a learner before its first round: S, N, Q and h, a row per arm, a lane per repeat.

    Q = ∞ says that nothing has arrived of an arm; Q = −∞ fills the rows after the last arm.
    """
    rows = first + -(-(arms + 1 - first) // 4) * 4
    total, count, mean, width = aligned((4, rows, whole_vectors(repeats)))
    mean[: arms + 1], mean[arms + 1 :] = math.inf, -math.inf
    return total, count, mean, width


@lru_cache(maxsize=4)
def logarithms(rounds: int) -> Floats:
    """Return ln t, t = 1..rounds, by the C library that plain Python uses (NumPy's may differ)."""
    return np.array([math.log(t) for t in range(1, rounds + 1)])


@lru_cache(maxsize=4)
def inverse_roots(rounds: int) -> Floats:
    """Return 1/sqrt(N), N = 0..rounds (0 for 0); a table, since roots and divisions are slow."""
    roots = np.zeros(rounds + 1)
    roots[1:] = 1.0 / np.sqrt(np.arange(1, rounds + 1))
    return roots


@dataclass(frozen=True)
class _UCB(SplitPolicy):
    """What SplitEE and SplitEE-S share."""

    threshold: float
    exploration: float = 1.0
    learns: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_threshold(self.threshold)
        check_switch("send_input", getattr(self, "send_input", False))
        if not (isinstance(self.exploration, Real) and 0 <= self.exploration < math.inf):
            raise InputError(f"exploration is {self.exploration!r}: give a finite number, at least 0")

    @property
    def mode(self) -> int:
        """What an update learns of the arms below the split."""
        return ALONE

    def play(
        self, table: Table, order: Orders, rngs: Sequence[np.random.Generator], world: World | None
    ) -> Played:
        actions = Actions.of_splits(table.layers, self.every_exit)
        action = room_for(order.shape, actions)
        weights = float(self.exploration) * np.sqrt(logarithms(len(order)))
        arms, worth, roots = (self.mode, self.first, table.arms), self.worth(table), inverse_roots(len(order))
        if world is None:
            state = begin(self.first, table.arms, order.shape[1])
            play(*arms, weights, *worth, table.other_cloud, order, roots, state, action)
            return Played(action, actions)
        for r in range(order.shape[1]):
            state = begin(self.first, table.arms, 1)
            play_late(*arms, weights, *worth[:3], table.other_cloud, world, order, r, roots, state, action)
        return Played(action, actions)

    def live(self) -> LiveUCB:
        """Return this learner as a device loop: the same compiled code, one lane."""
        return LiveUCB(self)


@dataclass(frozen=True)
class SplitEE(_UCB):
    """SplitEE: evaluates one exit per sample, the one it splits at, and updates that arm.

    Parameters
    ----------
    threshold : float
        α: the confidence from which the device answers.
    exploration : float
        β ≥ 0; the paper's regret bound needs β ≥ 1.
    send_input : bool
        Whether offloading the input (layer 0) is an arm too.

    See Also
    --------
    SplitEES : evaluates every exit on the way and learns of all of them.

    References
    ----------
    Bajpai, Trivedi, Yadav, Hanawal: SplitEE, AIMLSystems 2023, algorithm 1; arXiv 2309.09195.

    Examples
    --------
    >>> import splitee
    >>> trace = splitee.Trace([[0.6, 0.9], [0.8, 0.9], [0.9, 0.95]], [[0, 1], [1, 1], [0, 0]])
    >>> splitee.replay(trace, SplitEE(0.7), repeats=1).split.shape
    (1, 3)
    """

    send_input: bool = False
    name: ClassVar[str] = "SplitEE"


@dataclass(frozen=True)
class SplitEES(_UCB):
    """SplitEE-S: evaluates every exit on the way and updates every arm up to the one it splits at.

    Parameters
    ----------
    threshold : float
        α.
    exploration : float
        β ≥ 0.
    side_information : {"causal", "published", "skip"}
        What an update takes for C_L if the device has not seen it. "causal": the deepest confidence that it
        has seen. "published": C_L all the same, as in the authors' code; no device could. "skip": nothing,
        the arm is not updated, which biases it (only samples hard enough to be offloaded count against it).
    send_input : bool
        Whether offloading the input (layer 0) is an arm too.

    References
    ----------
    Bajpai, Trivedi, Yadav, Hanawal: SplitEE, AIMLSystems 2023, algorithm 2; arXiv 2309.09195.

    Examples
    --------
    >>> SplitEES(0.7).label
    'SplitEE-S (causal)'
    """

    side_information: str = "causal"
    send_input: bool = False
    name: ClassVar[str] = "SplitEE-S"
    every_exit: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.side_information, str) or self.side_information not in _SIDES:
            raise InputError(
                f"side_information is {self.side_information!r}: choose causal, published or skip"
            )

    @property
    def label(self) -> str:  # noqa: D102
        return f"{self.name} ({self.side_information})"

    @property
    def sees_final(self) -> bool:  # type: ignore[override]  # noqa: D102
        return self.side_information == "published"

    @property
    def mode(self) -> int:  # noqa: D102
        return _SIDES[self.side_information]


class LiveUCB(SplitLearner):
    """SplitEE or SplitEE-S on a device, sample by sample.

    Examples
    --------
    >>> import splitee
    >>> trace = splitee.load_trace("rte_validation")
    >>> learner = splitee.SplitEE(0.8)
    >>> live = splitee.replay(trace, learner.live(), repeats=1)
    >>> (live.split == splitee.replay(trace, learner, repeats=1).split).all()
    np.True_
    """

    policy: _UCB

    def begin_stream(self) -> None:  # noqa: D102
        self.state = begin(self.policy.first, self.problem.device_exits, 1)
        self.best, self.chosen = np.empty(VECTOR), np.zeros(VECTOR, np.uintp)
        self.roots = inverse_roots(2**16)

    def choose(self, t: int) -> int:  # noqa: D102
        if t <= self.problem.device_exits + 1 - self.policy.first:
            return self.policy.first + t - 1
        weight = float(self.policy.exploration) * math.sqrt(math.log(t))
        choose(self.policy.first, weight, self.state[2], self.state[3], self.best, self.chosen)
        return int(self.chosen[0])

    def update(self, seen, split: int, known: bool) -> None:  # type: ignore[no-untyped-def]  # noqa: D102
        mode, s, i = self.policy.mode, np.uintp(0), np.uintp(split)
        if self.state[1].max() + 1 >= len(self.roots):
            self.roots = inverse_roots(2 * len(self.roots))
        known = known or mode == ALONE
        far = seen[0, 0] if known else seen[0, i]
        learn(mode, self.policy.first, seen, *self.worth, s, i, known, far, s, self.roots, *self.state)


NAMES = (
    Name("splitee", lambda s: SplitEE(s.threshold, s.exploration, s.send_input)),
    Name("splitee-s", lambda s: SplitEES(s.threshold, s.exploration, "causal", s.send_input)),
    Name("splitee-s-published", lambda s: SplitEES(s.threshold, s.exploration, "published", s.send_input)),
    Name("splitee-s-skip", lambda s: SplitEES(s.threshold, s.exploration, "skip", s.send_input)),
)
