"""What the promise of CertifiedSplit costs, beside static rules chosen in hindsight or on the source.

python experiments/learners/costs.py [--orders 20] [--out FOLDER]

Statics are a layer and a threshold, or the fallback: *observable*, the cheapest that disagrees with exit L on
at most a share δ of this trace; *labelled*, the cheapest whose accuracy is at most δ below exit L's;
*source*, the same, chosen on the labelled validation trace of the source; *split at α*, the best layer at the
source's α.
"""

from __future__ import annotations

import argparse
import os
import sys
from itertools import product
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")

import numpy as np
import pandas as pd

sys.path.append(str(Path(__file__).parents[1]))

import common
from writing import write_csv

import splitee

HERE = Path(__file__).parent
OFFLOADS, HELD = (1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0, 36.0), (4, 6, 8, 12)


def setting(
    trace: splitee.Trace, source: splitee.Trace, offload: float, held: int, orders: np.ndarray
) -> list[dict]:
    """Return a row for every δ."""
    costs = splitee.CostModel(offload=offload, device_layers=held)
    alpha = trace.recommended_threshold or 0.7
    rows = []
    splits = [
        common.cost_of(trace, costs, (i, float(np.float32(alpha)), 0, np.nan))
        for i in range(1, min(held, 11) + 1)
    ]
    last = (trace.prediction[:, -1] == trace.label).mean()
    for delta in common.DELTAS:
        observable, rule = common.hindsight(trace, costs, "disagreement", delta)
        labelled, _ = common.hindsight(trace, costs, "error", delta)
        _, on_source = common.hindsight(source, costs, "error", delta)
        policies = {
            "unknown": splitee.CertifiedSplit(delta, source=source),
            "known": splitee.CertifiedSplit(delta, source=source, horizon=trace.samples),
            "alone": splitee.CertifiedSplit(delta),
        }
        results = splitee.replay(trace, policies, costs, orders=orders)
        rows.append(
            {
                "trace": trace.name,
                "offload": offload,
                "device_layers": held,
                "delta": delta,
                **{f"cost_{name}": result.cost.mean() for name, result in results.items()},
                "disagreement": 1 - results["unknown"].agreement.mean(),
                "drop": last - results["unknown"].accuracy.mean(),
                "fallback": common.cost_of(trace, costs, (0, np.nan, 0, np.nan)),
                "observable": observable,
                "observable_layer": rule[0],
                "labelled": labelled,
                "source": common.cost_of(trace, costs, on_source),
                "source_disagreement": common.answered_wrongly(trace, on_source),
                "split_at_alpha": min(splits),
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--orders", type=int, default=20)
    parser.add_argument("--out", type=Path, default=HERE / "results")
    given = parser.parse_args()
    given.out.mkdir(exist_ok=True)
    rows = []
    for name in common.TRACES:
        trace, source = common.loaded(name)
        orders = common.orders_of(trace.samples, given.orders, "permutation", 13)
        for offload, held in product(OFFLOADS, HELD):
            rows += setting(trace, source, offload, held, orders)
        print(name, file=sys.stderr, flush=True)
    write_csv(pd.DataFrame(rows), given.out / "costs.csv")


if __name__ == "__main__":
    main()
