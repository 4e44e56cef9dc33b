"""Learners over many repeats at once, each a lane: they are played, and what they do is counted, compiled.

A repeat is a chain of rounds, each waiting for the one before. Many repeats are independent: the indices of
eight are computed together, in vectors; and while eight wait for what they have to read, others choose and
learn (see `_rounds`). What is chosen and learnt is written in `splitee.policies.bandit`, what is counted in
`splitee.results.tally`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from splitee._internal.jit import compiled, inlined
from splitee._internal.processor import AHEAD, EIGHT, IN_CACHE, LANES, aligned, prefetch, scale
from splitee.costs import Floats
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
from splitee.results.outcomes import ROUND, Outcomes
from splitee.results.tally import FULL, Tally, add_up, next_stock, note, take_stock

SOME = 64  # rounds whose samples are moved together
_EIGHT = np.uintp(EIGHT)
_WORD, _PLACE = np.uintp(LANES), np.uintp(2 * LANES)  # of what is told beside a lane's arm; see `_rounds`


@dataclass(frozen=True)
class Terms:
    """What all repeats of a learner have in common.

    Attributes
    ----------
    policy : LayerBandit
    arms : int
        m, the layers that the device holds.
    other_cloud : bool
        Whether the cloud has a model of its own.
    mu : float
    prices : ndarray
        As of `splitee.policies.rewards.prices_of`.
    extra : ndarray, shape (n,), or None
        What each sample adds to the price of sending.
    span : float
        How far apart two rewards of one arm can lie.
    """

    policy: LayerBandit
    arms: int
    other_cloud: bool
    mu: float
    prices: Floats
    extra: Floats | None
    span: float

    @classmethod
    def of(cls, policy: LayerBandit, stream: Stream) -> Terms:
        """Take from a stream, of any repeat or none, what is the same in all."""
        mu, by_sample = float(stream.mu), stream.costs.by_sample(len(stream.far))
        prices = policy.prices(stream.layers, stream.arms, stream.costs, mu)
        extra = by_sample if by_sample.size else None
        return cls(policy, stream.arms, stream.other_cloud, mu, prices, extra, span(mu, prices, extra))


def play(
    terms: Terms,
    rngs: Iterable[np.random.Generator],
    orders: Orders,
    outcomes: Outcomes,
    tally: Tally,
    log: bool,
) -> Layers | None:
    """Play a learner in several repeats, `LANES` at most, and count what it does.

    Parameters
    ----------
    terms : Terms
    rngs : iterable of Generator
        One a repeat, asked for where the learner draws.
    orders : ndarray, shape (repeats, m)
        Their orders.
    outcomes : Outcomes
        At the learner's α; counted in.
    tally : Tally
        Filled in.
    log : bool
        Whether to return where the device stopped, shape (repeats, m).
    """
    policy, (repeats, rounds) = terms.policy, orders.shape
    lanes = -(-repeats // EIGHT) * EIGHT
    assert lanes <= LANES, f"{repeats} repeats side by side"
    state = aligned(KNOWN * (terms.arms + 1) * lanes)
    drawing = list(rngs) if policy.rule == THOMPSON else []
    logs, roots = logarithms(rounds), inverse_roots(rounds)
    splits = np.empty(orders.shape if log else (0, 0), dtype=np.int16)
    for start in range(0, rounds, FULL):
        rows = slice(start, min(start + FULL, rounds))
        given = (
            policy.first,
            terms.other_cloud,
            orders,
            start,
            rows.stop,
            outcomes.table[0],
            terms.mu,
            terms.prices,
            terms.extra,
            policy.weights(logs[rows]),
            policy.noise(drawing, rows.stop - start, terms.arms, lanes),
            terms.span,
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
    return splits if log else None


@inlined
def _rounds(  # type: ignore[no-untyped-def]
    rule, mode, first, other_cloud, orders, start, stop, table, mu, prices, extra, weights, noise, span,
    roots, state, reals, page, splits,
):  # fmt: skip
    """Play rounds start..stop − 1 (0-based) of several repeats side by side.

    `orders` and `splits` (filled in, or empty) have shape (repeats, m). Of these rounds are `weights`, shape
    (rounds,), β·sqrt(ln t) for UCB, else ln t, and `noise`, shape (rounds, arms, lanes), for THOMPSON. The
    `state` (see `place`) has so many lanes as fill up to three vectors: some may idle.

    Eight lanes neither learn right after they have chosen nor choose right after they have learnt: others'
    turns lie between, in which what was asked for comes, and what was written gets to where it is read. The
    turns are written out, for in a loop all would share their instructions, and a processor remembers by the
    instruction which reads had to wait for a write: every choice would then wait for the last learning.
    """
    repeats, arms, samples = orders.shape[0], prices.shape[0] // PRICES, table.shape[1]
    lanes = state.shape[0] // (KNOWN * arms)
    one, two, last = np.uintp(0), _EIGHT, np.uintp(lanes - EIGHT)
    words = table.ravel()  # the same memory: what is counted here is counted there
    # each lane's arm; LANES further on, where its sample's word is; and then, what it knows of the arm
    told, greatest = np.zeros(3 * LANES, dtype=np.uintp), np.empty(lanes)
    # a lane's `place` for each arm: that of arm 0, and so much further on for each
    places = np.array([place(0, lane, lanes) for lane in range(lanes)], dtype=np.int32)
    further = place(1, 0, lanes)
    coming, due = np.zeros((SOME + AHEAD, lanes), dtype=np.int32), next_stock(start, page)

    def ask(vector: np.uintp, t: int, row: int, now: int, later: int) -> None:
        """Have the eight lanes from `vector` on choose, and ask for what they will read."""
        choose(rule, t, first, arms, state, weights[row], noise, row, span, vector, lanes, told, greatest)
        scale(told, vector, samples, coming, np.uintp(now) * np.uintp(lanes) + vector, vector + _WORD)
        scale(told, vector, further, places, vector, vector + _PLACE)
        for lane in range(vector, vector + _EIGHT):
            prefetch(table, told[lane + _WORD])
        if samples > IN_CACHE:  # whatever leads now is likely to lead a few rounds later
            for lane in range(vector, min(vector + _EIGHT, np.uintp(repeats))):
                follows = np.uintp(coming[later, lane])
                for arm in range(np.uintp(1) if mode != NONE else told[lane], told[lane] + np.uintp(1)):
                    prefetch(table, arm * np.uintp(samples) + follows)

    def hear(vector: np.uintp, now: int) -> None:
        """Have them count what came of their choices, and learn from it."""
        for lane in range(vector, min(vector + _EIGHT, np.uintp(repeats))):
            layer, sample, at = told[lane], np.uintp(coming[now, lane]), told[lane + _PLACE]
            word = words[told[lane + _WORD]]
            words[told[lane + _WORD]] = word + ROUND
            note(word, at, sample, lane, extra, reals, state)
            is_last = layer == np.uintp(table.shape[0] - 1)
            knows_far = sends(word) or mode == PUBLISHED or (is_last and not other_cloud)
            learn(
                rule, mode, layer, at, sample, lane, word, knows_far, table, mu, prices, extra, roots, state,
                lanes,
            )  # fmt: skip

    logs, begin = splits.shape[0] > 0, start
    while begin < stop:
        end = min(begin + SOME, stop, due)
        for position in range(np.uintp(begin), np.uintp(min(end + AHEAD, stop))):
            for repeat in range(np.uintp(repeats)):  # what a round shows in all repeats lies together then
                coming[position - np.uintp(begin), repeat] = orders[repeat, position]
        for position in range(begin, end):
            t, row, now = position + 1, position - start, position - begin
            later = min(position + AHEAD, stop - 1) - begin
            ask(one, t, row, now, later)
            if lanes > EIGHT:
                if now > 0:
                    hear(last, now - 1)
                ask(two, t, row, now, later)
            hear(one, now)
            if lanes > 2 * EIGHT:
                ask(last, t, row, now, later)
                hear(two, now)
            if logs:
                for lane in range(np.uintp(repeats)):
                    splits[lane, position] = told[lane]
        if lanes > EIGHT:
            hear(last, end - begin - 1)
        if end == due:
            due = take_stock(end, page, state, lanes, 0, repeats)
        begin = end
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
