"""Remarks below a table: what the numbers mean and how to read them, one line each."""

from __future__ import annotations

import math

import numpy as np

from splitee.policies.commit import ExploreThenCommit
from splitee.report.tables import Rows, lacks, measure_of, unit_of, usable, within
from splitee.results.results import Results
from splitee.results.setup import Setup


def remarks(
    results: Results, threshold: float, interval: str = "data", max_drop: float | None = None
) -> list[str]:
    """Return remarks on the results of one scenario.

    Parameters
    ----------
    results : Results
        The results of a replay. For reloaded results, remarks that need the trace are left out.
    threshold : float
        α of the policies that have one.
    interval : {"data", "run"}
        Which interval the table shows.
    max_drop : float, optional
        If given, name the cheapest policy that loses at most this many points of accuracy.
        Points of accuracy that may be lost; the cheapest policy that loses no more is named.

    Returns
    -------
    list of str
        One line each.
    """
    setup = results.reference.setup
    rows = results.rows(interval)
    return [
        *_dominating(results, rows),
        *([] if setup is None else [*_threshold_decides(setup), *_break_even(setup, threshold)]),
        *_unsettled(results, rows),
        *_never_committed(results),
        *_cheapest(rows, max_drop),
        *notes(results, rows, interval),
    ]


def notes(results: Results, rows: Rows, interval: str) -> list[str]:
    """Return how to read the table itself: marks, differences and intervals, one line each."""
    return [*_marks(rows), _intervals(results, rows, interval)]


def _dominating(results: Results, rows: Rows) -> list[str]:
    """Name, for each learner that is dominated, the cheapest policy that is no less accurate."""
    measure = measure_of(rows)
    beaten: dict[str, list[str]] = {}
    for row in rows:
        if not row["learns"]:
            continue
        better = [
            rival
            for rival in rows
            if usable(rival) and rival["cost"] < row["cost"] and rival[measure] >= row[measure]
        ]
        if better:
            by = min(better, key=lambda rival: rival["cost"])["policy"]
            beaten.setdefault(by, []).append(row["policy"])
    return [
        f"{by} dominates {', '.join(names)}: cheaper ({results[by].cost.mean():.2f} {unit_of(rows[0])}) "
        "and no less "
        f"{'accurate' if measure == 'accuracy' else 'in agreement with the last exit'} on these samples."
        for by, names in beaten.items()
    ]


def _threshold_decides(setup: Setup) -> list[str]:
    if setup.system is not None:
        return []
    gain = 1 - 1 / setup.trace.classes
    layers = setup.trace.layers
    offloading = slice(1, min(setup.costs.arms(layers), layers - 1) + 1)  # the last layer never offloads
    cost = setup.mu * float(setup.costs.offload_by_layer(layers)[offloading].min())
    if not setup.trace.softmax or cost < gain - 1e-12:
        return []
    return [
        f"μ·o = {cost:.2f} ≥ 1 − 1/K = {gain:.2f}: offloading cannot raise any reward, so α, not the "
        "learner, determines which samples are offloaded."
    ]


def _break_even(setup: Setup, threshold: float) -> list[str]:
    """Return the offload cost from which splitting is cheaper than cloud-only, at the best layer."""
    costs, layers = setup.costs, setup.trace.layers
    if setup.system is not None:
        return []
    if np.ndim(costs.offload) or costs.offload_input is not None or costs.sample_offload is not None:
        return []
    arms = min(costs.arms(layers), layers - 1)  # the last layer never offloads
    exiting = (setup.trace.confidence[:, :arms] >= np.float32(threshold)).mean(axis=0)
    with np.errstate(divide="ignore"):
        gamma = costs.device(layers)[:arms]
        even = gamma / exiting
    best = int(even.argmin())
    if math.isinf(even[best]):
        return [f"no exit on the device reaches α = {threshold:g}: splitting never pays against cloud-only."]
    return [
        f"break-even: a split is cheaper than cloud-only from o = {even[best]:.2f} λ on (layer {best + 1}: "
        f"γ = {gamma[best]:.2f} λ, {100 * exiting[best]:.0f} % exit at α = {threshold:g}); "
        f"here o = {costs.offload:g} λ."
    ]


