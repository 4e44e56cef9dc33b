"""The scene of a replay: one trace, under one set of prices, and the orders in which its samples come."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from splitee._internal.errors import InputError
from splitee.costs import CostModel, Floats
from splitee.policies.base import (
    AnyPolicy,
    Layers,
    Orders,
    Policy,
    Stream,
    check_threshold,
    sends_input,
)
from splitee.replay.arrivals import Arrivals
from splitee.results.outcomes import Answers, answers_of
from splitee.results.regret import MeanRewards, cumulative_regret
from splitee.trace import Trace

SEED_SCHEME = "SeedSequence(seed, spawn_key): orders (0, repeat), policies (1, repeat); 1"
DEFAULT_THRESHOLD = 0.7


@dataclass(frozen=True)
class Scene:
    """One trace under one set of prices, with the orders in which its samples come."""

    trace: Trace
    costs: CostModel
    mu: float
    arrivals: Arrivals
    default_threshold: float

    def __post_init__(self) -> None:
        self.costs.arms(self.trace.layers)
        self.costs.sending(self.trace.layers)
        self.costs.by_sample(self.trace.samples)

    @cached_property
    def answers(self) -> Answers:
        """What the trace says of every sample."""
        return answers_of(self.trace)

    def stream(self, repeat: int, order: Orders) -> Stream:
        """Return what a policy may see of one repeat, of that order."""
        return Stream(
            confidence=self.trace.confidence,
            prediction=self.trace.prediction,
            entropies=partial(getattr, self.trace, "entropy"),  # not a lambda: it would hold the scene
            value=self.trace.value,
            far=self.answers.far,
            other_cloud=self.trace.cloud_confidence is not None,
            order=order,
            arms=self.costs.arms(self.trace.layers),
            costs=self.costs,
            mu=self.mu,
            seed=(self.arrivals.seed, (1, repeat)),
        )

    @cached_property
    def orderless(self) -> Stream:
        """What the streams of all repeats have in common."""
        return self.stream(0, np.empty(0, dtype=np.int32))

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

    def offloaded(self, policy: AnyPolicy, repeat: int, split: Layers, alpha: float) -> NDArray[np.bool_]:
        """Return which samples were sent, shape (m,)."""
        own = self.trace.confidence[self.arrivals.order(repeat), np.maximum(split, 1) - 1].astype(np.float64)
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
        return MeanRewards(self.orderless, self.arrivals)

    def facts(self) -> dict[str, object]:
        """Return what was replayed, in plain types, for a manifest."""
        told = self.trace.manifest
        return {
            "trace": {k: told[k] for k in ("name", "fingerprint", "samples", "layers", "classes")}
            | {k: told[k] for k in ("model", "data") if k in told},
            "costs": self.costs.to_dict(),
            "mu": self.mu,
            "repeats": self.arrivals.repeats,
            "orders": self.arrivals.told,
            "threshold": self.default_threshold,
            "seed": self.arrivals.seed,
            "seed_scheme": SEED_SCHEME,
        }


def leaves_below(policy: AnyPolicy, alpha: float) -> float:
    """Return the confidence below which a policy offloads: α, unless it never does."""
    return -math.inf if isinstance(policy, Policy) and not policy.offloads else alpha
