"""The learners of `splitee.policies.arms` in plain Python: their specification (see `naive`).

A learner has two methods: ``choose(t)`` returns the arm of round t = 1, 2, …, and ``learn(brought)`` learns
what a round brought. `in_rounds` and `in_system` play one, without a clock and in a System. ``TWINS`` lists
them by the name of their policy.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import naive
import naive_system


@dataclass(frozen=True)
class Brought:
    """What a round brought, once all of it has arrived.

    Attributes
    ----------
    t : int
        The round, from 1.
    arm : int
    confidence : float
        Of the answer; of the device's own if the cloud's was lost.
    cost : float
    reward : float
        confidence − μ·cost.
    """

    t: int
    arm: int
    confidence: float
    cost: float
    reward: float


@dataclass(frozen=True)
class Facts:
    """What a learner knows beforehand.

    Attributes
    ----------
    arms : list of int
    mu : float
    gamma, offload : lists of floats, by layer 0..L
        With one exit evaluated; the largest of any sample.
    span : float
        R = 1 + μ·o, o the largest over layers 1..m.
    draw : Generator
        Random numbers.
    rounds : int
    """

    arms: list[int]
    mu: float
    gamma: list[float]
    offload: list[float]
    span: float
    draw: Any
    rounds: int


def in_rounds(make: Callable[[Facts], Any], case: Any, delay: int, draw: Any) -> list[naive.Round]:
    """Play a learner without a clock."""
    world, n = case.world, len(case.world.confidence)
    arms = naive.arms_of(world, case.send_input)
    offload = [
        max(naive.offload_price(world, s, i) for s in range(n)) if i > 0 or case.send_input else 0.0
        for i in range(world.layers + 1)
    ]
    gamma = [naive.device_cost(world, i, False) for i in range(world.layers + 1)]
    span = naive.reward_span(world)
    learner = make(Facts(arms, world.mu, gamma, offload, span, draw, len(case.order)))
    rounds: list[naive.Round] = []
    learnt = 0
    for t, s in enumerate(case.order, start=1):
        i = learner.choose(t)
        rounds.append(naive.split_at(world, s, i, case.threshold, every_exit=False))
        for k in naive.arrived(rounds, learnt, delay):
            learnt = k + 1
            one, sample = rounds[k], case.order[k]
            if one.offloaded:
                confidence = naive.cloud_confidence(world, sample)
            else:
                confidence = world.confidence[sample][one.split - 1]
            learner.learn(Brought(k + 1, one.split, confidence, one.cost, one.reward))
    return rounds


def in_system(make: Callable[[Facts], Any], one: Any, known: Any, draw: Any) -> list[naive_system.Measured]:
    """Play a learner in a System."""
    case, physics = one.case, one.physics
    world = case.world
    arms = naive.arms_of(world, case.send_input)
    learner = make(Facts(arms, world.mu, known.gamma, known.offload, known.span, draw, len(case.order)))

    def decide(t: int, s: int) -> tuple[int, bool, bool]:
        i = learner.choose(t + 1)
        return i, False, not naive.exits(world, s, i, case.threshold)

    def learn(t: int, played: naive_system.Measured) -> None:
        s, i = played.sample, played.layer
        cost = run.device_cost(s, i, False)
        confidence = world.confidence[s][(i if i > 0 else physics.device_layers) - 1]
        if played.offloaded:
            cost = cost + played.paid
            if not played.lost:
                confidence = naive.cloud_confidence(world, s)
        learner.learn(Brought(t + 1, i, confidence, cost, confidence - world.mu * cost))

    run = naive_system.Simulation(physics, case.order, one.arrivals, decide, learn)
    return run.run()


def twin(make: Callable[[Facts], Any]) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return the two functions that play a learner."""
    return (
        lambda case, delay, draw: in_rounds(make, case, delay, draw),
        lambda one, known, draw: in_system(make, one, known, draw),
    )


# ----------------------------------------------------------------------------------------------------------
# Indices
# ----------------------------------------------------------------------------------------------------------


class ByIndex:
    """Every arm once, ascending; then the greatest index, the lowest on ties; ∞ if nothing has arrived."""

    def __init__(self, facts: Facts) -> None:
        self.facts, self.rewards = facts, {i: [] for i in facts.arms}

    def scaled(self, brought: Brought) -> float:
        """What the index is about."""
        return brought.reward

    def learn(self, brought: Brought) -> None:
        self.rewards[brought.arm].append(self.scaled(brought))

    def moments(self, arm: int) -> tuple[int, float, float]:
        """N, Q and Σ(r − Q)² by Welford's recurrence."""
        n, total, mean, spread = 0, 0.0, 0.0, 0.0
        for r in self.rewards[arm]:
            before = r - mean
            n, total = n + 1, total + r
            mean = total / n
            spread = spread + before * (r - mean)
        return n, mean, spread

    def choose(self, t: int) -> int:
        if t <= len(self.facts.arms):
            return self.facts.arms[t - 1]
        chosen, greatest = self.facts.arms[0], -math.inf
        for arm in self.facts.arms:
            index = self.index(arm, t) if self.rewards[arm] else math.inf
            if index > greatest:
                chosen, greatest = arm, index
        return chosen

    def index(self, arm: int, t: int) -> float:
        raise NotImplementedError


