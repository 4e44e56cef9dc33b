"""PCEE: exit where samples of like confidence were right often enough; tables are given, or learned.

A table holds, for each exit and bin of confidence, the share A_i(b) of samples on which the exit was right.
Exits are evaluated in turn, and the first with A_i(b) ≥ ρ answers. One ρ serves all exits, where a threshold
on the confidence itself means something else at each.

`PCEE` has its tables from the labelled validation trace of the source (the paper), or from agreement with the
last exit there (ours). The paper's authors say that it breaks where the data shift. `PCEEOnline` (ours; no
paper has it) fills its tables with what was offloaded: right is what agrees with the cloud. Of N samples
judged in a bin let e be the share that disagreed; with x = a·ln t / N, the exit answers if

    e + x + sqrt(x² + 2·e·x) ≤ 1 − ρ,

a Chernoff bound on the bin's error (kl(e, u) ≥ (u − e)²/(2u)). A sample that no exit of the device may
answer is offloaded after the last, and teaches all exits. Bins that answer teach nothing more until ln t has
grown: the bound then fails, and some of them are offloaded again. It is HI-LCB (`hierarchical`) with a limit
instead of a price: the limit holds bin by bin for the samples that reach an exit, as far as what was judged
early still holds.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from splitee._internal.errors import InputError
from splitee._internal.jit import inlined, kernel
from splitee._internal.numbers import check_share, check_whole, share
from splitee.policies.base import BySample, Policy, check_switch
from splitee.policies.cascades import LiveCascade, first_sure
from splitee.policies.commit import check_source
from splitee.policies.loop import ANSWER, OFFLOAD, Context, DeviceLoop
from splitee.policies.played import Actions
from splitee.policies.problem import Floats, Orders, Problem, Table
from splitee.policies.rules import Memory, Rule, Said, Sure
from splitee.policies.setting import Name
from splitee.policies.thresholds.device import (
    NO_SCORES,
    LiveLearner,
    Seen,
    ThresholdLearner,
    bin_of,
    binning,
    check_at_least,
    is_known,
)
from splitee.policies.ucb import logarithms
from splitee.system.world import World, act_at, begin_round, new_lane, taken_in
from splitee.trace import Trace

JUDGED, WRONG = range(2)  # of `table`
BINS = 20


@dataclass(frozen=True, eq=False)
class OftenRight(Rule):
    """The bin of the confidence was right often enough.

    Parameters
    ----------
    right : ndarray, shape (L, bins)
        Shares; 0 where nothing is known.
    level : float
        ρ.
    classes : int
        K: the bins lie between 1/K and 1.

    Examples
    --------
    >>> rule = OftenRight(np.array([[0.5, 0.99]]), 0.9, 2)
    >>> rule.sure(1, Said(np.float32([0.6, 0.9]), np.array([0, 1])), None)[0]
    array([False,  True])
    """

    right: Floats
    level: float
    classes: int

    def sure(self, exit_: int, said: Said, memory: Memory | None) -> tuple[Sure, Memory | None]:  # noqa: D102
        bins = self.right.shape[1]
        low, scale = binning(self.classes, bins)
        b = ((said.confidence.astype(np.float64) - low) * scale).astype(np.int64)
        return self.right[exit_ - 1, np.clip(b, 0, bins - 1)] >= self.level, None


def share_right(source: Trace, of: str, bins: int) -> Floats:
    """Return how often each exit of a trace is right, by bin of confidence, shape (L, bins).

    Parameters
    ----------
    source : Trace
    of : {"label", "agreement"}
        What right is: the label, or the answer of the last exit, or of the cloud's model.
    bins : int
        Between 1/K and 1. Empty ones have 0.
    """
    truth = source.label
    if of == "agreement":
        truth = source.prediction[:, -1] if source.cloud_prediction is None else source.cloud_prediction
    assert truth is not None
    low, scale = binning(source.classes, bins)
    at = np.clip(((source.confidence.astype(np.float64) - low) * scale).astype(np.int64), 0, bins - 1)
    right: Floats = np.zeros((source.layers, bins))
    for i in range(source.layers):
        many = np.bincount(at[:, i], minlength=bins)
        hits = np.bincount(at[source.prediction[:, i] == truth, i], minlength=bins)
        right[i] = hits / np.maximum(many, 1)
    return right


@dataclass(frozen=True)
class PCEE(Policy):
    """The first exit whose bin of confidence was right often enough on the source answers.

    Parameters
    ----------
    source : Trace
        The same model's trace of its source's validation data.
    level : float
        ρ, the share that must have been right.
    of : {"label", "agreement"}
        What right is: the label (the paper), or what the last exit answers.
    bins : int
        Of confidence, between 1/K and 1.
    last : int, optional
        The exit that answers at the latest. Default: L; with `offload`, the last exit of the device.
    offload : bool
        Whether a sample that no exit may answer is offloaded after the last (ours), instead of answered
        there.

    See Also
    --------
    PCEEOnline : fills its tables itself.

    References
    ----------
    PCEE, arXiv 2412.19325 (known from a third-party summary).

    Examples
    --------
    >>> source = Trace([[0.6, 0.9], [0.8, 0.9]], [[0, 1], [1, 1]], [1, 1])
    >>> PCEE(source, 0.95).label
    'PCEE (0.95 right)'
    """

    source: Trace
    level: float = 0.95
    of: str = "label"
    bins: int = BINS
    last: int | None = None
    offload: bool = False
    name: ClassVar[str] = "PCEE"
    every_exit: ClassVar[bool] = True
    has_arms: ClassVar[bool] = False
    varies: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not isinstance(self.source, Trace):
            raise InputError(f"source is {self.source!r}: give the source's validation trace")
        check_share("level", self.level, 0.0, 1.0)
        check_whole("bins", self.bins)
        check_switch("offload", self.offload)
        if self.of not in ("label", "agreement"):
            raise InputError(f"of is {self.of!r}: choose label or agreement")
        if self.source.value is not None:
            raise InputError(NO_SCORES.format(self.name))
        if self.of == "label" and self.source.label is None:
            raise InputError(f"source trace {self.source.name} has no labels: give of='agreement'")
        if self.last is not None:
            check_whole("layer", self.last)

    @property
    def label(self) -> str:  # noqa: D102
        agree = "agree" if self.of == "agreement" else "right"
        upto = "" if self.last is None else f", ≤ {self.last}"
        return f"{self.name} ({self.level:g} {agree}{upto}{', else offload' if self.offload else ''})"

    @property
    def rule(self) -> OftenRight:
        """When an exit may answer."""
        return OftenRight(share_right(self.source, self.of, self.bins), self.level, self.source.classes)

    def check_trace(self, trace: Trace) -> None:  # noqa: D102
        check_source(self.source, trace)

    def deepest(self, layers: int, arms: int) -> int:  # noqa: D102
        return self.last or (arms if self.offload else layers)

    def by_sample(self, table: Table) -> BySample:  # noqa: D102
        last, rule = self.deepest(table.layers, table.arms), self.rule
        layer = first_sure(rule, table, last).astype(np.int64)
        actions = Actions.of_splits(table.layers, self.every_exit)
        if self.offload and last < table.layers:
            unsure = ~rule.sure(last, Said(table.confidence[:, last], table.prediction[:, last]), None)[0]
            layer = np.where((layer == last) & unsure, last + table.layers + 1, layer)
        return layer.astype(actions.dtype), actions

    def live(self) -> DeviceLoop:  # noqa: D102
        return LivePCEE(self.label, self.rule, self.last, offloads=self.offload)

    def to_dict(self) -> dict[str, Any]:  # noqa: D102
        kept = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        source = {"name": self.source.name, "fingerprint": self.source.fingerprint}
        return {"policy": type(self).__name__, **kept, "source": source}


class LivePCEE(LiveCascade):
    """PCEE on a device: a cascade whose last exit may offload."""

    def __init__(self, name: str, rule: Rule, last: int | None, offloads: bool) -> None:
        super().__init__(name, rule, last)
        self.offloads = offloads

    def start(self, problem: Problem, rng: np.random.Generator) -> None:
        """Begin a stream."""
        super().start(problem, rng)
        if self.offloads and self.last is None:
            self.end = problem.device_exits

    def decide(self, exit: int, confidence: float, prediction: float, entropy: float | None = None) -> int:
        """Answer if the rule is sure, else go on; offload or answer at the end."""
        if exit < self.end or not self.offloads:
            return super().decide(exit, confidence, prediction, entropy)
        said = Said(np.array([confidence], dtype=np.float32), np.array([prediction]))
        return ANSWER if self.rule.sure(exit, said, None)[0][0] else OFFLOAD


@inlined
def sure(limit, width, table, i, b):  # type: ignore[no-untyped-def]
    """Return whether the error of exit i in bin b is at most the limit 1 − ρ; see this module.

    Parameters
    ----------
    limit : float
        1 − ρ.
    width : float
        a·ln t.
    table : float64 array, shape (2, L + 1, bins)
        Samples judged, and how many of them the exit got wrong.
    i, b : int
    """
    n = table[JUDGED, i, b]
    if n == 0.0:
        return False
    wrong, x = table[WRONG, i, b] / n, width / n
    return wrong + x + math.sqrt(x * x + 2.0 * wrong * x) <= limit


@inlined
def learn(low, scale, confidence, prediction, s, split, table):  # type: ignore[no-untyped-def]
    """Judge exits 1..split by what the cloud has answered."""
    for j in range(1, split + 1):
        b = bin_of(low, scale, table.shape[2], confidence[s, j])
        table[JUDGED, j, b] += 1.0
        table[WRONG, j, b] += 1.0 if prediction[s, j] != prediction[s, 0] else 0.0


@kernel
def play(  # type: ignore[no-untyped-def]
    limit, arms, low, scale, bins, widths, other_cloud, confidence, prediction, world, order, r, action
):
    """Play all rounds of repeat r.

    Parameters
    ----------
    limit : float
        1 − ρ.
    arms : int
        m.
    low, scale, bins
        See `bin_of`.
    widths : float64 array, shape (rounds,)
        a·ln t.
    other_cloud : bool
    confidence : float32 array, shape (n, W)
    prediction : int32 array, shape (n, L + 1)
    world : World
    order : int32 array, shape (rounds, repeats)
    r : int
    action : uint8 or uint16 array, shape (rounds, repeats)
        Filled in: the layer, plus L + 1 if it offloads.
    """
    rounds, columns = order.shape[0], world.device.shape[2]
    table, lane, taken = np.zeros((2, columns, bins)), new_lane(rounds), 0
    for t in range(rounds):
        s = order[t, r]
        start = begin_round(world, lane, t, r, s)
        while taken_in(lane, t, start, taken):
            split = np.int64(action[taken, r])
            offloaded = split >= columns
            split = split - columns if offloaded else split
            if is_known(lane, taken, offloaded, split, columns - 1, other_cloud):
                learn(low, scale, confidence, prediction, order[taken, r], split, table)
            taken += 1
        i, answers = 1, False
        while True:
            b = bin_of(low, scale, bins, confidence[s, i])
            answers = i == columns - 1 or sure(limit, widths[t], table, i, b)
            if answers or i == arms:
                break
            i += 1
        action[t, r] = i if answers else i + columns
        act_at(world, lane, t, s, start, taken, i, 1, not answers)


@dataclass(frozen=True)
class PCEEOnline(ThresholdLearner):
    """PCEE whose tables are filled by what was offloaded.

    The first exit answers whose bin of confidence has agreed with the cloud often enough; if there is none,
    the sample is offloaded after the last exit of the device.

    Parameters
    ----------
    level : float
        ρ, the share that must agree.
    exploration : float
        a ≥ 0.
    bins : int
        Of confidence, between 1/K and 1.

    See Also
    --------
    HILCB : weighs errors and offloads by their costs.
    CertifiedSplit : bounds the share of all samples that are answered wrongly, at all times at once.

    References
    ----------
    The table is PCEE's (arXiv 2412.19325, known from a third-party summary); that it is learned is ours.

    Examples
    --------
    >>> PCEEOnline(0.95).label
    'PCEE online (0.95 agree)'
    """

    level: float = 0.95
    exploration: float = 0.5
    bins: int = BINS
    name: ClassVar[str] = "PCEE online"
    every_exit: ClassVar[bool] = True
    needs_classes: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_share("level", self.level, 0.0, 1.0)
        check_at_least("exploration", self.exploration)
        check_whole("bins", self.bins)

    @property
    def label(self) -> str:  # noqa: D102
        return f"{self.name} ({self.level:g} agree)"

    def play_one(  # noqa: D102
        self,
        table: Table,
        world: World,
        order: Orders,
        r: int,
        rng: np.random.Generator,
        action: NDArray[np.unsignedinteger],
    ) -> None:
        widths = float(self.exploration) * logarithms(len(order))
        play(
            1.0 - float(self.level), table.arms, *binning(table.problem.classes, self.bins), self.bins,
            widths, table.other_cloud, table.rows, table.prediction, world, order, r, action,
        )  # fmt: skip

    def live(self) -> LivePCEEOnline:  # noqa: D102
        return LivePCEEOnline(self)


class LivePCEEOnline(LiveLearner):
    """PCEE online on a device, sample by sample."""

    policy: PCEEOnline

    def begin_stream(self) -> None:  # noqa: D102
        self.bins = binning(self.problem.classes, self.policy.bins)
        self.table = np.zeros((2, self.problem.exits + 1, self.policy.bins))

    def begin(self, t: int, context: Context) -> int:  # noqa: D102
        self.width = float(self.policy.exploration) * math.log(t)
        return 1

    def decide(self, exit: int, confidence: float, prediction: int) -> int:  # noqa: D102
        b = bin_of(*self.bins, self.policy.bins, np.float32(confidence))
        if sure(1.0 - float(self.policy.level), self.width, self.table, exit, b):
            return ANSWER
        return exit + 1 if exit < self.problem.device_exits else OFFLOAD

    def update(self, t: int, seen: Seen) -> None:  # noqa: D102
        if seen.known:
            learn(*self.bins, seen.confidence, seen.prediction, 0, seen.split, self.table)


NAMES = (
    Name("pcee", lambda s: PCEE(s.source_of("pcee"), last=s.last), source=True),
    Name("pcee-online", lambda s: PCEEOnline()),
    Name("pcee:SHARE", lambda s, level: PCEE(s.source_of("pcee"), share(level), last=s.last), source=True),
    Name("pcee-online:SHARE", lambda s, level: PCEEOnline(share(level))),
)
