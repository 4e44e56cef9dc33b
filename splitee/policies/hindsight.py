"""What is known in hindsight: the best fixed split of a whole stream, and the best of each sample."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from splitee._internal.jit import compiled
from splitee.policies.base import Layers, Policy, Stream, check_switch, check_threshold
from splitee.policies.rewards import by_exit, device_costs, exit_of, leaving, means_of, split_reward


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
        rewards = means_of(stream, stream.costs, self.threshold, False, stream.order)
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

    def by_sample(self, stream: Stream) -> Layers:  # noqa: D102
        best = np.empty(len(stream.far), dtype=np.int16)
        _best_by_sample(
            0 if self.send_input else 1,
            by_exit(stream.confidence)[: stream.arms],
            stream.layers,
            stream.far,
            float(self.threshold),
            float(stream.mu),
            device_costs(stream.costs, stream.layers, every_exit=False),
            stream.costs.sending(stream.layers),
            stream.costs.by_sample(len(stream.far)),
            best,
        )
        return best


@compiled
def _best_by_sample(  # type: ignore[no-untyped-def]
    first, confidence, layers, far, alpha, mu, gamma, sending, extra, best
):
    """Fill in the arm of the greatest r(i) of each sample; `confidence` has shape (arms, n)."""
    arms, below = confidence.shape[0], leaving(layers, alpha)
    for sample in range(confidence.shape[1]):
        greatest = -math.inf
        more = extra[sample] if extra.shape[0] else 0.0
        for arm in range(first, arms + 1):
            own = np.float64(confidence[exit_of(arm), sample])
            price = sending[arm] + more
            reward = split_reward(own, np.float64(far[sample]), below[arm], mu, gamma[arm], price)
            if reward > greatest:
                best[sample], greatest = arm, reward
