"""The System in plain Python, event by event: the specification of `splitee.System` (see `naive`).

A device works on one sample at a time. Samples wait for it in order. It evaluates exits up to layer i and
answers, or offloads the state or the input over a link that carries one transfer at a time, in order. The
answer is back when the transfer has ended, a round trip and the cloud's time later. Times are in ms.

The simulation is a heap of events. Events of the same time happen in this order: losses become known, answers
arrive, the device becomes free, samples arrive.
"""

import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass, field

import naive

STATE, INPUT, CHEAPER = "state", "input", "cheaper"


@dataclass
class Physics:
    """What stopping, sending and waiting take.

    Attributes
    ----------
    ms, mj : functions of (sample, layer, every exit evaluated)
        Of the device.
    encode_ms, encode_mj, state_bits, input_bits : functions of a sample
        `state_bits` of (sample, layer).
    cloud_ms : function of (sample, layer)
        From the state after the layer, or from the input (0).
    rates : list of (ms, bits per ms)
        From when which rate holds; they repeat after `period`. One entry: constant.
    outages : list of (ms, ms)
    weights : (per ms, per mJ, per KB)
    """

    ms: Callable[[int, int, bool], float]
    mj: Callable[[int, int, bool], float]
    encode_ms: Callable[[int], float]
    encode_mj: Callable[[int], float]
    state_bits: Callable[[int, int], float]
    input_bits: Callable[[int], float]
    cloud_ms: Callable[[int, int], float]
    sends: str
    rates: list[tuple[float, float]]
    period: float
    outages: list[tuple[float, float]]
    mean_rate: float
    rtt: float
    deadline: float
    radio_mw: float
    radio_mj_per_mbit: float
    weights: tuple[float, float, float]
    device_layers: int


@dataclass
class Measured:
    """What happened to one round."""

    sample: int
    layer: int = 0
    every: bool = False
    offloaded: bool = False
    arrival: float = 0.0
    start: float = 0.0
    wait: float = 0.0
    back: float = 0.0
    latency: float = 0.0
    energy: float = 0.0
    kilobytes: float = 0.0
    paid: float = 0.0
    lost: str = ""
    rate: float = 0.0
    due: float = math.inf
    taken: int = 0


