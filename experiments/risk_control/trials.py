"""Risk control on the bundled traces: risk on samples that were not seen, and what it costs.

python experiments/risk_control/trials.py [--trials 200] [--out FILE]

In each trial n random samples of a trace choose α, and the others judge it: risk of the confidence cascade and its mean
cost in λ, all layers on the device. *above*: trials in which the risk of the other samples exceeds ε. *shift*: α is
chosen on n samples of the validation trace of the source, and judged on the target.
"""

from __future__ import annotations

import argparse
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.append(str(Path(__file__).parents[1]))

from writing import write_csv

import splitee
from splitee.trace.bundled import find_source
from splitee.trace.risk import LOSSES, RISK_RULES, accepted, cascade_losses, risk_grid
from splitee.trace.threshold import first_sure

HERE = Path(__file__).parent
TRACES = ("imdb", "yelp_sentences", "scitail", "qqp", "snli")
RISKS, SIZES, FAILURE = (0.01, 0.02, 0.05), (100, 500, 2000), 0.1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "trials.csv")
    given = parser.parse_args()
    rows = []
    for name, loss in product(TRACES, LOSSES):
        trace = splitee.load_trace(name)
        source = splitee.load_trace(find_source(trace.manifest) or "")
        grid, lowest = risk_grid(trace.classes), -1.0 if loss == "error" else 0.0
        losses, elsewhere = (cascade_losses(each, loss, grid) for each in (trace, source))
        gamma = splitee.CostModel().device(trace.layers, every_exit=True)
        cost = np.array([gamma[first_sure(trace, [alpha] * trace.layers)].mean() for alpha in grid])
        whole = losses.mean(axis=1)
        for size, risk, rule, shift in product(SIZES, RISKS, RISK_RULES, (False, True)):
            known = elsewhere if shift else losses
            if size > known.shape[1] * 0.8:
                continue
            chosen, risks = [], []
            for trial in range(given.trials):
                picked = np.random.default_rng([trial, size]).permutation(known.shape[1])[:size]
                many = accepted(known[:, picked], rule, risk, FAILURE, lowest)
                chosen.append(cost[many - 1] if many else gamma[-1])
                rest = (
                    whole
                    if shift
                    else (losses.sum(axis=1) - losses[:, picked].sum(axis=1)) / (losses.shape[1] - size)
                )
                risks.append(rest[many - 1] if many else 0.0)
            rows.append(
                {
                    "trace": name,
                    "loss": loss,
                    "samples": size,
                    "risk": risk,
                    "rule": rule,
                    "shift": shift,
                    "cost": np.mean(chosen),
                    "mean_risk": np.mean(risks),
                    "above": np.mean(np.array(risks) > risk),
                }
            )
        print(name, loss, file=sys.stderr, flush=True)
    table = pd.DataFrame(rows)
    given.out.parent.mkdir(exist_ok=True)
    write_csv(table, given.out)
    short = table.groupby(["shift", "loss", "samples", "risk", "rule"])[["cost", "mean_risk", "above"]]
    print(short.agg({"cost": "mean", "mean_risk": "mean", "above": ["mean", "max"]}).round(4).to_string())


if __name__ == "__main__":
    main()
