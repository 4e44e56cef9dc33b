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

from splitee.policies.bandit import LayerBandit
from splitee.policies.base import AnyPolicy, Layers, Policy, Stream, kinds_of_rounds, play, sends_input
from splitee.replay.arrivals import in_order
from splitee.replay.lanes import Terms
from splitee.replay.lanes import play as play_lanes
from splitee.replay.scene import Scene, leaves_below
from splitee.results.accounting import Ledger
from splitee.results.books import Counted
from splitee.results.outcomes import Outcomes
from splitee.results.result import Result
from splitee.results.tally import Tally

CURVE_POINTS = 400  # a regret curve is held at so many rounds a repeat


@dataclass(frozen=True)
class Block:
    """What was counted of some repeats; and their choices, shape (m,) each, where they are kept."""

    repeats: range
    tally: Tally
    logged: Sequence[Layers]


@dataclass(frozen=True)
class Played:
    """What came of some repeats of a policy; of its books see `splitee.results.books.Counted`.

    Attributes
    ----------
    blocks : list of Block
    outcomes : Outcomes
        With the rounds of these repeats, or of one of so many.
    times : int
        How many repeats the outcomes stand for.
    """

    blocks: list[Block]
    outcomes: Outcomes
    times: int = 1

    @property
    def logged(self) -> list[Layers]:
        """Choices, repeat by repeat, where they are kept."""
        return [split for block in self.blocks for split in block.logged]

    @classmethod
    def together(cls, parts: Sequence[Played | None]) -> Played:
        """Put together what threads played of all repeats, some of them none."""
        first, *others = played = [part for part in parts if part is not None]
        for other in others:
            first.outcomes.add(other.outcomes)
        blocks = sorted(
            (block for part in played for block in part.blocks), key=lambda one: one.repeats.start
        )
        return cls(blocks, first.outcomes, first.times)


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
        self._terms = Terms.of(policy, scene.orderless) if isinstance(policy, LayerBandit) else None

    def play(self, blocks: Iterable[range]) -> Played | None:
        """Play blocks of repeats, all that are left; threads that share them take one after another.

        Where each sample always stops where it does, one repeat stands for all.
        """
        if still := self._still():
            return still
        outcomes: Outcomes | None = None
        played: list[Block] = []
        for block in blocks:
            outcomes = outcomes or self.ledger.outcomes()
            played.append(self._block(block, outcomes))
        return Played(played, outcomes) if outcomes else None

    def _block(self, repeats: range, outcomes: Outcomes) -> Block:
        """Play some repeats."""
        orders = self.scene.arrivals.block(repeats.start, repeats.stop)
        tally = self._tally(len(repeats))
        streams = (self.scene.stream(*each) for each in zip(repeats, orders, strict=True))
        if self._terms:
            rngs = (stream.rng for stream in streams)
            splits = play_lanes(self._terms, rngs, orders, outcomes, tally, self.log)
        else:
            splits = self._splits(streams)
            tally.count(orders, splits, self._parts, outcomes, self.ledger.extra)
        return Block(repeats, tally, list(splits) if self.log and splits is not None else [])

    def _splits(self, streams: Iterable[Stream]) -> Layers:
        """Return where a policy stops in some repeats, shape (repeats, m)."""
        if not isinstance(self.policy, Policy):
            each = [play(self.policy, stream, self.ledger.threshold) for stream in streams]
        else:
            each = [self.policy.splits(replace(one, order=one.order.copy())) for one in streams]
        return np.stack(each)

    def _still(self) -> Played | None:
        arrivals = self.scene.arrivals
        if not isinstance(self.policy, Policy) or self.policy.learns or not arrivals.all_shuffled:
            return None
        every = in_order(self.scene.trace.samples)
        stops = self.policy.by_sample(self.scene.stream(0, every))
        if stops is None:
            return None
        outcomes, tally = self.ledger.outcomes(stops), self._tally(1)
        tally.count(every[None], stops[None], self._parts, outcomes, self.ledger.extra)
        repeats = range(arrivals.repeats)
        logged = [stops[arrivals.order(repeat)] for repeat in repeats] if self.log else []
        return Played([Block(repeats, tally, logged)], outcomes, times=len(repeats))

    def whole(self) -> Result:
        """Play all repeats, and tell what came of them."""
        return self.told([self.play(self.scene.arrivals.blocks())])

    def told(self, parts: Sequence[Played | None]) -> Result:
        """Tell what came of all repeats."""
        played = Played.together(parts)
        tallies = tuple(block.tally for block in played.blocks)
        return Result(
            name=self.name,
            policy=self.policy,
            books=Counted(
                self.scene, self.policy, self._sends, self.ledger, played.outcomes, tallies, played.times
            ),
            on_device=self._fits(),
            threshold=self.ledger.threshold,
            scene=self.scene,
            chosen=partial(_choices, self.scene, self.name, self.policy, played.logged),
        )

    def _tally(self, repeats: int) -> Tally:
        rounds = self.scene.arrivals.rounds
        return Tally.empty(len(self.ledger.exits), self.ledger.layers, repeats, curve_points(rounds), rounds)

    def _fits(self) -> bool:
        """Whether the device holds all layers the policy needs."""
        layers = self.scene.trace.layers
        arms = self.scene.costs.arms(layers)
        return not isinstance(self.policy, Policy) or bool(self.policy.deepest(layers, arms) <= arms)


def _choices(scene: Scene, name: str, policy: AnyPolicy, logged: list[Layers]) -> list[Layers]:
    """Return where a policy stopped, repeat by repeat; played again where that was not kept."""
    if logged:
        return logged
    return Played.together([Player(scene, name, policy, log=True).play(scene.arrivals.blocks())]).logged


@lru_cache(maxsize=4)
def curve_points(rounds: int) -> NDArray[np.int64]:
    """Return the 0-based rounds at which a curve is held: all of a short stream, else evenly spread."""
    return np.unique(np.linspace(0, rounds - 1, CURVE_POINTS).round().astype(np.int64))
