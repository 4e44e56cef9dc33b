"""The phase map: the cheapest class of policies by offload cost and tolerated loss of accuracy.

Parameters (layers, α, patience) are chosen on one half of the samples and evaluated on the other half, so
that classes with many parameters gain nothing by overfitting.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from splitee._internal.errors import InputError
from splitee.costs import CostModel
from splitee.policies.base import Policy
from splitee.policies.cascades import PABEE, CascadeSplit, DeeBERT, ElasticBERT
from splitee.policies.commit import ExploreThenCommit
from splitee.policies.fixed import CloudOnly, FixedExit, FixedSplit
from splitee.policies.splitee import SplitEE, SplitEES
from splitee.policies.variance import ThompsonSplit, UCBTuned
from splitee.replay.replay import replay
from splitee.results.accounting import METRICS
from splitee.results.intervals import Floats, bootstrap_means, data_interval
from splitee.trace import Trace
from splitee.trace.threshold import GRID

OFFLOADS = tuple(float(o) for o in 0.25 * 2.0 ** np.arange(0, 10.5, 0.5))  # 0.25 … 256 λ
DROPS = tuple(0.25 * k for k in range(1, 13))  # points of accuracy
CLASSES = ("cloud-only", "fixed exit", "device cascade", "fixed split", "cascade split", "learner")
_AT_A_TIME = 48  # policies per replay call: each holds some numbers per sample

ACCURACY, OFFLOAD_RATE = METRICS.index("accuracy"), METRICS.index("offload_rate")
LAYERS, EXITS = METRICS.index("cost_layers"), METRICS.index("cost_exits")


@dataclass(frozen=True)
class _Measured:
    """Result of a policy on one half: accuracy against final-exit, and the parts of its cost."""

    label: str
    drop: float  # points of accuracy lost
    drop_bound: float  # the same at the lower end of the data interval
    device: float  # cost on the device, in λ
    offloaded: float  # share of samples offloaded

    def cost(self, offload: float) -> float:
        return self.device + self.offloaded * offload


def phase_map(
    trace: Trace,
    device_layers: int | None = None,
    *,
    offloads: Sequence[float] = OFFLOADS,
    drops: Sequence[float] = DROPS,
    mu: float = 0.1,
    repeats: int = 1,
    seed: int = 0,
) -> pd.DataFrame:
    """Find the cheapest member of every class of policies, by offload cost and tolerated loss of accuracy.

    On one half of the samples, the cheapest member of each class is chosen among those that lose no more than
    the drop at the lower end of the 95 % *data* interval of the difference from final-exit. On the other half
    it must lose no more than the drop in the mean; its cost there is reported.

    Parameters
    ----------
    trace : Trace
        With labels.
    device_layers : int, optional
        m, the number of layers on the device. Default: L.
    offloads : sequence of float
        Offload costs o, in λ.
    drops : sequence of float
        Points of accuracy that may be lost against final-exit.
    mu : float
        μ of the learners.
    repeats, seed : int
        Orders in which learners meet each half; the seed also draws the halves.

    Returns
    -------
    DataFrame
        One row per `offload`, `drop` and `class`: `policy`, its `cost` (λ per sample, NaN if no member
        qualifies) and the `points` it gains on the evaluation half; `cheapest` marks the cheapest class.

    Raises
    ------
    InputError
        If there are no labels, fewer than four samples, or no offload cost or drop.
    """
    if not isinstance(trace, Trace):
        raise InputError(f"trace is {trace!r}: give a Trace, such as splitee.load_trace(FILE)")
    if not len(offloads) or not len(drops):
        raise InputError("a phase map needs at least one offload cost and one drop")
    if trace.label is None:
        raise InputError(f"trace {trace.name} has no labels: a phase map needs accuracy")
    if trace.samples < 4:
        raise InputError(f"trace {trace.name} has {trace.samples} samples: a phase map needs at least 4")
    held = CostModel(device_layers=device_layers).arms(trace.layers)
    shuffled = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(5,))).permutation(trace.samples)
    halves = [trace.select(np.sort(part)) for part in np.array_split(shuffled, 2)]
    settings = [CostModel(offload=offload, device_layers=held) for offload in offloads]
    static = [_measure_static(half, held, seed, bounds=half is halves[0]) for half in halves]
    learners: list[Policy] = [make(alpha) for make in _LEARNERS for alpha in GRID]
    learning = _measure(halves[0], learners, settings, mu, repeats, seed)
    rows = []
    for k, offload in enumerate(offloads):
        choosing = static[0] | {"learner": learning[k]}
        picked = {
            name: [_cheapest(members, offload, drop) for drop in drops] for name, members in choosing.items()
        }
        # learners play differently at every offload cost: only the chosen ones are replayed on the other half
        chosen = sorted({one for one in picked["learner"] if one is not None})
        measured = _measure(
            halves[1], [learners[one] for one in chosen], settings[k : k + 1], mu, repeats, seed, False
        )
        judging = {name: dict(enumerate(members)) for name, members in static[1].items()}
        judging["learner"] = dict(zip(chosen, measured[0], strict=True))
        for j, drop in enumerate(drops):
            found = {name: _judged(judging[name], picked[name][j], offload, drop) for name in CLASSES}
            cheapest = min(found, key=lambda name: found[name][1])
            rows += [
                {
                    "offload": offload,
                    "drop": drop,
                    "class": name,
                    "policy": label,
                    "cost": cost if np.isfinite(cost) else np.nan,
                    "points": points,
                    "cheapest": name == cheapest and np.isfinite(cost),
                }
                for name, (label, cost, points) in found.items()
            ]
    return pd.DataFrame(rows).assign(trace=trace.name, device_layers=held)


def _cheapest(members: Sequence[_Measured], offload: float, drop: float) -> int | None:
    """Return the index of the cheapest member within the drop, the first on ties; None if there is none."""
    allowed = [k for k, member in enumerate(members) if member.drop_bound <= drop + 1e-9]
    return min(allowed, key=lambda k: (members[k].cost(offload), k)) if allowed else None


def _judged(
    members: Mapping[int, _Measured], picked: int | None, offload: float, drop: float
) -> tuple[str, float, float]:
    """Return the label, the cost on the evaluation half (infinite if it loses too much) and the points."""
    if picked is None:
        return "", np.inf, np.nan
    best = members[picked]
    good = best.drop <= drop + 1e-9
    return best.label, best.cost(offload) if good else np.inf, -best.drop


def _measure_static(half: Trace, held: int, seed: int, bounds: bool) -> dict[str, list[_Measured]]:
    """Measure every policy that does not depend on the order of samples; its cost is linear in o."""
    layers = range(1, held + 1)
    last = held if held < half.layers else None
    cascades: list[Policy] = [
        *(ElasticBERT(alpha, last=last) for alpha in GRID),
        *(PABEE(patience, last=last) for patience in range(1, held)),
    ]
    if half.classes > 2 and half.entropy is not None:  # with two classes it is equivalent to confidence
        top = float(np.log(half.classes))
        cascades += [DeeBERT(round(share * top, 3), last=last) for share in np.linspace(0.05, 0.9, 8)]
    members: dict[str, list[Policy]] = {
        "cloud-only": [CloudOnly()],
        "fixed exit": [FixedExit(i) for i in layers],
        "device cascade": cascades,
        "fixed split": [FixedSplit(i, alpha) for i in layers for alpha in GRID],
        "cascade split": [CascadeSplit(i, alpha) for i in layers for alpha in GRID],
    }
    flat = [policy for family in members.values() for policy in family]
    costs = CostModel(offload=1.0, device_layers=held)
    measured = iter(_measure(half, flat, [costs], 0.1, 1, seed, bounds)[0])
    return {name: [next(measured) for _ in family] for name, family in members.items()}


_LEARNERS: Sequence[Callable[[float], Policy]] = (
    SplitEE,
    SplitEES,
    UCBTuned,
    ThompsonSplit,
    ExploreThenCommit,
)


def _measure(
    half: Trace,
    policies: Sequence[Policy],
    settings: Sequence[CostModel],
    mu: float,
    repeats: int,
    seed: int,
    bounds: bool = True,
) -> list[list[_Measured]]:
    """Measure policies under each cost model; one bootstrap serves all, if `bounds` are needed."""
    if not policies:
        return [[] for _ in settings]
    columns: list[Floats] = []
    means: list[Floats] = []
    for costs in settings:
        for first in range(0, len(policies), _AT_A_TIME):
            some = {str(k): policy for k, policy in enumerate(policies[first : first + _AT_A_TIME])}
            results = replay(half, some, costs, mu, repeats=repeats, seed=seed)
            columns += [result.per_sample[:, ACCURACY] for result in results.values()]
            means += [result.totals.mean(axis=0) for result in results.values()]
    reference = results.reference
    low = np.full(len(columns), np.nan)
    if bounds:
        # sums over repeats of paired differences: small whole numbers, so exact in float64
        lost = np.stack(columns, axis=1) - reference.per_sample[:, [ACCURACY]]
        (draws,) = bootstrap_means([lost], reference.shown)
        low, _ = data_interval(draws)
    base = reference.totals[:, ACCURACY].mean()
    measured = [
        _Measured(
            label=_label(policies[k % len(policies)]),
            drop=100 * float(base - mean[ACCURACY]),
            drop_bound=-100 * float(low[k]),
            device=float(mean[LAYERS] + mean[EXITS]),
            offloaded=float(mean[OFFLOAD_RATE]),
        )
        for k, mean in enumerate(means)
    ]
    size = len(policies)
    return [measured[k * size : (k + 1) * size] for k in range(len(settings))]


def _label(policy: Policy) -> str:
    alpha = getattr(policy, "threshold", None)
    return policy.label if alpha is None or "≥" in policy.label else f"{policy.label}, α = {alpha:g}"
