"""What the learners of this package share: a round in a world, what it brought, and the device loop.

An arm is a layer i to split at (0: the input is offloaded). The device answers if C_i ≥ α or i = L, else it
offloads. A learner chooses an arm and, once the feedback has arrived, learns what the round brought: the
confidence c of the answer, the cost κ of the round, and so the reward c − μ·κ. If the answer was lost, c is
what the device answered with. Every learner evaluates one exit per sample, unless its file says otherwise.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from splitee._internal.jit import inlined
from splitee.policies.base import SplitLearner, SplitPolicy
from splitee.policies.loop import Feedback
from splitee.policies.played import Actions
from splitee.policies.problem import Floats, Table
from splitee.policies.timed import spent
from splitee.system.world import World, act


class Game(NamedTuple):
    """What the device does in a round, for all rounds of a replay; k is the row of a sample's length.

    Attributes
    ----------
    first, arms : int
        The arms are the layers first..m.
    alpha : ndarray, shape (L + 1,)
        See `splitee.policies.problem.alpha_by_layer`.
    mu : float
    confidence : ndarray of float32, shape (n, W), W > L
    prediction : ndarray of int32, shape (n, L + 1)
    cost, ms, mj : ndarray, shape (L + 1, k)
        What the device spends to stop at a layer.
    """

    first: int
    arms: int
    alpha: Floats
    mu: float
    confidence: NDArray[np.float32]
    prediction: NDArray[np.int32]
    cost: Floats
    ms: Floats
    mj: Floats


def game_of(policy: SplitPolicy, table: Table, world: World, actions: Actions) -> Game:
    """Return the game of a policy whose actions are `actions`."""
    columns = table.layers + 1
    _, _, ms, mj = spent(world, actions)
    if world.timed:
        cost = world.weights[0] * ms + world.weights[1] * mj
    else:
        cost = table.gamma[actions.evaluated, actions.layer][:, None]
    ms, mj, cost = (np.ascontiguousarray(each[:columns]) for each in (ms, mj, cost))
    _, alpha, mu, _, _ = policy.worth(table)
    return Game(policy.first, table.arms, alpha, mu, table.rows, table.prediction, cost, ms, mj)


def peeking(layers: int) -> Actions:
    """Return the actions of splits that evaluate exit 1 besides the exit of the split; see `Actions`."""
    plain = Actions.of_splits(layers, every_exit=False)
    exits = [sorted({1, i} if i else set()) for i in plain.layer.tolist()]
    return Actions(plain.layer, plain.offloaded, np.array([len(each) for each in exits]), exits)


@inlined
def stop_at(game, world, lane, order, action, t, r, start, taken, i):  # type: ignore[no-untyped-def]
    """Play arm i in round t of repeat r: answer there or offload; see `splitee.system.world.act`."""
    s = order[t, r]
    k = world.kind[s]
    offloads = np.float64(game.confidence[s, i]) < game.alpha[i]
    action[t, r] = i + len(game.alpha) if offloads else i
    act(world, lane, t, s, start, taken, i, game.ms[i, k], game.mj[i, k], offloads)


@inlined
def arm_of(game, action, t, r):  # type: ignore[no-untyped-def]
    """Return the arm that was played in round t."""
    i = np.int64(action[t, r])
    return i - len(game.alpha) if i >= len(game.alpha) else i


@inlined
def brought(game, world, lane, order, action, t, r):  # type: ignore[no-untyped-def]
    """Return what round t brought: the arm, the confidence of the answer, and the cost."""
    s, i = order[t, r], arm_of(game, action, t, r)
    cost, column = game.cost[i, world.kind[s]], i
    if action[t, r] >= len(game.alpha):
        cost += lane.paid[t]
        column = 0
        if lane.lost[t] > 0:
            column = game.arms if i == 0 else i
    return i, np.float64(game.confidence[s, column]), cost


def answer_of(feedback: Feedback) -> tuple[int, float, float]:
    """Return what a round of a device loop brought, as `brought` does."""
    if feedback.cloud_confidence is not None:
        confidence = feedback.cloud_confidence
    elif feedback.computed_late is not None:
        confidence = feedback.computed_late[1]
    else:
        confidence = feedback.confidences[-1]
    return feedback.layer, confidence, feedback.cost


class LiveArms(SplitLearner):
    """A learner of this package on a device; subclasses define `choose` and `take`."""

    policy: Any

    def _take_in(self, feedback: Feedback) -> None:
        self.take(*answer_of(feedback))

    def take(self, arm: int, confidence: float, cost: float) -> None:
        """Learn what a round brought."""
        raise NotImplementedError
