"""A table of UCB learners, one per cell of a context that is free, or nearly so, on the device.

In round t the context falls into a cell b, of which this is the n-th round. Every arm is played once in the
cell, ascending; then, the lowest arm on ties,

    i_t = argmax_i  Q_b(i) + β·sqrt(ln n / N_b(i)),

with the mean and the number of the rewards that have arrived of rounds of the cell. The contexts:

    length      tokens of the input: below 8, 16, 32, …, 512, or more; one cell if the trace has no lengths
    confidence  C_1 in eighths; exit 1 is evaluated first, in every round, and paid for
    link        rate that the device takes for the link's, over that at first: below 1/4, 1/2, 1, 2, or more
    backlog     samples that wait for the device: 0, 1, to 3, to 7, to 15, or more

Without a clock there is one cell of link and of backlog, and the learner is SplitEE. A table of C cells
explores C times: contexts pay where the best arm differs by cell.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import ClassVar

import numpy as np

from splitee._internal.errors import InputError
from splitee._internal.jit import inlined, kernel
from splitee.policies.arms.context import Before, lengths_of, seen_before
from splitee.policies.arms.rounds import LiveArms, brought, game_of, peeking, stop_at
from splitee.policies.base import SplitPolicy, check_switch
from splitee.policies.loop import Context
from splitee.policies.played import Actions, Played, room_for
from splitee.policies.problem import Floats, Orders, Table, check_threshold
from splitee.policies.setting import Name
from splitee.policies.ucb import logarithms
from splitee.system.world import World, begin_round, new_lane, taken_in

LENGTH, CONFIDENCE, LINK, BACKLOG = range(4)
_BY = {"length": LENGTH, "confidence": CONFIDENCE, "link": LINK, "backlog": BACKLOG}
CELLS = 8
COUNT, TOTAL = range(2)  # of a state, by cell and arm


@inlined
def doublings(n, least, most):  # type: ignore[no-untyped-def]
    """Return how often `least` must be doubled to be above n, plus 1, at most `most`; 0 if n < least."""
    cell, bound = 0, least
    while n >= bound and cell < most:
        cell, bound = cell + 1, 2 * bound
    return cell


@inlined
def cell_of(by, tokens, rate, queue, confidence):  # type: ignore[no-untyped-def]
    """Return the cell of a context."""
    if by == LENGTH:
        return doublings(tokens, 8, CELLS - 1)
    if by == CONFIDENCE:
        return min(CELLS - 1, int(confidence * CELLS))
    if by == LINK:
        return doublings(rate, 0.25, 4)
    return doublings(queue, 1, 5)


@inlined
def choose(first, beta, logs, n, state, cell):  # type: ignore[no-untyped-def]
    """Return the arm of the n-th round (from 0) of a cell.

    Parameters
    ----------
    first : int
        The lowest arm.
    beta : float
    logs : float64 array
        ln 1, ln 2, …
    n : int
    state : float64 array, shape (2, CELLS, m + 1)
        N and the sum of rewards.
    cell : int
    """
    arms = state.shape[2]
    if n < arms - first:
        return first + n
    weight, best, chosen = beta * math.sqrt(logs[n]), -math.inf, first
    for arm in range(first, arms):
        many, index = state[COUNT, cell, arm], math.inf
        if many > 0.0:
            index = state[TOTAL, cell, arm] / many + weight * (1.0 / math.sqrt(many))
        if index > best:
            best, chosen = index, arm
    return chosen


@kernel
def play(by, first, beta, logs, lengths, game, world, order, r, state, action):  # type: ignore[no-untyped-def]
    """Play all rounds of repeat r; see `choose` and `splitee.policies.arms.indices.play`."""
    lane, taken = new_lane(order.shape[0]), 0
    visits, cells = np.zeros(CELLS, np.int64), np.zeros(order.shape[0], np.int64)
    for t in range(order.shape[0]):
        s = order[t, r]
        start = begin_round(world, lane, t, r, s)
        while taken_in(lane, t, start, taken):
            arm, confidence, cost = brought(game, world, lane, order, action, taken, r)
            state[COUNT, cells[taken], arm] += 1.0
            state[TOTAL, cells[taken], arm] += confidence - game.mu * cost
            taken += 1
        rate, queue = seen_before(world, lane, t, r, start, taken)
        cell = cell_of(by, lengths[s], rate, queue, np.float64(game.confidence[s, 1]))
        i = choose(first, beta, logs, visits[cell], state, cell)
        visits[cell] += 1
        cells[t] = cell
        stop_at(game, world, lane, order, action, t, r, start, taken, i)


@dataclass(frozen=True)
class TableUCB(SplitPolicy):
    """SplitEE with a table of its own per cell of a context.

    Parameters
    ----------
    threshold : float
        α.
    by : {"length", "confidence", "link", "backlog"}
        The context; see this module.
    exploration : float
        β.
    send_input : bool
        Whether offloading the input (layer 0) is an arm too; never by confidence, which takes exit 1.

    See Also
    --------
    splitee.LinkAware : knows what confidences are worth from the source, and learns nothing.

    References
    ----------
    Contexts per backlog: buffer-aware AdaEE, whose arms are thresholds, by a summary [secondary]. The cells
    are ours.

    Examples
    --------
    >>> TableUCB(0.7, "length").label
    'UCB by length'
    """

    threshold: float
    by: str = "length"
    exploration: float = 1.0
    send_input: bool = False
    learns: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_threshold(self.threshold)
        check_switch("send_input", self.send_input)
        if not isinstance(self.by, str) or self.by not in _BY:
            raise InputError(f"by is {self.by!r}: choose {', '.join(_BY)}")
        if not (isinstance(self.exploration, Real) and 0 <= self.exploration < math.inf):
            raise InputError(f"exploration is {self.exploration!r}: give a finite number, at least 0")

    @property
    def label(self) -> str:  # noqa: D102
        return f"UCB by {self.by}"

    @property
    def peeks(self) -> bool:
        """Whether exit 1 is evaluated before the arm is chosen."""
        return self.by == "confidence"

    @property
    def has_arms(self) -> bool:  # type: ignore[override]  # noqa: D102
        return not self.peeks

    @property
    def lowest(self) -> int:
        """The lowest arm."""
        return 1 if self.peeks else self.first

    def play(  # noqa: D102
        self, table: Table, order: Orders, rngs: Sequence[np.random.Generator], world: World | None
    ) -> Played:
        world = table.in_rounds(0) if world is None else world
        actions = peeking(table.layers) if self.peeks else Actions.of_splits(table.layers, False)
        action = room_for(order.shape, actions)
        game, logs, lengths = game_of(self, table, world, actions), logarithms(len(order)), lengths_of(table)
        by, beta = _BY[self.by], float(self.exploration)
        for r in range(order.shape[1]):
            state = begin(table.arms)
            play(by, self.lowest, beta, logs, lengths, game, world, order, r, state, action)
        return Played(action, actions)

    def live(self) -> LiveTable:
        """Return this learner as a device loop."""
        return LiveTable(self)


def begin(arms: int) -> Floats:
    """Return the state before the first round."""
    return np.zeros((2, CELLS, arms + 1))


@kernel
def cell_and_arm(by, first, beta, logs, seen, visits, state):  # type: ignore[no-untyped-def]
    """Return the cell of what is seen (tokens, rate, queue, C_1) and the arm, for Python."""
    cell = cell_of(by, seen[0], seen[1], seen[2], seen[3])
    return cell, choose(first, beta, logs, visits[cell], state, cell)


class LiveTable(LiveArms):
    """A table of learners on a device, sample by sample."""

    policy: TableUCB

    def begin_stream(self) -> None:  # noqa: D102
        _, self.mu, _, _ = self.worth
        self.state, self.visits = begin(self.problem.device_exits), np.zeros(CELLS, np.int64)
        self.logs, self.before, self.cells = logarithms(2**10), Before(), list[int]()
        self.number = 0

    def begin(self, t: int, context: Context) -> int:
        """Return the first exit to evaluate."""
        if t > len(self.logs):
            self.logs = logarithms(2 * len(self.logs))
        self.seen = self.before.of(context)
        if self.policy.peeks:
            return 1
        self.pick(0.0)
        return self.split

    def pick(self, confidence: float) -> None:
        """Choose the arm."""
        policy = self.policy
        tokens, rate, queue = self.seen
        given = _BY[policy.by], policy.lowest, float(policy.exploration), self.logs
        cell, arm = cell_and_arm(*given, (tokens, rate, queue, confidence), self.visits, self.state)
        self.visits[cell] += 1
        self.cells.append(int(cell))
        self.split = int(arm)

    def decide(self, exit: int, confidence: float, prediction: int) -> int:
        """Choose the arm by exit 1 if that is the context, and answer at the split if it is sure."""
        if self.policy.peeks and exit == 1:
            self.pick(confidence)
        return self.split if exit < self.split else super().decide(exit, confidence, prediction)

    def take(self, arm: int, confidence: float, cost: float) -> None:  # noqa: D102
        cell = self.cells[self.number]
        self.number += 1
        self.state[COUNT, cell, arm] += 1.0
        self.state[TOTAL, cell, arm] += confidence - self.mu * cost


NAMES = tuple(
    Name(f"ucb-by-{by}", lambda s, by=by: TableUCB(s.threshold, by, s.exploration, s.send_input))
    for by in _BY
)
