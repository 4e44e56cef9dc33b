"""Learners in a System, with a clock and a link, beside the λ-world; two cores.

python benchmarks/system.py [--turns 7]

Six learners, 20 repeats, 25,000 samples, 12 layers: on a fading link (one sample at a time, and arrivals
every 200 ms), on a constant link, and under constant costs in λ. A replay is timed with its counts
(`totals`), after one that compiles. The worlds are measured in turns, because a machine's speed changes from
minute to minute. Printed are the median seconds, the median seconds of processor time of all threads, which
other work on the machine changes less, and the median of the ratios of processor time within a turn.
"""

import argparse
import os
import time
from statistics import median

from timing import clock
from worlds import made_up

import splitee

SAMPLES, LAYERS, REPEATS = 25_000, 12, 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=7)
    given = parser.parse_args()
    trace = made_up(SAMPLES, LAYERS)
    learners = {
        "SplitEE": splitee.SplitEE(0.8),
        "SplitEE-S": splitee.SplitEES(0.8),
        "UCB-tuned": splitee.UCBTuned(0.8),
        "Thompson": splitee.ThompsonSplit(0.8),
        "explore-then-commit": splitee.ExploreThenCommit(0.8),
        "random": splitee.RandomSplit(0.8),
    }
    device = splitee.DeviceProfile(layer_ms=15, exit_ms=1)
    fading = splitee.load_link("hsdpa_bus_1_down", rtt=80.0)
    sent = {"sends": "input", "input_bytes": 400.0}
    worlds = {
        "λ": splitee.CostModel(offload=5.0),
        "constant link": splitee.System(device, splitee.Link(2.9, 80.0), **sent),
        "fading link": splitee.System(device, fading, **sent),
        "fading link, arrivals": splitee.System(device, fading, arrivals=200.0, **sent),
    }

    def seconds(policies: list, world: object) -> tuple[float, float]:  # type: ignore[type-arg]
        def replay() -> None:
            for result in splitee.replay(trace, policies, world, repeats=REPEATS).values():
                _ = result.totals

        before = time.process_time()
        return clock(replay), time.process_time() - before

    lines = {"all six": list(learners.values())} | {name: [one] for name, one in learners.items()}
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print(f"{'learners':20}{'world':24}{'s':>8}{'cpu s':>8}{'× λ':>10}", flush=True)
    for name, policies in lines.items():
        for world in worlds.values():
            seconds(policies, world)  # compiles
        turns = [[seconds(policies, world) for world in worlds.values()] for _ in range(given.turns)]
        for k, world in enumerate(worlds):
            wall, cpu = (median(turn[k][which] for turn in turns) for which in (0, 1))
            ratio = median(turn[k][1] / turn[0][1] for turn in turns)
            print(f"{name:20}{world:24}{wall:8.2f}{cpu:8.2f}{ratio:10.1f}", flush=True)
    print(f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
