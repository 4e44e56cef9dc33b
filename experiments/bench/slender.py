"""Traces of two models: the bundled slender encoder on the device, the 12-layer encoder in the cloud.

    python experiments/bench/slender.py --data-root DATA [--work WORK] [--bundle]

DATA  holds sst2/validation.parquet, yelp_sentences/validation.parquet and imdb/test.parquet, the texts that the bundled
      traces of the 12-layer encoder were read from; other texts are refused
WORK  receives finished traces (default ~/.cache/splitee-bench); --bundle copies them into the package, with their cards

An interrupted run continues where it stopped. On one thread of a server's processor: 2 minutes.
"""

from __future__ import annotations

import argparse
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from cards import write_cards

import splitee
from splitee._internal.errors import InputError
from splitee.data.tasks import Rows, load_task, map_labels
from splitee.models.checkpoints import BUNDLED
from splitee.models.multi_exit import load_config
from splitee.models.precompute import precompute
from splitee.trace import Trace

PACKAGE = Path(splitee.__file__).parent / "data"
READ = {  # the bundled trace of the cloud's model: the task and split that it was read from
    "sst2_validation": ("sst2", "validation"),
    "yelp_sentences": ("yelp_sentences", "validation"),
    "imdb": ("imdb", "test"),
}
MOST = 5000  # samples per trace
SEED = 0


def drawn(cloud: Trace, data_root: Path) -> tuple[Rows, Trace]:
    """Return the same at most `MOST` samples of the texts and of the cloud's trace, in their order."""
    rows = load_task(*READ[cloud.name], data_root)
    if rows.fingerprint != cloud.manifest["data"]["sha256"] or rows.id != cloud.id.tolist():
        raise InputError(f"{rows.name}: its texts or labels are not those that {cloud.name} was read from")
    if len(rows) <= MOST:
        return rows, cloud
    chosen = np.sort(np.random.default_rng(SEED).permutation(len(rows))[:MOST])
    part = rows.take(chosen)
    draw = {"drawn": MOST, "drawn_from": len(rows), "seed": SEED}
    return replace(part, identity={**rows.identity, **draw, "sha256": part.fingerprint}), cloud[chosen]


def join(cloud_name: str, data_root: Path, work: Path) -> Path:
    """Run the device's model over the cloud's samples, add the cloud's answers, and return the file."""
    out = work / f"slender_{cloud_name}.parquet"
    if out.exists():
        return out
    rows, cloud = drawn(splitee.load_trace(cloud_name), data_root)
    rows = map_labels(rows, load_config(BUNDLED).class_names, {})
    alone = work / f"{out.stem}_alone.parquet"
    device = splitee.load_trace(alone) if alone.exists() else precompute(BUNDLED, rows, alone, name=out.stem)
    joined = splitee.with_cloud(device.replace(text_hash=None), cloud)
    joined.save(out)
    accuracy = (100 * joined.accuracy_per_exit()).round(2)
    far = 100 * (joined.cloud_prediction == joined.label).mean()
    print(f"{out.stem}: {joined.samples} samples, exits {accuracy} %, cloud {far:.2f} %", flush=True)
    return out


def main() -> None:
    given = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given.add_argument("--data-root", type=Path, required=True)
    given.add_argument("--work", type=Path, default=Path.home() / ".cache" / "splitee-bench")
    given.add_argument("--bundle", action="store_true", help="copy the traces into the package")
    asked = given.parse_args()
    asked.work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)  # the same bytes on every machine with such a processor
    files = [join(name, asked.data_root, asked.work) for name in READ]
    if asked.bundle:
        for file in files:
            shutil.copyfile(file, PACKAGE / file.name)
        write_cards()


if __name__ == "__main__":
    main()
