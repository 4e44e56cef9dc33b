"""The real run: exits fitted on Caltech-101, and the traces of ten streams of its test images.

    python experiments/i_splitee_2024/traces.py --data-root DATA --backbones BACKBONES [--work WORK] [--only NAMES]

DATA       holds caltech101/train.parquet and test.parquet (30 training images a class, all 101 classes)
BACKBONES  holds efficientnet-lite0/model.pth
WORK       receives the checkpoint and finished traces (default ~/.cache/splitee-images)

An interrupted run continues where it stopped. On two idle cores: exits 10 minutes, each stream half a minute.
"""

from __future__ import annotations

import argparse
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
from network import NAME, pretrained

import splitee
from splitee.data.images import Images, load_images
from splitee.models.inputs import ImageInputs
from splitee.models.precompute import PrecomputeOptions, compute_trace, precompute
from splitee.trace.threshold import recommend_threshold
from splitee.training.finishing import write_checkpoint
from splitee.training.heads import HeadFit, fit_heads

BUNDLED = Path(splitee.__file__).parent / "data"
HELD_OUT = 5  # images per class that choose the decay of every exit, and α
SEED = 0
# Pooling and weight decay of every exit, by the cross entropy on the held-out images in trials of "avg+max" (decays 1e-5
# to 1e-2) and "grid+max" (README); the head's 9 fields would be 12,800 features, and were not tried.
CHOSEN = {
    3: ("grid+max", 1e-3),
    5: ("grid+max", 1e-3),
    8: ("grid+max", 1e-4),
    11: ("grid+max", 1e-4),
    12: ("grid+max", 1e-4),
    15: ("grid+max", 1e-4),
    17: ("avg+max", 3e-4),
}
LEVELS = ["clean", *(f"{kind}{level}" for kind in ("blur", "noise", "jpeg") for level in (1, 2, 3))]


def trace_name(level: str) -> str:
    return "caltech101" if level == "clean" else f"caltech101_{level}"


def hold_out(images: Images) -> tuple[Images, Images]:
    """Return the images without and with HELD_OUT drawn of each class."""
    rng, held = np.random.default_rng(SEED), np.zeros(len(images), dtype=bool)
    for label in range(len(images.label_names)):
        rows = np.flatnonzero(images.label == label)
        held[rng.permutation(rows)[:HELD_OUT]] = True
    rest, part = images.take(np.flatnonzero(~held)), images.take(np.flatnonzero(held))
    return (
        replace(rest, identity={**images.identity, "part": "rest", "sha256": rest.fingerprint}),
        replace(part, identity={**images.identity, "split": "validation", "sha256": part.fingerprint}),
    )


def train(data: Path, backbones: Path, out: Path) -> None:
    """Fit the exits, and write the checkpoint and the trace of the held-out images."""
    images = load_images(data / "caltech101" / "train.parquet").distorted("clean", seed=SEED)
    rest, held = hold_out(images)
    model = pretrained(backbones, list(images.label_names))
    fits = [HeadFit(layer, pooling, decay, math.nan, math.nan) for layer, (pooling, decay) in CHOSEN.items()]
    fit_heads(model, rest, fits, mirrored=False)
    print("exits fitted without the held-out images", flush=True)
    model.config.training = {
        "backbone": NAME,
        "frozen": True,
        "exits": [{"layer": fit.layer, "pooling": fit.pooling, "decay": fit.decay} for fit in fits],
        "train": images.identity | {"task": "caltech101", "split": "train", "rows": len(images)},
        "validation": held.identity | {"rows": len(held)},
    }
    # α is chosen by exits that have not seen the held-out images; the exits are then fitted to all of them
    inputs = ImageInputs(model.config)
    trace = compute_trace(model, inputs, held, PrecomputeOptions(logits=False))
    chosen = recommend_threshold(trace, "within:0.5").to_dict()
    model.config.recommended_threshold = chosen
    name = "caltech101_validation"
    trace = trace.replace(
        name=name, manifest=trace.manifest | {"recommended_threshold": chosen}, text_hash=None
    )
    trace.save(out.parent / f"{name}.parquet", overwrite=True)
    print("validation accuracy by exit, %", (100 * trace.accuracy_per_exit()).round(1), "α", chosen["value"])
    fit_heads(model, images, fits, mirrored=False)
    write_checkpoint(model, inputs, out, overwrite=True)


def main() -> None:
    given = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given.add_argument("--data-root", type=Path, required=True)
    given.add_argument("--backbones", type=Path, required=True)
    given.add_argument("--work", type=Path, default=Path.home() / ".cache" / "splitee-images")
    given.add_argument("--only", default=",".join(LEVELS), help="levels, separated by commas")
    given.add_argument("--bundle", action="store_true", help="copy the traces into the package")
    asked = given.parse_args()
    asked.work.mkdir(parents=True, exist_ok=True)
    checkpoint = asked.work / "caltech101-lite0"
    if not checkpoint.exists():
        train(asked.data_root, asked.backbones, checkpoint)
    test = load_images(asked.data_root / "caltech101" / "test.parquet")
    for level in asked.only.split(","):
        out = asked.work / f"{trace_name(level)}.parquet"
        if not out.exists():
            stream = test.distorted(level, seed=SEED)
            stream = replace(stream, identity=stream.identity | {"task": "caltech101", "split": "test"})
            trace = precompute(checkpoint, stream, out, PrecomputeOptions(logits=False), name=out.stem)
            print(out.stem, (100 * trace.accuracy_per_exit()).round(2), flush=True)
    if asked.bundle:
        for file in [asked.work / f"{trace_name(level)}.parquet" for level in LEVELS]:
            shutil.copy(file, BUNDLED / file.name)
        shutil.copy(asked.work / "caltech101_validation.parquet", BUNDLED)


if __name__ == "__main__":
    main()
