"""The learners of `splitee.policies.arms` in plain Python: their specification (see `naive`).

A learner has two methods: ``choose(t)`` returns the arm of round t = 1, 2, …, and ``learn(brought)`` learns
what a round brought. One with `peeks` evaluates exit 1 besides that of its arm, and ``see(t, C_1)`` is
shown its confidence. One that is `unordered` takes feedback in as it arrives; ``under_way(arm)`` says that
it offloads. `in_rounds` and `in_system` play one, without a clock and in a System. ``TWINS`` lists them by
the name of their policy.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
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
    agrees : bool or None
        Whether exit `arm` answered as the cloud did; None unless it was offloaded and the answer came back.
    """

    t: int
    arm: int
    confidence: float
    cost: float
    reward: float
    agrees: bool | None = None
    offloaded: bool = False


@dataclass(frozen=True)
class Before:
    """What the device knows of a round before it chooses: tokens, rate over that at first, queue, C_1."""

    tokens: int
    rate: float
    queue: int
    confidence: float


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
    alpha: float = 0.0
    exploration: float = 1.0


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
    learner = make(
        Facts(arms, world.mu, gamma, offload, span, draw, len(case.order), case.threshold, case.exploration)
    )
    rounds: list[naive.Round] = []
    learnt, peeks, unordered = 0, getattr(learner, "peeks", False), getattr(learner, "unordered", False)
    for t, s in enumerate(case.order, start=1):
        learner.context = Before(0, 1.0, 0, world.confidence[s][0])
        i = learner.choose(t)
        if peeks and i > 0:
            learner.see(t, world.confidence[s][0])
        rounds.append(split(world, s, i, case.threshold, peeks))
        if rounds[-1].offloaded and hasattr(learner, "under_way"):
            learner.under_way(i)
        taken = naive.arrivals(rounds, delay) if unordered else naive.arrived(rounds, learnt, delay)
        for k in taken:
            learnt = k + 1
            one, sample = rounds[k], case.order[k]
            agrees = None
            if one.offloaded:
                confidence = naive.cloud_confidence(world, sample)
                if one.split > 0:
                    agrees = world.prediction[sample][one.split - 1] == naive.cloud_answer(world, sample)
            else:
                confidence = world.confidence[sample][one.split - 1]
            late = Brought(k + 1, one.split, confidence, one.cost, one.reward, agrees, one.offloaded)
            learner.learn(late)
    return rounds


def split(world: naive.World, s: int, i: int, threshold: float, peeks: bool) -> naive.Round:
    """Split sample s at i, with exit 1 evaluated too if it peeks."""
    if not peeks:
        return naive.split_at(world, s, i, threshold, every_exit=False)
    device = naive.device_cost_of(world, i, min(i, 2))
    if naive.exits(world, s, i, threshold):
        return naive.answer_at(world, s, i, device)
    return naive.offload_at(world, s, i, device)


def with_exit_1(of: Callable[[int, int, bool], float]) -> Callable[[int, int, Any], float]:
    """What the device spends, also if it evaluates exits 1 and i ("first"), from what it spends else."""

    def spent(s: int, i: int, every: Any) -> float:
        if every != "first":
            return of(s, i, every)
        if i <= 2:
            return of(s, i, True)
        before = [of(s, j, True) - of(s, j, False) for j in (1, 2)]
        return of(s, i, False) + (before[1] - before[0])

    return spent


