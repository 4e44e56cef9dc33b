"""AuditedStopping beside the best static rule by observable loss: cost, disagreement, and whether its bound
holds.

python experiments/learners/bounds.py [--orders 10] [--out FOLDER]

Its constants were chosen on IMDb and SciTail. QQP had been seen once before, with others; Yelp and SNLI are
judged here for the first time.
"""

from __future__ import annotations

import argparse
import os
import sys
from itertools import product
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")

import pandas as pd

sys.path.append(str(Path(__file__).parents[1]))

import common
from writing import write_csv

import splitee

HERE = Path(__file__).parent
OFFLOADS, HELD = (3.0, 5.0, 8.0, 12.0, 20.0), (4, 6, 12)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--orders", type=int, default=10)
    parser.add_argument("--out", type=Path, default=HERE / "results")
    given = parser.parse_args()
    given.out.mkdir(exist_ok=True)
    rows = []
    for name in common.TRACES:
        trace, _ = common.loaded(name)
        orders = common.orders_of(trace.samples, given.orders, "permutation", 14)
        for offload, held, delta in product(OFFLOADS, HELD, common.DELTAS):
            costs = splitee.CostModel(offload=offload, device_layers=held)
            result = splitee.replay(trace, splitee.AuditedStopping(delta), costs, orders=orders)
            wrong = 1 - result.agreement
            bound = result.certificate().groupby("repeat")["bound"].last().to_numpy()
            rows.append(
                {
                    "trace": name,
                    "offload": offload,
                    "device_layers": held,
                    "delta": delta,
                    "cost": result.cost.mean(),
                    "observable": common.hindsight(trace, costs, "disagreement", delta)[0],
                    "disagreement": wrong.mean(),
                    "worst": wrong.max(),
                    "bound": bound.mean(),
                    "runs": len(wrong),
                    "above_delta": int((wrong > delta).sum()),
                    "above_bound": int((wrong > bound).sum()),
                }
            )
        print(name, file=sys.stderr, flush=True)
    table = pd.DataFrame(rows)
    write_csv(table, given.out / "bounds.csv")
    table["near"] = table["cost"] <= 1.05 * table["observable"]
    table["kept"] = table["disagreement"] <= table["delta"]
    by = table.groupby("trace").agg(
        near=("near", "mean"), kept=("kept", "mean"), above=("above_bound", "sum"), runs=("runs", "sum")
    )
    print(by.round(3).to_string())


if __name__ == "__main__":
    main()
