"""Distort images as cameras and links do, at graded levels, to the byte the same for the same seed.

A stream of distorted images holds image files: an image is resized, distorted and written as JPEG, as a
camera would. What a device reads, and what it offloads if it offloads the input, are then these same bytes.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from splitee._internal.errors import InputError, suggest
from splitee.data.pictures import Data, need_pillow, read_picture, resized

if TYPE_CHECKING:
    from PIL.Image import Image

LEVELS: dict[str, tuple[float, float, float]] = {
    "blur": (1.0, 2.0, 3.0),
    "noise": (20.0, 40.0, 60.0),
    "jpeg": (30, 15, 7),
    "brightness": (0.6, 0.4, 0.2),
    "resolution": (1 / 2, 1 / 4, 1 / 8),
}
"""What the levels 1, 2 and 3 of each kind are: the standard deviation of a Gaussian blur in pixels, that of
Gaussian noise in steps of 255, the quality of JPEG, the factor of brightness, and that of resolution."""
QUALITY = 90  # of the JPEG files of all streams but "jpeg"
SIZE = 128  # pixels per side of the files
CLEAN = "clean"


@dataclass(frozen=True)
class Distortion:
    """A kind of distortion at a level.

    Parameters
    ----------
    kind : str
        "clean" or one of `LEVELS`.
    level : int
        1 to 3, in rising strength; 0 for "clean".

    Examples
    --------
    >>> Distortion.named("blur2"), Distortion.named("blur2").amount
    (Distortion(kind='blur', level=2), 2.0)
    """

    kind: str = CLEAN
    level: int = 0

    def __post_init__(self) -> None:
        if self.kind != CLEAN and self.kind not in LEVELS:
            raise InputError(f"no distortion is called {self.kind!r}: {suggest(self.kind, (CLEAN, *LEVELS))}")
        if self.level not in ((0,) if self.kind == CLEAN else (1, 2, 3)):
            raise InputError(
                f"distortion {self.kind} has the levels 1, 2 and 3 (such as blur2), not {self.level}"
            )

    @classmethod
    def named(cls, name: str) -> Distortion:
        """Return the distortion of a name such as "blur2" or "clean"."""
        kind, level = re.fullmatch(r"(.*?)([0-9]{0,3})", name, re.DOTALL).groups()  # type: ignore[union-attr]
        return cls(kind, int(level or 0))

    @property
    def name(self) -> str:
        """The name, such as "blur2"."""
        return self.kind + (str(self.level) if self.level else "")

    @property
    def amount(self) -> float:
        """What the level is, as in `LEVELS`; 0 for "clean"."""
        return LEVELS[self.kind][self.level - 1] if self.level else 0.0

    def file(self, data: Data, *, seed: int = 0, size: int = SIZE, name: str = "the image") -> bytes:
        """Return the distorted image as a JPEG file.

        Parameters
        ----------
        data : bytes or Path
            The image file.
        seed : int
            Of the noise, which depends on the seed and the content of the file, not on its place in a stream.
        size : int
            Pixels per side of the result.
        name : str
            What an error calls the image.
        """
        whole = data if isinstance(data, bytes) else data.read_bytes()
        image = self.apply(resized(read_picture(whole, name), size), _generator(whole, seed))
        quality = int(self.amount) if self.kind == "jpeg" else QUALITY
        written = io.BytesIO()
        image.save(written, "JPEG", quality=quality)
        return written.getvalue()

    def apply(self, image: Image, rng: np.random.Generator) -> Image:
        """Return the distorted image; JPEG and "clean" change nothing before the file is written."""
        pillow = need_pillow()
        if self.kind == "blur":
            from PIL import ImageFilter

            return image.filter(ImageFilter.GaussianBlur(self.amount))
        if self.kind == "resolution":
            width, height = image.size
            small = (max(1, round(width * self.amount)), max(1, round(height * self.amount)))
            bilinear = pillow.Resampling.BILINEAR
            return image.resize(small, bilinear).resize((width, height), bilinear)
        if self.kind in ("noise", "brightness"):
            values = np.asarray(image, dtype=np.float64)
            if self.kind == "noise":
                values = values + self.amount * rng.standard_normal(values.shape)
            else:
                values = values * self.amount
            changed: Image = pillow.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))
            return changed
        return image


def draw(names: Sequence[str], samples: int, seed: int) -> list[str]:
    """Return the name of a distortion for each sample of a mixed stream, each name equally likely.

    Examples
    --------
    >>> draw(["clean", "blur2"], 4, seed=0)
    ['blur2', 'blur2', 'blur2', 'clean']
    """
    for name in names:
        Distortion.named(name)
    if not names:
        raise InputError("a mixed stream needs at least one distortion")
    return [names[i] for i in np.random.default_rng(seed).integers(len(names), size=samples)]


def _generator(data: bytes, seed: int) -> np.random.Generator:
    """Return a generator that depends on the seed and the content of a file."""
    key = int.from_bytes(hashlib.sha256(data).digest()[:16], "little")
    return np.random.default_rng([seed, key])
