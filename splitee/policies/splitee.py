"""SplitEE and SplitEE-S: UCB over layers, without labels (Bajpai et al. 2023, algorithms 1 and 2).

After every arm was played once, round t plays i_t = argmax_i Q(i) + β·sqrt(ln t / N(i)). What is chosen and
what is learnt are written once, below: the replay's loop and a live device run the same compiled functions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from numbers import Real
from typing import ClassVar

import numpy as np
from numba import njit

from splitee.costs import CostModel
from splitee.errors import InputError
from splitee.policies.base import Floats, Layers, Policy, Stream, check_threshold, sends_input

NONE, CAUSAL, PUBLISHED, SKIP = range(4)  # what side information an update draws on
_MODES = {"causal": CAUSAL, "published": PUBLISHED, "skip": SKIP}


@njit(cache=True, nogil=True)
def choose_arm(t, first, mean, width, weight):  # type: ignore[no-untyped-def]
    """Return the arm of round t: each once in ascending order, then the greatest index, lowest on ties."""
    arms = mean.shape[0]
    if t <= arms - first:
        return first + t - 1
    best, greatest = first, mean[first] + weight * width[first]
    for arm in range(first + 1, arms):
        index = mean[arm] + weight * width[arm]
        if index > greatest:
            best, greatest = arm, index
    return best


@njit(cache=True, nogil=True)
def credit(arm, reward, total, count, mean, width):  # type: ignore[no-untyped-def]
    """Add a reward to an arm: S(i), N(i), Q(i) = S/N and 1/sqrt(N)."""
    total[arm] += reward
    count[arm] += 1.0
    mean[arm] = total[arm] / count[arm]
    width[arm] = 1.0 / math.sqrt(count[arm])


@njit(cache=True, nogil=True)
def learn_round(  # type: ignore[no-untyped-def]
    mode, layer, confidences, sent, far, knows_far, alpha, stay, leave, total, count, mean, width
):
    """Update the arms after a round that stopped at `layer`.

    `confidences` are those of the exits evaluated, the last that of `layer`; `far` is the confidence of
    whoever answers offloaded samples, used only where `knows_far`. `stay` is μ·γ_i, `leave` is μ·(γ_i + o).
    """
    if layer == 0:
        credit(0, far - leave[0], total, count, mean, width)
        return
    deepest = confidences[-1]
    if mode == NONE:
        credit(layer, far - leave[layer] if sent else deepest - stay[layer], total, count, mean, width)
        return
    for arm in range(1, layer + 1):
        own = confidences[arm - 1]
        if own >= alpha or (arm == layer and not sent):  # the last layer's exit answers, sure or not
            credit(arm, own - stay[arm], total, count, mean, width)
        elif knows_far:
            credit(arm, far - leave[arm], total, count, mean, width)
        elif mode == CAUSAL:  # the deepest confidence the device has seen stands in for the unseen
            credit(arm, deepest - leave[arm], total, count, mean, width)


@njit(cache=True, nogil=True)
def play_stream(  # type: ignore[no-untyped-def]
    mode, first, confidence, far, other_cloud, order, alpha, mu, gamma, sending, extra, weights, splits
):
    """Play a whole stream; `splits`, shape (m,), is filled in."""
    arms = gamma.shape[0]
    layers = confidence.shape[1]
    total, count = np.zeros(arms), np.zeros(arms)
    mean, width = np.zeros(arms), np.zeros(arms)
    stay, leave = np.empty(arms), np.empty(arms)
    for arm in range(arms):
        stay[arm] = mu * gamma[arm]
        leave[arm] = mu * (gamma[arm] + sending[arm])
    for position in range(order.shape[0]):
        sample = order[position]
        layer = choose_arm(position + 1, first, mean, width, weights[position])
        if extra.shape[0]:
            for arm in range(arms):
                leave[arm] = mu * (gamma[arm] + (sending[arm] + extra[sample]))
        row = confidence[sample, :layer]
        sent = layer == 0 or (row[-1] < alpha and layer < layers)
        knows_far = sent or mode == PUBLISHED or (layer == layers and not other_cloud)
        learn_round(
            mode, layer, row, sent, far[sample], knows_far, alpha, stay, leave, total, count, mean, width
        )
        splits[position] = layer


@lru_cache(maxsize=4)
def _root_log(rounds: int) -> Floats:
    """Return sqrt(ln t) for t = 1..rounds, by the same C library as plain Python (numpy's own may differ)."""
    values = np.array([math.sqrt(math.log(t)) for t in range(1, rounds + 1)])
    values.flags.writeable = False
    return values


@dataclass(frozen=True)
class _UCB(Policy):
    """What SplitEE and SplitEE-S share."""

    threshold: float
    exploration: float = 1.0
    learns: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_threshold(self.threshold)
        if not (isinstance(self.exploration, Real) and 0 <= self.exploration < math.inf):
            raise InputError(f"exploration is {self.exploration!r}: give a finite number, at least 0")

    @property
    def mode(self) -> int:
        """What side information an update draws on."""
        return NONE

    @property
    def first(self) -> int:
        """The lowest arm: 0 where the input may be sent."""
        return 0 if sends_input(self) else 1

    def prices(self, layers: int, arms: int, costs: CostModel) -> tuple[Floats, Floats]:
        """Return γ_0..γ_arms and o_0..o_arms."""
        gamma = np.concatenate([[0.0], costs.device(layers, self.every_exit)[:arms]])
        return gamma, costs.sending(layers, send_input=self.first == 0)[: arms + 1]

    def splits(self, stream: Stream) -> Layers:
        gamma, sending = self.prices(stream.layers, stream.arms, stream.costs)
        splits = np.empty(len(stream.order), dtype=np.int16)
        play_stream(
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
            stream.costs.by_sample(len(stream.far)),
            float(self.exploration) * _root_log(len(stream.order)),
            splits,
        )
        return splits

    def learner(self) -> Learner:
        """Return a learner that decides sample by sample, as on a live device, by the same compiled code."""
        return Learner(self)


class Learner:
    """SplitEE or SplitEE-S, one sample at a time: a `PlainPolicy`.

    Examples
    --------
    >>> learner = SplitEE(threshold=0.7).learner()
    >>> learner.start(2, CostModel(), 0.1, np.random.default_rng(0))
    >>> layer = learner.choose(1)
    >>> learner.learn(1, layer, np.array([0.9]), offloaded=False, final_confidence=None)
    >>> layer, learner.choose(2)
    (1, 2)
    """

    def __init__(self, policy: _UCB) -> None:
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
        self._total, self._count, self._mean, self._width = np.zeros((4, layers + 1))

    def choose(self, t: int) -> int:
        """Return the layer to split at in round t = 1, 2, and so on."""
        weight = self.policy.exploration * math.sqrt(math.log(t))
        return int(choose_arm(t, self.policy.first, self._mean, self._width, weight))

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
            self._total,
            self._count,
            self._mean,
            self._width,
        )