@dataclass
class Simulation:
    """One stream; `decide(t, sample)` returns (layer, every exit, offloaded), `learn(t, measured)` learns."""

    physics: Physics
    order: list[int]
    arrivals: list[float] | None
    decide: Callable[[int, int], tuple[int, bool, bool]]
    learn: Callable[[int, Measured], None]
    rounds: list[Measured] = field(default_factory=list)
    events: list[tuple[float, int, int, str]] = field(default_factory=list)
    waiting: list[int] = field(default_factory=list)
    inputs_lost: list[int] = field(default_factory=list)
    known_lost: set[int] = field(default_factory=set)
    busy: bool = False
    link_free: float = 0.0
    taken: int = 0
    now: float = 0.0

    def run(self) -> list[Measured]:
        """Play the stream."""
        self.rounds = [Measured(s) for s in self.order]
        if self.arrivals is None:
            self.push(0.0, 4, 0, "arrive")
        else:
            for t, time in enumerate(self.arrivals):
                self.push(time, 4, t, "arrive")
        while self.events:
            now, _, t, what = heapq.heappop(self.events)
            if what == "arrive":
                self.rounds[t].arrival = now
                self.waiting.append(t)
            elif what == "free":
                self.busy = False
            elif what == "lost input":
                self.known_lost.add(t)
            elif what == "answered" and self.arrivals is None and t + 1 < len(self.rounds):
                self.push(now, 4, t + 1, "arrive")
            if not self.busy and not (self.events and self.events[0][0] == now and self.events[0][1] < 5):
                self.work(now)
        return self.rounds

    def push(self, time: float, priority: int, t: int, what: str) -> None:
        heapq.heappush(self.events, (time, priority, t, what))

    def work(self, now: float) -> None:
        """Let the free device do the next thing: a lost input first, then the sample that waits longest."""
        if self.inputs_lost and self.inputs_lost[0] in self.known_lost:
            self.compute_lost(self.inputs_lost.pop(0), now)
        elif self.waiting:
            self.begin(self.waiting.pop(0), now)

    def compute_lost(self, t: int, now: float) -> None:
        """Compute a lost input to the device's last exit."""
        p, one = self.physics, self.rounds[t]
        ms, mj = p.ms(one.sample, p.device_layers, False), p.mj(one.sample, p.device_layers, False)
        took = now - one.due + ms
        one.latency = one.latency + took
        one.energy = one.energy + mj
        one.paid = one.paid + (p.weights[0] * took + p.weights[1] * mj)
        one.due = now + ms
        self.busy = True
        self.push(one.due, 1, t, "answered")
        self.push(one.due, 3, t, "free")

    def begin(self, t: int, now: float) -> None:
        """Take in what has arrived, decide, compute, and perhaps offload."""
        p, one = self.physics, self.rounds[t]
        self.now = now
        while self.taken < t and self.rounds[self.taken].due <= now and self.taken not in self.inputs_lost:
            self.learn(self.taken, self.rounds[self.taken])
            self.taken = self.taken + 1
        rate = self.rounds[self.taken - 1].rate if self.taken > 0 else p.mean_rate
        i, every, offloaded = self.decide(t, one.sample)
        s = one.sample
        one.layer, one.every, one.offloaded, one.start, one.rate, one.taken = (
            i,
            every,
            offloaded,
            now,
            rate,
            self.taken,
        )
        one.wait = now - one.arrival
        ms, one.energy = p.ms(s, i, every), p.mj(s, i, every)
        finish = now + ms
        self.busy = True
        one.latency, one.due = one.wait + ms, finish
        left = p.deadline - (one.wait + ms)
        if not offloaded or left <= 0.0:
            self.push(finish, 3, t, "free")
            if offloaded:
                one.lost = "late"
            if offloaded and i == 0:
                self.inputs_lost.append(t)
                self.push(finish, 0, t, "lost input")
            else:
                self.push(finish, 1, t, "answered")
            return
        state = i > 0 and self.sends_state(s, i, rate)
        encode_ms, encode_mj = (p.encode_ms(s), p.encode_mj(s)) if state else (0.0, 0.0)
        bits = p.state_bits(s, i) if state else p.input_bits(s)
        cloud = p.cloud_ms(s, i if state else 0)
        ready = finish + encode_ms
        self.push(ready, 3, t, "free")
        begin = max(ready, self.link_free)
        queued = 0.0 if self.arrivals is None else begin - ready
        duration = self.transfer(begin, bits)
        down = self.down_after(begin)
        cut = down < duration + p.rtt + cloud
        if not cut or down >= duration:
            sent = 1.0
        else:
            sent = down / duration
        self.link_free = begin + min(duration, down)
        back = encode_ms + queued + (down if cut else duration + p.rtt + cloud)
        if not cut:
            back = encode_ms + queued + duration + p.rtt + cloud
        spent = duration * sent
        mj = encode_mj + p.radio_mw * spent / 1e3 + p.radio_mj_per_mbit * (bits * sent) / 1e6
        one.kilobytes = bits * sent / 8e3
        one.lost = "late" if back > left else "cut" if cut else ""
        back = min(back, left)
        if not one.lost and len(p.rates) > 1 and duration > 0:
            one.rate = bits / duration
        one.back = back
        one.latency = one.wait + (ms + back)
        one.energy = one.energy + mj
        one.paid = p.weights[0] * back + p.weights[1] * mj + p.weights[2] * one.kilobytes
        one.due = finish + back
        if one.lost and i == 0:
            self.inputs_lost.append(t)
            self.push(one.due, 0, t, "lost input")
        else:
            self.push(one.due, 1, t, "answered")

    def sends_state(self, s: int, i: int, rate: float) -> bool:
        """Whether an offload after layer i sends the state."""
        p = self.physics
        if p.sends != CHEAPER:
            return p.sends == STATE
        state = p.encode_ms(s) + p.state_bits(s, i) / rate + p.cloud_ms(s, i)
        return state < p.input_bits(s) / rate + p.cloud_ms(s, 0)

    def offload_cost(self, s: int, i: int, rate: float) -> float:
        """What a learner takes for the cost of offloading after layer i."""
        p = self.physics
        state = i > 0 and self.sends_state(s, i, rate)
        encode_ms, encode_mj = (p.encode_ms(s), p.encode_mj(s)) if state else (0.0, 0.0)
        bits, cloud = (p.state_bits(s, i) if state else p.input_bits(s)), p.cloud_ms(s, i if state else 0)
        duration = bits / rate
        mj = encode_mj + p.radio_mw * duration / 1e3 + p.radio_mj_per_mbit * bits / 1e6
        return (
            p.weights[0] * (encode_ms + duration + p.rtt + cloud)
            + p.weights[1] * mj
            + p.weights[2] * (bits / 8e3)
        )

    def device_cost(self, s: int, i: int, every: bool) -> float:
        """What the device spends, in the unit of costs."""
        p = self.physics
        return p.weights[0] * p.ms(s, i, every) + p.weights[1] * p.mj(s, i, every)

    def cost(self, one: Measured) -> float:
        """The cost of a round."""
        w = self.physics.weights
        return w[0] * one.latency + w[1] * one.energy + w[2] * one.kilobytes

    def transfer(self, begin: float, bits: float) -> float:
        """How long a transfer takes: second by second of the link's trace."""
        rates = self.physics.rates
        if len(rates) == 1:
            return bits / rates[0][1]
        period = self.physics.period
        at = begin - math.floor(begin / period) * period
        k = max(k for k, (since, _) in enumerate(rates) if since <= at)
        took, left = 0.0, bits
        while True:
            until = rates[k + 1][0] if k + 1 < len(rates) else period
            if left <= rates[k][1] * (until - at):
                return took + (left / rates[k][1] if left > 0.0 else 0.0)
            left = left - rates[k][1] * (until - at)
            took = took + (until - at)
            k = (k + 1) % len(rates)
            at = rates[k][0]

    def down_after(self, time: float) -> float:
        """How long the link stays up."""
        for since, until in self.physics.outages:
            if time < since:
                return since - time
            if time < until:
                return 0.0
        return math.inf


