"""Streams that change, and feedback that comes late: cost, disagreement, and who is above δ for how long.

python experiments/learners/changes.py [--orders 10] [--out FOLDER]

o = 12, half of the layers on the device, δ = 2 %. The streams change between Yelp and IMDb (12,500 samples
each), or, for one trace, between the half of the samples with more confident exits and the other half.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")

import numpy as np
import pandas as pd

sys.path.append(str(Path(__file__).parents[1]))

import common
from writing import write_csv

import splitee
from splitee import streams

HERE = Path(__file__).parent
DELTA, COSTS = 0.02, splitee.CostModel(offload=12.0, device_layers=6)


def policies(alpha: float) -> dict[str, object]:
    """Return the policies by name."""
    return {
        "certified": splitee.CertifiedSplit(DELTA),
        "certified, no alarm": splitee.CertifiedSplit(DELTA, drift=False),
        "audited stopping": splitee.AuditedStopping(DELTA),
        "SplitEE": splitee.SplitEE(alpha),
        "Thompson": splitee.ThompsonSplit(alpha),
        "cloud-only": splitee.CloudOnly(),
    }


def both() -> splitee.Trace:
    """Yelp, then IMDb, 12,500 samples each."""
    parts = [splitee.load_trace(name).select(range(12_500)) for name in ("yelp_sentences", "imdb")]
    return splitee.concatenate(parts)


def in_force(trace: splitee.Trace, parts: list, result: splitee.Result, orders: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    """Return, by repeat and round, the share of its part that the rule in force answers wrongly."""
    part = np.empty(trace.samples, dtype=np.int64)
    for k, samples in enumerate(parts):
        part[samples] = k
    traces, known = [trace.select(samples) for samples in parts], {}
    shares = np.zeros((*orders.shape, len(parts)))
    for repeat, rows in result.certificate().groupby("repeat"):
        ends = [*rows["t"].to_numpy()[1:] - 1, orders.shape[1]]
        for row, end in zip(rows.itertuples(), ends, strict=True):
            rule = (row.layer, row.threshold, row.second_layer, row.second_threshold)
            if str(rule) not in known:
                known[str(rule)] = [common.answered_wrongly(each, rule) for each in traces]
            shares[repeat - 1, row.t - 1 : end] = known[str(rule)]
    return np.take_along_axis(shares, part[orders][..., None], axis=2)[..., 0]


def drifting(orders: int) -> pd.DataFrame:
    """Changes: one row per trace, stream and policy."""
    rows = []
    traces = {"Yelp, IMDb": both(), **{name: common.loaded(name)[0] for name in ("imdb", "qqp", "snli")}}
    for name, trace in traces.items():
        parts = streams.parts_of(trace)
        for stream in ("shuffled", "sudden", "gradual", "recurring", "label-shift", "bursts"):
            order = streams.stream_of(stream, trace, orders, 5)
            if order is None:
                order = common.orders_of(trace.samples, orders, "permutation", 5)
            results = splitee.replay(trace, policies(trace.recommended_threshold or 0.9), COSTS, orders=order)
            for policy, result in results.items():
                own = trace.prediction[order, np.maximum(result.split, 1) - 1]
                wrong = (own != trace.prediction[order, -1]) & ~result.offloaded
                sixths = [np.max([part.mean() for part in np.array_split(one, 6)]) for one in wrong]
                row = {
                    "trace": name,
                    "stream": stream,
                    "policy": policy,
                    "cost": result.cost.mean(),
                    "disagreement": wrong.mean(),
                    "worst_sixth": np.mean(sixths),
                }
                if policy.startswith("certified") and stream in ("sudden", "recurring"):
                    row["rounds_above"] = (in_force(trace, parts, result, order) > DELTA).mean()
                if hasattr(result.policy, "drift"):
                    row["alarms"] = result.certificate().groupby("repeat")["alarms"].max().mean()
                rows.append(row)
        print(name, file=sys.stderr, flush=True)
    return pd.DataFrame(rows)


def late(orders: int) -> pd.DataFrame:
    """Delays: one row per trace, delay and policy."""
    rows = []
    for name in ("imdb", "qqp"):
        trace, source = common.loaded(name)
        order = common.orders_of(trace.samples, orders, "permutation", 6)
        for delay in (0, 1, 10, 100, 1000):
            named = {
                "certified": splitee.CertifiedSplit(DELTA, source=source),
                "audited stopping": splitee.AuditedStopping(DELTA),
                "SplitEE": splitee.SplitEE(trace.recommended_threshold or 0.9),
            }
            for policy, result in splitee.replay(trace, named, COSTS, orders=order, delay=delay).items():
                row = {"trace": name, "delay": delay, "policy": policy, "cost": result.cost.mean()}
                row["disagreement"] = 1 - result.agreement.mean()
                if policy == "certified":
                    row["runs_above"] = int((common.worst_in_force(trace, result) > DELTA).sum())
                if policy == "audited stopping":
                    bound = result.certificate().groupby("repeat")["bound"].last().to_numpy()
                    row["runs_above"] = int((1 - result.agreement > bound).sum())
                rows.append(row)
        print(name, file=sys.stderr, flush=True)
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--orders", type=int, default=10)
    parser.add_argument("--out", type=Path, default=HERE / "results")
    given = parser.parse_args()
    given.out.mkdir(exist_ok=True)
    for name, table in (("changes", drifting(given.orders)), ("late", late(given.orders))):
        write_csv(table, given.out / f"{name}.csv")
        print(table.round(4).to_string())


if __name__ == "__main__":
    main()
