"""Paths through the exits: what a learner of layers and thresholds chooses from, and what each choice costs.

A *path* is a split at an exit, or a cascade of two exits. *Rule* k of a path answers at its first exit if
C_first ≥ grid[shift, k], else, in a cascade, at its second exit if C_second ≥ grid[0, k], else asks the last
exit: it offloads, or, where the device holds all layers and that is cheaper, runs on to exit L. The grid
ascends, so rules are safer the greater k. The *fallback* is the cheapest action that cannot disagree with the
last exit. A *full audit* evaluates exits 1..M and then asks the last exit, whatever they say; M is the
deepest exit up to min(m, L − 1) that costs less than the fallback.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from splitee._internal.errors import InputError
from splitee._internal.jit import inlined
from splitee.policies.played import Actions
from splitee.policies.problem import Floats, Problem, Table
from splitee.system.world import World, time_of

Whole = NDArray[np.int64]
Action = tuple[int, bool, int]  # layer, offloaded, exits evaluated
STEP, LAST = 0.005, (0.9975, 0.999, 0.9995, 0.9999)  # the grid: from 1/K to 0.995 in steps, then four more
SHIFT = 1.0  # of logit C at the first exit of the stricter cascades


FIRST_EXIT, SECOND_EXIT, ROW, ACTION = range(4)  # columns of `Paths.way`; four actions follow
ANSWERS, ASKS, ANSWERS_LATER, ASKS_LATER = range(4)  # columns of `Paths.cost`, and of the actions
SAFE, FULL_AUDIT = range(2)  # the same, in the last row


class Paths(NamedTuple):
    """Paths, and the costs and actions of what can be done on them, in few arrays: kernels compile faster.

    Attributes
    ----------
    grid : ndarray, shape (2, G)
        Thresholds, rounded to float32; row 1 with the logit greater by `SHIFT`.
    way : ndarray of int, shape (P + 1, 7)
        By path: first exit, second exit (0 in a split), row of the grid for the first exit; then the actions
        of answering at the first exit, asking there, answering at the second, asking there. In a split the
        second is the first again. The last row has M in place of the first exit, and the actions of the
        fallback and of a full audit.
    cost : ndarray, shape (P + 1, 4)
        The costs of these actions; means over samples where they depend on the sample.
    """

    grid: Floats
    way: Whole
    cost: Floats

    @property
    def many(self) -> int:
        """P."""
        return len(self.way) - 1


def thresholds(classes: int) -> Floats:
    """Return `Paths.grid` for K classes, shape (2, G)."""
    many = int((0.995 - 1 / classes) / STEP + 1e-9) + 1
    grid = [1 / classes + STEP * n for n in range(many)] + list(LAST)
    rows = [[g / (g + (1 - g) * math.exp(-shift)) for g in grid] for shift in (0.0, SHIFT)]
    return np.array(rows, dtype=np.float32).astype(np.float64)


@inlined
def rank(grid, shift, confidence):  # type: ignore[no-untyped-def]
    """Return the greatest k with confidence ≥ grid[shift, k]; −1 if there is none."""
    low, left = np.uintp(0), np.uintp(grid.shape[1])  # unsigned: no index counts from the end
    while left > np.uintp(0):
        half = left >> np.uintp(1)
        reached = confidence >= grid[np.uintp(shift), low + half]
        low = low + half + np.uintp(1) if reached else low  # selected: a branch would be mispredicted
        left = left - half - np.uintp(1) if reached else half
    return np.int64(low) - 1


def actions_of(kinds: list[Action]) -> Actions:
    """Return these actions, numbered in their order."""
    layer, offloaded, evaluated = (np.array(column) for column in zip(*kinds, strict=True))
    return Actions(layer, offloaded, evaluated)


class Costs:
    """What actions cost, and the cheapest way to ask the last exit.

    Parameters
    ----------
    gamma : ndarray, shape (m + 1, m + 1) or more
        γ by exits evaluated and layer.
    offload : ndarray, shape (n, m + 1) or more
        o by sample and layer; means over samples are used.
    problem : Problem
    """

    def __init__(self, gamma: Floats, offload: Floats, problem: Problem) -> None:
        self.layers, held = problem.exits, problem.device_exits
        self.gamma, self.deepest = gamma, min(held, problem.exits - 1)
        n = len(offload)
        means = [float(column[0]) if n == 1 else math.fsum(column) / n for column in offload.T]
        self.offload = means[: held + 1]
        self.own = held == problem.exits and not problem.other_cloud
        cheap = [i for i in range(1, self.deepest + 1) if gamma[1, i] < self.fallback()[0]]
        self.reach = max(cheap, default=0)

    def answering(self, layer: int, evaluated: int) -> tuple[float, Action]:
        """Return cost and action of answering at a layer."""
        return float(self.gamma[evaluated, layer]), (layer, False, evaluated)

    def asking(self, layer: int, evaluated: int) -> tuple[float, Action]:
        """Return cost and action of asking the last exit after a layer, both in all."""
        far = float(self.gamma[evaluated, layer]) + self.offload[layer]
        if self.own and self.gamma[evaluated + 1, self.layers] < far:
            return self.answering(self.layers, evaluated + 1)
        return far, (layer, True, evaluated)

    def fallback(self) -> tuple[float, Action]:
        """Return the cheapest of: offload the input, offload after a layer, answer at L."""
        safe = [] if math.isnan(self.offload[0]) else [(self.offload[0], (0, True, 0))]
        after = range(1, self.deepest + 1)
        safe += [(float(self.gamma[1, i]) + self.offload[i], (i, True, 1)) for i in after]
        if self.own:
            safe.append(self.answering(self.layers, 1))
        if not safe:
            raise InputError("offloading the input has no known cost: give offload_input")
        return min(safe, key=lambda option: option[0])

    def on(self, first: int, second: int) -> list[tuple[float, Action]]:
        """Return the four costs and actions of a path; see `Paths`."""
        split = [self.answering(first, 1), self.asking(first, 1)]
        return split * 2 if second == 0 else [*split, self.answering(second, 2), self.asking(second, 2)]


def paths_of(
    costs: Costs,
    classes: int,
    delta: float,
    source: Table | None = None,
    labels: NDArray[np.integer] | None = None,
) -> tuple[Paths, Actions, list[float]]:
    """Return all splits up to M, with a cascade if the source suggests one, their actions, and their weights.

    Without a source, splits share the failure probability evenly. With one, w ∝ exp(−(c −
    c_min)/(0.05·c_min)) by the cost c of the cheapest rule that the source's samples support; the cheapest
    cascade takes half if it costs at most 0.95·c_min. A tenth is always shared evenly. With `labels` of the
    source, its losses are [wrong] − [last exit wrong] instead of disagreements.
    """
    grid, every = thresholds(classes), range(1, costs.reach + 1)
    paths = [(i, 0, 0) for i in every]
    weight = [1 / len(paths) for _ in paths]
    if source is not None and paths:
        cheapest = _on_source(costs, grid, delta, source, labels)
        splits = [cheapest(path) for path in paths]
        least = min(splits)
        weight = [math.exp(-(c - least) / (0.05 * least)) if least > 0 else 1.0 for c in splits]
        weight = [w / sum(weight) for w in weight]
        cascades = [(i, j, c) for i in every for j in range(i + 1, costs.reach + 1) for c in (0, 1)]
        if cascades and min(found := [cheapest(path) for path in cascades]) <= 0.95 * least:
            paths = [*paths, cascades[found.index(min(found))]]
            weight = [0.5 * w for w in weight] + [0.5]
        weight = [0.9 * w + 0.1 / len(weight) for w in weight]
    full = costs.asking(costs.reach, costs.reach) if costs.reach else (math.inf, (0, True, 0))
    on = [*(costs.on(first, second) for first, second, _ in paths), [costs.fallback(), full] * 2]
    kinds = sorted({action for options in on for _, action in options})
    number = {kind: k for k, kind in enumerate(kinds)}
    way = [
        [*exits, *(number[action] for _, action in options)]
        for exits, options in zip([*paths, (costs.reach, 0, 0)], on, strict=True)
    ]
    cost = np.array([[each for each, _ in options] for options in on], dtype=np.float64)
    actions = actions_of(kinds)
    return Paths(grid, np.array(way, dtype=np.int64), cost), actions, weight


def paths_in_time(world: World, paths: Paths, actions: Actions) -> tuple[Floats, Floats]:
    """Return ms and mJ of the device by path, action of `Paths` and row of a length, shape (P + 1, 4, k)."""
    layer, reach = actions.layer.tolist(), int(paths.way[-1, FIRST_EXIT])
    before: list[list[int]] = []  # the exits on the way, before exit L
    for first, second, *_ in paths.way[:-1].tolist():
        before += [[first], [first], *([[first, second]] * 2 if second else [[first]] * 2)]
    before += [[], list(range(1, reach + 1))] * 2
    exits = [list(some) for some in before]
    for number, some in zip(paths.way[:, ACTION : ACTION + 4].ravel().tolist(), exits, strict=True):
        if layer[number] > (some[-1] if some else 0):
            some.append(layer[number])
    shape = len(paths.way), 4, world.device_ms.shape[1]
    if not world.timed:
        return np.zeros(shape), np.zeros(shape)
    ms, mj = (
        np.array([[time_of(each, some) for each in device.swapaxes(0, 1)] for some in exits]).reshape(shape)
        for device in (world.device_ms, world.device_mj)
    )
    return ms, mj


def _on_source(
    costs: Costs, grid: Floats, delta: float, source: Table, labels: NDArray[np.integer] | None
) -> Callable[[tuple[int, int, int]], float]:
    """Return a function: the cost of a path's cheapest rule that the source's samples support.

    They support a rule if, for it and all safer ones, (disagreements + 1)/n is at most max(δ, 1.5/n).
    """
    n, most, rules = source.samples, max(delta, 1.5 / source.samples), grid.shape[1]
    confidence, last = source.confidence.astype(np.float64), source.prediction[:, 0]
    fallback = costs.fallback()[0]

    def upto(rank: Whole, weight: NDArray[np.integer] | None = None) -> Floats:
        """Return the number, or the weight, of samples that have a rank of at least k, for every k."""
        counts = np.bincount(rank + 1, weight, rules + 1).astype(np.float64)
        return counts[::-1].cumsum()[::-1][1:]

    def loss(exit_: int) -> Whole:
        own = source.prediction[:, exit_]
        wrong: Whole = (own != (last if labels is None else labels)).astype(np.int64)
        return wrong if labels is None else wrong - (last != labels)

    def cheapest(path: tuple[int, int, int]) -> float:
        first, second, shift = path
        a = np.searchsorted(grid[shift], confidence[:, first], side="right") - 1
        b = np.searchsorted(grid[0], confidence[:, second], side="right") - 1 if second else a
        either, wrong = np.maximum(a, b), loss(first)
        later = loss(second) if second else np.zeros(n, dtype=np.int64)
        losses = upto(a, wrong) + upto(either, later) - upto(a, later)
        fine = np.maximum.accumulate(((losses + 1) / n)[::-1])[::-1] <= most
        at_first, at_second = upto(a), upto(either) - upto(a)
        answer, _, answer_later, ask = (cost for cost, _ in costs.on(first, second))
        mean = (at_first * answer + at_second * answer_later + (n - at_first - at_second) * ask) / n
        least: float = min([fallback, *mean[fine].tolist()])
        return least

    return cheapest
