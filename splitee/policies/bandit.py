"""The bandit over layers that SplitEE and other learners are: compiled once, for replay and live device.

After every arm was played once, round t plays the arm of the greatest index, the lowest on ties. What is
chosen and what is learnt are written once, below: the replay's loop and a live device run the same functions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
from numba import njit

from splitee.costs import CostModel
from splitee.errors import InputError
from splitee.policies.base import (
    Floats,
    Layers,
    Policy,
    Stream,
    check_switch,
    check_threshold,
    sends_input,
)

NONE, CAUSAL, PUBLISHED, SKIP = range(4)  # what side information an update draws on
UCB, TUNED, THOMPSON = range(3)  # what the index is
TOTAL, COUNT, MEAN, WIDTH, SPREAD = range(5)  # rows of the state: S, N, S/N, 1/sqrt(N), Σ(r − Q)²
LARGEST_VARIANCE = 0.25  # of a number between 0 and 1


@njit(cache=True, nogil=True)
def choose_arm(t, first, state, weight):  # type: ignore[no-untyped-def]
    """Return the arm of round t: each once in ascending order, then the greatest index, lowest on ties."""
    arms = state.shape[1]
    if t <= arms - first:
        return first + t - 1
    best, greatest = first, state[MEAN, first] + weight * state[WIDTH, first]
    for arm in range(first + 1, arms):
        index = state[MEAN, arm] + weight * state[WIDTH, arm]
        if index > greatest:
            best, greatest = arm, index
    return best


@njit(cache=True, nogil=True)
def choose_by_variance(rule, t, first, state, log, noise, span):  # type: ignore[no-untyped-def]
    """Return the arm of round t by an index that knows each arm's variance: UCB-tuned, or a Gaussian draw.

    `log` is ln t; `noise` has a standard normal number for each arm (for the draw only); `span` is how far
    apart two rewards of one arm can lie.
    """
    arms = state.shape[1]
    if t <= arms - first:
        return first + t - 1
    best, greatest = first, -math.inf
    for arm in range(first, arms):
        count = state[COUNT, arm]
        if rule == TUNED:
            variance = state[SPREAD, arm] / count / (span * span) + math.sqrt(2.0 * log / count)
            index = state[MEAN, arm] + span * math.sqrt(log / count * min(LARGEST_VARIANCE, variance))
        else:
            variance = (LARGEST_VARIANCE * (span * span) + state[SPREAD, arm]) / count
            index = state[MEAN, arm] + noise[arm - first] * math.sqrt(variance / count)
        if index > greatest:
            best, greatest = arm, index
    return best


@njit(cache=True, nogil=True)
def credit(arm, reward, state):  # type: ignore[no-untyped-def]
    """Add a reward to what is known of an arm."""
    before = reward - state[MEAN, arm]
    state[TOTAL, arm] += reward
    state[COUNT, arm] += 1.0
    state[MEAN, arm] = state[TOTAL, arm] / state[COUNT, arm]
    state[WIDTH, arm] = 1.0 / math.sqrt(state[COUNT, arm])
    state[SPREAD, arm] += before * (reward - state[MEAN, arm])  # Welford


@njit(cache=True, nogil=True)
def learn_round(  # type: ignore[no-untyped-def]
    mode, layer, confidences, sent, far, knows_far, alpha, stay, leave, state
):
    """Update the arms after a round that stopped at `layer`.

    `confidences` are those of the exits evaluated, the last that of `layer`; `far` is the confidence of
    whoever answers offloaded samples, used only where `knows_far`. `stay` is μ·γ_i, `leave` is μ·(γ_i + o).
    """
    if layer == 0:
        credit(0, far - leave[0], state)
        return
    deepest = confidences[-1]
    if mode == NONE:
        credit(layer, far - leave[layer] if sent else deepest - stay[layer], state)
        return
    for arm in range(1, layer + 1):
        own = confidences[arm - 1]
        if own >= alpha or (arm == layer and not sent):  # the last layer's exit answers, sure or not
            credit(arm, own - stay[arm], state)
        elif knows_far:
            credit(arm, far - leave[arm], state)
        elif mode == CAUSAL:  # the deepest confidence the device has seen stands in for the unseen
            credit(arm, deepest - leave[arm], state)


@njit(cache=True, nogil=True)
def play_stream(  # type: ignore[no-untyped-def]
    rule, mode, first, confidence, far, other_cloud, order, alpha, mu, gamma, sending, extra, weights, noise,
    span, splits,
):  # fmt: skip
    """Play a whole stream; `splits`, shape (m,), is filled in.

    `weights`, shape (m,), is β·sqrt(ln t) for UCB, else ln t; `noise`, shape (m, arms) for THOMPSON.
    """
    arms = gamma.shape[0]
    layers = confidence.shape[1]
    state = np.zeros((5, arms))
    stay, leave = np.empty(arms), np.empty(arms)
    for arm in range(arms):
        stay[arm] = mu * gamma[arm]
        leave[arm] = mu * (gamma[arm] + sending[arm])
    for position in range(order.shape[0]):
        sample = order[position]
        t, weight = position + 1, weights[position]
        if rule == UCB:
            layer = choose_arm(t, first, state, weight)
        else:
            drawn = noise[position % noise.shape[0]]
            layer = choose_by_variance(rule, t, first, state, weight, drawn, span)
        if extra.shape[0]:
            for arm in range(arms):
                leave[arm] = mu * (gamma[arm] + (sending[arm] + extra[sample]))
        row = confidence[sample, :layer]
        sent = layer == 0 or (row[-1] < alpha and layer < layers)
        knows_far = sent or mode == PUBLISHED or (layer == layers and not other_cloud)
        learn_round(mode, layer, row, sent, far[sample], knows_far, alpha, stay, leave, state)
        splits[position] = layer


@lru_cache(maxsize=4)
def logarithms(rounds: int) -> Floats:
    """Return ln t for t = 1..rounds, by the same C library as plain Python (numpy's own may differ)."""
    values = np.array([math.log(t) for t in range(1, rounds + 1)])
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
        gamma = np.concatenate([[0.0], costs.device(layers, self.every_exit)[:arms]])
        return gamma, costs.sending(layers, send_input=self.first == 0)[: arms + 1]

    def splits(self, stream: Stream) -> Layers:  # noqa: D102
        gamma, sending = self.prices(stream.layers, stream.arms, stream.costs)
        extra = stream.costs.by_sample(len(stream.far))
        rounds = len(stream.order)
        splits = np.empty(rounds, dtype=np.int16)
        play_stream(
            self.rule,
            self.mode,
            self.first,
            stream.confidence,
            stream.far,
            stream.other_cloud,
            stream.order,
            float(self.threshold),
            float(stream.mu),
            gamma,
            sending,
            extra,
            self.weights(logarithms(rounds)),
            self.noise(stream.rng, rounds, stream.arms),
            span(stream.mu, sending, extra),
            splits,
        )
        return splits

    def noise(self, rng: np.random.Generator, rounds: int, arms: int) -> Floats:
        """Return what chance adds: a standard normal number for each arm and round, or nothing."""
        if self.rule != THOMPSON:
            return np.empty((1, 0))
        return rng.standard_normal((rounds, arms + 1 - self.first))

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
        gamma, sending = self.policy.prices(layers, layers, costs)
        self._stay, self._leave = mu * gamma, mu * (gamma + sending)
        self._state = np.zeros((5, layers + 1))
        self._rng, self._layers = rng, layers
        self._span = span(mu, sending, np.empty(0))

    def choose(self, t: int) -> int:
        """Return the layer to split at in round t = 1, 2, and so on."""
        policy = self.policy
        weight = policy.weights(np.array([math.log(t)]))[0]
        if policy.rule == UCB:
            return int(choose_arm(t, policy.first, self._state, weight))
        noise = policy.noise(self._rng, 1, self._layers)[0]
        return int(choose_by_variance(policy.rule, t, policy.first, self._state, weight, noise, self._span))

    def learn(
        self, t: int, layer: int, confidences: Floats, offloaded: bool, final_confidence: float | None
    ) -> None:
        """Take in what came of round t."""
        learn_round(
            self.policy.mode,
            layer,
            np.asarray(confidences, dtype=np.float64),
            offloaded,
            math.nan if final_confidence is None else final_confidence,
            final_confidence is not None,
            float(self.threshold),
            self._stay,
            self._leave,
            self._state,
        )
