"""The SplitEE paper's grid at the paper's size: 1,095,995 samples, 11 prices, 20 repeats, both algorithms.

python benchmarks/paper_grid.py

Bundled traces are resampled to the sizes of the paper's data sets and written to a temporary folder; then
`splitee sweep` plays the grid, as a whole process, and its time and peak memory are told.
"""

import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from timing import clock

import splitee

SIZES = {"imdb": 25_000, "scitail": 23_596, "yelp_sentences": 549_367, "qqp": 363_846, "snli": 134_186}
GRID = """
traces: {traces}
policies: [splitee, splitee-s]
offload: [1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5, 6, 8]
repeats: 20
interval: run
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for trace, size in SIZES.items():
            bundled = splitee.load_trace(trace).replace(logits=None)
            drawn = np.random.default_rng(0).integers(bundled.samples, size=size)
            ids = [str(i) for i in range(size)]
            bundled.select(drawn).replace(id=ids).save(folder / f"{trace}_paper.parquet")
        files = [str(folder / f"{trace}_paper.parquet") for trace in SIZES]
        (folder / "grid.yaml").write_text(GRID.format(traces=files))
        words = [sys.executable, "-m", "splitee", "sweep", str(folder / "grid.yaml")]
        dry = subprocess.run([*words, "--dry-run", "--json"], capture_output=True, check=True, text=True)
        decisions = json.loads(dry.stdout)["decisions"]
        seconds = clock(lambda: subprocess.run([*words, "--out", str(folder / "out")], check=True))
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"{decisions:,} decisions in {seconds:.1f} s, peak memory {peak:,.0f} MiB")


if __name__ == "__main__":
    main()
