"""Policies that learn nothing: fixed exits and splits, the cloud alone, a random layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from splitee.policies.base import Layers, Policy, Stream, check_layer, check_threshold
from splitee.policies.rules import AtExit


def everywhere(layer: int, stream: Stream) -> Layers:
    """Return one layer for every sample of the trace, shape (n,)."""
    return np.full(len(stream.far), layer, dtype=np.int16)


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
    offloads: ClassVar[bool] = False

    def by_sample(self, stream: Stream) -> Layers:  # noqa: D102
        return everywhere(stream.layers, stream)

    def deepest(self, layers: int, arms: int) -> int:  # noqa: D102
        return layers


@dataclass(frozen=True)
class AtLayer(Policy):
    """What stops at one layer at the latest; by itself, always there."""

    layer: int

    def __post_init__(self) -> None:
        check_layer(self.layer)

    @property
    def label(self) -> str:  # noqa: D102
        return f"{self.name} {self.layer}"

    def by_sample(self, stream: Stream) -> Layers:  # noqa: D102
        return everywhere(self.layer, stream)

    def deepest(self, layers: int, arms: int) -> int:  # noqa: D102
        return self.layer


@dataclass(frozen=True)
class FixedExit(AtLayer):
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
    offloads: ClassVar[bool] = False

    @property
    def rule(self) -> AtExit:
        """When an exit may answer."""
        return AtExit(self.layer)


@dataclass(frozen=True)
class CloudOnly(Policy):
    """The input itself is sent, always: the device computes nothing."""

    name: ClassVar[str] = "cloud-only"
    send_input: ClassVar[bool] = True
    has_arms: ClassVar[bool] = False

    def by_sample(self, stream: Stream) -> Layers:  # noqa: D102
        return everywhere(0, stream)

    def deepest(self, layers: int, arms: int) -> int:  # noqa: D102
        return 0


@dataclass(frozen=True)
class FixedSplit(AtLayer):
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
    varies: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_threshold(self.threshold)

    def splits(self, stream: Stream) -> Layers:  # noqa: D102
        return stream.rng.integers(1, stream.arms, size=len(stream.order), endpoint=True, dtype=np.int16)
