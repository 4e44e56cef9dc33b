"""What two threads make of two cores, beside what two processes make of them that share nothing.

python benchmarks/two_cores.py [--seconds 60]

In turns, each time the median of three: a replay of 40 repeats in one thread and in two; and processes of
their own, one thread each, that replay 20 repeats: both at once, and one while the other waits. Told are
medians and quartiles, of milliseconds and of neighbours' ratios. Where cores are shared with other machines,
two processes say what can be had; whoever shares a replay also has to wait for the slower of two.
"""

import argparse
import multiprocessing
import time
from multiprocessing.connection import Connection
from statistics import median

import numpy as np
from numba import config
from timing import clock
from worlds import made_up, shuffles

import splitee

SAMPLES, LAYERS, REPEATS = 25_000, 12, 40
LATER = 0.0015  # seconds until all begin: what it takes to tell them


class Work:
    """A replay of so many repeats."""

    def __init__(self, repeats: int) -> None:
        self.trace, self.orders = made_up(SAMPLES, LAYERS), shuffles(SAMPLES, repeats)
        self.seconds(1)  # compiles

    def seconds(self, threads: int) -> float:
        """Replay in so many threads."""
        config.NUMBA_NUM_THREADS = threads
        return clock(lambda: splitee.replay(self.trace, splitee.SplitEE(0.8), mu=0.1, orders=self.orders))


def apart(told: Connection) -> None:
    """In a process of its own: replay half of the repeats whenever it is told, and tell how long it took."""
    work = Work(REPEATS // 2)
    told.send(None)
    while start := told.recv():
        while time.perf_counter() < start:
            pass
        work.seconds(1)
        told.send(time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60.0)
    given = parser.parse_args()
    work, apiece = Work(REPEATS), multiprocessing.get_context("spawn")
    others = []
    for _ in range(2):
        here, there = apiece.Pipe()
        apiece.Process(target=apart, args=(there,), daemon=True).start()
        others.append(here)
    for other in others:
        other.recv()

    def at_once(some: list[Connection]) -> list[float]:
        start = time.perf_counter() + LATER
        for other in some:
            other.send(start)
        return [other.recv() for other in some]

    turns, end = [], time.monotonic() + given.seconds
    while not turns or time.monotonic() < end:
        one, two = (median(work.seconds(threads) for _ in range(3)) for threads in (1, 2))
        both = [at_once(others) for _ in range(3)]
        alone = median(at_once([others[k % 2]])[0] for k in range(4))
        slower = median(map(max, both))
        own_pace = median(2 / sum(1 / seconds for seconds in pair) for pair in both)
        turns.append((one, two, slower, own_pace, alone))
    for other in others:
        other.send(None)
    one, two, slower, own_pace, alone = np.array(turns).T
    for name, values, unit in (
        ("one thread, 40 repeats", 1000 * one, "ms"),
        ("two threads, 40 repeats", 1000 * two, "ms"),
        ("  of one thread", one / two, "×"),
        ("two processes, 20 each: the slower", 1000 * slower, "ms"),
        ("  of one thread", one / slower, "×"),
        ("  of one process that works alone", 2 * alone / slower, "×"),
        ("  the same, had none to wait", 2 * alone / own_pace, "×"),
    ):
        low, middle, high = np.percentile(values, [25, 50, 75])
        print(f"{name:36s} {middle:6.2f} {unit:2s} ({low:.2f} to {high:.2f})")


if __name__ == "__main__":
    main()
