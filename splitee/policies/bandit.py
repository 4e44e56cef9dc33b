"""The bandit over layers that SplitEE and other learners are: compiled once, for replay and live device.

After every arm was played once, round t plays the arm of the greatest index, the lowest on ties. What is
chosen and what is learnt are written once, below: the replay, which plays many repeats side by side (lanes),
and a live device, which is one lane, run the same functions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np

from splitee.compiled import compiled, inlined
from splitee.costs import CostModel
from splitee.errors import InputError
from splitee.policies.base import (
    Floats,
    Layers,
    Orders,
    Policy,
    Stream,
    check_switch,
    check_threshold,
    sends_input,
)
from splitee.policies.rewards import by_exit, device_costs, exit_of, exit_reward, leaving, offload_reward
from splitee.processor import AHEAD, EIGHT, IN_CACHE, lead, prefetch

NONE, CAUSAL, PUBLISHED, SKIP = range(4)  # what side information an update draws on
UCB, TUNED, THOMPSON = range(3)  # what the index is
MEAN, WIDTH, TOTAL, COUNT, SPREAD = range(5)  # what is known of an arm: S/N, 1/sqrt(N), S, N, Σ(r − Q)²
KNOWN = 5
LARGEST_VARIANCE = 0.25  # of a number between 0 and 1
PLAYS = 2**16  # of all lanes together, held at a time: what is counted next is still in the cache


@inlined
def choose(  # type: ignore[no-untyped-def]
    rule, t, first, arms, state, weight, noise, span, leader, greatest
):
    """Fill in `leader`, shape (lanes,), with the arm, of first..arms − 1, that each lane plays in round t.

    Each arm once, ascending; then the one of the greatest index, the lowest on ties. `weight` is what the
    index takes of ln t; `noise`, shape (arms, lanes), has a standard normal number for each arm (for a draw
    only); `span` is how far apart two rewards of one arm can lie; `greatest`, shape (lanes,), is scratch.
    """
    lanes = leader.shape[0]
    if t <= arms - first:
        leader[:] = first + t - 1
        return
    if rule == UCB:
        lead(state, MEAN * lanes, WIDTH * lanes, KNOWN * lanes, first, arms, lanes, weight, leader)
        return
    greatest[:] = -math.inf
    for arm in range(first, arms):
        for lane in range(lanes):
            at = np.uintp(arm) * np.uintp(KNOWN * lanes) + np.uintp(lane)
            n, mean = state[at + np.uintp(COUNT * lanes)], state[at + np.uintp(MEAN * lanes)]
            spread = state[at + np.uintp(SPREAD * lanes)]
            if rule == TUNED:
                variance = spread / n / (span * span) + math.sqrt(2.0 * weight / n)
                index = mean + span * math.sqrt(weight / n * min(LARGEST_VARIANCE, variance))
            else:
                variance = (LARGEST_VARIANCE * (span * span) + spread) / n
                index = mean + noise[arm - first, lane] * math.sqrt(variance / n)
            leads = index > greatest[lane]
            leader[lane] = arm if leads else leader[lane]
            greatest[lane] = index if leads else greatest[lane]


@inlined
def credit(rule, arm, lane, reward, roots, state, lanes):  # type: ignore[no-untyped-def]
    """Add a reward to what a lane knows of an arm; `roots` has 1/sqrt(N), N = 0, 1, …, as far as it goes."""
    at = arm * np.uintp(KNOWN * lanes) + lane
    total = state[at + np.uintp(TOTAL * lanes)] + reward
    count = state[at + np.uintp(COUNT * lanes)] + 1.0
    mean = total / count
    if rule == UCB:
        n = np.uintp(count)
        root = roots[n] if n < np.uintp(roots.shape[0]) else 1.0 / math.sqrt(count)
        state[at + np.uintp(WIDTH * lanes)] = root
    else:
        before = reward - state[at + np.uintp(MEAN * lanes)]
        state[at + np.uintp(SPREAD * lanes)] += before * (reward - mean)  # Welford
    state[at + np.uintp(TOTAL * lanes)] = total
    state[at + np.uintp(COUNT * lanes)] = count
    state[at + np.uintp(MEAN * lanes)] = mean


@inlined
def learn(  # type: ignore[no-untyped-def]
    rule, mode, layer, lane, sample, confidence, sent, far, knows_far, alpha, mu, gamma, sending, more, roots,
    state, lanes,
):  # fmt: skip
    """Update a lane's arms after a round that stopped at `layer`, where the sample was `sent` or answered.

    `confidence`, shape (L, n), is read at exits that were evaluated; `far` is the confidence of whoever
    answers offloaded samples, used only where `knows_far`; `more` is what this sample adds to the prices.
    """
    deepest = np.float64(confidence[exit_of(layer), sample])
    if mode == NONE or layer == 0:
        gone = offload_reward(far, mu, gamma[layer], sending[layer] + more)
        stayed = exit_reward(deepest, mu, gamma[layer])
        credit(rule, layer, lane, gone if sent else stayed, roots, state, lanes)
        return
    for arm in range(np.uintp(1), np.uintp(layer) + np.uintp(1)):
        own = np.float64(confidence[exit_of(arm), sample])
        if own >= alpha or (arm == layer and not sent):  # the last layer's exit answers, sure or not
            credit(rule, arm, lane, exit_reward(own, mu, gamma[arm]), roots, state, lanes)
        elif knows_far or mode == CAUSAL:  # else the deepest confidence that the device has seen stands in
            answer = far if knows_far else deepest
            gone = offload_reward(answer, mu, gamma[arm], sending[arm] + more)
            credit(rule, arm, lane, gone, roots, state, lanes)


@inlined
def meet(  # type: ignore[no-untyped-def]
    rule, mode, position, leader, confidence, far, other_cloud, orders, alpha, below, mu, gamma, sending,
    extra, roots, state, splits,
):  # fmt: skip
    """Let each repeat's sample of a round meet the arm that leads there, and learn from it."""
    (layers, samples), lanes = confidence.shape, leader.shape[0]
    later = min(position + AHEAD, orders.shape[0] - 1)
    for repeat in range(orders.shape[1]):
        lane = np.uintp(repeat)
        layer, sample = np.uintp(leader[lane]), np.uintp(orders[position, lane])
        splits[position, lane] = layer
        if samples > IN_CACHE:  # whatever leads now is likely to lead a few rounds later
            follows = np.uintp(orders[later, lane])
            prefetch(far, follows)
            for arm in range(np.uintp(1) if mode != NONE else layer, layer + np.uintp(1)):
                prefetch(confidence, exit_of(arm) * np.uintp(samples) + follows)
        sent = np.float64(confidence[exit_of(layer), sample]) < below[layer]
        knows_far = sent or mode == PUBLISHED or (layer == layers and not other_cloud)
        more = extra[sample] if extra.shape[0] else 0.0
        learn(
            rule, mode, layer, lane, sample, confidence, sent, far[sample], knows_far, alpha, mu, gamma,
            sending, more, roots, state, lanes,
        )  # fmt: skip


