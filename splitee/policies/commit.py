"""Splits that are chosen once: after a look at the first samples, or beforehand on the source's data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from splitee._internal.errors import InputError
from splitee._internal.jit import kernel
from splitee._internal.numbers import check_whole, whole
from splitee.costs import CostModel
from splitee.policies.base import BySample, SplitLearner, SplitPolicy
from splitee.policies.fixed import everywhere
from splitee.policies.loop import Context, DeviceLoop
from splitee.policies.played import Actions, Played, room_for
from splitee.policies.problem import (
    Floats,
    Orders,
    Table,
    check_threshold,
    frozen,
    mean_rewards,
    reward,
)
from splitee.policies.setting import Name
from splitee.policies.timed import spent
from splitee.system.world import World, new_lane, observe, offload_cost
from splitee.trace import Trace
from splitee.trace.bundled import same_model


@dataclass(frozen=True)
class ExploreThenCommit(SplitPolicy):
    """Run the first samples to the last device layer, then keep to the split that was best on them.

    While it explores, the device evaluates (and pays for) every exit, and offloads samples of which exit m is
    not sure. The reward of each arm is that of a split with one exit evaluated. If it contains a C_L that was
    not observed, the deepest confidence seen, C_m, replaces it, as in causal SplitEE-S. Afterwards this is
    `FixedSplit` at the arm with the greatest mean, the lowest on ties. Samples count up to the first whose
    feedback has not arrived when exploring ends; if there is none, it keeps to arm 1.

    Parameters
    ----------
    threshold : float
        α.
    samples : int
        The number of samples explored.

    References
    ----------
    Lattimore, Szepesvári (2020): Bandit Algorithms, chapter 6; here one look at a sample teaches of all arms.

    Examples
    --------
    >>> ExploreThenCommit(0.7).label
    'explore-then-commit 200'
    """

    threshold: float
    samples: int = 200
    name: ClassVar[str] = "explore-then-commit"
    learns: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_threshold(self.threshold)
        check_whole("samples", self.samples)

    @property
    def label(self) -> str:  # noqa: D102
        return f"{self.name} {self.samples}"

    def play(  # noqa: D102
        self, table: Table, order: Orders, rngs: Sequence[np.random.Generator], world: World | None
    ) -> Played:
        committed = Actions.of_splits(table.layers, every_exit=False)
        actions = Actions.of_splits(table.layers, every_exit=True).then(committed)
        exploring, _ = self.explore_actions(table)
        action = room_for(order.shape, actions)
        action[: self.samples] = exploring[order[: self.samples]]
        for repeat in range(order.shape[1] if len(order) > self.samples else 0):
            explored = order[: self.samples, repeat]
            if world is None:
                best = self.best(table, explored)
            else:
                best = self._best_late(table, world, order, action, actions, repeat)
            fixed, _ = self.split_at(table, everywhere(best, table))
            action[self.samples :, repeat] = fixed[order[self.samples :, repeat]] + 2 * (table.layers + 1)
        return Played(action, actions)

    def explore_actions(self, table: Table) -> BySample:
        """Return the action of each sample while exploring: run to exit m, answer or offload there."""
        return self.split_at(table, everywhere(table.arms, table))

    def best(self, table: Table, explored: NDArray[np.integer]) -> int:
        """Return the arm of the greatest mean reward on the explored samples."""
        if not len(explored):
            return 1
        confidence, alpha, mu, gamma, offload = self.worth(table)
        deepest = confidence[explored, table.arms]
        at_last = table.arms == table.layers
        known = (deepest.astype(np.float64) < alpha[table.arms]) | (at_last and not table.other_cloud)
        seen = confidence[explored]
        seen[:, 0] = np.where(known, seen[:, 0], deepest)
        costs = offload[explored] if len(offload) > 1 else offload
        every = frozen(np.arange(len(explored)))
        means = mean_rewards(seen, alpha, mu, gamma, costs, every)
        return 1 + int(np.argmax(means[1 : table.arms + 1]))

    def _best_late(
        self,
        table: Table,
        world: World,
        order: Orders,
        action: NDArray[np.unsignedinteger],
        actions: Actions,
        repeat: int,
    ) -> int:
        """Return the arm of the greatest mean reward on the explored samples that have been taken in."""
        lane = new_lane(self.samples + 1)
        until = action[: self.samples + 1].copy()
        until[-1] = 0  # any action: what counts is when the sample after the explored ones begins
        observe(world, lane, order[: self.samples + 1], until, repeat, *spent(world, actions))
        taken = int(lane.taken[-1])
        total = np.zeros(table.layers + 1)
        add_explored(
            self.worth(table), world, lane, order[:, repeat], taken, table.arms, table.other_cloud, total
        )
        return 1 + int(np.argmax(total[1 : table.arms + 1] / taken)) if taken else 1

    def live(self) -> DeviceLoop:  # noqa: D102
        return LiveCommit(self)


@kernel
def add_explored(worth, world, lane, order, taken, arms, other_cloud, total):  # type: ignore[no-untyped-def]
    """Add r(0), …, r(m) of the first `taken` samples, run to exit m; `total` has shape (L + 1,)."""
    confidence, alpha, mu, _, _ = worth
    here = np.zeros((1, len(alpha)))
    for t in range(taken):
        s, last = np.uintp(order[t]), np.uintp(arms)
        k, own = world.kind[s], np.float64(confidence[s, last])
        known = own < alpha[last] or (arms == len(alpha) - 1 and not other_cloud)
        far = confidence[s, 0] if known and lane.lost[t] == 0 else confidence[s, last]
        for i in range(last + np.uintp(1)):
            here[0, i] = offload_cost(world, s, k, i, lane.rate[t])
        if own < alpha[last]:
            here[0, last] = lane.paid[t]
        for i in range(last + np.uintp(1)):
            total[i] += reward(confidence, alpha, mu, world.device[0, k], here, s, i, far)


class LiveCommit(SplitLearner):
    """Explore-then-commit on a device, sample by sample."""

    policy: ExploreThenCommit

    def begin_stream(self) -> None:  # noqa: D102
        self.best: int | None = None
        self.gains: list[Floats] = []  # summed in stream order when exploring ends

    def choose(self, t: int) -> int:  # noqa: D102
        if t <= self.policy.samples:
            return self.problem.device_exits
        if self.best is None:
            total = np.zeros(self.problem.device_exits + 1)
            for gain in self.gains:
                total += gain
            self.best = 1 + int(np.argmax(total[1:] / max(len(self.gains), 1)))
        return self.best

    def begin(self, t: int, context: Context) -> int:  # noqa: D102
        self.split = self.choose(t)
        return self.split if t > self.policy.samples else 1

    def update(self, seen: NDArray[np.float32], split: int, known: bool) -> None:  # noqa: D102
        if not known:
            seen[0, 0] = seen[0, split]  # C_L was not observed
        gain = mean_rewards(seen, *self.worth, frozen(np.zeros(1, dtype=np.int32)))
        if self.best is None:
            self.gains.append(gain[: self.problem.device_exits + 1])


def check_source(source: Trace, trace: Trace) -> None:
    """Raise InputError unless the source trace has the exits, classes and model of the trace."""
    if source.exit_layers != trace.exit_layers or source.classes != trace.classes:
        raise InputError(
            f"the source trace {source.name} has exits {source.exit_layers} and "
            f"{source.classes} classes, {trace.name} {trace.exit_layers} and {trace.classes}: "
            "give one of the same model"
        )
    if same_model(source.manifest, trace.manifest) is False:
        raise InputError(f"the source trace {source.name} is of another model than {trace.name}")


@dataclass(frozen=True)
class SourceSplit(SplitPolicy):
    """The fixed split that is best on the source's validation trace at the target's costs; it sees no label.

    This needs no learning on the target, and assumes that confidences there are as on the source.

    Parameters
    ----------
    threshold : float
        α.
    source : Trace
        The same model's trace of its source's validation data. If offload costs are given per sample, their
        mean is used.

    Examples
    --------
    >>> source = Trace([[0.6, 0.9], [0.8, 0.9]], [[0, 1], [1, 1]])
    >>> SourceSplit(0.7, source).label
    'source split'
    """

    threshold: float
    source: Trace
    name: ClassVar[str] = "source split"

    def __post_init__(self) -> None:
        check_threshold(self.threshold)
        if not isinstance(self.source, Trace):
            raise InputError(f"source is {self.source!r}: give the source's validation trace")

    def check_trace(self, trace: Trace) -> None:  # noqa: D102
        check_source(self.source, trace)

    def by_sample(self, table: Table) -> BySample:  # noqa: D102
        costs, extra = table.costs, table.costs.sample_offload
        if extra is not None:
            costs = replace(costs, sample_offload=np.full(self.source.samples, np.asarray(extra).mean()))
        met = Table.of(self.source, costs, table.mu, self.threshold)
        best = self._best(met.worth(self.threshold, False), table.arms)
        return self.split_at(table, everywhere(best, table))

    def _best(self, worth: tuple[NDArray[np.float32], Floats, float, Floats, Floats], arms: int) -> int:
        means = mean_rewards(*worth, frozen(np.arange(self.source.samples)))
        return 1 + int(np.argmax(means[1 : arms + 1]))

    def live(self) -> DeviceLoop:  # noqa: D102
        return LiveSource(self)

    def to_dict(self) -> dict[str, Any]:  # noqa: D102
        source = {"name": self.source.name, "fingerprint": self.source.fingerprint}
        return {"policy": type(self).__name__, "threshold": float(self.threshold), "source": source}


class LiveSource(SplitLearner):
    """A source split on a device, sample by sample."""

    policy: SourceSplit

    def begin_stream(self) -> None:  # noqa: D102
        source = Table.of(self.policy.source, CostModel(), 0.0, self.threshold).rows
        self.best = self.policy._best((source, *self.worth), self.problem.device_exits)

    def choose(self, t: int) -> int:  # noqa: D102
        return self.best

    def update(self, seen: NDArray[np.float32], split: int, known: bool) -> None:  # noqa: D102
        pass


NAMES = (
    Name("explore-then-commit", lambda s: ExploreThenCommit(s.threshold)),
    Name("source-split", lambda s: SourceSplit(s.threshold, s.source_of("source-split")), source=True),
    Name("explore-then-commit:SAMPLES", lambda s, n: ExploreThenCommit(s.threshold, whole(n, 1))),
)
