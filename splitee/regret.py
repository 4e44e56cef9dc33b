"""Regret: how much less the arms that a policy plays are worth than the best, over a stream.

What is charged at t is the expected gap of the arm played, r* − r̄(i_t), r̄ a mean over the samples of the
order: not the luck of the sample it met.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from splitee.costs import CostModel, Floats
from splitee.errors import InputError
from splitee.policies.base import AnyPolicy, Layers, Policy, Stream, rounds_with_every_exit, sends_input
from splitee.policies.hindsight import mean_rewards, reward_table

_TABLES = 2  # kept at a time: each is as large as the trace


class MeanRewards:
    """r̄(i), the mean reward of every arm in every order of a replay; each worked out when first needed.

    Parameters
    ----------
    stream : Stream
        Of any order: only its trace and its prices are read.
    order : callable
        Gives the samples of a repeat.
    repeats : int
        How many there are.
    """

    def __init__(self, stream: Stream, order: Callable[[int], NDArray[np.int64]], repeats: int) -> None:
        self._stream, self._order, self._repeats = stream, order, repeats
        self._whole: dict[tuple[object, ...], Floats] = {}
        self._tables: dict[tuple[object, ...], Floats] = {}
        self._lock = Lock()  # policies of a replay run in threads

    def of(
        self, repeat: int, alpha: float, every_exit: bool, costs: CostModel, rounds: slice | None = None
    ) -> Floats:
        """Return r̄(0), …, r̄(L) over one repeat, or over some of its rounds."""
        if rounds is not None:
            table = self._table(alpha, every_exit, costs)
            means: Floats = mean_rewards(table, self._order(repeat)[rounds])
            return means
        key = _key(alpha, every_exit, costs)
        if key not in self._whole:
            table = self._table(alpha, every_exit, costs)
            self._whole[key] = np.array([mean_rewards(table, self._order(r)) for r in range(self._repeats)])
        found: Floats = self._whole[key][repeat]
        return found

    def _table(self, alpha: float, every_exit: bool, costs: CostModel) -> Floats:
        key = _key(alpha, every_exit, costs)
        with self._lock:
            if key not in self._tables:
                if len(self._tables) == _TABLES:
                    del self._tables[next(iter(self._tables))]
                self._tables[key] = reward_table(self._stream, costs, alpha, every_exit)
            return self._tables[key]


def cumulative_regret(
    means: MeanRewards,
    policy: AnyPolicy,
    costs: CostModel,
    repeat: int,
    split: Layers,
    layers: int,
    mean_reward: float,
    alpha: float,
    segments: Sequence[int] | None = None,
) -> dict[str, Floats]:
    """Return the cumulative regret of one repeat, "common" and "own", each of shape (m,).

    Parameters
    ----------
    means : MeanRewards
        Of the replay.
    policy : policy
    costs : CostModel
        Of the call: r* of the common regret is by these prices, one exit evaluated.
    repeat : int
    split : ndarray of int, shape (m,)
        What the policy played.
    layers : int
        L.
    mean_reward : float
        Of the policy in this repeat: what it is worth where it has no arms.
    alpha : float
        α.
    segments : sequence of int, optional
        Lengths of consecutive parts of the stream, each of which has its own r̄ and r*.
    """
    has_arms = not isinstance(policy, Policy) or policy.has_arms
    if segments is not None:
        lengths = np.asarray(segments)
        if (
            lengths.ndim != 1
            or lengths.dtype.kind not in "iu"
            or (lengths < 1).any()
            or lengths.sum() != len(split)
        ):
            raise InputError(f"segments are {segments}: give lengths that sum to {len(split)}")
        if not has_arms:
            raise InputError("regret by segment is of policies that choose a layer to split at")
    own_costs = policy.priced(costs) if isinstance(policy, Policy) else costs
    held = arms = costs.arms(layers)
    if isinstance(policy, Policy):
        arms = max(arms, policy.deepest(layers, arms))
    first = 0 if sends_input(policy) or not split.all() else 1
    every = rounds_with_every_exit(policy, len(split))
    best, best_own = np.empty(len(split)), np.empty(len(split))
    worth = np.full(len(split), mean_reward)
    cuts = np.concatenate([[0], np.cumsum(segments if segments is not None else [len(split)])])
    for a, b in pairwise(cuts.tolist()):
        rounds = None if segments is None else slice(a, b)
        best[a:b] = means.of(repeat, alpha, False, costs, rounds)[1 : held + 1].max()
        if not has_arms:
            best_own[a:b] = best[a:b]
            continue
        own = means.of(repeat, alpha, every == len(split), own_costs, rounds)
        best_own[a:b] = own[first : arms + 1].max()
        worth[a:b] = own[split[a:b]]
        if a < every < len(split):  # the rest of the stream is played at another price
            exploring = slice(a, min(b, every))
            worth[exploring] = means.of(repeat, alpha, True, own_costs, rounds)[split[exploring]]
    return {"common": np.cumsum(best - worth), "own": np.cumsum(best_own - worth)}


def _key(alpha: float, every_exit: bool, costs: CostModel) -> tuple[object, ...]:
    """Return what a table of rewards depends on."""
    arrays = (costs.offload, () if costs.sample_offload is None else costs.sample_offload)
    prices = tuple(np.asarray(array).tobytes() for array in arrays)
    return alpha, every_exit, costs.layer, costs.exit, costs.exit_layers, costs.offload_input, *prices
