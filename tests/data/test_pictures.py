"""One image file: decoded as Pillow and NumPy decode it, and every kind of bad file is one clear line."""

import io
import resource
from pathlib import Path

import numpy as np
import photos
import pytest
from PIL import Image

from splitee._internal.errors import InputError
from splitee.data.pictures import open_picture, pixels, read_picture


def saved(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_modes_become_rgb(mode: str) -> None:
    image = Image.new("RGB", (9, 8), (255, 0, 0)).convert(mode)
    red = read_picture(saved(image))
    assert red.mode == "RGB"
    assert red.getpixel((3, 3)) == image.convert("RGB").getpixel((3, 3))


def test_transparent_places_become_white() -> None:
    clear = Image.new("RGBA", (9, 8), (255, 0, 0, 0))
    assert read_picture(saved(clear)).getpixel((0, 0)) == (255, 255, 255)


def test_an_image_is_upright() -> None:
    wide = Image.new("RGB", (20, 10), "red")
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by a quarter
    assert read_picture(saved(wide, "JPEG", exif=exif)).size == (10, 20)


def test_pixels_are_those_of_pillow() -> None:
    data = photos.photo(3, (30, 17))
    theirs = Image.open(io.BytesIO(data)).convert("RGB").resize((12, 12), Image.Resampling.BICUBIC)
    assert np.array_equal(pixels(data, 12), np.asarray(theirs))
    same = photos.photo(3, (12, 12))
    assert np.array_equal(pixels(same, 12), np.asarray(Image.open(io.BytesIO(same))))
    assert pixels(data, 12, channels=1).shape == (12, 12, 1)


def test_a_file_on_disk(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(photos.photo())
    assert open_picture(tmp_path / "a.png").size == (20, 16)


BAD = {
    "text": (b"hello", "not an image"),
    "empty": (b"", "not an image"),
    "truncated": (photos.photo(size=(90, 80), kind="JPEG")[:400], "damaged"),
    "truncated-png": (photos.photo(size=(90, 80))[:300], "damaged|not an image"),
    "16-bit": (saved(Image.fromarray(np.zeros((9, 9), np.uint16))), "more than 8 bits per channel"),
    "float": (saved(Image.new("F", (9, 9)), "TIFF"), "more than 8 bits per channel"),
    "cmyk": (saved(Image.new("CMYK", (9, 9)), "JPEG"), "CMYK"),
    "animated": (
        saved(Image.new("L", (9, 9), 1), "GIF", save_all=True, append_images=[Image.new("L", (9, 9), 9)]),
        "2 frames",
    ),
    "one-pixel": (saved(Image.new("RGB", (1, 1))), "1 × 1 pixels: at least 8"),
    "huge": (photos.huge_header(), "scale it down"),
    "large": (photos.huge_header(10_000, 9_000), "90,000,000|10,000 × 9,000"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_one_line(name: str) -> None:
    data, words = BAD[name]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match=words) as found:
        read_picture(data, "cat.jpg")
    assert str(found.value).startswith("cat.jpg: ")
    assert "\n" not in str(found.value)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KB: nothing was allocated


def test_a_file_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.png: cannot be read"):
        read_picture(tmp_path / "gone.png", "gone.png")
