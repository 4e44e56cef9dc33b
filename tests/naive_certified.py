"""CertifiedSplit in plain Python: the specification that `splitee/policies/certified.py` must equal.

It imports `naive` for the world, its costs and its rounds. Read it beside docs/certified.md, which has the
proof. δ is the share of samples that may be answered on the device otherwise than the last exit would
have answered; D_i = [exit i answers otherwise than the last].

A *path* is a way through the exits: a split (first, 0, 0), or a cascade (first, second, c). *Rule* k of a
path answers at ``first`` if C_first ≥ grid[c][k], else, in a cascade, at ``second`` if C_second ≥ grid[0][k],
else asks the last exit. Rule G (the length of the grid) answers nothing: rules are safer the greater k.
"""

import math
from bisect import bisect_right
from dataclasses import replace
from functools import cache

from naive import (
    Round,
    World,
    cloud_answer,
    cloud_confidence,
    device_cost_of,
    float32,
    is_right,
    offload_price,
)

BETS = ((0.3, 0.05), (0.55, 0.1), (0.8, 0.85))  # κ and its weight
ERROR_KAPPAS = (0.8, 0.2, 0.45)  # where losses may be negative
SHARES = (1.0, 1 / 2, 1 / 4, 1 / 8, 1 / 16)  # e of conditional rounds
FIRST = 50  # full audits at the beginning
FULL, CONDITIONAL, PLAIN = range(3)
CELLS, WINDOW, ALARM = 8, 200, 1e6


def thresholds(classes: int, shift: int) -> list[float]:
    """From 1/K to 0.995 in steps of 0.005, then four more; or these with logit + shift; in float32."""
    many = int((0.995 - 1 / classes) / 0.005 + 1e-9) + 1
    grid = [1 / classes + 0.005 * n for n in range(many)] + [0.9975, 0.999, 0.9995, 0.9999]
    return [float32(g / (g + (1 - g) * math.exp(-shift))) for g in grid]


class Setting:
    """The world as the learner counts it: mean costs of actions, paths, and their shares of the failure."""

    def __init__(
        self, world: World, classes: int, delta: float, source: World | None, error: bool = False
    ) -> None:
        self.world, self.error = world, error
        labelled = error and source is not None and source.label is not None
        layers = world.layers
        held = layers if world.device_layers is None else world.device_layers
        own = held == layers and world.cloud_confidence is None  # the device itself can ask exit L
        deepest = min(held, layers - 1)
        self.grid = [thresholds(classes, 0), thresholds(classes, 1)]
        self.rules = len(self.grid[0])

        def gamma(i: int, evaluated: int) -> float:
            return device_cost_of(world, i, evaluated)

        def asking(i: int, evaluated: int) -> tuple[float, tuple[int, bool, int]]:
            """Cost in all of asking the last exit after exit i, and the action."""
            far = gamma(i, evaluated) + self.offload(i)
            if own and gamma(layers, evaluated + 1) < far:
                return gamma(layers, evaluated + 1), (layers, False, evaluated + 1)
            return far, (i, True, evaluated)

        self.gamma, self.asking = gamma, asking
        safe = []
        if world.offload_input is not None:
            safe.append((self.offload(0), (0, True, 0)))
        safe += [(gamma(i, 1) + self.offload(i), (i, True, 1)) for i in range(1, deepest + 1)]
        if own:
            safe.append((gamma(layers, 1), (layers, False, 1)))
        self.fallback = min(safe, key=lambda option: option[0])  # the first on ties
        cheap = [i for i in range(1, deepest + 1) if gamma(i, 1) < self.fallback[0]]
        self.reach = max(cheap, default=0)
        self.full = asking(self.reach, self.reach) if self.reach else (math.inf, (0, True, 0))

        def priced(path: tuple[int, int, int]) -> tuple:
            """(cost, action) of answering at first, asking there, answering at second, asking there."""
            first, second, _ = path
            at_first = (gamma(first, 1), (first, False, 1)), asking(first, 1)
            if second == 0:
                return at_first + at_first
            return (*at_first, (gamma(second, 2), (second, False, 2)), asking(second, 2))

        every = range(1, self.reach + 1)
        self.paths = [(i, 0, 0) for i in every]
        weights = [1 / len(self.paths) for _ in self.paths]
        if source is not None and self.paths:
            n, most = len(source.confidence), max(delta, 1.5 / len(source.confidence))
            cascades = [(i, j, c) for i in every for j in range(i + 1, self.reach + 1) for c in (0, 1)]

            def cheapest(path: tuple[int, int, int]) -> float:
                best, worst = self.fallback[0], 0.0
                ranks = [self.ranks(source, s, path) for s in range(n)]
                for k in reversed(range(self.rules)):
                    first = sum(k <= a for a, _ in ranks)
                    second = sum(a < k <= b for a, b in ranks)
                    wrong = 0
                    for s, (a, b) in enumerate(ranks):
                        if k <= max(a, b):
                            wrong += loss_of(source, s, path[0] if k <= a else path[1], labelled)
                    worst = max(worst, (wrong + 1) / n)
                    if worst <= most:
                        best = min(best, mean_cost(priced(path), first, second, n))
                return best

            splits = [cheapest(path) for path in self.paths]
            least = min(splits)
            weights = [math.exp(-(c - least) / (0.05 * least)) if least > 0 else 1.0 for c in splits]
            weights = [w / sum(weights) for w in weights]
            if cascades:
                costs = [cheapest(path) for path in cascades]
                if min(costs) <= 0.95 * least:
                    self.paths = [*self.paths, cascades[costs.index(min(costs))]]
                    weights = [0.5 * w for w in weights] + [0.5]
            weights = [0.9 * w + 0.1 / len(weights) for w in weights]
        self.weights = weights
        self.priced = [priced(path) for path in self.paths]

    def offload(self, i: int) -> float:
        """Return o after layer i, the mean over samples where it depends on the sample."""
        n = len(self.world.confidence)
        if self.world.sample_offload is None:
            return offload_price(self.world, 0, i)
        return math.fsum(offload_price(self.world, s, i) for s in range(n)) / n

    def ranks(self, world: World, s: int, path: tuple[int, int, int]) -> tuple[int, int]:
        """Return the greatest k under which first answers, and under which second would; −1: under none."""
        first, second, shift = path
        a = bisect_right(self.grid[shift], world.confidence[s][first - 1]) - 1
        b = bisect_right(self.grid[0], world.confidence[s][second - 1]) - 1 if second else -1
        return a, b


