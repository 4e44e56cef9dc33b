"""Learners over many repeats at once, each a lane: they are played, and what they do is counted, compiled.

A repeat is a chain of rounds, each waiting for the one before. Many repeats are independent: their indices
are computed together, and while one waits for memory, another goes on. What is chosen and learnt is written
in `splitee.policies.bandit`, what is counted in `splitee.tally`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from splitee.compiled import compiled, inlined
from splitee.outcomes import ROUND, Outcomes
from splitee.policies.bandit import (
    KNOWN,
    NONE,
    PUBLISHED,
    THOMPSON,
    UCB,
    LayerBandit,
    choose,
    inverse_roots,
    learn,
    logarithms,
    place,
    span,
)
from splitee.policies.base import Layers, Orders, Stream
from splitee.policies.rewards import PRICES
from splitee.policies.table import sends
from splitee.processor import AHEAD, EIGHT, IN_CACHE, aligned, prefetch
from splitee.tally import FULL, Tally, add_up, next_stock, note, take_stock

PLAYS = 2**18  # of all lanes together, played in one go
_HALF = np.uint64(2**32 - 1)  # vectors multiply numbers of 32 bits much faster
SOME = 64  # rounds whose samples are moved together


def play(
    policy: LayerBandit,
    streams: Iterator[Stream],
    orders: Orders,
    outcomes: Outcomes,
    tally: Tally,
    log: bool,
) -> Layers | None:
    """Play a learner in several repeats, and count what it does.

    Parameters
    ----------
    policy : LayerBandit
    streams : iterator of Stream
        One a repeat; they differ in their order and their rng only.
    orders : ndarray, shape (repeats, m)
        Their orders.
    outcomes : Outcomes
        At the learner's α; counted in.
    tally : Tally
        Filled in.
    log : bool
        Whether to return where the device stopped, shape (repeats, m).
    """
    stream, (repeats, rounds) = next(streams), orders.shape
    mu, extra = float(stream.mu), stream.costs.by_sample(len(stream.far))
    prices = policy.prices(stream.layers, stream.arms, stream.costs, mu)
    weights = policy.weights(logarithms(rounds))
    lanes = -(-repeats // EIGHT) * EIGHT
    state = aligned(KNOWN * (stream.arms + 1) * lanes)
    rngs = [stream.rng, *(each.rng for each in streams)] if policy.rule == THOMPSON else []
    reach, roots = span(mu, prices, extra), inverse_roots(rounds)
    splits = np.empty(orders.shape, dtype=np.int16) if log else None
    part = min(-(-PLAYS // lanes), FULL)
    for start in range(0, rounds, part):
        rows = slice(start, min(start + part, rounds))
        given = (
            policy.first,
            stream.other_cloud,
            orders,
            start,
            rows.stop,
            outcomes.table[0],
            mu,
            prices,
            extra if extra.size else None,
            weights[rows],
            policy.noise(rngs, rows.stop - start, stream.arms, lanes),
            reach,
            roots,
            state,
            tally.reals,
            tally.page(0),
            splits,
        )
        if policy.rule != UCB:
            _by_variance(policy.rule, *given)
        elif policy.mode != NONE:
            _with_side_information(policy.mode, *given)
        else:
            _alone(*given)
    return splits


@inlined
def _rounds(  # type: ignore[no-untyped-def]
    rule, mode, first, other_cloud, orders, start, stop, table, mu, prices, extra, weights, noise, span,
    roots, state, reals, page, splits,
):  # fmt: skip
    """Play rounds start..stop − 1 (0-based) of several repeats side by side.

    `orders` and `splits` (filled in, or None) have shape (repeats, m). Of these rounds are `weights`, shape
    (rounds,), β·sqrt(ln t) for UCB, else ln t, and `noise`, shape (rounds, arms, lanes), for THOMPSON. The
    `state` (see `place`) has so many lanes as fill whole vectors: some may idle.
    """
    (rows, samples), repeats, arms = table.shape, orders.shape[0], prices.shape[0] // PRICES
    last, lanes = np.uintp(rows - 1), state.shape[0] // (KNOWN * arms)
    words = table.ravel()  # the same memory: what is counted here is counted there
    leader, greatest = np.zeros(lanes, dtype=np.int64), np.empty(lanes)
    met, known = np.empty(lanes, dtype=np.uintp), np.empty(lanes, dtype=np.uintp)
    coming, due = np.zeros((SOME + AHEAD, lanes), dtype=np.int32), next_stock(start, page)
    for begin in range(start, stop, SOME):
        end = min(begin + SOME, stop)
        for position in range(np.uintp(begin), np.uintp(min(end + AHEAD, stop))):
            for repeat in range(np.uintp(repeats)):  # what a round shows in all repeats lies together then
                coming[position - np.uintp(begin), repeat] = orders[repeat, position]
        for position in range(begin, end):
            t, row = position + 1, position - start
            now, later = position - begin, min(position + AHEAD, stop - 1) - begin
            choose(rule, t, first, arms, state, weights[row], noise, row, span, leader, greatest)
            for lane in range(lanes):  # whole vectors: where its word is, and what it knows of the arm
                row_of = (np.uint64(leader[lane]) & _HALF) * (np.uint64(samples) & _HALF)
                met[lane] = row_of + np.uint64(coming[now, lane])
                known[lane] = place(leader[lane], lane, lanes)
            if splits is not None:
                for repeat in range(np.uintp(repeats)):
                    splits[repeat, position] = leader[repeat]
            if samples > IN_CACHE:  # whatever leads now is likely to lead a few rounds later
                for repeat in range(np.uintp(repeats)):
                    layer, follows = np.uintp(leader[repeat]), np.uintp(coming[later, repeat])
                    for arm in range(np.uintp(1) if mode != NONE else layer, layer + np.uintp(1)):
                        prefetch(table, arm * np.uintp(samples) + follows)
            for lane in range(np.uintp(repeats)):
                layer, sample, at = np.uintp(leader[lane]), np.uintp(coming[now, lane]), known[lane]
                word = words[met[lane]]
                words[met[lane]] = word + ROUND
                note(word, at, sample, lane, extra, reals, state)
                knows_far = sends(word) or mode == PUBLISHED or (layer == last and not other_cloud)
                learn(
                    rule, mode, layer, at, sample, lane, word, knows_far, table, mu, prices, extra, roots,
                    state, lanes,
                )  # fmt: skip
            if t == due:
                due = take_stock(t, page, state, lanes, 0, repeats)
    add_up(page, state, lanes)


# compiled each by itself, so that what they differ in is not asked again and again


@compiled
def _alone(*given):  # type: ignore[no-untyped-def]
    _rounds(UCB, NONE, *given)


@compiled
def _with_side_information(mode, *given):  # type: ignore[no-untyped-def]
    _rounds(UCB, mode, *given)


@compiled
def _by_variance(rule, *given):  # type: ignore[no-untyped-def]
    _rounds(rule, NONE, *given)