def in_system(make: Callable[[Facts], Any], one: Any, known: Any, draw: Any) -> list[naive_system.Measured]:
    """Play a learner in a System."""
    case, physics = one.case, one.physics
    world = case.world
    arms = naive.arms_of(world, case.send_input)
    facts = Facts(arms, world.mu, known.gamma, known.offload, known.span, draw, len(case.order))
    learner = make(replace(facts, alpha=case.threshold, exploration=case.exploration))
    every: Any = "first" if getattr(learner, "peeks", False) else False
    physics = replace(physics, ms=with_exit_1(physics.ms), mj=with_exit_1(physics.mj))

    unordered, known_of = getattr(learner, "unordered", False), set()

    def decide(t: int, s: int) -> tuple[int, bool, bool]:
        if unordered:
            waiting = [k for k in range(t) if k not in known_of and k not in run.inputs_lost]
            for k in sorted(waiting, key=lambda k: (run.rounds[k].due, k)):
                if run.rounds[k].due <= run.now:
                    known_of.add(k)
                    teach(k, run.rounds[k])
        rate = run.rounds[run.taken - 1].rate if run.taken > 0 else physics.mean_rate
        queue = 0 if one.arrivals is None else max(sum(a <= run.now for a in one.arrivals) - t - 1, 0)
        ratio = (rate / 1e3) / (physics.mean_rate / 1e3)
        learner.context = Before(int(one.trace.length[s]), ratio, queue, world.confidence[s][0])
        i = learner.choose(t + 1)
        if every and i > 0:
            learner.see(t + 1, world.confidence[s][0])
        offloads = not naive.exits(world, s, i, case.threshold)
        if offloads and hasattr(learner, "under_way"):
            learner.under_way(i)
        return i, every, offloads

    def learn(t: int, played: naive_system.Measured) -> None:
        if not unordered:
            teach(t, played)

    def teach(t: int, played: naive_system.Measured) -> None:
        s, i = played.sample, played.layer
        cost, agrees = run.device_cost(s, i, every), None
        confidence = world.confidence[s][(i if i > 0 else physics.device_layers) - 1]
        if played.offloaded:
            cost = cost + played.paid
            if not played.lost:
                confidence = naive.cloud_confidence(world, s)
                if i > 0:
                    agrees = world.prediction[s][i - 1] == naive.cloud_answer(world, s)
        reward = confidence - world.mu * cost
        learner.learn(Brought(t + 1, i, confidence, cost, reward, agrees, played.offloaded))

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


class Moments:
    """N, Q and Σ(r − Q)² by Welford's recurrence."""

    def __init__(self) -> None:
        self.n, self.total, self.mean, self.spread = 0, 0.0, 0.0, 0.0

    def add(self, r: float) -> None:
        before = r - self.mean
        self.n, self.total = self.n + 1, self.total + r
        self.mean = self.total / self.n
        self.spread = self.spread + before * (r - self.mean)


class ByIndex:
    """Every arm once, ascending; then the greatest index, the lowest on ties; ∞ if nothing has arrived."""

    def __init__(self, facts: Facts) -> None:
        self.facts, self.seen = facts, {i: Moments() for i in facts.arms}

    def scaled(self, brought: Brought) -> float:
        """What the index is about."""
        return brought.reward

    def learn(self, brought: Brought) -> None:
        self.seen[brought.arm].add(self.scaled(brought))

    def moments(self, arm: int) -> tuple[int, float, float]:
        return self.seen[arm].n, self.seen[arm].mean, self.seen[arm].spread

    def choose(self, t: int) -> int:
        if t <= len(self.facts.arms):
            return self.facts.arms[t - 1]
        chosen, greatest = self.facts.arms[0], -math.inf
        for arm in self.facts.arms:
            index = self.index(arm, t) if self.seen[arm].n else math.inf
            if index > greatest:
                chosen, greatest = arm, index
        return chosen

    def index(self, arm: int, t: int) -> float:
        raise NotImplementedError


def added(values: list[float]) -> float:
    """The sum in order; `sum` of later versions of Python compensates for rounding."""
    total = 0.0
    for value in values:
        total = total + value
    return total


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


# ----------------------------------------------------------------------------------------------------------
# Restarts
# ----------------------------------------------------------------------------------------------------------


class Change:
    """A test of numbers in [0, 1] by the likelihood ratio, on blocks of 16, 32, … numbers (see `glr`)."""

    smallest, of_a_size = 16, 8

    def __init__(self, delta: float) -> None:
        self.delta = delta
        self.numbers: list[float] = []
        self.blocks: list[tuple[int, float]] = []  # (how many, sum), the oldest first

    def push(self, x: float) -> bool:
        self.numbers.append(x)
        if len(self.numbers) < self.smallest:
            return False
        self.blocks.append((self.smallest, added(self.numbers)))
        self.numbers = []
        size = self.smallest
        while sum(n == size for n, _ in self.blocks) > self.of_a_size:
            at = next(k for k, (n, _) in enumerate(self.blocks) if n == size)
            joined = (2 * size, self.blocks[at][1] + self.blocks[at + 1][1])
            self.blocks[at : at + 2] = [joined]
            size = 2 * size
        return self.alarm()

    def alarm(self) -> bool:
        n, total = 0, 0.0
        for many, of_block in reversed(self.blocks):
            n, total = n + many, total + of_block
        level = math.log(3.0 * n * math.sqrt(n) / self.delta) + self.likelihood(n, total)
        late, after = 0, 0.0
        for many, of_block in reversed(self.blocks):
            late, after = late + many, after + of_block
            if late < n and self.likelihood(n - late, total - after) + self.likelihood(late, after) >= level:
                return True
        return False

    def likelihood(self, n: int, total: float) -> float:
        return n * entropy(min(1.0, max(0.0, total / n)))


