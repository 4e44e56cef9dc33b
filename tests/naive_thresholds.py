"""The learners of thresholds in plain Python: the specification of `splitee.policies.thresholds`.

A learner is an object with `every` (whether all exits up to the layer are evaluated), `decide(t, s, queue)`,
which returns (layer, offloaded) of sample s in round t, and `learn(t, seen)`, called in the order of the
rounds when feedback has arrived. `play` plays it with costs in λ and a delay in rounds, `play_in_system` in
a System. `decide` looks at confidences of exits up to the layer only, `learn` at what `Seen` says was seen.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

import naive
import naive_system


@dataclass
class Seen:
    """What a sample brought.

    Attributes
    ----------
    sample, split : int
    offloaded, known : bool
        `known`: whether the cloud's answer was seen.
    device, offload : functions of a layer
        Costs of stopping there, and of offloading from there.
    """

    sample: int
    split: int
    offloaded: bool
    known: bool
    device: Callable[[int], float]
    offload: Callable[[int], float]


class Learner(Protocol):
    """See this module."""

    every: bool

    def decide(self, t: int, s: int, queue: int) -> tuple[int, bool]: ...

    def learn(self, t: int, seen: Seen) -> None: ...


def play(world: naive.World, order: list[int], learner: Learner, delay: int = 0) -> list[naive.Round]:
    """Play a stream; feedback of an offload arrives ``delay`` rounds later."""
    rounds: list[naive.Round] = []
    learnt = 0
    for t, s in enumerate(order, start=1):
        i, offloaded = learner.decide(t, s, 0)
        device = naive.device_cost(world, i, learner.every)
        stop = naive.offload_at if offloaded else naive.answer_at
        rounds.append(stop(world, s, i, device))
        for k in naive.arrived(rounds, learnt, delay):
            learnt = k + 1
            one, u = rounds[k], order[k]
            last = one.split == world.layers and world.cloud_confidence is None
            learner.learn(
                k + 1,
                Seen(
                    u,
                    one.split,
                    one.offloaded,
                    one.offloaded or last,
                    lambda j: naive.device_cost(world, j, learner.every),
                    lambda j, u=u: naive.offload_price(world, u, j),
                ),
            )
    return rounds


def play_in_system(
    physics: naive_system.Physics,
    world: naive.World,
    order: list[int],
    arrivals: list[float] | None,
    learner: Learner,
) -> list[naive_system.Measured]:
    """Play a stream in a System."""

    def decide(t: int, s: int) -> tuple[int, bool, bool]:
        waits = 0 if arrivals is None else sum(a <= run.now for a in arrivals) - t - 1
        i, offloaded = learner.decide(t + 1, s, max(waits, 0))
        return i, learner.every, offloaded

    def learn(t: int, one: naive_system.Measured) -> None:
        last = one.layer == world.layers and world.cloud_confidence is None

        def offload(j: int) -> float:
            paid = one.offloaded and j == one.layer
            return one.paid if paid else run.offload_cost(one.sample, j, one.rate)

        known = not one.lost if one.offloaded else last
        device = lambda j: run.device_cost(one.sample, j, learner.every)  # noqa: E731
        learner.learn(t + 1, Seen(one.sample, one.layer, one.offloaded, known, device, offload))

    run = naive_system.Simulation(physics, order, arrivals, decide, learn)
    return run.run()


def held(world: naive.World) -> int:
    """m, the number of exits on the device."""
    return world.layers if world.device_layers is None else world.device_layers


def bin_of(confidence: float, classes: int, bins: int) -> int:
    """The bin of a confidence: equal bins from 1/K to 1."""
    low = 1.0 / max(classes, 2)
    b = int((confidence - low) * (bins / (1.0 - low)))
    return min(max(b, 0), bins - 1)


def is_right(world: naive.World, s: int, i: int) -> bool:
    """Whether exit i answers sample s as the cloud does."""
    return world.prediction[s][i - 1] == naive.cloud_answer(world, s)


# ----------------------------------------------------------------------------------------------------------
# HI-LCB
# ----------------------------------------------------------------------------------------------------------


@dataclass
class HILCB:
    """HI-LCB and HI-LCB-lite, at one exit or with the exit chosen too."""

    world: naive.World
    classes: int
    layer: int | None
    lite: bool
    exploration: float
    error: float
    bins: int
    send_input: bool
    seen: dict[tuple[int, int], int] = field(default_factory=dict)  # (exit, bin): samples
    judged: dict[tuple[int, int], int] = field(default_factory=dict)
    right: dict[tuple[int, int], int] = field(default_factory=dict)
    device: dict[int, float] = field(default_factory=dict)  # sums of costs by layer
    asking: dict[int, float] = field(default_factory=dict)
    samples: int = 0
    split: int = 0
    due: int = 1

    @property
    def every(self) -> bool:
        return self.layer is None

    @property
    def layers(self) -> list[int]:
        return naive.arms_of(self.world, self.send_input) if self.layer is None else [self.layer]

    def bin(self, s: int, i: int) -> int:
        return bin_of(self.world.confidence[s][i - 1], self.classes, self.bins)

    def mean(self, i: int, b: int) -> tuple[float, int]:
        """f̂ and N."""
        n = self.judged.get((i, b), 0)
        return (self.right.get((i, b), 0) / n if n else 0.0, n)

    def lower(self, t: int, i: int, b: int) -> float:
        known = [self.mean(i, c) for c in ([b] if self.lite else range(b + 1))]
        width = self.exploration * math.log(t)
        return max([0.0, *(mean - math.sqrt(width / n) for mean, n in known if n)])

    def upper(self, t: int, i: int, b: int) -> float:
        known = [self.mean(i, c) for c in ([b] if self.lite else range(b, self.bins))]
        width = self.exploration * math.log(t)
        return min([1.0, *(mean + math.sqrt(width / n) for mean, n in known if n)])

    def cost(self, sums: dict[int, float], i: int) -> float:
        return self.world.mu * (sums.get(i, 0.0) / self.samples) if self.samples else 0.0

    def value(self, t: int, i: int) -> float:
        loss = 0.0
        if i == 0:
            loss = self.cost(self.asking, 0)
        elif i < self.world.layers:
            n = sum(self.seen.get((i, b), 0) for b in range(self.bins))
            for b in reversed(range(self.bins)):
                here = min(self.error * (1.0 - self.upper(t, i, b)), self.cost(self.asking, i))
                loss = loss + self.seen.get((i, b), 0) * here
            loss = loss / n if n else 0.0
        return self.cost(self.device, i) + loss

    def decide(self, t: int, s: int, queue: int) -> tuple[int, bool]:
        if self.layer is not None:
            self.split = self.layer
        elif t >= self.due:
            self.split = min(self.layers, key=lambda i: (self.value(t, i), i))
            self.due = t + 1 + min((t - 1) // 32, 24)
        i = self.split
        if i in (0, self.world.layers):
            return i, i == 0
        return i, not self.error * (1.0 - self.lower(t, i, self.bin(s, i))) < self.cost(self.asking, i)

    def learn(self, t: int, seen: Seen) -> None:
        self.samples = self.samples + 1
        for i in self.layers:
            self.device[i] = self.device.get(i, 0.0) + seen.device(i)
            self.asking[i] = self.asking.get(i, 0.0) + seen.offload(i)
        for i in range(1, seen.split + 1) if self.every else [seen.split]:
            cell = i, self.bin(seen.sample, i)
            self.seen[cell] = self.seen.get(cell, 0) + 1
            if seen.known:
                self.judged[cell] = self.judged.get(cell, 0) + 1
                self.right[cell] = self.right.get(cell, 0) + is_right(self.world, seen.sample, i)


# ----------------------------------------------------------------------------------------------------------
# UCB over thresholds: AdaEE, CeeBERT, buffer-aware AdaEE
# ----------------------------------------------------------------------------------------------------------


@dataclass
class OverThresholds:
    """UCB over thresholds of one exit (first = last), or of a cascade.

    ``alpha(q, k)`` is the threshold of arm k when q samples wait; `table(q)` names the means that are used
    then.
    """

    world: naive.World
    first: int
    last: int
    arms: int
    alpha: Callable[[int, int], float]
    exploration: float
    clip: bool = False
    waits: float = 0.0
    relief: float = 0.0
    mu: float = 0.0
    table: Callable[[int], int] = lambda q: 0
    most: int = 0  # more samples that wait count as so many
    played: dict[int, int] = field(default_factory=dict)
    rewards: dict[tuple[int, int], tuple[float, int]] = field(default_factory=dict)
    chosen: dict[int, tuple[int, int]] = field(default_factory=dict)  # of each round: backlog, arm

    @property
    def every(self) -> bool:
        return self.first < self.last

    def index(self, row: int, k: int, n: int) -> float:
        total, count = self.rewards.get((row, k), (0.0, 0))
        if count == 0:
            return math.inf
        return total / count + self.exploration * math.sqrt(math.log(n)) * (1.0 / math.sqrt(count))

    def decide(self, t: int, s: int, queue: int) -> tuple[int, bool]:
        q = min(queue, self.most)
        row = self.table(q)
        n = self.played.get(row, 0)
        k = n if n < self.arms else max(range(self.arms), key=lambda k: (self.index(row, k, n + 1), -k))
        self.played[row], self.chosen[t] = n + 1, (q, k)
        alpha = naive.float32(self.alpha(q, k))
        for i in range(self.first, self.last + 1):
            if self.world.confidence[s][i - 1] >= alpha or i == self.world.layers:
                return i, False
        return self.last, True

    def learn(self, t: int, seen: Seen) -> None:
        q, k = self.chosen[t]
        confidence = self.world.confidence[seen.sample]
        answer = confidence[seen.split - 1]
        if seen.offloaded and seen.known:
            answer = naive.cloud_confidence(self.world, seen.sample)
        gain = answer - confidence[self.first - 1]
        if self.clip:
            gain = max(gain, 0.0)
        more = seen.device(seen.split) - seen.device(self.first)
        r = gain - self.mu * (more + (seen.offload(seen.split) if seen.offloaded else 0.0))
        if seen.offloaded:
            r = r - (self.waits * q - self.relief)
        total, count = self.rewards.get((self.table(q), k), (0.0, 0))
        self.rewards[self.table(q), k] = total + r, count + 1


def adaee(world: naive.World, layer: int, thresholds: list[float], exploration: float) -> OverThresholds:
    return OverThresholds(
        world, layer, layer, len(thresholds), lambda q, k: thresholds[k], exploration, clip=True, mu=world.mu
    )


def ceebert(world: naive.World, released: bool) -> OverThresholds:
    """The released one has one exit, the first."""
    alpha = lambda q, k: round(0.5 + 0.05 * k, 2)  # noqa: E731
    return OverThresholds(world, 1, 1 if released else held(world), 10, alpha, 2.0, mu=world.mu)


def buffer_aware(world: naive.World, layer: int, linear: bool, released: bool) -> OverThresholds:
    pairs = [(a, b) for a in range(1, 6) for b in range(50, 101) if b + 10 * a <= 100]
    return OverThresholds(
        world,
        layer,
        layer,
        len(pairs) if linear else 51,
        (lambda q, k: (pairs[k][0] * q + pairs[k][1]) / 100) if linear else (lambda q, k: (50 + k) / 100),
        math.sqrt(2.0),
        clip=True,
        waits=0.01,
        relief=0.05 if released else 0.0,
        mu=0.0 if released else world.mu,
        table=(lambda q: 0) if linear else (lambda q: q),
        most=10,
    )


# ----------------------------------------------------------------------------------------------------------
# UEE-UCB
# ----------------------------------------------------------------------------------------------------------


@dataclass
class UEEUCB:
    """UEE-UCB: exits 1..m, and "exit 1, then offload" (arm m + 1); as released without it, costs j/L."""

    world: naive.World
    exploration: float
    offload: bool
    released: bool
    shown: dict[int, int] = field(default_factory=dict)
    disagreed: dict[int, int] = field(default_factory=dict)
    more: dict[int, float] = field(default_factory=dict)  # sums of costs beyond exit 1
    samples: int = 0
    every: bool = True

    @property
    def deepest(self) -> int:
        return held(self.world)

    @property
    def cloud(self) -> int:
        return self.deepest + 1 if self.offload and not self.released else 0

    def index(self, t: int, j: int) -> float:
        n = self.shown.get(j, 0)
        if n == 0:
            return math.inf
        cost = self.world.mu * (self.more.get(j, 0.0) / self.samples)
        if self.released:
            cost = (j - 1) / self.world.layers
        width = math.sqrt(self.exploration * math.log(t)) * (1.0 / math.sqrt(n))
        return self.disagreed.get(j, 0) / n - cost + width

    def decide(self, t: int, s: int, queue: int) -> tuple[int, bool]:
        arms = [*range(1, self.deepest + 1), *([self.cloud] if self.cloud else [])]
        j = max(arms, key=lambda j: (self.index(t, j), -j))
        return (1, True) if j == self.cloud else (j, False)

    def learn(self, t: int, seen: Seen) -> None:
        self.samples = self.samples + 1
        for j in range(2, self.deepest + 1):
            self.more[j] = self.more.get(j, 0.0) + (seen.device(j) - seen.device(1))
        answers = self.world.prediction[seen.sample]
        for j in range(1, seen.split + 1):
            self.shown[j] = self.shown.get(j, 0) + 1
            self.disagreed[j] = self.disagreed.get(j, 0) + (answers[j - 1] != answers[0])
        if self.cloud:
            self.more[self.cloud] = self.more.get(self.cloud, 0.0) + seen.offload(1)
            if seen.known:
                other = naive.cloud_answer(self.world, seen.sample) != answers[0]
                self.shown[self.cloud] = self.shown.get(self.cloud, 0) + 1
                self.disagreed[self.cloud] = self.disagreed.get(self.cloud, 0) + other


# ----------------------------------------------------------------------------------------------------------
# PCEE online
# ----------------------------------------------------------------------------------------------------------


@dataclass
class PCEEOnline:
    """The first exit answers whose bin has agreed with the cloud often enough; else the last offloads."""

    world: naive.World
    classes: int
    level: float
    exploration: float
    bins: int
    judged: dict[tuple[int, int], int] = field(default_factory=dict)
    wrong: dict[tuple[int, int], int] = field(default_factory=dict)
    every: bool = True

    def cell(self, s: int, i: int) -> tuple[int, int]:
        return i, bin_of(self.world.confidence[s][i - 1], self.classes, self.bins)

    def error(self, t: int, cell: tuple[int, int]) -> float:
        """A bound on how often the exit is wrong in the bin."""
        n = self.judged.get(cell, 0)
        if n == 0:
            return math.inf
        e, x = self.wrong.get(cell, 0) / n, self.exploration * math.log(t) / n
        return e + x + math.sqrt(x * x + 2.0 * e * x)

    def decide(self, t: int, s: int, queue: int) -> tuple[int, bool]:
        for i in range(1, held(self.world) + 1):
            if i == self.world.layers or self.error(t, self.cell(s, i)) <= 1.0 - self.level:
                return i, False
        return held(self.world), True

    def learn(self, t: int, seen: Seen) -> None:
        if not seen.known:
            return
        for i in range(1, seen.split + 1):
            cell = self.cell(seen.sample, i)
            self.judged[cell] = self.judged.get(cell, 0) + 1
            self.wrong[cell] = self.wrong.get(cell, 0) + (not is_right(self.world, seen.sample, i))


# ----------------------------------------------------------------------------------------------------------
# BEEM
# ----------------------------------------------------------------------------------------------------------


def beem(
    world: naive.World, order: list[int], weights: list[float], alpha: list[float], last: int | None = None
) -> list[naive.Round]:
    """BEEM: S_i = w_i·C_i, plus S_{i−1} if exit i answers as the one before; exit at S_i ≥ α_i."""

    def is_sure(s: int, i: int) -> bool:
        evidence = 0.0
        for j in range(1, i + 1):
            own = weights[j - 1] * world.confidence[s][j - 1]
            same = j > 1 and world.prediction[s][j - 1] == world.prediction[s][j - 2]
            evidence = own + evidence if same else own
        return evidence >= alpha[i - 1]

    return naive.cascade(world, order, is_sure, last)


# ----------------------------------------------------------------------------------------------------------
# HIL-F, HIL-N, H2T2: exponential weights
# ----------------------------------------------------------------------------------------------------------


def added(values: Iterable[float]) -> float:
    """The sum, one after another; Python's own compensates for rounding since 3.12."""
    total = 0.0
    for value in values:
        total = total + value
    return total


