"""What is replayed for the paper's evaluation, and the numbers that come of it: one function a question.

Every function takes a `Pair` and returns a tidy table. Accuracy is a share, cost is in λ a sample.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
import pandas as pd

import splitee
from splitee.policies import Policy, released
from splitee.replay import orders as streams
from splitee.sweep import Grid, play_cell
from splitee.trace.reliability import expected_calibration_error
from splitee.trace.temperature import calibrate
from splitee.trace.threshold import GRID

PAIRS = {  # target: source
    "imdb": "sst2",
    "yelp_sentences": "sst2",
    "scitail": "rte",
    "qqp": "mrpc",
    "snli": "mnli",
}
OFFLOADS = (1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 6.0, 8.0, 12.0, 20.0, 36.0)
MU, REPEATS, SEED = 0.1, 20, 0
PAPER_OFFLOAD = 5.0
PAPER_THRESHOLD = {"imdb": 0.70, "yelp_sentences": 0.70, "scitail": 0.85, "qqp": 0.75, "snli": 0.75}
EXPLORATIONS = tuple(round(0.1 * k, 1) for k in range(1, 11))
SLACK = 0.005  # of the best on the source: what a parameter chosen there may lose
COLUMNS = [
    *("policy", "layer", "layer_repeats", "accuracy", "accuracy_low", "accuracy_high"),
    *("accuracy_delta", "accuracy_delta_low", "accuracy_delta_high"),
    *("cost", "cost_low", "cost_high", "cost_change", "cost_layers", "cost_exits", "cost_offload"),
    *("offload_rate", "reward", "regret", "regret_own", "on_device", "sees_final", "hindsight", "samples"),
]


Chosen = TypeVar("Chosen", bound=Policy)


@dataclass(frozen=True)
class Pair:
    """A target stream and the validation trace of the model's own data."""

    name: str

    @cached_property
    def target(self) -> splitee.Trace:
        return splitee.load_trace(self.name)

    @cached_property
    def source(self) -> splitee.Trace:
        return splitee.load_trace(f"{PAIRS[self.name]}_validation")

    @property
    def layers(self) -> int:
        return self.target.layers

    @property
    def threshold(self) -> float:
        """α, chosen on the source."""
        return self.target.recommended_threshold

    @property
    def devices(self) -> tuple[int, int]:
        return self.layers, self.layers // 2

    def deebert(self, last: int) -> splitee.DeeBERT:
        """DeeBERT to a last layer, S chosen on the source: the largest within half a point of the best."""
        grid = np.round(np.linspace(0.05, np.log(self.source.classes), 40), 3)[::-1]
        return self._cheapest([splitee.DeeBERT(s, last) for s in grid])

    def pabee(self, last: int) -> splitee.PABEE:
        """PABEE to a last layer, patience chosen on the source: the smallest within half a point of the best."""
        return self._cheapest([splitee.PABEE(p, last) for p in range(1, last)])

    def exit(self, last: int) -> splitee.FixedExit:
        """The fixed exit chosen on the source: the lowest, of those up to a layer, within half a point of the best."""
        return self._cheapest([splitee.FixedExit(i) for i in range(1, last + 1)])

    def _cheapest(self, candidates: list[Chosen]) -> Chosen:
        """The first of the candidates (which come cheapest first) that is accurate enough on the source."""
        results = splitee.replay(
            self.source, {str(k): policy for k, policy in enumerate(candidates)}, repeats=1
        )
        accuracy = np.array([result.accuracy[0] for result in results.values()])
        return candidates[int(np.argmax(accuracy >= accuracy.max() - SLACK - 1e-12))]


def learners(alpha: float) -> list[Policy]:
    """What plays differently in every order."""
    return [
        splitee.SplitEE(alpha),
        splitee.SplitEES(alpha, side_information="causal"),
        splitee.SplitEES(alpha, side_information="published"),
        splitee.UCBTuned(alpha),
        splitee.ThompsonSplit(alpha),
        splitee.ExploreThenCommit(alpha),
        splitee.RandomSplit(alpha),
    ]