class Restarting:
    """UCB-tuned since the last restart."""

    warm, slack, high, delta, epsilon = 50, 0.05, 10.0, 1e-5, 0.01

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.coins = self.toss()
        self.now = 0
        self.restart(1)

    def toss(self) -> Any:
        return self.facts.draw.random((self.facts.rounds, 2)).tolist()

    def restart(self, t: int) -> None:
        self.begun = t
        self.seen = {i: Moments() for i in self.facts.arms}
        self.changes = {i: Change(self.delta) for i in [0, *self.facts.arms]}
        self.sums = {i: [0.0, 0.0, 0.0] for i in self.facts.arms}  # û, g⁺, g⁻

    def choose(self, t: int) -> int:
        arms, span = self.facts.arms, self.facts.span
        self.now, n = t, t - self.begun + 1
        if n <= len(arms):
            return arms[n - 1]
        if self.coins[t - 1][0] < self.epsilon:
            return arms[int(self.coins[t - 1][1] * len(arms))]
        chosen, greatest = arms[0], -math.inf
        for arm in arms:
            index = math.inf
            many, q, spread = self.seen[arm].n, self.seen[arm].mean, self.seen[arm].spread
            if many > 0:
                x = math.log(n) / many
                index = q + span * math.sqrt(
                    x * min(0.25, spread / many / (span * span) + math.sqrt(2.0 * x))
                )
            if index > greatest:
                chosen, greatest = arm, index
        return chosen

    def learn(self, brought: Brought) -> None:
        self.seen[brought.arm].add(brought.reward)
        shift = self.facts.mu * self.facts.gamma[brought.arm] + (self.facts.span - 1.0)
        if self.alarm(brought, min(1.0, max(0.0, (brought.reward + shift) / self.facts.span))):
            self.restart(self.now + 1)

    def alarm(self, brought: Brought, y: float) -> bool:
        raise NotImplementedError


class CusumUCB(Restarting):
    def alarm(self, brought: Brought, y: float) -> bool:
        first, up, down = self.sums[brought.arm]
        if self.seen[brought.arm].n <= self.warm:
            self.sums[brought.arm][0] = first + y / self.warm
            return False
        up, down = max(0.0, up + (y - first) - self.slack), max(0.0, down - (y - first) - self.slack)
        self.sums[brought.arm] = [first, up, down]
        return max(up, down) >= self.high


class GlrUCB(Restarting):
    def alarm(self, brought: Brought, y: float) -> bool:
        return self.changes[brought.arm].push(y)


class ByAgreement(Restarting):
    def toss(self) -> Any:
        return [[1.0, 1.0]] * self.facts.rounds

    def alarm(self, brought: Brought, y: float) -> bool:
        return brought.agrees is not None and self.changes[brought.arm].push(float(brought.agrees))


class ByConfidence(ByAgreement):
    peeks = True

    def alarm(self, brought: Brought, y: float) -> bool:
        return False

    def see(self, t: int, confidence: float) -> None:
        if self.changes[0].push(self.evidence(confidence)):
            self.restart(t + 1)

    def evidence(self, confidence: float) -> float:
        return confidence


class ByShare(ByConfidence):
    def evidence(self, confidence: float) -> float:
        return 1.0 if confidence >= naive.float32(self.facts.alpha) else 0.0


# ----------------------------------------------------------------------------------------------------------
# Cost subsidy
# ----------------------------------------------------------------------------------------------------------


