"""Policies that do not learn: fixed exits and splits, the cloud alone, a random layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from splitee._internal.errors import InputError
from splitee._internal.numbers import check_whole
from splitee.costs import CostModel
from splitee.policies.base import (
    BySample,
    Policy,
    SplitPolicy,
    split_actions,
)
from splitee.policies.loop import ANSWER, OFFLOAD, Context, DeviceLoop, Feedback
from splitee.policies.played import Played
from splitee.policies.problem import Layers, Orders, Problem, Table, as_alpha, check_threshold
from splitee.policies.rules import AtExit
from splitee.policies.setting import Name
from splitee.system.world import INPUT, World


def everywhere(layer: int, table: Table) -> Layers:
    """Return one layer for every sample of the trace, shape (n,)."""
    return np.full(table.samples, layer, dtype=np.int16)


def exit_actions(table: Table, layer: Layers, every_exit: bool) -> BySample:
    """Return the action of each sample that the device answers at its `layer`, sure or not; 0 offloads."""
    alpha = np.full(table.layers + 1, -np.inf)
    alpha[0] = np.inf
    return split_actions(table, layer, alpha, every_exit)


class LiveStop:
    """The device loop of a policy that decides by the exit alone.

    Parameters
    ----------
    name : str
    first, last : int
        The first exit to evaluate (0: offload the input), and the one where every sample stops.
    alpha : float or None
        From `last`, samples of a lower confidence are offloaded; None: none is.
    """

    def __init__(self, name: str, first: int, last: int, alpha: float | None = None) -> None:
        self.name, self.first, self.last = name, first, last
        self.alpha = -np.inf if alpha is None else as_alpha(alpha)

    def start(self, problem: Problem, rng: np.random.Generator) -> None:
        """Begin a stream."""

    def begin(self, t: int, context: Context) -> int:
        """Return the first exit to evaluate."""
        return self.first

    def decide(self, exit: int, confidence: float, prediction: int) -> int:
        """Go on to the last exit; answer or offload there."""
        if exit < self.last:
            return exit + 1
        return OFFLOAD if np.float32(confidence) < self.alpha else ANSWER

    def learn(self, t: int, feedback: Feedback) -> None:
        """Learn nothing."""


@dataclass(frozen=True)
class FinalExit(Policy):
    """Compute all layers, evaluate every exit, answer at the last: cost (λ₁ + λ₂)·L, the paper's reference.

    Examples
    --------
    >>> FinalExit().to_dict()
    {'policy': 'FinalExit'}
    """

    name: ClassVar[str] = "final-exit"
    every_exit: ClassVar[bool] = True
    has_arms: ClassVar[bool] = False

    def by_sample(self, table: Table) -> BySample:  # noqa: D102
        return exit_actions(table, everywhere(table.layers, table), self.every_exit)

    def deepest(self, layers: int, arms: int) -> int:  # noqa: D102
        return layers

    def live(self) -> DeviceLoop:  # noqa: D102
        return LiveStop(self.label, 1, 2**15)


@dataclass(frozen=True)
class _AtLayer(Policy):
    """A policy that stops at one layer, or before it."""

    layer: int

    def __post_init__(self) -> None:
        check_whole("layer", self.layer)

    @property
    def label(self) -> str:
        return f"{self.name} {self.layer}"

    def deepest(self, layers: int, arms: int) -> int:
        return self.layer


@dataclass(frozen=True)
class FixedExit(_AtLayer):
    """Answer every sample on the device at one layer: cost λ₁·layer + λ₂.

    ElasticBERT's static use (Liu et al. 2022), and at the last layer the honest cost of not splitting.

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

    @property
    def rule(self) -> AtExit:
        """When an exit may answer."""
        return AtExit(self.layer)

    def by_sample(self, table: Table) -> BySample:  # noqa: D102
        return exit_actions(table, everywhere(self.layer, table), self.every_exit)

    def live(self) -> DeviceLoop:  # noqa: D102
        return LiveStop(self.label, self.layer, self.layer)


