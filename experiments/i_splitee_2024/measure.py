"""Measure the network's stages on this machine at batch 1, and write a device profile.

    python experiments/i_splitee_2024/measure.py NETWORK --data-root DATA [--images 30] [--passes 5]

Every pass is early-exit inference itself in which no exit is sure. Steps are timed by the CPU time of the one thread that
computes, so that other work on the machine does not count as this network's; what is written are medians. "Tokenising" is
decoding and resizing the image.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import network  # noqa: F401  # registers the stages
import numpy as np
import torch
from photographs import test_images

from splitee.models.early_exit import infer
from splitee.models.inputs import ImageInputs
from splitee.models.multi_exit import load_checkpoint
from splitee.policies.rules import Confidence
from splitee.system.machine import describe_machine
from splitee.system.profile import DeviceProfile


def main() -> None:
    given = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given.add_argument("checkpoint", type=Path)
    given.add_argument("--data-root", type=Path, required=True)
    given.add_argument("--images", type=int, default=30)
    given.add_argument("--passes", type=int, default=5)
    given.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "device.json")
    asked = given.parse_args()
    torch.set_num_threads(1)
    model = load_checkpoint(asked.checkpoint)
    inputs = ImageInputs(model.config)
    test = test_images(asked.data_root)
    spread = np.linspace(0, len(test) - 1, asked.images).astype(int)
    encoded = inputs.encode(test.take(spread).distorted("clean"))
    never, steps = Confidence(1.0), []
    for turn in range(asked.passes + 1):
        for one in encoded:
            at = [time.thread_time()]
            batch = inputs.batch([one])
            at.append(time.thread_time())
            infer(model, batch, never, mark=lambda at=at: at.append(time.thread_time()))
            if turn and len(at) == 2 + 2 * len(model.exits):  # an exit of confidence 1 ends a pass
                steps.append(np.diff(at))
    low, middle, high = (1e3 * np.percentile(steps, q, axis=0) for q in (25, 50, 75))
    machine = describe_machine()
    profile = DeviceProfile(
        layer_ms=np.round(middle[1::2], 4),
        exit_ms=np.round(middle[2::2], 4),
        tokenize_ms=round(float(middle[0]), 4),
        name="efficientnet_lite0_1_thread",
        kind="measured",
        source=f"experiments/i_splitee_2024/measure.py on {machine['processor']}, 1 thread, batch 1",
        facts={
            "machine": machine,
            "passes": len(steps),
            "clock": "CPU time of the thread; the machine ran other work meanwhile",
            "quartiles": {"low": np.round(low, 4).tolist(), "high": np.round(high, 4).tolist()},
        },
    )
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    profile.save(asked.out, overwrite=True)
    print(f"wrote {asked.out}: {middle[1::2].round(2)} ms by stage, decoding {middle[0]:.2f} ms")


if __name__ == "__main__":
    main()
