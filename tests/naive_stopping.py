"""AuditedStopping in plain Python: the specification that `splitee/policies/stopping.py` must equal.

Read it beside docs/stopping.md. δ is the share of samples that may be answered on the device otherwise than
the last exit would have answered; ℓ_i = [exit i answers otherwise than the last], or, if the label was
bought, [exit i is wrong] − [the last is wrong]; z = logit C, in cells of 1/8.
"""

import math
from bisect import bisect_right
from dataclasses import replace

from naive import Round, World
from naive_certified import Setting as Certified
from naive_certified import Watch, disagrees, loss_of, played

WARM = 80  # full audits at the beginning
CELLS = 112  # of z, from −7 to 7
TRAJECTORIES, PAIRS = 600, 2000  # kept
QUANTILES = 6
STEPS, HALVINGS = 12, 12  # of Newton's method, of the bisection
E_FULL, E_EXIT, SETTLE, FLOOR = 0.004, 0.03, 1000.0, 0.01
LEAST_ASKED = 0.02  # of q
FORGET, PRIOR, SPARE = 0.995, 1.0, 0.2
STAKES = (0.002, 0.006, 0.012, 0.018)  # θ of the bound
EDGES = [1 / (1 + math.exp(7 - cell / 8)) for cell in range(1, CELLS)]
CENTRES = [(cell + 0.5) / 8 - 7 for cell in range(CELLS)]


def cell_of(confidence: float) -> int:
    return bisect_right(EDGES, confidence)


class Costs:
    """What there is to choose from, after exit i = 1..M, and before any (i = 0)."""

    def __init__(self, world: World) -> None:
        prices = Certified(world, 2, 0.01, None)
        self.gamma, self.asking = prices.gamma, prices.asking
        self.fallback = prices.fallback
        self.reach = prices.reach
        m = self.reach
        self.full = self.asking(m, m) if m else (math.inf, (0, True, 0))
        self.ask = [0.0] + [self.asking(i, 1)[0] - prices.gamma(i, 1) for i in range(1, m + 1)]  # T_i
        # step[i][j]: from exit i, or the input, on to exit j
        self.step = [[0.0] * (m + 1) for _ in range(m + 1)]
        for j in range(1, m + 1):
            self.step[0][j] = prices.gamma(j, 1)
            for i in range(1, j):
                self.step[i][j] = prices.gamma(j, 2) - prices.gamma(i, 1)


class Rule:
    """For a price ν of a loss: when to answer, and what to do otherwise."""

    def __init__(self, costs: Costs, fit: "Fit", price: float) -> None:
        m, n = costs.reach, len(fit.trajectories)
        self.answers = [[False] * CELLS for _ in range(m + 1)]
        self.target = [[0] * QUANTILES for _ in range(m + 1)]  # the next exit, or 0: ask
        value = [[0.0] * (m + 1) for _ in range(n)]
        for i in range(m, -1, -1):
            count = [0] * QUANTILES
            total = [[0.0] * (m + 1) for _ in range(QUANTILES)]
            for k, cells in enumerate(fit.trajectories):
                q = fit.quantile[i][cells[i]] if i else 0
                count[q] += 1
                for j in range(i + 1, m + 1):
                    total[q][j] += value[k][j]
            best = [costs.ask[i] if i else costs.fallback[0]] * QUANTILES
            for q in range(QUANTILES):
                for j in range(i + 1, m + 1):
                    if count[q] and costs.step[i][j] + total[q][j] / count[q] < best[q]:
                        best[q], self.target[i][q] = costs.step[i][j] + total[q][j] / count[q], j
            if i == 0:
                break
            for cell in range(CELLS):
                self.answers[i][cell] = price * fit.chance[i][cell] <= best[fit.quantile[i][cell]]
            for k, cells in enumerate(fit.trajectories):
                value[k][i] = min(price * fit.chance[i][cells[i]], best[fit.quantile[i][cells[i]]])
        self.first = self.target[0][0]
        cost = loss = root = 0.0
        for cells in fit.trajectories:
            i, before = self.first, 0
            if i == 0:
                cost += costs.fallback[0]
                continue
            while True:
                cost += costs.step[before][i]
                if self.answers[i][cells[i]]:
                    loss += fit.chance[i][cells[i]]
                    root += math.sqrt(fit.chance[i][cells[i]] + FLOOR)
                    break
                before, i = i, self.target[i][fit.quantile[i][cells[i]]]
                if i == 0:
                    cost += costs.ask[before]
                    break
        self.cost, self.loss, self.root = cost / n, loss / n, root / n


