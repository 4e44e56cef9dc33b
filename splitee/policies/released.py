"""What the authors' public code does, so that a reader can reconcile numbers. Never a default.

It differs from the paper in its costs (0.8 λ per layer, 0.2 λ per exit), in what it learns from (λ·i for both
algorithms), in its first samples (each arm plays one, neither charged nor counted, and the stream then starts
again), in the index (ln t starts at 0 after those), and in reading C_L that was never observed. The layer and
exit costs of the call are ignored; its o and μ are used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from splitee._internal.errors import InputError
from splitee._internal.jit import kernel
from splitee.costs import CostModel
from splitee.policies.base import BySample, SplitPolicy
from splitee.policies.cascades import first_sure
from splitee.policies.fixed import exit_actions, split_rounds
from splitee.policies.played import Played
from splitee.policies.problem import Orders, Table, check_threshold
from splitee.policies.rules import Confidence
from splitee.policies.setting import Name
from splitee.policies.ucb import logarithms
from splitee.system.world import World


@kernel
def _reward(confidence, alpha, mu, offload, s, arm):  # type: ignore[no-untyped-def]
    """Return C_i − μ·i if it exits, else C_L − μ·(i + o): the same for both algorithms."""
    own = np.float64(confidence[s, arm])
    if own >= alpha[arm]:
        return own - mu * arm
    o = offload[s, arm] if offload.shape[0] > 1 else offload[0, arm]
    return np.float64(confidence[s, 0]) - mu * (arm + o)


@kernel
def _play(side, confidence, alpha, mu, offload, logs, order, layer):  # type: ignore[no-untyped-def]
    """Fill in the layers of one repeat, shape (m,); `side`: update all arms up to the one played."""
    layers = len(alpha) - 1
    total, count = np.zeros(layers + 1), np.zeros(layers + 1)
    for arm in range(1, layers + 1):  # sample i of the stream plays arm i
        total[arm] += _reward(confidence, alpha, mu, offload, order[arm - 1], arm)
        count[arm] += 1.0
    for t in range(len(order)):  # and then all samples come, these too
        best, greatest = 1, -np.inf
        for arm in range(1, layers + 1):
            index = total[arm] / count[arm] + np.sqrt(logs[t] / count[arm])
            if index > greatest:
                best, greatest = arm, index
        for arm in range(1 if side else best, best + 1):
            total[arm] += _reward(confidence, alpha, mu, offload, order[t], arm)
            count[arm] += 1.0
        layer[t] = best


@dataclass(frozen=True)
class _Released(SplitPolicy):
    """What the released variants share."""

    threshold: float
    in_time: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_threshold(self.threshold)

    def priced(self, costs: CostModel) -> CostModel:
        if costs.exit_layers is not None and costs.exit_layers != tuple(range(1, len(costs.exit_layers) + 1)):
            raise InputError(
                f"{self.label} knows only exits after every layer: the trace has {costs.exit_layers}"
            )
        if costs.extra is not None:
            raise InputError(f"{self.label} knows no extra cost terms: give costs without `extra`")
        return replace(costs, layer=0.8, exit=0.2)

    def deepest(self, layers: int, arms: int) -> int:
        return layers


@dataclass(frozen=True)
class _ReleasedLearner(_Released):
    learns: ClassVar[bool] = True
    side: ClassVar[bool] = False

    def play(
        self, table: Table, order: Orders, rngs: Sequence[np.random.Generator], world: World | None
    ) -> Played:
        if len(order) < table.layers:
            raise InputError(
                f"{self.label} needs a stream of at least {table.layers} samples, one for each arm: "
                f"this has {len(order)}"
            )
        if world is not None:
            raise InputError(f"{self.label} learns at once: give delay=0")
        confidence, alpha, mu, _, offload = self.worth(table)
        layer = np.empty(order.shape, dtype=np.int16)
        for repeat in range(order.shape[1]):
            stream, stops = np.ascontiguousarray(order[:, repeat]), np.empty(len(order), dtype=np.int16)
            _play(self.side, confidence, alpha, mu, offload, logarithms(len(order)), stream, stops)
            layer[:, repeat] = stops
        return split_rounds(self, table, order, layer)


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

    def by_sample(self, table: Table) -> BySample:  # noqa: D102
        first = first_sure(Confidence(self.threshold), table, table.layers)
        late = np.minimum(first + 1, table.layers).astype(np.int16)
        return exit_actions(table, late, self.every_exit)


NAMES = (
    Name("splitee-released", lambda s: SplitEE(s.threshold)),
    Name("splitee-s-released", lambda s: SplitEES(s.threshold)),
    Name("elasticbert-released", lambda s: ElasticBERT(s.threshold)),
)
