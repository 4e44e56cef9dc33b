"""Replay's cascade against early exit on the real network, for every distortion.

    python experiments/i_splitee_2024/check.py NETWORK --data-root DATA [--images 300]

NETWORK is the folder of the network whose traces are bundled, such as ~/.cache/splitee-images/frozen.

For each of the ten streams the first images run through `infer` with the rule C ≥ α at three values of α; exits and answers
are compared with those of the cascade on the bundled trace. An exit may differ where a confidence lies within 1e-4 of α.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import network  # registers the stages  # noqa: F401
import numpy as np
import pandas as pd
from levels import LEVELS, trace_of
from photographs import test_images

import splitee
from splitee.models.early_exit import infer
from splitee.models.inputs import ImageInputs
from splitee.models.multi_exit import load_checkpoint
from splitee.policies.rules import Confidence

HERE = Path(__file__).parent
ALPHAS, BATCH, CLOSE = (0.5, 0.8, 0.95), 32, 1e-4


def main() -> None:
    given = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given.add_argument("checkpoint", type=Path)
    given.add_argument("--data-root", type=Path, required=True)
    given.add_argument("--images", type=int, default=300)
    asked = given.parse_args()
    model = load_checkpoint(asked.checkpoint)
    inputs = ImageInputs(model.config)
    test = test_images(asked.data_root)
    drawn = np.random.default_rng(0).permutation(len(test))[: asked.images]
    rows = []
    for level in LEVELS:
        stream, trace = test.distorted(level, seed=0).take(drawn), trace_of(level).select(drawn)
        encoded = inputs.encode(stream)
        for alpha in ALPHAS:
            exits, answers = [], []
            for start in range(0, len(stream), BATCH):
                done = infer(model, inputs.batch(encoded[start : start + BATCH]), Confidence(alpha))
                exits.append(done.exit)
                answers.append(done.prediction)
            result = splitee.replay(
                trace, splitee.ElasticBERT(threshold=alpha), orders=[range(trace.samples)]
            )
            places = result.split[0]
            same = np.concatenate(exits) == places
            close = (np.abs(trace.confidence - np.float32(alpha)) < CLOSE).any(axis=1)
            rows.append(
                {
                    "level": level,
                    "alpha": alpha,
                    "images": len(same),
                    "same_exit": int(same.sum()),
                    "close_to_alpha": int((~same & close).sum()),
                    "same_answer": int(
                        (np.concatenate(answers) == trace.prediction[np.arange(len(same)), places - 1]).sum()
                    ),
                }
            )
        print(rows[-1], flush=True)
    pd.DataFrame(rows).to_csv(HERE / "results" / "check.csv", index=False)


if __name__ == "__main__":
    main()