def fixed(
    physics: Physics, order: list[int], arrivals: list[float] | None, actions: list[tuple[int, bool, bool]]
) -> list[Measured]:
    """Measure a stream whose actions are known."""
    return Simulation(physics, order, arrivals, lambda t, s: actions[t], lambda t, one: None).run()


def split_ee(
    physics: Physics,
    world: naive.World,
    order: list[int],
    arrivals: list[float] | None,
    threshold: float,
    exploration: float = 1.0,
    side_information: str | None = None,
    send_input: bool = False,
) -> list[Measured]:
    """SplitEE (`side_information` None) or SplitEE-S in a system."""
    arms = naive.arms_of(world, send_input)
    total, count = dict.fromkeys(arms, 0.0), dict.fromkeys(arms, 0)
    every = side_information is not None

    def decide(t: int, s: int) -> tuple[int, bool, bool]:
        i = naive.choose(arms, total, count, t + 1, exploration)
        return i, every, not naive.exits(world, s, i, threshold)

    def learn(t: int, one: Measured) -> None:
        s, i = one.sample, one.layer
        observed = not one.lost and (one.offloaded or (i == world.layers and world.cloud_confidence is None))
        known = observed or side_information == "published"
        deepest = world.confidence[s][(i if i > 0 else physics.device_layers) - 1]
        far = naive.cloud_confidence(world, s) if known else deepest
        for j in [i] if not every or i == 0 else range(0 if send_input else 1, i + 1):
            sure = naive.exits(world, s, j, threshold)
            device = run.device_cost(s, j, every)
            if sure:
                r = world.confidence[s][j - 1] - world.mu * device
            else:
                paid = one.paid if j == i else run.offload_cost(s, j, one.rate)
                r = far - world.mu * (device + paid)
            if j == i or sure or known or side_information == "causal":
                total[j] = total[j] + r
                count[j] = count[j] + 1

    run = Simulation(physics, order, arrivals, decide, learn)
    return run.run()


