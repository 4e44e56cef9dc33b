"""Small images in memory and on disk, made in code."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from transformers import ResNetConfig

from splitee.data.images import Images
from splitee.models.config import StagedConfig
from splitee.models.staged import StagedModel, register_stages


def photo(seed: int = 0, size: tuple[int, int] = (20, 16), kind: str = "PNG", mode: str = "RGB") -> bytes:
    """A smooth coloured image, as a file."""
    small = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(small).resize(size, Image.Resampling.BICUBIC).convert(mode).save(file, kind)
    return file.getvalue()


def huge_header(width: int = 100_000, height: int = 100_000) -> bytes:
    """A PNG of 68 bytes whose header names ten thousand million pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )


def folder(place: Path, count: int = 6, classes: tuple[str, ...] = ("cat", "dog")) -> Path:
    """A folder per class."""
    for i in range(count):
        inside = place / classes[i % len(classes)]
        inside.mkdir(parents=True, exist_ok=True)
        (inside / f"{i:03d}.png").write_bytes(photo(i))
    return place


def images(count: int = 6, classes: int = 3) -> Images:
    label = np.arange(count) % classes
    names = tuple(f"class {i}" for i in range(classes))
    return Images(
        "photos", [photo(i) for i in range(count)], label, names, [str(i) for i in range(count)], {}
    )


def stages() -> list[nn.Module]:
    """Three stages, whose states become smaller."""
    block = lambda a, b, step: nn.Sequential(nn.Conv2d(a, b, 3, step, 1), nn.BatchNorm2d(b), nn.ReLU())  # noqa: E731
    return [block(3, 6, 2), block(6, 8, 1), block(8, 12, 2)]


register_stages("toy", stages)


def model(classes: int = 3, seed: int = 1, **options: object) -> StagedModel:
    """A network of stages whose exits disagree."""
    settings = {"image_size": 12, "num_labels": classes, **options}
    made = StagedModel(StagedConfig({"stages": "toy"}, **settings)).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for values in made.parameters():
            values.normal_(0, 0.7, generator=generator)
    return made


def checkpoint(place: Path, **options: object) -> Path:
    model(**options).save_pretrained(place)
    return place


def resnet(place: Path, classes: tuple[str, ...] = ("cat", "dog"), seed: int = 0) -> Path:
    """A checkpoint of a toy ResNet of transformers, whose stages need not be registered; exits disagree."""
    torch.manual_seed(seed)
    sizes = {"embedding_size": 4, "hidden_sizes": [4, 6, 8], "depths": [1, 1, 1], "layer_type": "basic"}
    names = dict(enumerate(classes))
    config = StagedConfig(
        ResNetConfig(**sizes).to_dict(),
        image_size=32,
        id2label=names,
        label2id={name: i for i, name in names.items()},
    )
    made = StagedModel(config).eval()
    with torch.no_grad():
        for values in made.parameters():
            if values.ndim > 1:
                nn.init.kaiming_normal_(values)
    made.save_pretrained(place)
    return place


def bad(place: Path) -> dict[str, tuple[Path, str]]:
    """Files that are refused, and what the line says of each."""
    sixteen, frames, cmyk = io.BytesIO(), io.BytesIO(), io.BytesIO()
    Image.fromarray(np.full((20, 20), 40_000, np.uint16)).save(sixteen, "PNG")
    greys = [Image.new("L", (20, 20), 40 * i) for i in range(3)]
    greys[0].save(frames, "GIF", save_all=True, append_images=greys[1:])
    Image.new("CMYK", (20, 20)).save(cmyk, "JPEG")
    contents = {
        "text.png": (b"no image at all", "not an image"),
        "cut.png": (photo(size=(90, 80))[:-400], "damaged"),
        "deep.png": (sixteen.getvalue(), "more than 8 bits"),
        "print.jpg": (cmyk.getvalue(), "CMYK"),
        "film.gif": (frames.getvalue(), "3 frames"),
        "dot.png": (photo(size=(1, 1)), "at least 8"),
        "vast.png": (huge_header(), "more than 50,000,000"),
    }
    place.mkdir(parents=True, exist_ok=True)
    for name, (data, _) in contents.items():
        (place / name).write_bytes(data)
    return {name: (place / name, line) for name, (_, line) in contents.items()}
