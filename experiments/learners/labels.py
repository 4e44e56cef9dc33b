"""A few labels: what an accuracy drop of at most δ costs, labels charged at 1 λ each.

python experiments/learners/labels.py [--orders 10] [--out FOLDER]

o = 12, half of the layers on the device, at most 1,000 labels. *labelled*: the cheapest split in hindsight (see
costs.py).
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")

import pandas as pd

sys.path.append(str(Path(__file__).parents[1]))

import common
from writing import write_csv

import splitee

HERE = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--orders", type=int, default=10)
    parser.add_argument("--out", type=Path, default=HERE / "results")
    given = parser.parse_args()
    rows, costs = [], splitee.CostModel(offload=12.0, device_layers=6)
    for name in common.TRACES:
        trace, source = common.loaded(name)
        orders = common.orders_of(trace.samples, given.orders, "permutation", 31)
        last = (trace.prediction[:, -1] == trace.label).mean()
        for delta in common.DELTAS:
            policies = {
                "none": splitee.CertifiedSplit(delta, source=source),
                "labels": splitee.CertifiedSplit(delta, source=source, loss="error", labels=1000),
                "none, stopping": splitee.AuditedStopping(delta),
                "labels, stopping": splitee.AuditedStopping(delta, loss="error", labels=1000),
            }
            results = list(splitee.replay(trace, policies, costs, orders=orders).values())
            for policy, none, some in (("certified", *results[:2]), ("audited stopping", *results[2:])):
                rows.append(
                    {
                        "policy": policy,
                        "trace": name,
                        "delta": delta,
                        "cost_without": none.cost.mean(),
                        "cost_with": some.cost.mean(),
                        "labels": (some.cost_labels * trace.samples).mean(),
                        "drop_without": last - none.accuracy.mean(),
                        "drop_with": last - some.accuracy.mean(),
                        "worst_drop_with": last - some.accuracy.min(),
                        "runs_above": int((last - some.accuracy > delta).sum()),
                        "labelled": common.hindsight(trace, costs, "error", delta)[0],
                    }
                )
        print(name, file=sys.stderr, flush=True)
    table = pd.DataFrame(rows)
    given.out.mkdir(exist_ok=True)
    write_csv(table, given.out / "labels.csv")
    print(table.round(4).to_string())


if __name__ == "__main__":
    main()