def disagrees(world: World, s: int, i: int) -> int:
    """D_i."""
    return int(world.prediction[s][i - 1] != cloud_answer(world, s))


def loss_of(world: World, s: int, i: int, labelled: bool) -> int:
    """D_i; or, with the label, [exit i is wrong] − [the last is wrong]."""
    if not labelled:
        return disagrees(world, s, i)
    assert world.label is not None
    return int(world.prediction[s][i - 1] != world.label[s]) - int(cloud_answer(world, s) != world.label[s])


def mean_cost(priced: tuple, first: int, second: int, n: int) -> float:
    """Mean cost of a rule under which so many of n samples are answered at first and at second."""
    (answer, _), _, (later, _), (ask, _) = priced
    return (first * answer + second * later + (n - first - second) * ask) / n


class Certificate:
    """What has been learned since the last alarm: evidence per path and rule, and what is in force."""

    def __init__(
        self, setting: Setting, delta: float, level: float, population: int = 0, labels: int = 0
    ) -> None:
        self.setting, self.delta = setting, delta
        self.labels = labels  # that may still be bought
        self.population = population  # of samples that come once each; 0: with replacement
        paths, rules = range(len(setting.paths)), setting.rules
        self.needed = [math.log(1 / (level * w)) for w in setting.weights]
        self.base = [[0.0] * len(BETS) for _ in paths]
        self.evidence = [[[0.0] * len(BETS) for _ in range(rules)] for _ in paths]
        self.losses = [[0.0] * rules for _ in paths]  # weighted by inverse probability
        self.learned = [0 for _ in paths]  # rounds in which the path learned
        self.seen: list[list[tuple[int, int]]] = [[] for _ in paths]  # ranks, of full audits
        self.audits = 0  # full ones that have arrived
        self.certified = [rules for _ in paths]
        self.t = 0  # rounds since the last alarm
        self.due = FIRST  # when to evaluate next
        self.mode, self.share, self.path, self.rule = FULL, 0, -1, rules

    # evidence

    @cache  # noqa: B019
    def factors(self, share: float, q: int) -> tuple[float, float, float, float, float]:
        """Return ln of the factor of bet q: without a loss, and what losses of 1, 1/e, −1, −1/e add."""
        kappa = ERROR_KAPPAS[q] if self.setting.error else BETS[q][0]
        stake = kappa * share / (1 - share * self.delta)
        none = math.log(1 + stake * self.delta)
        losses = (1, 1 / share, -1, -1 / share)
        return none, *(math.log(1 + stake * (self.delta - loss)) - none for loss in losses)

    def wants(self, world: World, s: int, p: int, a: int, b: int) -> bool:
        """Whether an exit disagrees, and the safest rule that answers there is not lost yet."""
        most, path = 2 * self.delta * (self.learned[p] + 100), self.setting.paths[p]
        if a >= 0 and disagrees(world, s, path[0]) and self.losses[p][a] <= most:
            return True
        return b > a and disagrees(world, s, path[1]) == 1 and self.losses[p][b] <= most

    def learn_full(self, world: World, s: int) -> bool:
        self.audits += 1
        every = [(p, *self.setting.ranks(world, s, path)) for p, path in enumerate(self.setting.paths)]
        bought = self.labels > 0 and any(self.wants(world, s, *one) for one in every)
        self.labels -= bought
        for p, path in enumerate(self.setting.paths):
            ranks = self.setting.ranks(world, s, path)
            self.seen[p].append(ranks)
            if self.population:
                self.learn_without_replacement(p, ranks, world, s, path)
                continue
            self.learn(p, 1.0, self.setting.rules, ranks, world, s, path, 1.0, bought)
        return bought

    def learn_without_replacement(self, p, ranks, world, s, path) -> None:  # type: ignore[no-untyped-def]
        """The mean loss of what is left is at least c, if that of all samples is at least δ."""
        self.learned[p] += 1
        for k in range(self.setting.rules):
            left = self.population - (self.audits - 1)
            c = min((self.population * self.delta - self.losses[p][k]) / left, 0.5) if left > 0 else 0.0
            loss = k <= max(ranks) and disagrees(world, s, path[0] if k <= ranks[0] else path[1])
            for q, (kappa, _) in enumerate(BETS):
                stake = kappa / (1 - c) if c > 0 else 0.0
                self.evidence[p][k][q] += math.log(1 + stake * (c - 1) if loss else 1 + stake * c)
            self.losses[p][k] += loss

    def learn_conditional(self, world: World, s: int, p: int, rule: int, share: float, asked: bool) -> bool:
        path = self.setting.paths[p]
        ranks = self.setting.ranks(world, s, path)
        answered = rule <= max(ranks)
        weight = 1 / share if answered else 1.0
        weight = weight if asked or not answered else 0.0
        bought = self.labels > 0 and weight > 0.0
        bought = bought and self.wants(world, s, p, min(ranks[0], rule), min(ranks[1], rule))
        self.labels -= bought
        self.learn(p, share, rule + 1, ranks, world, s, path, weight, bought)
        return bought

    def learn(self, p, share, end, ranks, world, s, path, weight, bought) -> None:  # type: ignore[no-untyped-def]
        """One round of path p; its rules below `end` learn. Weight 0: the last exit was not asked."""
        self.learned[p] += 1
        for q in range(len(BETS)):
            self.base[p][q] += self.factors(share, q)[0]
        if weight == 0.0:
            return
        for k in range(min(end, max(ranks) + 1)):
            loss = loss_of(world, s, path[0] if k <= ranks[0] else path[1], bought)
            if loss:
                self.losses[p][k] += weight * loss
                for q in range(len(BETS)):
                    kind = (1 if weight == 1.0 else 2) if loss > 0 else (3 if weight == 1.0 else 4)
                    self.evidence[p][k][q] += self.factors(share, q)[kind]

    def log_evidence(self, p: int, k: int) -> float:
        logs = [math.log(w) + self.base[p][q] + self.evidence[p][k][q] for q, (_, w) in enumerate(BETS)]
        most = max(logs)
        return most + math.log(sum(math.exp(x - most) for x in logs))

    # what to do

    def cost(self, p: int, k: int) -> float:
        """Estimated cost of a rule; infinite before any full audit."""
        first, second = self.answered(p, k)
        return mean_cost(self.setting.priced[p], first, second, self.audits)

    def answered(self, p: int, k: int) -> tuple[int, int]:
        first = sum(k <= a for a, _ in self.seen[p])
        return first, sum(k <= max(a, b) for a, b in self.seen[p]) - first

    def evaluate(self, horizon: int | None, t: int, spent: float) -> None:
        """Certify, choose the rule in force, and plan the audits until the next evaluation."""
        rules, paths = self.setting.rules, range(len(self.setting.paths))
        fallback, full = self.setting.fallback[0], self.setting.full[0]
        wait = max(25, self.t // 50)
        self.due = self.t + wait
        self.mode, self.path, self.rule = PLAIN, -1, rules
        now = fallback
        for p in paths:
            while self.certified[p] > 0 and self.log_evidence(p, self.certified[p] - 1) >= self.needed[p]:
                self.certified[p] -= 1
            if self.certified[p] < rules and self.cost(p, self.certified[p]) < now:
                now, self.path, self.rule = self.cost(p, self.certified[p]), p, self.certified[p]

        left = max(10_000, self.t) if horizon is None else horizon - t
        caution = 0.5 if horizon is None else 0.0
        budget = 0.1 * fallback * (max(10_000, self.t) if horizon is None else horizon)
        best = 0.0
        if spent + wait * (full - fallback) <= budget:
            flying = self.flying
            arrived = min([now] + [self.after(p, flying, 1.0, flying) for p in paths]) if flying else now
            for n in [25 * 2**x for x in range(7)]:
                if n > left:
                    break
                then = min([now] + [self.after(p, n + flying, 1.0, 0) for p in paths])
                gain = (left - n) * (arrived - then) - (1 + caution) * (n * (full - now))
                if gain > best:
                    best, self.mode = gain, FULL
        if self.path >= 0 and not self.population:
            (answer, _), (ask, _), (later, _), (ask_later, _) = self.setting.priced[self.path]
            first, second = self.answered(self.path, self.rule)
            extra = (first * (ask - answer) + second * (ask_later - later)) / self.audits
            for x, share in enumerate(SHARES):
                if spent + wait * (share * extra) > budget:
                    continue
                for n in [250 * 2**y for y in range(7)]:
                    if n > left:
                        break
                    then = min(now, self.after(self.path, n, share, -1))
                    gain = (left - n) * (now - then) - (1 + caution) * (n * (share * extra))
                    if gain > best:
                        best, self.mode, self.share = gain, CONDITIONAL, x

    flying = 0  # full audits whose feedback has not arrived

    def after(self, p: int, n: int, share: float, kind: int) -> float:
        """Return the cost of the rule that path p would have certified after n more rounds; ∞ without any."""
        k = self.certified[p]
        rules = self.setting.rules
        rate = [loss / self.learned[p] for loss in self.losses[p]]
        held = rate[self.rule] if kind == -1 else 0.0
        while k > 0:
            logs = []
            for q, (_, w) in enumerate(BETS):
                none, one, heavy, _, _ = self.factors(share, q)
                if kind == -1:  # conditional: losses below the rule in force come free, others by audits
                    free = max(rate[k - 1] - held, 0.0)
                    step = none + (held * share * heavy + free * one)
                else:
                    step = none + rate[k - 1] * one
                logs.append(math.log(w) + self.base[p][q] + self.evidence[p][k - 1][q] + n * step)
            if max(logs) < self.needed[p]:
                break
            k -= 1
        return self.cost(p, k) if k < rules else math.inf


class Watch:
    """Conformal e-CUSUM on the rank of the confidence at the first evaluated exit."""

    def __init__(self) -> None:
        self.monitored, self.bag, self.window, self.surprise = 0, [], [], 1.0

    def alarmed(self, exit_: int, rank: int, coin: float, alarm: float) -> bool:
        if exit_ != self.monitored:
            self.__init__()  # type: ignore[misc]
            self.monitored = exit_
        self.bag.append(rank)
        above, same = sum(b > rank for b in self.bag), sum(b == rank for b in self.bag)
        p = (above + coin * same) / len(self.bag)
        cell = min(CELLS - 1, int(p * CELLS))
        density = CELLS * (self.window.count(cell) + 2) / (len(self.window) + 2 * CELLS)
        self.surprise = max(self.surprise, 1.0) * density
        self.window = [*self.window, cell][-WINDOW:]
        return self.surprise >= alarm


def level_of(failure: float, alarms: int, drift: bool) -> float:
    """Return the part of the failure probability that is spent after so many alarms."""
    if not drift:
        return failure
    return 0.8 * failure if alarms == 0 else 0.2 * failure * 6 / (math.pi * math.pi * (alarms * alarms))


def certified_split(
    world: World,
    order: list[int],
    coins: list[tuple[float, float]],
    *,
    classes: int,
    delta: float,
    failure: float = 0.05,
    horizon: int | None = None,
    source: World | None = None,
    without_replacement: bool = False,
    drift: bool = True,
    delay: int = 0,
    loss: str = "disagreement",
    labels: int = 0,
    label_cost: float = 1.0,
) -> tuple[list[Round], list[tuple[int, int, int, int]]]:
    """Return the rounds, and the rounds at which the rule in force changed: (t, alarms, path, rule)."""
    setting = Setting(world, classes, delta, source, loss == "error")
    alarms = 0
    left = labels if loss == "error" else 0
    population = horizon if without_replacement and horizon is not None else 0
    held = Certificate(setting, delta, level_of(failure, alarms, drift), population, left)
    if not setting.paths:
        held.mode = PLAIN
    rounds: list[Round] = []
    watch = Watch()
    waiting: list[tuple] = []  # rounds that will teach, in order
    journal = [(1, 0, -1, setting.rules)]
    spent = 0.0
    for t, s in enumerate(order, start=1):
        if setting.paths and held.t >= held.due and held.audits >= FIRST:
            held.flying = sum(entry[2] == FULL for entry in waiting)
            held.evaluate(horizon, t - 1, spent)
        elif held.t >= FIRST and held.audits < FIRST:
            held.mode = PLAIN  # the first audits are on their way
        if (alarms, held.path, held.rule) != journal[-1][1:]:
            journal.append((t, alarms, held.path, held.rule))
        mode, share, path, rule = held.mode, SHARES[held.share], held.path, held.rule
        asked = False
        if mode == FULL:
            cost, action = setting.full
            asked, watched = True, setting.reach if path < 0 else setting.paths[path][0]
        elif path < 0:
            (cost, action), watched = setting.fallback, 0
        else:
            watched = setting.paths[path][0]
            a, b = setting.ranks(world, s, setting.paths[path])
            answer, ask, later, ask_later = setting.priced[path]
            asked = mode == CONDITIONAL and coins[t - 1][0] < share
            if rule <= a:
                cost, action = ask if asked else answer
            elif rule <= b:
                cost, action = ask_later if asked else later
            else:
                cost, action = ask_later
        layer, offloaded, evaluated = action
        rounds.append(played(world, s, layer, offloaded, evaluated))
        if mode == FULL or not held.population:
            spent = spent + (cost - setting.fallback[0])
        held.t += 1
        if mode != PLAIN:
            waiting.append((t, s, mode, path, rule, share, asked, offloaded))
        if drift and watched:
            rank = setting.ranks(world, s, (watched, 0, 0))[0]
            if watch.alarmed(watched, rank, coins[t - 1][1], ALARM):
                alarms, watch = alarms + 1, Watch()
                left = held.labels
                held = Certificate(setting, delta, level_of(failure, alarms, drift), 0, left)
                waiting = []
        while waiting and (not waiting[0][-1] or waiting[0][0] <= t - delay):
            u, of, mode, path, rule, share, asked, _ = waiting.pop(0)
            if mode == FULL:
                bought = held.learn_full(world, of)
            else:
                bought = held.learn_conditional(world, of, path, rule, share, asked)
            if bought:
                spent = spent + label_cost
                cost, reward = rounds[u - 1].cost + label_cost, rounds[u - 1].reward - world.mu * label_cost
                rounds[u - 1] = replace(rounds[u - 1], cost=cost, reward=reward)
    return rounds, journal


def played(world: World, s: int, layer: int, offloaded: bool, evaluated: int) -> Round:
    """One round in which the device stopped at a layer after evaluating so many exits."""
    cost = device_cost_of(world, layer, evaluated)
    if offloaded:
        cost = cost + offload_price(world, s, layer)
    answer = cloud_answer(world, s) if offloaded else world.prediction[s][layer - 1]
    confidence = cloud_confidence(world, s) if offloaded else world.confidence[s][layer - 1]
    return Round(layer, offloaded, answer, cost, confidence - world.mu * cost, is_right(world, s, answer))