@dataclass
class HIL:
    """Experts are thresholds; ``errors`` has κ for each answer of the exit, or one for all."""

    world: naive.World
    layer: int
    classes: int
    full: bool
    errors: list[float]
    experts: int
    horizon: int
    coins: list[list[float]]
    weights: dict[int, list[float]] = field(default_factory=dict)  # by answer
    every: bool = False

    @property
    def thresholds(self) -> list[float]:
        low, steps = 1.0 / self.classes, self.experts - 2
        spaced = [low + k * ((1.0 - low) / steps) for k in range(steps)] if steps else []
        return [*(naive.float32(theta) for theta in spaced), 1.0 if steps else low, math.inf]

    def rates(self) -> tuple[float, float]:
        log_k = math.log(self.experts)
        if self.full:
            return 1.0, math.sqrt(8.0 * log_k / self.horizon)
        epsilon = min(1.0, (log_k / (2.0 * self.horizon)) ** (1.0 / 3.0))
        return epsilon, math.sqrt(2.0 * epsilon * log_k / self.horizon)

    def answer(self, s: int) -> int:
        return self.world.prediction[s][self.layer - 1] if len(self.errors) > 1 else 0

    def kept(self, s: int) -> list[bool]:
        """Whether each expert keeps the sample."""
        return [self.world.confidence[s][self.layer - 1] >= theta for theta in self.thresholds]

    def decide(self, t: int, s: int, queue: int) -> tuple[int, bool]:
        if self.layer == self.world.layers:
            return self.layer, False
        weights = self.weights.setdefault(self.answer(s), [1.0 / self.experts] * self.experts)
        pairs = list(zip(weights, self.kept(s), strict=True))
        keep, ask = added(w for w, kept in pairs if kept), added(w for w, kept in pairs if not kept)
        explores = not self.full and self.coins[t - 1][1] < self.rates()[0]
        return self.layer, self.coins[t - 1][0] < ask / (keep + ask) or explores

    def learn(self, t: int, seen: Seen) -> None:
        if self.layer == self.world.layers:
            return
        (epsilon, eta), c = self.rates(), self.answer(seen.sample)
        error = 0.0 if is_right(self.world, seen.sample, self.layer) else self.errors[c]
        if not self.full:
            seen_it = self.coins[t - 1][1] < epsilon and seen.known
            error = error / epsilon if seen_it else 0.0
        asked = self.world.mu * seen.offload(self.layer)
        losses = [error if kept else asked for kept in self.kept(seen.sample)]
        weights = [w * math.exp(-eta * loss) for w, loss in zip(self.weights[c], losses, strict=True)]
        total = added(weights)
        self.weights[c] = [max(w / total, 1e-300) for w in weights]


