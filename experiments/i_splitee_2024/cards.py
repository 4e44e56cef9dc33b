"""Write a card beside each bundled trace of images.

python experiments/i_splitee_2024/cards.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

import splitee
from splitee._internal.files import write_text
from splitee.data.distortions import Distortion
from splitee.trace.croissant import data_set, weights
from splitee.trace.reliability import expected_calibration_error

DATA = Path(splitee.__file__).parent / "data"
TRAINED = {
    True: "frozen, its exits fitted to the features",
    False: "all layers trained jointly on random crops",
}
WHAT = {
    "clean": "not distorted (JPEG of quality 90 at 128 × 128)",
    "blur": "a Gaussian blur of σ = {:g} pixels at 128 × 128",
    "noise": "Gaussian noise of σ = {:g}/255 at 128 × 128",
    "jpeg": "JPEG of quality {:g} at 128 × 128",
}


def card(name: str) -> str:
    trace = splitee.load_trace(name)
    told = trace.manifest
    names = told["data"]["distortion"]["names"]
    states, flops = told["hidden_state_bytes"]["by_exit_shape"], told["flops"]["image"]
    seed = told["data"]["distortion"]["seed"]
    if isinstance(names, list):
        images = (
            "505 of the training images of Caltech-101, five per class, held out, each under the distortions "
            f"{', '.join(names)} (seed {seed}; the group names it): the source of rules for a stream that mixes them."
        )
    elif name.endswith("_validation"):
        images = "505 of the training images of Caltech-101, five per class, held out: α is chosen on them."
    else:
        known = Distortion.named(names)
        images = (
            f"{trace.samples:,} test images of Caltech-101 (Fei-Fei, Fergus, Perona 2004; {data_set(trace).licence}), 101 classes without "
            f"the background class: {WHAT[known.kind].format(known.amount)}, seed {seed}."
        )
    poolings = ", ".join(
        f"{pooling} ({layer})" for layer, pooling in zip(trace.exit_layers, told["pooling"], strict=True)
    )
    lines = [
        f"# {name}",
        "",
        images,
        "",
        f"- **Model**: EfficientNet-Lite0 (ImageNet weights, {weights(trace)[0].licence}), {TRAINED[told['training'].get('frozen', False)]} "
        "of 2,409 clean images, up to 25 per class; linear exits after blocks 3, 5, 8, 11, 12 and 15 and the head. What they read, by "
        f"stage: {poolings}.",
        f"- **Threshold**: α = {told['recommended_threshold']['value']:g} by the rule "
        f"{told['recommended_threshold']['rule']} on 505 clean held-out images.",
        f"- **Context**: sharpness {np.median(trace.sharpness):,.0f} and noise {np.median(trace.noise):.2f} in the median.",
        f"- **Input**: {trace.input_bytes.mean():,.0f} bytes per image on average ({trace.input_bytes.min():,} to "
        f"{trace.input_bytes.max():,}); every file is reproduced to the byte by its seed and Pillow's encoder.",
        f"- **FLOPs per image**: {sum(flops['layers']) / 1e6:.0f} M in stages ({told['flops']['counter']}).",
        f"- **Licence**: only confidences, predictions, labels and sizes are here, no image. Content SHA-256 `{trace.fingerprint[:16]}…`.",
        "",
        "| exit | stage | accuracy % | mean confidence | calibration error | state | KB in float16 | KB in int8 |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    right = trace.prediction == trace.label[:, None]
    for i, accuracy in enumerate(trace.accuracy_per_exit()):
        positions, width = states[i]
        error = expected_calibration_error(trace.confidence[:, i], right[:, i])
        sizes = 2 * positions * width / 1e3, positions * (width + 4) / 1e3
        lines.append(
            f"| {i + 1} | {trace.exit_layers[i]} | {100 * accuracy:.2f} | {trace.confidence[:, i].mean():.3f} | {error:.3f} | "
            f"{positions} × {width} | {sizes[0]:.1f} | {sizes[1]:.1f} |"
        )
    lines += ["", "Made by `experiments/i_splitee_2024/traces.py`; this card by `cards.py` beside it.", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    for name in splitee.bundled_traces():
        if name.startswith("caltech101"):
            write_text(DATA / f"{name}.md", card(name), overwrite=True)
            print(f"wrote {name}.md")
