"""What codecs do to the answers: a split's state is written, read and continued on the network itself.

    python experiments/i_splitee_2024/int8.py --data-root DATA [--work WORK] [--network frozen] [--images 200]

For each of the ten streams the first of the drawn images run to every exit; the state there is encoded and decoded as a
device and a cloud would, and the rest of the network gives the last exit's answer. results/int8.csv counts the answers that
differ from those of the exact state, and how many are right.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import network  # registers the stages  # noqa: F401
import numpy as np
import pandas as pd
import torch
from levels import LEVELS
from photographs import SEED, test_images
from torch import Tensor
from train import NETWORKS, WORK

from splitee.models.inputs import ImageInputs
from splitee.models.multi_exit import load_checkpoint
from splitee.models.network import State, as_rows
from splitee.system.codec import decode, encode

sys.path.append(str(Path(__file__).parents[1]))

from writing import write_csv

BATCH = 32


def sent(hidden: Tensor, codec: str) -> Tensor:
    """Return maps as the cloud reads them; int8 has one scale per position."""
    rows = as_rows(hidden)
    width = rows.shape[-1]
    there = decode(codec, encode(codec, rows.reshape(-1, width).numpy()), width)
    return torch.from_numpy(there).reshape(rows.shape).transpose(1, 2).reshape(hidden.shape)


def main() -> None:
    given = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given.add_argument("--data-root", type=Path, required=True)
    given.add_argument("--work", type=Path, default=WORK)
    given.add_argument("--network", choices=NETWORKS, default="frozen")
    given.add_argument("--images", type=int, default=200)
    asked = given.parse_args()
    model = load_checkpoint(asked.work / asked.network)
    inputs, test = ImageInputs(model.config), test_images(asked.data_root)
    drawn = np.random.default_rng(0).permutation(len(test))[: asked.images]
    last, rows = model.exits[-1], []
    for level in LEVELS:
        stream = test.take(drawn).distorted(level, seed=SEED)
        encoded, exact = inputs.encode(stream), []
        answers: dict[tuple[int, str], list[Tensor]] = {}
        for start in range(0, len(encoded), BATCH):
            with torch.inference_mode():
                cut = model.start(**inputs.batch(encoded[start : start + BATCH]))
                for layer in model.exits[:-1]:
                    cut = model.run_layers(cut, layer)
                    for codec in ("float16", "int8"):
                        there = model.run_layers(State(sent(cut.hidden, codec), layer), last)
                        answers.setdefault((layer, codec), []).append(model.exit_logits(there).argmax(1))
                exact.append(model.exit_logits(model.run_layers(cut, last)).argmax(1))
        own = torch.cat(exact).numpy()
        for (layer, codec), found in answers.items():
            answer = torch.cat(found).numpy()
            rows.append(
                {
                    "level": level,
                    "split": layer,
                    "codec": codec,
                    "images": len(own),
                    "changed": int((answer != own).sum()),
                    "accuracy": 100 * (answer == stream.label).mean(),
                    "accuracy_exact": 100 * (own == stream.label).mean(),
                }
            )
        print(level, [row["changed"] for row in rows[-12:] if row["codec"] == "int8"], flush=True)
    write_csv(pd.DataFrame(rows), Path(__file__).parent / "results" / "int8.csv")


if __name__ == "__main__":
    main()
