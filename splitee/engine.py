"""The engine: one trace under one set of prices; plays a policy and counts what happened, compiled.

What a policy did is fully told by where the device stopped (`split`), by its threshold and by whether it
evaluates every exit. Everything else, labels included, is worked out here, where no policy sees it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

from splitee.costs import CostModel, Floats
from splitee.errors import InputError
from splitee.policies.base import (
    AnyPolicy,
    Layers,
    Policy,
    Stream,
    check_threshold,
    play,
    rounds_with_every_exit,
    sends_input,
)
from splitee.regret import MeanRewards, cumulative_regret
from splitee.result import METRICS, Curve, Result
from splitee.trace import Trace

SEED_SCHEME = "SeedSequence(seed, spawn_key): orders (0, repeat), policies (1, repeat); 1"
DEFAULT_THRESHOLD = 0.7
CURVE_POINTS = 400  # a regret curve is held at so many rounds a repeat


@dataclass(frozen=True)
class Scene:
    """One trace under one set of prices, with the orders in which its samples come."""

    trace: Trace
    costs: CostModel
    mu: float
    orders: NDArray[np.int64] | None
    asked_repeats: int
    seed: int
    default_threshold: float

    def __post_init__(self) -> None:
        self.costs.arms(self.trace.layers)
        self.costs.sending(self.trace.layers)
        self.costs.by_sample(self.trace.samples)

    @property
    def repeats(self) -> int:
        """How many orders there are."""
        return self.asked_repeats if self.orders is None else len(self.orders)

    @cached_property
    def far(self) -> Floats:
        """Confidence of whoever answers offloaded samples, shape (n,)."""
        cloud = self.trace.cloud_confidence
        return (self.trace.confidence[:, -1] if cloud is None else cloud).astype(np.float64)

    @cached_property
    def far_answer(self) -> NDArray[np.int32]:
        """Answer of whoever answers offloaded samples, shape (n,)."""
        cloud = self.trace.cloud_prediction
        return np.ascontiguousarray(self.trace.prediction[:, -1] if cloud is None else cloud, dtype=np.int32)

    def order(self, repeat: int) -> NDArray[np.int64]:
        """Return the samples of one repeat, in order, shape (m,)."""
        if self.orders is not None:
            given: NDArray[np.int64] = self.orders[repeat]
            return given
        return _permutation(self.trace.samples, self.seed, repeat)

    def stream(self, repeat: int) -> Stream:
        """Return what a policy may see of one repeat."""
        rng = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(1, repeat)))
        return Stream(
            confidence=self.trace.confidence,
            prediction=self.trace.prediction,
            entropy=self.trace.entropy,
            far=self.far,
            other_cloud=self.trace.cloud_confidence is not None,
            order=self.order(repeat),
            arms=self.costs.arms(self.trace.layers),
            costs=self.costs,
            mu=self.mu,
            rng=rng,
        )

    def threshold(self, policy: AnyPolicy) -> float:
        """Return α of a policy, or the default where it has none; read once, before anything is played."""
        own = getattr(policy, "threshold", None)
        if own is None:
            return self.default_threshold
        check_threshold(own)
        return float(own)

    def check(self, name: str, policy: AnyPolicy) -> None:
        """Raise InputError where a policy is none or cannot meet this trace."""
        if isinstance(policy, type):
            raise InputError(f"policy {name} is a class: make one, such as {policy.__name__}(...)")
        if not isinstance(policy, Policy):
            lacking = [a for a in ("every_exit", "start", "choose", "learn") if not hasattr(policy, a)]
            if lacking:
                raise InputError(
                    f"policy {name} ({type(policy).__name__}) has no {' and no '.join(lacking)}: "
                    "a policy has every_exit, start, choose and learn"
                )
        elif policy.deepest(self.trace.layers, 0) > self.trace.layers:
            raise InputError(
                f"policy {name} needs layer {policy.deepest(0, 0)}: the trace has {self.trace.layers}"
            )
        if isinstance(policy, Policy):
            policy.check_trace(self.trace)
        self.threshold(policy)
        if sends_input(policy):
            self.costs.sending(self.trace.layers, send_input=True)

    def splits(self, policy: AnyPolicy, repeat: int, alpha: float) -> Layers:
        """Return where the policy stopped at each sample of one repeat, shape (m,)."""
        stream = self.stream(repeat)
        return policy.splits(stream) if isinstance(policy, Policy) else play(policy, stream, alpha)

    def offloaded(self, policy: AnyPolicy, repeat: int, split: Layers, alpha: float) -> NDArray[np.bool_]:
        """Return which samples were sent, shape (m,)."""
        own = self.trace.confidence[self.order(repeat), np.maximum(split, 1) - 1].astype(np.float64)
        unsure = (own < _leaves_below(policy, alpha)) & (split < self.trace.layers)
        sent: NDArray[np.bool_] = (split == 0) | unsure
        return sent

    def run(self, name: str, policy: AnyPolicy, log: bool) -> Result:
        """Play all repeats of one policy and count what happened."""
        trace, layers = self.trace, self.trace.layers
        alpha = self.threshold(policy)
        log = log or not isinstance(policy, Policy)  # one's own might not do the same again
        costs = policy.priced(self.costs) if isinstance(policy, Policy) else self.costs
        gamma = np.zeros((2, layers + 1))  # one exit evaluated; all on the way
        gamma[:, 1:] = costs.device(layers), costs.device(layers, every_exit=True)
        layers_only = np.concatenate([[0.0], costs.layers_only(layers)])
        label = np.full(trace.samples, -1, dtype=np.int32) if trace.label is None else trace.label
        totals = np.zeros((self.repeats, len(METRICS)))
        per_sample = np.zeros((trace.samples, len(METRICS)))
        shown = np.zeros(trace.samples)
        settled = np.zeros(self.repeats, dtype=np.int16)
        curves, logged = [], []
        for repeat in range(self.repeats):
            split = self.splits(policy, repeat, alpha)
            points = curve_points(len(split))
            _account(
                self.order(repeat),
                split,
                trace.confidence,
                trace.prediction,
                self.far,
                self.far_answer,
                label,
                _leaves_below(policy, alpha),
                rounds_with_every_exit(policy, len(split)),
                gamma,
                layers_only,
                costs.sending(layers),
                costs.by_sample(trace.samples),
                self.mu,
                totals[repeat],
                per_sample,
                shown,
            )
            settled[repeat] = _settled(split)
            regret = self.regret(policy, repeat, split, totals[repeat, METRICS.index("reward")], alpha)
            curves.append({against: owed[points] for against, owed in regret.items()})
            if log:
                logged.append(split)
        if trace.label is None:
            for table in (totals, per_sample):
                table[:, [METRICS.index("accuracy"), METRICS.index("utility")]] = np.nan
        return Result(
            name=name,
            policy=policy,
            totals=totals,
            per_sample=per_sample,
            shown=shown,
            settled=settled,
            curve=Curve(
                points + 1,
                np.array([curve["common"] for curve in curves]),
                np.array([curve["own"] for curve in curves]),
            ),
            on_device=self._fits(policy),
            threshold=alpha,
            scene=self,
            logged=logged or None,
        )

    def _fits(self, policy: AnyPolicy) -> bool:
        """Whether the device holds all layers the policy needs."""
        arms = self.costs.arms(self.trace.layers)
        return not isinstance(policy, Policy) or bool(policy.deepest(self.trace.layers, arms) <= arms)

    def regret(
        self,
        policy: AnyPolicy,
        repeat: int,
        split: Layers,
        mean_reward: float,
        alpha: float,
        segments: Sequence[int] | None = None,
    ) -> dict[str, Floats]:
        """Return the cumulative regret of one repeat, common and own, each of shape (m,)."""
        layers = self.trace.layers
        return cumulative_regret(
            self.means, policy, self.costs, repeat, split, layers, mean_reward, alpha, segments
        )

    @cached_property
    def means(self) -> MeanRewards:
        """Mean rewards of the arms, in every repeat."""
        return MeanRewards(self.stream(0), self.order, self.repeats)

    def facts(self) -> dict[str, object]:
        """Return what was replayed, in plain types, for a manifest."""
        told = self.trace.manifest
        return {
            "trace": {k: told[k] for k in ("name", "fingerprint", "samples", "layers", "classes")}
            | {k: told[k] for k in ("model", "data") if k in told},
            "costs": self.costs.to_dict(),
            "mu": self.mu,
            "repeats": self.repeats,
            "orders": "permutations" if self.orders is None else f"given, SHA-256 {_sha256(self.orders)}",
            "threshold": self.default_threshold,
            "seed": self.seed,
            "seed_scheme": SEED_SCHEME,
        }


@lru_cache(maxsize=40)  # policies of a call, and prices of a trace, meet the same orders
def _permutation(samples: int, seed: int, repeat: int) -> NDArray[np.int64]:
    children = np.random.SeedSequence(seed, spawn_key=(0, repeat))
    order = np.random.default_rng(children).permutation(samples)
    order.flags.writeable = False
    return order


def _leaves_below(policy: AnyPolicy, alpha: float) -> float:
    """Return the confidence below which a policy offloads: α, unless it never does."""
    return -math.inf if isinstance(policy, Policy) and not policy.offloads else alpha


def _sha256(orders: NDArray[np.int64]) -> str:
    return hashlib.sha256(orders.astype("<i8").tobytes()).hexdigest()


def curve_points(rounds: int) -> NDArray[np.int64]:
    """Return the 0-based rounds at which a curve is held: all of a short stream, else evenly spread."""
    return np.unique(np.linspace(0, rounds - 1, CURVE_POINTS).round().astype(np.int64))


@njit(cache=True, nogil=True)
def _account(  # type: ignore[no-untyped-def]
    order, split, confidence, prediction, far, far_answer, label, alpha, with_every_exit, gamma, layers_only,
    sending, extra, mu, total, per_sample, shown,
):  # fmt: skip
    """Add up one repeat: means a round into `total`, sums a sample into `per_sample` (columns: METRICS)."""
    layers = confidence.shape[1]
    values = np.zeros(total.shape[0])
    for position in range(order.shape[0]):
        sample = order[position]
        layer = split[position]
        price = 0.0
        if layer == 0:
            sent = True
        else:
            sent = confidence[sample, layer - 1] < alpha and layer < layers
        if sent:
            price = sending[layer]
            if extra.shape[0]:
                price = price + extra[sample]
            answer, sure = far_answer[sample], far[sample]
        else:
            answer, sure = prediction[sample, layer - 1], np.float64(confidence[sample, layer - 1])
        computing = gamma[1 if position < with_every_exit else 0, layer]
        cost = computing + price
        right = 1.0 if answer == label[sample] else 0.0
        values[0] = right
        values[1] = 1.0 if answer == prediction[sample, layers - 1] else 0.0
        values[2] = cost
        values[3] = sure - mu * cost
        values[4] = right - mu * cost
        values[5] = 1.0 if sent else 0.0
        values[6] = layers_only[layer]
        values[7] = computing - layers_only[layer]
        values[8] = price
        for k in range(values.shape[0]):
            total[k] += values[k]
            per_sample[sample, k] += values[k]
        shown[sample] += 1.0
    for k in range(values.shape[0]):
        total[k] /= order.shape[0]


def _settled(split: Layers) -> int:
    """Return the layer played most in the second half of the stream, the lowest of equals."""
    return int(np.bincount(split[len(split) // 2 :]).argmax())
