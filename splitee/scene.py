"""The scene of a replay: one trace, under one set of prices, and the orders in which its samples come."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from splitee.accounting import Answers, answers_of
from splitee.costs import CostModel, Floats
from splitee.errors import InputError
from splitee.policies.base import (
    AnyPolicy,
    Layers,
    Orders,
    Policy,
    Stream,
    check_threshold,
    play,
    sends_input,
)
from splitee.regret import MeanRewards, cumulative_regret
from splitee.trace import Trace

SEED_SCHEME = "SeedSequence(seed, spawn_key): orders (0, repeat), policies (1, repeat); 1"
DEFAULT_THRESHOLD = 0.7


@dataclass(frozen=True)
class Scene:
    """One trace under one set of prices, with the orders in which its samples come."""

    trace: Trace
    costs: CostModel
    mu: float
    orders: Orders | None
    shuffled: NDArray[np.bool_] | None  # of given orders: whether each shows every sample exactly once
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
    def answers(self) -> Answers:
        """What the trace says of every sample."""
        return answers_of(self.trace)

    def shuffles(self, repeat: int) -> bool:
        """Whether a repeat shows every sample exactly once."""
        return self.shuffled is None or bool(self.shuffled[repeat])

    @cached_property
    def all_shuffled(self) -> bool:
        """Whether every repeat shows every sample exactly once."""
        return self.shuffled is None or bool(self.shuffled.all())

    @cached_property
    def shown(self) -> Floats:
        """How often each sample comes in all repeats, shape (n,)."""
        if self.orders is None or self.all_shuffled:
            return np.full(self.trace.samples, float(self.repeats))
        return np.bincount(self.orders.ravel(), minlength=self.trace.samples).astype(np.float64)

    @property
    def rounds(self) -> int:
        """How many samples a repeat has, m."""
        return self.trace.samples if self.orders is None else int(self.orders.shape[1])

    def order(self, repeat: int) -> Orders:
        """Return the samples of one repeat, in order, shape (m,)."""
        order: Orders = self.block(repeat, repeat + 1)[0]
        return order

    def block(self, first: int, end: int) -> Orders:
        """Return the orders of repeats first..end - 1 (from 0), shape (repeats, m)."""
        if self.orders is not None:
            return self.orders[first:end]
        return _permutations(self.trace.samples, self.seed, first, end)

    def stream(self, repeat: int, order: Orders | None = None) -> Stream:
        """Return what a policy may see of one repeat, whose order may be at hand."""
        return Stream(
            confidence=self.trace.confidence,
            prediction=self.trace.prediction,
            entropy=self.trace.entropy,
            value=self.trace.value,
            far=self.answers.far,
            other_cloud=self.trace.cloud_confidence is not None,
            order=self.order(repeat) if order is None else order,
            arms=self.costs.arms(self.trace.layers),
            costs=self.costs,
            mu=self.mu,
            seed=(self.seed, (1, repeat)),
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

    def splits(self, policy: AnyPolicy, repeats: range, alpha: float) -> Layers:
        """Return where the policy stopped at each sample of consecutive repeats, shape (repeats, m)."""
        orders = self.block(repeats.start, repeats.stop)
        streams = [self.stream(repeat, order) for repeat, order in zip(repeats, orders, strict=True)]
        if isinstance(policy, Policy):
            return policy.play(streams, orders)
        return np.stack([play(policy, stream, alpha) for stream in streams])

    def offloaded(self, policy: AnyPolicy, repeat: int, split: Layers, alpha: float) -> NDArray[np.bool_]:
        """Return which samples were sent, shape (m,)."""
        own = self.trace.confidence[self.order(repeat), np.maximum(split, 1) - 1].astype(np.float64)
        unsure = (own < leaves_below(policy, alpha)) & (split < self.trace.layers)
        sent: NDArray[np.bool_] = (split == 0) | unsure
        return sent

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
        none = np.empty(0, dtype=np.int32)  # of the stream only its trace and prices are read
        return MeanRewards(self.stream(0, none), self.order, self.shuffles)

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


@lru_cache(maxsize=2)  # policies of a call, and prices of a trace, meet the same orders
def _permutations(samples: int, seed: int, first: int, end: int) -> Orders:
    orders = np.empty((end - first, samples), dtype=np.int32)
    for repeat, order in enumerate(orders, start=first):
        children = np.random.SeedSequence(seed, spawn_key=(0, repeat))
        order[:] = np.random.default_rng(children).permutation(samples)
    orders.flags.writeable = False
    return orders


def leaves_below(policy: AnyPolicy, alpha: float) -> float:
    """Return the confidence below which a policy offloads: α, unless it never does."""
    return -math.inf if isinstance(policy, Policy) and not policy.offloads else alpha


def _sha256(orders: Orders) -> str:
    return hashlib.sha256(orders.astype("<i8").tobytes()).hexdigest()
