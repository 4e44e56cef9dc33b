"""The rounds of a certified split, compiled: what is done, when it teaches, and what changed when."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from splitee._internal.jit import inlined, kernel
from splitee.policies.certificate import (
    ALARMS,
    AUDITS,
    CONDITIONAL,
    DUE,
    FIRST,
    FLYING,
    FULL,
    MODE,
    NEEDED,
    PATH,
    PLAIN,
    POPULATION,
    ROUNDS,
    RULE,
    SHARE,
    SPENT,
    T,
    evaluate,
    learn_conditional,
    learn_full,
    log_evidence,
    ranks,
    renew,
)
from splitee.policies.drift import alarmed, forget
from splitee.policies.paths import (
    ACTION,
    ANSWERS,
    ANSWERS_LATER,
    ASKS,
    ASKS_LATER,
    FIRST_EXIT,
    FULL_AUDIT,
    ROW,
    SAFE,
    Paths,
    rank,
)
from splitee.policies.problem import Floats
from splitee.system.world import act, taken_in
from splitee.system.world import begin_round as begin_time

Whole = NDArray[np.int64]
Columns = dict[str, NDArray[np.generic]]


def begin_queue(capacity: int) -> Whole:
    """Return an empty queue of rounds that will teach, in order.

    Row 0: the first entry, and how many there are, of a ring in the rows after it. An entry: round, sample,
    mode, path, rule, index of the share, whether the last exit was asked.
    """
    return np.zeros((capacity + 1, 7), dtype=np.int64)


def begin_journal(rounds: int, last: Floats | None = None) -> Floats:
    """Return a journal with room for so many rounds, which begins with the last row of another.

    Row 0: how many rows follow. A row: round from which a rule was in force, alarms so far, path (−1: the
    fallback), rule, full audits since the last alarm, and ln E of the rule less what certifies it (NaN for
    the fallback).
    """
    journal = np.zeros((rounds // 7 + rounds // 25 + 5, 6))  # an alarm needs 7 rounds, an evaluation 25
    if last is not None:
        journal[0, 0], journal[1] = 1, last[int(last[0, 0])]
    return journal


def as_columns(journal: Floats, paths: Paths, repeat: int, first: int) -> Columns:
    """Return the rows of a journal from `first` on as columns; see `splitee.Result.certificate`."""
    row = journal[1 + first : 1 + int(journal[0, 0])]
    t, alarms, path, rule, audits = row[:, :5].T.astype(np.int64)
    exits, shift = paths.way[path, :2] * (path >= 0)[:, None], paths.way[path, ROW]
    at = np.minimum(rule, paths.grid.shape[1] - 1)
    threshold = np.stack([paths.grid[shift, at], paths.grid[0, at]], axis=1)
    threshold[exits == 0] = np.nan
    return {
        "repeat": np.full(len(t), repeat, dtype=np.int32),
        "t": t,
        "alarms": alarms,
        "layer": exits[:, 0].astype(np.int16),
        "threshold": threshold[:, 0],
        "second_layer": exits[:, 1].astype(np.int16),
        "second_threshold": threshold[:, 1],
        "audits": audits,
        "margin": row[:, 5],
    }


def joined(journals: Sequence[Columns]) -> Columns:
    """Return one table of several."""
    return {name: np.concatenate([journal[name] for journal in journals]) for name in journals[0]}


@kernel
def begin_round(paths, bets, state, journal):  # type: ignore[no-untyped-def]
    """Evaluate if it is due, and write down a change of the rule in force."""
    whole, count = state.whole, int(journal[0, 0])
    if whole[T] >= FIRST and whole[AUDITS] < FIRST:
        whole[MODE] = PLAIN  # the first audits are on their way
    elif whole[T] >= whole[DUE] and whole[AUDITS] >= FIRST:
        evaluate(paths, bets, state)
    p, rule, alarms = whole[PATH], whole[RULE], whole[ALARMS]
    if count > 0 and journal[count, 1] == alarms and journal[count, 2] == p and journal[count, 3] == rule:
        return
    count += 1
    journal[0, 0], journal[count, 0] = count, state.total[ROUNDS] + 1
    journal[count, 1], journal[count, 2], journal[count, 3] = alarms, p, rule
    journal[count, 4], journal[count, 5] = whole[AUDITS], math.nan
    if p >= 0:
        journal[count, 5] = log_evidence(state, p, rule) - state.path[p, NEEDED]


@kernel
def take_back(paths, bets, state, queue, lane, confidence, prediction, label, now, action, kinds):  # type: ignore[no-untyped-def]
    """Learn from the rounds at the head of the queue whose feedback has arrived by `now`.

    The action of a round whose label is bought becomes the one with that label. If an answer is lost, a full
    audit teaches nothing, and another round counts as a disagreement.
    """
    while queue[0, 1] > 0:
        at = 1 + queue[0, 0]
        t, s = queue[at, 0] - 1, queue[at, 1]
        if lane.due[t] > now:
            return
        lost, bought = lane.lost[t] > 0, False
        if queue[at, 2] == FULL:
            state.whole[FLYING] -= 1
            if not lost:
                bought = learn_full(paths, bets, state, confidence, prediction, label, s)
        else:
            p, rule, x, asked = queue[at, 3], queue[at, 4], queue[at, 5], queue[at, 6] == 1
            if lost:
                seen, answer = confidence[s : s + 1].copy(), prediction[s : s + 1].copy()
                answer[0, 0] = -1
                learn_conditional(paths, bets, state, seen, answer, label, 0, p, rule, x, asked)
            else:
                bought = learn_conditional(
                    paths, bets, state, confidence, prediction, label, s, p, rule, x, asked
                )
        if bought:
            action[queue[at, 0] - 1] += kinds
        queue[0, 0] = at if at < len(queue) - 1 else 0
        queue[0, 1] -= 1


@inlined
def close_round(state, watch, needed, alarm, watched, place, coin):  # type: ignore[no-untyped-def]
    """Count the round, and watch for a change; an alarm forgets everything. Return whether there was one.

    Parameters
    ----------
    needed : ndarray, shape (alarms, P)
        `State.needed` after so many alarms.
    alarm : float
        The statistic that alarms; ∞: nothing is watched.
    watched, place : int
        The exit (0: none was evaluated whatever the sample) and the rank of its confidence.
    coin : float
    """
    whole = state.whole
    state.total[ROUNDS] += 1
    whole[T] += 1
    if not (alarm < math.inf and watched > 0 and alarmed(watch, alarm, watched, place, coin)):
        return False
    whole[ALARMS] += 1
    renew(state, needed[min(whole[ALARMS], len(needed) - 1)])
    forget(watch)
    return True


@inlined
def enqueue(state, queue, s, asked):  # type: ignore[no-untyped-def]
    """Queue a round that will teach."""
    whole, at = state.whole, 1 + (queue[0, 0] + queue[0, 1]) % (len(queue) - 1)
    queue[at, 0], queue[at, 1], queue[at, 2] = np.int64(state.total[ROUNDS]) + 1, s, whole[MODE]
    queue[at, 3], queue[at, 4], queue[at, 5] = whole[PATH], whole[RULE], whole[SHARE]
    queue[at, 6] = asked
    queue[0, 1] += 1
    whole[FLYING] += whole[MODE] == FULL


@kernel
def play(  # type: ignore[no-untyped-def]
    paths, bets, state, queue, watch, journal, needed, alarm, layers, offloads, ms, mj, world, lane,
    confidence, prediction, order, r, coins, action, start, label, kinds,
):  # fmt: skip
    """Play rounds start, start + 1, … of one repeat, as many as there are coins.

    Parameters
    ----------
    paths, bets, state, queue, watch, journal, needed, alarm
        See `Paths`, `bets_of`, `State`, `begin_queue`, `begin_watch`, `begin_journal`, `close_round`.
    layers, offloads : int64 and bool arrays, shape (actions,)
    ms, mj : float64 arrays, shape (P + 1, 4, k)
        What the device spends, by path (last: before any), action of `Paths` and row of the sample's length.
    world : World
    lane : Lane
    confidence : float32 array, shape (n, W)
    prediction : int32 array, shape (n, L + 1)
    order : int32 array, shape (m,)
    r : int
        The repeat.
    coins : float64 array, shape (rounds, 2)
    action : uint8 or uint16 array, shape (m,)
        Filled in.
    start : int
        The first round, from 0.
    label : int32 array, shape (n,) or (0,)
        Read when a label is bought.
    kinds : int
        How much greater the number of an action is if the sample's label was bought.
    """
    whole, known = state.whole, np.int64(lane.taken[start - 1] if start > 0 else 0)
    for k in range(len(coins)):
        t = start + k
        now = begin_time(world, lane, t, r, order[t])
        if queue[0, 1] > 0:
            take_back(paths, bets, state, queue, lane, confidence, prediction, label, now, action, kinds)
        while taken_in(lane, t, now, known):
            known += 1
        if whole[T] == 0 or whole[T] >= whole[DUE]:
            begin_round(paths, bets, state, journal)
        s, p, rule, watched, place = np.uintp(order[t]), whole[PATH], whole[RULE], 0, -1
        asked, row = False, len(paths.way) - 1
        if whole[MODE] == FULL:
            asked, watched, column = True, paths.way[p, FIRST_EXIT], FULL_AUDIT
        elif p < 0:
            column = SAFE
        else:
            row, watched = p, paths.way[p, FIRST_EXIT]
            asked = whole[MODE] == CONDITIONAL and coins[k, 0] < 0.5 ** whole[SHARE]
            a, b = ranks(paths, p, confidence, s)
            if rule <= a:
                column = ASKS if asked else ANSWERS
            else:
                column = ASKS_LATER if asked or rule > b else ANSWERS_LATER
        cost, taken, length = paths.cost[row, column], paths.way[row, ACTION + column], world.kind[s]
        action[t] = taken
        spent_ms, spent_mj = ms[row, column, length], mj[row, column, length]
        act(world, lane, t, s, now, known, layers[taken], spent_ms, spent_mj, offloads[taken])
        if whole[MODE] == FULL or whole[POPULATION] == 0:
            state.total[SPENT] += cost - paths.cost[-1, SAFE]
        if watched > 0:
            place = rank(paths.grid, 0, np.float64(confidence[s, watched]))
        if whole[MODE] != PLAIN:
            enqueue(state, queue, s, asked)
        if close_round(state, watch, needed, alarm, watched, place, coins[k, 1]):
            queue[0, 1] = 0
