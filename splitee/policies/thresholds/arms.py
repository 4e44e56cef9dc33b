"""AdaEE, CeeBERT and buffer-aware AdaEE: UCB over thresholds.

An arm is a threshold α. Exits are evaluated from the first to the last that the policy uses; the first with
C_i ≥ α answers, and if none does, the last one offloads (exit L answers). The reward of a sample that stops
at exit i is what that has gained on the first exit, f,

    r = C_answer − C_f − μ·(γ_i − γ_f + o where it offloads),

so that a sample that answers at f brings 0. Every arm is played once, ascending; then, of k arms, the
greatest Q(k) + β·sqrt(ln n)·h(k), h = 1/sqrt(N), the lowest on ties, Q(k) being the mean of the N rewards
that have arrived and n the round. If an answer was lost, the exit's own counts. Confidences only are
compared: no answer.

AdaEE uses one exit, and max(C_L − C_f, 0) for the gain. CeeBERT uses all exits. Buffer-aware AdaEE has
rewards and counts for each number q of samples that wait for the device, or arms (θ₁, θ₂) with α = θ₁·q + θ₂.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from splitee._internal.errors import InputError
from splitee._internal.jit import inlined, kernel
from splitee.policies.loop import ANSWER, OFFLOAD, Context
from splitee.policies.problem import Floats, Orders, Table, as_alpha
from splitee.policies.setting import Name
from splitee.policies.thresholds.device import (
    LiveLearner,
    Seen,
    ThresholdLearner,
    check_at_least,
    check_grid,
    check_layer,
    is_known,
)
from splitee.policies.ucb import logarithms
from splitee.system.world import World, act_at, begin_round, new_lane, taken_in, waiting

TOTAL, COUNT, MEAN, WIDTH = range(4)  # of `state`
BACKLOGS = 11  # 0..10 samples that wait; more count as 10


@inlined
def choose(weight, played, state, row):  # type: ignore[no-untyped-def]
    """Return the arm: each once, ascending, then the greatest Q + weight·h, the lowest on ties.

    Parameters
    ----------
    weight : float
        β·sqrt(ln n).
    played : int
        Rounds so far.
    state : float64 array, shape (4, rows, arms)
        S, N, Q and h, by backlog.
    row : int
    """
    arms = state.shape[2]
    if played < arms:
        return played
    best, greatest = 0, -math.inf
    for k in range(arms):
        index = state[MEAN, row, k] + weight * state[WIDTH, row, k]
        if index > greatest:
            best, greatest = k, index
    return best


@inlined
def gained(clip, mu, confidence, s, first, split, offloaded, known, device, paid):  # type: ignore[no-untyped-def]
    """Return the reward of sample s; see this module.

    Parameters
    ----------
    clip : bool
        Whether a gain below 0 counts as 0.
    mu : float
    confidence : float32 array, shape (n, W)
    s, first, split : int
    offloaded, known : bool
    device : float
        γ_split − γ_first.
    paid : float
        o; 0 if it did not offload.
    """
    answer = confidence[s, 0] if offloaded and known else confidence[s, split]
    gain = np.float64(answer) - np.float64(confidence[s, first])
    gain = max(gain, np.float64(0.0)) if clip else gain
    return gain - mu * (device + paid)


@inlined
def credit(state, row, k, reward):  # type: ignore[no-untyped-def]
    """Add a reward to an arm."""
    state[TOTAL, row, k] += reward
    state[COUNT, row, k] += 1.0
    n = state[COUNT, row, k]
    state[MEAN, row, k] = state[TOTAL, row, k] / n
    state[WIDTH, row, k] = 1.0 / math.sqrt(n)


@kernel
def play(  # type: ignore[no-untyped-def]
    clip,
    first,
    last,
    alpha,
    weights,
    waits,
    relief,
    rows,
    mu,
    other_cloud,
    confidence,
    world,
    order,
    r,
    action,
):
    """Play all rounds of repeat r.

    Parameters
    ----------
    clip, first, mu, confidence
        See `gained`.
    last : int
        The last exit that is evaluated.
    alpha : float64 array, shape (backlogs, arms)
        Of each arm, by the number of samples that wait.
    weights : float64 array, shape (rounds,)
        β·sqrt(ln n), n = 1, 2, …
    waits, relief : float
        An offload costs waits·q − relief more.
    rows : int
        Of the state: 1, or as many as there are backlogs.
    other_cloud : bool
    world : World
    order : int32 array, shape (rounds, repeats)
    r : int
    action : uint8 or uint16 array, shape (rounds, repeats)
        Filled in: the layer, plus L + 1 if it offloads.
    """
    rounds, columns = order.shape[0], world.device.shape[2]
    state, played = begin_state(rows, alpha.shape[1]), np.zeros(rows, np.int64)
    arm, backlog = np.zeros(rounds, np.int16), np.zeros(rounds, np.int16)
    lane, taken, e = new_lane(rounds), 0, 0 if first == last else 1
    for t in range(rounds):
        s = order[t, r]
        start = begin_round(world, lane, t, r, s)
        q = min(waiting(world, lane, t, r, start), len(alpha) - 1)
        while taken_in(lane, t, start, taken):
            u, split = order[taken, r], np.int64(action[taken, r])
            offloaded = split >= columns
            split = split - columns if offloaded else split
            known = is_known(lane, taken, offloaded, split, columns - 1, other_cloud)
            k = world.kind[u]
            more = world.device[e, k, split] - world.device[e, k, first]
            reward = gained(clip, mu, confidence, u, first, split, offloaded, known, more, lane.paid[taken])
            if offloaded:
                reward -= waits * backlog[taken] - relief
            credit(state, backlog[taken] if rows > 1 else 0, arm[taken], reward)
            taken += 1
        row = q if rows > 1 else 0
        arm[t], backlog[t] = choose(weights[played[row]], played[row], state, row), q
        played[row] += 1
        i, least = first, alpha[q, arm[t]]
        while i < last and np.float64(confidence[s, i]) < least:
            i += 1
        offloads = i < columns - 1 and np.float64(confidence[s, i]) < least
        action[t, r] = i + columns if offloads else i
        k = world.kind[s]
        act_at(world, lane, t, s, start, taken, i, e, offloads)


@kernel
def begin_state(rows, arms):  # type: ignore[no-untyped-def]
    """Return the state before the first round: Q = ∞ says that nothing has arrived of an arm."""
    state = np.zeros((4, rows, arms))
    state[MEAN] = np.inf
    return state


@dataclass(frozen=True)
class _OverThresholds(ThresholdLearner):
    """What the learners of this module share."""

    clip: ClassVar[bool] = False
    waits: ClassVar[float] = 0.0
    relief: ClassVar[float] = 0.0
    rows: ClassVar[int] = 1

    def exits(self, arms: int) -> tuple[int, int]:
        """Return the first and the last exit that are evaluated."""
        raise NotImplementedError

    def alphas(self) -> Floats:
        """Return α of each arm, by the number of samples that wait, shape (backlogs, arms)."""
        raise NotImplementedError

    def weight(self, log_n: Floats | float) -> Floats | float:
        """Return β·sqrt(ln n)."""
        return float(getattr(self, "exploration")) * np.sqrt(log_n)  # noqa: B009

    def mu(self, mu: float) -> float:
        """Return the weight of costs in the reward."""
        return mu

    def play_one(
        self,
        table: Table,
        world: World,
        order: Orders,
        r: int,
        rng: np.random.Generator,
        action: NDArray[np.unsignedinteger],
    ) -> None:
        weights = self.weight(logarithms(len(order)))
        play(
            self.clip, *self.exits(table.arms), self.alphas(), weights, float(self.waits), float(self.relief),
            self.rows, self.mu(table.mu), table.other_cloud, table.rows, world, order, r, action,
        )  # fmt: skip

    def live(self) -> LiveOverThresholds:
        return LiveOverThresholds(self)


@dataclass(frozen=True)
class AdaEE(_OverThresholds):
    """AdaEE, also known as UCBEE: the threshold of one exit is learned; the cloud answers what is below it.

    Offloading the input is not an arm: its gain is measured on the exit's confidence. α = 1 offloads all
    samples but those of confidence 1, after the exit.

    Parameters
    ----------
    layer : int
        The exit. The papers have a network with one side branch.
    thresholds : sequence of float
        The arms, ascending.
    exploration : float
        β ≥ 0.

    References
    ----------
    Pacheco et al.: AdaEE, ICC 2023, and its journal version UCBEE, 2024 (abstracts read). Arms, reward and β
    = 1 are those of the released code, the only source known for them.

    Examples
    --------
    >>> import splitee
    >>> trace = splitee.load_trace("rte_validation")
    >>> result = splitee.replay(trace, AdaEE(4), splitee.CostModel(offload=1.0), repeats=1)
    >>> result.policy.label, set(result.split[0].tolist())
    ('AdaEE (exit 4)', {4})
    """

    layer: int = 1
    thresholds: tuple[float, ...] = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    exploration: float = 1.0
    name: ClassVar[str] = "AdaEE"
    clip: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_layer(self.layer)
        object.__setattr__(self, "thresholds", check_grid("thresholds", self.thresholds))
        check_at_least("exploration", self.exploration)

    @property
    def label(self) -> str:  # noqa: D102
        return f"{self.name} (exit {self.layer})"

    def deepest(self, layers: int, arms: int) -> int:  # noqa: D102
        return self.layer

    def exits(self, arms: int) -> tuple[int, int]:  # noqa: D102
        return self.layer, self.layer

    def alphas(self) -> Floats:  # noqa: D102
        return np.array([[as_alpha(alpha) for alpha in self.thresholds]])


@dataclass(frozen=True)
class CeeBERTReleased(AdaEE):
    """CeeBERT as released: one exit, gains below 0 count; a named variant, never a default.

    The reward is 0 if C_i ≥ α, else C_L − C_i − μ·o: its code has o = 0.1 there; here it is the cost of the
    call.

    Examples
    --------
    >>> CeeBERTReleased(2).label
    'CeeBERT (as released, exit 2)'
    """

    thresholds: tuple[float, ...] = tuple(round(0.5 + 0.05 * k, 2) for k in range(10))
    exploration: float = 2.0
    name: ClassVar[str] = "CeeBERT"
    clip: ClassVar[bool] = False

    @property
    def label(self) -> str:  # noqa: D102
        return f"{self.name} (as released, exit {self.layer})"


@dataclass(frozen=True)
class CeeBERT(_OverThresholds):
    """CeeBERT: one threshold of a cascade is learned.

    The last exit of the device offloads, if it is not exit L. (The paper stays on one machine, and its last
    exit answers.) Offloading the input is not an arm: gains are measured on exit 1.

    Parameters
    ----------
    thresholds : sequence of float
        The arms, ascending.
    exploration : float
        β ≥ 0.

    See Also
    --------
    CeeBERTReleased : what the authors' code does.

    References
    ----------
    Bajpai, Hanawal: CeeBERT, Findings of ACL 2024; arXiv 2405.15039. Its reward is a gain in confidence less
    a weighted latency [abstract]; the form used here is derived from that, arms and β are the released
    code's.

    Examples
    --------
    >>> CeeBERT().label
    'CeeBERT'
    """

    thresholds: tuple[float, ...] = tuple(round(0.5 + 0.05 * k, 2) for k in range(10))
    exploration: float = 2.0
    name: ClassVar[str] = "CeeBERT"
    every_exit: ClassVar[bool] = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "thresholds", check_grid("thresholds", self.thresholds))
        check_at_least("exploration", self.exploration)

    def exits(self, arms: int) -> tuple[int, int]:  # noqa: D102
        return 1, arms

    def alphas(self) -> Floats:  # noqa: D102
        return np.array([[as_alpha(alpha) for alpha in self.thresholds]])


@dataclass(frozen=True)
class BufferAwareAdaEE(_OverThresholds):
    """AdaEE whose threshold depends on how many samples wait for the device, q = 0..10.

    A cost per waiting sample is added to every offload. Without a clock nothing waits, and q = 0 always.

    Parameters
    ----------
    layer : int
        The exit.
    linear : bool
        Arms (θ₁, θ₂) with α = θ₁·q + θ₂, clipped to [0, 1.09]: 105 pairs, θ₁ from 0.01 in steps of 0.01,
        0.5 ≤ α ≤ 1 for all q. Otherwise arms α from 0.5 to 1 in steps of 0.01, with means and counts of their
        own for each q.
    released : bool
        The reward of the released code: an offload costs 0.01·q − 0.05 and no μ·o, so that 0.05 is *added* to
        every offload. Otherwise it costs μ·o + 0.01·q.
    exploration : float
        β; sqrt(2) in the code.

    References
    ----------
    "A Reality Check on Robust Bandit Algorithms for Buffer-Aware Early Exits", ICLR 2026 submission 21534
    (abstract read; the rest from its released code). With θ₁ ≥ 0.01 the threshold *grows* with the queue.

    Examples
    --------
    >>> BufferAwareAdaEE(2, linear=True).label
    'buffer-aware AdaEE (exit 2, linear)'
    """

    layer: int = 1
    linear: bool = False
    released: bool = False
    exploration: float = math.sqrt(2.0)
    name: ClassVar[str] = "buffer-aware AdaEE"
    clip: ClassVar[bool] = True
    waits: ClassVar[float] = 0.01

    def __post_init__(self) -> None:
        check_layer(self.layer)
        for name in ("linear", "released"):
            if not isinstance(getattr(self, name), bool):
                raise InputError(f"{name} is {getattr(self, name)!r}: give True or False")
        check_at_least("exploration", self.exploration)

    @property
    def label(self) -> str:  # noqa: D102
        kind = (", linear" if self.linear else "") + (", as released" if self.released else "")
        return f"{self.name} (exit {self.layer}{kind})"

    @property
    def rows(self) -> int:  # type: ignore[override]  # noqa: D102
        return 1 if self.linear else BACKLOGS

    @property
    def relief(self) -> float:  # type: ignore[override]  # noqa: D102
        return 0.05 if self.released else 0.0

    def mu(self, mu: float) -> float:  # noqa: D102
        return 0.0 if self.released else mu

    def deepest(self, layers: int, arms: int) -> int:  # noqa: D102
        return self.layer

    def exits(self, arms: int) -> tuple[int, int]:  # noqa: D102
        return self.layer, self.layer

    def alphas(self) -> Floats:  # noqa: D102
        if not self.linear:
            return np.array([[as_alpha(k / 100) for k in range(50, 101)]] * BACKLOGS)
        pairs = [(a, b) for a in range(1, 6) for b in range(50, 101) if b + 10 * a <= 100]
        return np.array([[as_alpha((a * q + b) / 100) for a, b in pairs] for q in range(BACKLOGS)])


class LiveOverThresholds(LiveLearner):
    """AdaEE, CeeBERT or buffer-aware AdaEE on a device, sample by sample."""

    policy: _OverThresholds

    def begin_stream(self) -> None:  # noqa: D102
        self.first, self.last = self.policy.exits(self.problem.device_exits)
        self.alpha, rows = self.policy.alphas(), self.policy.rows
        self.state = begin_state(rows, self.alpha.shape[1])
        self.played = [0] * rows
        self.waiting: dict[int, tuple[int, int]] = {}  # backlog and arm of rounds not learned from yet

    def begin(self, t: int, context: Context) -> int:  # noqa: D102
        q = min(context.queue or 0, len(self.alpha) - 1)
        row = q if self.policy.rows > 1 else 0
        n = self.played[row]
        arm = choose(self.policy.weight(math.log(n + 1)), n, self.state, row)
        self.played[row] += 1
        self.waiting[t], self.least = (q, arm), self.alpha[q, arm]
        return self.first

    def decide(self, exit: int, confidence: float, prediction: int) -> int:  # noqa: D102
        if np.float64(np.float32(confidence)) >= self.least:
            return ANSWER
        return exit + 1 if exit < self.last else OFFLOAD

    def update(self, t: int, seen: Seen) -> None:  # noqa: D102
        policy, (q, arm) = self.policy, self.waiting.pop(t)
        more = seen.device[seen.split] - seen.device[self.first]
        paid = seen.offload[seen.split] if seen.offloaded else 0.0
        seen_of = 0, self.first, seen.split, seen.offloaded, seen.known
        reward = gained(policy.clip, policy.mu(self.mu), seen.confidence, *seen_of, more, paid)
        if seen.offloaded:
            reward -= policy.waits * q - policy.relief
        credit(self.state, q if policy.rows > 1 else 0, arm, reward)


NAMES = (
    Name("adaee", lambda s: AdaEE(), ("UCBEE",)),
    Name("adaee:LAYER", lambda s, layer: AdaEE(s.layer(layer))),
    Name("ceebert", lambda s: CeeBERT()),
    Name("ceebert-released", lambda s: CeeBERTReleased()),
    Name("buffer-adaee", lambda s: BufferAwareAdaEE(), ("BufferAwareAdaEE",)),
    Name("buffer-adaee-linear", lambda s: BufferAwareAdaEE(linear=True)),
    Name("buffer-adaee-released", lambda s: BufferAwareAdaEE(linear=True, released=True)),
)
