"""HI-LCB: when is a local answer sure enough? Learned from offloaded samples, a table for each layer.

Hierarchical inference has a local model, a remote one, and a confidence. Let f_i(b) be the probability
that exit i is right if its confidence lies in bin b. An error costs κ, offloading μ·o. The best rule at exit
i keeps a sample if κ·(1 − f_i(b)) < μ·o. Whether an exit was right is seen of offloaded samples only. With
N_i(b) of them, a mean f̂_i(b) and w = sqrt(a·ln t / N), HI-LCB-lite offloads at exit i if

    κ·(1 − max(0, f̂_i(b) − w_i(b))) ≥ μ·o_i:

doubt offloads, and that teaches. HI-LCB knows that f grows with the confidence, and takes the greatest of
these bounds over the bins up to b.

The paper has one exit. With `layer=None` the exit is chosen as well, which is ours: all exits up to the one
in use are evaluated, an offloaded sample teaches all of them, and, with h_i the shares of bins at exit i,

    i_t = argmin_i μ·γ_i + Σ_b h_i(b)·min(κ·(1 − min(1, f̂_i(b) + w_i(b))), μ·o_i),

for HI-LCB with the least of the upper bounds over the bins from b on. An exit not seen yet costs μ·γ_i here,
so that it is tried; offloading the input (i = 0) costs μ·o_0, and exit L is right. γ_i and o_i are means over
the samples taken in; the paper also has a case in which the cost of offloading is drawn at random.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from splitee._internal.errors import InputError
from splitee._internal.jit import inlined, kernel
from splitee._internal.numbers import check_whole
from splitee.policies.base import check_switch
from splitee.policies.loop import ANSWER, OFFLOAD, Context
from splitee.policies.problem import Floats, Orders, Table
from splitee.policies.setting import Name
from splitee.policies.thresholds.device import (
    LiveLearner,
    Seen,
    ThresholdLearner,
    bin_of,
    binning,
    check_at_least,
    check_layer,
    is_known,
)
from splitee.policies.ucb import logarithms
from splitee.system.world import World, act_at, begin_round, new_lane, offload_cost, taken_in

BINS, FAR = 20, 25  # bins of confidence; the layer is chosen anew at least so often
SEEN, JUDGED, RIGHT = range(3)  # of `table`
GAMMA, OFFLOAD_COST = range(2)  # of `spent`


@inlined
def keeps(lite, error, least, width, table, i, b):  # type: ignore[no-untyped-def]
    """Return whether the answer of exit i in bin b is sure enough: κ·(1 − the lower bound of f) < μ·o.

    Parameters
    ----------
    lite : bool
    error, least : float
        κ, and μ·o of the layer.
    width : float
        a·ln t.
    table : float64 array, shape (3, L + 1, bins)
        Samples seen, judged (offloaded), and right.
    i, b : int
    """
    if error < least:  # no error is worth asking
        return True
    for c in range(b, (b if lite else 0) - 1, -1):  # the first bound that suffices does
        n = table[JUDGED, i, c]
        if n > 0.0 and error * (1.0 - (table[RIGHT, i, c] / n - math.sqrt(width / n))) < least:
            return True
    return False


@inlined
def best_layer(lite, error, mu, first, arms, width, table, spent, samples):  # type: ignore[no-untyped-def]
    """Return the layer of the least cost, as far as is known, the lowest on ties; see `keeps`.

    Parameters
    ----------
    first, arms : int
        The layers are first..m.
    spent : float64 array, shape (2, L + 1)
        Sums of γ and o over the samples taken in.
    samples : float
        How many these are.
    """
    least, at, last = math.inf, first, table.shape[1] - 1
    for i in range(first, arms + 1):
        gamma = mu * (spent[GAMMA, i] / samples) if samples > 0.0 else 0.0
        asking = mu * (spent[OFFLOAD_COST, i] / samples) if samples > 0.0 else 0.0
        loss, seen, high = 0.0, 0.0, 1.0
        if i == 0:
            loss = asking
        elif i < last:
            for b in range(table.shape[2] - 1, -1, -1):
                n, bound = table[JUDGED, i, b], 1.0
                if n > 0.0:
                    bound = min(1.0, table[RIGHT, i, b] / n + math.sqrt(width / n))
                high = bound if lite else min(high, bound)
                loss += table[SEEN, i, b] * min(error * (1.0 - high), asking)
                seen += table[SEEN, i, b]
            loss = loss / seen if seen > 0.0 else 0.0
        value = gamma + loss
        if value < least:
            least, at = value, i
    return at


@inlined
def learn(low, scale, confidence, prediction, s, split, every, known, table):  # type: ignore[no-untyped-def]
    """Count what sample s has shown: of exits 1..split, or of `split` alone.

    Parameters
    ----------
    low, scale : float
        See `bin_of`.
    confidence : float32 array, shape (n, W)
    prediction : int32 array, shape (n, L + 1)
    s, split : int
    every : bool
        Whether exits 1..split were evaluated.
    known : bool
        Whether the cloud's answer was seen.
    table
        See `keeps`.
    """
    for j in range(1 if every else max(split, 1), split + 1):
        b = bin_of(low, scale, table.shape[2], confidence[s, j])
        table[SEEN, j, b] += 1.0
        if known:
            table[JUDGED, j, b] += 1.0
            if prediction[s, j] == prediction[s, 0]:
                table[RIGHT, j, b] += 1.0


@inlined
def next_choice(t):  # type: ignore[no-untyped-def]
    """Return the round in which the layer is chosen anew after round t."""
    return t + 1 + min(t // 32, FAR - 1)


@kernel
def play(  # type: ignore[no-untyped-def]
    lite, exploration, error, first, arms, every, low, scale, bins, logs, mu, other_cloud, confidence,
    prediction, world, order, r, action,
):  # fmt: skip
    """Play all rounds of repeat r.

    Parameters
    ----------
    lite, error, first, arms, low, scale
        See `keeps`, `best_layer` and `learn`.
    exploration : float
        a.
    every : bool
        Whether all exits up to the layer are evaluated.
    bins : int
    logs : float64 array, shape (rounds,)
        ln t.
    mu : float
    other_cloud : bool
    confidence, prediction
        See `learn`.
    world : World
    order : int32 array, shape (rounds, repeats)
    r : int
    action : uint8 or uint16 array, shape (rounds, repeats)
        Filled in: the layer, plus L + 1 if it offloads.
    """
    rounds, columns = order.shape[0], world.device.shape[2]
    table, spent = np.zeros((3, columns, bins)), np.zeros((2, columns))
    lane, taken, e = new_lane(rounds), 0, 1 if every else 0
    i, due = first, 0
    for t in range(rounds):
        s = order[t, r]
        start = begin_round(world, lane, t, r, s)
        while taken_in(lane, t, start, taken):
            u, split = order[taken, r], np.int64(action[taken, r])
            offloaded = split >= columns
            split = split - columns if offloaded else split
            known = is_known(lane, taken, offloaded, split, columns - 1, other_cloud)
            k = world.kind[u]
            for j in range(first, arms + 1):
                spent[GAMMA, j] += world.device[e, k, j]
                if offloaded and j == split:
                    spent[OFFLOAD_COST, j] += lane.paid[taken]
                else:
                    spent[OFFLOAD_COST, j] += offload_cost(world, u, k, j, lane.rate[taken])
            learn(low, scale, confidence, prediction, u, split, every, known, table)
            taken += 1
        width = exploration * logs[t]
        if first < arms and t >= due:
            i = best_layer(lite, error, mu, first, arms, width, table, spent, np.float64(taken))
            due = next_choice(t)
        offloads = i == 0
        if 0 < i < columns - 1:
            least = mu * (spent[OFFLOAD_COST, i] / taken) if taken > 0 else 0.0
            b = bin_of(low, scale, bins, confidence[s, i])
            offloads = not keeps(lite, error, least, width, table, i, b)
        action[t, r] = i + columns if offloads else i
        k = world.kind[s]
        act_at(world, lane, t, s, start, taken, i, e, offloads)


@dataclass(frozen=True)
class HILCB(ThresholdLearner):
    """Offload while the exit may be wrong: bounds on how often it is right, by confidence.

    Parameters
    ----------
    layer : int, optional
        The exit that is the local model. Default: it is chosen too, and all exits on the way are evaluated.
    lite : bool
        HI-LCB-lite: does not use that f grows with the confidence.
    exploration : float
        a ≥ 0.
    error : float
        κ: what an error costs, in points (of which a unit of cost takes μ). 1: accuracy and cost are
        weighed as in the utility, [right] − μ·cost.
    bins : int
        Of confidence, between 1/K and 1.
    send_input : bool
        Whether offloading the input (layer 0) is an option too; only if the layer is chosen.

    See Also
    --------
    PCEEOnline : keeps the share of errors among kept answers small, at whatever cost.

    References
    ----------
    HI-LCB and HI-LCB-lite: arXiv 2508.08985 (2025). Only the abstract could be read: the rule is derived
    from it, and the constant of the width is from memory. Its regret of O(log T) is claimed for one exit.

    Examples
    --------
    >>> import splitee
    >>> trace = splitee.load_trace("rte_validation")
    >>> result = splitee.replay(trace, HILCB(layer=6), splitee.CostModel(device_layers=6), repeats=1)
    >>> result.policy.label, set(result.split[0].tolist())
    ('HI-LCB (exit 6)', {6})
    """

    layer: int | None = None
    lite: bool = False
    exploration: float = 0.5
    error: float = 1.0
    bins: int = BINS
    send_input: bool = False
    name: ClassVar[str] = "HI-LCB"
    needs_classes: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.layer is not None:
            check_layer(self.layer)
            if self.send_input:
                raise InputError("send_input needs a layer that is chosen: leave layer out")
        check_switch("lite", self.lite)
        check_switch("send_input", self.send_input)
        check_at_least("exploration", self.exploration)
        check_at_least("error", self.error)
        check_whole("bins", self.bins)

    @property
    def every_exit(self) -> bool:  # type: ignore[override]  # noqa: D102
        return self.layer is None

    @property
    def label(self) -> str:  # noqa: D102
        at = "" if self.layer is None else f" (exit {self.layer})"
        return f"{self.name}{'-lite' if self.lite else ''}{at}"

    def deepest(self, layers: int, arms: int) -> int:  # noqa: D102
        return arms if self.layer is None else self.layer

    def options(self, arms: int) -> tuple[int, int]:
        """Return the lowest and the deepest layer that may be chosen."""
        return (0 if self.send_input else 1, arms) if self.layer is None else (self.layer, self.layer)

    def play_one(  # noqa: D102
        self,
        table: Table,
        world: World,
        order: Orders,
        r: int,
        rng: np.random.Generator,
        action: NDArray[np.unsignedinteger],
    ) -> None:
        play(
            self.lite, float(self.exploration), float(self.error), *self.options(table.arms), self.every_exit,
            *binning(table.problem.classes, self.bins), self.bins, logarithms(len(order)), table.mu,
            table.other_cloud, table.rows, table.prediction, world, order, r, action,
        )  # fmt: skip

    def live(self) -> LiveHILCB:  # noqa: D102
        return LiveHILCB(self)


class LiveHILCB(LiveLearner):
    """HI-LCB on a device, sample by sample."""

    policy: HILCB

    def begin_stream(self) -> None:  # noqa: D102
        self.first, self.arms = self.policy.options(self.problem.device_exits)
        self.low, self.scale = binning(self.problem.classes, self.policy.bins)
        self.table = np.zeros((3, self.problem.exits + 1, self.policy.bins))
        self.spent: Floats = np.zeros((2, self.problem.exits + 1))
        self.split, self.due = self.first, 0

    def begin(self, t: int, context: Context) -> int:  # noqa: D102
        policy = self.policy
        self.width = float(policy.exploration) * math.log(t)
        known = self.width, self.table, self.spent, float(self.taken)
        if self.first < self.arms and t - 1 >= self.due:
            self.split = best_layer(policy.lite, float(policy.error), self.mu, self.first, self.arms, *known)
            self.due = next_choice(t - 1)
        return min(1, self.split) if policy.every_exit else self.split

    def decide(self, exit: int, confidence: float, prediction: int) -> int:  # noqa: D102
        if exit < self.split:
            return exit + 1
        policy = self.policy
        least = self.mu * (self.spent[OFFLOAD_COST, exit] / self.taken) if self.taken else 0.0
        b = bin_of(self.low, self.scale, policy.bins, np.float32(confidence))
        kept = keeps(policy.lite, float(policy.error), least, self.width, self.table, exit, b)
        return ANSWER if kept else OFFLOAD

    def update(self, t: int, seen: Seen) -> None:  # noqa: D102
        self.spent[GAMMA, self.first : self.arms + 1] += seen.device[self.first : self.arms + 1]
        self.spent[OFFLOAD_COST, self.first : self.arms + 1] += seen.offload[self.first : self.arms + 1]
        learn(
            self.low, self.scale, seen.confidence, seen.prediction, 0, seen.split, self.policy.every_exit,
            seen.known, self.table,
        )  # fmt: skip


NAMES = (
    Name("hi-lcb", lambda s: HILCB(send_input=s.send_input), ("HILCB",)),
    Name("hi-lcb-lite", lambda s: HILCB(lite=True, send_input=s.send_input)),
    Name("hi-lcb:LAYER", lambda s, layer: HILCB(layer=s.layer(layer))),
)
