"""The link-aware split: layer and threshold as functions of the link's rate and of what waits.

A fixed rule offloads as often while the link fades as while it is fast. This rule asks for every sample what
an offload would cost now. With o_i the cost of offloading after layer i at the rate that the device takes for
the link's, and p = μ·o_i, the best threshold of layer i is known from the source's validation trace:

    v_i(p) = max_α mean of C_i where C_i ≥ α, and of C_L − p where C_i < α,

a convex function of p that is tabulated beforehand, with the α that attains it. The rule splits at

    i_t = argmax_i  v_i(μ·o_i) − μ·γ_i·(1 + q),

the lowest on ties, where q samples wait for the device: computing longer delays each of them. Transfers whose
answers are not back delay an offload by their bits over the rate. The rate of the last transfer is believed
for some seconds, then the link's mean rate: who never offloads would never see that the link has recovered.
Nothing is learnt from confidences, and no label is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from splitee._internal.errors import InputError
from splitee._internal.jit import kernel
from splitee.policies.base import SplitPolicy, check_switch
from splitee.policies.commit import check_source
from splitee.policies.played import Actions, Played, room_for
from splitee.policies.problem import Floats, Orders, Table
from splitee.policies.setting import Name
from splitee.system.world import (
    World,
    act_at,
    begin_round,
    known_rate,
    new_lane,
    offload_cost,
    taken_in,
    waiting,
)
from splitee.trace import Trace

PRICES = 257  # values of p, from 0 to 1, at which v is tabulated; no offload is worth more than 1


@dataclass(frozen=True)
class LinkAware(SplitPolicy):
    """Choose layer and threshold per sample by the present rate of the link and by what waits.

    Parameters
    ----------
    source : Trace
        The same model's trace of its source's validation data; its labels are not read.
    queue : bool
        Whether samples that wait for the device count (q above).
    memory : float
        For how many seconds the rate of the last transfer is believed.
    send_input : bool
        Whether offloading the input before layer 1 is an option.

    Examples
    --------
    >>> source = Trace([[0.6, 0.9], [0.8, 0.9]], [[0, 1], [1, 1]])
    >>> LinkAware(source).label
    'link-aware'
    """

    source: Trace
    queue: bool = True
    memory: float = 10.0
    send_input: bool = True
    name: ClassVar[str] = "link-aware"
    has_arms: ClassVar[bool] = False
    learns: ClassVar[bool] = True  # decisions depend on earlier samples: on the rates of their transfers

    def __post_init__(self) -> None:
        check_switch("queue", self.queue)
        check_switch("send_input", self.send_input)
        if not isinstance(self.memory, int | float) or not 0 <= self.memory <= 1e9:
            raise InputError(f"memory is {self.memory!r}: give seconds, at least 0")
        if not isinstance(self.source, Trace):
            raise InputError(f"source is {self.source!r}: give the source's validation trace")

    def check_trace(self, trace: Trace) -> None:  # noqa: D102
        check_source(self.source, trace)

    def play(  # noqa: D102
        self, table: Table, order: Orders, rngs: Sequence[np.random.Generator], world: World | None
    ) -> Played:
        actions = Actions.of_splits(table.layers, self.every_exit)
        action = room_for(order.shape, actions)
        value, alpha = tabulated(self.source, table.layers)
        world = table.in_rounds(0) if world is None else world
        for r in range(order.shape[1]):
            play(
                self.queue,
                1e3 * self.memory,
                self.first,
                table.arms,
                table.rows,
                table.mu,
                value,
                alpha,
                world,
                order,
                r,
                action,
            )
        return Played(action, actions)

    def to_dict(self) -> dict[str, Any]:  # noqa: D102
        source = {"name": self.source.name, "fingerprint": self.source.fingerprint}
        return {
            "policy": type(self).__name__,
            "source": source,
            "queue": self.queue,
            "send_input": self.send_input,
        }


def tabulated(source: Trace, layers: int) -> tuple[Floats, Floats]:
    """Return v_i(p) and the α that attains it (the lowest), each of shape (L + 1, PRICES).

    Layer 0 always offloads (α = ∞), layer L never does (α = −∞).
    """
    prices = np.linspace(0.0, 1.0, PRICES)
    cloud = source.confidence[:, -1] if source.cloud_confidence is None else source.cloud_confidence
    far, n = cloud.astype(np.float64), source.samples
    value, alpha = np.empty((layers + 1, PRICES)), np.empty((layers + 1, PRICES))
    value[0], alpha[0] = far.mean() - prices, np.inf
    for i in range(1, layers + 1):
        order = np.argsort(source.confidence[:, i - 1], kind="stable")
        own = source.confidence[order, i - 1].astype(np.float64)
        # the first k samples are offloaded; k may not cut through equal confidences
        cuts = np.append(0, np.flatnonzero(np.diff(own)) + 1)
        cuts = np.append(cuts, n) if i < layers else cuts[:1]
        exits = np.append(own.sum(), own.sum() - np.cumsum(own))[cuts]
        offloads = np.append(0.0, np.cumsum(far[order]))[cuts]
        means = (exits[:, None] + offloads[:, None] - np.outer(cuts, prices)) / n
        best = means.argmax(axis=0)
        value[i] = means[best, np.arange(PRICES)]
        alpha[i] = np.append(own, np.inf)[cuts[best]] if i < layers else -np.inf
        alpha[i, cuts[best] == 0] = -np.inf if i == layers else 0.0
    return value, alpha


@kernel
def play(queue, memory, first, arms, confidence, mu, value, alpha, world, order, r, action):  # type: ignore[no-untyped-def]
    """Play all rounds of repeat r.

    Parameters
    ----------
    queue : bool
    memory : float
        In ms.
    first, arms : int
        The layers are first..m.
    confidence : float32 array, shape (n, W), W > L
    mu : float
    value, alpha : float64 arrays, shape (L + 1, PRICES)
        See `tabulated`.
    world : World
    order : int32 array, shape (rounds, repeats)
    r : int
    action : uint8 or uint16 array, shape (rounds, repeats)
        Filled in: the layer of the split, plus L + 1 if it offloads.
    """
    rounds, columns = order.shape[0], len(alpha)
    lane, taken, pending, measured = new_lane(rounds), 0, 0.0, -np.inf
    for t in range(rounds):
        s = order[t, r]
        start = begin_round(world, lane, t, r, s)
        while taken_in(lane, t, start, taken):
            pending -= lane.kilobytes[taken]
            if lane.kilobytes[taken] > 0.0 and lane.lost[taken] == 0:
                measured = lane.due[taken]
            taken += 1
        rate, k = known_rate(world, lane, taken), world.kind[s]
        if start - measured > memory:
            rate = world.rate
        q = waiting(world, lane, t, r, start) if queue else 0
        behind = world.weights[0] * (pending * 8e3 / rate) if world.timed else 0.0
        best, at, threshold = -np.inf, 0, 0.0
        for i in range(first, arms + 1):
            p = mu * (offload_cost(world, s, k, i, rate) + behind)
            place = min(np.int64(p * (PRICES - 1)), PRICES - 1)
            score = value[i, place] - mu * world.device[0, k, i] * (1 + q)
            if score > best:
                best, at, threshold = score, i, alpha[i, place]
        offloads = at == 0 or np.float64(confidence[s, at]) < threshold
        action[t, r] = at + columns if offloads else at
        act_at(world, lane, t, s, start, taken, at, 0, offloads)
        pending += lane.kilobytes[t]


NAMES = (Name("link-aware", lambda s: LinkAware(s.source_of("link-aware"), send_input=True), source=True),)
