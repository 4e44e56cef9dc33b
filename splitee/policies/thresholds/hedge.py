"""HIL-F, HIL-N and H2T2: the threshold of one exit, by exponential weights.

An expert k is a threshold θ_k: it offloads a sample of confidence C if C < θ_k, else it keeps the exit's
answer. Its loss is μ·o if it offloads, and κ·[the exit is wrong] if it keeps. Weights begin equal and become

    w_k ← w_k·exp(−η·loss of k)

after every sample. The sample is offloaded with probability q = Σ w_k (those that would) / Σ w_k.

*HIL-F* sees whether a kept answer is wrong: no device does, so it can only be replayed. *HIL-N* sees it of
samples that it offloads. It explores: with probability ε it offloads whatever q says, and only then is the
loss of keeping counted, divided by ε, which leaves its mean as it is. *H2T2* is HIL-N for two classes with
costs of their own for false negatives and false positives and two thresholds θ_l ≤ 1/2 ≤ θ_u on P(class 1):
a sample between them is offloaded. A kept answer then is the exit's, and each threshold matters for one
answer only: its weights are those of two learners, one for samples that the exit answers 0, one for 1. With
K classes there are K.

The weights are known from memory. ε and η are derived from the usual bound ε·T + ln(k)/η + η·T/(2ε) for k
experts and T rounds: ε = (ln(k)/(2·T))^(1/3), η = sqrt(2·ε·ln(k)/T); for HIL-F η = sqrt(8·ln(k)/T). The
papers cut the confidences where samples lie; here the thresholds are equally spaced from 1/K to 1, and the
last expert always offloads. A weight does not fall below 10⁻³⁰⁰ of the sum.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from splitee._internal.errors import InputError
from splitee._internal.jit import inlined, kernel
from splitee._internal.numbers import check_whole
from splitee.policies.loop import ANSWER, OFFLOAD, Context
from splitee.policies.problem import Floats, Orders, Table
from splitee.policies.setting import Name
from splitee.policies.thresholds.device import (
    LiveLearner,
    Seen,
    ThresholdLearner,
    check_at_least,
    check_layer,
    local_exit,
)
from splitee.system.world import World, act_at, begin_round, new_lane, offload_cost, taken_in
from splitee.trace import Trace

LEAST = 1e-300


@inlined
def experts_that_keep(theta, confidence):  # type: ignore[no-untyped-def]
    """Return how many experts keep a sample: those with θ ≤ C, the first of an ascending grid."""
    k = 0
    while k < len(theta) and theta[k] <= confidence:
        k += 1
    return k


@inlined
def chance(weights, c, keep):  # type: ignore[no-untyped-def]
    """Return q, the share of the weights of all but the first `keep` experts, of answer c."""
    kept, rest = 0.0, 0.0
    for k in range(weights.shape[1]):
        if k < keep:
            kept += weights[c, k]
        else:
            rest += weights[c, k]
    return rest / (kept + rest)


@inlined
def learn(weights, c, keep, eta, kept_loss, asked_loss):  # type: ignore[no-untyped-def]
    """Weigh the experts of answer c anew.

    Parameters
    ----------
    weights : float64 array, shape (answers, experts)
    c, keep : int
        See `chance`.
    eta : float
    kept_loss, asked_loss : float
        Of experts that keep the sample, and of those that offload it.
    """
    kept, asked, total = math.exp(-eta * kept_loss), math.exp(-eta * asked_loss), 0.0
    for k in range(weights.shape[1]):
        weights[c, k] *= kept if k < keep else asked
        total += weights[c, k]
    for k in range(weights.shape[1]):
        weights[c, k] = max(weights[c, k] / total, LEAST)


@kernel
def play(  # type: ignore[no-untyped-def]
    full, layer, theta, errors, epsilon, eta, coins, mu, confidence, prediction, world, order, r, action
):
    """Play all rounds of repeat r.

    Parameters
    ----------
    full : bool
        HIL-F.
    layer : int
    theta : float64 array, shape (experts,)
    errors : float64 array, shape (answers,)
        κ of each answer of the exit; one for all if there is one.
    epsilon, eta : float
    coins : float64 array, shape (rounds, 2)
    mu : float
    confidence : float32 array, shape (n, W)
    prediction : int32 array, shape (n, L + 1)
    world : World
    order : int32 array, shape (rounds, repeats)
    r : int
    action : uint8 or uint16 array, shape (rounds, repeats)
        Filled in: the layer, plus L + 1 if it offloads.
    """
    rounds, columns = order.shape[0], world.device.shape[2]
    weights = np.full((len(errors), len(theta)), 1.0 / len(theta))
    lane, taken, many = new_lane(rounds), 0, len(errors) > 1
    for t in range(rounds):
        s = order[t, r]
        start = begin_round(world, lane, t, r, s)
        while taken_in(lane, t, start, taken):
            u = order[taken, r]
            if action[taken, r] >= columns:
                asked = lane.paid[taken]
            else:
                asked = offload_cost(world, u, world.kind[u], layer, lane.rate[taken])
            if layer < columns - 1:
                c = prediction[u, layer] if many else 0
                explored = coins[taken, 1] < epsilon and lane.lost[taken] == 0
                lost = errors[c] if prediction[u, layer] != prediction[u, 0] else 0.0
                lost = lost if full else (lost / epsilon if explored else 0.0)
                keep = experts_that_keep(theta, np.float64(confidence[u, layer]))
                learn(weights, c, keep, eta, lost, mu * asked)
            taken += 1
        offloads = False
        if layer < columns - 1:
            keep = experts_that_keep(theta, np.float64(confidence[s, layer]))
            q = chance(weights, prediction[s, layer] if many else 0, keep)
            offloads = coins[t, 0] < q or (not full and coins[t, 1] < epsilon)
        action[t, r] = layer + columns if offloads else layer
        act_at(world, lane, t, s, start, taken, layer, 0, offloads)


@dataclass(frozen=True)
class HIL(ThresholdLearner):
    """Offload by a threshold of one exit, drawn by exponential weights.

    Parameters
    ----------
    layer : int
        The exit that is the local model.
    feedback : {"none", "full"}
        Whether the device sees if a kept answer is wrong. "none": HIL-N. "full": HIL-F, which no
        device could run.
    error : float or sequence of float
        κ: what an error costs, in points. One for each class that the exit may answer gives a threshold for
        each, as in H2T2: (false negative, false positive).
    experts : int
        Thresholds, at least 2.
    horizon : int
        T, the length of the stream for which ε and η are set.

    See Also
    --------
    HILCB : bounds for each bin of confidence; explores less.

    References
    ----------
    HIL-F, HIL-N: arXiv 2304.00891. H2T2: arXiv 2509.15674. The abstracts were read; the update of the
    weights is from memory, ε and η are derived.

    Examples
    --------
    >>> import splitee
    >>> trace = splitee.load_trace("rte_validation")
    >>> result = splitee.replay(trace, HIL(6), splitee.CostModel(device_layers=6), repeats=1)
    >>> set(result.split[0].tolist())
    {6}
    >>> HIL(6).label, HIL(6, "full").label, HIL(6, error=(2.0, 1.0)).label
    ('HIL-N (exit 6)', 'HIL-F (exit 6)', 'H2T2 (exit 6)')
    """

    layer: int
    feedback: str = "none"
    error: float | tuple[float, ...] = 1.0
    experts: int = 20
    horizon: int = 10_000
    needs_classes: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_layer(self.layer)
        if self.feedback not in ("none", "full"):
            raise InputError(f"feedback is {self.feedback!r}: choose none or full")
        if isinstance(self.error, Sequence | np.ndarray):
            object.__setattr__(self, "error", tuple(self.error))
            if not self.error:
                raise InputError("error is empty: give one cost, or one for each class")
        for error in self.error if isinstance(self.error, tuple) else (self.error,):
            check_at_least("error", error)
        check_whole("experts", self.experts, 2)
        check_whole("horizon", self.horizon)

    @property
    def sees_final(self) -> bool:  # type: ignore[override]  # noqa: D102
        return self.feedback == "full"

    @property
    def label(self) -> str:  # noqa: D102
        name = "HIL-F" if self.sees_final else "H2T2" if isinstance(self.error, tuple) else "HIL-N"
        return f"{name} (exit {self.layer})"

    def check_trace(self, trace: Trace) -> None:  # noqa: D102
        super().check_trace(trace)
        self.errors(trace.classes)

    def deepest(self, layers: int, arms: int) -> int:  # noqa: D102
        return self.layer

    def errors(self, classes: int) -> Floats:
        """Return κ of each answer, or one for all; InputError unless there is one for each class."""
        if isinstance(self.error, tuple):
            if len(self.error) != classes:
                raise InputError(f"error has {len(self.error)} costs for {classes} classes: give {classes}")
            return np.array(self.error, dtype=np.float64)
        return np.array([float(self.error)])

    def grid(self, classes: int) -> Floats:
        """Return θ of each expert, as confidences are rounded; the last is never reached."""
        theta = np.linspace(1.0 / max(classes, 2), 1.0, self.experts - 1).astype(np.float32)
        return np.append(theta.astype(np.float64), np.inf)

    def rates(self) -> tuple[float, float]:
        """Return ε and η."""
        log_k, rounds = math.log(self.experts), float(self.horizon)
        if self.sees_final:
            return 1.0, math.sqrt(8.0 * log_k / rounds)
        epsilon = min(1.0, (log_k / (2.0 * rounds)) ** (1.0 / 3.0))
        return epsilon, math.sqrt(2.0 * epsilon * log_k / rounds)

    def play_one(  # noqa: D102
        self,
        table: Table,
        world: World,
        order: Orders,
        r: int,
        rng: np.random.Generator,
        action: NDArray[np.unsignedinteger],
    ) -> None:
        classes = table.problem.classes
        play(
            self.sees_final, self.layer, self.grid(classes), self.errors(classes), *self.rates(),
            rng.random((len(order), 2)), table.mu, table.rows, table.prediction, world, order, r, action,
        )  # fmt: skip

    def live(self) -> LiveHIL:  # noqa: D102
        return LiveHIL(self)


class LiveHIL(LiveLearner):
    """HIL-N or H2T2 on a device, sample by sample."""

    policy: HIL

    def begin_stream(self) -> None:  # noqa: D102
        policy, classes = self.policy, self.problem.classes
        self.theta, self.errors = policy.grid(classes), policy.errors(classes)
        self.epsilon, self.eta = policy.rates()
        self.weights = np.full((len(self.errors), len(self.theta)), 1.0 / len(self.theta))
        self.explored: dict[int, bool] = {}

    def begin(self, t: int, context: Context) -> int:  # noqa: D102
        self.coins = self.rng.random(2)
        self.explored[t] = bool(self.coins[1] < self.epsilon)
        return self.policy.layer

    def decide(self, exit: int, confidence: float, prediction: int) -> int:  # noqa: D102
        keep = experts_that_keep(self.theta, np.float64(np.float32(confidence)))
        q = chance(self.weights, int(prediction) if len(self.errors) > 1 else 0, keep)
        return OFFLOAD if self.coins[0] < q or self.coins[1] < self.epsilon else ANSWER

    def update(self, t: int, seen: Seen) -> None:  # noqa: D102
        explored, layer = self.explored.pop(t), self.policy.layer
        if layer == self.problem.exits:
            return
        c = int(seen.prediction[0, layer]) if len(self.errors) > 1 else 0
        wrong = explored and seen.known and seen.prediction[0, layer] != seen.prediction[0, 0]
        lost = self.errors[c] / self.epsilon if wrong else 0.0
        keep = experts_that_keep(self.theta, np.float64(seen.confidence[0, layer]))
        learn(self.weights, c, keep, self.eta, lost, self.mu * seen.offload[layer])


NAMES = (
    Name("hil-n", lambda s: HIL(local_exit(s)), ("HIL",)),
    Name("hil-f", lambda s: HIL(local_exit(s), "full")),
    Name("h2t2", lambda s: HIL(local_exit(s), error=(1.0,) * (s.classes or 2))),
    Name("hil-n:LAYER", lambda s, layer: HIL(s.layer(layer))),
    Name("hil-f:LAYER", lambda s, layer: HIL(s.layer(layer), "full")),
    Name("h2t2:LAYER", lambda s, layer: HIL(s.layer(layer), error=(1.0,) * (s.classes or 2))),
)