class Fit:
    """Chances of a loss by exit and cell, and quantiles of the cells, from audits."""

    def __init__(
        self, costs: Costs, trajectories: list[list[int]], pairs: list[list[tuple[int, int]]]
    ) -> None:
        m = costs.reach
        self.trajectories = trajectories
        self.chance: list[list[float]] = [[]]
        self.quantile: list[list[int]] = [[]]
        for i in range(1, m + 1):
            many, lost = [0] * CELLS, [0] * CELLS
            for cell, loss in pairs[i]:
                many[cell] += 1
                lost[cell] += loss
            self.chance.append(falling(*logistic(many, lost)))
            before, places = 0, []
            for cell in range(CELLS):
                places.append(min(QUANTILES - 1, QUANTILES * before // len(trajectories)))
                before += sum(cells[i] == cell for cells in trajectories)
            self.quantile.append(places)


def logistic(many: list[int], lost: list[int]) -> tuple[float, float, float]:
    """Newton's method on Σ[n·ln(1 + e^f) − s·f] + ½(0.3·a² + 0.3·(b + 3)² + c²), f = a + b·z + c·z²."""
    a, b, c = 0.0, -3.0, 0.0
    for _ in range(STEPS):
        ga, gb, gc = 0.3 * a, 0.3 * (b + 3.0), 1.0 * c
        haa, hab, hac, hbb, hbc, hcc = 0.3, 0.0, 0.0, 0.3, 0.0, 1.0
        for cell in range(CELLS):
            if many[cell] == 0:
                continue
            z = CENTRES[cell]
            p = 1.0 / (1.0 + math.exp(-(a + z * (b + c * z))))
            r, w = many[cell] * p - lost[cell], many[cell] * (p * (1.0 - p))
            zz = z * z
            ga, gb, gc = ga + r, gb + r * z, gc + r * zz
            haa, hab, hac = haa + w, hab + w * z, hac + w * zz
            hbb, hbc, hcc = hbb + w * zz, hbc + w * (zz * z), hcc + w * (zz * zz)
        # elimination: the matrix is positive definite
        u, v = hab / haa, hac / haa
        bb, bc, cc, rb, rc = hbb - u * hab, hbc - u * hac, hcc - v * hac, gb - u * ga, gc - v * ga
        y = bc / bb
        dc = (rc - y * rb) / (cc - y * bc)
        db = (rb - bc * dc) / bb
        da = (ga - hab * db - hac * dc) / haa
        most = max(abs(da), max(abs(db), abs(dc)))
        short = 2.0 / most if most > 2.0 else 1.0
        a, b, c = a - short * da, b - short * db, c - short * dc
    return a, b, c


def falling(a: float, b: float, c: float) -> list[float]:
    """σ(a + b·z + c·z²) by cell, made non-increasing: constant beyond the vertex of the parabola."""
    chances = []
    for z in CENTRES:
        if c > 0.0:
            z = min(z, -b / (2.0 * c))
        elif c < 0.0:
            z = max(z, -b / (2.0 * c))
        elif b > 0.0:
            z = 0.0
        chances.append(1.0 / (1.0 + math.exp(-(a + z * (b + c * z)))))
    return chances


def audited_stopping(
    world: World,
    order: list[int],
    coins: list[tuple[float, float, float, float]],
    *,
    delta: float,
    failure: float = 0.05,
    drift: bool = True,
    delay: int = 0,
    alarm: float = 1e6,
    labels: int = 0,
    label_cost: float = 1.0,
) -> tuple[list[Round], list[tuple[float, float]]]:
    """Return the rounds, and (account of the loss, bound on the loss) after each of them.

    At most `labels` labels are bought, of audited samples on which an exit that was audited disagrees.
    """

    def buy(u: int) -> None:
        nonlocal labels
        labels -= 1
        cost, reward = rounds[u - 1].cost + label_cost, rounds[u - 1].reward - world.mu * label_cost
        rounds[u - 1] = replace(rounds[u - 1], cost=cost, reward=reward)

    costs = Costs(world)
    m = costs.reach
    rounds: list[Round] = []
    told: list[tuple[float, float]] = []
    account, ratio_lost, ratio_chance = 0.0, PRIOR, PRIOR
    spent = [0.0 for _ in STAKES]  # ΣX of the bound
    waiting: list[tuple] = []
    trajectories: list[list[int]] = []
    pairs: list[list[tuple[int, int]]] = [[] for _ in range(m + 1)]
    seen = full = begun = 0  # pairs; full audits that have arrived; rounds before the last alarm
    fit: Fit | None = None
    ends: list[Rule] = []
    mix = 0.0  # probability of the riskier end
    due, enough = 0, 0
    watch = Watch()
    for t, s in enumerate(order, start=1):
        own = t - begun
        if m and full >= WARM and (fit is None or t >= due or seen >= enough):
            fit = Fit(costs, trajectories, pairs)
            ends, mix = solve(costs, fit, delta, t - 1, account, ratio_lost / ratio_chance, full)
            due, enough = t + max(200, own // 10), seen + max(1, seen // 5)
        whole, audit, which, tie = coins[t - 1]
        watched, place, asked, offloaded = 0, -1, None, False
        if m and own <= WARM:
            kind = "full"
        elif fit is None:
            kind = "safe"
        else:
            risky = which < mix
            rule = ends[1] if risky else ends[0]
            cost = (1 - mix) * ends[0].cost + mix * ends[1].cost
            root = (1 - mix) * ends[0].root + mix * ends[1].root
            settle = 1 + SETTLE / t
            extra = costs.full[0] - cost
            p = min(0.5, E_FULL * cost / extra * settle) if extra > 0 else 0.5
            kind = "full" if whole < p else "rule" if rule.first else "safe"
        if kind == "full":
            action = costs.full[1]
            waiting.append((t, s, m, None, 0.0, 0.0, 0.0))
            watched = 1
        elif kind == "safe":
            action = costs.fallback[1]
        else:
            i = watched = rule.first
            evaluated = 1
            while not rule.answers[i][cell_of(world.confidence[s][i - 1])]:
                j = rule.target[i][fit.quantile[i][cell_of(world.confidence[s][i - 1])]]
                if j == 0:
                    break
                i, evaluated = j, evaluated + 1
            cell = cell_of(world.confidence[s][i - 1])
            if rule.answers[i][cell]:
                chance = fit.chance[i][cell]
                scale = costs.ask[i] * root
                q = min(0.5, E_EXIT * cost * math.sqrt(chance + FLOOR) / scale * settle) if scale > 0 else 0.5
                q = max(q, LEAST_ASKED)
                expected = min(ratio_lost / ratio_chance * chance, 1.0)
                asked = audit < q
                account += expected * (1 - q)
                for b, stake in enumerate(STAKES):
                    spent[b] += factor(stake, expected, q)[1 if asked else 0]
                if asked:
                    action = costs.asking(i, evaluated)[1]
                    waiting.append((t, s, i, chance, q, expected, cell))
                else:
                    action = (i, False, evaluated)
            else:
                action = costs.asking(i, evaluated)[1]
        layer, offloaded, evaluated = action
        rounds.append(played(world, s, layer, offloaded, evaluated))
        if waiting and waiting[-1][0] == t:
            waiting[-1] = (*waiting[-1], offloaded)
        if drift and watched:
            place = cell_of(world.confidence[s][watched - 1]) - 1
            if watch.alarmed(watched, place, tie, alarm):
                begun, seen, full, fit, trajectories = t, 0, 0, None, []
                pairs = [[] for _ in range(m + 1)]
                watch = Watch()
        for entry in [e for e in waiting if not e[-1] or e[0] <= t - delay]:
            waiting.remove(entry)
            u, of, i, chance, q, expected, _, _ = entry
            if chance is None:
                if u > begun:
                    bought = labels > 0 and any(disagrees(world, of, j) for j in range(1, m + 1))
                    if bought:
                        buy(u)
                    cells = [0, *(cell_of(c) for c in world.confidence[of][:m])]
                    at = full % TRAJECTORIES  # a ring
                    trajectories = [*trajectories[:at], cells, *trajectories[at + 1 :]]
                    full += 1
                    for j in range(1, m + 1):
                        pairs[j] = [
                            *pairs[j],
                            (cell_of(world.confidence[of][j - 1]), max(loss_of(world, of, j, bought), 0)),
                        ]
                        pairs[j] = pairs[j][-PAIRS:]
                        seen += 1
                continue
            bought = labels > 0 and disagrees(world, of, i) == 1
            if bought:
                buy(u)
            loss = loss_of(world, of, i, bought)
            account += (loss - expected) * (1 - q) / q
            ratio_lost, ratio_chance = FORGET * ratio_lost, FORGET * ratio_chance
            ratio_lost, ratio_chance = ratio_lost + max(loss, 0), ratio_chance + chance
            ratio_lost, ratio_chance = ratio_lost + (1 - FORGET) * PRIOR, ratio_chance + (1 - FORGET) * PRIOR
            if loss < 1:
                for b, stake in enumerate(STAKES):
                    spent[b] += factor(stake, expected, q, loss)[1] - factor(stake, expected, q)[1]
            if u > begun:
                pairs[i] = [*pairs[i], (cell_of(world.confidence[of][i - 1]), max(loss, 0))][-PAIRS:]
                seen += 1
        level = math.log(len(STAKES) / failure)
        told.append((account, min((x + level) / stake for x, stake in zip(spent, STAKES, strict=True))))
    return rounds, told


def factor(stake: float, expected: float, q: float, loss: int = 1) -> tuple[float, float]:
    """X of a round: not asked; asked, with this loss (until it is known, 1)."""
    return stake * expected, -math.log((1 - (1 - q) * math.exp(stake * loss - stake * expected)) / q)


def solve(
    costs: Costs, fit: Fit, delta: float, t: int, account: float, ratio: float, audits: int
) -> tuple[list[Rule], float]:
    """The two rules between which the predicted loss reaches what may be lost now, and how to mix them."""
    aim = delta + (delta * t - account) / (t / 4 + 500)
    aim = min(max(aim, 0.2 * delta), 1.5 * delta)

    def spends(rule: Rule) -> float:
        return ratio * rule.loss + SPARE * math.sqrt(rule.loss / audits)

    low, high = math.log(1e-3 * costs.fallback[0] + 1e-9), math.log(1e6 * costs.fallback[0] + 1e-3)
    risky, safe = Rule(costs, fit, math.exp(low)), Rule(costs, fit, math.exp(high))
    if spends(risky) <= aim:
        return [risky, risky], 0.0
    if spends(safe) > aim:
        return [safe, safe], 0.0
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        rule = Rule(costs, fit, math.exp(middle))
        if spends(rule) <= aim:
            high, safe = middle, rule
        else:
            low, risky = middle, rule
    return [safe, risky], (aim - spends(safe)) / (spends(risky) - spends(safe))