@dataclass(frozen=True)
class CloudOnly(Policy):
    """Offload the input of every sample: the device computes nothing.

    Examples
    --------
    >>> CloudOnly().label
    'cloud-only'
    """

    name: ClassVar[str] = "cloud-only"
    send_input: ClassVar[bool] = True
    has_arms: ClassVar[bool] = False

    def by_sample(self, table: Table) -> BySample:  # noqa: D102
        return exit_actions(table, everywhere(0, table), self.every_exit)

    def deepest(self, layers: int, arms: int) -> int:  # noqa: D102
        return 0

    def live(self) -> DeviceLoop:  # noqa: D102
        return LiveStop(self.label, 0, 0)


@dataclass(frozen=True)
class FixedSplit(_AtLayer, SplitPolicy):
    """Split at one layer: answer there if C_i ≥ α, else offload.

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

    def by_sample(self, table: Table) -> BySample:  # noqa: D102
        return self.split_at(table, everywhere(self.layer, table))

    def live(self) -> DeviceLoop:  # noqa: D102
        return LiveStop(self.label, self.layer, self.layer, self.threshold)


@dataclass(frozen=True)
class ExitOrInput(FixedSplit):
    """Exit early at one layer if C_i ≥ α, else offload the *input*: what an edge engineer would try first.

    The cloud then computes every layer, and nothing of the model's state is transferred.

    Parameters
    ----------
    layer : int
        1-based.
    threshold : float
        α.

    Examples
    --------
    >>> import splitee
    >>> trace = splitee.load_trace("rte_validation")
    >>> costs = splitee.CostModel(offload=8.0, offload_input=2.0)
    >>> result = splitee.replay(trace, splitee.ExitOrInput(3, threshold=1.0), costs, repeats=1)
    >>> round(float(result.cost[0]), 3)  # 3 layers, one exit, and the input
    4.667
    """

    name: ClassVar[str] = "exit or input"

    def priced(self, costs: CostModel) -> CostModel:  # noqa: D102
        layers = np.size(costs.offload) if np.ndim(costs.offload) else 1
        at_input = float(costs.offload_by_layer(layers, send_input=True)[0])
        if any(np.ndim(offload) for _, offload in (costs.extra or {}).values()):
            raise InputError(f"{self.label} knows no extra costs by layer: give one number for the offload")
        return replace(costs, offload=at_input)

    def placed(self, world: World) -> World:  # noqa: D102
        return world._replace(sends=INPUT)


@dataclass(frozen=True)
class RandomSplit(SplitPolicy):
    """Split each sample at a layer drawn uniformly from those on the device (the paper's Random-exit).

    Parameters
    ----------
    threshold : float
        α.

    Examples
    --------
    >>> RandomSplit(0.7).label
    'random'
    """

    threshold: float
    name: ClassVar[str] = "random"
    varies: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_threshold(self.threshold)

    def play(  # noqa: D102
        self, table: Table, order: Orders, rngs: Sequence[np.random.Generator], world: World | None
    ) -> Played:
        drawn = [rng.integers(1, table.arms, size=len(order), endpoint=True, dtype=np.int16) for rng in rngs]
        return split_rounds(self, table, order, np.stack(drawn, axis=1))


def split_rounds(policy: SplitPolicy, table: Table, order: Orders, layer: Layers) -> Played:
    """Return the rounds of a policy that splits at a `layer` per round and repeat, shape (m, repeats)."""
    by_layer = [policy.split_at(table, everywhere(i, table)) for i in range(table.layers + 1)]
    action = np.stack([action for action, _ in by_layer])  # (L + 1, n): which of them, by layer and sample
    return Played(action[layer, order], by_layer[0][1])


NAMES = (
    Name("final-exit", lambda s: FinalExit()),
    Name("cloud-only", lambda s: CloudOnly()),
    Name("random", lambda s: RandomSplit(s.threshold), ("RandomSplit",)),
    Name("exits", lambda s: [FixedExit(i) for i in range(1, s.layers + 1)]),
    Name("splits", lambda s: [FixedSplit(i, s.threshold) for i in range(1, s.arms + 1)]),
    Name("exit:LAYER", lambda s, layer: FixedExit(s.layer(layer)), ("FixedExit",)),
    Name("split:LAYER", lambda s, layer: FixedSplit(s.layer(layer), s.threshold), ("FixedSplit",)),
    Name("exit-or-input:LAYER", lambda s, layer: ExitOrInput(s.layer(layer), s.threshold)),
)