def _unsettled(results: Results, rows: Rows) -> list[str]:
    lines = []
    for row in rows:
        if row["varies"] or row["layer_repeats"] == row["repeats"]:
            continue
        layers, counts = np.unique(results[row["policy"]].settled, return_counts=True)
        where = ", ".join(f"{layer} in {count}" for layer, count in zip(layers, counts, strict=True))
        lines.append(f"{row['policy']} settles on different layers: {where} of {row['repeats']} repeats.")
    return lines


def _never_committed(results: Results) -> list[str]:
    lines = []
    for name, result in results.items():
        policy, rounds = result.policy, int(result.curve.rounds[-1])
        if isinstance(policy, dict):  # reloaded
            explored = policy.get("samples") if policy.get("policy") == ExploreThenCommit.__name__ else None
        else:
            explored = policy.samples if isinstance(policy, ExploreThenCommit) else None
        if isinstance(explored, int) and explored >= rounds:
            lines.append(f"{name} explores all {rounds} samples of the stream: it never commits to a layer.")
    return lines


def _cheapest(rows: Rows, max_drop: float | None) -> list[str]:
    return [] if max_drop is None else [answer(rows, max_drop), *_unresolved(rows, max_drop)]


def answer(rows: Rows, max_drop: float) -> str:
    """Return one line: the cheapest policy that loses at most `max_drop` points, and what it costs."""
    measure = measure_of(rows)
    delta = f"{measure}_delta"
    bound = "there is no interval" if lacks(rows, f"{delta}_low") else "lower end of the interval"
    best, points = within(rows, max_drop), f"{max_drop:g} point{'s' * (max_drop != 1)}"
    if best is None:
        return f"no policy on this device loses at most {points} ({bound})."
    return (
        f"cheapest that loses at most {points} ({bound}): {best['policy']}, "
        f"{best['cost']:.2f} {unit_of(best)}, {100 * best[delta]:+.2f} points."
    )


def _unresolved(rows: Rows, max_drop: float) -> list[str]:
    """Name the policy that would be cheaper if its interval were narrower, and the samples that would need.

    The width of an interval falls with the square root of the number of samples.
    """
    delta = f"{measure_of(rows)}_delta"
    if lacks(rows, f"{delta}_low"):
        return []
    chosen = within(rows, max_drop)
    most = math.inf if chosen is None else chosen["cost"]
    close = [row for row in rows if usable(row) and row["cost"] < most and 100 * row[delta] > -max_drop]
    if not close:
        return []
    row = min(close, key=lambda one: one["cost"])
    width, room = row[delta] - row[f"{delta}_low"], row[delta] + max_drop / 100
    needed = row["samples"] * (width / room) ** 2
    return [
        f"not resolved by {row['samples']:,} samples: {row['policy']} costs {row['cost']:.2f} {unit_of(row)} "
        f"and loses {-100 * row[delta]:.2f} points here, but possibly {-100 * row[f'{delta}_low']:.2f}; "
        f"about {rounded_up(needed):,} samples like these would settle it."
    ]


def rounded_up(number: float) -> int:
    """Return a number rounded up to two digits."""
    step: int = 10 ** max(0, math.floor(math.log10(max(number, 1))) - 1)
    return math.ceil(number / step) * step


def _marks(rows: Rows) -> list[str]:
    lines = []
    if any(row["sees_final"] for row in rows):
        lines.append("* reads C_L where it was never observed, as the authors' code does: no device could.")
    if not all(row["on_device"] for row in rows):
        lines.append("† needs more layers than the device holds: not on this device, shown for comparison.")
    return lines


def _intervals(results: Results, rows: Rows, interval: str) -> str:
    if interval == "data":
        what = f"over data: {results.samples:,} distinct samples, bootstrapped, paired between policies"
    else:
        orders = rows[0]["repeats"]
        what = f"over runs: {orders} orders of the same {results.samples:,} samples (other data differ more)"
    return (
        f"Δ against final-exit. Intervals 95 % {what}. "
        "Cloud computing and the answer's transfer to the device are free, and answers arrive at once."
    )
