"""Policies that learn nothing: fixed exits and splits, the cloud alone, a random layer, hindsight."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numba import njit

from splitee.policies.base import Floats, Layers, Policy, Stream, check_layer, check_threshold


def _everywhere(layer: int, stream: Stream) -> Layers:
    return np.full(len(stream.order), layer, dtype=np.int16)


@dataclass(frozen=True)
class FinalExit(Policy):
    """All samples run through all layers, with every exit evaluated: cost (λ₁ + λ₂)·L, the paper's reference.

    Examples
    --------
    >>> FinalExit().to_dict()
    {'policy': 'FinalExit'}
    """

    name: ClassVar[str] = "final-exit"
    every_exit: ClassVar[bool] = True
    has_arms: ClassVar[bool] = False

    def splits(self, stream: Stream) -> Layers:  # noqa: D102
        return _everywhere(stream.layers, stream)

    def deepest(self, layers: int, arms: int) -> int:  # noqa: D102
        return layers


@dataclass(frozen=True)
class _AtLayer(Policy):
    """Stops at one layer, always."""

    layer: int

    def __post_init__(self) -> None:
        check_layer(self.layer)

    @property
    def label(self) -> str:
        return f"{self.name} {self.layer}"

    def splits(self, stream: Stream) -> Layers:
        return _everywhere(self.layer, stream)

    def deepest(self, layers: int, arms: int) -> int:
        return self.layer


@dataclass(frozen=True)
class FixedExit(_AtLayer):
    """Every sample is answered on the device at one layer: cost λ₁·layer + λ₂.

    ElasticBERT's static use (Liu et al. 2022), and at the last layer the honest price of not splitting.

    Parameters
    ----------
    layer : int
        1-based.

    Examples
    --------
    >>> FixedExit(6).label
    'exit 6'
    """

    name: ClassVar[str] = "exit"
    has_arms: ClassVar[bool] = False


@dataclass(frozen=True)
class CloudOnly(Policy):
    """The input itself is sent, always: the device computes nothing."""

    name: ClassVar[str] = "cloud-only"
    send_input: ClassVar[bool] = True
    has_arms: ClassVar[bool] = False

    def splits(self, stream: Stream) -> Layers:  # noqa: D102
        return _everywhere(0, stream)

    def deepest(self, layers: int, arms: int) -> int:  # noqa: D102
        return 0


@dataclass(frozen=True)
class FixedSplit(_AtLayer):
    """Split at one layer: answer there where C_i ≥ α, else offload.

    Parameters
    ----------
    layer : int
        1-based.
    threshold : float
        α.

    Examples
    --------
    >>> FixedSplit(3, threshold=0.7).label
    'split 3'
    """

    threshold: float
    name: ClassVar[str] = "split"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_threshold(self.threshold)


@dataclass(frozen=True)
class RandomSplit(Policy):
    """A fresh layer for each sample, uniform over those on the device (the paper's Random-exit).

    Parameters
    ----------
    threshold : float
        α.
    """

    threshold: float
    name: ClassVar[str] = "random"

    def __post_init__(self) -> None:
        check_threshold(self.threshold)

    def splits(self, stream: Stream) -> Layers:  # noqa: D102
        return stream.rng.integers(1, stream.arms, size=len(stream.order), endpoint=True, dtype=np.int16)


@dataclass(frozen=True)
class BestFixedSplit(Policy):
    """The fixed split with the greatest mean reward over the very stream, known in hindsight; lowest on ties.

    No learner can expect more reward from one layer: the arm i* of the paper's regret.

    Parameters
    ----------
    threshold : float
        α.
    """

    threshold: float
    name: ClassVar[str] = "best split (hindsight)"

    def __post_init__(self) -> None:
        check_threshold(self.threshold)

    def splits(self, stream: Stream) -> Layers:  # noqa: D102
        rewards = mean_rewards(reward_table(stream, self.threshold, every_exit=False), stream.order)
        return _everywhere(1 + int(np.argmax(rewards[1 : stream.arms + 1])), stream)


@njit(cache=True, nogil=True)
def mean_rewards(table, order):  # type: ignore[no-untyped-def]
    """Return the mean of each column over an order, summed in stream order as the specification does."""
    means = np.zeros(table.shape[1])
    for sample in order:
        for layer in range(table.shape[1]):
            means[layer] += table[sample, layer]
    return means / order.shape[0]


def reward_table(stream: Stream, threshold: float, every_exit: bool) -> Floats:
    """Return r(i) of every sample at every layer, shape (n, L + 1); column 0 is sending the input.

    r(i) = C_i − μ·γ_i where C_i ≥ α or i = L, else C_L − μ·(γ_i + o)  (SplitEE, section 3). Layers that are
    not on the device are priced as if they were.
    """
    gamma = np.concatenate([[0.0], stream.costs.device(stream.layers, every_exit)])
    sending = stream.costs.sending(stream.layers)
    extra = stream.costs.by_sample(len(stream.far))
    leave = stream.mu * (gamma + (sending + extra[:, None] if extra.size else sending))
    rewards: Floats = stream.far[:, None] - leave
    confidence = stream.confidence.astype(np.float64)
    stays = confidence >= threshold
    stays[:, -1] = True
    rewards[:, 1:] = np.where(stays, confidence - stream.mu * gamma[1:], rewards[:, 1:])
    return rewards
