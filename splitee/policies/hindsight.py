"""What is known in hindsight: mean rewards of a whole stream, its best fixed split, each sample's best."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numba import njit

from splitee.costs import CostModel
from splitee.policies.base import Floats, Layers, Policy, Stream, check_switch, check_threshold


@dataclass(frozen=True)
class BestFixedSplit(Policy):
    """The fixed split with the greatest mean reward over the very stream, known in hindsight; lowest on ties.

    No learner can expect more reward from one layer: the arm i* of the paper's regret.

    Parameters
    ----------
    threshold : float
        α.
    """

    threshold: float
    name: ClassVar[str] = "best split (hindsight)"
    hindsight: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_threshold(self.threshold)

    def splits(self, stream: Stream) -> Layers:  # noqa: D102
        table = reward_table(stream, stream.costs, self.threshold, every_exit=False)
        rewards = mean_rewards(table, stream.order)
        best = 1 + int(np.argmax(rewards[1 : stream.arms + 1]))
        return np.full(len(stream.order), best, dtype=np.int16)


@dataclass(frozen=True)
class Oracle(Policy):
    """The split with the greatest reward, sample by sample; the lowest on ties. It sees no label.

    A bound on every policy that splits and evaluates one exit a sample.

    Parameters
    ----------
    threshold : float
        α.
    send_input : bool
        Whether sending the input (layer 0) counts too.

    Examples
    --------
    >>> Oracle(0.7).label
    'oracle (per sample)'
    """

    threshold: float
    send_input: bool = False
    name: ClassVar[str] = "oracle (per sample)"
    has_arms: ClassVar[bool] = False  # what a layer is worth on average says nothing of its choices
    varies: ClassVar[bool] = True
    hindsight: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_threshold(self.threshold)
        check_switch("send_input", self.send_input)

    def splits(self, stream: Stream) -> Layers:  # noqa: D102
        table = reward_table(stream, stream.costs, self.threshold, every_exit=False)
        first = 0 if self.send_input else 1
        best: Layers = (first + table[:, first : stream.arms + 1].argmax(axis=1)).astype(np.int16)
        return best[stream.order]


@njit(cache=True, nogil=True)
def mean_rewards(table, order):  # type: ignore[no-untyped-def]
    """Return the mean of each column over an order, summed in stream order as the specification does."""
    means = np.zeros(table.shape[1])
    for sample in order:
        for layer in range(table.shape[1]):
            means[layer] += table[sample, layer]
    return means / order.shape[0]


def reward_table(stream: Stream, costs: CostModel, threshold: float, every_exit: bool) -> Floats:
    """Return r(i) of every sample at every layer, shape (n, L + 1); column 0 is sending the input.

    r(i) = C_i − μ·γ_i where C_i ≥ α or i = L, else C_L − μ·(γ_i + o)  (SplitEE, section 3). Layers that are
    not on the device are priced as if they were. `costs` are the stream's, or what a policy is priced by.
    """
    gamma = np.concatenate([[0.0], costs.device(stream.layers, every_exit)])
    sending = costs.sending(stream.layers)
    extra = costs.by_sample(len(stream.far))
    leave = stream.mu * (gamma + (sending + extra[:, None] if extra.size else sending))
    rewards: Floats = stream.far[:, None] - leave
    confidence = stream.confidence.astype(np.float64)
    stays = confidence >= threshold
    stays[:, -1] = True
    rewards[:, 1:] = np.where(stays, confidence - stream.mu * gamma[1:], rewards[:, 1:])
    return rewards
