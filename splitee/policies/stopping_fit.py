"""What an audited stopping rule is made of: chances of a loss by exit, and the rule that spends a given loss.

A loss ℓ_i is that exit i answers otherwise than the last. The chance of a loss given z = logit C_i is fitted
to audits by a logistic regression on 1, z, z², non-increasing in z. For a price ν of a loss, the rule is the
optimal stopping rule on the audited trajectories: backward from the deepest exit M,

    Q_i = min( T_i, min_{j > i} step(i, j) + E[V_j | i] ),    V_i = min( ν·p̂_i(z_i), Q_i )

T_i is the cost of asking the last exit, and the expectations are means over trajectories of like confidence
at exit i. `tests/naive_stopping.py` is the plain version.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from splitee._internal.jit import kernel
from splitee.policies.paths import Action, Costs, actions_of
from splitee.policies.played import Actions
from splitee.policies.problem import Floats

Whole = NDArray[np.int64]
CELLS = 112  # of z, 8 per unit, from −7 to 7
TRAJECTORIES, PAIRS = 600, 2000  # that are kept: of all exits, of each exit
QUANTILES = 6
STEPS, HALVINGS = 12, 12  # of Newton's method, of the bisection
SPARE = 0.2  # standard deviations of the predicted loss that are held back
FLOOR = 0.01
SAFE_END, RISKY_END, TRIED = range(3)  # slots of rules: the two that are mixed, and one for trying
RULE_COST, RULE_LOSS, RULE_ROOT, FIRST_EXIT = range(4)  # columns of `Rules.mean`
EDGES = np.array([[1 / (1 + math.exp(7 - cell / 8)) for cell in range(1, CELLS)]])
CENTRES = np.array([(cell + 0.5) / 8 - 7 for cell in range(CELLS)])


class Stops(NamedTuple):
    """What there is to choose from; index 0 is before any exit.

    Attributes
    ----------
    step : ndarray, shape (M + 1, M + 1)
        Cost of going on from exit i to exit j > i.
    ask : ndarray, shape (M + 1,)
        T_i; entry 0: cost of the fallback, the cheapest action that cannot disagree.
    answers, asks : ndarray of int, shape (M + 1, M + 1)
        Numbers of the actions of answering, and of asking, at exit i after so many exits were evaluated; row
        0 of `asks`: of the fallback.
    full : ndarray, shape (2,)
        Cost and action of a full audit.
    """

    step: Floats
    ask: Floats
    answers: Whole
    asks: Whole
    full: Floats


class Rules(NamedTuple):
    """Fit and rules.

    Attributes
    ----------
    chance : ndarray, shape (M + 1, CELLS)
        p̂ by exit and cell.
    place : ndarray of int, shape (M + 1, CELLS)
        The sixth of the trajectories in which a cell lies.
    answers : ndarray of bool, shape (3, M + 1, CELLS)
        By slot: whether the exit answers.
    target : ndarray of int, shape (3, M + 1, QUANTILES)
        The exit to evaluate next; 0: ask.
    mean : ndarray, shape (3, 4)
        Cost, loss and root of the loss per sample on the trajectories, and the first exit (0: the fallback).
    sixth : ndarray of int, shape (TRAJECTORIES, M + 1)
        `place` of each trajectory.
    value : ndarray, shape (TRAJECTORIES, M + 1)
        Scratch: V.
    """

    chance: Floats
    place: Whole
    answers: NDArray[np.bool_]
    target: Whole
    mean: Floats
    sixth: Whole
    value: Floats


class Audits(NamedTuple):
    """Audited samples.

    Attributes
    ----------
    trajectory : ndarray of int, shape (TRAJECTORIES, M + 1)
        Cells of exits 1..M: a ring.
    pair : ndarray of int, shape (M + 1, PAIRS)
        By exit, twice the cell plus the loss: rings.
    pairs : ndarray of int, shape (M + 1, CELLS, 2)
        Pairs in the rings, and losses among them.
    seen : ndarray of int, shape (M + 1,)
        Pairs by exit so far; entry 0: trajectories.
    """

    trajectory: Whole
    pair: Whole
    pairs: Whole
    seen: Whole


def stops_of(costs: Costs) -> tuple[Stops, Actions]:
    """Return what there is to choose from: exits that cost less than the fallback."""
    gamma, reach, (fallback, safe) = costs.gamma, costs.reach, costs.fallback()
    step, shape = np.zeros((reach + 1, reach + 1)), (reach + 1, reach + 1)
    ask = np.array([fallback] + [costs.asking(i, 1)[0] - gamma[1, i] for i in range(1, reach + 1)])
    full_cost, full = costs.asking(reach, reach) if reach else (math.inf, (0, True, 0))
    taken: dict[tuple[str, int, int], Action] = {}
    for i in range(1, reach + 1):
        step[0, i] = gamma[1, i]
        for j in range(i + 1, reach + 1):
            step[i, j] = gamma[2, j] - gamma[1, i]
        for evaluated in range(1, i + 1):
            taken["answers", i, evaluated] = costs.answering(i, evaluated)[1]
            taken["asks", i, evaluated] = costs.asking(i, evaluated)[1]
    kinds = sorted({*taken.values(), safe, full})
    number = {kind: k for k, kind in enumerate(kinds)}
    tables = {"answers": np.zeros(shape, dtype=np.int64), "asks": np.zeros(shape, dtype=np.int64)}
    for (name, i, evaluated), action in taken.items():
        tables[name][i, evaluated] = number[action]
    tables["asks"][0] = number[safe]
    made = Stops(step, ask, tables["answers"], tables["asks"], np.array([full_cost, number[full]]))
    return made, actions_of(kinds)


def begin_rules(reach: int) -> Rules:
    """Return room for a fit and its rules."""
    exits = reach + 1
    return Rules(
        np.zeros((exits, CELLS)),
        np.zeros((exits, CELLS), dtype=np.int64),
        np.zeros((3, exits, CELLS), dtype=np.bool_),
        np.zeros((3, exits, QUANTILES), dtype=np.int64),
        np.zeros((3, 4)),
        np.zeros((TRAJECTORIES, exits), dtype=np.int64),
        np.zeros((TRAJECTORIES, exits)),
    )


def begin_audits(reach: int) -> Audits:
    """Return room for audits."""
    shapes = (TRAJECTORIES, reach + 1), (reach + 1, PAIRS), (reach + 1, CELLS, 2), (reach + 1,)
    trajectory, pair, count, seen = (np.zeros(shape, dtype=np.int64) for shape in shapes)
    return Audits(trajectory, pair, count, seen)


@kernel
def add_pair(audits, i, cell, loss):  # type: ignore[no-untyped-def]
    """Add a pair of exit i to its ring."""
    at = audits.seen[i] % audits.pair.shape[1]
    if audits.seen[i] >= audits.pair.shape[1]:
        oldest = audits.pair[i, at]
        audits.pairs[i, oldest >> 1, 0] -= 1
        audits.pairs[i, oldest >> 1, 1] -= oldest & 1
    audits.pair[i, at] = 2 * cell + loss
    audits.pairs[i, cell, 0] += 1
    audits.pairs[i, cell, 1] += loss
    audits.seen[i] += 1


@kernel
def forget_audits(audits):  # type: ignore[no-untyped-def]
    """Forget all audits."""
    for i in range(len(audits.seen)):
        audits.seen[i] = 0
        for cell in range(audits.pairs.shape[1]):
            audits.pairs[i, cell, 0], audits.pairs[i, cell, 1] = 0, 0


@kernel
def logistic(count):  # type: ignore[no-untyped-def]
    """Return a, b, c of ln(p/(1 − p)) = a + b·z + c·z², fitted with a ridge around 0, −3, 0.

    Newton's method, its steps at most 2 in each of a, b, c.

    Parameters
    ----------
    count : int64 array, shape (CELLS, 2)
        Pairs and losses.
    """
    a, b, c = 0.0, -3.0, 0.0
    for _ in range(STEPS):
        ga, gb, gc = 0.3 * a, 0.3 * (b + 3.0), 1.0 * c
        haa, hab, hac, hbb, hbc, hcc = 0.3, 0.0, 0.0, 0.3, 0.0, 1.0
        for cell in range(len(count)):
            many = count[cell, 0]
            if many == 0:
                continue
            z = CENTRES[cell]
            p = 1.0 / (1.0 + math.exp(-(a + z * (b + c * z))))
            r, w = many * p - count[cell, 1], many * (p * (1.0 - p))
            zz = z * z
            ga, gb, gc = ga + r, gb + r * z, gc + r * zz
            haa, hab, hac = haa + w, hab + w * z, hac + w * zz
            hbb, hbc, hcc = hbb + w * zz, hbc + w * (zz * z), hcc + w * (zz * zz)
        u, v = hab / haa, hac / haa  # elimination: the matrix is positive definite
        bb, bc, cc, rb, rc = hbb - u * hab, hbc - u * hac, hcc - v * hac, gb - u * ga, gc - v * ga
        y = bc / bb
        dc = (rc - y * rb) / (cc - y * bc)
        db = (rb - bc * dc) / bb
        da = (ga - hab * db - hac * dc) / haa
        most = max(abs(da), max(abs(db), abs(dc)))
        short = 2.0 / most if most > 2.0 else 1.0
        a, b, c = a - short * da, b - short * db, c - short * dc
    return a, b, c


@kernel
def fit(audits, rules):  # type: ignore[no-untyped-def]
    """Fit the chances, constant beyond the vertex of the parabola, and sort cells into sixths."""
    known = min(audits.seen[0], len(audits.trajectory))
    many = np.zeros(CELLS, dtype=np.int64)
    for i in range(1, len(audits.seen)):
        a, b, c = logistic(audits.pairs[i])
        for cell in range(CELLS):
            many[cell] = 0
        for k in range(known):
            many[audits.trajectory[k, i]] += 1
        before = 0
        for cell in range(CELLS):
            z = CENTRES[cell]
            if c > 0.0:
                z = min(z, -b / (2.0 * c))
            elif c < 0.0:
                z = max(z, -b / (2.0 * c))
            elif b > 0.0:
                z = 0.0
            rules.chance[i, cell] = 1.0 / (1.0 + math.exp(-(a + z * (b + c * z))))
            rules.place[i, cell] = min(QUANTILES - 1, QUANTILES * before // known)
            before += many[cell]
        for k in range(known):
            rules.sixth[k, i] = rules.place[i, audits.trajectory[k, i]]


@kernel
def make_rule(stops, audits, rules, slot, price):  # type: ignore[no-untyped-def]
    """Make the optimal rule for a price of a loss, and its means on the trajectories.

    Parameters
    ----------
    slot : int
        Where it goes.
    price : float
        ν.
    """
    exits, known = np.uintp(len(stops.ask)), min(audits.seen[0], len(audits.trajectory))
    trajectory, place, chance, value = audits.trajectory, rules.place, rules.chance, rules.value
    count, total = np.zeros(QUANTILES, dtype=np.int64), np.zeros((QUANTILES, exits))
    best, least = np.zeros(QUANTILES), np.zeros(CELLS)
    for back in range(exits):
        i = exits - np.uintp(1) - back  # unsigned: no index counts from the end
        for q in range(QUANTILES):
            count[q], best[q] = 0, stops.ask[i]
            for j in range(exits):
                total[q, j] = 0.0
        for k in range(np.uintp(known)):
            sixth = np.uintp(rules.sixth[k, i])  # 0 before any exit
            count[sixth] += 1
            for j in range(i + np.uintp(1), exits):
                total[sixth, j] += value[k, j]
        for q in range(QUANTILES):
            rules.target[slot, i, q] = 0
            for j in range(i + np.uintp(1), exits):
                if count[q] > 0 and stops.step[i, j] + total[q, j] / count[q] < best[q]:
                    best[q], rules.target[slot, i, q] = stops.step[i, j] + total[q, j] / count[q], j
        if i > 0:
            for cell in range(CELLS):
                answering, other = price * chance[i, cell], best[place[i, cell]]
                rules.answers[slot, i, cell] = answering <= other
                least[cell] = min(answering, other)
            for k in range(np.uintp(known)):
                value[k, i] = least[np.uintp(trajectory[k, i])]
    first = rules.target[slot, 0, 0]
    cost, loss, root = 0.0, 0.0, 0.0
    for k in range(known):
        i, before = first, 0
        if first == 0:
            cost += stops.ask[0]
        while i > 0:
            cell = trajectory[k, i]
            cost += stops.step[before, i]
            if rules.answers[slot, i, cell]:
                loss += chance[i, cell]
                root += math.sqrt(chance[i, cell] + FLOOR)
                break
            before, i = i, rules.target[slot, i, rules.sixth[k, i]]
            if i == 0:
                cost += stops.ask[before]
    rules.mean[slot, RULE_COST], rules.mean[slot, RULE_LOSS] = cost / known, loss / known
    rules.mean[slot, RULE_ROOT], rules.mean[slot, FIRST_EXIT] = root / known, first


@kernel
def keep(rules, slot):  # type: ignore[no-untyped-def]
    """Copy the rule that was tried to another slot."""
    for i in range(rules.answers.shape[1]):  # loops, not slices: numba takes seconds to compile these
        for cell in range(CELLS):
            rules.answers[slot, i, cell] = rules.answers[TRIED, i, cell]
        for q in range(QUANTILES):
            rules.target[slot, i, q] = rules.target[TRIED, i, q]
    for c in range(rules.mean.shape[1]):
        rules.mean[slot, c] = rules.mean[TRIED, c]


@kernel
def solve(stops, audits, rules, aim, ratio, full):  # type: ignore[no-untyped-def]
    """Make the two rules between which the predicted loss reaches `aim`; return how to mix them.

    Parameters
    ----------
    aim : float
        The loss per sample that may be spent now.
    ratio : float
        g: losses seen per loss predicted.
    full : int
        Full audits.

    Returns
    -------
    float
        The probability of the riskier rule.
    """
    low, high = math.log(1e-3 * stops.ask[0] + 1e-9), math.log(1e6 * stops.ask[0] + 1e-3)
    spend = np.zeros(3)
    for step in range(HALVINGS + 2):
        price = low if step == 0 else high if step == 1 else 0.5 * (low + high)
        make_rule(stops, audits, rules, TRIED, math.exp(price))
        loss = rules.mean[TRIED, RULE_LOSS]
        spend[TRIED] = ratio * loss + SPARE * math.sqrt(loss / full)
        fine = spend[TRIED] <= aim
        if (step == 0 and fine) or (step == 1 and not fine):
            keep(rules, SAFE_END)
            keep(rules, RISKY_END)
            return 0.0
        slot = SAFE_END if fine else RISKY_END
        keep(rules, slot)
        spend[slot] = spend[TRIED]
        if step > 1 and fine:
            high = price
        elif step > 1:
            low = price
    return (aim - spend[SAFE_END]) / (spend[RISKY_END] - spend[SAFE_END])
