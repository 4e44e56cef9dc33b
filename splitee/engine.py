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

from splitee.accounting import METRICS, Ledger
from splitee.arrivals import in_order, shared_out
from splitee.costs import Floats
from splitee.lanes import play as play_lanes
from splitee.outcomes import Outcomes
from splitee.policies.bandit import LayerBandit
from splitee.policies.base import AnyPolicy, Layers, Policy, Stream, kinds_of_rounds, play
from splitee.processor import EIGHT
from splitee.regret import armless_gap, gaps, has_arms, may_send, owed_by_then
from splitee.result import Books, Curve, Result
from splitee.scene import Scene, leaves_below
from splitee.tally import PLAYED, Tally

CURVE_POINTS = 400  # a regret curve is held at so many rounds a repeat
LANES = 48  # repeats played side by side at most: more do not go faster
LANE_ROUNDS = 2**24  # rounds, all lanes together, whose orders are held at a time: 64 MB


@dataclass(frozen=True)
class Played:
    """What came of some repeats of a policy.

    Attributes
    ----------
    outcomes : Outcomes
        With the rounds of these repeats, or of one of so many.
    totals : ndarray, shape (repeats, metrics)
    settled : ndarray of int, shape (repeats,)
    curves : ndarray, shape (2, repeats, p)
        Regret, common and own, at the points of a curve.
    logged : list of ndarray, shape (m,)
        Choices, where they are kept.
    times : int
        How many repeats the outcomes stand for.
    """

    outcomes: Outcomes
    totals: Floats
    settled: NDArray[np.int16]
    curves: Floats
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
        alpha = scene.threshold(policy)  # read once, before anything is played
        exits, self._parts = kinds_of_rounds(policy, scene.arrivals.rounds)
        below = leaves_below(policy, alpha)
        self.ledger = Ledger(scene.answers, alpha, below, costs, scene.mu, exits)

    def play(self, repeats: range) -> Played:
        """Play some repeats."""
        outcomes = self.ledger.outcomes()
        told: list[tuple[Floats, NDArray[np.int16], Floats]] = []
        logged: list[Layers] = []
        for block in self._blocks(repeats):
            orders, tally = self.scene.arrivals.block(block.start, block.stop), self._tally(len(block))
            streams = (self.scene.stream(*each) for each in zip(block, orders, strict=True))
            if isinstance(self.policy, LayerBandit):
                splits = play_lanes(self.policy, streams, orders, outcomes, tally, self.log)
            else:
                splits = self._splits(streams)
                tally.count(orders, splits, self._parts, outcomes, self.ledger.extra)
            if self.log and splits is not None:
                logged += list(splits)
            told.append(self._told(block, tally))
        totals, settled, curves = zip(*told, strict=True)
        return Played(
            outcomes, np.concatenate(totals), np.concatenate(settled), np.concatenate(curves, 1), logged
        )

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
        totals, _, curves = self._told(range(1), tally)
        repeats = arrivals.repeats
        settled = np.full(repeats, stops[0])
        if (stops != stops[0]).any():
            for block in self._blocks(range(repeats)):
                late = arrivals.block(block.start, block.stop)[:, len(stops) // 2 :]
                settled[block.start : block.stop] = [np.bincount(stops[row]).argmax() for row in late]
        logged = [stops[arrivals.order(repeat)] for repeat in range(repeats)] if self.log else []
        return Played(
            outcomes, totals.repeat(repeats, 0), settled, curves.repeat(repeats, 1), logged, times=repeats
        )

    def whole(self) -> Result:
        """Play all repeats, and put them together."""
        return self.together([self.still_or_played()])

    def together(self, parts: Sequence[Played]) -> Result:
        """Put what was played together; `parts` are consecutive repeats."""
        first, *others = parts
        for part in others:
            first.outcomes.add(part.outcomes)
        common, own = np.concatenate([part.curves for part in parts], axis=1)
        logged = [split for part in parts for split in part.logged]
        return Result(
            name=self.name,
            policy=self.policy,
            totals=np.concatenate([part.totals for part in parts]),
            books=Books(self.ledger, first.outcomes, first.times),
            shown=self.scene.arrivals.shown,
            settled=np.concatenate([part.settled for part in parts]),
            curve=Curve(curve_points(self.scene.arrivals.rounds) + 1, common, own),
            on_device=self._fits(),
            threshold=self.ledger.threshold,
            scene=self.scene,
            chosen=partial(self._chosen, logged),
        )

    def _chosen(self, logged: list[Layers]) -> list[Layers]:
        """Return where it stopped, repeat by repeat; played again where that was not kept."""
        return logged or Player(self.scene, self.name, self.policy, log=True).still_or_played().logged

    def _blocks(self, repeats: range) -> list[range]:
        """Cut repeats into as few blocks, to be played side by side, as there can be, of like size."""
        most = max(EIGHT, min(LANES, LANE_ROUNDS // self.scene.arrivals.rounds))
        return shared_out(repeats, -(-len(repeats) // most))

    def _tally(self, repeats: int) -> Tally:
        rounds = self.scene.arrivals.rounds
        return Tally.empty(len(self.ledger.exits), self.ledger.layers, repeats, curve_points(rounds), rounds)

    def _told(self, repeats: range, tally: Tally) -> tuple[Floats, NDArray[np.int16], Floats]:
        """Return what a tally of some repeats tells: totals, what they settled on, and curves of regret."""
        scene, totals = self.scene, self.ledger.totals(tally)
        if has_arms(self.policy):
            # one's own policy may send the input without saying so
            sends = tally.sums[:, PLAYED, 0].sum(axis=0) > 0
            each = zip(repeats, sends.tolist(), strict=True)
            keys = [(self._like(repeat), may_send(self.policy, sent)) for repeat, sent in each]
            place = {key: k for k, key in enumerate(dict.fromkeys(keys))}
            owing = np.stack([self._owing(*key) for key in place], -1)[..., [place[key] for key in keys]]
            curves = np.empty((2, len(tally.points), len(repeats)))
            owed_by_then(tally.at_points, owing, curves)
            return totals, tally.settled, curves.swapaxes(1, 2)
        rewards = totals[:, METRICS.index("reward")]
        layers, alpha = scene.trace.layers, self.ledger.threshold
        gap = [
            armless_gap(scene.means, scene.costs, repeat, layers, reward, alpha)
            for repeat, reward in zip(repeats, rewards.tolist(), strict=True)
        ]
        return totals, tally.settled, np.stack([np.outer(gap, tally.points + 1)] * 2)

    def _like(self, repeat: int) -> int:
        """Return the first repeat that shows the same samples as this one, as far as is known."""
        return 0 if self.scene.arrivals.all_shuffled else repeat

    def _owing(self, repeat: int, sends: bool) -> Floats:
        """Return the policy's `gaps` in a repeat."""
        scene, ledger = self.scene, self.ledger
        layers, alpha = scene.trace.layers, ledger.threshold
        return gaps(scene.means, self.policy, scene.costs, repeat, layers, alpha, ledger.exits, sends)

    def _fits(self) -> bool:
        """Whether the device holds all layers the policy needs."""
        layers = self.scene.trace.layers
        arms = self.scene.costs.arms(layers)
        return not isinstance(self.policy, Policy) or bool(self.policy.deepest(layers, arms) <= arms)


@lru_cache(maxsize=4)
def curve_points(rounds: int) -> NDArray[np.int64]:
    """Return the 0-based rounds at which a curve is held: all of a short stream, else evenly spread."""
    return np.unique(np.linspace(0, rounds - 1, CURVE_POINTS).round().astype(np.int64))