def entropy(q: float) -> float:
    """q·ln q + (1 − q)·ln(1 − q)."""
    one = q * math.log(q) if q > 0.0 else 0.0
    return one + ((1.0 - q) * math.log(1.0 - q) if q < 1.0 else 0.0)


class KLUCB(ByIndex):
    """The greatest k/2¹⁶ whose divergence from the mean is at most ln t / N, by bisection."""

    def shift(self, arm: int) -> float:
        return self.facts.mu * self.facts.gamma[arm] + (self.facts.span - 1.0)

    def scaled(self, brought: Brought) -> float:
        return min(1.0, max(0.0, (brought.reward + self.shift(brought.arm)) / self.facts.span))

    def index(self, arm: int, t: int) -> float:
        n, q, _ = self.moments(arm)
        low, high = int(q * 2**16), 2**16
        while high - low > 1:
            middle = (low + high) // 2
            u = middle / 2**16
            if n * (
                entropy(q) - q * math.log(u) - (1.0 - q) * math.log((2**16 - middle) / 2**16)
            ) <= math.log(t):
                low = middle
            else:
                high = middle
        return self.facts.span * (low / 2**16) - self.shift(arm)


class BayesUCB(ByIndex):
    def index(self, arm: int, t: int) -> float:
        n, q, spread = self.moments(arm)
        z = NormalDist().inv_cdf(1.0 - 1.0 / (t * math.log(t)))
        return q + z * math.sqrt((0.25 * (self.facts.span * self.facts.span) + spread) / n / n)


class UCBV(ByIndex):
    def index(self, arm: int, t: int) -> float:
        n, q, spread = self.moments(arm)
        x = math.log(t) / n
        return q + math.sqrt(2.0 * spread / n * x) + 3.0 * self.facts.span * x


class UCBTunedReleased(ByIndex):
    def index(self, arm: int, t: int) -> float:
        n, q, spread = self.moments(arm)
        x = math.log(t) / n
        return q + math.sqrt(x * min(0.25, spread / n + math.sqrt(2.0 * x)))


class UCBBwK(ByIndex):
    """Confidence over cost."""

    def __init__(self, facts: Facts) -> None:
        super().__init__(facts)
        m = facts.arms[-1]
        self.most = facts.gamma[m] + max(facts.offload[1 : m + 1])
        self.paid = dict.fromkeys(facts.arms, 0.0)

    def scaled(self, brought: Brought) -> float:
        return brought.confidence

    def learn(self, brought: Brought) -> None:
        super().learn(brought)
        if self.most > 0.0:
            self.paid[brought.arm] += min(1.0, brought.cost / self.most)

    def index(self, arm: int, t: int) -> float:
        n, q, _ = self.moments(arm)
        b = math.sqrt(math.log(t) / n)
        return min(1.0, q + b) / max(self.paid[arm] / n - b, math.sqrt(math.log(t) / t))


# ----------------------------------------------------------------------------------------------------------
# Forgetting
# ----------------------------------------------------------------------------------------------------------


class DiscountedUCB:
    """Sums that fade by γ with every reward."""

    discount, xi = 0.9995, 0.6

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.count, self.total = dict.fromkeys(facts.arms, 0.0), dict.fromkeys(facts.arms, 0.0)

    def learn(self, brought: Brought) -> None:
        for j in self.facts.arms:
            self.count[j] = self.count[j] * self.discount
            self.total[j] = self.total[j] * self.discount
        self.count[brought.arm] += 1.0
        self.total[brought.arm] += brought.reward

    def width(self, t: int) -> float:
        n = 0.0
        for j in self.facts.arms:
            n = n + self.count[j]
        return 2.0 * self.facts.span * math.sqrt(self.xi * max(0.0, math.log(n))) if n > 0.0 else 0.0

    def choose(self, t: int) -> int:
        if t <= len(self.facts.arms):
            return self.facts.arms[t - 1]
        width, chosen, greatest = self.width(t), self.facts.arms[0], -math.inf
        for j in self.facts.arms:
            n = self.count[j]
            index = self.total[j] / n + width / math.sqrt(n) if n > 0.0 else math.inf
            if index > greatest:
                chosen, greatest = j, index
        return chosen


class SlidingWindowUCB(DiscountedUCB):
    """Sums of the last τ rewards: a reward that leaves is subtracted."""

    window = 2000

    def __init__(self, facts: Facts) -> None:
        super().__init__(facts)
        self.recent: list[tuple[int, float]] = []

    def learn(self, brought: Brought) -> None:
        if len(self.recent) == self.window:
            old, reward = self.recent.pop(0)
            self.count[old] -= 1.0
            self.total[old] = self.total[old] - reward if self.count[old] > 0.0 else 0.0
        self.recent.append((brought.arm, brought.reward))
        self.count[brought.arm] += 1.0
        self.total[brought.arm] += brought.reward

    def width(self, t: int) -> float:
        return self.facts.span * math.sqrt(self.xi * math.log(min(t, self.window)))


TWINS = {
    "kl-ucb": twin(KLUCB),
    "bayes-ucb": twin(BayesUCB),
    "ucb-v": twin(UCBV),
    "ucb-bwk": twin(UCBBwK),
    "ucb-tuned-released": twin(UCBTunedReleased),
    "d-ucb": twin(DiscountedUCB),
    "sw-ucb": twin(SlidingWindowUCB),
}
