"""What the learners of this folder share: checks, bins of confidence, and the device loop.

They ask whether an answer is right without labels: an exit is *right* if it answers as the last exit, or the
cloud's model, does. That is known of offloaded samples only, once the answer is back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from splitee._internal.errors import InputError
from splitee._internal.jit import inlined
from splitee._internal.numbers import check_whole
from splitee.policies.base import Policy
from splitee.policies.loop import Context, Feedback
from splitee.policies.played import Actions, Played, room_for
from splitee.policies.problem import Floats, Orders, Problem, Table
from splitee.policies.setting import Setting
from splitee.system.world import World
from splitee.trace import Trace

Row = NDArray[np.float32]
Answers = NDArray[np.int32]
NO_SCORES = "{} needs classes: scores of a regression neither agree nor disagree"


@inlined
def bin_of(low, scale, bins, confidence):  # type: ignore[no-untyped-def]
    """Return the bin of a confidence, from 0; `low` and `scale` are of `binning`."""
    b = np.int64((np.float64(confidence) - low) * scale)
    return min(max(b, 0), bins - 1)


def binning(classes: int, bins: int) -> tuple[float, float]:
    """Return (1/K, bins per point of confidence): the bins lie between 1/K and 1."""
    low = 1.0 / max(classes, 2)
    return low, bins / (1.0 - low)


class ThresholdLearner(Policy):
    """A learner that offloads, or stays, by what it has seen of offloaded samples."""

    learns: ClassVar[bool] = True
    has_arms: ClassVar[bool] = False
    needs_classes: ClassVar[bool] = False  # compares answers, so that the scores of a regression do not do

    def check_trace(self, trace: Trace) -> None:  # noqa: D102
        if self.needs_classes and trace.value is not None:
            raise InputError(NO_SCORES.format(self.label))

    def play(  # noqa: D102
        self, table: Table, order: Orders, rngs: Sequence[np.random.Generator], world: World | None
    ) -> Played:
        actions = Actions.of_splits(table.layers, self.every_exit)
        action = room_for(order.shape, actions)
        world = table.in_rounds(0) if world is None else world
        for r in range(order.shape[1]):
            self.play_one(table, world, order, r, rngs[r], action)
        return Played(action, actions)

    def play_one(
        self,
        table: Table,
        world: World,
        order: Orders,
        r: int,
        rng: np.random.Generator,
        action: NDArray[np.unsignedinteger],
    ) -> None:
        """Play repeat r, and fill in its column of `action`: the layer, plus L + 1 if it offloads."""
        raise NotImplementedError


@dataclass(frozen=True)
class Seen:
    """What one sample brought, as the compiled functions take it.

    Attributes
    ----------
    confidence : ndarray of float32, shape (1, L + 1)
        Column 0 is the cloud's. 0 where none was seen.
    prediction : ndarray of int32, shape (1, L + 1)
    split : int
        Where the device stopped; 0: the input was offloaded.
    offloaded, known : bool
        Whether it was offloaded, and whether column 0 was seen.
    device, offload : ndarray, shape (L + 1,)
        What stopping at, and offloading after, each layer costs.
    """

    confidence: Row
    prediction: Answers
    split: int
    offloaded: bool
    known: bool
    device: Floats
    offload: Floats


class LiveLearner:
    """The device loop of a learner of this folder; it takes feedback in in the order of the rounds.

    Parameters
    ----------
    policy : ThresholdLearner
    """

    def __init__(self, policy: Any) -> None:
        if policy.sees_final:
            raise InputError(f"{policy.label} reads what no device knows, so it cannot run on one")
        self.policy, self.name = policy, policy.label

    def start(self, problem: Problem, rng: np.random.Generator) -> None:
        """Begin a stream."""
        self.problem, self.rng = problem, rng
        _, self.mu, self.gamma, self.offload = problem.worth(0.5, self.policy.every_exit)
        self.early: dict[int, Feedback] = {}  # of rounds after one whose feedback has not arrived
        self.taken = 0
        self.begin_stream()

    def learn(self, t: int, feedback: Feedback) -> None:
        """Learn from what has arrived, as in a replay: in the order of the rounds."""
        self.early[t] = feedback
        while (following := self.early.pop(self.taken + 1, None)) is not None:
            self.taken += 1
            self.update(self.taken, self.seen(following))

    def seen(self, feedback: Feedback) -> Seen:
        """Return feedback as arrays."""
        exits = self.problem.exits
        confidence = np.zeros((1, exits + 1), dtype=np.float32)
        prediction = np.zeros((1, exits + 1), dtype=np.int32)
        at, known = list(feedback.exits), False
        confidence[0, at] = feedback.confidences
        if self.policy.needs_classes:
            if any(isinstance(answer, float) for answer in feedback.predictions):
                raise InputError(NO_SCORES.format(self.name))
            prediction[0, at] = feedback.predictions
        if feedback.offloaded and feedback.cloud_confidence is not None:
            known, confidence[0, 0] = True, feedback.cloud_confidence
            if self.policy.needs_classes:
                assert feedback.cloud_prediction is not None
                prediction[0, 0] = feedback.cloud_prediction
        elif not feedback.offloaded and feedback.layer == exits and not self.problem.other_cloud:
            known, confidence[0, 0], prediction[0, 0] = True, confidence[0, -1], prediction[0, -1]
        device, offload = self.gamma, self.offload[0]
        if feedback.device_costs is not None and feedback.offload_costs is not None:
            device = feedback.device_costs[1 if self.policy.every_exit else 0]
            offload = feedback.offload_costs
        return Seen(confidence, prediction, feedback.layer, feedback.offloaded, known, device, offload)

    def begin_stream(self) -> None:
        """Make the state afresh."""
        raise NotImplementedError

    def begin(self, t: int, context: Context) -> int:
        """Return the first exit to evaluate."""
        raise NotImplementedError

    def decide(self, exit: int, confidence: float, prediction: int) -> int:
        """Answer, offload, or go on."""
        raise NotImplementedError

    def update(self, t: int, seen: Seen) -> None:
        """Learn from the sample of round t."""
        raise NotImplementedError


@inlined
def is_known(lane, taken, offloaded, split, last, other_cloud):  # type: ignore[no-untyped-def]
    """Return whether round `taken` has shown the cloud's answer: offloaded and back, or exit L reached."""
    if offloaded:
        return lane.lost[taken] == 0
    return split == last and not other_cloud


