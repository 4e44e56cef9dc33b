"""I-SplitEE's learner as its public code credits samples, to reconcile numbers; never a default.

[secondary: read in our notes on the code, not in the paper.] In round t it plays arm i_t; i_t is then appended to a list
once for every arm up to it, and *every* entry of the list is credited with the reward that its arm would have had on
this round's sample. With M(a) the entries of arm a, a round so adds M(a)·r_t(a) to the sum of arm a and M(a) to its
count, also where C_L was never observed. Its costs are SplitEE's: o = 5 λ, μ = 0.1 per λ, α = 0.5, β = 1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def rewards(confidence: NDArray[np.float64], gamma: NDArray[np.float64], alpha: float, o: float, mu: float):
    """Return r(i) of every sample, shape (n, L)."""
    stays = confidence >= np.float64(np.float32(alpha))
    stays[:, -1] = True
    return np.where(stays, confidence - mu * gamma, confidence[:, -1:] - mu * (gamma + o))


def play(reward: NDArray[np.float64], order: NDArray[np.int64], beta: float = 1.0) -> NDArray[np.int64]:
    """Return the arm (from 0) of every round."""
    arms = reward.shape[1]
    total, count, entries = np.zeros(arms), np.zeros(arms), np.zeros(arms)
    chosen = np.empty(len(order), dtype=np.int64)
    for t, sample in enumerate(order):
        if t < arms:
            arm = t
        else:
            arm = int(np.argmax(total / count + beta * np.sqrt(np.log(t) / count)))
        entries[arm] += arm + 1
        total += entries * reward[sample]
        count += entries
        chosen[t] = arm
    return chosen
