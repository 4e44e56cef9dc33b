"""Train the two networks of the real run: exits on frozen features, and all layers jointly.

    python experiments/i_splitee_2024/train.py --data-root DATA --backbones BACKBONES [--work WORK]

DATA       holds caltech101/train.parquet and test.parquet (at most 30 training images per class, all 101 classes)
BACKBONES  holds efficientnet-lite0/model.pth
WORK       receives the checkpoints `frozen` and `joint` (default ~/.cache/splitee-images)

Both see 2,409 images, at most 25 per class. Joint training starts at the frozen network with its fitted exits, and keeps
the epoch whose last exit is best on the held-out images. The same command resumes an interrupted run. On two idle cores:
frozen 2 minutes, joint 10. results/networks.csv holds both networks' accuracy and cross entropy on the held-out images by
exit, results/joint.csv the joint network's accuracy after every epoch.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from exits import chosen
from network import EXITS, NAME, pretrained
from photographs import SEED, cropped, training_images
from torch.nn.functional import cross_entropy

from splitee._internal.folders import claimed_folder
from splitee.data.images import Images
from splitee.models.inputs import ImageInputs
from splitee.models.multi_exit import load_checkpoint
from splitee.models.precompute import compute_trace
from splitee.training.finetune import Recipe, finetune
from splitee.training.finishing import finish
from splitee.training.heads import fit_heads

sys.path.append(str(Path(__file__).parents[1]))

from writing import write_csv

RESULTS = Path(__file__).parent / "results"
WORK = Path.home() / ".cache" / "splitee-images"
NETWORKS = ("frozen", "joint")
CROPS = 2  # of every image, beside the whole
RECIPE = Recipe(epochs=3, patience=3, learning_rate=3e-5, weight_decay=0.01)


def train_frozen(rest: Images, held: Images, backbones: Path, out: Path) -> None:
    """Fit linear exits as exits.csv has chosen."""
    model, fits = pretrained(backbones, list(rest.label_names)), chosen()
    fit_heads(model, rest.distorted("clean", seed=SEED), fits, mirrored=False)
    told = [{"layer": fit.layer, "pooling": fit.pooling, "decay": fit.decay} for fit in fits]
    model.config.training = {"backbone": NAME, "frozen": True, "exits": told, "validation": held.identity}
    with claimed_folder(out) as work:
        finish(model, ImageInputs(model.config), held, RECIPE.alpha_rule, work, out, False, print)


def compare(held: Images, work: Path) -> pd.DataFrame:
    """Return accuracy and cross entropy of both networks on the held-out images, a row per exit."""
    rows = []
    for name in NETWORKS:
        model = load_checkpoint(work / name)
        trace = compute_trace(model, ImageInputs(model.config), held)
        logits = torch.from_numpy(trace.logits.astype(np.float32))
        losses = [float(cross_entropy(one, torch.from_numpy(held.label))) for one in logits.unbind(1)]
        for layer, right, loss in zip(trace.exit_layers, trace.accuracy_per_exit(), losses, strict=True):
            rows.append({"network": name, "exit": layer, "accuracy": 100 * right, "cross_entropy": loss})
    return pd.DataFrame(rows)


def main() -> None:
    given = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given.add_argument("--data-root", type=Path, required=True)
    given.add_argument("--backbones", type=Path, required=True)
    given.add_argument("--work", type=Path, default=WORK)
    asked = given.parse_args()
    asked.work.mkdir(parents=True, exist_ok=True)
    rest, held = training_images(asked.data_root)
    held = held.distorted("clean", seed=SEED)
    if not (asked.work / "frozen").exists():
        train_frozen(rest, held, asked.backbones, asked.work / "frozen")
    if not (asked.work / "joint").exists():
        start = load_checkpoint(asked.work / "frozen")
        finetune(
            start,
            cropped(rest, CROPS),
            held,
            asked.work / "joint",
            RECIPE,
            report=lambda s: print(s, flush=True),
        )
    told = load_checkpoint(asked.work / "joint").config.training["history"]
    epochs = [
        {"epoch": round(one["epoch"]), "exit": layer, "accuracy": 100 * right}
        for one in told
        for layer, right in zip(EXITS, one["accuracy"], strict=True)
    ]
    write_csv(pd.DataFrame(epochs), RESULTS / "joint.csv")
    table = compare(held, asked.work)
    write_csv(table, RESULTS / "networks.csv")
    print(table.pivot(index="exit", columns="network", values="accuracy").round(1).to_string())


if __name__ == "__main__":
    main()
