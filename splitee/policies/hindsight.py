"""Bounds that are known in hindsight: the best fixed split of a stream, and the best action per sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from splitee._internal.errors import InputError
from splitee.policies.base import BySample, Policy, SplitPolicy, check_switch
from splitee.policies.fixed import FixedSplit, split_rounds
from splitee.policies.played import Actions, Played, room_for
from splitee.policies.problem import Floats, Orders, Table, check_threshold, frozen
from splitee.policies.setting import Name
from splitee.policies.timed import rewards_in_time
from splitee.system.world import World

BEGINNING = 2000  # rounds of a stream that `BestRule` tries every rule on in a System
TRIED = 12  # rules that it then tries on the whole stream


@dataclass(frozen=True)
class BestFixedSplit(SplitPolicy):
    """The fixed split with the greatest mean reward over the stream itself; the lowest on ties.

    No learner can expect more reward from one layer: the arm i* of the paper's regret.

    Parameters
    ----------
    threshold : float
        α.

    Examples
    --------
    >>> BestFixedSplit(0.7).label
    'best split (hindsight)'
    """

    threshold: float
    name: ClassVar[str] = "best split (hindsight)"
    hindsight: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_threshold(self.threshold)

    def play(  # noqa: D102
        self, table: Table, order: Orders, rngs: Sequence[np.random.Generator], world: World | None
    ) -> Played:
        layer = np.empty(order.shape, dtype=np.int16)
        for repeat, stream in enumerate(order.T):
            if world is not None and world.timed:
                means = self._means_in_time(table, world, order, repeat)
            else:
                means = table.mean_rewards(self.threshold, False, stream)
            layer[:, repeat] = 1 + int(np.argmax(means[1 : table.arms + 1]))
        return split_rounds(self, table, order, layer)

    def _means_in_time(self, table: Table, world: World, order: Orders, repeat: int) -> Floats:
        """Return r̄(0), …, r̄(m) over a repeat in which every sample is split at that layer."""
        stream = np.ascontiguousarray(order[:, repeat : repeat + 1])
        world = of_repeat(world, repeat)
        each = (
            rewards_in_time(table, world, stream, self.threshold, i, False) for i in range(table.arms + 1)
        )
        return np.array([rewards.mean() for rewards in each])


@dataclass(frozen=True)
class BestRule(SplitPolicy):
    """The fixed layer *and* threshold with the greatest mean reward over the stream itself.

    The threshold matters more than the layer. In a `System` all rules play the first `BEGINNING` rounds, the
    best `TRIED` of them the whole stream, and the best of these is kept.

    Parameters
    ----------
    thresholds : tuple of float, optional
        The values of α to choose from. On ties the first, then the lowest layer.

    Examples
    --------
    >>> BestRule().label
    'best rule (hindsight)'
    """

    thresholds: tuple[float, ...] = (0.0, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.98, 0.99, 0.999)
    name: ClassVar[str] = "best rule (hindsight)"
    has_arms: ClassVar[bool] = False
    hindsight: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not isinstance(self.thresholds, tuple) or not self.thresholds:
            raise InputError(f"thresholds is {self.thresholds!r}: give a tuple of confidences")
        for threshold in self.thresholds:
            check_threshold(threshold)

    def play(  # noqa: D102
        self, table: Table, order: Orders, rngs: Sequence[np.random.Generator], world: World | None
    ) -> Played:
        actions = Actions.of_splits(table.layers, self.every_exit)
        action = room_for(order.shape, actions)
        rules = [(alpha, layer) for alpha in self.thresholds for layer in range(1, table.arms + 1)]
        for repeat, stream in enumerate(order.T):
            if world is not None and world.timed:
                alpha, layer = self._best_in_time(table, of_repeat(world, repeat), stream, rules)
            else:
                means = np.stack([table.mean_rewards(alpha, False, stream) for alpha in self.thresholds])
                alpha, layer = rules[int(np.argmax(means[:, 1 : table.arms + 1]))]
            by_sample, _ = FixedSplit(layer, alpha).by_sample(table)
            action[:, repeat] = by_sample[stream]
        return Played(action, actions)

    def _best_in_time(
        self, table: Table, world: World, stream: NDArray[np.int32], rules: list[tuple[float, int]]
    ) -> tuple[float, int]:
        """Return the rule of greatest mean reward in a stream: of all by its beginning, then of the best."""

        def means(tried: list[tuple[float, int]], rounds: int) -> Floats:
            begin = world
            if len(world.arrival):
                begin = world._replace(arrival=np.ascontiguousarray(world.arrival[:rounds]))
            order = frozen(stream[:rounds, None])
            return np.array([rewards_in_time(table, begin, order, a, i, False).mean() for a, i in tried])

        first = np.argsort(-means(rules, BEGINNING), kind="stable")
        best = [rules[k] for k in first[:TRIED].tolist()]
        found: tuple[float, int] = best[int(means(best, len(stream)).argmax())]
        return found


def of_repeat(world: World, repeat: int) -> World:
    """Return a world of one repeat."""
    if world.arrival.shape[1] < 2:
        return world
    return world._replace(arrival=np.ascontiguousarray(world.arrival[:, repeat : repeat + 1]))


@dataclass(frozen=True)
class Oracle(Policy):
    """The greatest reward that a device could get of each sample: an upper bound for every policy.

    Per sample it takes the best of: offload the input; evaluate exit i only, i ≤ m, and answer there, C_i −
    μ·γ_i, or offload there (i < L), C_L − μ·(γ_i + o). It knows every confidence beforehand, and no label. On
    ties it takes the lowest layer, and answers rather than offloads.

    Parameters
    ----------
    threshold : float, optional
        α of the splits that its regret is measured against. Its actions do not depend on it.
    send_input : bool
        Whether offloading the input counts among what a device could do (if its cost is known).

    Examples
    --------
    >>> Oracle().label
    'oracle (per sample)'
    """

    threshold: float | None = None
    send_input: bool = True
    name: ClassVar[str] = "oracle (per sample)"
    has_arms: ClassVar[bool] = False
    varies: ClassVar[bool] = True
    in_time: ClassVar[bool] = False
    hindsight: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.threshold is not None:
            check_threshold(self.threshold)
        check_switch("send_input", self.send_input)

    def by_sample(self, table: Table) -> BySample:  # noqa: D102
        layers, gamma, mu = table.layers, table.device(every_exit=False), table.mu
        cloud = table.confidence[:, 0].astype(np.float64)
        actions = Actions.of_splits(layers, self.every_exit)
        best, action = np.full(table.samples, -np.inf), np.zeros(table.samples, dtype=actions.dtype)
        for i in range(0 if self.send_input else 1, table.arms + 1):
            options = []
            if i > 0:
                options.append((i, table.confidence[:, i].astype(np.float64) - mu * gamma[i]))
            if i < layers:
                options.append((layers + 1 + i, cloud - mu * (gamma[i] + table.offload[:, i])))
            for number, reward in options:
                better = reward > best  # never, if the cost of the input is unknown (NaN)
                best, action = np.where(better, reward, best), np.where(better, number, action)
        return action.astype(actions.dtype), actions


NAMES = (
    Name("best-split", lambda s: BestFixedSplit(s.threshold), ("BestFixedSplit",)),
    Name("best-rule", lambda s: BestRule()),
    Name("oracle", lambda s: Oracle(s.threshold)),
)
