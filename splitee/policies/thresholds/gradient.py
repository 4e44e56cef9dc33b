"""A policy gradient over thresholds: the rival of buffer-aware AdaEE.

Arms are thresholds α = 0.5, 0.51, …, 1 of one exit, with preferences θ_k of their own for each number q of
samples that wait (0..10; more count as 10). With d_k = max θ − θ_k and u_k = 1/(1 + (λ − 1)·d_k), λ = 1.5,
round t plays arm k with probability

    π_k = u_k^(1/(λ − 1)) / Σ_j u_j^(1/(λ − 1)),

a softmax with Tsallis' exponential in place of e^x: its tail is a power, so that no arm dies out. The reward
r of a sample is that of buffer-aware AdaEE: max(C_L − C_i, 0) − μ·o − 0.01·q if it was offloaded, else 0.
Once the feedback of arm a has arrived,

    θ_k ← θ_k + η·r·([k = a]·u_a − π_k·u_k),

the gradient of r·ln π_a (the maximum taken as constant), π being that of now.

Of the released code a summary is known: "Tsallis-softmax policy gradient, learning rate 0.1, λ_T = 1.5". That
this is the exponential's index, and the gradient, are [derived].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from splitee._internal.jit import inlined, kernel
from splitee.policies.loop import ANSWER, OFFLOAD, Context
from splitee.policies.problem import Orders, Table, as_alpha
from splitee.policies.setting import Name
from splitee.policies.thresholds.arms import BACKLOGS, gained
from splitee.policies.thresholds.device import (
    LiveLearner,
    Seen,
    ThresholdLearner,
    check_at_least,
    check_layer,
    is_known,
)
from splitee.system.world import World, act, begin_round, new_lane, taken_in, waiting

INDEX = 1.5  # λ
WAITS = 0.01  # what an offload costs more per waiting sample
ALPHAS = np.array([as_alpha(k / 100) for k in range(50, 101)])


@inlined
def flatten(theta, u):  # type: ignore[no-untyped-def]
    """Fill in u of every arm, and return Σ u²; u² = u^(1/(λ − 1))."""
    greatest, total = theta[0], 0.0
    for k in range(1, len(theta)):
        greatest = max(greatest, theta[k])
    for k in range(len(theta)):
        u[k] = 1.0 / (1.0 + (INDEX - 1.0) * (greatest - theta[k]))
        total += u[k] * u[k]
    return total


@inlined
def draw(theta, u, coin):  # type: ignore[no-untyped-def]
    """Return the arm that a uniform number draws: the first at which Σ π reaches it."""
    left = coin * flatten(theta, u)
    for k in range(len(theta) - 1):
        left -= u[k] * u[k]
        if left < 0.0:
            return k
    return len(theta) - 1


@inlined
def climb(theta, u, arm, step):  # type: ignore[no-untyped-def]
    """Change the preferences; `step` is η·r."""
    if step == 0.0:
        return
    total = flatten(theta, u)
    for k in range(len(theta)):
        theta[k] -= step * (u[k] * u[k] / total * u[k])
    theta[arm] += step * u[arm]


@kernel
def play(layer, rate, alpha, coins, mu, other_cloud, confidence, world, order, r, action):  # type: ignore[no-untyped-def]
    """Play all rounds of repeat r.

    Parameters
    ----------
    layer : int
    rate : float
        η.
    alpha : float64 array, shape (arms,)
    coins : float64 array, shape (rounds,)
    mu : float
    other_cloud : bool
    confidence : float32 array, shape (n, W)
    world : World
    order : int32 array, shape (rounds, repeats)
    r : int
    action : uint8 or uint16 array, shape (rounds, repeats)
        Filled in: the layer, plus L + 1 if it offloads.
    """
    rounds, columns = order.shape[0], world.device.shape[2]
    theta, u = np.zeros((BACKLOGS, len(alpha))), np.zeros(len(alpha))
    arm, backlog = np.zeros(rounds, np.int16), np.zeros(rounds, np.int16)
    lane, taken = new_lane(rounds), 0
    for t in range(rounds):
        s = order[t, r]
        start = begin_round(world, lane, t, r, s)
        q = min(waiting(world, lane, t, r, start), BACKLOGS - 1)
        while taken_in(lane, t, start, taken):
            if action[taken, r] >= columns:
                known = is_known(lane, taken, True, layer, columns - 1, other_cloud)
                reward = gained(
                    True, mu, confidence, order[taken, r], layer, layer, True, known, 0.0, lane.paid[taken]
                )
                reward -= WAITS * backlog[taken]
                climb(theta[backlog[taken]], u, arm[taken], rate * reward)
            taken += 1
        k = draw(theta[q], u, coins[t])
        arm[t], backlog[t] = k, q
        offloads = layer < columns - 1 and np.float64(confidence[s, layer]) < alpha[k]
        action[t, r], length = layer + columns if offloads else layer, world.kind[s]
        ms, mj = world.device_ms[0, length, layer], world.device_mj[0, length, layer]
        act(world, lane, t, s, start, taken, layer, ms, mj, offloads)


@dataclass(frozen=True)
class GradientAdaEE(ThresholdLearner):
    """Thresholds of one exit by a policy gradient, with preferences for each number of waiting samples.

    Parameters
    ----------
    layer : int
        The exit.
    rate : float
        η ≥ 0.

    See Also
    --------
    BufferAwareAdaEE : UCB on the same rewards.

    References
    ----------
    "A Reality Check on Robust Bandit Algorithms for Buffer-Aware Early Exits", ICLR 2026 submission 21534
    (abstract read, and a summary of its code); see this module.

    Examples
    --------
    >>> import splitee
    >>> trace = splitee.load_trace("rte_validation")
    >>> result = splitee.replay(trace, GradientAdaEE(4), splitee.CostModel(offload=1.0), repeats=1)
    >>> result.policy.label, set(result.split[0].tolist())
    ('policy gradient (exit 4)', {4})
    """

    layer: int = 1
    rate: float = 0.1
    name: ClassVar[str] = "policy gradient"

    def __post_init__(self) -> None:
        check_layer(self.layer)
        check_at_least("rate", self.rate)

    @property
    def label(self) -> str:  # noqa: D102
        return f"{self.name} (exit {self.layer})"

    def deepest(self, layers: int, arms: int) -> int:  # noqa: D102
        return self.layer

    def play_one(  # noqa: D102
        self,
        table: Table,
        world: World,
        order: Orders,
        r: int,
        rng: np.random.Generator,
        action: NDArray[np.unsignedinteger],
    ) -> None:
        coins, given = rng.random(len(order)), (table.mu, table.other_cloud, table.rows)
        play(self.layer, float(self.rate), ALPHAS, coins, *given, world, order, r, action)

    def live(self) -> LiveGradient:  # noqa: D102
        return LiveGradient(self)


class LiveGradient(LiveLearner):
    """A policy gradient on a device, sample by sample."""

    policy: GradientAdaEE

    def begin_stream(self) -> None:  # noqa: D102
        self.theta, self.u = np.zeros((BACKLOGS, len(ALPHAS))), np.zeros(len(ALPHAS))
        self.waiting: dict[int, tuple[int, int]] = {}  # backlog and arm of rounds not learned from yet

    def begin(self, t: int, context: Context) -> int:  # noqa: D102
        q = min(context.queue or 0, BACKLOGS - 1)
        arm = draw(self.theta[q], self.u, float(self.rng.random()))
        self.waiting[t], self.least = (q, arm), ALPHAS[arm]
        return self.policy.layer

    def decide(self, exit: int, confidence: float, prediction: int) -> int:  # noqa: D102
        return ANSWER if np.float64(np.float32(confidence)) >= self.least else OFFLOAD

    def update(self, t: int, seen: Seen) -> None:  # noqa: D102
        q, arm = self.waiting.pop(t)
        if not seen.offloaded:
            return
        layer, paid = self.policy.layer, float(seen.offload[seen.split])
        reward = gained(True, self.mu, seen.confidence, 0, layer, layer, True, seen.known, 0.0, paid)
        climb(self.theta[q], self.u, arm, float(self.policy.rate) * (reward - WAITS * q))


NAMES = (
    Name("buffer-gradient", lambda s: GradientAdaEE(), ("GradientAdaEE",)),
    Name("buffer-gradient:LAYER", lambda s, layer: GradientAdaEE(s.layer(layer))),
)