def local_exit(world: naive.World) -> int:
    """The device's last exit, or half of L if it holds all."""
    return held(world) if held(world) < world.layers else max(1, world.layers // 2)


def hil(world: naive.World, rng: Any, order: list[int], full: bool, by_class: bool) -> HIL:
    coins, errors = rng.random((len(order), 2)).tolist(), [1.0] * (CLASSES if by_class else 1)
    return HIL(world, local_exit(world), CLASSES, full, errors, 20, 10_000, coins)


# ----------------------------------------------------------------------------------------------------------
# A threshold that tracks a share of errors
# ----------------------------------------------------------------------------------------------------------


@dataclass
class TrackedThreshold:
    """Errors seen in audits raise the threshold, time lowers it."""

    world: naive.World
    layer: int
    target: float
    rate: float
    audits: float
    coins: list[float]
    threshold: float = 1.0
    kept: dict[int, bool] = field(default_factory=dict)
    every: bool = False

    def decide(self, t: int, s: int, queue: int) -> tuple[int, bool]:
        self.kept[t] = self.world.confidence[s][self.layer - 1] >= self.threshold
        if self.layer == self.world.layers:
            return self.layer, False
        return self.layer, not self.kept[t] or self.coins[t - 1] < self.audits

    def learn(self, t: int, seen: Seen) -> None:
        audited = self.kept[t] and seen.offloaded and seen.known
        wrong = not is_right(self.world, seen.sample, self.layer)
        lost = 1.0 / self.audits if audited and wrong else 0.0
        self.threshold = max(0.0, self.threshold + self.rate * (lost - self.target))


# ----------------------------------------------------------------------------------------------------------
# Policy gradient over thresholds
# ----------------------------------------------------------------------------------------------------------


@dataclass
class Gradient:
    """Preferences of thresholds by backlog; π by Tsallis' exponential."""

    world: naive.World
    layer: int
    rate: float
    coins: list[float]
    theta: dict[int, list[float]] = field(default_factory=dict)
    chosen: dict[int, tuple[int, int]] = field(default_factory=dict)
    every: bool = False

    def flat(self, q: int) -> tuple[list[float], list[float], float]:
        theta = self.theta.setdefault(q, [0.0] * 51)
        u = [1.0 / (1.0 + 0.5 * (max(theta) - one)) for one in theta]
        total = 0.0
        for one in u:
            total += one * one
        return theta, u, total

    def decide(self, t: int, s: int, queue: int) -> tuple[int, bool]:
        q = min(queue, 10)
        _, u, total = self.flat(q)
        left, arm = self.coins[t - 1] * total, 50
        for k in range(50):
            left -= u[k] * u[k]
            if left < 0.0:
                arm = k
                break
        self.chosen[t] = q, arm
        alpha = naive.float32((50 + arm) / 100)
        sure = self.world.confidence[s][self.layer - 1] >= alpha or self.layer == self.world.layers
        return self.layer, not sure

    def learn(self, t: int, seen: Seen) -> None:
        if not seen.offloaded:
            return
        q, arm = self.chosen[t]
        own = self.world.confidence[seen.sample][self.layer - 1]
        answer = naive.cloud_confidence(self.world, seen.sample) if seen.known else own
        reward = max(answer - own, 0.0) - self.world.mu * (0.0 + seen.offload(seen.split)) - 0.01 * q
        step = self.rate * reward
        if step == 0.0:
            return
        theta, u, total = self.flat(q)
        for k in range(51):
            theta[k] = theta[k] - step * (u[k] * u[k] / total * u[k])
        theta[arm] = theta[arm] + step * u[arm]


# ----------------------------------------------------------------------------------------------------------
# LEE and DEE
# ----------------------------------------------------------------------------------------------------------


@dataclass
class LEE:
    """UCB over exits that answer all samples."""

    world: naive.World
    exploration: float
    rewards: dict[int, tuple[float, int]] = field(default_factory=dict)
    every: bool = False

    def decide(self, t: int, s: int, queue: int) -> tuple[int, bool]:
        exits = range(1, held(self.world) + 1)
        if t <= len(exits):
            return t, False

        def index(i: int) -> float:
            total, n = self.rewards.get(i, (0.0, 0))
            return (
                total / n + self.exploration * math.sqrt(math.log(t)) * (1.0 / math.sqrt(n))
                if n
                else math.inf
            )

        return max(exits, key=lambda i: (index(i), -i)), False

    def learn(self, t: int, seen: Seen) -> None:
        own = self.world.confidence[seen.sample][seen.split - 1]
        total, n = self.rewards.get(seen.split, (0.0, 0))
        self.rewards[seen.split] = total + (own - self.world.mu * seen.device(seen.split)), n + 1


@dataclass
class DEE:
    """What going on has brought, by exit and bin of its confidence."""

    world: naive.World
    classes: int
    bins: int
    exploration: float
    gains: dict[tuple[int, int], tuple[float, int]] = field(default_factory=dict)
    every: bool = True

    def cell(self, s: int, i: int) -> tuple[int, int]:
        return i, bin_of(self.world.confidence[s][i - 1], self.classes, self.bins)

    def decide(self, t: int, s: int, queue: int) -> tuple[int, bool]:
        weight = self.exploration * math.sqrt(math.log(t))
        for i in range(1, held(self.world) + 1):
            total, n = self.gains.get(self.cell(s, i), (0.0, 0))
            on = n == 0 or total / n + weight * (1.0 / math.sqrt(n)) > 0.0
            if i == self.world.layers or not on:
                return i, False
        return i, True

    def learn(self, t: int, seen: Seen) -> None:
        confidence = self.world.confidence[seen.sample]
        answer = confidence[seen.split - 1]
        if seen.offloaded and seen.known:
            answer = naive.cloud_confidence(self.world, seen.sample)
        paid = seen.offload(seen.split) if seen.offloaded else 0.0
        for j in range(1, seen.split + (1 if seen.offloaded else 0)):
            more = seen.device(seen.split) - seen.device(j)
            gain = answer - confidence[j - 1] - self.world.mu * (more + paid)
            total, n = self.gains.get(self.cell(seen.sample, j), (0.0, 0))
            self.gains[self.cell(seen.sample, j)] = total + gain, n + 1


# ----------------------------------------------------------------------------------------------------------
# By name, for the suite of all learners
# ----------------------------------------------------------------------------------------------------------

CLASSES = 4  # of the traces that the suite makes
Maker = Callable[[naive.World, Any, Any], Learner]  # of (world, case, the policy's generator)


def twin(make: Maker) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return a twin as `tests/support/learners.py` takes it."""

    def rounds(case: Any, delay: int, rng: Any) -> list[naive.Round]:
        return play(case.world, case.order, make(case.world, case, rng), delay)

    def system(one: Any, span: float, rng: Any) -> list[naive_system.Measured]:
        case = one.case
        return play_in_system(one.physics, case.world, case.order, one.arrivals, make(case.world, case, rng))

    return rounds, system


TWINS = {
    "hi-lcb": twin(lambda w, c, rng: HILCB(w, CLASSES, None, False, 0.5, 1.0, 20, c.send_input)),
    "hi-lcb-lite": twin(lambda w, c, rng: HILCB(w, CLASSES, None, True, 0.5, 1.0, 20, c.send_input)),
    "uee-ucb": twin(lambda w, c, rng: UEEUCB(w, 1.0, offload=True, released=False)),
    "uee-ucb-released": twin(lambda w, c, rng: UEEUCB(w, 1.0, offload=True, released=True)),
    "pcee-online": twin(lambda w, c, rng: PCEEOnline(w, CLASSES, 0.95, 0.5, 20)),
    "hil-n": twin(lambda w, c, rng: hil(w, rng, c.order, full=False, by_class=False)),
    "hil-f": twin(lambda w, c, rng: hil(w, rng, c.order, full=True, by_class=False)),
    "h2t2": twin(lambda w, c, rng: hil(w, rng, c.order, full=False, by_class=True)),
    "tracked-threshold": twin(
        lambda w, c, rng: TrackedThreshold(
            w, local_exit(w), 0.02, 0.005, 0.05, rng.random(len(c.order)).tolist()
        )
    ),
    "buffer-gradient": twin(lambda w, c, rng: Gradient(w, 1, 0.1, rng.random(len(c.order)).tolist())),
    "lee": twin(lambda w, c, rng: LEE(w, 1.0)),
    "dee": twin(lambda w, c, rng: DEE(w, CLASSES, 20, 0.1)),
    "adaee": twin(lambda w, c, rng: adaee(w, 1, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0], 1.0)),
    "ceebert": twin(lambda w, c, rng: ceebert(w, released=False)),
    "ceebert-released": twin(lambda w, c, rng: ceebert(w, released=True)),
    "buffer-adaee": twin(lambda w, c, rng: buffer_aware(w, 1, linear=False, released=False)),
    "buffer-adaee-linear": twin(lambda w, c, rng: buffer_aware(w, 1, linear=True, released=False)),
    "buffer-adaee-released": twin(lambda w, c, rng: buffer_aware(w, 1, linear=True, released=True)),
}
