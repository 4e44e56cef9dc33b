"""AuditedStopping: answer, go on to a deeper exit, or ask the last one; learned from audits alone.

The rule (see `stopping_fit`) aims at answering otherwise than the last exit on a share δ of samples. Samples
on which it would answer are audited with a probability q_t that is fixed before the answer is known, so that
the account of the loss is right on average however wrong the fit is, and a bound on the loss holds at all
times.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from splitee._internal.errors import InputError
from splitee._internal.numbers import check_share, share
from splitee.policies import drift, labels
from splitee.policies.base import Policy, check_switch
from splitee.policies.certified_rounds import joined
from splitee.policies.drift import begin_watch
from splitee.policies.labels import NO_LABELS, bought_by, check_labels, with_labels
from splitee.policies.loop import ANSWER, OFFLOAD, Context, DeviceLoop, Feedback
from splitee.policies.paths import Costs, rank
from splitee.policies.played import Played, room_for
from splitee.policies.problem import Floats, Orders, Problem, Table
from splitee.policies.setting import Name
from splitee.policies.stopping_fit import (
    CELLS,
    EDGES,
    FIRST_EXIT,
    Stops,
    begin_audits,
    begin_rules,
    stops_of,
)
from splitee.policies.stopping_rounds import (
    DUE,
    EXIT,
    EXPECTED,
    KIND,
    LABELS,
    LOST,
    PRIOR,
    RULE,
    SAFE,
    SLOT,
    SPENT,
    STAKES,
    WHOLE,
    Learner,
    T,
    answer,
    begin_round,
    close_round,
    play,
    take,
    take_arrived,
    tell,
)
from splitee.policies.timed import Clock
from splitee.system.world import World, new_lane
from splitee.trace import Trace

CHUNK = 2**16  # rounds whose random numbers are drawn at a time


@dataclass(frozen=True)
class AuditedStopping(Policy):
    """Per sample, answer, go on to a deeper exit, or ask the last one: optimal stopping, learned from audits.

    It aims at answering otherwise than the last exit on a share `max_disagreement` of samples; that is
    steered, not guaranteed. Guaranteed is the bound that `Result.certificate` reports: with probability at
    least 1 − `failure`, at all times at once, the share of the samples so far that were answered on the
    device otherwise than the last exit would have answered is at most `bound`. No label is read by default.

    Parameters
    ----------
    max_disagreement : float
        δ, from 0.0001 to 0.5.
    failure : float
        η of the bound.
    drift : bool
        Whether the change test runs. After an alarm all audits are forgotten; account and bound go on.
    loss : {"disagreement", "error"}
        What `max_disagreement` and the bound speak of. "error": how much less often the device is right than
        the last exit would have been, [wrong] − [last exit wrong]. Labels are bought for that, of audited
        samples on which an exit disagrees; without one, a disagreement counts as an error.
    labels : int
        The most labels that are bought, if loss is "error".
    label_cost : float
        The cost of one label; it is charged.

    See Also
    --------
    CertifiedSplit : keeps δ, with simpler rules.

    References
    ----------
    docs/stopping.md defines it. Chow, Robbins, Siegmund (1971): Great Expectations: the theory of optimal
    stopping. Waudby-Smith, Ramdas (2024): Estimating means of bounded random variables by betting.

    Examples
    --------
    >>> AuditedStopping(0.02).label
    'audited stopping (δ = 0.02)'
    """

    max_disagreement: float = 0.01
    failure: float = 0.05
    drift: bool = True
    loss: str = "disagreement"
    labels: int = 0
    label_cost: float = 1.0
    name: ClassVar[str] = "audited stopping"
    learns: ClassVar[bool] = True
    has_arms: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_share("max_disagreement", self.max_disagreement, 1e-4, 0.5)
        check_share("failure", self.failure, 1e-12, 0.5)
        check_switch("drift", self.drift)
        check_labels(self.loss, self.labels, self.label_cost)

    @property
    def label(self) -> str:  # noqa: D102
        return f"{self.name} (δ = {self.max_disagreement:g}{bought_by(self)})"

    @property
    def buys_labels(self) -> bool:  # noqa: D102
        return self.loss == "error"

    def check_trace(self, trace: Trace) -> None:  # noqa: D102
        labels.check_trace(self, trace)

    def learner(self, stops: Stops) -> Learner:
        """Return a learner before its first round."""
        reach, alarm = len(stops.ask) - 1, drift.ALARM if self.drift else math.inf
        total = np.zeros(SPENT + len(STAKES))
        total[LOST], total[EXPECTED] = PRIOR, PRIOR
        whole = np.zeros(12, dtype=np.int64)
        whole[LABELS] = self.labels if self.buys_labels else 0
        setting = np.array([self.max_disagreement, self.failure, alarm])
        return Learner(
            stops, begin_audits(reach), begin_rules(reach), begin_watch(CELLS), whole, total, setting
        )

    def play(  # noqa: D102
        self, table: Table, order: Orders, rngs: Sequence[np.random.Generator], world: World | None
    ) -> Played:
        labels.check_world(self, world)
        world = table.in_rounds(0) if world is None else world
        clock = Clock(world, order.shape)
        stops, actions = stops_of(Costs(table.gamma, table.offload, table.problem))
        label, kinds = NO_LABELS, len(actions)
        if self.buys_labels and table.labels is not None:
            label, actions = table.labels, with_labels(actions, float(self.label_cost))
        action, layers, journals = room_for(order.shape, actions), actions.layer.astype(np.int64), []
        for lane, rng in enumerate(rngs):
            waiting = len(order) if world.timed else min(world.delay, len(order)) + 1
            learner, queue = self.learner(stops), np.zeros((waiting + 2, 8))
            taken, samples, clocked = (
                np.empty(len(order), action.dtype),
                order[:, lane].copy(),
                new_lane(len(order)),
            )
            for start in range(0, len(order), CHUNK):
                coins = rng.random((min(CHUNK, len(order) - start), 4))
                told = np.zeros((len(coins) + 2, 6))
                play(
                    learner, queue, layers, actions.offloaded, world, clocked, table.rows, table.prediction,
                    samples, lane, coins, taken, start, label, kinds, told,
                )  # fmt: skip
                journals.append(as_columns(told, lane))
            take_arrived(
                learner, queue, clocked, table.rows, table.prediction, label, clock.end(clocked, lane), taken,
                kinds,
            )  # fmt: skip
            told = np.zeros((2, 6))
            tell(learner, told)
            journals.append(as_columns(told, lane))
            action[:, lane] = taken
        return replace(clock.played(table, action, actions), journal=joined(journals))

    def live(self) -> DeviceLoop:
        """Return this learner as a device loop: the same compiled code."""
        if self.buys_labels:
            raise InputError(f"{self.label} cannot run on a device: its feedback has no labels")
        return LiveStopping(self)


def as_columns(told: Floats, repeat: int) -> dict[str, NDArray[Any]]:
    """Return what `tell` wrote as columns; see `splitee.Result.certificate`."""
    t, alarms, layer, audits, account, most = told[1 : int(told[0, 0]) + 1].T
    return {
        "repeat": np.full(len(t), repeat, dtype=np.int32),
        "t": t.astype(np.int64),
        "alarms": alarms.astype(np.int64),
        "layer": layer.astype(np.int16),
        "audits": audits.astype(np.int64),
        "account": account,
        "bound": most,
    }


class LiveStopping:
    """Audited stopping on a device, sample by sample. An audit whose answer is lost counts as a loss."""

    def __init__(self, policy: AuditedStopping) -> None:
        self.policy, self.name = policy, policy.label
        self.streams: list[list[Floats]] = []  # what is reported of each stream

    def start(self, problem: Problem, rng: np.random.Generator) -> None:
        """Begin a stream."""
        self.end()
        held = problem.device_exits
        if problem.costs.sample_offload is not None:
            raise InputError("a live device does not know the cost of a sample: give costs without any")
        costs = Costs(problem.costs.gamma(held), problem.costs.offload_costs(held, 1), problem)
        self.stops, self.actions = stops_of(costs)
        self.learner, self.rng, self.exits = self.policy.learner(self.stops), rng, problem.exits
        self.kept: dict[int, Floats] = {}  # by round: what `answer` kept of audits
        self.fitted = False
        self.streams.append([])

    def begin(self, t: int, context: Context) -> int:
        """Return the first exit to evaluate."""
        self.coins = self.rng.random(4).tolist()
        due = self.learner.whole[DUE]
        if self.fitted:
            self.streams[-1].append(self.row())
        begin_round(self.learner, self.coins[0], self.coins[2])
        self.fitted = self.learner.whole[DUE] != due
        self.t, self.evaluated, self.watched, self.first = t, 0, 0, 0
        self.kind, self.slot = self.learner.whole[[KIND, SLOT]].tolist()
        if self.kind == WHOLE:
            self.kept[t] = np.zeros(5)
            self.watched = 1
            return 1
        if self.kind == RULE:
            self.watched = int(self.learner.rules.mean[self.slot, FIRST_EXIT])
            return self.watched
        return int(self.actions.layer[self.stops.asks[0, 0]])

    def decide(self, exit: int, confidence: float, prediction: int) -> int:
        """Answer, go on, or ask the last exit: offload, or run on to it."""
        labels.check_answer(self.policy, prediction)
        rules, cell = self.learner.rules, rank(EDGES, 0, float(np.float32(confidence))) + 1
        self.evaluated += 1
        if exit == self.watched:
            self.first = cell
        if self.kind == WHOLE:
            return exit + 1 if exit < len(self.stops.ask) - 1 else self.finish(exit, int(self.stops.full[1]))
        if self.kind == SAFE:
            return self.finish(exit, self.stops.asks[0, 0])
        if rules.answers[self.slot, exit, cell]:
            kept = np.zeros(5)
            if not answer(self.learner, exit, cell, self.coins[1], kept):
                return self.finish(exit, self.stops.answers[exit, self.evaluated])
            self.kept[self.t] = kept
        elif target := int(rules.target[self.slot, exit, rules.place[exit, cell]]):
            return target
        return self.finish(exit, self.stops.asks[exit, self.evaluated])

    def row(self) -> Floats:
        """Return what is reported after a round, shape (2, 6); see `tell`."""
        told = np.zeros((2, 6))
        tell(self.learner, told)
        return told

    def end(self) -> None:
        """Write down how a stream has ended."""
        if self.streams and not (self.streams[-1] and self.streams[-1][-1][1, 0] == self.learner.whole[T]):
            self.streams[-1].append(self.row())

    def journals(self) -> list[dict[str, NDArray[Any]]]:
        """Return what was told of all streams so far; see `splitee.Result.certificate`."""
        self.end()
        return [as_columns(told, repeat) for repeat, rows in enumerate(self.streams) for told in rows]

    def finish(self, exit: int, action: int) -> int:
        """Close the round; return what `decide` returns for an action."""
        close_round(self.learner, self.watched, self.first, self.coins[3])
        layer = int(self.actions.layer[action])
        return OFFLOAD if self.actions.offloaded[action] else ANSWER if layer == exit else layer

    def learn(self, t: int, feedback: Feedback) -> None:
        """Learn from an audit."""
        if t not in self.kept:
            return
        kept, at = self.kept.pop(t), list(feedback.exits)
        last = feedback.cloud_prediction if feedback.offloaded else feedback.predictions[-1]
        if last is None and kept[EXIT] == 0:
            return
        confidence = np.zeros((1, self.exits + 1), dtype=np.float32)
        prediction = np.zeros((1, self.exits + 1), dtype=np.int32)
        confidence[0, at], prediction[0, at] = feedback.confidences, feedback.predictions
        prediction[0, 0] = -1 if last is None else last
        take(self.learner, t, kept, confidence, prediction, NO_LABELS, np.uintp(0))


NAMES = (
    Name("audited-stopping", lambda s: AuditedStopping()),
    Name("audited-stopping:SHARE", lambda s, delta: AuditedStopping(share(delta))),
)
