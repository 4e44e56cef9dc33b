"""Regret: how much less the arms that a policy plays are worth than the best arm, over a stream.

The loss of round t is the expected gap of the arm played, r* − r̄(i_t), r̄ being a mean over the samples of
the order: not the luck of the sample that came. *Common* regret takes r* over the splits 1..m with one exit
evaluated, at the costs of the call; *own* regret over the policy's own arms at its own γ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from splitee._internal.errors import InputError
from splitee.costs import Floats
from splitee.policies.base import Policy, sends_input
from splitee.policies.problem import Table, alpha_by_layer
from splitee.policies.timed import rewards_in_time
from splitee.results.counts import cumulated
from splitee.results.rounds import Rounds


@dataclass(frozen=True)
class Curve:
    """Cumulative regret at some rounds (1-based, shape (p,)): `common` and `own`, shape (repeats, p)."""

    rounds: NDArray[np.int64]
    common: Floats
    own: Floats


class Regret:
    """The regret of one policy.

    Parameters
    ----------
    rounds : Rounds
    """

    def __init__(self, rounds: Rounds) -> None:
        self.rounds, self.setup, self.policy = rounds, rounds.setup, rounds.policy
        self.table, self.threshold, self.actions = rounds.table, rounds.threshold, rounds.actions
        self._arms()

    def _arms(self) -> None:
        """Find out whether the actions are splits, and at which γ the best of them is judged."""
        if isinstance(self.policy, Policy):
            self.has_arms, self.every_exit = self.policy.has_arms, self.policy.every_exit
            self.sends = sends_input(self.policy)
            return
        actions, alpha = self.actions, alpha_by_layer(self.threshold, self.table.layers)
        one = bool((actions.evaluated == np.minimum(actions.layer, 1)).all())
        self.every_exit = not one
        self.sends = bool((actions.layer == 0).any())
        self.has_arms = one or bool((actions.evaluated == actions.layer).all())
        for played, order in self.rounds.with_orders() if self.has_arms else []:
            layer = actions.layer[played.action]
            unsure = self.table.confidence[order, layer].astype(np.float64) < alpha[layer]
            self.has_arms &= bool((unsure == actions.offloaded[played.action]).all())

    def means(self, table: Table, every_exit: bool, repeat: int, rounds: slice = slice(None)) -> Floats:
        """Return r̄(0), …, r̄(L) over a repeat, or some of its rounds."""
        streams = self.setup.streams
        if self.setup.system is not None:
            return self._means_in_time(table, every_exit, 0 if streams.shuffled else repeat, rounds)
        same = streams.shuffled and rounds == slice(None)
        key = (table, self.threshold, every_exit, None if same else repeat, rounds.start, rounds.stop)
        known = self.setup.mean_rewards
        if key not in known:
            if same:
                order = np.arange(table.samples, dtype=np.int32)
            else:
                order = streams.block(repeat, repeat + 1)[rounds, 0]
            known[key] = table.mean_rewards(self.threshold, every_exit, order)
        return known[key]

    def _means_in_time(self, table: Table, every_exit: bool, repeat: int, rounds: slice) -> Floats:
        """Return r̄ of always splitting at layer 0, …, L; shuffled streams are judged by the first of them."""
        key = (self.threshold, every_exit, repeat)
        known = self.setup.mean_rewards
        if key not in known:
            world, order = (
                self.setup.world(table, repeat, repeat + 1),
                self.setup.streams.block(repeat, repeat + 1),
            )
            assert world is not None
            known[key] = np.stack(
                [
                    rewards_in_time(table, world, order, self.threshold, i, every_exit)[:, 0]
                    for i in range(table.layers + 1)
                ],
                axis=1,
            )
        means: Floats = known[key][rounds].mean(axis=0)
        return means

    def best(self, repeat: int, rounds: slice = slice(None)) -> float:
        """Return the common r*: the best split of the device, one exit evaluated."""
        means = self.means(self.setup.table, False, repeat, rounds)
        return float(means[1 : self.setup.table.arms + 1].max())

    def losses(self, repeat: int, rounds: slice = slice(None)) -> Floats:
        """Return what a round of each action loses, common and own, shape (2, actions)."""
        held = self.setup.table.arms
        arms = held
        if isinstance(self.policy, Policy):
            arms = max(held, self.policy.deepest(self.table.layers, held))
        one, every = (self.means(self.table, kind, repeat, rounds) for kind in (False, True))
        own = (every if self.every_exit else one)[0 if self.sends else 1 : arms + 1].max()
        worth = np.where(self.actions.evaluated > 1, every[self.actions.layer], one[self.actions.layer])
        losses: Floats = np.stack([self.best(repeat, rounds) - worth, own - worth])
        losses[:, (self.actions.layer == 0) & np.isnan(worth)] = 0.0  # the input has no known cost
        return losses

    def curve(self, points: NDArray[np.int64], rewards: Floats) -> Curve:
        """Return the regret at some rounds (from 0, ascending).

        `rewards` are the policy's mean rewards, shape (repeats,): a policy without arms loses r* minus that
        in every round.
        """
        repeats = self.setup.streams.repeats
        if not self.has_arms:
            line = np.outer(self._gaps(rewards), points + 1)
            return Curve(points + 1, line, line)
        decided = self.rounds.blocks[0][1].action[:, 0]
        stops = self.actions.layer[decided]
        if self.rounds.by_sample and (stops == stops[0]).all():
            losses = self.losses(0)[:, decided[0]]
            common, own = (np.tile(loss * (points + 1), (repeats, 1)) for loss in losses)
            return Curve(points + 1, common, own)
        sums = [
            cumulated(played, self._losses_of(range(first, first + played.action.shape[1])), points)
            for first, played in self.rounds.of_every_repeat()
        ]
        common, own = np.concatenate(sums, axis=2).swapaxes(1, 2)
        return Curve(points + 1, common, own)

    def _gaps(self, rewards: Floats) -> Floats:
        """Return r* minus the mean reward in each repeat, shape (repeats,)."""
        if self.setup.streams.shuffled:
            return self.best(0) - rewards
        return np.array([self.best(r) for r in range(len(rewards))]) - rewards

    def _losses_of(self, repeats: range) -> Floats:
        """Return the losses of each action in some repeats, shape (2, actions, repeats)."""
        if self.setup.streams.shuffled:  # all repeats show the same samples
            return np.repeat(self.losses(0)[:, :, None], len(repeats), axis=2)
        return np.stack([self.losses(repeat) for repeat in repeats], axis=2)

    def cumulative(self, against: str, rewards: Floats, segments: Sequence[int] | None = None) -> Floats:
        """Return the regret at every round, shape (repeats, m); see `splitee.Result.regret`."""
        kind, streams = ("common", "own").index(against), self.setup.streams
        cuts = _cuts(segments, streams.rounds)
        if not self.has_arms:
            if segments is not None:
                raise InputError("regret by segment is for policies whose actions are splits")
            line: Floats = np.outer(self._gaps(rewards), np.arange(1, streams.rounds + 1))
            return line
        lost = np.empty((streams.repeats, streams.rounds))
        for first, played in self.rounds.of_every_repeat():
            for r in range(played.action.shape[1]):
                for part in cuts:
                    losses = self.losses(first + r, part)[kind]
                    lost[first + r, part] = losses[played.action[part, r]]
        return np.cumsum(lost, axis=1)


def _cuts(segments: Sequence[int] | None, rounds: int) -> list[slice]:
    if segments is None:
        return [slice(None)]
    lengths = np.asarray(segments)
    whole = lengths.ndim == 1 and lengths.dtype.kind in "iu"
    if not whole or (lengths < 1).any() or lengths.sum() != rounds:
        raise InputError(f"segments are {segments}: give lengths that sum to {rounds}")
    return [slice(a, b) for a, b in pairwise(np.concatenate([[0], np.cumsum(lengths)]).tolist())]
