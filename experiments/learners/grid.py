"""The whole grid of the learners by `splitee sweep`: traces, offload costs, devices, promises, streams.

python experiments/learners/grid.py --work DIR [--orders 20] [--few] [--policies NAMES] [--out FILE]

The five bundled traces, at most 25,000 samples of each; o of 1 to 36; m of 4, 6, 8 and 12; six streams. DIR keeps the
sweep, which continues where it was stopped. The table has one row per trace, stream, m, o and policy, rounded.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import common
import pandas as pd
from common import DELTAS

from splitee.sweep import Grid, sweep

HERE = Path(__file__).parent
OFFLOADS, DEVICES = (1, 2, 3, 5, 8, 12, 20, 36), (4, 6, 8, 12)
STREAMS = ("shuffled", "sudden", "gradual", "recurring", "label-shift", "bursts")
FEW = {"offload": (1, 5, 12, 36), "device_layers": (6, 12), "stream": ("shuffled", "sudden", "recurring")}
AUDITED = [f"{name}:{delta:g}" for name in ("certified", "audited-stopping") for delta in DELTAS]
BESIDE = ["splitee", "thompson", "cloud-only", "source-split", "best-split"]
SETTING = ["trace", "stream", "device_layers", "offload", "policy"]
MEASURED = ["cost", "accuracy", "agreement", "reward", "utility", "offload_rate"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--orders", type=int, default=20)
    parser.add_argument("--policies", default=",".join([*AUDITED, *BESIDE]), help="names, with commas")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "grid.parquet")
    parser.add_argument("--few", action="store_true", help="an eighth of the cells: 120")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    files = []
    for name in common.TRACES:
        trace, _ = common.loaded(name)
        files.append(str(given.work / f"{trace.name}.parquet"))
        trace.save(files[-1], overwrite=True)
    cells = FEW if given.few else {"offload": OFFLOADS, "device_layers": DEVICES, "stream": STREAMS}
    policies, orders = given.policies, given.orders
    grid = Grid(traces=files, policies=policies, repeats=orders, seed=23, interval="run", **cells)
    done = given.work / "swept"
    if not done.exists():
        sweep(grid, done)
    table = pd.read_parquet(done / "summary.parquet")[SETTING + MEASURED]
    for name in ("trace", "stream", "policy"):
        table[name] = table[name].astype("category")
    table[MEASURED] = table[MEASURED].astype("float32").round(5)
    table.to_parquet(given.out, index=False, compression="zstd")


if __name__ == "__main__":
    main()
