"""Sharpness and noise of images (`splitee.data.measures`) against other ways to compute them."""

import numpy as np
import pytest
from PIL import Image, ImageFilter

from splitee.data.measures import noise, sharpness

RNG = np.random.default_rng(0)


def correlated(grey: np.ndarray, mask: list[list[int]]) -> np.ndarray:
    """Slide a 3 × 3 mask over an image, place by place."""
    height, width = grey.shape
    return np.array(
        [[(grey[i : i + 3, j : j + 3] * mask).sum() for j in range(width - 2)] for i in range(height - 2)]
    )


def test_against_masks() -> None:
    pixels = RNG.integers(0, 256, (9, 7, 3), dtype=np.uint8)
    grey = pixels @ np.array([0.299, 0.587, 0.114])
    laplacian = correlated(grey, [[0, 1, 0], [1, -4, 1], [0, 1, 0]])
    assert sharpness(pixels) == pytest.approx(laplacian.var())
    immerkaer = correlated(grey, [[1, -2, 1], [-2, 4, -2], [1, -2, 1]])
    assert noise(pixels) == pytest.approx(np.sqrt(np.pi / 2) * np.abs(immerkaer).sum() / (6 * 5 * 7))


@pytest.mark.parametrize("sigma", [5.0, 20.0, 40.0])
def test_noise_is_its_deviation(sigma: float) -> None:
    slope = np.add.outer(np.arange(128), np.arange(128))[..., None] / 4 + 96
    noisy = np.clip(np.rint(slope + sigma * RNG.standard_normal(slope.shape)), 0, 255).astype(np.uint8)
    assert noise(noisy) == pytest.approx(sigma, rel=0.1)


def test_blur_takes_sharpness() -> None:
    image = Image.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8))
    blurred = [np.asarray(image.filter(ImageFilter.GaussianBlur(radius))) for radius in (1, 2, 3)]
    values = [sharpness(np.asarray(image)), *map(sharpness, blurred)]
    assert values == sorted(values, reverse=True)


def test_one_channel_is_itself() -> None:
    grey = RNG.integers(0, 256, (12, 12, 1), dtype=np.uint8)
    colours = np.repeat(grey, 3, axis=2)
    assert sharpness(grey) == pytest.approx(sharpness(colours))
    assert noise(grey) == pytest.approx(noise(colours))


@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 9, 1)])
def test_too_small_to_measure(shape: tuple[int, ...]) -> None:
    assert sharpness(np.ones(shape, np.uint8)) == noise(np.ones(shape, np.uint8)) == 0.0