def baselines(pair: Pair, alpha: float, device: int) -> dict[str, Policy]:
    """What does the same with a sample in every order; parameters are chosen on the source."""
    last = device if device < pair.layers else None
    return {
        "final-exit": splitee.FinalExit(),
        f"exit {pair.layers}": splitee.FixedExit(pair.layers),
        f"source exit {pair.exit(device).layer}": pair.exit(device),
        "cloud-only": splitee.CloudOnly(),
        "source split": splitee.SourceSplit(alpha, pair.source),
        "best split (hindsight)": splitee.BestFixedSplit(alpha),
        "oracle (per sample)": splitee.Oracle(alpha),
        "ElasticBERT": splitee.ElasticBERT(alpha, last=last),
        "DeeBERT": pair.deebert(device),
        "PABEE": pair.pabee(device),
        f"cascade split {pair.layers // 2}": splitee.CascadeSplit(pair.layers // 2, alpha),
    }


def costs(offload: float, device: int | None = None) -> splitee.CostModel:
    return splitee.CostModel(offload=offload, device_layers=device)


def summary(results: splitee.Results) -> pd.DataFrame:
    """The data intervals, and those over runs beside them."""
    data, run = results.summary("data"), results.summary("run")
    for name in ("accuracy", "cost"):
        for end in ("low", "high"):
            data[f"{name}_run_{end}"] = run[f"{name}_{end}"]
    return data[[*COLUMNS, *(f"{n}_run_{e}" for n in ("accuracy", "cost") for e in ("low", "high"))]]


def curves(pair: Pair, device: int) -> pd.DataFrame:
    """Accuracy and cost of every policy against o."""
    rows = []
    policies = {policy.label: policy for policy in learners(pair.threshold)}
    policies |= baselines(pair, pair.threshold, device)
    for offload in OFFLOADS:
        prices = costs(offload, device)
        results = splitee.replay(pair.target, policies, prices, MU, repeats=REPEATS, seed=SEED)
        rows.append(summary(results).assign(offload=offload))
    return pd.concat(rows, ignore_index=True).assign(
        pair=pair.name, device_layers=device, threshold=pair.threshold
    )


def families(pair: Pair) -> pd.DataFrame:
    """Every fixed exit, fixed split and cascade split: at an offload price of o, cost = device + rate · o."""
    alpha, every = pair.threshold, range(1, pair.layers + 1)
    policies = [
        *(splitee.FixedExit(i) for i in every),
        *(splitee.FixedSplit(i, alpha) for i in every),
        *(splitee.CascadeSplit(i, alpha) for i in every),
    ]
    table = splitee.replay(pair.target, policies, costs(0.0), MU, repeats=1).summary("data")
    table["device_cost"] = table["cost_layers"] + table["cost_exits"]
    kept = ["policy", "accuracy", "accuracy_low", "accuracy_high", "accuracy_delta", "accuracy_delta_low"]
    return table[[*kept, "device_cost", "offload_rate"]].assign(pair=pair.name, threshold=alpha)


def thresholds(pair: Pair) -> pd.DataFrame:
    """What α does, at o = 5 λ and on the whole device."""
    rows = []
    for alpha in GRID:
        policies = {
            "SplitEE": splitee.SplitEE(alpha),
            "SplitEE-S (causal)": splitee.SplitEES(alpha),
            "best split (hindsight)": splitee.BestFixedSplit(alpha),
            "ElasticBERT": splitee.ElasticBERT(alpha),
            f"cascade split {pair.layers // 2}": splitee.CascadeSplit(pair.layers // 2, alpha),
        }
        prices = costs(PAPER_OFFLOAD)
        results = splitee.replay(pair.target, policies, prices, MU, repeats=REPEATS, seed=SEED)
        rows.append(summary(results).assign(threshold=alpha))
    return pd.concat(rows, ignore_index=True).assign(pair=pair.name)


def explorations(pair: Pair) -> pd.DataFrame:
    """What β does: mean and worst repeat of the regret, where splits matter (o = 8 λ, half the device) and as in the paper."""
    tables = []
    for offload, device in ((PAPER_OFFLOAD, pair.layers), (8.0, pair.layers // 2)):
        grid = Grid(
            traces=[pair.name],
            policies=["splitee", "splitee-s"],
            offload=[offload],
            mu=[MU],
            device_layers=[device],
            exploration=EXPLORATIONS,
            repeats=REPEATS,
            seed=SEED,
            interval=["run"],
        )
        (cell,) = grid.cells()
        owed = play_cell(grid, cell, pair.target)["repeats"]
        by = owed.groupby(["policy", "exploration", "offload", "device_layers"], sort=False)["regret_own"]
        told = by.agg(regret_own="mean", worst="max", best="min").reset_index()
        tables.append(told.sort_values(["policy", "exploration"]))
    return pd.concat(tables, ignore_index=True).assign(pair=pair.name)


def regrets(pair: Pair) -> pd.DataFrame:
    """Cumulative regret at o = 5 λ, with the band from the 2.5 % to the 97.5 % quantile over orders."""
    policies = [*learners(pair.threshold), splitee.FinalExit(), splitee.CloudOnly()]
    results = splitee.replay(pair.target, policies, costs(PAPER_OFFLOAD), MU, repeats=REPEATS, seed=SEED)
    rows = []
    for name, result in results.items():
        for against in ("common", "own"):
            regret = result.regret(against)
            rounds = regret.shape[1]
            for part, last in (("first 2,000", min(2000, rounds)), ("whole", rounds)):
                at = np.unique(np.linspace(0, last - 1, 50).round().astype(int))
                low, high = np.quantile(regret[:, at], [0.025, 0.975], axis=0)
                rows.append(
                    pd.DataFrame(
                        {"t": at + 1, "regret": regret[:, at].mean(axis=0), "low": low, "high": high}
                    ).assign(policy=name, against=against, part=part)
                )
    return pd.concat(rows, ignore_index=True).assign(pair=pair.name)


def side_information(pair: Pair) -> pd.DataFrame:
    """How far each arm's estimate lies from its mean reward, by what stands in for an unobserved C_L.

    Every arm's estimate as it would be if SplitEE-S had run each sample to layer `played`, against the mean
    of its true reward: what side information alone does, without the learner's choices.
    """
    alpha, trace = pair.threshold, pair.target
    confidence = trace.confidence.astype(np.float64)
    far = confidence[:, -1]
    gamma = costs(PAPER_OFFLOAD).device(trace.layers, every_exit=True)
    rows = []
    for played in range(2, trace.layers):
        exits_there = confidence[:, played - 1] >= alpha
        stand_in = np.where(exits_there, confidence[:, played - 1], far)
        for arm in range(1, played):
            own = confidence[:, arm - 1]
            sure = own >= alpha
            stay, leave = MU * gamma[arm - 1], MU * (gamma[arm - 1] + PAPER_OFFLOAD)
            true = np.where(sure, own - stay, far - leave)
            causal = np.where(sure, own - stay, stand_in - leave)
            kept = sure | ~exits_there
            rows.append(
                {
                    "played": played,
                    "arm": arm,
                    "true": true.mean(),
                    "causal": causal.mean() - true.mean(),
                    "skip": true[kept].mean() - true.mean() if kept.any() else np.nan,
                    "unobserved": float((~sure & exits_there).mean()),
                }
            )
    return pd.DataFrame(rows).assign(pair=pair.name)


def as_released(pair: Pair) -> pd.DataFrame:
    """The authors' code on our traces, at the authors' α, beside the paper's algorithms at the same α."""
    alpha = PAPER_THRESHOLD[pair.name]
    policies = {
        "final-exit": splitee.FinalExit(),
        "SplitEE": splitee.SplitEE(alpha),
        "SplitEE-S (published)": splitee.SplitEES(alpha, side_information="published"),
        "ElasticBERT": splitee.ElasticBERT(alpha),
    }
    policies |= {
        policy.label: policy
        for policy in (released.SplitEE(alpha), released.SplitEES(alpha), released.ElasticBERT(alpha))
    }
    rows = []
    for offload in (1.0, PAPER_OFFLOAD):
        results = splitee.replay(pair.target, policies, costs(offload), MU, repeats=REPEATS, seed=SEED)
        rows.append(summary(results).assign(offload=offload))
    return pd.concat(rows, ignore_index=True).assign(pair=pair.name, threshold=alpha)


def other_streams(pair: Pair) -> pd.DataFrame:
    """The stream as it is, resampled, and the source's data before the target's, at o = 12 λ."""
    alpha, n = pair.threshold, pair.target.samples
    joined = splitee.concatenate([pair.source, pair.target])
    before = pair.source.samples
    sequence = streams.in_sequence([np.arange(before), np.arange(before, before + n)], REPEATS, SEED)
    played = [
        ("as is", pair.target, streams.as_is(n), [n]),
        ("bootstrap", pair.target, streams.bootstrap(n, REPEATS, SEED), [n]),
        ("source, then target", joined, sequence, [before, n]),
    ]
    return pd.concat([_segments(name, *rest, alpha, pair) for name, *rest in played], ignore_index=True)


def drift(sentences: Pair, reviews: Pair) -> pd.DataFrame:
    """Two domains of one model in turn: half of the sentences, all reviews, the other half."""
    joined = splitee.concatenate([sentences.target, reviews.target])
    n, half = sentences.target.samples, sentences.target.samples // 2
    parts = [np.arange(half), np.arange(n, joined.samples), np.arange(half, n)]
    orders = streams.in_sequence(parts, REPEATS, SEED)
    name = f"{sentences.name} → {reviews.name} → {sentences.name}"
    return _segments(name, joined, orders, [len(part) for part in parts], sentences.threshold, sentences)


def _segments(
    stream: str, trace: splitee.Trace, orders: np.ndarray, lengths: list[int], alpha: float, pair: Pair
) -> pd.DataFrame:
    policies = [
        splitee.SplitEE(alpha),
        splitee.SplitEES(alpha),
        splitee.UCBTuned(alpha),
        splitee.ThompsonSplit(alpha),
        splitee.ExploreThenCommit(alpha),
        splitee.SourceSplit(alpha, pair.source),
        splitee.BestFixedSplit(alpha),
    ]
    rows = []
    for offload in (12.0,):  # at the paper's price every learner stays at layer 1, whatever comes
        results = splitee.replay(trace, policies, costs(offload), MU, orders=orders, threshold=alpha)
        for name, result in results.items():
            owed = result.regret("common", lengths)
            ends = np.cumsum(lengths)
            parts = np.diff(owed[:, ends - 1], axis=1, prepend=0.0)
            for k, length in enumerate(lengths):
                rows.append(
                    {
                        "pair": pair.name,
                        "stream": stream,
                        "offload": offload,
                        "policy": name,
                        "segment": k + 1,
                        "samples": length,
                        "regret": parts[:, k].mean(),
                        "regret_worst": parts[:, k].max(),
                        "stream_accuracy": result.accuracy.mean(),
                        "stream_cost": result.cost.mean(),
                    }
                )
    return pd.DataFrame(rows)


def calibration(pair: Pair) -> pd.DataFrame:
    """What a temperature per exit, fitted on the source, does to confidences and to what policies do."""
    before, source = pair.target, pair.source
    after = calibrate(before, source)
    told = after.manifest["calibration"]["temperatures"]
    rows = []
    for name, trace in (("as trained", before), ("calibrated", after)):
        right = trace.prediction == trace.label[:, None]
        alpha = trace.recommended_threshold
        rows += [
            {
                "trace": name,
                "exit": i + 1,
                "temperature": told[i] if trace is after else 1.0,
                "accuracy": right[:, i].mean(),
                "confidence": trace.confidence[:, i].astype(np.float64).mean(),
                "calibration_error": expected_calibration_error(trace.confidence[:, i], right[:, i]),
                "threshold": alpha,
                "share": (trace.confidence[:, i].astype(np.float64) >= alpha).mean(),
            }
            for i in range(trace.layers)
        ]
    return pd.DataFrame(rows).assign(pair=pair.name)


def calibrated_policies(pair: Pair) -> pd.DataFrame:
    """The same policies on the trace as it is and calibrated, each at its own α."""
    rows = []
    for name, trace in (("as trained", pair.target), ("calibrated", calibrate(pair.target, pair.source))):
        alpha = trace.recommended_threshold
        for offload, device in ((PAPER_OFFLOAD, pair.layers), (12.0, pair.layers // 2)):
            last = device if device < pair.layers else None
            policies = [
                splitee.SplitEE(alpha),
                splitee.BestFixedSplit(alpha),
                splitee.ElasticBERT(alpha, last=last),
                splitee.CascadeSplit(pair.layers // 2, alpha),
            ]
            results = splitee.replay(trace, policies, costs(offload, device), MU, repeats=5, seed=SEED)
            told = {"trace": name, "offload": offload, "device_layers": device, "threshold": alpha}
            rows.append(summary(results).assign(**told))
    table = pd.concat(rows, ignore_index=True).assign(pair=pair.name)
    return table.drop(columns=["reward", "regret", "regret_own"])  # of other confidences: not to be compared
