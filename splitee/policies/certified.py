"""CertifiedSplit: layer and threshold, learned together under a certificate, without labels.

The device may answer otherwise than the last exit would have on at most a share δ of samples. The learner
begins at the fallback, which cannot disagree. It pays for audits: it asks the last exit although it could
answer. When these have certified a rule (see `certificate`) that costs less, that rule is in force. A change
test on unlabelled confidences (see `drift`) makes it forget everything, fall back, and certify anew.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

import numpy as np

from splitee._internal.errors import InputError
from splitee._internal.numbers import check_share, check_whole, share
from splitee.costs import CostModel
from splitee.policies import drift, labels
from splitee.policies.base import Policy, check_switch
from splitee.policies.certificate import (
    CONDITIONAL,
    FLYING,
    FULL,
    MODE,
    PATH,
    PLAIN,
    POPULATION,
    RULE,
    SHARE,
    SHARES,
    SPENT,
    State,
    begin_state,
    bets_of,
    learn_conditional,
    learn_full,
    level_of,
    renew,
)
from splitee.policies.certified_rounds import (
    Columns,
    as_columns,
    begin_journal,
    begin_queue,
    begin_round,
    close_round,
    joined,
    play,
    take_back,
)
from splitee.policies.commit import check_source
from splitee.policies.drift import begin_watch
from splitee.policies.labels import NO_LABELS, bought_by, check_labels, with_labels
from splitee.policies.loop import ANSWER, OFFLOAD, Context, DeviceLoop, Feedback
from splitee.policies.paths import (
    ACTION,
    ANSWERS,
    ANSWERS_LATER,
    ASKS,
    ASKS_LATER,
    FIRST_EXIT,
    FULL_AUDIT,
    SAFE,
    Costs,
    Paths,
    paths_in_time,
    paths_of,
    rank,
)
from splitee.policies.played import Actions, Played, room_for
from splitee.policies.problem import Floats, Orders, Problem, Table
from splitee.policies.setting import Name
from splitee.policies.timed import Clock
from splitee.system.world import World, new_lane
from splitee.trace import Trace

CHUNK = 2**16  # rounds whose random numbers are drawn at a time
SOME = 2**12  # rounds for which a live learner's journal has room at first
LEVELS = 1000  # alarms whose levels are computed beforehand; later ones use the last


class Learner(NamedTuple):
    """What one repeat needs: constants, state, and the levels after alarms; see `play`."""

    paths: Paths
    bets: Floats
    state: State
    watch: Floats
    needed: Floats
    alarm: float


@dataclass(frozen=True)
class CertifiedSplit(Policy):
    """Learn layer and threshold together, under a certificate, without labels.

    With probability at least 1 − `failure`, at all times at once, the rule in force answers on the device
    *and* disagrees with the last exit on at most a share `max_disagreement` of the population that samples
    are drawn from. Audits pay for the certificate; their cost is charged. After an alarm of the change test,
    the certificate speaks of the samples since then. `Result.certificate` reports the rule in force over
    time.

    Parameters
    ----------
    max_disagreement : float
        δ, from 0.0001 to 0.5.
    failure : float
        η, the probability with which the promise may be broken.
    horizon : int, optional
        The length of the stream, if it is known: audits are then worth what is left of it.
    source : Trace, optional
        The same model's trace of its source's validation data. It chooses which paths get most of `failure`,
        and may add a cascade; it cannot break the promise.
    without_replacement : bool
        Whether the stream is known to show each of `horizon` samples once, in random order: the certificate
        then speaks of these samples, and uses that few are left. All audits are full ones then.
    drift : bool
        Whether the change test runs. A fifth of `failure` is kept for the time after alarms.
    loss : {"disagreement", "error"}
        What is bounded by `max_disagreement`. "error": how much less often the device is right than the last
        exit would have been, [wrong] − [last exit wrong]. Labels are bought for that, of audited samples on
        which an exit disagrees; without one, a disagreement counts as an error.
    labels : int
        The most labels that are bought, if loss is "error".
    label_cost : float
        The cost of one label; it is charged.

    See Also
    --------
    SplitEE : learns the layer at a given threshold.

    References
    ----------
    Waudby-Smith, Ramdas (2024): Estimating means of bounded random variables by betting, JRSS B 86. Ville
    (1939). docs/certified.md has the proof.

    Examples
    --------
    >>> CertifiedSplit(0.02).label
    'certified (δ = 0.02)'
    """

    max_disagreement: float = 0.01
    failure: float = 0.05
    horizon: int | None = None
    source: Trace | None = None
    without_replacement: bool = False
    drift: bool = True
    loss: str = "disagreement"
    labels: int = 0
    label_cost: float = 1.0
    name: ClassVar[str] = "certified"
    learns: ClassVar[bool] = True
    has_arms: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_share("max_disagreement", self.max_disagreement, 1e-4, 0.5)
        check_share("failure", self.failure, 1e-12, 0.5)
        if self.horizon is not None:
            check_whole("horizon", self.horizon)
        if self.source is not None and not isinstance(self.source, Trace):
            raise InputError(f"source is {self.source!r}: give the source's validation trace, or None")
        check_switch("drift", self.drift)
        check_labels(self.loss, self.labels, self.label_cost)
        if self.loss == "error" and self.without_replacement:
            raise InputError("loss 'error' is not available without replacement")
        check_switch("without_replacement", self.without_replacement)
        if self.without_replacement and self.horizon is None:
            raise InputError("without_replacement needs the number of samples: give horizon")

    @property
    def label(self) -> str:  # noqa: D102
        return f"{self.name} (δ = {self.max_disagreement:g}{bought_by(self)})"

    @property
    def buys_labels(self) -> bool:  # noqa: D102
        return self.loss == "error"

    def check_trace(self, trace: Trace) -> None:  # noqa: D102
        labels.check_trace(self, trace)
        if self.source is not None:
            check_source(self.source, trace)

    def to_dict(self) -> dict[str, Any]:  # noqa: D102
        source = self.source and {"name": self.source.name, "fingerprint": self.source.fingerprint}
        kept = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {"policy": type(self).__name__, **kept, "source": source}

    def setting(self, costs: Costs, classes: int) -> tuple[Paths, Actions, list[float]]:
        """Return the paths under these costs, their actions and weights."""
        source = None if self.source is None else Table.of(self.source, CostModel(), 0.0, 0.5)
        labels = self.source.label if self.source is not None and self.buys_labels else None
        return paths_of(costs, classes, float(self.max_disagreement), source, labels)

    def learner(self, paths: Paths, weights: Sequence[float]) -> Learner:
        """Return a learner before its first round."""
        alarms = LEVELS if self.drift else 1
        levels = [level_of(float(self.failure), alarm, self.drift) for alarm in range(alarms)]
        needed = np.array([[math.log(1 / (level * w)) for w in weights] for level in levels]).reshape(
            alarms, -1
        )
        state = begin_state(
            paths,
            float(self.max_disagreement),
            self.horizon,
            self.without_replacement,
            self.labels if self.buys_labels else 0,
            float(self.label_cost),
        )
        renew(state, needed[0])
        alarm = drift.ALARM if self.drift else math.inf
        bets = bets_of(float(self.max_disagreement), self.buys_labels)
        return Learner(paths, bets, state, begin_watch(paths.grid.shape[1]), needed, alarm)

    def play(  # noqa: D102
        self, table: Table, order: Orders, rngs: Sequence[np.random.Generator], world: World | None
    ) -> Played:
        paths, actions, weights = self.setting(
            Costs(table.gamma, table.offload, table.problem), table.problem.classes
        )
        if self.without_replacement and self.horizon is not None and len(order) > self.horizon:
            raise InputError(f"horizon is {self.horizon}, and the stream has {len(order)} samples")
        labels.check_world(self, world)
        world = table.in_rounds(0) if world is None else world
        times = paths_in_time(world, paths, actions)
        clock = Clock(world, order.shape)
        journals = []
        label, kinds = NO_LABELS, len(actions)
        if self.buys_labels and table.labels is not None:
            label, actions = table.labels, with_labels(actions, float(self.label_cost))
        action, layers = room_for(order.shape, actions), actions.layer.astype(np.int64)
        for lane, rng in enumerate(rngs):
            learner, journal = self.learner(paths, weights), None
            waiting = len(order) if world.timed else min(world.delay, len(order)) + 1
            queue, taken = begin_queue(waiting), np.empty(len(order), dtype=action.dtype)
            samples, clocked = order[:, lane].copy(), new_lane(len(order))
            for start in range(0, len(order), CHUNK):
                coins = rng.random((min(CHUNK, len(order) - start), 2))
                journal = begin_journal(len(coins), journal)
                play(
                    learner.paths, learner.bets, learner.state, queue, learner.watch, journal, learner.needed,
                    learner.alarm, layers, actions.offloaded, *times, world, clocked,
                    table.rows, table.prediction, samples, lane, coins, taken, start, label, kinds,
                )  # fmt: skip
                journals.append(as_columns(journal, paths, lane, first=int(start > 0)))
            take_back(
                learner.paths, learner.bets, learner.state, queue, clocked, table.rows, table.prediction,
                label, clock.end(clocked, lane), taken, kinds,
            )  # fmt: skip
            action[:, lane] = taken
        return replace(clock.played(table, action, actions), journal=joined(journals))

    def live(self) -> DeviceLoop:
        """Return this learner as a device loop: the same compiled code."""
        if self.buys_labels:
            raise InputError(f"{self.label} cannot run on a device: its feedback has no labels")
        return LiveCertified(self)


class LiveCertified:
    """A certified split on a device, sample by sample.

    Feedback may arrive in any order; the learner waits for that of older rounds. If an answer is lost, a full
    audit teaches nothing, and another round counts as a disagreement.
    """

    def __init__(self, policy: CertifiedSplit) -> None:
        self.policy, self.name = policy, policy.label
        self.streams: list[list[Floats]] = []  # journals of each stream

    def start(self, problem: Problem, rng: np.random.Generator) -> None:
        """Begin a stream."""
        held = problem.device_exits
        if problem.costs.sample_offload is not None:
            raise InputError("a live device does not know the cost of a sample: give costs without any")
        costs = Costs(problem.costs.gamma(held), problem.costs.offload_costs(held, 1), problem)
        self.paths, self.actions, weights = self.policy.setting(costs, problem.classes)
        self.learner, self.rng, self.exits = self.policy.learner(self.paths, weights), rng, problem.exits
        self.streams.append([begin_journal(SOME)])
        self.waiting: dict[int, Waiting] = {}

    def begin(self, t: int, context: Context) -> int:
        """Return the first exit to evaluate."""
        paths, whole = self.paths, self.learner.state.whole
        self.t, journals = t, self.streams[-1]
        if journals[-1][0, 0] == len(journals[-1]) - 1:
            journals.append(begin_journal(SOME, journals[-1]))
        begin_round(paths, self.learner.bets, self.learner.state, journals[-1])
        self.coins = self.rng.random(2).tolist()
        self.mode, self.path, self.rule, self.share = whole[[MODE, PATH, RULE, SHARE]].tolist()
        self.watched, self.place, self.asked = 0, -1, self.mode == FULL
        if self.mode == FULL or self.path >= 0:
            self.watched = int(paths.way[self.path, FIRST_EXIT])
        if self.mode == FULL:
            return 1
        if self.path >= 0:
            self.asked = self.mode == CONDITIONAL and self.coins[0] < SHARES[self.share]
            return self.watched
        first = int(self.actions.layer[paths.way[-1, ACTION + SAFE]])
        if first in (0, self.exits):  # nothing is left to decide
            self.finish(-1, SAFE)
        return first

    def decide(self, exit: int, confidence: float, prediction: int) -> int:
        """Answer, go on, or ask the last exit: offload, or run on to it."""
        labels.check_answer(self.policy, prediction)
        paths, seen = self.paths, float(np.float32(confidence))
        if exit == self.watched:
            self.place = rank(paths.grid, 0, seen)
        if self.mode == FULL:
            return exit + 1 if exit < paths.way[-1, FIRST_EXIT] else self.finish(-1, FULL_AUDIT, exit)
        if self.path < 0:
            return self.finish(-1, SAFE, exit)
        first, second, row = paths.way[self.path, :ACTION].tolist()
        sure = self.rule <= rank(paths.grid, row if exit == first else 0, seen)
        if exit == first and not sure and second:
            return int(second)
        if exit == first and sure:
            return self.finish(self.path, ASKS if self.asked else ANSWERS, exit)
        return self.finish(self.path, ASKS_LATER if self.asked or not sure else ANSWERS_LATER, exit)

    def journals(self) -> list[Columns]:
        """Return the journals of all streams so far; see `splitee.Result.certificate`."""
        return [
            as_columns(journal, self.paths, repeat, first=int(k > 0))
            for repeat, journals in enumerate(self.streams)
            for k, journal in enumerate(journals)
        ]

    def finish(self, row: int, column: int, exit: int = 0) -> int:
        """Count the round; return what `decide` returns, after an exit, for an action of `Paths`."""
        state, action = self.learner.state, self.paths.way[row, ACTION + column]
        layer, offloaded = int(self.actions.layer[action]), self.actions.offloaded[action]
        cost = self.paths.cost[row, column]
        if self.mode == FULL or state.whole[POPULATION] == 0:
            state.total[SPENT] += cost - self.paths.cost[-1, SAFE]
        if self.mode != PLAIN:
            state.whole[FLYING] += self.mode == FULL
            self.waiting[self.t] = Waiting(self.mode, self.path, self.rule, self.share, self.asked)
        _, _, _, watch, needed, alarm = self.learner
        if close_round(state, watch, needed, alarm, self.watched, self.place, self.coins[1]):
            self.waiting.clear()
        return OFFLOAD if offloaded else ANSWER if layer == exit else layer

    def learn(self, t: int, feedback: Feedback) -> None:
        """Keep the feedback of a round that teaches, and learn from all up to the first that waits."""
        if t in self.waiting:
            self.waiting[t].feedback = feedback
        while self.waiting:
            oldest = next(iter(self.waiting))
            waiting = self.waiting[oldest]
            if waiting.feedback is None:
                return
            del self.waiting[oldest]
            self.take(waiting, waiting.feedback)

    def take(self, waiting: Waiting, feedback: Feedback) -> None:
        """Learn from a round."""
        state, at = self.learner.state, list(feedback.exits)
        confidence = np.zeros((1, self.exits + 1), dtype=np.float32)
        prediction = np.zeros((1, self.exits + 1), dtype=np.int32)
        confidence[0, at], prediction[0, at] = feedback.confidences, feedback.predictions
        last = feedback.cloud_prediction if feedback.offloaded else feedback.predictions[-1]
        prediction[0, 0] = -1 if last is None else last
        known = self.paths, self.learner.bets, state, confidence, prediction, NO_LABELS, 0
        if waiting.mode == CONDITIONAL:
            learn_conditional(*known, waiting.path, waiting.rule, waiting.share, waiting.asked)
            return
        state.whole[FLYING] -= 1
        if last is not None:
            learn_full(*known)


@dataclass
class Waiting:
    """A round that will teach: its mode, path, rule, index of the share, whether the last exit was asked."""

    mode: int
    path: int
    rule: int
    share: int
    asked: bool
    feedback: Feedback | None = None


NAMES = (
    Name("certified", lambda s: CertifiedSplit(source=s.source), ("CertifiedSplit",), source=True),
    Name("certified:SHARE", lambda s, delta: CertifiedSplit(share(delta), source=s.source), source=True),
)