@compiled
def play_lanes(  # type: ignore[no-untyped-def]
    rule, mode, first, confidence, far, other_cloud, orders, start, alpha, mu, gamma, sending, extra, weights,
    noise, span, roots, state, splits,
):  # fmt: skip
    """Play some rounds of several repeats side by side, from round `start` (0-based) on.

    One repeat is a chain of rounds, each waiting for the one before; many are independent, and their indices
    are computed together. `orders` and `splits` (filled in) have shape (rounds, repeats); `weights` (rounds,)
    is β·sqrt(ln t) for UCB, else ln t; `noise` (rounds, arms, lanes) is for THOMPSON. `state` holds, arm by
    arm, each of the five things known in so many lanes as fill whole vectors: some may idle.
    """
    arms = gamma.shape[0]
    lanes = state.shape[0] // (KNOWN * arms)
    below = leaving(confidence.shape[0], alpha)
    leader, greatest = np.zeros(lanes, dtype=np.int64), np.empty(lanes)
    for position in range(orders.shape[0]):
        t, weight, drawn = start + position + 1, weights[position], noise[position % noise.shape[0]]
        choose(rule, t, first, arms, state, weight, drawn, span, leader, greatest)
        # compiled once for each of these, so that what decides is not asked again and again
        if mode != NONE:
            meet(
                UCB, mode, position, leader, confidence, far, other_cloud, orders, alpha, below, mu, gamma,
                sending, extra, roots, state, splits,
            )  # fmt: skip
        elif rule == UCB:
            meet(
                UCB, NONE, position, leader, confidence, far, other_cloud, orders, alpha, below, mu, gamma,
                sending, extra, roots, state, splits,
            )  # fmt: skip
        else:
            meet(
                rule, NONE, position, leader, confidence, far, other_cloud, orders, alpha, below, mu, gamma,
                sending, extra, roots, state, splits,
            )  # fmt: skip


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


