"""The images of the real run: Caltech-101's training images, in two parts, and random crops of them."""

from __future__ import annotations

import hashlib
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL.Image import Resampling

from splitee.data.distortions import QUALITY, SIZE
from splitee.data.images import Images, load_images
from splitee.data.pictures import read_picture

HELD_OUT = 5  # images per class that choose poolings, decays, the best epoch and α
SEED = 0
SIDES = 0.7, 1.0  # of a crop, as a share of the image's


def training_images(data: Path) -> tuple[Images, Images]:
    """Return at most 25 images per class to train on, and 5 per class held out, as they are."""
    images = load_images(data / "caltech101" / "train.parquet")
    rng, held = np.random.default_rng(SEED), np.zeros(len(images), dtype=bool)
    for label in range(len(images.label_names)):
        rows = np.flatnonzero(images.label == label)
        held[rng.permutation(rows)[:HELD_OUT]] = True
    return (
        _part(images.take(np.flatnonzero(~held)), "train", "without the held-out images"),
        _part(images.take(np.flatnonzero(held)), "validation", "held out"),
    )


def test_images(data: Path) -> Images:
    """Return the test images, as they are."""
    images = load_images(data / "caltech101" / "test.parquet")
    return _part(images, "test", "all")


def _part(images: Images, split: str, part: str) -> Images:
    told = {"task": "caltech101", "split": split, "part": part, "sha256": images.fingerprint}
    return replace(images, identity=images.identity | told)


def cropped(images: Images, copies: int) -> Images:
    """Return every image whole, and so many random crops of it, all as files of 128 × 128 pixels.

    A crop has 70 to 100 % of each side, drawn apart, so that shapes are stretched a little too.
    """
    whole = images.distorted("clean", seed=SEED)
    every, ids = list(whole.data), list(whole.id)
    for copy in range(1, copies + 1):
        every += [_crop(one, copy) for one in images.data]
        ids += [f"{one}/crop{copy}" for one in images.id]
    rows = np.tile(np.arange(len(images)), 1 + copies)
    made = replace(whole, data=every, id=ids, label=images.label[rows])
    return replace(made, identity=whole.identity | {"crops": copies, "sha256": made.fingerprint})


def _crop(data: bytes, copy: int) -> bytes:
    key = int.from_bytes(hashlib.sha256(data).digest()[:16], "little")
    rng, image = np.random.default_rng([SEED, copy, key]), read_picture(data)
    sides = np.array(image.size) * rng.uniform(*SIDES, size=2)
    corner = (np.array(image.size) - sides) * rng.random(2)
    box = (*corner, *(corner + sides))
    file = io.BytesIO()
    image.resize((SIZE, SIZE), Resampling.BICUBIC, box=box).save(file, "JPEG", quality=QUALITY)
    return file.getvalue()