def by_index(
    physics: Physics,
    world: naive.World,
    order: list[int],
    arrivals: list[float] | None,
    threshold: float,
    index: Callable[[int, int, float, float, int], float],
    send_input: bool = False,
) -> list[Measured]:
    """UCB-tuned or Thompson in a system: the greatest ``index(i, t, Q, Σ(r − Q)², N)``."""
    arms = naive.arms_of(world, send_input)
    total, count = dict.fromkeys(arms, 0.0), dict.fromkeys(arms, 0)
    mean, spread = dict.fromkeys(arms, 0.0), dict.fromkeys(arms, 0.0)

    def decide(t: int, s: int) -> tuple[int, bool, bool]:
        i, greatest = arms[0], -math.inf
        for j in arms:
            value = index(j, t + 1, mean[j], spread[j], count[j]) if count[j] else math.inf
            if value > greatest:
                i, greatest = j, value
        i = arms[t] if t < len(arms) else i
        return i, False, not naive.exits(world, s, i, threshold)

    def learn(t: int, one: Measured) -> None:
        s, j = one.sample, one.layer
        device = run.device_cost(s, j, False)
        if one.offloaded:
            deepest = world.confidence[s][(j if j > 0 else physics.device_layers) - 1]
            r = (deepest if one.lost else naive.cloud_confidence(world, s)) - world.mu * (device + one.paid)
        else:
            r = world.confidence[s][j - 1] - world.mu * device
        before = r - mean[j]
        total[j] = total[j] + r
        count[j] = count[j] + 1
        mean[j] = total[j] / count[j]
        spread[j] = spread[j] + before * (r - mean[j])

    run = Simulation(physics, order, arrivals, decide, learn)
    return run.run()


def link_aware(
    physics: Physics,
    world: naive.World,
    order: list[int],
    arrivals: list[float] | None,
    source: naive.World,
    queue: bool = True,
    memory: float = 10_000.0,
    send_input: bool = True,
) -> list[Measured]:
    """The link-aware split: layer and threshold by the present rate and by what waits.

    At layer i and a price p, the threshold offloads the first k samples of the source by ascending C_i, where
    k maximises the mean of C_i of the others and of C_L − p of these; v is that mean. The price of an offload
    is μ times its cost at the present rate, and of the bits under way before it. p is rounded down to
    multiples of 1/256, and to 1. A rate is believed for `memory` ms after it was measured.
    """
    arms = naive.arms_of(world, send_input)
    known: dict[tuple[int, int], tuple[float, float]] = {}

    def best(i: int, place: int) -> tuple[float, float]:
        if (i, place) not in known:
            p, n = place / 256, len(source.confidence)
            far = [naive.cloud_confidence(source, s) for s in range(n)]
            if i == 0:
                known[i, place] = sum(far) / n - p, math.inf
            else:
                by = sorted(range(n), key=lambda s: source.confidence[s][i - 1])
                own = [source.confidence[s][i - 1] for s in by]
                cuts = [k for k in range(n + 1) if k in (0, n) or own[k] != own[k - 1]]
                options = []
                for k in cuts if i < world.layers else [0]:
                    value = (sum(own[k:]) + sum(far[s] - p for s in by[:k])) / n
                    options.append((value, own[k] if 0 < k < n else 0.0 if k == 0 else math.inf))
                known[i, place] = max(options, key=lambda option: option[0])
        return known[i, place]

    def decide(t: int, s: int) -> tuple[int, bool, bool]:
        one = run.rounds[t]
        rate = run.rounds[run.taken - 1].rate if run.taken > 0 else physics.mean_rate
        measured = [r.due for r in run.rounds[: run.taken] if r.kilobytes > 0 and not r.lost]
        if not measured or run.now - measured[-1] > memory:
            rate = physics.mean_rate
        pending = sum(r.kilobytes for r in run.rounds[run.taken : t])
        waits = 0
        if queue and arrivals is not None:
            waits = sum(a <= run.now for a in arrivals) - t - 1
        chosen, greatest, alpha = 0, -math.inf, 0.0
        for i in arms:
            behind = physics.weights[0] * (pending * 8e3 / rate)
            p = world.mu * (run.offload_cost(one.sample, i, rate) + behind)
            value, threshold = best(i, min(int(p * 256), 256))
            score = value - world.mu * run.device_cost(one.sample, i, False) * (1 + max(waits, 0))
            if score > greatest + 1e-12:
                chosen, greatest, alpha = i, score, threshold
        offloads = chosen == 0 or (chosen < world.layers and world.confidence[s][chosen - 1] < alpha)
        return chosen, False, offloads

    run = Simulation(physics, order, arrivals, decide, lambda t, one: None)
    return run.run()