@dataclass(frozen=True)
class SplitEE(_UCB):
    """SplitEE: evaluates one exit a sample, the one it splits at, and updates that arm.

    Parameters
    ----------
    threshold : float
        α: confidence from which the device answers by itself.
    exploration : float
        β ≥ 0; the paper's regret bound needs β ≥ 1.
    send_input : bool
        Whether sending the input (layer 0) is an arm too.

    References
    ----------
    Bajpai, Trivedi, Yadav, Hanawal: SplitEE, AIMLSystems 2023, algorithm 1; arXiv 2309.09195.

    Examples
    --------
    >>> import splitee
    >>> trace = splitee.Trace([[0.6, 0.9], [0.8, 0.9], [0.9, 0.95]], [[0, 1], [1, 1], [0, 0]])
    >>> splitee.replay(trace, SplitEE(0.7), repeats=1).split.shape
    (1, 3)
    """

    send_input: bool = False
    name: ClassVar[str] = "SplitEE"


@dataclass(frozen=True)
class SplitEES(_UCB):
    """SplitEE-S: evaluates every exit on the way and updates every arm up to the one it splits at.

    The reward of an arm j whose C_j < α contains C_L, which a device knows only where the sample was
    offloaded (or ran to L). `side_information` says what is done where it does not know it.

    Parameters
    ----------
    threshold : float
        α.
    exploration : float
        β ≥ 0.
    side_information : {"causal", "published", "skip"}
        "causal": the deepest confidence that the device has seen stands in for C_L. "published": C_L is
        read all the same, as in the authors' code; no device could. "skip": the arm is not updated, which
        biases it (only samples that were hard enough to be sent count against it).
    send_input : bool
        Whether sending the input (layer 0) is an arm too.

    References
    ----------
    Bajpai, Trivedi, Yadav, Hanawal: SplitEE, AIMLSystems 2023, algorithm 2; arXiv 2309.09195.

    Examples
    --------
    >>> SplitEES(0.7).label
    'SplitEE-S (causal)'
    """

    side_information: str = "causal"
    send_input: bool = False
    name: ClassVar[str] = "SplitEE-S"
    every_exit: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.side_information, str) or self.side_information not in _MODES:
            raise InputError(
                f"side_information is {self.side_information!r}: choose causal, published or skip"
            )

    @property
    def label(self) -> str:  # noqa: D102
        return f"{self.name} ({self.side_information})"

    @property
    def sees_final(self) -> bool:  # type: ignore[override]  # noqa: D102
        return self.side_information == "published"

    @property
    def mode(self) -> int:  # noqa: D102
        return _MODES[self.side_information]
