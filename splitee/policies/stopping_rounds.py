"""The rounds of audited stopping, compiled: what is done with a sample, the account of the loss, a bound."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from splitee._internal.jit import inlined, inlined_making, kernel
from splitee.policies.drift import alarmed, forget
from splitee.policies.labels import loss_of
from splitee.policies.paths import rank
from splitee.policies.problem import Floats
from splitee.policies.stopping_fit import (
    EDGES,
    FIRST_EXIT,
    FLOOR,
    RISKY_END,
    RULE_COST,
    RULE_ROOT,
    SAFE_END,
    Audits,
    Rules,
    Stops,
    add_pair,
    fit,
    forget_audits,
    solve,
)
from splitee.system.world import act, taken_in
from splitee.system.world import begin_round as begin_time

WARM = 80  # full audits at the beginning
E_FULL, E_EXIT, SETTLE = 0.004, 0.03, 1000.0
LEAST_ASKED = 0.02  # of q
FORGET, PRIOR = 0.995, 1.0
STAKES = (0.002, 0.006, 0.012, 0.018)  # θ of the bound
T, BEGUN, ALARMS, SEEN, FULL, DUE, ENOUGH, FITTED, KIND, SLOT, LABELS, TELLS = range(12)
ACCOUNT, LOST, EXPECTED, MIX, SPENT = range(5)  # SPENT: the first of the bound's sums
RULE, SAFE, WHOLE = range(3)  # kinds of rounds: by the rule, the fallback, a full audit
EXIT, CHANCE, ASKED, PREDICTED, CELL = range(5)  # what is kept of an audit; EXIT 0: a full one


class Learner(NamedTuple):
    """State and constants of one repeat.

    Attributes
    ----------
    stops, audits, rules, watch
        See `Stops`, `Audits`, `Rules`, `begin_watch`.
    whole : ndarray of int, shape (12,)
        T: rounds; BEGUN: rounds before the last alarm; ALARMS; SEEN: pairs, and FULL: full audits, since
        then; DUE and ENOUGH: the round and the pairs from which it is fitted anew; FITTED: whether it is;
        KIND and SLOT of this round; LABELS that may still be bought; TELLS: whether a row
        is due.
    total : ndarray, shape (8,)
        ACCOUNT: A; LOST and EXPECTED: of which g is the quotient; MIX: probability of the riskier rule;
        SPENT: ΣX for each θ.
    setting : ndarray, shape (3,)
        δ, η, and the statistic that alarms.
    """

    stops: Stops
    audits: Audits
    rules: Rules
    watch: Floats
    whole: NDArray[np.int64]
    total: Floats
    setting: Floats


@kernel
def refit(learner):  # type: ignore[no-untyped-def]
    """Fit anew, and solve for the rules that spend what may be spent now."""
    whole, total = learner.whole, learner.total
    delta, t = learner.setting[0], whole[T]
    aim = delta + (delta * (t - 1) - total[ACCOUNT]) / ((t - 1) / 4 + 500)
    aim = min(max(aim, 0.2 * delta), 1.5 * delta)
    fit(learner.audits, learner.rules)
    ratio = total[LOST] / total[EXPECTED]
    total[MIX] = solve(learner.stops, learner.audits, learner.rules, aim, ratio, whole[FULL])
    whole[DUE], whole[ENOUGH] = t + max(200, (t - whole[BEGUN]) // 10), whole[SEEN] + max(1, whole[SEEN] // 5)
    whole[FITTED] = 1


@inlined_making
def begin_round(learner, coin, choice):  # type: ignore[no-untyped-def]
    """Fit anew if it is due; then draw the kind of the round, and which of the two rules it follows."""
    stops, rules, whole, total = learner.stops, learner.rules, learner.whole, learner.total
    whole[T] += 1
    t, own, many = whole[T], whole[T] - whole[BEGUN], len(stops.ask) > 1
    fresh = whole[FITTED] == 0 or t >= whole[DUE] or whole[SEEN] >= whole[ENOUGH]
    if many and whole[FULL] >= WARM and fresh:
        refit(learner)
    if many and own <= WARM:
        whole[KIND] = WHOLE
    elif whole[FITTED] == 0:
        whole[KIND] = SAFE
    else:
        whole[SLOT] = RISKY_END if choice < total[MIX] else SAFE_END
        cost = mixed(learner, RULE_COST)
        extra = stops.full[0] - cost
        p = min(0.5, E_FULL * cost / extra * (1 + SETTLE / t)) if extra > 0 else 0.5
        by_rule = RULE if rules.mean[whole[SLOT], FIRST_EXIT] > 0 else SAFE
        whole[KIND] = WHOLE if coin < p else by_rule


@inlined
def mixed(learner, column):  # type: ignore[no-untyped-def]
    """Return a mean over the two rules."""
    mix = learner.total[MIX]
    return (1 - mix) * learner.rules.mean[SAFE_END, column] + mix * learner.rules.mean[RISKY_END, column]


@inlined
def asked_factor(stake, expected, q, loss):  # type: ignore[no-untyped-def]
    """Return X of a round of the bound in which the last exit was asked, with a loss of −1, 0 or 1."""
    return -math.log((1 - (1 - q) * math.exp(stake * loss - stake * expected)) / q)


@inlined
def answer(learner, i, cell, coin, kept):  # type: ignore[no-untyped-def]
    """Enter an answer at exit i into the account and the bound; return whether the last exit is asked too.

    `kept`, shape (5,), is filled in with what `learn_exit` needs.
    """
    total, chance = learner.total, learner.rules.chance[i, cell]
    cost, scale = mixed(learner, RULE_COST), learner.stops.ask[i] * mixed(learner, RULE_ROOT)
    settle = 1 + SETTLE / learner.whole[T]
    q = min(0.5, E_EXIT * cost * math.sqrt(chance + FLOOR) / scale * settle) if scale > 0 else 0.5
    q = max(q, LEAST_ASKED)
    expected = min(total[LOST] / total[EXPECTED] * chance, 1.0)
    asked = coin < q
    total[ACCOUNT] += expected * (1 - q)
    for b in range(len(STAKES)):
        stake = STAKES[b]  # as if there were a loss, until it is known
        total[SPENT + b] += asked_factor(stake, expected, q, 1.0) if asked else stake * expected
    kept[EXIT], kept[CHANCE], kept[ASKED], kept[PREDICTED], kept[CELL] = i, chance, q, expected, cell
    return asked


@kernel
def learn_exit(learner, t, kept, loss):  # type: ignore[no-untyped-def]
    """Learn from an audit of an answer in round t, with a loss of −1, 0 or 1."""
    total, q, expected = learner.total, kept[ASKED], kept[PREDICTED]
    total[ACCOUNT] += (loss - expected) * (1 - q) / q
    total[LOST], total[EXPECTED] = FORGET * total[LOST], FORGET * total[EXPECTED]
    total[LOST], total[EXPECTED] = total[LOST] + max(loss, 0), total[EXPECTED] + kept[CHANCE]
    total[LOST] += (1 - FORGET) * PRIOR
    total[EXPECTED] += (1 - FORGET) * PRIOR
    if loss < 1:
        for b in range(len(STAKES)):
            assumed = asked_factor(STAKES[b], expected, q, 1.0)
            total[SPENT + b] += asked_factor(STAKES[b], expected, q, float(loss)) - assumed
    if t > learner.whole[BEGUN]:
        add_pair(learner.audits, int(kept[EXIT]), int(kept[CELL]), max(loss, 0))
        learner.whole[SEEN] += 1


@inlined
def buys(learner, prediction, label, s, i):  # type: ignore[no-untyped-def]
    """Return whether the label of sample s is bought: one is left, and exit i disagrees with the last."""
    return len(label) > 0 and learner.whole[LABELS] > 0 and prediction[s, i] != prediction[s, 0]


@kernel
def learn_full(learner, t, confidence, prediction, label, s):  # type: ignore[no-untyped-def]
    """Learn from a full audit of sample s in round t; return whether its label was bought."""
    if t <= learner.whole[BEGUN]:
        return False
    audits, bought = learner.audits, False
    for i in range(1, len(audits.seen)):
        bought = bought or buys(learner, prediction, label, s, i)
    learner.whole[LABELS] -= bought
    at = audits.seen[0] % len(audits.trajectory)
    for i in range(1, len(audits.seen)):
        cell = rank(EDGES, 0, np.float64(confidence[s, i])) + 1
        audits.trajectory[at, i] = cell
        add_pair(audits, i, cell, max(loss_of(prediction, label, s, i, bought), 0))
        learner.whole[SEEN] += 1
    audits.seen[0] += 1
    learner.whole[FULL] += 1
    return bought


@inlined
def close_round(learner, watched, cell, coin):  # type: ignore[no-untyped-def]
    """Watch for a change at the exit that was evaluated first (0: none); an alarm forgets all audits."""
    whole = learner.whole
    if watched == 0 or not learner.setting[2] < math.inf:
        return
    if alarmed(learner.watch, learner.setting[2], watched, cell - 1, coin):
        whole[BEGUN], whole[SEEN], whole[FULL], whole[FITTED] = whole[T], 0, 0, 0
        whole[ALARMS] += 1
        forget_audits(learner.audits)
        forget(learner.watch)


@kernel
def play(  # type: ignore[no-untyped-def]
    learner, queue, layers, offloads, world, lane, confidence, prediction, order, r, coins, action, start,
    label, kinds, told,
):  # fmt: skip
    """Play rounds start, start + 1, … of one repeat, as many as there are coins.

    Parameters
    ----------
    learner : Learner
    queue : float64 array, shape (capacity, 7)
        Audits whose feedback has not been taken in; see `take_arrived`.
    layers, offloads : int64 and bool arrays, shape (actions,)
    world : World
    lane : Lane
    confidence : float32 array, shape (n, W)
    prediction : int32 array, shape (n, L + 1)
    order : int32 array, shape (m,)
    r : int
        The repeat.
    coins : float64 array, shape (rounds, 4)
    action : uint8 or uint16 array, shape (m,)
        Filled in.
    start : int
        The first round, from 0.
    label : int32 array, shape (n,) or (0,)
        Read when a label is bought.
    kinds : int
        How much greater the number of an action is if the sample's label was bought.
    told : float64 array, shape (rows, 6)
        Filled in, a row per fit and one for the last round: see `as_columns`. Row 0, column 0: rows so far.
    """
    stops, rules, whole = learner.stops, learner.rules, learner.whole
    kept, known, reach = np.zeros(5), np.int64(lane.taken[start - 1] if start > 0 else 0), len(stops.ask) - 1
    for k in range(len(coins)):
        t = start + k
        now = begin_time(world, lane, t, r, order[t])
        if queue[0, 0] > 0:
            take_arrived(learner, queue, lane, confidence, prediction, label, now, action, kinds)
        while taken_in(lane, t, now, known):
            known += 1
        if whole[TELLS] == 1:
            tell(learner, told)
        due = whole[DUE]
        begin_round(learner, coins[k, 0], coins[k, 2])
        whole[TELLS] = whole[DUE] != due
        s, slot, watched, first = np.uintp(order[t]), whole[SLOT], 0, 0
        teaches, length = whole[KIND] == WHOLE, world.kind[order[t]]
        kept[EXIT] = 0.0
        i, evaluated, ms, mj = 0, 0, 0.0, 0.0  # of the exits before i
        if whole[KIND] == WHOLE:
            watched, taken = 1, int(stops.full[1])
            first = rank(EDGES, 0, np.float64(confidence[s, 1])) + 1
            i, evaluated = reach, reach
            if world.timed:
                for j in range(1, reach):
                    ms += exit_time(world.device_ms, length, j)
                    mj += exit_time(world.device_mj, length, j)
        elif whole[KIND] == SAFE:
            taken = stops.asks[0, 0]
        else:
            i, evaluated = int(rules.mean[slot, FIRST_EXIT]), 1
            cell = rank(EDGES, 0, np.float64(confidence[s, i])) + 1
            watched, first = i, cell
            while not rules.answers[slot, i, cell]:
                j = rules.target[slot, i, rules.place[i, cell]]
                if j == 0:
                    break
                if world.timed:
                    ms += exit_time(world.device_ms, length, i)
                    mj += exit_time(world.device_mj, length, i)
                i, evaluated = j, evaluated + 1
                cell = rank(EDGES, 0, np.float64(confidence[s, i])) + 1
            taken = stops.asks[i, evaluated]
            if rules.answers[slot, i, cell]:
                teaches = answer(learner, i, cell, coins[k, 1], kept)
                taken = stops.asks[i, evaluated] if teaches else stops.answers[i, evaluated]
        action[t] = taken
        at = layers[taken]
        if world.timed:
            if at > i and i > 0:  # it runs on to the last exit
                ms += exit_time(world.device_ms, length, i)
                mj += exit_time(world.device_mj, length, i)
                evaluated += 1
            ms = stop_time(world.device_ms, length, at, ms, evaluated)
            mj = stop_time(world.device_mj, length, at, mj, evaluated)
        act(world, lane, t, s, now, known, at, ms, mj, offloads[taken])
        close_round(learner, watched, first, coins[k, 3])
        if teaches:
            enqueue(queue, whole[T], lane.due[t], s, kept)


@inlined
def exit_time(device, length, j):  # type: ignore[no-untyped-def]
    """Return what exit j takes, where a deeper one follows; `device` has shape (2, k, L + 1)."""
    one, every = device[0, length], device[1, length]
    return (every[j + 1] - one[j + 1]) - (every[j] - one[j])


@inlined
def stop_time(device, length, layer, before, evaluated):  # type: ignore[no-untyped-def]
    """Return what stopping at a layer takes, `before` being what the exits before it took."""
    if layer == 0:
        return 0.0
    return device[1, length, layer] if evaluated == layer else device[0, length, layer] + before


@inlined
def enqueue(queue, t, due, s, kept):  # type: ignore[no-untyped-def]
    """Add an audit of round t that is due."""
    at = int(queue[0, 0]) + 1
    queue[0, 0] = at
    queue[0, 1] = min(queue[0, 1], due) if at > 1 else due
    queue[at, 0], queue[at, 1], queue[at, 2] = t, due, s
    for c in range(5):
        queue[at, 3 + c] = kept[c]


@kernel
def take_arrived(learner, queue, lane, confidence, prediction, label, now, action, kinds):  # type: ignore[no-untyped-def]
    """Learn from the audits that have arrived by `now`, in the order of arrival.

    Row 0 of the queue: how many follow, and when the first is due. A row: round, when it is due, sample, and
    what `answer` keeps. If an answer is lost, a full audit teaches nothing, and another counts as a loss.
    """
    while queue[0, 0] > 0 and queue[0, 1] <= now:
        many, at = int(queue[0, 0]), 1
        for row in range(2, many + 1):
            if queue[row, 1] < queue[at, 1]:
                at = row
        t, s, kept = int(queue[at, 0]), np.uintp(queue[at, 2]), queue[at, 3:].copy()
        for row in range(at, many):
            for c in range(queue.shape[1]):
                queue[row, c] = queue[row + 1, c]
        queue[0, 0], queue[0, 1] = many - 1, math.inf
        for row in range(1, many):
            queue[0, 1] = min(queue[0, 1], queue[row, 1])
        if lane.lost[t - 1] == 0:
            if take(learner, t, kept, confidence, prediction, label, s):
                action[t - 1] += kinds
        elif kept[EXIT] > 0:
            learn_exit(learner, t, kept, 1)


@kernel
def take(learner, t, kept, confidence, prediction, label, s):  # type: ignore[no-untyped-def]
    """Learn from an audit of round t that has arrived; return whether the sample's label was bought."""
    i = int(kept[EXIT])
    if i == 0:
        return learn_full(learner, t, confidence, prediction, label, s)
    bought = buys(learner, prediction, label, s, i)
    learner.whole[LABELS] -= bought
    learn_exit(learner, t, kept, loss_of(prediction, label, s, i, bought))
    return bought


@kernel
def bound(learner):  # type: ignore[no-untyped-def]
    """Return what the losses so far do not exceed, with probability 1 − η at all times at once."""
    level, least = math.log(len(STAKES) / learner.setting[1]), math.inf
    for b in range(len(STAKES)):
        least = min(least, (learner.total[SPENT + b] + level) / STAKES[b])
    return least


@kernel
def tell(learner, told):  # type: ignore[no-untyped-def]
    """Write a row: round, alarms, first exit, full audits, account and bound per sample."""
    count = int(told[0, 0]) + 1
    row, whole = told[count], learner.whole
    told[0, 0] = count
    row[0], row[1], row[3] = whole[T], whole[ALARMS], whole[FULL]
    row[2] = learner.rules.mean[SAFE_END, FIRST_EXIT] if whole[FITTED] == 1 else 0
    row[4], row[5] = learner.total[ACCOUNT] / whole[T], bound(learner) / whole[T]
