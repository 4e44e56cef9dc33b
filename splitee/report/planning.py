"""Where to cut: rules (layer, threshold) on a device, a link and a cloud, and the cheapest within limits.

Rules are chosen on one half of the samples and judged on the other, so that what is reported was not chosen
for looking good. Both halves are drawn once, by a fixed seed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitee._internal.errors import InputError
from splitee.policies.cascades import CascadeSplit
from splitee.policies.fixed import CloudOnly, FixedExit, FixedSplit
from splitee.policies.played import Played
from splitee.policies.problem import Orders, Table, frozen
from splitee.policies.timed import in_time
from splitee.report.notes import rounded_up
from splitee.system.link import Link
from splitee.system.system import System, SystemOn
from splitee.system.world import LATE
from splitee.trace import Trace

ALPHAS = (0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.98, 0.99, 0.995, 0.999)
MOST_ROUNDS = 10_000  # of each half; more would take longer and change little
SHOWN = 14  # rules in the table
_Z = 1.959963984540054
_SPLIT_SEED = 22

Rule = CloudOnly | FixedExit | FixedSplit | CascadeSplit


@dataclass(frozen=True)
class Limits:
    """What a rule may cost at most.

    Attributes
    ----------
    max_drop : float
        Points of accuracy lost against the last exit; without labels, of agreement with it.
    max_p95 : float, optional
        Latency in ms that 95 % of the samples must not exceed.
    max_mj : float, optional
        Mean energy of the device per sample in mJ.
    """

    max_drop: float = 1.0
    max_p95: float | None = None
    max_mj: float | None = None

    def __post_init__(self) -> None:
        for name in ("max_drop", "max_p95", "max_mj"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, int | float) and 0 <= value <= 1e12):
                raise InputError(f"{name} is {value!r}: give a number of at least 0")

    def without(self, name: str) -> Limits:
        """Return these limits without one of them."""
        return Limits(
            100.0 if name == "max_drop" else self.max_drop,
            None if name == "max_p95" else self.max_p95,
            None if name == "max_mj" else self.max_mj,
        )

    @property
    def given(self) -> list[str]:
        """The names of the limits that are set."""
        return [name for name in ("max_drop", "max_p95", "max_mj") if getattr(self, name) is not None]


@dataclass(frozen=True)
class Row:
    """What a rule does on one half of the samples; latencies in ms, energy in mJ, drop in points.

    `drop_low` and `drop_high` are the ends of the 95 % interval over samples. Unknown energy is NaN.
    """

    latency_p50: float
    latency_p95: float
    latency_p99: float
    latency: float
    energy: float
    kilobytes: float
    cost: float
    drop: float
    drop_low: float
    drop_high: float
    offload_rate: float
    fallback: float
    missed: float

    def within(self, limits: Limits, surely: bool = True) -> bool:
        """Return whether the rule keeps the limits; `surely`: also at the upper end of its drop."""
        return (
            (self.drop_high if surely else self.drop) <= limits.max_drop + 1e-9
            and (limits.max_p95 is None or self.latency_p95 <= limits.max_p95)
            and (limits.max_mj is None or self.energy <= limits.max_mj)
        )


@dataclass(frozen=True)
class Judged:
    """A rule with what it does on the half it is chosen on, and on the half it is judged on."""

    policy: Rule
    chosen_on: Row
    judged_on: Row


@dataclass(frozen=True)
class Plan:
    """The answer, the rules that no other dominates, and why.

    Attributes
    ----------
    answer : Judged or None
        The cheapest rule within the limits; None if none keeps them.
    table : list of Judged
        Rules that no other beats in drop, p95 and cost at once, cheapest first; the answer among them.
    every : list of Judged
    outage : Row or None
        What the answer does while the link is down.
    sentences : list of str
        The answer, then why, then what the data cannot resolve.
    """

    answer: Judged | None
    table: list[Judged]
    every: list[Judged]
    outage: Row | None
    sentences: list[str] = field(default_factory=list)


def rules_of(trace: Trace, arms: int, alphas: Sequence[float] = ALPHAS) -> list[Rule]:
    """Return the rules to choose from: the cloud alone, exits, splits, and cascades that then split."""
    alphas = [alpha for alpha in alphas if alpha > 1 / trace.classes]
    rules: list[Rule] = [CloudOnly()]
    rules += [FixedExit(i) for i in range(1, arms + 1)]
    splits = [i for i in range(1, arms + 1) if i < trace.layers]
    rules += [FixedSplit(i, alpha) for i in splits for alpha in alphas]
    rules += [CascadeSplit(i, alpha) for i in range(2, arms + 1) for alpha in alphas]
    return rules


def halves(samples: int, rounds: int = MOST_ROUNDS) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the samples that rules are chosen on, and those they are judged on, at most `rounds` each."""
    if samples < 4:
        raise InputError(
            f"the trace has {samples} samples: a plan needs at least 4, half of them to judge by"
        )
    order = np.random.default_rng(_SPLIT_SEED).permutation(samples)
    first, second = order[: samples // 2][:rounds], order[samples // 2 :][:rounds]
    return np.sort(first), np.sort(second)


def plan(
    trace: Trace,
    system: System,
    limits: Limits,
    seed: int = 0,
    rounds: int = MOST_ROUNDS,
    alphas: Sequence[float] = ALPHAS,
) -> Plan:
    """Find the cheapest rule within the limits.

    Parameters
    ----------
    trace : Trace
    system : System
        Its weights say what cheap means: by default the mean latency.
    limits : Limits
    seed : int
        Of the orders, and of Poisson arrivals.
    rounds : int
        Samples of each half, at most.
    alphas : sequence of float
        Thresholds of splits and cascades.

    Returns
    -------
    Plan

    Examples
    --------
    >>> import splitee
    >>> system = splitee.System(splitee.DeviceProfile(layer_ms=15, exit_ms=1), splitee.Link(5, 40))
    >>> found = plan(splitee.load_trace("sst2_validation"), system, Limits(max_drop=1))
    >>> found.answer.policy.label
    'cloud-only'
    """
    on = system.on(trace)
    orders = [_order(half, on, seed + k) for k, half in enumerate(halves(trace.samples, rounds))]
    worlds = [on.world_of(len(order), 0, 1, seed) for order in orders]
    table = _table(on)
    every = []
    for policy in rules_of(trace, on.arms, alphas):
        decided = policy.by_sample(table)
        assert decided is not None
        rows = [
            _row(table, order, in_time(table, world, order, Played(decided[0][order], decided[1])))
            for order, world in zip(orders, worlds, strict=True)
        ]
        every.append(Judged(policy, *rows))
    answer = cheapest(every, limits)
    outage = None if answer is None else _in_outage(trace, system, answer.policy, orders[1], seed)
    found = Plan(answer, _not_dominated(every, answer), every, outage)
    return replace(found, sentences=sentences(found, trace, system, limits))


def cheapest(every: Sequence[Judged], limits: Limits, surely: bool = True) -> Judged | None:
    """Return the rule of least cost within the limits, on the half that rules are chosen on."""
    kept = [one for one in every if one.chosen_on.within(limits, surely)]
    # rounded, so that sums in another order choose the same rule
    return min(kept, key=lambda one: (round(one.chosen_on.cost, 9), one.chosen_on.drop), default=None)


def _order(half: NDArray[np.intp], on: SystemOn, seed: int) -> Orders:
    """Return one half as a stream, shape (rounds, 1): shuffled, if what happens depends on the order."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(4,)))
    return frozen((half if on.steady else rng.permutation(half))[:, None])


def _table(on: SystemOn) -> Table:
    """Return the trace of a system as rules see it: they have their own α, and no μ."""
    return Table.of(on.trace, on.costs, 0.0, 0.5, on)


def measured(policy: Rule, on: SystemOn, order: Orders, seed: int) -> Played:
    """Return the rounds of a rule in one stream, shape (rounds, 1), with what they took."""
    table = _table(on)
    decided = policy.by_sample(table)
    assert decided is not None
    world = on.world_of(len(order), 0, 1, seed)
    return in_time(table, world, order, Played(decided[0][order], decided[1]))


def _row(table: Table, order: Orders, played: Played) -> Row:
    """Return the numbers of a rule's rounds."""
    on = table.system
    assert on is not None
    assert played.measured is not None
    assert played.lost is not None
    latency, energy, kilobytes = played.measured
    answer = table.prediction[order, played.actions.answer[played.action]]
    world, trace = on.world, on.trace
    last = trace.prediction[order, -1]
    if trace.label is None:
        lost = (answer != last).astype(np.float64)
    else:
        label = trace.label[order]
        lost = (last == label).astype(np.float64) - (answer == label)
    half = _Z * lost.std(ddof=1) / math.sqrt(len(lost))
    ends = np.quantile(latency, [0.5, 0.95, 0.99], method="inverted_cdf").tolist()
    drop = 100.0 * float(lost.mean())
    return Row(
        latency_p50=ends[0],
        latency_p95=ends[1],
        latency_p99=ends[2],
        latency=float(latency.mean()),
        energy=float(energy.mean()) if on.has_energy else math.nan,
        kilobytes=float(kilobytes.mean()),
        cost=float(np.tensordot(world.weights, played.measured, axes=1).mean()),
        drop=drop,
        drop_low=drop - 100.0 * half,
        drop_high=drop + 100.0 * half,
        offload_rate=float(played.actions.offloaded[played.action].mean()),
        fallback=float((played.lost > 0).mean()),
        missed=float(((latency > world.deadline) | (played.lost == LATE)).mean()),
    )


def _in_outage(trace: Trace, system: System, policy: Rule, order: Orders, seed: int) -> Row:
    """Return what a rule does if the link is down all the time."""
    down = replace(system, link=Link(system.link.mean, system.link.rtt, outages=[(0.0, 1e12)]))
    on = down.on(trace)
    return _row(_table(on), order, measured(policy, on, order, seed))


def _not_dominated(every: Sequence[Judged], answer: Judged | None) -> list[Judged]:
    """Return rules that no other beats in drop, p95 and cost, cheapest first; at most `SHOWN`."""
    kept: list[Judged] = []
    for one in sorted(every, key=lambda one: (one.chosen_on.cost, one.chosen_on.drop)):
        row = one.chosen_on
        better = (other.chosen_on for other in kept)
        if not any(row.drop >= b.drop and row.latency_p95 >= b.latency_p95 for b in better):
            kept.append(one)
    if len(kept) > SHOWN:  # spread over the drops
        places = np.unique(np.linspace(0, len(kept) - 1, SHOWN).round().astype(int))
        kept = [kept[place] for place in places]
    if answer is not None and answer not in kept:
        kept = sorted([*kept, answer], key=lambda one: one.chosen_on.cost)
    return kept


def sentences(found: Plan, trace: Trace, system: System, limits: Limits) -> list[str]:
    """Return the answer in sentences, why it is the answer, and what the data cannot resolve."""
    if found.answer is None:
        return _no_answer(found, limits)
    answer, row = found.answer, found.answer.judged_on
    what = "points of accuracy" if trace.has_labels else "points of agreement with the last exit"
    energy = "" if math.isnan(row.energy) else f", {row.energy:.3g} mJ"
    lines = [
        f"{_what_to_do(answer.policy, system, trace)}: p50 {row.latency_p50:.3g} ms, "
        f"p95 {row.latency_p95:.3g} ms{energy}, {row.kilobytes:.3g} KB per sample, "
        f"{_signed(-row.drop)} {what} "
        f"[{_signed(-row.drop_high)}, {_signed(-row.drop_low)}] against the last exit."
    ]
    if found.outage is not None and row.offload_rate + row.fallback > 0:
        down = found.outage
        lines.append(
            f"If the link is down, the device answers by itself: p50 {down.latency_p50:.3g} ms, "
            f"p95 {down.latency_p95:.3g} ms, {_signed(-down.drop)} {what}."
        )
    lines += _why(found, limits)
    lines += _unresolved(found, limits, trace)
    return lines


def _what_to_do(policy: Rule, system: System, trace: Trace) -> str:
    what = {
        "input": "the input",
        "state": "the state",
        "cheaper": "the state or the input, whichever is answered first,",
    }[system.sends]
    if system.sends == "cheaper" and not _sends_states(system, trace):
        what = "the input"
    if isinstance(policy, CloudOnly):
        return "Cut before layer 1: offload every input"
    if isinstance(policy, FixedExit):
        return f"Do not offload: answer every sample at exit {policy.layer}"
    if isinstance(policy, FixedSplit):
        return (
            f"Cut after layer {policy.layer}: answer there from confidence {policy.threshold:g} on, "
            f"offload {what} when unsure"
        )
    assert isinstance(policy, CascadeSplit)
    if policy.layer == trace.layers:
        return (
            f"Do not offload: answer at the first exit with confidence {policy.threshold:g} or more, "
            f"at the latest at exit {policy.layer}"
        )
    return (
        f"Cut after layer {policy.layer}: answer at the first exit up to it with confidence "
        f"{policy.threshold:g} or more, offload {what} when unsure"
    )


def _sends_states(system: System, trace: Trace) -> bool:
    """Return whether, at the link's mean rate, a state is ever answered before the input."""
    world = system.on(trace).world
    state = world.encode_ms[:, None] + world.state_bits / world.rate + world.cloud_ms
    fastest = state[:, 1:].min(axis=1)[world.kind]
    return bool((fastest < world.input_bits / world.rate + world.cloud_ms[world.kind, 0]).any())


def _why(found: Plan, limits: Limits) -> list[str]:
    """Say which limits bind: without which of them another rule would be cheaper."""
    assert found.answer is not None
    lines, own = [], found.answer.chosen_on.cost
    for name in limits.given:
        other = cheapest(found.every, limits.without(name))
        if other is not None and other.chosen_on.cost < own * (1 - 1e-9):
            flag = name.replace("_", "-")
            lines.append(
                f"--{flag} {getattr(limits, name):g} binds: without it, {other.policy.label}"
                f"{_alpha(other.policy)} would cost {other.judged_on.cost:.3g} instead of "
                f"{found.answer.judged_on.cost:.3g}, at {_signed(-other.judged_on.drop)} points."
            )
    if not lines:
        lines.append("No limit binds: nothing is cheaper, whatever it loses.")
    return lines


def _unresolved(found: Plan, limits: Limits, trace: Trace) -> list[str]:
    """Say which cheaper rule may keep the limits too, and how many samples would tell."""
    assert found.answer is not None
    row, lines = found.answer.judged_on, []
    maybe = cheapest(found.every, limits, surely=False)
    if maybe is not None and maybe.chosen_on.cost < found.answer.chosen_on.cost * (1 - 1e-9):
        other = maybe.chosen_on
        line = (
            f"{maybe.policy.label}{_alpha(maybe.policy)} would cost {maybe.judged_on.cost:.3g}. The data "
            f"cannot tell whether it keeps --max-drop: it loses {other.drop:.2f} points "
            f"[{other.drop_low:.2f}, {other.drop_high:.2f}]"
        )
        gap, half = limits.max_drop - other.drop, other.drop_high - other.drop
        needed = rounded_up(trace.samples * (half / gap) ** 2) if gap > 0 else 0
        lines.append(
            f"{line}; about {needed:,} samples would, not {trace.samples:,}." if needed else f"{line}."
        )
    if row.drop > limits.max_drop:
        lines.append(
            f"On the half of the samples that judges, the answer loses {row.drop:.2f} points: it was chosen "
            "by luck. Give --max-drop a margin, or more samples."
        )
    return lines


def _no_answer(found: Plan, limits: Limits) -> list[str]:
    """Say that no rule keeps the limits, and what each could be had at."""
    asked = ", ".join(f"--{name.replace('_', '-')} {getattr(limits, name):g}" for name in limits.given)
    lines = [f"No rule keeps {asked}."]
    for name, column in (("max_drop", "drop"), ("max_p95", "latency_p95"), ("max_mj", "energy")):
        if name in limits.given:
            kept = [one for one in found.every if one.chosen_on.within(limits.without(name))]
            if kept:
                least = min(kept, key=lambda one: getattr(one.chosen_on, column))
                value = getattr(least.chosen_on, column)
                lines.append(
                    f"With the others kept, the least {column.replace('latency_', '')} is {value:.3g}: "
                    f"{least.policy.label}{_alpha(least.policy)}."
                )
    return lines


def _alpha(policy: Rule) -> str:
    return f" from {policy.threshold:g}" if isinstance(policy, FixedSplit | CascadeSplit) else ""


def _signed(points: float) -> str:
    """Return a difference in points with its sign, and a true minus."""
    return f"{points:+.2f}".replace("-", "−").replace("+0.00", "0.00").replace("−0.00", "0.00")


def as_dict(one: Judged) -> dict[str, Any]:
    """Return a rule and its numbers in plain types, as `splitee plan --json` prints them."""
    numbers = {name: None if math.isnan(value) else value for name, value in vars(one.judged_on).items()}
    policy = one.policy
    return {
        "policy": policy.label,
        "layer": getattr(policy, "layer", 0),
        "threshold": getattr(policy, "threshold", None),
        **numbers,
    }
