"""LEE and DEE: bandits over exits, as far as they are known.

*LEE*: an arm is an exit i = 1..m, where the device answers whatever its confidence. The reward is
C_i − μ·γ_i. Every arm is played once, ascending; then the greatest Q(i) + β·sqrt(ln t)·h(i), h = 1/sqrt(N),
the lowest on ties, Q(i) being the mean of the N rewards of exit i. Nothing is ever offloaded.

*DEE*: a contextual bandit at every exit decides whether to go on; the context is the bin b of C_i. What
going on has brought over stopping at exit i, with the answer's confidence C and the split s,

    g = C − C_i − μ·(γ_s − γ_i + o where it was offloaded),

is known once the sample is answered, for every exit that it has passed. With N_i(b) of them and their mean
ḡ_i(b), round t goes on if N_i(b) = 0 or ḡ_i(b) + β·sqrt(ln t)/sqrt(N_i(b)) > 0. At exit m going on is
offloading; exit L answers. If an answer was lost, the exit's own counts.

Of both only the abstracts could be read: LEE also has actions of random length, DEE a context of its own.
The forms here are [derived] from "arm = exit, reward = confidence less latency" and "a contextual bandit per
exit".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from splitee._internal.jit import inlined, kernel
from splitee._internal.numbers import check_whole
from splitee.policies.loop import ANSWER, OFFLOAD, Context
from splitee.policies.problem import Orders, Table
from splitee.policies.setting import Name
from splitee.policies.thresholds.arms import begin_state as begin_means
from splitee.policies.thresholds.arms import choose, credit, gained
from splitee.policies.thresholds.device import (
    LiveLearner,
    Seen,
    ThresholdLearner,
    bin_of,
    binning,
    check_at_least,
    is_known,
)
from splitee.policies.ucb import logarithms
from splitee.system.world import World, act_at, begin_round, new_lane, taken_in

COUNT, TOTAL = range(2)  # rows of DEE's state, by exit and bin


@kernel
def play_lee(weights, arms, mu, confidence, world, order, r, action):  # type: ignore[no-untyped-def]
    """Play all rounds of repeat r of LEE.

    Parameters
    ----------
    weights : float64 array, shape (rounds,)
        β·sqrt(ln t), t = 1, 2, …
    arms : int
        m.
    mu : float
    confidence : float32 array, shape (n, W)
    world : World
    order : int32 array, shape (rounds, repeats)
    r : int
    action : uint8 or uint16 array, shape (rounds, repeats)
        Filled in: the layer.
    """
    state, lane, taken = begin_means(1, arms), new_lane(order.shape[0]), 0
    for t in range(order.shape[0]):
        s = order[t, r]
        start = begin_round(world, lane, t, r, s)
        while taken_in(lane, t, start, taken):
            u, i = order[taken, r], np.int64(action[taken, r])
            credit(state, 0, i - 1, np.float64(confidence[u, i]) - mu * world.device[0, world.kind[u], i])
            taken += 1
        i = choose(weights[t], t, state, 0) + 1
        action[t, r] = i
        act_at(world, lane, t, s, start, taken, i, 0, False)


@inlined
def goes_on(weight, state, i, b):  # type: ignore[no-untyped-def]
    """Return whether DEE goes on after exit i with a confidence in bin b; `weight` is β·sqrt(ln t)."""
    n = state[COUNT, i, b]
    return n == 0.0 or state[TOTAL, i, b] / n + weight * (1.0 / math.sqrt(n)) > 0.0


@inlined
def learn(low, scale, mu, confidence, s, split, offloaded, known, device, paid, state):  # type: ignore[no-untyped-def]
    """Credit every exit that the sample has passed with what going on has brought."""
    for j in range(1, split + (1 if offloaded else 0)):
        more = device[split] - device[j]
        gain = gained(False, mu, confidence, s, j, split, offloaded, known, more, paid)
        b = bin_of(low, scale, state.shape[2], confidence[s, j])
        state[COUNT, j, b] += 1.0
        state[TOTAL, j, b] += gain


@kernel
def play_dee(  # type: ignore[no-untyped-def]
    weights, arms, low, scale, bins, mu, other_cloud, confidence, world, order, r, action
):
    """Play all rounds of repeat r of DEE.

    Parameters
    ----------
    weights, arms, mu, confidence, world, order, r
        See `play_lee`.
    low, scale : float
        See `binning`.
    bins : int
    other_cloud : bool
    action : uint8 or uint16 array, shape (rounds, repeats)
        Filled in: the layer, plus L + 1 if it offloads.
    """
    columns, lane, taken = world.device.shape[2], new_lane(order.shape[0]), 0
    state = np.zeros((2, arms + 1, bins))
    for t in range(order.shape[0]):
        s = order[t, r]
        start = begin_round(world, lane, t, r, s)
        while taken_in(lane, t, start, taken):
            u, split = order[taken, r], np.int64(action[taken, r])
            offloaded = split >= columns
            split = split - columns if offloaded else split
            known = is_known(lane, taken, offloaded, split, columns - 1, other_cloud)
            device, paid = world.device[1, world.kind[u]], lane.paid[taken]
            learn(low, scale, mu, confidence, u, split, offloaded, known, device, paid, state)
            taken += 1
        i = 1
        on = i < columns - 1 and goes_on(weights[t], state, i, bin_of(low, scale, bins, confidence[s, i]))
        while on and i < arms:
            i += 1
            on = i < columns - 1 and goes_on(weights[t], state, i, bin_of(low, scale, bins, confidence[s, i]))
        action[t, r] = i + columns if on else i
        act_at(world, lane, t, s, start, taken, i, 1, on)


@dataclass(frozen=True)
class LEE(ThresholdLearner):
    """LEE: one exit answers all samples; which one is learned. Nothing is offloaded.

    Parameters
    ----------
    exploration : float
        β ≥ 0.

    See Also
    --------
    SplitEE : the same with offloads below α.

    References
    ----------
    Ju, Bao et al.: Learning Early Exit for Deep Neural Network Inference, CCGrid 2021 (abstract read).

    Examples
    --------
    >>> import splitee
    >>> result = splitee.replay(splitee.load_trace("rte_validation"), LEE(), repeats=1)
    >>> result.policy.label, bool(result.offloaded.any())
    ('LEE', False)
    """

    exploration: float = 1.0
    name: ClassVar[str] = "LEE"

    def __post_init__(self) -> None:
        check_at_least("exploration", self.exploration)

    def play_one(  # noqa: D102
        self,
        table: Table,
        world: World,
        order: Orders,
        r: int,
        rng: np.random.Generator,
        action: NDArray[np.unsignedinteger],
    ) -> None:
        weights = float(self.exploration) * np.sqrt(logarithms(len(order)))
        play_lee(weights, table.arms, table.mu, table.rows, world, order, r, action)

    def live(self) -> LiveLEE:  # noqa: D102
        return LiveLEE(self)


class LiveLEE(LiveLearner):
    """LEE on a device, sample by sample."""

    policy: LEE

    def begin_stream(self) -> None:  # noqa: D102
        self.state = begin_means(1, self.problem.device_exits)

    def begin(self, t: int, context: Context) -> int:  # noqa: D102
        weight = float(self.policy.exploration) * math.sqrt(math.log(t))
        return int(choose(weight, t - 1, self.state, 0)) + 1

    def decide(self, exit: int, confidence: float, prediction: int) -> int:  # noqa: D102
        return ANSWER

    def update(self, t: int, seen: Seen) -> None:  # noqa: D102
        own = np.float64(seen.confidence[0, seen.split])
        credit(self.state, 0, seen.split - 1, own - self.mu * seen.device[seen.split])


@dataclass(frozen=True)
class DEE(ThresholdLearner):
    """DEE: at every exit a bandit with the confidence as context decides whether to go on.

    Offloading the input is not an arm: gains are measured on exits that were passed.

    Parameters
    ----------
    bins : int
        Of confidences, between 1/K and 1.
    exploration : float
        β ≥ 0.

    References
    ----------
    DEE, CIKM 2021 (abstract read): a contextual bandit per exit.

    Examples
    --------
    >>> import splitee
    >>> result = splitee.replay(splitee.load_trace("rte_validation"), DEE(), repeats=1)
    >>> result.policy.label, int(result.split.min())
    ('DEE', 1)
    """

    bins: int = 20
    exploration: float = 0.1
    name: ClassVar[str] = "DEE"
    every_exit: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_whole("bins", self.bins)
        check_at_least("exploration", self.exploration)

    def play_one(  # noqa: D102
        self,
        table: Table,
        world: World,
        order: Orders,
        r: int,
        rng: np.random.Generator,
        action: NDArray[np.unsignedinteger],
    ) -> None:
        weights = float(self.exploration) * np.sqrt(logarithms(len(order)))
        play_dee(
            weights, table.arms, *binning(table.problem.classes, self.bins), self.bins, table.mu,
            table.other_cloud, table.rows, world, order, r, action,
        )  # fmt: skip

    def live(self) -> LiveDEE:  # noqa: D102
        return LiveDEE(self)


class LiveDEE(LiveLearner):
    """DEE on a device, sample by sample."""

    policy: DEE

    def begin_stream(self) -> None:  # noqa: D102
        self.low, self.scale = binning(self.problem.classes, self.policy.bins)
        self.state = np.zeros((2, self.problem.device_exits + 1, self.policy.bins))

    def begin(self, t: int, context: Context) -> int:  # noqa: D102
        self.weight = float(self.policy.exploration) * math.sqrt(math.log(t))
        return 1

    def decide(self, exit: int, confidence: float, prediction: int) -> int:  # noqa: D102
        b = bin_of(self.low, self.scale, self.policy.bins, np.float32(confidence))
        if not goes_on(self.weight, self.state, exit, b):
            return ANSWER
        return exit + 1 if exit < self.problem.device_exits else OFFLOAD

    def update(self, t: int, seen: Seen) -> None:  # noqa: D102
        paid = float(seen.offload[seen.split]) if seen.offloaded else 0.0
        learn(
            self.low, self.scale, self.mu, seen.confidence, 0, seen.split, seen.offloaded, seen.known,
            seen.device, paid, self.state,
        )  # fmt: skip


NAMES = (Name("lee", lambda s: LEE()), Name("dee", lambda s: DEE()))
