"""Write the device's half as ONNX, and compare it with torch before it gets its name."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from splitee._internal.checksums import write_fingerprints
from splitee._internal.errors import InputError
from splitee._internal.folders import new_folder
from splitee.runtime.halves import Encoded, Floats, Half
from splitee.runtime.interfaces import interface_of
from splitee.runtime.onnx_half import open_onnx

TOLERANCE = 1e-4  # of logits, and of states in units of their largest value where that is above 1
TEXTS = ("a joy to watch", "Dull; far too long!", "", "Ünïcode — naïve café 東京 😀", "so " * 400)
_LENGTHS = (1, 2, 19, 38)


def export_half(
    checkpoint: str | Path, out: str | Path, exits: int | str = "all", *, overwrite: bool = False
) -> dict[str, Any]:
    """Write the first layers and exits of a checkpoint as ONNX, with any tokenizer, to a folder.

    Parameters
    ----------
    checkpoint : str or path
        A folder written by `splitee train` or `splitee slim`, or the bundled "sst2_slender".
    out : path
        The folder; `splitee.models.onnx.half_files` says what is in it. ``fingerprints.json`` holds the
        SHA-256 of all files.
    exits : int, "half" or "all"
        m, the number of exits that the device holds.
    overwrite : bool
        Whether the folder may be replaced.

    Returns
    -------
    dict
        ``device_exits``, ``exits``, ``bytes``, and ``difference``, the greatest of a logit or state from
        torch's.

    Raises
    ------
    FileExistsError
        If there is a half in `out`, and `overwrite` is false.
    InputError
        If the model cannot be exported, or ONNX Runtime answers otherwise than torch.
    """
    from splitee.models.half import open_torch
    from splitee.models.onnx import half_files

    files = half_files(checkpoint, exits)
    with new_folder(out, own=(*files, "fingerprints.json"), overwrite=overwrite) as folder:
        for name, content in files.items():
            (folder / name).write_bytes(content)
        write_fingerprints(folder)
        half = open_onnx(folder)
        difference = compare(half, open_torch(checkpoint, exits))
    count = {"device_exits": half.facts["device_exits"], "exits": len(half.facts["exits"])}
    return {**count, "bytes": sum(map(len, files.values())), "difference": difference}


def compare(found: Half, expected: Half, samples: Sequence[Any] | None = None) -> float:
    """Return by how much two halves differ, in logits and states, on samples and on random inputs.

    Parameters
    ----------
    found, expected : Half
    samples : sequence, optional
        Texts as rows, or image files. Default: `TEXTS`, or made up images.

    Raises
    ------
    InputError
        If they read a sample otherwise, or differ by more than `TOLERANCE`.
    """
    worst = 0.0
    of_images = "shapes" in expected.facts
    given = samples if samples is not None else _pictures() if of_images else [[text] for text in TEXTS]
    read = [expected.encode(sample) for sample in given]
    for sample, encoded in zip(given, read, strict=True):
        if not _same(found.encode(sample), encoded):
            what = "image" if of_images else f"{sample[0][:40]!r}"
            raise InputError(f"the exported half reads {what} otherwise than the model's")
    for encoded in read if of_images else (*read, *_random(expected)):
        ours: Any = encoded
        theirs: Any = encoded
        for exit_ in range(1, expected.facts["device_exits"] + 1):
            ours, theirs = found.advance(ours, exit_), expected.advance(theirs, exit_)
            states = zip(found.state(ours), expected.state(theirs), strict=True)
            gap = float(np.abs(found.outputs(ours)[0] - expected.outputs(theirs)[0]).max())
            gap = max(gap, *(_apart(a, b) for a, b in states if a is not None and b is not None))
            worst = max(worst, gap)
            if not gap <= TOLERANCE:
                tokens = interface_of(expected.facts).size(encoded)[0]
                on = f"a text of {tokens} tokens" if tokens else "an image"
                raise InputError(
                    f"exit {exit_} as ONNX differs from torch by {gap:.2g} on {on} (at most {TOLERANCE:g} is "
                    "accepted): this model cannot be exported"
                )
    return worst


def _apart(state: Floats, other: Floats) -> float:
    """Return the greatest difference of two states, in units of their largest value where that is above 1."""
    return float(np.abs(state - other).max() / max(1.0, float(np.abs(other).max())))


def _same(one: Encoded, other: Encoded) -> bool:
    """Return whether both halves read a sample alike; a tokenizer may leave token types out."""
    names = ("input_ids",) if "input_ids" in other else ("image", "pixels")
    return all(np.array_equal(one[name], other[name]) for name in names)


def _pictures() -> list[bytes]:
    """Return image files: black, white, noise, and a smooth one of another size."""
    from PIL import Image

    rng, found = np.random.default_rng(0), []
    small = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
    for picture in (
        Image.new("RGB", (32, 32)),
        Image.new("RGB", (40, 24), "white"),
        Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)),
        Image.fromarray(small).resize((150, 100), Image.Resampling.BICUBIC),
    ):
        picture.save(file := io.BytesIO(), "PNG")
        found.append(file.getvalue())
    return found


def _random(half: Half) -> list[Encoded]:
    """Return random tokens of several lengths."""
    rng, most = np.random.default_rng(0), half.facts["vocabulary"]
    found: list[Encoded] = []
    for length in (*_LENGTHS, half.facts["tokens"]):
        ids = rng.integers(min(5, most - 1), most, min(length, half.facts["tokens"])).tolist()
        found.append({"input_ids": ids, "token_type_ids": [0] * len(ids)})
    return found
