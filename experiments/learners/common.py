"""What the scripts share: traces, some of them adversarial; rules judged on all samples; static rules."""

from __future__ import annotations

import numpy as np
import pandas as pd

import splitee
from splitee.policies.paths import Costs, thresholds
from splitee.policies.problem import Table
from splitee.trace.bundled import find_source

TRACES = ("imdb", "yelp_sentences", "scitail", "qqp", "snli")
MOST = 25_000  # samples of a stream
DELTAS = (0.005, 0.01, 0.02)
Rule = tuple[int, float, int, float]  # first exit, its threshold, second exit (0: none), its threshold


def loaded(name: str) -> tuple[splitee.Trace, splitee.Trace]:
    """Return a trace, at most its first 25,000 samples, and the validation trace of its source."""
    trace = splitee.load_trace(name)
    source = find_source(trace.manifest)
    assert source is not None
    return trace.select(range(min(trace.samples, MOST))), splitee.load_trace(source)


def orders_of(samples: int, repeats: int, kind: str, seed: int) -> np.ndarray:
    """Return streams of as many rounds as samples: permutations, or drawn with replacement."""
    rngs = [np.random.default_rng([seed, r]) for r in range(repeats)]
    if kind == "bootstrap":
        return np.stack([rng.integers(samples, size=samples) for rng in rngs])
    return np.stack([rng.permutation(samples) for rng in rngs])


def answered_wrongly(trace: splitee.Trace, rule: Rule) -> float:
    """Return the share of a trace's samples that a rule answers on the device and otherwise than exit L."""
    first, threshold, second, later = rule
    if first == 0:
        return 0.0
    confidence, answer = trace.confidence.astype(np.float64), trace.prediction
    last = answer[:, -1]
    sure = confidence[:, first - 1] >= threshold
    wrong = sure & (answer[:, first - 1] != last)
    if second:
        wrong |= ~sure & (confidence[:, second - 1] >= later) & (answer[:, second - 1] != last)
    return float(wrong.mean())


def worst_in_force(trace: splitee.Trace, result: splitee.Result) -> pd.Series:
    """Return the greatest share, by repeat, of any rule that was ever in force."""
    table, known = result.certificate(), {}
    shares = []
    for row in table.itertuples():
        rule = (row.layer, row.threshold, row.second_layer, row.second_threshold)
        key = (row.layer, row.second_layer, str(row.threshold), str(row.second_threshold))
        if key not in known:
            known[key] = answered_wrongly(trace, rule)
        shares.append(known[key])
    return table.assign(share=shares).groupby("repeat")["share"].max()


def hindsight(trace: splitee.Trace, costs: splitee.CostModel, losses: str, most: float) -> tuple[float, Rule]:
    """Return the cheapest split, or fallback, of all layers and thresholds whose mean loss is at most `most`.

    The loss of a sample that is answered on the device: "disagreement" with exit L, or "error", [wrong] −
    [exit L wrong], which needs labels.
    """
    table = Table.of(trace, costs, 0.0, 0.7)
    prices, grid = Costs(table.gamma, table.offload, table.problem), thresholds(trace.classes)[0]
    best, rule = prices.fallback()[0], (0, np.nan, 0, np.nan)
    last = trace.prediction[:, -1]
    for i in range(1, prices.reach + 1):
        answer, confidence = trace.prediction[:, i - 1], trace.confidence[:, i - 1].astype(np.float64)
        if losses == "disagreement":
            loss = (answer != last).astype(float)
        else:
            loss = (answer != trace.label).astype(float) - (last != trace.label)
        down = np.argsort(-confidence, kind="stable")
        total, at = np.append(0.0, np.cumsum(loss[down])), -np.sort(-confidence)
        many = np.searchsorted(-at, -grid, side="right")  # samples of at least each threshold
        mean = total[many] / len(loss)
        (stay, _), (ask, _) = prices.on(i, 0)[:2]
        cost = (many * stay + (len(loss) - many) * ask) / len(loss)
        for k in np.flatnonzero((mean <= most) & (cost < best)):
            if cost[k] < best:
                best, rule = float(cost[k]), (i, float(grid[k]), 0, np.nan)
    return best, rule


def cost_of(trace: splitee.Trace, costs: splitee.CostModel, rule: Rule) -> float:
    """Return the mean cost of a split on a trace."""
    table = Table.of(trace, costs, 0.0, 0.7)
    prices = Costs(table.gamma, table.offload, table.problem)
    if rule[0] == 0:
        return prices.fallback()[0]
    stay = float((trace.confidence[:, rule[0] - 1].astype(np.float64) >= rule[1]).mean())
    (answer, _), (ask, _) = prices.on(rule[0], 0)[:2]
    return stay * answer + (1 - stay) * ask


def adversarial(kind: str, delta: float, samples: int = 20_000, exits: int = 7) -> splitee.Trace:
    """Return a trace made to break a promise of δ.

    just above: every rule of every exit disagrees on 1.0001·δ of the samples. top: only the highest
    confidences disagree, 1.2·δ of the samples. flat: 3·δ of the samples disagree, whatever the confidence.
    bands: three thin bands of confidence disagree always, each 0.6·δ of the samples. cliff: nothing disagrees
    above 0.9, everything in [0.88, 0.9). alike: like "top", and all exits disagree on the same samples.
    """
    rng = np.random.default_rng([samples, exits, round(delta * 1e6), sum(kind.encode())])
    last = rng.integers(2, size=samples)
    confidence = rng.uniform(0.5, 1.0, (samples, exits))
    wrong = np.zeros((samples, exits), dtype=bool)
    shared = rng.permutation(samples)
    for i in range(exits - 1):
        column = confidence[:, i]
        some = shared if kind == "alike" else rng.permutation(samples)
        if kind in ("just above", "top", "alike"):
            many = int(np.ceil((1.0001 if kind == "just above" else 1.2) * delta * samples))
            wrong[some[:many], i] = True
            column[some[:many]] = rng.uniform(0.9999, 1.0, many)  # beyond the last threshold of the grid
        elif kind == "flat":
            wrong[some[: round(3 * delta * samples)], i] = True
        elif kind == "bands":
            for b, centre in enumerate((0.75, 0.85, 0.95)):
                many = round(0.6 * delta * samples)
                those = some[b * many : (b + 1) * many]
                wrong[those, i] = True
                column[those] = centre + rng.uniform(0, 0.002, many)
        elif kind == "cliff":
            wrong[:, i] = (column >= 0.88) & (column < 0.9)
    prediction = np.where(wrong, 1 - last[:, None], last[:, None])
    return splitee.Trace(confidence, prediction, last, name=kind)


ADVERSARIAL = ("just above", "top", "flat", "bands", "cliff", "alike")
