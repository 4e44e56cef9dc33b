"""This engine against an older checkout's, in turns, on one core.

python benchmarks/in_turns.py OLD     (OLD: a checkout, such as git worktree add ../old 43ef22a)

A replay is timed with its counts: decisions, and every round's answer and cost (`totals`). Each engine runs
in a process of its own with one thread; they replay in turns, since a machine's speed changes from minute to
minute. Printed is the median of the ratios of neighbours, and each engine's best rate.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path
from statistics import median

HERE = Path(__file__).resolve().parent
WORKER = """
import sys, time
import numpy as np
import splitee
from worlds import made_up, shuffles
from splitee import *
traces, orders = {}, {}
for line in sys.stdin:
    n, layers, repeats, text = line.split(maxsplit=3)
    key = int(n), int(layers)
    trace = traces.setdefault(key, None) or made_up(*key)
    traces[key] = trace
    policies = eval(text)
    given = dict(mu=0.1, repeats=int(repeats))
    start = time.perf_counter()
    results = splitee.replay(trace, policies, **given)
    for result in results.values():
        result.totals
    print(time.perf_counter() - start, flush=True)
"""
SIX = (
    "[SplitEE(0.8), SplitEES(0.8), SplitEES(0.8, side_information='skip'), UCBTuned(0.8), ThompsonSplit(0.8),"
    " ExploreThenCommit(0.8)]"
)
LINES = [  # name, policies, samples, layers, repeats, the least ratio asked for
    ("SplitEE", "[SplitEE(0.8)]", 25_000, 12, 40, 0.55),
    ("SplitEE-S", "[SplitEES(0.8)]", 25_000, 12, 40, 0.55),
    ("SplitEE", "[SplitEE(0.8)]", 25_000, 12, 20, 0.45),
    ("SplitEE-S", "[SplitEES(0.8)]", 25_000, 12, 20, 0.45),
    ("SplitEE", "[SplitEE(0.8)]", 1_000_000, 12, 8, 0.4),
    ("SplitEE-S", "[SplitEES(0.8)]", 1_000_000, 12, 8, 0.4),
    ("UCB-tuned", "[UCBTuned(0.8)]", 25_000, 12, 40, 3.0),
    ("six learners", SIX, 25_000, 12, 20, 1.0),
]


class Engine:
    """A process that replays on demand."""

    def __init__(self, checkout: Path) -> None:
        paths = os.pathsep.join([str(checkout), str(HERE)])
        environment = os.environ | {"PYTHONPATH": paths, "NUMBA_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        words = [sys.executable, "-c", WORKER]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(words, env=environment, cwd=checkout, **pipes)

    def seconds(self, line: str) -> float:
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("old", type=Path)
    parser.add_argument("--turns", type=int, default=9)
    given = parser.parse_args()
    here, old = Engine(HERE.parent), Engine(given.old.resolve())
    heads = f"{'policies':14}{'n':>10}{'repeats':>8}{'here M/s':>10}{'old M/s':>9}{'ratio':>7}"
    print(f"{heads}  quartiles   asked")
    for name, policies, samples, layers, repeats, asked in LINES:
        line = f"{samples} {layers} {repeats} {policies}"
        here.seconds(line), old.seconds(line)  # compile, shuffle
        pairs = [(here.seconds(line), old.seconds(line)) for _ in range(given.turns)]
        ratios = sorted(theirs / ours for ours, theirs in pairs)
        decisions = samples * repeats * policies.count("(") / 1e6
        best = [decisions / min(times) for times in zip(*pairs, strict=True)]
        quartiles = f"{ratios[len(ratios) // 4]:.2f}–{ratios[-1 - len(ratios) // 4]:.2f}"
        rates = f"{best[0]:10.0f}{best[1]:9.0f}{median(ratios):7.2f}"
        print(f"{name:14}{samples:10,}{repeats:8}{rates}  {quartiles:10}  {asked:g}", flush=True)


if __name__ == "__main__":
    main()
