"""What the authors' public code does, so that a reader can reconcile numbers. Never a default.

It differs from the paper in its prices (0.8 λ a layer, 0.2 λ an exit), in what it learns from (λ·i for both
algorithms), in its first samples (each arm meets one, neither charged nor counted, and the stream then starts
again), in the index (ln t starts at 0 after those), and in reading C_L where it was never observed. The layer
and exit prices of the call are ignored; its o and μ are used.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from splitee._internal.errors import InputError
from splitee._internal.jit import compiled
from splitee.costs import CostModel
from splitee.policies.bandit import logarithms
from splitee.policies.base import Layers, Policy, Stream, check_threshold
from splitee.policies.cascades import first_sure
from splitee.policies.rules import Confidence


@compiled
def _reward(confidence, far, alpha, mu, sending, sample, arm):  # type: ignore[no-untyped-def]
    """Return C_i − μ·i where it exits, else C_L − μ·(i + o): the same for both algorithms."""
    own = confidence[sample, arm - 1]
    if own >= alpha or arm == confidence.shape[1]:
        return own - mu * arm
    return far[sample] - mu * (arm + sending[sample, arm])


@compiled
def _play(side, confidence, far, order, alpha, mu, sending, logs, splits):  # type: ignore[no-untyped-def]
    layers = confidence.shape[1]
    total, count = np.zeros(layers + 1), np.zeros(layers + 1)
    for arm in range(1, layers + 1):  # sample i of the stream plays arm i
        total[arm] += _reward(confidence, far, alpha, mu, sending, order[arm - 1], arm)
        count[arm] += 1.0
    for position in range(order.shape[0]):  # and then all samples come, these too
        best, greatest = 1, -np.inf
        for arm in range(1, layers + 1):
            index = total[arm] / count[arm] + np.sqrt(logs[position] / count[arm])
            if index > greatest:
                best, greatest = arm, index
        for arm in range(1 if side else best, best + 1):
            total[arm] += _reward(confidence, far, alpha, mu, sending, order[position], arm)
            count[arm] += 1.0
        splits[position] = best


@dataclass(frozen=True)
class _Released(Policy):
    """What the released variants share."""

    threshold: float

    def __post_init__(self) -> None:
        check_threshold(self.threshold)

    def priced(self, costs: CostModel) -> CostModel:
        if costs.exit_layers is not None and costs.exit_layers != tuple(range(1, len(costs.exit_layers) + 1)):
            raise InputError(
                f"{self.label} knows only exits after every layer: the trace has {costs.exit_layers}"
            )
        return replace(costs, layer=0.8, exit=0.2)

    def deepest(self, layers: int, arms: int) -> int:
        return layers


@dataclass(frozen=True)
class _ReleasedLearner(_Released):
    learns: ClassVar[bool] = True
    side: ClassVar[bool] = False

    def splits(self, stream: Stream) -> Layers:
        if len(stream.order) < stream.layers:
            raise InputError(
                f"{self.label} needs a stream of at least {stream.layers} samples, one for each arm: "
                f"this has {len(stream.order)}"
            )
        sending = np.broadcast_to(stream.costs.sending(stream.layers), (len(stream.far), stream.layers + 1))
        extra = stream.costs.by_sample(len(stream.far))
        splits = np.empty(len(stream.order), dtype=np.int16)
        _play(
            self.side,
            stream.confidence,
            stream.far,
            stream.order,
            float(self.threshold),
            float(stream.mu),
            sending + extra[:, None] if extra.size else sending,
            logarithms(len(stream.order)),
            splits,
        )
        return splits


@dataclass(frozen=True)
class SplitEE(_ReleasedLearner):
    """SplitEE as released: reported cost 0.8·(i − 1) + 1, and o where it offloads.

    Before round 1 it has seen samples 1..L, which then come again: on a device that would be free looks. It
    learns on λ·i; its own regret is at the reported cost.

    Parameters
    ----------
    threshold : float
        α.

    Examples
    --------
    >>> SplitEE(threshold=0.7).label
    'SplitEE (as released)'
    """

    name: ClassVar[str] = "SplitEE (as released)"


@dataclass(frozen=True)
class SplitEES(_ReleasedLearner):
    """SplitEE-S as released: reported cost i, and o where it offloads; reads C_L whether observed or not.

    Before round 1 it has seen samples 1..L, as `SplitEE` has.

    Parameters
    ----------
    threshold : float
        α.

    Examples
    --------
    >>> SplitEES(threshold=0.7).label
    'SplitEE-S (as released)'
    """

    name: ClassVar[str] = "SplitEE-S (as released)"
    every_exit: ClassVar[bool] = True
    sees_final: ClassVar[bool] = True
    side: ClassVar[bool] = True


@dataclass(frozen=True)
class ElasticBERT(_Released):
    """The ElasticBERT baseline as released: answers, and pays, one layer after the first that is sure.

    So exit 1 never answers, and what exit L − 1 says never matters. `splitee.ElasticBERT` is the correct one.

    Parameters
    ----------
    threshold : float
        α.

    Examples
    --------
    >>> ElasticBERT(threshold=0.7).label
    'ElasticBERT (as released)'
    """

    name: ClassVar[str] = "ElasticBERT (as released)"
    every_exit: ClassVar[bool] = True
    has_arms: ClassVar[bool] = False
    varies: ClassVar[bool] = True
    offloads: ClassVar[bool] = False

    def by_sample(self, stream: Stream) -> Layers:  # noqa: D102
        first = first_sure(Confidence(self.threshold), stream, stream.layers)
        late: Layers = np.minimum(first + 1, stream.layers).astype(np.int16)
        return late
