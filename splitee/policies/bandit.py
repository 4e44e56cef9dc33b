"""The bandit over layers that SplitEE and other learners are: compiled once, for replay and live device.

After every arm was played once, round t plays the arm of the greatest index, the lowest on ties. What is
chosen and what is learnt are written once, below: the replay, which plays many repeats side by side
(`splitee.replay.lanes`), and a live device, which is one lane, run the same functions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np

from splitee._internal.errors import InputError
from splitee._internal.jit import inlined
from splitee._internal.processor import EIGHT, lead
from splitee.costs import CostModel
from splitee.policies.base import Floats, Policy, check_switch, check_threshold, sends_input
from splitee.policies.rewards import PRICES, SENDING, device_costs, prices_of, reward
from splitee.policies.table import says, sends, table_of

NONE, CAUSAL, PUBLISHED, SKIP = range(4)  # what side information an update draws on
UCB, TUNED, THOMPSON = range(3)  # what the index is
MEAN, WIDTH, TOTAL, COUNT, OTHERS = range(5)  # what is known of an arm: S/N, 1/sqrt(N), S, N; see `place`
SPREAD = WIDTH  # Σ(r − Q)², which takes its place where the index is made of that
KNOWN = 5
LARGEST_VARIANCE = 0.25  # of a number between 0 and 1


@inlined
def place(arm, lane, lanes):  # type: ignore[no-untyped-def]
    """Return where, in the flat state of so many lanes, what a lane knows of an arm begins.

    The five things are a vector apart, each with those of eight lanes: whatever a round meets is near, and at
    distances known when it is compiled. OTHERS is for whoever counts rounds.
    """
    lane, whole = np.uintp(lane), np.uintp(EIGHT - 1)
    return np.uintp(arm) * np.uintp(KNOWN * lanes) + lane + (lane & ~whole) * np.uintp(KNOWN - 1)


@inlined
def choose(  # type: ignore[no-untyped-def]
    rule, t, first, arms, state, weight, noise, row, span, begin, lanes, leader, greatest
):
    """Fill in `leader`, of eight of so many `lanes`, from `begin` on: the arm that each plays in round t.

    Each of first..arms − 1 once, ascending; then the one of the greatest index, the lowest on ties. `weight`
    is what the index takes of ln t; `noise`, shape (rows, arms, lanes), has in its `row` a standard normal
    number for each arm (for a draw only); `span` is how far apart two rewards of one arm can lie; `greatest`,
    shape (lanes,), is scratch.
    """
    # a range of one arm, not a branch: across branches numba counts references to arrays, every round
    early = t <= arms - first
    least, end = first + t - 1 if early else first, first + t if early else arms
    if rule == UCB:
        lead(state, MEAN * EIGHT, WIDTH * EIGHT, KNOWN, least, end, lanes, begin, weight, leader)
        return
    for lane in range(begin, begin + np.uintp(EIGHT)):
        leader[lane], greatest[lane] = least, -math.inf
    for arm in range(least, end):
        for lane in range(begin, begin + np.uintp(EIGHT)):
            at = place(arm, lane, lanes)
            n, mean = state[at + np.uintp(COUNT * EIGHT)], state[at + np.uintp(MEAN * EIGHT)]
            spread = state[at + np.uintp(SPREAD * EIGHT)]
            if rule == TUNED:
                variance = spread / n / (span * span) + math.sqrt(2.0 * weight / n)
                index = mean + span * math.sqrt(weight / n * min(LARGEST_VARIANCE, variance))
            else:
                variance = (LARGEST_VARIANCE * (span * span) + spread) / n
                index = mean + noise[row, arm - first, lane] * math.sqrt(variance / n)
            leads = index > greatest[lane]
            leader[lane] = np.uintp(arm) if leads else leader[lane]
            greatest[lane] = index if leads else greatest[lane]


@inlined
def credit(rule, at, reward, roots, state):  # type: ignore[no-untyped-def]
    """Add a reward to what is known at a `place`; `roots` has 1/sqrt(N), N = 0, 1, …, or is None."""
    total = state[at + np.uintp(TOTAL * EIGHT)] + reward
    count = state[at + np.uintp(COUNT * EIGHT)] + 1.0
    mean = total / count
    if rule == UCB:
        root = 1.0 / math.sqrt(count) if roots is None else roots[np.uintp(np.int64(count))]
        state[at + np.uintp(WIDTH * EIGHT)] = root
    else:
        before = reward - state[at + np.uintp(MEAN * EIGHT)]
        state[at + np.uintp(SPREAD * EIGHT)] += before * (reward - mean)  # Welford
    state[at + np.uintp(TOTAL * EIGHT)] = total
    state[at + np.uintp(COUNT * EIGHT)] = count
    state[at + np.uintp(MEAN * EIGHT)] = mean


@inlined
def learn(  # type: ignore[no-untyped-def]
    rule, mode, layer, at, sample, lane, word, knows_far, table, mu, prices, extra, roots, state, lanes
):
    """Update a lane's arms after a round in which a sample stopped at `layer`, with the `word` in `table`.

    The table (see `splitee.policies.table`) is read at exits that were evaluated; what it has of whoever
    answers offloaded samples, only where `knows_far`.
    """
    confidence, sent = says(word), sends(word)
    if mode == NONE or layer == 0:
        worth = reward(confidence, sent, layer, sample, mu, prices, extra)
        credit(rule, at, worth, roots, state)
        return
    for arm in range(np.uintp(1), np.uintp(layer) + np.uintp(1)):
        answer, would_send = says(table[arm, sample]), sends(table[arm, sample])
        if would_send and not knows_far:
            if mode != CAUSAL:
                continue
            answer = confidence  # it was not sent: the deepest that the device has seen stands in
        worth = reward(answer, would_send, arm, sample, mu, prices, extra)
        credit(rule, place(arm, lane, lanes), worth, roots, state)


@lru_cache(maxsize=4)
def logarithms(rounds: int) -> Floats:
    """Return ln t for t = 1..rounds, by the same C library as plain Python (numpy's own may differ)."""
    values = np.array([math.log(t) for t in range(1, rounds + 1)])
    values.flags.writeable = False
    return values


@lru_cache(maxsize=4)
def inverse_roots(rounds: int) -> Floats:
    """Return 1/sqrt(N) for N = 0..rounds (0 for 0): a root and a division are the slowest of instructions."""
    values = np.zeros(rounds + 1)
    values[1:] = 1.0 / np.sqrt(np.arange(1, rounds + 1))
    values.flags.writeable = False
    return values


def span(mu: float, prices: Floats, extra: Floats | None) -> float:
    """Return how far apart two rewards of one arm can lie, one exiting, one sent: 1 + μ·(the dearest o)."""
    dearest = float(prices[PRICES + SENDING :: PRICES].max())
    return 1.0 + mu * (dearest + (0.0 if extra is None else float(extra.max())))


@dataclass(frozen=True)
class LayerBandit(Policy):
    """What all learners of this kind share.

    Parameters
    ----------
    threshold : float
        α: confidence from which the device answers by itself.
    """

    threshold: float
    learns: ClassVar[bool] = True
    rule: ClassVar[int] = UCB

    def __post_init__(self) -> None:
        check_threshold(self.threshold)
        check_switch("send_input", getattr(self, "send_input", False))

    @property
    def mode(self) -> int:
        """What side information an update draws on."""
        return NONE

    @property
    def first(self) -> int:
        """The lowest arm: 0 where the input may be sent."""
        return 0 if sends_input(self) else 1

    def weights(self, logarithm: Floats) -> Floats:
        """Return what the index takes of ln t."""
        return logarithm

    def prices(self, layers: int, arms: int, costs: CostModel, mu: float) -> Floats:
        """Return what rewards of 0..arms lose; see `splitee.policies.rewards.prices_of`."""
        gamma = device_costs(costs, layers, self.every_exit)
        sending = costs.sending(layers, send_input=self.first == 0)
        return prices_of(mu, gamma[: arms + 1], sending[: arms + 1])

    def noise(self, rngs: Sequence[np.random.Generator], rounds: int, arms: int, lanes: int) -> Floats:
        """Return what chance adds, shape (rounds, arms, lanes): standard normal numbers, or nothing."""
        if self.rule != THOMPSON:
            return np.empty((1, 0, 0))
        noise = np.zeros((rounds, arms + 1 - self.first, lanes))
        for lane, rng in enumerate(rngs):
            noise[:, :, lane] = rng.standard_normal(noise.shape[:2])
        return noise

    def learner(self) -> Learner:
        """Return a learner that decides sample by sample, as on a live device, by the same compiled code."""
        return Learner(self)


class Learner:
    """A learner of the package, one sample at a time: a `PlainPolicy`.

    Examples
    --------
    >>> import splitee
    >>> learner = splitee.SplitEE(threshold=0.7).learner()
    >>> learner.start(2, CostModel(), 0.1, np.random.default_rng(0))
    >>> layer = learner.choose(1)
    >>> learner.learn(1, layer, np.array([0.9]), offloaded=False, final_confidence=None)
    >>> layer, learner.choose(2)
    (1, 2)
    """

    def __init__(self, policy: LayerBandit) -> None:
        self.policy = policy
        self.name = policy.label
        self.threshold = policy.threshold
        self.every_exit = policy.every_exit
        self.sees_final = policy.sees_final
        self.send_input = policy.first == 0

    def start(self, layers: int, costs: CostModel, mu: float, rng: np.random.Generator) -> None:
        """Begin a stream on a device that can split at 1..layers."""
        if costs.sample_offload is not None:
            raise InputError("a live learner is not told the price of a sample: it needs costs without any")
        self._mu, self._prices = float(mu), self.policy.prices(layers, layers, costs, mu)
        self._state = np.zeros((layers + 1) * KNOWN * EIGHT)
        self._span = span(self._mu, self._prices, None)
        self._rng, self._layers = rng, layers

    def choose(self, t: int) -> int:
        """Return the layer to split at in round t = 1, 2, and so on."""
        policy = self.policy
        weight = policy.weights(np.array([math.log(t)]))[0]
        noise = policy.noise([self._rng], 1, self._layers, EIGHT)
        leader, greatest = np.zeros(EIGHT, dtype=np.uintp), np.empty(EIGHT)
        arms = self._layers + 1
        choose(
            policy.rule, t, policy.first, arms, self._state, weight, noise, 0, self._span, np.uintp(0), EIGHT,
            leader, greatest,
        )  # fmt: skip
        return int(leader[0])

    def learn(
        self, t: int, layer: int, confidences: Floats, offloaded: bool, final_confidence: float | None
    ) -> None:
        """Take in what came of round t."""
        if offloaded and final_confidence is None:
            raise InputError(f"round {t} was offloaded: say the confidence of what came back")
        own = np.full(self._layers + 1, math.nan, dtype=np.float32)  # as a trace keeps them
        own[layer + 1 - len(confidences) : layer + 1] = confidences
        sent = ~(own.astype(np.float64) >= self.threshold)
        sent[layer] = offloaded
        table = table_of(
            np.where(sent, math.nan if final_confidence is None else final_confidence, own), sent
        )
        learn(
            self.policy.rule,
            self.policy.mode,
            np.uintp(layer),
            place(layer, 0, EIGHT),
            np.uintp(0),
            np.uintp(0),
            table[layer, 0],
            final_confidence is not None,
            table,
            self._mu,
            self._prices,
            None,
            None,
            self._state,
            EIGHT,
        )
