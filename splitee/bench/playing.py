"""Play entrants in a cell: settings are chosen on one half, and judged on the other.

For each question one member of an entrant is chosen on the first half: for "regret" that of the greatest mean
reward, for "drop d" the cheapest that loses at most d points of accuracy against cloud-only, the first on
ties. An entrant without such a member runs cloud-only there, as does one that cannot be played in the cell.

On the second half is measured, of the member that was chosen (all means over rounds and orders)

    score    "regret": 100·(r* − r)/(1 + μ·c), r* the mean reward of the best fixed split in hindsight, r the
             member's and c the mean cost of cloud-only; "drop d": 100·ln(cost/c), but at least 0 if the limit
             is broken
    broken   whether the drop is above d with 95 % confidence (over samples, paired, one-sided)
    promise  the member's `max_disagreement`, and the share of the orders in which more of the answers differ
             from the cloud's (or, if its `loss` is "error", in which more accuracy is lost)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitee._internal.errors import InputError
from splitee.bench.entrants import Entrant
from splitee.bench.suite import LIMITS, QUESTIONS, Cell, Played, ready
from splitee.policies.base import AnyPolicy, display_name
from splitee.policies.fixed import CloudOnly
from splitee.policies.hindsight import BestFixedSplit
from splitee.results.result import Result

Z = 1.6448536269514722  # of 95 %, one-sided
FALLBACK = "cloud-only"
Row = dict[str, Any]
COLUMNS = ("score", "cost", "drop", "reward", "disagreement", "offloaded", "latency", "energy", "kilobytes")


@dataclass(frozen=True)
class Half:
    """One half of a cell, and what every entrant is compared with on it."""

    played: Played
    cloud: Result
    best: Result

    @classmethod
    def of(cls, cell: Cell, judge: bool) -> Half:
        """Return the half of a cell."""
        half = ready(cell, judge)
        both = half.play({"cloud": CloudOnly(), "best": BestFixedSplit(half.task.threshold)})
        return cls(half, both["cloud"], both["best"])

    def drop(self, result: Result) -> float:
        """Return the points of accuracy that are lost against cloud-only."""
        return 100 * float(self.cloud.accuracy.mean() - result.accuracy.mean())


def play(cell: Cell, entrants: Sequence[Entrant]) -> list[Row]:
    """Play entrants in a cell, and return one row per entrant and question.

    Parameters
    ----------
    cell : Cell
    entrants : sequence of Entrant

    Examples
    --------
    >>> from splitee.bench.entrants import ENTRANTS
    >>> from splitee.bench.suite import cells
    >>> cell = next(cell for cell in cells() if cell.trace == "rte_validation")
    >>> [row] = [row for row in play(cell, ENTRANTS[:1]) if row["question"] == "drop 1"]
    >>> row["entrant"], row["score"], row["cost"]
    ('cloud-only', 0.0, 12.0)
    """
    first, second = Half.of(cell, judge=False), Half.of(cell, judge=True)
    rows: list[Row] = []
    for entrant in entrants:
        try:
            members = entrant.members(first.played.task)
            rows += played(cell, entrant.name, members, first, second)
        except InputError as error:
            rows += judged(cell, entrant.name, second, dict.fromkeys(QUESTIONS), str(error))
    return rows


def played(cell: Cell, name: str, members: Sequence[AnyPolicy], first: Half, second: Half) -> list[Row]:
    """Play the members of an entrant, choose one for each question, and judge it; see `play`."""
    tried = first.played.play({str(k): policy for k, policy in enumerate(members)})
    chosen = chosen_of(first, {k: result for k, result in tried.items() if result.on_device})
    kept = {k: members[int(k)] for k in sorted({k for k in chosen.values() if k is not None}, key=int)}
    results = second.played.play(kept) if kept else {}
    return judged(
        cell,
        name,
        second,
        {question: None if k is None else (kept[k], results[k]) for question, k in chosen.items()},
    )


def chosen_of(half: Half, members: Mapping[str, Result]) -> dict[str, str | None]:
    """Return the member that each question chooses; None: none keeps the limit."""
    chosen: dict[str, str | None] = dict.fromkeys(QUESTIONS)
    if members:
        chosen["regret"] = max(members, key=lambda name: float(members[name].reward.mean()))
    for limit in LIMITS:
        if within := [name for name in members if half.drop(members[name]) <= limit]:
            chosen[f"drop {limit:g}"] = min(within, key=lambda name: float(members[name].cost.mean()))
    return chosen


def judged(
    cell: Cell,
    name: str,
    half: Half,
    played: Mapping[str, tuple[AnyPolicy, Result] | None],
    why: str = "",
) -> list[Row]:
    """Return the rows of an entrant in a cell, one per question."""
    return [
        {"cell": cell.number, "entrant": name, "question": question}
        | _measured(half, question, played[question])
        | ({"why": why} if why else {})
        for question in QUESTIONS
    ]


def _measured(half: Half, question: str, chosen: tuple[AnyPolicy, Result] | None) -> Row:
    result = half.cloud if chosen is None else chosen[1]
    cloud, best = float(half.cloud.cost.mean()), float(half.best.reward.mean())
    cost, drop = float(result.cost.mean()), half.drop(result)
    broken = False
    if question == "regret":
        span = 1 + half.played.task.mu * cloud
        score = 100 * (best - float(result.reward.mean())) / span
    else:
        score = 100 * math.log(cost / cloud)
        limit = float(question.removeprefix("drop "))
        broken = drop > limit and drop - Z * _error(half, result) > limit
        score = max(score, 0.0) if broken else score
    promise = None if chosen is None else getattr(chosen[0], "max_disagreement", None)
    over = None
    if promise is not None:
        labelled = getattr(chosen[0], "loss", "disagreement") == "error"  # type: ignore[index]
        shares = half.cloud.accuracy - result.accuracy if labelled else differing(result)
        over = float((shares > promise).mean())
    measured = {
        name: float(getattr(result, name).mean()) if name in result.measures.metrics else None
        for name in ("latency", "energy", "kilobytes")
    }
    return {
        "member": FALLBACK if chosen is None else display_name(chosen[0]),
        "fell_back": chosen is None,
        "score": score,
        "cost": cost,
        "drop": drop,
        "reward": float(result.reward.mean()),
        "disagreement": 100 * float(differing(result).mean()),
        "offloaded": 100 * float(result.offload_rate.mean()),
        **measured,
        "broken": bool(broken),
        "promise": promise,
        "promise_broken": over,
    }


def differing(result: Result) -> NDArray[np.float64]:
    """Return the share of answers that are not what the cloud would have answered, shape (repeats,)."""
    setup = result.setup
    assert setup is not None
    answer = setup.table.prediction
    order = setup.streams.block(0, setup.streams.repeats).T
    column = np.where(result.offloaded, 0, result.split)
    shares: NDArray[np.float64] = (answer[order, column] != answer[order, 0]).mean(axis=1)
    return shares


def _error(half: Half, result: Result) -> float:
    """Return the standard error of the drop in points, over samples: they are paired."""
    shown: NDArray[np.float64] = result.shown
    lost = half.cloud.per_sample[:, 0] - result.per_sample[:, 0]
    seen = shown > 0
    mean = lost.sum() / shown.sum()
    rest = (lost - mean * shown)[seen]
    n = int(seen.sum())
    return 100 * math.sqrt(n / max(1, n - 1) * float((rest**2).sum())) / float(shown.sum())
