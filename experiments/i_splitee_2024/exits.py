"""Try poolings and weight decays for every exit on frozen features; the held-out images judge.

    python experiments/i_splitee_2024/exits.py --data-root DATA --backbones BACKBONES

Writes results/exits.csv: accuracy and cross entropy of every trial on the 505 held-out images, and which is chosen.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pandas as pd
from network import pretrained
from photographs import SEED, training_images

from splitee.training.heads import HeadFit, try_heads

sys.path.append(str(Path(__file__).parents[1]))

from writing import write_csv

FILE = Path(__file__).parent / "results" / "exits.csv"
POOLINGS = ("avg", "avg+max", "grid2", "grid2+max", "grid", "grid+max")
DECAYS = (1e-5, 1e-4, 1e-3)


def chosen() -> list[HeadFit]:
    """Return the fit of every exit that is marked in exits.csv."""
    table = pd.read_csv(FILE)
    table = table[table["chosen"]]
    names = ("layer", "pooling", "decay", "accuracy", "loss")
    return [HeadFit(**{name: row[name] for name in names}) for row in table.to_dict("records")]


def main() -> None:
    given = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given.add_argument("--data-root", type=Path, required=True)
    given.add_argument("--backbones", type=Path, required=True)
    asked = given.parse_args()
    rest, held = (part.distorted("clean", seed=SEED) for part in training_images(asked.data_root))
    model = pretrained(asked.backbones, list(rest.label_names))
    rows = []
    for mirrored, poolings, decays in ((False, POOLINGS, DECAYS), (True, ("avg", "grid2"), (1e-4,))):
        for fit, *_ in try_heads(
            model, rest, held, poolings=poolings, decays=decays, most_features=2**14, mirrored=mirrored
        ):
            rows.append({**vars(fit), "mirrored": mirrored})
            print(rows[-1], flush=True)
    table = pd.DataFrame(rows)
    best = table[~table["mirrored"]].groupby("layer")["loss"].idxmin()
    table["chosen"] = table.index.isin(best)
    write_csv(table, FILE)


if __name__ == "__main__":
    main()