class CheapEnough:
    """CS-ETC, CS-UCB, PE and COF: arms that are in, out, or undecided by audits."""

    def __init__(self, rule: str, world: naive.World, arms: list[int], draw: Any, alpha: float, **given: Any):
        m = arms[-1]
        self.rule, self.world, self.alpha, self.draw = rule, world, alpha, draw
        self.epsilon, self.eta = given.get("tolerance", 0.02), given.get("failure", 0.05)
        self.explore = given.get("explore", 250)
        self.audited = list(range(1, min(m, world.layers - 1) + 1))
        self.free = [i for i in arms if i == 0 or (i == world.layers and world.cloud_confidence is None)]
        self.gamma, self.offload = given["gamma"], given["offload"]
        self.samples: dict[int, list[bool]] = {i: [] for i in self.audited}
        self.unsure: dict[int, list[bool]] = {i: [] for i in range(world.layers + 1)}
        self.kept: int | None = None

    def standing(self, i: int) -> int:
        n, p = len(self.samples[i]), 1.0 - self.epsilon
        if n == 0:
            return 0
        q = sum(self.samples[i]) / n
        kl = entropy(q) - q * math.log(p) - (1.0 - q) * math.log(1.0 - p)
        if n * kl < math.log(len(self.audited) * n * (n + 1.0) / self.eta):
            return 0
        return 1 if q >= p else -1

    def cost(self, i: int) -> float:
        if i == 0 or i in self.free:
            return self.offload[0] if i == 0 else self.gamma[i]
        seen = self.unsure[i]
        return self.gamma[i] + self.offload[i] * (sum(seen) / len(seen) if seen else 0.0)

    def choose(self, t: int) -> tuple[int, str]:
        """The arm of round t = 1, 2, …, and whether it is audited: "", "plain" or "pooled"."""
        coin = self.draw.random()
        if self.rule.startswith("CS") and t <= len(self.audited) * self.explore:
            return self.audited[(t - 1) % len(self.audited)], "plain"
        if self.kept is not None:
            return self.kept, ""
        still = [i for i in self.audited if self.standing(i) >= 0]
        options = sorted(still + self.free)
        at = min(options, key=lambda i: (self.cost(i), i)) if options else self.audited[-1]
        if self.rule == "CS-UCB":
            return at, "plain" if at in still and coin < (len(self.audited) / t) ** (1.0 / 3.0) else ""
        if self.rule == "CS-ETC" or at not in still or self.standing(at) > 0:
            self.kept = at
            return at, ""
        return (at, "plain") if self.rule == "PE" else (max(still), "pooled")

    def learn(self, s: int, i: int, audit: str, answered: bool) -> None:
        for j in range(1, i + 1) if audit == "pooled" else [i] if i > 0 else []:
            unsure = not naive.exits(self.world, s, j, self.alpha)
            self.unsure[j].append(unsure)
            if audit and answered:
                agrees = self.world.prediction[s][j - 1] == naive.cloud_answer(self.world, s)
                self.samples[j].append(unsure or agrees)


def cheap_enough_in_rounds(rule: str, case: Any, delay: int, draw: Any, **given: Any) -> list[naive.Round]:
    world, arms = case.world, naive.arms_of(case.world, case.send_input)
    n = range(len(world.confidence))
    offload = [
        0.0 if i not in arms else max(naive.offload_price(world, s, i) for s in n)
        for i in range(arms[-1] + 1)
    ]
    gamma = [naive.device_cost(world, i, False) for i in range(arms[-1] + 1)]
    learner = CheapEnough(rule, world, arms, draw, case.threshold, gamma=gamma, offload=offload, **given)
    rounds: list[naive.Round] = []
    audits: list[str] = []
    learnt = 0
    for t, s in enumerate(case.order, start=1):
        i, audit = learner.choose(t)
        audits.append(audit)
        if audit:
            rounds.append(naive.offload_at(world, s, i, naive.device_cost(world, i, audit == "pooled")))
        else:
            rounds.append(naive.split_at(world, s, i, case.threshold, every_exit=False))
        for k in naive.arrived(rounds, learnt, delay):
            learnt = k + 1
            learner.learn(case.order[k], rounds[k].split, audits[k], True)
    return rounds


def cheap_enough_in_system(rule: str, one: Any, known: Any, draw: Any) -> list[naive_system.Measured]:
    case, world = one.case, one.case.world
    arms = naive.arms_of(world, case.send_input)
    given = {"gamma": known.gamma, "offload": known.offload}
    learner = CheapEnough(rule, world, arms, draw, case.threshold, **given)
    audits: list[str] = []

    def decide(t: int, s: int) -> tuple[int, bool, bool]:
        i, audit = learner.choose(t + 1)
        audits.append(audit)
        return i, audit == "pooled", bool(audit) or not naive.exits(world, s, i, case.threshold)

    def learn(t: int, played: naive_system.Measured) -> None:
        learner.learn(played.sample, played.layer, audits[t], not played.lost)

    return naive_system.Simulation(one.physics, case.order, one.arrivals, decide, learn).run()


