"""AdaEE with its published parameters on CIFAR-10 with measured times (MobileNet with one side branch, a laptop).

python experiments/learners/laptop.py --data-root DIR [--rounds 100000] [--repeats 10] [--out FILE]

DIR holds cifar10_laptop/test.csv of Div290/Buffer_based_threshold: 10,000 samples, two exits, seconds of each.
*costs*: o from 0 to 1 in points of confidence, rounds drawn with replacement. `gain` is AdaEE's reward per sample,
max(C_2 − C_1, 0) − o where it offloads; `best` is that of the best of its arms in hindsight, `learnt` that of the
last fifth of the rounds. *30 frames/s*: the side branch on the device, Poisson arrivals, a link of 20 Mbit/s.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.append(str(Path(__file__).parents[1]))

from writing import write_csv

import splitee
from splitee.policies.thresholds.arms import AdaEE, BufferAwareAdaEE

GRIDS = {"6 arms": tuple(k / 5 for k in range(6)), "51 arms": tuple(k / 100 for k in range(50, 101))}
INPUT_BYTES = 3 * 32 * 32


def loaded(file: Path) -> tuple[splitee.Trace, np.ndarray]:
    """Return the trace, and the median milliseconds of what lies before each exit."""
    table = pd.read_csv(file)
    confidence, prediction, seconds = (
        table[[f"{what}_branch_{i}" for i in (1, 2)]].to_numpy()
        for what in ("conf", "prediction", "delta_inf_time")
    )
    trace = splitee.Trace(confidence, prediction, table["target"].to_numpy(), name="cifar10_laptop")
    return trace, 1000.0 * np.median(seconds, axis=0)


def in_points(trace: splitee.Trace, rounds: int, repeats: int) -> list[dict[str, object]]:
    """Play AdaEE at each o, all costs in points of confidence."""
    orders = np.random.default_rng(0).integers(trace.samples, size=(repeats, rounds))
    confidence = trace.confidence.astype(np.float64)
    more, rows = np.maximum(confidence[:, 1] - confidence[:, 0], 0.0), []
    for tenth in range(11):
        o = tenth / 10
        costs = splitee.CostModel(layer=0.0, exit=0.0, offload=o, device_layers=1)
        for name, grid in GRIDS.items():
            result = splitee.replay(trace, AdaEE(1, grid), costs, mu=1.0, orders=orders)
            gain = np.where(result.offloaded, more[orders] - o, 0.0)
            arms = [(np.where(trace.confidence[:, 0] < np.float32(a), more - o, 0.0)).mean() for a in grid]
            rows.append(
                {
                    "setting": "costs",
                    "o": o,
                    "policy": f"AdaEE, {name}",
                    "accuracy": result.accuracy.mean(),
                    "offload_rate": result.offload_rate.mean(),
                    "gain": gain.mean(),
                    "learnt": gain[:, -(rounds // 5) :].mean(),
                    "best": max(arms),
                    "best_alpha": grid[int(np.argmax(arms))],
                }
            )
    return rows


def at_30_frames(trace: splitee.Trace, ms: np.ndarray, repeats: int) -> list[dict[str, object]]:
    """Play with a clock: samples arrive at 30 per second and wait for the device."""
    device = splitee.DeviceProfile(ms.tolist(), 0.0, kind="quoted", source="Buffer_based_threshold, medians")
    system = splitee.System(
        device,
        splitee.Link(20.0, rtt=20),
        device_layers=1,
        arrivals="30/s",
        input_bytes=INPUT_BYTES,
        sends="input",
    )
    policies = [
        AdaEE(1, GRIDS["51 arms"]),
        BufferAwareAdaEE(1),
        BufferAwareAdaEE(1, linear=True),
        BufferAwareAdaEE(1, linear=True, released=True),
        splitee.FixedExit(1),
        splitee.CloudOnly(),
    ]
    table = splitee.replay(trace, policies, system, repeats=repeats, seed=0).summary()
    shown = ["policy", "accuracy", "offload_rate", "latency_p50", "latency_p95", "latency_p99"]
    return [{"setting": "30 frames/s", **row} for row in table[shown].to_dict("records")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data-root", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "laptop.csv")
    given = parser.parse_args()
    trace, ms = loaded(given.data_root / "cifar10_laptop" / "test.csv")
    print(
        trace.samples,
        "samples,",
        ms.round(2),
        "ms, accuracy",
        (trace.prediction == trace.label[:, None]).mean(0),
    )
    rows = in_points(trace, given.rounds, given.repeats) + at_30_frames(trace, ms, given.repeats)
    write_csv(pd.DataFrame(rows), given.out)


if __name__ == "__main__":
    main()