def check_at_least(name: str, value: object, least: float = 0.0) -> None:
    """Raise InputError unless `value` is a finite number of at least `least`."""
    if isinstance(value, bool) or not (isinstance(value, Real) and least <= float(value) < np.inf):
        raise InputError(f"{name} is {value!r}: give a finite number, at least {least:g}")


def check_grid(name: str, values: object, least: int = 1) -> tuple[float, ...]:
    """Return confidences between 0 and 1, ascending, as floats; InputError unless they are that."""
    if not isinstance(values, Sequence | np.ndarray) or isinstance(values, str) or len(values) < least:
        raise InputError(f"{name} is {values!r}: give at least {least} confidences, ascending")
    grid = tuple(float(value) for value in values)
    if any(not 0 <= value <= 1 for value in grid) or any(a >= b for a, b in zip(grid, grid[1:])):  # noqa: B905, RUF007
        raise InputError(f"{name} is {values!r}: give confidences between 0 and 1, ascending")
    return grid


def check_layer(layer: object) -> None:
    """Raise InputError unless the layer is a whole number from 1."""
    check_whole("layer", layer)


def local_exit(setting: Setting) -> int:
    """Return the exit that stands for the local model: the device's last, or half of L if it holds all."""
    return setting.arms if setting.arms < setting.layers else max(1, setting.layers // 2)
