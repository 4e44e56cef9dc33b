"""Read one image file: what it is, is checked before memory is taken, and a bad one is one clear line."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from splitee._internal.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

Data = bytes | Path  # an image file, in memory or on disk

MOST_PIXELS = 50_000_000  # of an image, some 150 MB when decoded
LEAST_SIDE = 8
MOST_BYTES = 2**28  # of an image file
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA")  # 8 bits per channel or fewer, grey or colours
_WHITE = (255, 255, 255, 255)


def need_pillow() -> Any:
    """Return Pillow's module of images.

    Raises
    ------
    InputError
        If Pillow is not installed.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise InputError("images need Pillow: pip install 'splitee[models]'") from error
    return Image


def content(data: Data, name: str = "the image") -> bytes:
    """Return the bytes of an image file.

    Raises
    ------
    InputError
        If it cannot be read, or has more than `MOST_BYTES`.
    """
    try:
        size = len(data) if isinstance(data, bytes) else data.stat().st_size
        if size > MOST_BYTES:
            raise InputError(f"{name}: {size:,} bytes: an image file has at most {MOST_BYTES:,}")
        return data if isinstance(data, bytes) else data.read_bytes()
    except OSError as error:
        raise InputError(f"{name}: cannot be read ({_why(error)})") from error


def read_picture(data: Data, name: str = "the image") -> Image:
    """Decode an image file to RGB, upright as its camera held it; transparent places become white.

    Parameters
    ----------
    data : bytes or Path
        The file.
    name : str
        What an error calls it.

    Raises
    ------
    InputError
        If it is not an image, is damaged, has more than one frame or more than 8 bits per channel, is in
        CMYK, or is too small or too large.

    Examples
    --------
    >>> read_picture(b"hello", "hello.png")
    Traceback (most recent call last):
    splitee._internal.errors.InputError: hello.png: not an image that Pillow can read
    """
    image = open_picture(data, name)
    from PIL import ImageOps

    try:
        # no copy that can be avoided: a large image has hundreds of megabytes
        ImageOps.exif_transpose(image, in_place=True)
        if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
            image = image if image.mode == "RGBA" else image.convert("RGBA")
            ground = need_pillow().new("RGBA", image.size, _WHITE)
            image = need_pillow().alpha_composite(ground, image)
            del ground
        rgb: Image = image if image.mode == "RGB" else image.convert("RGB")
        rgb.load()
    except Exception as error:  # Pillow's decoders raise bare errors of many kinds on damaged files
        raise InputError(f"{name}: the image is damaged ({_why(error)})") from error
    return rgb


def open_picture(data: Data, name: str = "the image") -> Image:
    """Read the header of an image file, and check what it says; pixels are not decoded yet.

    Raises
    ------
    InputError
        As `read_picture`; damage behind the header is found only there.
    """
    pillow = need_pillow()
    file = io.BytesIO(content(data, name))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", pillow.DecompressionBombWarning)
            image = pillow.open(file)
            frames = getattr(image, "n_frames", 1)
    except pillow.DecompressionBombError as error:
        raise InputError(
            f"{name}: its header names more than {MOST_PIXELS:,} pixels: scale it down"
        ) from error
    except pillow.UnidentifiedImageError as error:
        raise InputError(f"{name}: not an image that Pillow can read") from error
    except Exception as error:  # Pillow's decoders raise bare errors of many kinds on damaged files
        raise InputError(f"{name}: the image is damaged ({_why(error)})") from error
    width, height = image.size
    if width * height > MOST_PIXELS:
        raise InputError(
            f"{name}: its header names {width:,} × {height:,} pixels, more than {MOST_PIXELS:,}: "
            "scale it down"
        )
    if min(width, height) < LEAST_SIDE:
        raise InputError(f"{name}: {width} × {height} pixels: at least {LEAST_SIDE} per side are needed")
    if frames != 1:
        raise InputError(f"{name}: {frames} frames (an animation): give each frame as an image")
    if image.mode == "CMYK":
        raise InputError(f"{name}: in CMYK, the colours of printing: convert it to RGB")
    if image.mode not in _MODES:
        raise InputError(f"{name}: mode {image.mode} (more than 8 bits per channel): convert it to 8-bit RGB")
    found: Image = image
    return found


def pixels(data: Data, size: int, channels: int = 3, name: str = "the image") -> NDArray[np.uint8]:
    """Return an image as the model takes it: resized to a square, shape (size, size, channels).

    The whole image is kept, so that its sides may be scaled differently. Scaling is Pillow's bicubic, which
    averages when it makes an image smaller. An image of this size is not changed.

    Examples
    --------
    >>> import io
    >>> from PIL import Image
    >>> file = io.BytesIO()
    >>> Image.new("RGB", (20, 10), "red").save(file, "PNG")
    >>> pixels(file.getvalue(), 2)[0, 0].tolist()
    [255, 0, 0]
    """
    image = resized(read_picture(data, name), size)
    array = np.asarray(image if channels == 3 else image.convert("L"))
    return array.reshape(size, size, channels)


def scaled(values: NDArray[np.uint8], mean: Sequence[float], std: Sequence[float]) -> NDArray[np.float32]:
    """Return images as a network takes them: (pixel − mean) / std, channels first.

    Parameters
    ----------
    values : ndarray of uint8, shape (b, size, size, channels)
    mean, std : sequence of float, one per channel

    Returns
    -------
    ndarray of float32, shape (b, channels, size, size)

    Examples
    --------
    >>> scaled(np.full((1, 2, 2, 1), 200, np.uint8), (100.0,), (50.0,)).tolist()
    [[[[2.0, 2.0], [2.0, 2.0]]]]
    """
    middle, width = np.array(mean, np.float32), np.array(std, np.float32)
    return np.moveaxis((values.astype(np.float32) - middle) / width, -1, 1)


def resized(image: Image, size: int) -> Image:
    """Return an image of this many pixels per side."""
    if image.size == (size, size):
        return image
    return image.resize((size, size), need_pillow().Resampling.BICUBIC)


def _why(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:120]
