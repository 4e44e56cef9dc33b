"""A threshold that tracks a share of errors, with feedback of offloaded samples only.

The device keeps a sample if its confidence reaches a_t, and offloads it otherwise. With probability π it
offloads one that it would keep: an audit, charged like any offload. Let ℓ_t be 1 if it would keep the
sample and be wrong (answer otherwise than the cloud). After each sample

    a ← max(0, a + η·([ℓ_t was seen]·ℓ_t/π − δ)).

The mean of the step is η·(E[ℓ_t] − δ), whatever the confidence means: errors raise the threshold, time
lowers it. This is adaptive conformal inference (Gibbs, Candès 2021) with the seen losses divided by their
probability; the form is derived, no paper has it for early exits. It adapts to drift. It aims at an average
over time and promises nothing at any moment: see `CertifiedSplit`. A lost answer counts as not seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from splitee._internal.jit import inlined, kernel
from splitee._internal.numbers import check_share, share
from splitee.policies.loop import ANSWER, OFFLOAD, Context
from splitee.policies.problem import Orders, Table
from splitee.policies.setting import Name
from splitee.policies.thresholds.device import (
    LiveLearner,
    Seen,
    ThresholdLearner,
    check_at_least,
    check_layer,
    local_exit,
)
from splitee.system.world import World, act_at, begin_round, new_lane, taken_in


@inlined
def step(threshold, rate, target, lost):  # type: ignore[no-untyped-def]
    """Return the next threshold; `lost` is ℓ/π if it was seen, else 0."""
    return max(0.0, threshold + rate * (lost - target))


@kernel
def play(  # type: ignore[no-untyped-def]
    layer, target, rate, audits, coins, confidence, prediction, world, order, r, action
):
    """Play all rounds of repeat r.

    Parameters
    ----------
    layer : int
    target, rate, audits : float
        δ, η and π.
    coins : float64 array, shape (rounds,)
    confidence : float32 array, shape (n, W)
    prediction : int32 array, shape (n, L + 1)
    world : World
    order : int32 array, shape (rounds, repeats)
    r : int
    action : uint8 or uint16 array, shape (rounds, repeats)
        Filled in: the layer, plus L + 1 if it offloads.
    """
    rounds, columns = order.shape[0], world.device.shape[2]
    threshold, kept = 1.0, np.zeros(rounds, np.uint8)
    lane, taken = new_lane(rounds), 0
    for t in range(rounds):
        s = order[t, r]
        start = begin_round(world, lane, t, r, s)
        while taken_in(lane, t, start, taken):
            u, audited = order[taken, r], kept[taken] == 1 and action[taken, r] >= columns
            wrong = prediction[u, layer] != prediction[u, 0]
            lost = 1.0 / audits if audited and lane.lost[taken] == 0 and wrong else 0.0
            threshold = step(threshold, rate, target, lost)
            taken += 1
        keeps = layer == columns - 1 or np.float64(confidence[s, layer]) >= threshold
        offloads = layer < columns - 1 and (not keeps or coins[t] < audits)
        kept[t], action[t, r] = keeps, layer + columns if offloads else layer
        act_at(world, lane, t, s, start, taken, layer, 0, offloads)


@dataclass(frozen=True)
class TrackedThreshold(ThresholdLearner):
    """The threshold of one exit follows a share of errors, seen in audits.

    Parameters
    ----------
    layer : int
        The exit.
    target : float
        δ: the share of all samples that the device may answer otherwise than the cloud would have,
        on average.
    rate : float
        η > 0. The threshold begins at 1 and falls by at most η·δ per sample.
    audits : float
        π, the probability of an audit, above 0.

    See Also
    --------
    CertifiedSplit : a bound that holds at all times.

    References
    ----------
    Gibbs, Candès (2021): Adaptive Conformal Inference Under Distribution Shift, NeurIPS [memory]. The form
    for feedback of offloaded samples is derived.

    Examples
    --------
    >>> import splitee
    >>> trace = splitee.load_trace("rte_validation")
    >>> learner = TrackedThreshold(6)
    >>> result = splitee.replay(trace, learner, splitee.CostModel(device_layers=6), repeats=1)
    >>> learner.label, set(result.split[0].tolist())
    ('tracked threshold (exit 6, δ = 0.02)', {6})
    """

    layer: int
    target: float = 0.02
    rate: float = 0.005
    audits: float = 0.05
    name: ClassVar[str] = "tracked threshold"
    needs_classes: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_layer(self.layer)
        check_share("target", self.target, 0.0, 1.0)
        check_at_least("rate", self.rate)
        check_share("audits", self.audits, 1e-6, 1.0)

    @property
    def label(self) -> str:  # noqa: D102
        return f"{self.name} (exit {self.layer}, δ = {self.target:g})"

    def deepest(self, layers: int, arms: int) -> int:  # noqa: D102
        return self.layer

    def play_one(  # noqa: D102
        self,
        table: Table,
        world: World,
        order: Orders,
        r: int,
        rng: np.random.Generator,
        action: NDArray[np.unsignedinteger],
    ) -> None:
        rates = float(self.target), float(self.rate), float(self.audits)
        coins = rng.random(len(order))
        play(self.layer, *rates, coins, table.rows, table.prediction, world, order, r, action)

    def live(self) -> LiveTrackedThreshold:  # noqa: D102
        return LiveTrackedThreshold(self)


class LiveTrackedThreshold(LiveLearner):
    """A tracked threshold on a device, sample by sample."""

    policy: TrackedThreshold

    def begin_stream(self) -> None:  # noqa: D102
        self.threshold = 1.0
        self.kept: dict[int, bool] = {}

    def begin(self, t: int, context: Context) -> int:  # noqa: D102
        self.t, self.coin = t, float(self.rng.random())
        return self.policy.layer

    def decide(self, exit: int, confidence: float, prediction: int) -> int:  # noqa: D102
        self.kept[self.t] = bool(np.float64(np.float32(confidence)) >= self.threshold)
        return ANSWER if self.kept[self.t] and self.coin >= self.policy.audits else OFFLOAD

    def update(self, t: int, seen: Seen) -> None:  # noqa: D102
        policy, audited = self.policy, self.kept.pop(t, False) and seen.offloaded
        wrong = seen.prediction[0, policy.layer] != seen.prediction[0, 0]
        lost = 1.0 / float(policy.audits) if audited and seen.known and wrong else 0.0
        self.threshold = step(self.threshold, float(policy.rate), float(policy.target), lost)


NAMES = (
    Name("tracked-threshold", lambda s: TrackedThreshold(local_exit(s))),
    Name("tracked-threshold:SHARE", lambda s, target: TrackedThreshold(local_exit(s), share(target))),
)
