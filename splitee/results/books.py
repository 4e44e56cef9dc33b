"""The books of a replay: what was counted of a policy, and what follows, worked out when first asked for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from splitee.costs import Floats
from splitee.policies.base import AnyPolicy
from splitee.replay.scene import Scene
from splitee.results.accounting import METRICS, Ledger
from splitee.results.outcomes import Outcomes
from splitee.results.regret import armless_gap, gaps, has_arms, may_send, owed_by_then
from splitee.results.tally import PLAYED, Tally


@dataclass(frozen=True)
class Curve:
    """Cumulative regret at some rounds (1-based, shape (p,)): `common` and `own`, shape (repeats, p)."""

    rounds: NDArray[np.int64]
    common: Floats
    own: Floats


class Books(Protocol):
    """What a result tells in numbers."""

    @property
    def shown(self) -> Floats:
        """How often each sample came in all repeats, shape (n,)."""

    @property
    def totals(self) -> Floats:
        """Each repeat's means a round, shape (repeats, metrics)."""

    @property
    def per_sample(self) -> Floats:
        """Sums of each metric over all times that a sample was shown, shape (n, metrics)."""

    @property
    def settled(self) -> NDArray[np.int16]:
        """The layer played most in the second half of each stream, shape (repeats,)."""

    @property
    def curve(self) -> Curve:
        """Cumulative regret."""


@dataclass(frozen=True, eq=False)
class Reloaded:
    """Books as they were saved."""

    shown: Floats
    totals: Floats
    per_sample: Floats
    settled: NDArray[np.int16]
    curve: Curve


@dataclass(frozen=True, eq=False)
class Counted:
    """Books of what was played.

    Attributes
    ----------
    scene : Scene
    policy : policy
    sends : bool
        Whether sending the input is one of its arms, as it said before it was played.
    ledger : Ledger
    outcomes : Outcomes
        With the rounds of all repeats, or of one of so many.
    tallies : tuple of Tally
        Of consecutive repeats.
    times : int
        How many repeats they stand for, where each sample always stops at the same layer; else 1.
    """

    scene: Scene
    policy: AnyPolicy
    sends: bool
    ledger: Ledger
    outcomes: Outcomes
    tallies: tuple[Tally, ...]
    times: int = 1

    @property
    def shown(self) -> Floats:  # noqa: D102
        return self.scene.arrivals.shown

    @cached_property
    def totals(self) -> Floats:  # noqa: D102
        return np.concatenate([self.ledger.totals(tally) for tally in self.tallies]).repeat(self.times, 0)

    @property
    def per_sample(self) -> Floats:  # noqa: D102
        return self.ledger.per_sample(self.outcomes) * self.times

    @cached_property
    def settled(self) -> NDArray[np.int16]:  # noqa: D102
        stops = self.outcomes.stops
        if stops is None or (stops == stops[0]).all():
            return np.concatenate([tally.settled for tally in self.tallies]).repeat(self.times)
        settled = np.empty(self.times, dtype=np.int16)
        for block in self.scene.arrivals.blocks():
            late = self.scene.arrivals.block(block.start, block.stop)[:, len(stops) // 2 :]
            settled[block.start : block.stop] = [np.bincount(stops[row]).argmax() for row in late]
        return settled

    @cached_property
    def curve(self) -> Curve:  # noqa: D102
        ends = np.cumsum([tally.repeats for tally in self.tallies])
        owed = [self._owed(tally, end - tally.repeats) for tally, end in zip(self.tallies, ends, strict=True)]
        common, own = np.concatenate(owed, axis=2).repeat(self.times, 2).swapaxes(1, 2)
        return Curve(self.tallies[0].points + 1, common, own)

    def _owed(self, tally: Tally, first: int) -> Floats:
        """Return regret, common and own, of the repeats from `first` on, shape (2, p, repeats)."""
        repeats = range(first, first + tally.repeats)
        owed = np.empty((2, len(tally.points), len(repeats)))
        if has_arms(self.policy):
            each = zip(repeats, (tally.sums[:, PLAYED, 0].sum(axis=0) > 0).tolist(), strict=True)
            keys = [(self._like(repeat), may_send(self.policy, self.sends, sent)) for repeat, sent in each]
            place = {key: k for k, key in enumerate(dict.fromkeys(keys))}
            owing = np.stack([self._owing(*key) for key in place], -1).take([place[key] for key in keys], -1)
            owed_by_then(tally.at_points, owing, owed)
            return owed
        scene, layers, alpha = self.scene, self.ledger.layers, self.ledger.threshold
        rewards = self.totals[first : repeats.stop, METRICS.index("reward")].tolist()
        gap = [
            armless_gap(scene.means, scene.costs, repeat, layers, reward, alpha)
            for repeat, reward in zip(repeats, rewards, strict=True)
        ]
        owed[:] = np.outer(tally.points + 1, gap)
        return owed

    def _like(self, repeat: int) -> int:
        """Return the first repeat that shows the same samples as this one, as far as is known."""
        return 0 if self.scene.arrivals.all_shuffled else repeat

    def _owing(self, repeat: int, sends: bool) -> Floats:
        """Return the policy's `gaps` in a repeat."""
        scene, ledger = self.scene, self.ledger
        layers, alpha = ledger.layers, ledger.threshold
        return gaps(scene.means, self.policy, scene.costs, repeat, layers, alpha, ledger.exits, sends)
