"""What a certified split knows: evidence by path and rule, what it certifies, and which audits would pay.

For a rule whose loss rate d is above δ, E = Π (1 + λ(δ − loss/π)) over the rounds in which its path learns is
a nonnegative supermartingale: π is the probability with which the loss of that sample is seen, and π and λ
are fixed before the sample comes. E is a mixture over three bets κ, λ = κ·e/(1 − e·δ), e the smallest π of
the round. A rule is certified when E reaches 1/(η·w) of its path, for it and all safer rules.
docs/certified.md has the proof, `tests/naive_certified.py` the plain version.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from splitee._internal.jit import inlined, kernel
from splitee.policies.labels import loss_of
from splitee.policies.paths import (
    ANSWERS,
    ANSWERS_LATER,
    ASKS,
    ASKS_LATER,
    FIRST_EXIT,
    FULL_AUDIT,
    ROW,
    SAFE,
    SECOND_EXIT,
    Paths,
    rank,
)
from splitee.policies.problem import Floats

Whole = NDArray[np.int64]
BETS = ((0.3, 0.05), (0.55, 0.1), (0.8, 0.85))  # κ and its weight
ERROR_KAPPAS = (0.8, 0.2, 0.45)  # κ if losses may be negative: these vary more, so bets are smaller
SHARES = (1.0, 1 / 2, 1 / 4, 1 / 8, 1 / 16)  # e of conditional rounds: the share of answers that is audited
FIRST = 50  # full audits at the beginning
FULL, CONDITIONAL, PLAIN = range(3)  # modes of a round
T, DUE, MODE, SHARE, PATH, RULE, AUDITS, ALARMS, FLYING, HORIZON, POPULATION, LABELS = range(12)
NONE, ONE, HEAVY, LESS, HEAVY_LESS = range(5)  # ln of a factor without a loss; what 1, 1/e, −1, −1/e add
LOSSES, COST, AT_FIRST, AT_ANY = range(3, 7)  # columns of `State.rule`, after the evidence of each bet
LEARNED, CERTIFIED, NEEDED = range(3, 6)  # columns of `State.path`, after the base of each bet
SPENT, ROUNDS, DELTA, LABEL_COST = range(4)  # of `State.total`
KAPPA, LOG_WEIGHT = np.array([k for k, _ in BETS]), np.array([math.log(weight) for _, weight in BETS])


class State(NamedTuple):
    """What has been learned since the last alarm.

    Attributes
    ----------
    rule : ndarray, shape (P, G + 1, 7)
        By path and rule: what losses add to ln E of each bet; LOSSES weighted by inverse probability; COST,
        estimated, ∞ for rule G, which answers nothing; full audits AT_FIRST and AT_ANY, by the greatest rule,
        plus 1, that answers at the first exit, and at any.
    path : ndarray, shape (P, 6)
        By path: ln E of each bet without losses; rounds in which it LEARNED; the riskiest rule that is
        CERTIFIED, G if none is; NEEDED = ln(1/(η·w)).
    whole : ndarray of int, shape (12,)
        T: rounds; DUE: of the next evaluation; MODE and SHARE of the rounds until then; PATH (−1: the
        fallback) and RULE in force; AUDITS: full ones that have arrived; ALARMS so far; FLYING: full audits
        that have not arrived; HORIZON: the length of the stream, −1 if unknown; POPULATION: samples that come
        once each, 0 if they are drawn with replacement, or after an alarm; LABELS: that may still be bought.
    total : ndarray, shape (4,)
        SPENT: costs so far beyond those of the fallback; ROUNDS so far, alarms or not; DELTA: δ; LABEL_COST:
        of one label.
    """

    rule: Floats
    path: Floats
    whole: Whole
    total: Floats


def bets_of(delta: float, error: bool = False) -> Floats:
    """Return logarithms of factors for δ, shape (5, bets, 5): by share, bet, and NONE, ONE, …, HEAVY_LESS.

    `error` says whether losses may be negative.
    """
    log = np.empty((len(SHARES), len(BETS), 5))
    for x, share in enumerate(SHARES):
        for q, kappa in enumerate(ERROR_KAPPAS if error else KAPPA.tolist()):
            stake = kappa * share / (1 - share * delta)
            none = math.log(1 + stake * delta)
            losses = (1, 1 / share, -1, -1 / share)
            log[x, q] = none, *(math.log(1 + stake * (delta - loss)) - none for loss in losses)
    return log


def begin_state(
    paths: Paths, delta: float, horizon: int | None, without_replacement: bool, labels: int, label_cost: float
) -> State:
    """Return the state before the first round, without the levels; see `renew`."""
    whole = np.zeros(12, dtype=np.int64)
    whole[HORIZON] = -1 if horizon is None else horizon
    whole[POPULATION] = whole[HORIZON] if without_replacement else 0
    whole[LABELS] = labels
    rules = paths.grid.shape[1]
    rule, path = np.zeros((paths.many, rules + 1, 7)), np.zeros((paths.many, 6))
    return State(rule, path, whole, np.array([0.0, 0.0, delta, label_cost]))


def level_of(failure: float, alarms: int, drift: bool) -> float:
    """Return the part of the failure probability η that is spent after so many alarms; all parts sum to η."""
    if not drift:
        return failure
    return 0.8 * failure if alarms == 0 else 0.2 * failure * 6 / (math.pi * math.pi * (alarms * alarms))


@kernel
def renew(state, needed):  # type: ignore[no-untyped-def]
    """Forget all but what was spent, the alarms and the horizon; `needed`, shape (P,): see `State`."""
    many, rules = len(state.path), state.rule.shape[1] - 1
    for p in range(many):
        for k in range(rules + 1):
            for c in range(state.rule.shape[2]):
                state.rule[p, k, c] = 0.0
        state.rule[p, rules, COST] = math.inf
        for c in range(LEARNED + 1):
            state.path[p, c] = 0.0
        state.path[p, CERTIFIED], state.path[p, NEEDED] = rules, needed[p]
    whole = state.whole
    if whole[ALARMS] > 0:
        whole[POPULATION] = 0
    whole[T], whole[DUE], whole[SHARE], whole[AUDITS], whole[FLYING] = 0, FIRST, 0, 0, 0
    whole[MODE], whole[PATH], whole[RULE] = FULL if many > 0 else PLAIN, -1, rules


@inlined
def ranks(paths, p, confidence, s):  # type: ignore[no-untyped-def]
    """Return the greatest rules of path p under which its first and its second exit would answer sample s."""
    first, second, row = paths.way[p, FIRST_EXIT], paths.way[p, SECOND_EXIT], paths.way[p, ROW]
    a = rank(paths.grid, row, np.float64(confidence[s, first]))
    b = rank(paths.grid, 0, np.float64(confidence[s, second])) if second > 0 else -1
    return a, b


@kernel
def buys(paths, state, p, a, b, prediction, label, s):  # type: ignore[no-untyped-def]
    """Return whether the label of sample s is bought for path p.

    It is if an exit disagrees on the sample, and the safest rule that answers it there is not lost yet: its
    losses are at most 2·δ·(rounds learned + 100).
    """
    if len(label) == 0 or state.whole[LABELS] == 0:
        return False
    most = 2 * state.total[DELTA] * (state.path[p, LEARNED] + 100)
    first, second, last = paths.way[p, FIRST_EXIT], paths.way[p, SECOND_EXIT], prediction[s, 0]
    at_first = a >= 0 and prediction[s, first] != last and state.rule[p, a, LOSSES] <= most
    return at_first or (b > a and prediction[s, second] != last and state.rule[p, b, LOSSES] <= most)


@inlined
def pay(state, bought):  # type: ignore[no-untyped-def]
    """Pay for a label, if it was bought."""
    if bought:
        state.whole[LABELS] -= 1
        state.total[SPENT] += state.total[LABEL_COST]


@kernel
def learn(paths, bets, state, p, x, end, weight, a, b, prediction, label, s, bought):  # type: ignore[no-untyped-def]
    """Let the rules below `end` of path p learn from one round.

    Parameters
    ----------
    p, x : int
        The path, and the index of the round's share.
    weight : float
        1/π; 0 if the last exit was not asked.
    a, b : int
        See `ranks`.
    prediction : int32 array, shape (n, L + 1)
        Answers; column 0: of the last exit, or the cloud.
    label : int32 array, shape (n,) or (0,)
    s : int
    bought : bool
        Whether the label was bought.
    """
    state.path[p, LEARNED] += 1
    for q in range(len(BETS)):
        state.path[p, q] += bets[x, q, NONE]
    if weight == 0.0:
        return
    first, second = paths.way[p, FIRST_EXIT], paths.way[p, SECOND_EXIT]
    more, less = (ONE, LESS) if weight == 1.0 else (HEAVY, HEAVY_LESS)
    at_first = loss_of(prediction, label, s, first, bought)
    at_second = loss_of(prediction, label, s, second, bought) if second > 0 else 0
    for k in range(min(end, max(a, b) + 1)):
        loss = at_first if k <= a else at_second
        if loss != 0:
            state.rule[p, k, LOSSES] += weight * loss
            for q in range(len(BETS)):
                state.rule[p, k, q] += bets[x, q, more if loss > 0 else less]


@kernel
def learn_without_replacement(paths, state, p, a, b, prediction, s):  # type: ignore[no-untyped-def]
    """Let path p learn from a full audit of one of n samples, each of which comes once.

    If d > δ, the mean loss of the n − A samples that have not been audited is at least c = (nδ − S)/(n − A),
    S being the losses of the A that have. The bet is on c instead of δ, with λ = κ/(1 − c); on ½ if c is
    greater, and on nothing if c ≤ 0.

    Parameters
    ----------
    delta : float
        δ. The others are those of `learn`.
    """
    state.path[p, LEARNED] += 1
    n, audited, delta = state.whole[POPULATION], state.whole[AUDITS] - 1, state.total[DELTA]
    first, second, last = paths.way[p, FIRST_EXIT], paths.way[p, SECOND_EXIT], prediction[s, 0]
    wrong, later = prediction[s, first] != last, second > 0 and prediction[s, second] != last
    known, none, one = -1.0, np.zeros(len(BETS)), np.zeros(len(BETS))
    for k in range(state.rule.shape[1] - 1):
        losses = state.rule[p, k, LOSSES]
        if losses != known:
            known, c = losses, min((n * delta - losses) / (n - audited), 0.5) if n > audited else 0.0
            for q in range(len(BETS)):
                stake = KAPPA[q] / (1 - c) if c > 0 else 0.0
                none[q], one[q] = math.log(1 + stake * c), math.log(1 + stake * (c - 1))
        loss = (wrong if k <= a else later) if k <= max(a, b) else False
        state.rule[p, k, LOSSES] += loss
        for q in range(len(BETS)):
            state.rule[p, k, q] += one[q] if loss else none[q]


@kernel
def learn_full(paths, bets, state, confidence, prediction, label, s):  # type: ignore[no-untyped-def]
    """Learn from a full audit of sample s: every path, every rule. Return whether its label was bought."""
    state.whole[AUDITS] += 1
    bought = False
    for p in range(len(state.path)):
        a, b = ranks(paths, p, confidence, s)
        bought = bought or buys(paths, state, p, a, b, prediction, label, s)
    pay(state, bought)
    for p in range(len(state.path)):
        a, b = ranks(paths, p, confidence, s)
        state.rule[p, a + 1, AT_FIRST] += 1
        state.rule[p, max(a, b) + 1, AT_ANY] += 1
        if state.whole[POPULATION] > 0:
            learn_without_replacement(paths, state, p, a, b, prediction, s)
        else:
            learn(paths, bets, state, p, 0, state.rule.shape[1], 1.0, a, b, prediction, label, s, bought)
    return bought


@kernel
def learn_conditional(  # type: ignore[no-untyped-def]
    paths, bets, state, confidence, prediction, label, s, p, rule, x, asked
):
    """Learn from a conditional round in which rule `rule` of path p was in force: that and riskier rules.

    A sample that the rule asks about is seen in any case, one that it answers with the probability of share
    x. Safer rules learn nothing: the exit that would have answered may not have been evaluated.
    """
    a, b = ranks(paths, p, confidence, s)
    weight = 1.0 if rule > max(a, b) else (2.0**x if asked else 0.0)
    bought = weight > 0.0 and buys(paths, state, p, min(a, rule), min(b, rule), prediction, label, s)
    pay(state, bought)
    learn(paths, bets, state, p, x, rule + 1, weight, a, b, prediction, label, s, bought)
    return bought


@kernel
def log_evidence(state, p, k):  # type: ignore[no-untyped-def]
    """Return ln E of rule k of path p."""
    most = -math.inf
    for q in range(len(BETS)):
        most = max(most, LOG_WEIGHT[q] + state.path[p, q] + state.rule[p, k, q])
    total = 0.0
    for q in range(len(BETS)):
        total += math.exp(LOG_WEIGHT[q] + state.path[p, q] + state.rule[p, k, q] - most)
    return most + math.log(total)


@kernel
def after(bets, state, p, n, x, rule):  # type: ignore[no-untyped-def]
    """Return the estimated cost of the rule that path p would have certified n rounds later; ∞ without any.

    With rule ≥ 0, these are conditional rounds at share x while that rule is in force; else full audits. Loss
    rates are taken to be those seen, and a mixture to be its greatest part.
    """
    k, learned = int(state.path[p, CERTIFIED]), state.path[p, LEARNED]
    share, held = 0.5**x, state.rule[p, rule, LOSSES] / learned if rule >= 0 else 0.0
    while k > 0:
        rate, most = state.rule[p, k - 1, LOSSES] / learned, -math.inf
        for q in range(len(BETS)):
            none, one, heavy = bets[x, q, NONE], bets[x, q, ONE], bets[x, q, HEAVY]
            if rule >= 0:
                step = none + (held * share * heavy + max(rate - held, 0.0) * one)
            else:
                step = none + rate * one
            known = LOG_WEIGHT[q] + state.path[p, q] + state.rule[p, k - 1, q]
            most = max(most, known + n * step)
        if most < state.path[p, NEEDED]:
            break
        k -= 1
    return state.rule[p, k, COST]


@kernel
def certify(paths, state):  # type: ignore[no-untyped-def]
    """Estimate costs, certify rules, and put the cheapest in force; return its estimated cost."""
    whole, rules, many = state.whole, state.rule.shape[1] - 1, len(state.path)
    now, audits = paths.cost[many, SAFE], whole[AUDITS]
    whole[PATH], whole[RULE] = -1, rules
    for p in range(many):
        first, answered = 0.0, 0.0
        for k in range(rules - 1, -1, -1):
            first += state.rule[p, k + 1, AT_FIRST]
            answered += state.rule[p, k + 1, AT_ANY]
            later = answered - first
            paid = first * paths.cost[p, ANSWERS] + later * paths.cost[p, ANSWERS_LATER]
            state.rule[p, k, COST] = (paid + (audits - first - later) * paths.cost[p, ASKS_LATER]) / audits
        k = int(state.path[p, CERTIFIED])
        while k > 0 and log_evidence(state, p, k - 1) >= state.path[p, NEEDED]:
            k -= 1
        state.path[p, CERTIFIED] = k
        if state.rule[p, k, COST] < now:
            now, whole[PATH], whole[RULE] = state.rule[p, k, COST], p, k
    return now


@kernel
def audit_cost(paths, state):  # type: ignore[no-untyped-def]
    """Return what it costs, per sample, to ask about all that the rule in force answers."""
    p, first, answered = state.whole[PATH], 0.0, 0.0
    for k in range(state.whole[RULE], state.rule.shape[1] - 1):
        first += state.rule[p, k + 1, AT_FIRST]
        answered += state.rule[p, k + 1, AT_ANY]
    more = paths.cost[p, ASKS] - paths.cost[p, ANSWERS]
    later = paths.cost[p, ASKS_LATER] - paths.cost[p, ANSWERS_LATER]
    return (first * more + (answered - first) * later) / state.whole[AUDITS]


@kernel
def evaluate(paths, bets, state):  # type: ignore[no-untyped-def]
    """Certify rules, put the cheapest in force, and choose the mode of the rounds until the next evaluation.

    A plan is a mode for the next n rounds. It is worth (rounds left after it)·(cost now − cost after it),
    less what its audits cost more than the rule in force, and half as much again if the horizon is unknown.
    """
    whole, many = state.whole, len(state.path)
    fallback, full, flying = paths.cost[many, SAFE], paths.cost[many, FULL_AUDIT], whole[FLYING]
    wait = max(25, whole[T] // 50)
    now = certify(paths, state)
    whole[DUE], whole[MODE], whole[SHARE] = whole[T] + wait, PLAIN, 0
    known = whole[HORIZON] >= 0
    left = whole[HORIZON] - np.int64(state.total[ROUNDS]) if known else max(10_000, whole[T])
    caution = 0.0 if known else 0.5
    budget = 0.1 * fallback * (whole[HORIZON] if known else max(10_000, whole[T]))
    none = whole[FLYING] * 0 - 1  # of the type of a rule, so that `after` is compiled once
    best, arrived = 0.0, now
    for p in range(many if flying > 0 else 0):
        arrived = min(arrived, after(bets, state, p, flying, 0, none))
    for y in range(7 if state.total[SPENT] + wait * (full - fallback) <= budget else 0):
        n = 25 * 2**y
        if n > left:
            break
        then = now
        for p in range(many):
            then = min(then, after(bets, state, p, n + flying, 0, none))
        gain = (left - n) * (arrived - then) - (1 + caution) * (n * (full - now))
        if gain > best:
            best, whole[MODE] = gain, FULL
    if whole[PATH] < 0 or whole[POPULATION] > 0:
        return  # without replacement, audits must not depend on samples that were not audited
    extra = audit_cost(paths, state)
    for x in range(len(bets)):
        price = 0.5**x * extra
        if state.total[SPENT] + wait * price > budget:
            continue
        for y in range(7):
            n = 250 * 2**y
            if n > left:
                break
            then = min(now, after(bets, state, whole[PATH], n, x, whole[RULE]))
            gain = (left - n) * (now - then) - (1 + caution) * (n * price)
            if gain > best:
                best, whole[MODE], whole[SHARE] = gain, CONDITIONAL, x
