"""Regret: how much less the arms that a policy plays are worth than the best, over a stream.

What is charged at t is the expected gap of the arm played, r* − r̄(i_t), r̄ a mean over the samples of the
order: not the luck of the sample it met.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from splitee._internal.errors import InputError
from splitee._internal.jit import compiled
from splitee.costs import CostModel, Floats
from splitee.policies.base import (
    AnyPolicy,
    Layers,
    Policy,
    Stream,
    kinds_of_rounds,
    sends_input,
)
from splitee.policies.rewards import means_of
from splitee.replay.arrivals import Arrivals, in_order


class MeanRewards:
    """r̄(i), the mean reward of every arm in every order of a replay; each worked out when first needed.

    Parameters
    ----------
    stream : Stream
        Of any order: only its trace and its prices are read.
    arrivals : Arrivals
        The orders; repeats that show every sample once have the same means.
    """

    def __init__(self, stream: Stream, arrivals: Arrivals) -> None:
        self._stream, self._arrivals = stream, arrivals
        self._known: dict[tuple[object, ...], Floats] = {}

    def of(
        self, repeat: int, alpha: float, every_exit: bool, costs: CostModel, rounds: slice | None = None
    ) -> Floats:
        """Return r̄(0), …, r̄(L) over one repeat, or over some of its rounds."""
        if rounds is not None:
            return means_of(self._stream, costs, alpha, every_exit, self._arrivals.order(repeat)[rounds])
        shuffled = self._arrivals.shuffles[repeat]
        key = (None if shuffled else repeat, *_key(alpha, every_exit, costs))
        if key not in self._known:
            order = in_order(len(self._stream.far)) if shuffled else self._arrivals.order(repeat)
            self._known[key] = means_of(self._stream, costs, alpha, every_exit, order)
        return self._known[key]


def gaps(
    means: MeanRewards,
    policy: AnyPolicy,
    costs: CostModel,
    repeat: int,
    layers: int,
    alpha: float,
    exits: Sequence[bool],
    sends: bool,
    rounds: slice | None = None,
) -> Floats:
    """Return what a round at each layer adds to the regret, common and own, shape (kinds, 2, L + 1).

    Parameters
    ----------
    means : MeanRewards
        Of the replay.
    policy : policy
        One that chooses a layer to split at.
    costs : CostModel
        Of the call: r* of the common regret is by these prices, one exit evaluated.
    repeat : int
    layers : int
        L.
    alpha : float
        α.
    exits : sequence of bool
        Whether every exit is evaluated, in each kind of round; its own best arm is judged by the last kind.
    sends : bool
        Whether sending the input counts as an arm of its own regret.
    rounds : slice, optional
        A part of the stream, which has its own r̄ and r*.
    """
    own_costs = policy.priced(costs) if isinstance(policy, Policy) else costs
    held = arms = costs.arms(layers)
    if isinstance(policy, Policy):
        arms = max(arms, policy.deepest(layers, arms))
    best = means.of(repeat, alpha, False, costs, rounds)[1 : held + 1].max()
    own = means.of(repeat, alpha, exits[-1], own_costs, rounds)
    best_own = own[0 if sends else 1 : arms + 1].max()
    worth = np.stack([means.of(repeat, alpha, every, own_costs, rounds) for every in exits])
    owed: Floats = np.stack([best - worth, best_own - worth], axis=1)
    return np.nan_to_num(owed)  # an input without a price, which is never sent


@compiled
def owed_by_then(plays, owing, owed):  # type: ignore[no-untyped-def]
    """Fill in the regret, common and own, of so many plays of each layer, shape (2, p, repeats).

    `plays` has shape (kinds, p, L + 1, repeats); `owing`, shape (kinds, 2, L + 1, repeats), is what a round
    adds (see `gaps`).
    """
    owed[:] = 0.0
    for kind in range(plays.shape[0]):
        for point in range(plays.shape[1]):
            common, own = owed[0, point], owed[1, point]
            for layer in range(plays.shape[2]):
                rounds, adds = plays[kind, point, layer], owing[kind, :, layer]
                for repeat in range(plays.shape[3]):
                    common[repeat] += rounds[repeat] * adds[0, repeat]
                    own[repeat] += rounds[repeat] * adds[1, repeat]


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
    means, policy, costs, repeat, layers, alpha
        See `gaps`.
    split : ndarray of int, shape (m,)
        What the policy played.
    mean_reward : float
        Of the policy in this repeat: what it is worth where it has no arms.
    segments : sequence of int, optional
        Lengths of consecutive parts of the stream, each of which has its own r̄ and r*.
    """
    if segments is not None:
        _check_segments(segments, len(split))
    if not has_arms(policy):
        if segments is not None:
            raise InputError("regret by segment is of policies that choose a layer to split at")
        gap = armless_gap(means, costs, repeat, layers, mean_reward, alpha)
        owed = np.multiply(gap, np.arange(1, len(split) + 1), dtype=np.float64)
        return {"common": owed, "own": owed}
    exits, kinds = kinds_of_rounds(policy, len(split))
    each = np.empty((2, len(split)))
    cuts = np.concatenate([[0], np.cumsum(segments if segments is not None else [len(split)])])
    for a, b in pairwise(cuts.tolist()):
        rounds = None if segments is None else slice(a, b)
        sends = may_send(policy, sends_input(policy), not split.all())
        owing = gaps(means, policy, costs, repeat, layers, alpha, exits, sends, rounds)
        for first, end, kind in kinds:
            part = slice(max(a, first), max(a, first, min(b, end)))
            each[:, part] = owing[kind][:, split[part]]
    common, own = np.cumsum(each[0]), np.cumsum(each[1])
    return {"common": common, "own": own}


def has_arms(policy: AnyPolicy) -> bool:
    """Whether what a policy plays are layers to split at, each with a mean reward."""
    return not isinstance(policy, Policy) or policy.has_arms


def may_send(policy: AnyPolicy, says: bool, sent: bool) -> bool:
    """Whether sending the input is one of a policy's arms: it `says` so, or (one's own) it has `sent` one."""
    return says or (not isinstance(policy, Policy) and sent)


def armless_gap(
    means: MeanRewards, costs: CostModel, repeat: int, layers: int, mean_reward: float, alpha: float
) -> float:
    """Return what each round of a policy without arms adds to the regret: by its own mean reward."""
    best = means.of(repeat, alpha, False, costs)[1 : costs.arms(layers) + 1].max()
    return float(best - mean_reward)


def _check_segments(segments: Sequence[int], rounds: int) -> None:
    lengths = np.asarray(segments)
    whole = lengths.ndim == 1 and lengths.dtype.kind in "iu"
    if not whole or (lengths < 1).any() or lengths.sum() != rounds:
        raise InputError(f"segments are {segments}: give lengths that sum to {rounds}")


def _key(alpha: float, every_exit: bool, costs: CostModel) -> tuple[object, ...]:
    """Return what mean rewards depend on."""
    arrays = (costs.offload, () if costs.sample_offload is None else costs.sample_offload)
    prices = tuple(hashlib.sha256(np.asarray(array).tobytes()).digest() for array in arrays)
    return alpha, every_exit, costs.layer, costs.exit, costs.exit_layers, costs.offload_input, *prices
