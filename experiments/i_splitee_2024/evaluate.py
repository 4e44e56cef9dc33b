"""I-SplitEE's evaluation on the bundled traces, and what it leaves out.

    python experiments/i_splitee_2024/evaluate.py [--out FOLDER] [--repeats 10]

levels.csv   per distortion level: cost and accuracy beside the last exit's, and beside the claim (cost −55 %, −5 points)
mixed.csv    streams that mix or change the distortions
context.csv  what it would be worth to know the distortion: the best fixed (layer, α) per level, and one for all
measured.csv how well the measured noise and sharpness tell distortions apart, by bins of the source
links.csv    where a split pays: measured ms by stage, bytes by exit, links from 0.25 to 50 Mbit/s
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")

import numpy as np
import pandas as pd

sys.path.append(str(Path(__file__).parents[1]))

import released
from levels import LEVELS, MU, OFFLOAD, policies, trace_of
from mixed import context, measured, mixed
from writing import write_csv

import splitee

HERE = Path(__file__).parent


def as_released(trace: splitee.Trace, costs: splitee.CostModel, orders: np.ndarray) -> dict[str, float]:
    """Accuracy and cost of the released crediting, over the orders."""
    layers = np.array(trace.exit_layers, dtype=np.float64)
    gamma = layers  # every exit is evaluated, λ a stage with its exit
    confidence = trace.confidence.astype(np.float64)
    reward = released.rewards(confidence, gamma, 0.5, OFFLOAD, MU)
    accuracy, cost = [], []
    for order in orders:
        arm = released.play(reward, order)
        stays = (confidence[order, arm] >= 0.5) | (arm == len(layers) - 1)
        answer = np.where(stays, trace.prediction[order, arm], trace.prediction[order, -1])
        accuracy.append((answer == trace.label[order]).mean())
        cost.append((gamma[arm] + OFFLOAD * ~stays).mean())
    return {"accuracy": float(np.mean(accuracy)), "cost": float(np.mean(cost))}


def levels(repeats: int) -> pd.DataFrame:
    rows = []
    for level in LEVELS:
        trace = trace_of(level)
        costs = splitee.CostModel(offload=OFFLOAD)
        results = splitee.replay(trace, policies(trace.recommended_threshold), costs, mu=MU, repeats=repeats)
        table = results.summary().set_index("policy")
        final = table.loc["last exit"]
        found = {name: (row["accuracy"], row["cost"]) for name, row in table.iterrows()}
        orders = np.stack([np.random.default_rng([0, r]).permutation(len(trace)) for r in range(repeats)])
        own = as_released(trace, costs, orders)
        found["I-SplitEE as released, α = 0.5"] = own["accuracy"], own["cost"]
        for name, (accuracy, cost) in found.items():
            reduction, loss = 1 - cost / final["cost"], final["accuracy"] - accuracy
            rows.append(
                {
                    "level": level,
                    "policy": name,
                    "accuracy": 100 * accuracy,
                    "cost": cost,
                    "cost_reduction": 100 * reduction,
                    "loss": 100 * loss,
                    "claim": reduction >= 0.55 and loss <= 0.05,
                }
            )
    return pd.DataFrame(rows)


def links() -> pd.DataFrame:
    """In ms on the measured profile: the device alone, the input offloaded, and the best split after each exit."""
    device = splitee.DeviceProfile.load(HERE / "results" / "device.json")
    rows = []
    for level in ("clean", "noise2"):
        trace = trace_of(level)
        alpha = trace.recommended_threshold
        for slower in (1, 10):  # this processor, and a device ten times as slow
            slow = splitee.DeviceProfile(
                layer_ms=slower * np.asarray(device.layer_ms),
                exit_ms=slower * np.asarray(device.exit_ms),
                tokenize_ms=slower * float(device.tokenize_ms),
                name=f"{device.name} × {slower}",
            )
            for uplink in (0.25, 0.5, 1, 2, 5, 10, 50):
                for codec in ("float16", "int8"):
                    system = splitee.System(
                        slow, splitee.Link(uplink=uplink, rtt=20), cloud=device, codec=codec, sends="state"
                    )
                    given = {f"split {i}": splitee.FixedSplit(i, alpha) for i in range(1, trace.layers)}
                    given |= {"cloud-only": splitee.CloudOnly(), "last exit": splitee.FinalExit()}
                    given["cascade"] = splitee.ElasticBERT(alpha)
                    table = splitee.replay(trace, given, system, repeats=1).summary()
                    for _, row in table.iterrows():
                        rows.append(
                            {
                                "level": level,
                                "device_times": slower,
                                "uplink": uplink,
                                "codec": codec,
                                "policy": row["policy"],
                                "accuracy": 100 * row["accuracy"],
                                "ms": row["cost"],
                                "p95": row["latency_p95"],
                                "kb": row.get("kilobytes", np.nan),
                                "offload_rate": row["offload_rate"],
                            }
                        )
    return pd.DataFrame(rows)


def main() -> None:
    given = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given.add_argument("--out", type=Path, default=HERE / "results")
    given.add_argument("--repeats", type=int, default=10)
    given.add_argument("--only", default="levels,mixed,context,measured,links")
    asked = given.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    made = {
        "levels": lambda: levels(asked.repeats),
        "mixed": lambda: mixed(asked.repeats // 2),
        "context": context,
        "measured": measured,
        "links": links,
    }
    for name in asked.only.split(","):
        table = made[name]()
        write_csv(table, asked.out / f"{name}.csv")
        print(f"wrote {name}.csv: {len(table)} rows", flush=True)


if __name__ == "__main__":
    main()
