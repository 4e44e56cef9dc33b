"""The real run: the traces of ten streams of Caltech-101's test images, by a network of train.py.

    python experiments/i_splitee_2024/traces.py --data-root DATA [--work WORK] [--network frozen] [--only NAMES] [--bundle]

WORK holds the networks of train.py, and receives finished traces. `--bundle` copies them into the package, with those of
the held-out images: clean, on which α was chosen, and under four distortions of another seed (the mixed source). An
interrupted run continues where it stopped; on two idle cores each stream takes half a minute. `--again NAME` makes one
trace a second time, and compares the files' SHA-256.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import network  # registers the stages  # noqa: F401
import pandas as pd
from levels import LEVELS, MIXED, SOURCE, trace_name
from photographs import SEED, test_images, training_images
from train import NETWORKS, WORK

import splitee
from splitee._internal.checksums import file_sha256
from splitee.data.distortions import SIZE
from splitee.data.images import Images
from splitee.models.inputs import ImageInputs
from splitee.models.multi_exit import load_checkpoint
from splitee.models.precompute import PrecomputeOptions, compute_trace, precompute

sys.path.append(str(Path(__file__).parents[1]))

from writing import write_csv

BUNDLED = Path(splitee.__file__).parent / "data"
RESULTS = Path(__file__).parent / "results"
VALIDATION = "caltech101_validation"
OTHER_SEED = 1


def validation(checkpoint: Path) -> splitee.Trace:
    """Return the trace of the held-out images that train.py has left with the network."""
    trace = splitee.load_trace(checkpoint / "validation.parquet")
    return trace.replace(name=VALIDATION, text_hash=None, logits=None)


def mixed_source(checkpoint: Path, held: Images) -> splitee.Trace:
    """Return the trace of every held-out image under each of MIXED, whose names are the groups."""
    model = load_checkpoint(checkpoint)
    inputs, parts = ImageInputs(model.config), []
    for level in MIXED:
        stream = replace(held.distorted(level, seed=OTHER_SEED), name=level)
        parts.append(compute_trace(model, inputs, stream, PrecomputeOptions(logits=False)))
    joined = splitee.concatenate(parts, SOURCE)
    told = held.identity | {"distortion": {"names": list(MIXED), "seed": OTHER_SEED, "size": SIZE}}
    return joined.replace(manifest=parts[0].manifest | {"data": told}, text_hash=None)


def main() -> None:
    given = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given.add_argument("--data-root", type=Path, required=True)
    given.add_argument("--work", type=Path, default=WORK)
    given.add_argument("--network", choices=NETWORKS, default="frozen")
    given.add_argument("--only", default=",".join(LEVELS), help="levels, separated by commas")
    given.add_argument("--again", metavar="NAME", help="a level to be made twice")
    given.add_argument("--bundle", action="store_true", help="copy the traces into the package")
    asked = given.parse_args()
    checkpoint, folder = asked.work / asked.network, asked.work / f"traces-{asked.network}"
    folder.mkdir(parents=True, exist_ok=True)
    test = test_images(asked.data_root)

    def make(level: str, out: Path) -> Path:
        if not out.exists():
            options = PrecomputeOptions(logits=False)
            trace = precompute(
                checkpoint, test.distorted(level, seed=SEED), out, options, name=trace_name(level)
            )
            print(out.stem, (100 * trace.accuracy_per_exit()).round(2), flush=True)
        return out

    made = {level: make(level, folder / f"{trace_name(level)}.parquet") for level in asked.only.split(",")}
    if asked.again:
        second = make(asked.again, folder / f"again_{asked.again}.parquet")
        same = file_sha256(second) == file_sha256(folder / f"{trace_name(asked.again)}.parquet")
        print(f"{asked.again} made twice: {'the same file' if same else 'ANOTHER FILE'}")
        second.unlink()
    rows = []
    for level, file in made.items():
        trace = splitee.load_trace(file)
        for layer, right in zip(trace.exit_layers, trace.accuracy_per_exit(), strict=True):
            rows.append({"network": asked.network, "level": level, "exit": layer, "accuracy": 100 * right})
    table, out = pd.DataFrame(rows), RESULTS / "accuracy.csv"
    if out.exists():
        kept = pd.read_csv(out)
        table = pd.concat([kept[kept["network"] != asked.network], table])
    write_csv(table.sort_values("network", kind="stable"), out)
    if asked.bundle:
        for file in made.values():
            shutil.copy(file, BUNDLED / file.name)
        for trace in (validation(checkpoint), mixed_source(checkpoint, training_images(asked.data_root)[1])):
            trace.save(BUNDLED / f"{trace.name}.parquet", overwrite=True)


if __name__ == "__main__":
    main()
