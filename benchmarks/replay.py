"""The compiled replay against its plain-Python specification, on the same orders, in the same run.

python benchmarks/replay.py

Compilation is left out (one replay before the clock starts); of five replays the median counts. A replay is
all of it: decisions, accounting, regret and the reference. The specification plays one order; the ratio is
per decision.
"""

import sys
import time
from pathlib import Path
from statistics import median

import numpy as np

import splitee

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import naive

REPEATS = 20


def clock(work) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main() -> None:
    trace = splitee.load_trace("imdb")
    costs = splitee.CostModel()
    world = naive.World(trace.confidence.tolist(), trace.prediction.tolist(), offload=[5.0] * trace.layers)
    orders = np.array([np.random.default_rng(r).permutation(trace.samples) for r in range(REPEATS)])
    first = orders[0].tolist()
    pairs = [
        ("SplitEE", splitee.SplitEE(0.9), lambda: naive.split_ee(world, first, 0.9)),
        ("SplitEE-S (causal)", splitee.SplitEES(0.9), lambda: naive.split_ee_s(world, first, 0.9)),
    ]
    for name, policy, plain in pairs:

        def replayed(policy=policy) -> splitee.Result:
            return splitee.replay(trace, policy, costs, mu=0.1, orders=orders)

        same = replayed().split[0].tolist() == [played.split for played in plain()]
        fast = median(clock(replayed) for _ in range(5)) / REPEATS
        slow = clock(plain)
        rate = trace.samples / fast
        print(f"{name}: {rate:,.0f} decisions/s, {slow / fast:.0f} × the specification, equal: {same}")


if __name__ == "__main__":
    main()
