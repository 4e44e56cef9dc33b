"""The engine: plays a policy on a scene, many repeats side by side, and counts what happened, compiled.

What a policy did is fully told by where the device stopped (`split`), by its threshold and by whether it
evaluates every exit. Everything else, labels included, is worked out here, where no policy sees it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from splitee.accounting import METRICS, Counts, Ledger, Outcomes
from splitee.arrivals import in_order
from splitee.costs import Floats
from splitee.policies.base import AnyPolicy, Layers, Orders, Policy, kinds_of_rounds
from splitee.regret import armless_gap, gaps, has_arms, may_send
from splitee.result import Curve, Result
from splitee.scene import Scene, leaves_below

CURVE_POINTS = 400  # a regret curve is held at so many rounds a repeat
LANES = 48  # repeats played side by side at most: more do not go faster
LANE_ROUNDS = 2**24  # rounds, all lanes together, whose orders are held at a time: 64 MB


@dataclass(frozen=True)
class Played:
    """What came of some repeats of a policy.

    Attributes
    ----------
    counts : ndarray of int, shape (kinds, L + 1, n)
        Rounds by kind, layer and sample.
    totals : ndarray, shape (repeats, metrics)
    settled : ndarray of int, shape (repeats,)
    curves : ndarray, shape (2, repeats, p)
        Regret, common and own, at the points of a curve.
    logged : list of ndarray, shape (m,)
        Choices, where they are kept.
    """

    counts: Counts
    totals: Floats
    settled: NDArray[np.int16]
    curves: Floats
    logged: list[Layers]


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
        self._gaps: dict[tuple[int, bool], Floats] = {}

    def play(self, repeats: range) -> Played:
        """Play some repeats."""
        counts, outcomes = self.ledger.counts(), self.ledger.outcomes()
        told: list[tuple[Floats, NDArray[np.int16], Floats]] = []
        logged: list[Layers] = []
        lanes = max(8, min(LANES, LANE_ROUNDS // self.scene.arrivals.rounds))
        for block in _blocks(repeats, lanes):
            orders = self.scene.arrivals.block(block.start, block.stop)
            played: Iterable[Layers] = self.scene.play(self.policy, block, orders, self.ledger.threshold)
            if self.log:
                played = list(played)
                logged += list(np.concatenate(played).T)
            told.append(self._count(block, orders, played, outcomes, counts))
        totals, settled, curves = zip(*told, strict=True)
        return Played(
            counts, np.concatenate(totals), np.concatenate(settled), np.concatenate(curves, 1), logged
        )

    def still_or_played(self) -> Played:
        """Play all repeats, or one that stands for all, where each sample always stops where it does."""
        return self._still() or self.play(range(self.scene.arrivals.repeats))

    def _still(self) -> Played | None:
        if not self.scene.arrivals.all_shuffled or not isinstance(self.policy, Policy):
            return None
        every = in_order(self.scene.trace.samples)
        stops = self.policy.by_sample(self.scene.stream(0, every))
        if stops is None:
            return None
        repeats, counts = self.scene.arrivals.repeats, self.ledger.counts()
        totals, _, curves = self._count(
            range(1), every[:, None], [stops[:, None]], self.ledger.outcomes(), counts
        )
        counts *= repeats
        settled = np.full(repeats, stops[0])
        if (stops != stops[0]).any():
            for repeat in range(repeats):
                late = self.scene.arrivals.order(repeat)[len(stops) // 2 :]
                settled[repeat] = np.bincount(stops[late]).argmax()
        logged = [stops[self.scene.arrivals.order(repeat)] for repeat in range(repeats)] if self.log else []
        return Played(counts, totals.repeat(repeats, 0), settled, curves.repeat(repeats, 1), logged)

    def result(self, parts: Sequence[Played]) -> Result:
        """Put what was played together; `parts` are consecutive repeats."""
        common, own = np.concatenate([part.curves for part in parts], axis=1)
        return Result(
            name=self.name,
            policy=self.policy,
            totals=np.concatenate([part.totals for part in parts]),
            books=(self.ledger, reduce(np.add, [part.counts for part in parts])),
            shown=self.scene.arrivals.shown,
            settled=np.concatenate([part.settled for part in parts]),
            curve=Curve(curve_points(self.scene.arrivals.rounds) + 1, common, own),
            on_device=self._fits(),
            threshold=self.ledger.threshold,
            scene=self.scene,
            logged=[split for part in parts for split in part.logged] or None,
        )

    def _count(
        self, repeats: range, orders: Orders, played: Iterable[Layers], outcomes: Outcomes, counts: Counts
    ) -> tuple[Floats, NDArray[np.int16], Floats]:
        """Count some repeats: their totals, what they settled on, and their curves of regret."""
        scene, ledger = self.scene, self.ledger
        points = curve_points(scene.arrivals.rounds)
        tally = ledger.count(orders, played, self._parts, points, outcomes, counts)
        totals = ledger.totals(tally)
        if has_arms(self.policy):
            # one's own policy may send the input without saying so
            sends = tally.plays[:, :, 0].sum(axis=0) > 0
            each = zip(repeats, sends.tolist(), strict=True)
            owing = np.stack([self._owing(repeat, may_send(self.policy, sent)) for repeat, sent in each])
            return totals, tally.settled, np.einsum("krpl,rkal->arp", tally.at_points, owing)
        rewards = totals[:, METRICS.index("reward")]
        layers, alpha = scene.trace.layers, ledger.threshold
        gap = [
            armless_gap(scene.means, scene.costs, repeat, layers, reward, alpha)
            for repeat, reward in zip(repeats, rewards.tolist(), strict=True)
        ]
        return totals, tally.settled, np.stack([np.outer(gap, points + 1)] * 2)

    def _owing(self, repeat: int, sends: bool) -> Floats:
        """Return the policy's `gaps` in a repeat; those of all that show the same samples are one."""
        scene, ledger = self.scene, self.ledger
        key = (-1 if scene.arrivals.shuffles(repeat) else repeat, sends)
        if key not in self._gaps:
            layers, alpha = scene.trace.layers, ledger.threshold
            self._gaps[key] = gaps(
                scene.means, self.policy, scene.costs, repeat, layers, alpha, ledger.exits, sends
            )
        return self._gaps[key]

    def _fits(self) -> bool:
        """Whether the device holds all layers the policy needs."""
        layers = self.scene.trace.layers
        arms = self.scene.costs.arms(layers)
        return not isinstance(self.policy, Policy) or bool(self.policy.deepest(layers, arms) <= arms)


def _blocks(repeats: range, most: int) -> Iterator[range]:
    """Cut repeats into as few blocks of at most so many as there can be, of like size."""
    blocks = -(-len(repeats) // most)
    cuts = [repeats.start + len(repeats) * k // blocks for k in range(blocks + 1)]
    return (range(a, b) for a, b in pairwise(cuts))


@lru_cache(maxsize=4)
def curve_points(rounds: int) -> NDArray[np.int64]:
    """Return the 0-based rounds at which a curve is held: all of a short stream, else evenly spread."""
    return np.unique(np.linspace(0, rounds - 1, CURVE_POINTS).round().astype(np.int64))
