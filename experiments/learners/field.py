"""Tables and a figure of the grid: every learner beside cloud-only and the best split in hindsight.

python experiments/learners/field.py [FILE...] [--out FOLDER]

FILEs are what grid.py wrote (default: results/field*.parquet). Each cell is a trace, a stream, m and o. *cost*: geometric
mean over cells of the cost over that of the best split in hindsight at the source's α. *drop*: points of accuracy below
the last exit; *disagreement*: answers that differ from its. *cheaper*: cells in which the policy costs less than both
cloud-only and the best split, at a drop of at most 1 point. *worst*: the greatest drop of a cell.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

HERE = Path(__file__).parent
FIGURE = HERE.parents[1] / "docs" / "figures" / "learners.png"
CELL = ["trace", "stream", "device_layers", "offload"]
BEST, CLOUD = "best split (hindsight)", "cloud-only"


def loaded(files: list[Path]) -> pd.DataFrame:
    """Return the rows of all files, with the cost, accuracy and reward of the two references of their cell."""
    rows = pd.concat([pd.read_parquet(file) for file in files], ignore_index=True)
    for name in ("trace", "stream", "policy"):
        rows[name] = rows[name].astype(str)
    rows["policy"] = rows["policy"].str.replace(r"^(BEEM(-C)?|PCEE) \(.*", r"\1", regex=True)  # α is fitted
    rows = rows.drop_duplicates([*CELL, "policy"])
    for mark, policy in (("best", BEST), ("cloud", CLOUD)):
        own = rows[rows["policy"] == policy].set_index(CELL)[["cost", "accuracy", "reward"]]
        rows = rows.join(own.add_prefix(f"{mark}_"), on=CELL)
    return rows


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Return one row per policy; shares and drops are in per cent and points."""
    drop = 100 * (rows["cloud_accuracy"] - rows["accuracy"])
    cheaper = (rows["cost"] < rows[["best_cost", "cloud_cost"]].min(axis=1) * 0.999) & (drop <= 1)
    every = rows.assign(
        ratio=np.log(rows["cost"] / rows["best_cost"]),
        drop=drop,
        disagreement=100 * (1 - rows["agreement"]),
        cheaper=100.0 * cheaper,
        regret=100 * (rows["best_reward"] - rows["reward"]),
    ).groupby("policy")
    table = every[["ratio", "drop", "disagreement", "cheaper", "regret"]].mean()
    table["cost"] = np.exp(table.pop("ratio"))
    table["worst"] = every["drop"].max()
    table["cells"] = every.size()
    return table[["cost", "drop", "worst", "disagreement", "cheaper", "regret", "cells"]].sort_values("cost")


def by_stream(rows: pd.DataFrame) -> pd.DataFrame:
    """Return cost over that of the best split, by policy and stream."""
    ratio = np.log(rows["cost"] / rows["best_cost"])
    return np.exp(ratio.groupby([rows["policy"], rows["stream"]]).mean().unstack())


def draw(table: pd.DataFrame, out: Path) -> None:
    """Draw cost against disagreement, a point per policy; those within a tenth of the best split share a name."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(9, 6), layout="constrained")
    shown = table.sort_values("disagreement")
    axes.scatter(shown["disagreement"], shown["cost"], s=20, color="#1f5fa8")
    alike = shown[(shown["disagreement"] < 0.05) & (shown["cost"].between(0.99, 1.105))]
    named = [
        (str(name), row["disagreement"], row["cost"]) for name, row in shown.drop(alike.index).iterrows()
    ]
    below, places = -1.0, []
    for name, x, y in sorted(named, key=lambda one: one[2]):  # names keep their distance
        below = max(y, below + 0.03 if places and x - places[-1][1] < 30 else y)
        places.append((name, x, below))
    for (name, x, at), (_, _, y) in zip(places, sorted(named, key=lambda one: one[2]), strict=True):
        axes.annotate(name, (x, y), (x * 1.12 + 0.006, at - 0.012), fontsize=7)
    axes.annotate(
        f"{len(alike) - 2} learners of the layer, cloud-only, the best split", (0.05, 1.05), fontsize=8
    )
    axes.set_xlim(-0.02, 150)
    axes.axhline(1.0, color="#999999", linewidth=0.8)
    axes.set_xscale("symlog", linthresh=0.1)
    axes.set_xlabel("answers that differ from the last exit's, %")
    axes.set_ylabel("cost over that of the best split in hindsight")
    figure.savefig(out, dpi=100, metadata={"Software": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--out", type=Path, default=HERE / "results")
    given = parser.parse_args()
    rows = loaded(given.files or sorted((HERE / "results").glob("field*.parquet")))
    table, streams = summary(rows), by_stream(rows)
    table.round(4).to_csv(given.out / "field.csv")
    streams.round(4).to_csv(given.out / "field_streams.csv")
    draw(table, FIGURE)
    print(table.round(2).to_string())
    print(streams.round(2).to_string())


if __name__ == "__main__":
    main()
