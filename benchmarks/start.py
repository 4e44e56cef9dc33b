"""How long `splitee run` takes as a whole process: every policy over the bundled trace, in two scenarios.

python benchmarks/start.py

Once with an empty cache of compiled code, then the median and the quickest of fifteen, and how many processor
seconds one took.
"""

import os
import resource
import subprocess
import sys
import tempfile
from statistics import median

from timing import clock

TIMES = 15


def main() -> None:
    with tempfile.TemporaryDirectory() as cache:
        env = {**os.environ, "NUMBA_CACHE_DIR": cache}
        words = [sys.executable, "-m", "splitee", "run"]
        run = lambda: subprocess.run(words, env=env, check=True, stdout=subprocess.DEVNULL)  # noqa: E731
        first = clock(run)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = [clock(run) for _ in range(TIMES)]
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / TIMES
    print(f"median {median(seconds):.2f} s, quickest {min(seconds):.2f} s, {spent:.2f} s of processors")
    print(f"the first time, with everything compiled: {first:.1f} s")


if __name__ == "__main__":
    main()