def cheap_enough(rule: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    return (
        lambda case, delay, draw: cheap_enough_in_rounds(rule, case, delay, draw),
        lambda one, known, draw: cheap_enough_in_system(rule, one, known, draw),
    )


# ----------------------------------------------------------------------------------------------------------
# Late rewards
# ----------------------------------------------------------------------------------------------------------


class DelayedUCB:
    """SplitEE on rewards as they arrive."""

    unordered = True

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.total, self.count = dict.fromkeys(facts.arms, 0.0), dict.fromkeys(facts.arms, 0)

    def credit(self, brought: Brought) -> None:
        self.total[brought.arm] += brought.reward
        self.count[brought.arm] += 1

    def learn(self, brought: Brought) -> None:
        self.credit(brought)

    def choose(self, t: int) -> int:
        return naive.choose(self.facts.arms, self.total, self.count, t, self.facts.exploration)


class QueuedUCB(DelayedUCB):
    """QPM-D around SplitEE."""

    def __init__(self, facts: Facts) -> None:
        super().__init__(facts)
        self.queues: dict[int, list[Brought]] = {i: [] for i in facts.arms}

    def learn(self, brought: Brought) -> None:
        self.queues[brought.arm].append(brought)

    def choose(self, t: int) -> int:
        arm = super().choose(sum(self.count.values()) + 1)
        while self.queues[arm]:
            self.credit(self.queues[arm].pop(0))
            arm = super().choose(sum(self.count.values()) + 1)
        return arm


class MeansUCB(DelayedUCB):
    """What is under way counts as the mean of the arm's offloads that are back."""

    def __init__(self, facts: Facts) -> None:
        super().__init__(facts)
        self.pending = dict.fromkeys(facts.arms, 0)
        self.kept: dict[tuple[int, bool], list[float]] = {
            (i, o): [] for i in facts.arms for o in (False, True)
        }

    def under_way(self, arm: int) -> None:
        self.pending[arm] += 1

    def learn(self, brought: Brought) -> None:
        self.kept[brought.arm, brought.offloaded].append(brought.reward)
        if brought.offloaded:
            self.pending[brought.arm] -= 1

    def choose(self, t: int) -> int:
        for i in self.facts.arms:
            exits, back = self.kept[i, False], self.kept[i, True]
            self.count[i], self.total[i] = len(exits), added(exits)
            if back:
                late = len(back) + self.pending[i]
                self.count[i] += late
                self.total[i] += late * (added(back) / len(back))
        return super().choose(t)


# ----------------------------------------------------------------------------------------------------------
# Contexts
# ----------------------------------------------------------------------------------------------------------


class ByContext:
    """SplitEE with a table per cell."""

    def __init__(self, facts: Facts, bounds: list[float], value: Callable[[Before], float]) -> None:
        self.facts, self.bounds, self.value = facts, bounds, value
        self.context: Before
        self.cells: list[int] = []
        many = range(len(bounds) + 1)
        self.total = [dict.fromkeys(facts.arms, 0.0) for _ in many]
        self.count = [dict.fromkeys(facts.arms, 0) for _ in many]

    def choose(self, t: int) -> int:
        cell = sum(self.value(self.context) >= bound for bound in self.bounds)
        self.cells.append(cell)
        n = self.cells.count(cell)
        return naive.choose(self.facts.arms, self.total[cell], self.count[cell], n, self.facts.exploration)

    def learn(self, brought: Brought) -> None:
        cell = self.cells[brought.t - 1]
        self.total[cell][brought.arm] += brought.reward
        self.count[cell][brought.arm] += 1


class ByFirstExit(ByContext):
    peeks = True

    def __init__(self, facts: Facts) -> None:
        arms = [i for i in facts.arms if i > 0]
        super().__init__(
            replace(facts, arms=arms), [k / 8 for k in range(1, 8)], lambda seen: seen.confidence
        )

    def see(self, t: int, confidence: float) -> None:
        pass


CONTEXTS = {
    "length": ([8.0 * 2**k for k in range(7)], lambda seen: seen.tokens),
    "link": ([0.25, 0.5, 1.0, 2.0], lambda seen: seen.rate),
    "backlog": ([1.0, 2.0, 4.0, 8.0, 16.0], lambda seen: seen.queue),
}


# ----------------------------------------------------------------------------------------------------------
# Linear models
# ----------------------------------------------------------------------------------------------------------


def dot(x: list[float], y: list[float]) -> float:
    return added([a * b for a, b in zip(x, y, strict=True)])


class Model:
    """Ridge regression in four dimensions, A⁻¹ by Sherman and Morrison."""

    def __init__(self) -> None:
        self.inverse = [[float(a == b) for b in range(4)] for a in range(4)]
        self.target = [0.0] * 4

    def index(self, x: list[float], beta: float) -> float:
        theta = [dot(row, self.target) for row in self.inverse]
        variance = 0.0
        for a in range(4):
            for b in range(4):
                variance = variance + x[a] * self.inverse[a][b] * x[b]
        return dot(theta, x) + beta * math.sqrt(max(0.0, variance))

    def learn(self, x: list[float], y: float) -> None:
        step, size = [dot(row, x) for row in self.inverse], 1.0
        for a in range(4):
            size = size + x[a] * step[a]
        for a in range(4):
            self.target[a] += y * x[a]
            for b in range(4):
                self.inverse[a][b] -= step[a] * step[b] / size


class LinUCB:
    """A model per arm, of length, link and queue."""

    def __init__(self, facts: Facts) -> None:
        self.facts, self.models = facts, {i: Model() for i in facts.arms}
        self.context: Before
        self.contexts: list[Before] = []

    def features(self, arm: int, seen: Before) -> list[float]:
        link = min(1.0, max(-1.0, math.log(seen.rate) / 3.0))
        return [1.0, math.log(1.0 + seen.tokens) / 6.0, link, math.log(1.0 + seen.queue) / 3.0]

    def paid(self, arm: int) -> float:
        return 0.0

    def choose(self, t: int) -> int:
        self.contexts.append(self.context)
        chosen, greatest = self.facts.arms[0], -math.inf
        for arm in self.facts.arms:
            x = self.features(arm, self.context)
            index = self.models[arm].index(x, self.facts.exploration) - self.paid(arm)
            if index > greatest:
                chosen, greatest = arm, index
        return chosen

    def learn(self, brought: Brought) -> None:
        x = self.features(brought.arm, self.contexts[brought.t - 1])
        self.models[brought.arm].learn(x, brought.reward + self.paid(brought.arm))


class MuLinUCB(LinUCB):
    """One model of all arms, of their depth."""

    def __init__(self, facts: Facts) -> None:
        super().__init__(facts)
        self.models = dict.fromkeys(facts.arms, Model())

    def features(self, arm: int, seen: Before) -> list[float]:
        depth = arm / self.facts.arms[-1]
        return [float(arm > 0), depth, depth * depth, float(arm == 0)]

    def paid(self, arm: int) -> float:
        return self.facts.mu * self.facts.gamma[arm]


TWINS = {
    "kl-ucb": twin(KLUCB),
    "bayes-ucb": twin(BayesUCB),
    "ucb-v": twin(UCBV),
    "ucb-bwk": twin(UCBBwK),
    "ucb-tuned-released": twin(UCBTunedReleased),
    "d-ucb": twin(DiscountedUCB),
    "sw-ucb": twin(SlidingWindowUCB),
    "cusum-ucb": twin(CusumUCB),
    "glr-ucb": twin(GlrUCB),
    "restart-confidence": twin(ByConfidence),
    "restart-share": twin(ByShare),
    "restart-agreement": twin(ByAgreement),
    **{rule.lower(): cheap_enough(rule) for rule in ("CS-ETC", "CS-UCB", "PE", "COF")},
    "delayed-ucb": twin(DelayedUCB),
    "qpm-d": twin(QueuedUCB),
    "late-means": twin(MeansUCB),
    "ucb-by-confidence": twin(ByFirstExit),
    **{f"ucb-by-{by}": twin(lambda facts, c=c: ByContext(facts, *c)) for by, c in CONTEXTS.items()},
    "lin-ucb": twin(LinUCB),
    "mu-lin-ucb": twin(MuLinUCB),
}
