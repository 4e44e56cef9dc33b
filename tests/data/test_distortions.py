"""Distortions: to the byte from seeds, each what its name says by an independent computation."""

import io

import numpy as np
import photos
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from splitee._internal.errors import InputError
from splitee.data.distortions import LEVELS, Distortion, draw

NAMES = ["clean", *(f"{kind}{level}" for kind in LEVELS for level in (1, 2, 3))]
DATA = photos.photo(5, (96, 96))


def decoded(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), dtype=np.float64)


def applied(name: str, image: np.ndarray, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.asarray(Distortion.named(name).apply(Image.fromarray(image), rng), dtype=np.float64)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_bytes(name: str) -> None:
    known = Distortion.named(name)
    assert known.name == name
    first = known.file(DATA, seed=3, size=64)
    assert first == known.file(DATA, seed=3, size=64)
    assert decoded(first).shape == (64, 64, 3)
    assert (first != known.file(DATA, seed=4, size=64)) == (known.kind == "noise")


@pytest.mark.parametrize("kind", LEVELS)
def test_levels_rise(kind: str) -> None:
    clean = decoded(Distortion().file(DATA, size=64))
    apart = [np.abs(decoded(Distortion(kind, k).file(DATA, size=64)) - clean).mean() for k in (1, 2, 3)]
    assert 0 < apart[0] < apart[1] < apart[2]


def test_noise_has_its_standard_deviation() -> None:
    grey = np.full((64, 64, 3), 128, dtype=np.uint8)
    for level, sigma in enumerate(LEVELS["noise"][:2], 1):
        noise = applied(f"noise{level}", grey) - 128
        assert noise.std() == pytest.approx(sigma, rel=0.05)
        assert abs(noise.mean()) < sigma / 20


def test_blur_is_gaussian() -> None:
    image = np.asarray(Image.open(io.BytesIO(DATA)).convert("RGB"))
    for level, sigma in enumerate(LEVELS["blur"], 1):
        theirs = gaussian_filter(image.astype(float), (sigma, sigma, 0), mode="nearest")
        assert np.abs(applied(f"blur{level}", image) - theirs)[8:-8, 8:-8].mean() < 1.0


def test_brightness_and_resolution() -> None:
    image = np.asarray(Image.open(io.BytesIO(DATA)).convert("RGB"))
    assert np.abs(applied("brightness1", image) - 0.6 * image).max() <= 0.5 + 1e-9
    board = np.indices((64, 64)).sum(0)[..., None] % 2 * np.full(3, 255)  # a chess board of pixels
    flat = applied("resolution1", board.astype(np.uint8))
    assert flat.std() < 0.2 * board.std()


def test_jpeg_quality_is_that_of_pillow() -> None:
    image = Image.open(io.BytesIO(DATA)).convert("RGB")
    file = io.BytesIO()
    image.save(file, "JPEG", quality=15)
    assert Distortion("jpeg", 2).file(DATA, size=96) == file.getvalue()


def test_a_draw_is_fixed_by_its_seed() -> None:
    names = draw(["clean", "blur1", "noise3"], 900, seed=1)
    assert names == draw(["clean", "blur1", "noise3"], 900, seed=1)
    assert all(250 < names.count(name) < 350 for name in set(names))


@pytest.mark.parametrize("name", ["blur", "blur0", "blur4", "blurr2", "clean1", "", "2", "blur2222", "blur²"])
def test_unknown_names(name: str) -> None:
    with pytest.raises(InputError, match="distortion"):
        Distortion.named(name)


def test_an_empty_mixture() -> None:
    with pytest.raises(InputError, match="at least one"):
        draw([], 3, 0)
