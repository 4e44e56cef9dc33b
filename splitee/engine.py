"""The engine: plays a policy on a scene, many repeats side by side, and counts what happened.

What a policy did is fully told by where the device stopped (`split`), by its threshold and by whether it
evaluates every exit. Everything else, labels included, is worked out from that, where no policy sees it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray

from splitee.accounting import Ledger
from splitee.arrivals import in_order
from splitee.books import Counted
from splitee.lanes import play as play_lanes
from splitee.outcomes import Outcomes
from splitee.policies.bandit import LayerBandit
from splitee.policies.base import AnyPolicy, Layers, Policy, Stream, kinds_of_rounds, play, sends_input
from splitee.result import Result
from splitee.scene import Scene, leaves_below
from splitee.tally import Tally

CURVE_POINTS = 400  # a regret curve is held at so many rounds a repeat


@dataclass(frozen=True)
class Played:
    """What came of some repeats of a policy; of its books see `splitee.books.Counted`.

    Attributes
    ----------
    outcomes : Outcomes
        With the rounds of these repeats, or of one of so many.
    tallies : list of Tally
    logged : list of ndarray, shape (m,)
        Choices, where they are kept.
    times : int
        How many repeats the outcomes stand for.
    """

    outcomes: Outcomes
    tallies: list[Tally]
    logged: list[Layers]
    times: int = 1


class Player:
    """One policy on a scene.

    Parameters
    ----------
    scene : Scene
    name : str
        What tables call the policy.
    policy : policy
    log : bool
        Whether to keep every choice.
    """

    def __init__(self, scene: Scene, name: str, policy: AnyPolicy, log: bool) -> None:
        self.scene, self.name, self.policy = scene, name, policy
        self.log = log or not isinstance(policy, Policy)  # one's own might not do the same again
        costs = policy.priced(scene.costs) if isinstance(policy, Policy) else scene.costs
        # read once, before anything is played
        alpha, self._sends = scene.threshold(policy), sends_input(policy)
        exits, self._parts = kinds_of_rounds(policy, scene.arrivals.rounds)
        below = leaves_below(policy, alpha)
        self.ledger = Ledger(scene.answers, alpha, below, costs, scene.mu, exits)

    def play(self, repeats: range) -> Played:
        """Play some repeats."""
        outcomes = self.ledger.outcomes()
        tallies: list[Tally] = []
        logged: list[Layers] = []
        arrivals = self.scene.arrivals
        for block in arrivals.blocks(repeats):
            orders, tally = arrivals.block(block.start, block.stop), self._tally(len(block))
            streams = (self.scene.stream(*each) for each in zip(block, orders, strict=True))
            if isinstance(self.policy, LayerBandit):
                splits = play_lanes(self.policy, streams, orders, outcomes, tally, self.log)
            else:
                splits = self._splits(streams)
                tally.count(orders, splits, self._parts, outcomes, self.ledger.extra)
            if self.log and splits is not None:
                logged += list(splits)
            tallies.append(tally)
        return Played(outcomes, tallies, logged)

    def still_or_played(self) -> Played:
        """Play all repeats, or one that stands for all, where each sample always stops where it does."""
        return self._still() or self.play(range(self.scene.arrivals.repeats))

    def _splits(self, streams: Iterable[Stream]) -> Layers:
        """Return where a policy stops in some repeats, shape (repeats, m)."""
        if not isinstance(self.policy, Policy):
            each = [play(self.policy, stream, self.ledger.threshold) for stream in streams]
        else:
            each = [self.policy.splits(replace(one, order=one.order.copy())) for one in streams]
        return np.stack(each)

    def _still(self) -> Played | None:
        arrivals = self.scene.arrivals
        if not arrivals.all_shuffled or not isinstance(self.policy, Policy):
            return None
        every = in_order(self.scene.trace.samples)
        stops = self.policy.by_sample(self.scene.stream(0, every))
        if stops is None:
            return None
        outcomes, tally = self.ledger.outcomes(stops), self._tally(1)
        tally.count(every[None], stops[None], self._parts, outcomes, self.ledger.extra)
        repeats = arrivals.repeats
        logged = [stops[arrivals.order(repeat)] for repeat in range(repeats)] if self.log else []
        return Played(outcomes, [tally], logged, times=repeats)

    def whole(self) -> Result:
        """Play all repeats, and put them together."""
        return self.together([self.still_or_played()])

    def together(self, parts: Sequence[Played]) -> Result:
        """Put what was played together; `parts` are consecutive repeats."""
        first, *others = parts
        for part in others:
            first.outcomes.add(part.outcomes)
        tallies = tuple(tally for part in parts for tally in part.tallies)
        logged = [split for part in parts for split in part.logged]
        return Result(
            name=self.name,
            policy=self.policy,
            books=Counted(
                self.scene, self.policy, self._sends, self.ledger, first.outcomes, tallies, first.times
            ),
            shown=self.scene.arrivals.shown,
            on_device=self._fits(),
            threshold=self.ledger.threshold,
            scene=self.scene,
            chosen=partial(self._chosen, logged),
        )

    def _chosen(self, logged: list[Layers]) -> list[Layers]:
        """Return where it stopped, repeat by repeat; played again where that was not kept."""
        return logged or Player(self.scene, self.name, self.policy, log=True).still_or_played().logged

    def _tally(self, repeats: int) -> Tally:
        rounds = self.scene.arrivals.rounds
        return Tally.empty(len(self.ledger.exits), self.ledger.layers, repeats, curve_points(rounds), rounds)

    def _fits(self) -> bool:
        """Whether the device holds all layers the policy needs."""
        layers = self.scene.trace.layers
        arms = self.scene.costs.arms(layers)
        return not isinstance(self.policy, Policy) or bool(self.policy.deepest(layers, arms) <= arms)


@lru_cache(maxsize=4)
def curve_points(rounds: int) -> NDArray[np.int64]:
    """Return the 0-based rounds at which a curve is held: all of a short stream, else evenly spread."""
    return np.unique(np.linspace(0, rounds - 1, CURVE_POINTS).round().astype(np.int64))