def span(mu: float, sending: Floats, extra: Floats) -> float:
    """Return how far apart two rewards of one arm can lie, one exiting, one sent: 1 + μ·(the dearest o)."""
    return 1.0 + mu * (float(sending[1:].max()) + (float(extra.max()) if extra.size else 0.0))


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

    def prices(self, layers: int, arms: int, costs: CostModel) -> tuple[Floats, Floats]:
        """Return γ_0..γ_arms and o_0..o_arms."""
        gamma = device_costs(costs, layers, self.every_exit)[: arms + 1]
        return gamma, costs.sending(layers, send_input=self.first == 0)[: arms + 1]

    def play(self, streams: Sequence[Stream], orders: Orders) -> Iterator[Layers]:  # noqa: D102
        stream, (rounds, lanes) = streams[0], orders.shape
        gamma, sending = self.prices(stream.layers, stream.arms, stream.costs)
        extra = stream.costs.by_sample(len(stream.far))
        weights = self.weights(logarithms(rounds))
        padded = -(-lanes // EIGHT) * EIGHT
        state = np.zeros(len(gamma) * KNOWN * padded)
        part = -(-PLAYS // padded)
        rngs = [each.rng for each in streams] if self.rule == THOMPSON else []
        for start in range(0, rounds, part):
            rows = slice(start, min(start + part, rounds))
            splits = np.empty((rows.stop - start, lanes), dtype=np.int16)
            play_lanes(
                self.rule,
                self.mode,
                self.first,
                by_exit(stream.confidence),
                stream.far,
                stream.other_cloud,
                orders[rows],
                start,
                float(self.threshold),
                float(stream.mu),
                gamma,
                sending,
                extra,
                weights[rows],
                self.noise(rngs, rows.stop - start, stream.arms, padded),
                span(stream.mu, sending, extra),
                inverse_roots(rounds),
                state,
                splits,
            )
            yield splits

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
        self._gamma, self._sending = self.policy.prices(layers, layers, costs)
        self._state = np.zeros((layers + 1) * KNOWN * EIGHT)
        self._rng, self._layers, self._mu = rng, layers, float(mu)
        self._span = span(mu, self._sending, np.empty(0))

    def choose(self, t: int) -> int:
        """Return the layer to split at in round t = 1, 2, and so on."""
        policy = self.policy
        weight = policy.weights(np.array([math.log(t)]))[0]
        noise = policy.noise([self._rng], 1, self._layers, EIGHT)[0]
        leader, greatest = np.zeros(EIGHT, dtype=np.int64), np.empty(EIGHT)
        arms = self._layers + 1
        choose(policy.rule, t, policy.first, arms, self._state, weight, noise, self._span, leader, greatest)
        return int(leader[0])

    def learn(
        self, t: int, layer: int, confidences: Floats, offloaded: bool, final_confidence: float | None
    ) -> None:
        """Take in what came of round t."""
        seen = np.full((self._layers, 1), math.nan)
        if layer:
            seen[layer - len(confidences) : layer, 0] = confidences
        learn(
            self.policy.rule,
            self.policy.mode,
            layer,
            0,
            0,
            seen,
            offloaded,
            math.nan if final_confidence is None else final_confidence,
            final_confidence is not None,
            float(self.threshold),
            self._mu,
            self._gamma,
            self._sending,
            0.0,
            np.empty(0),
            self._state,
            EIGHT,
        )
