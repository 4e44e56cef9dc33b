"""How sharp and how noisy an image is: a context that costs a device next to nothing."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

_LUMA = np.array([0.299, 0.587, 0.114])  # of ITU-R BT.601, as in JPEG


def sharpness(pixels: NDArray[np.uint8]) -> float:
    """Return the variance of the image's Laplacian: low if it is blurred.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (height, width, channels)
        One channel or three. Of fewer than 3 × 3 pixels: 0.

    References
    ----------
    Pech-Pacheco et al. (2000): Diatom autofocusing in brightfield microscopy: a comparative study. The
    Laplacian is that of four neighbours, on the luma in steps of 255, without the border.

    Examples
    --------
    >>> edge = np.zeros((8, 8, 3), dtype=np.uint8)
    >>> edge[:, 4:] = 255
    >>> sharpness(edge), sharpness(np.full((8, 8, 3), 90, dtype=np.uint8))
    (21675.0, 0.0)
    """
    if min(pixels.shape[:2]) < 3:
        return 0.0
    grey = _luma(pixels)
    laplacian = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * grey[1:-1, 1:-1]
    return float(laplacian.var())


def noise(pixels: NDArray[np.uint8]) -> float:
    """Return an estimate of the standard deviation of Gaussian noise, in steps of 255.

    It is the mean absolute value of the difference of two Laplacians, which flat and slanted places do not
    change, times a constant. Fine texture counts as noise.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (height, width, channels)
        One channel or three. Of fewer than 3 × 3 pixels: 0. Of three, the luma is measured, in which noise
        that is independent by channel has 0.67 times its deviation.

    References
    ----------
    Immerkær (1996): Fast noise variance estimation. Computer Vision and Image Understanding 64 (2).

    Examples
    --------
    >>> drawn = 128 + 10 * np.random.default_rng(0).standard_normal((128, 128, 1))
    >>> round(noise(np.rint(drawn).astype(np.uint8)))
    10
    """
    if min(pixels.shape[:2]) < 3:
        return 0.0
    grey = _luma(pixels)
    down = grey[:-2] - 2 * grey[1:-1] + grey[2:]
    mask = down[:, :-2] - 2 * down[:, 1:-1] + down[:, 2:]
    return math.sqrt(math.pi / 2) / 6 * float(np.abs(mask).mean())


def _luma(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    values = pixels.astype(np.float64)
    grey: NDArray[np.float64] = values @ _LUMA if values.shape[2] == 3 else values[..., 0]
    return grey
