"""Write the device's half as ONNX, and compare it with torch before it gets its name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from splitee._internal.checksums import write_fingerprints
from splitee._internal.errors import InputError
from splitee._internal.folders import new_folder
from splitee.runtime.halves import Encoded, Half
from splitee.runtime.onnx_half import OnnxHalf

TOLERANCE = 1e-4  # of logits and states
TEXTS = ("a joy to watch", "Dull; far too long!", "", "Ünïcode — naïve café 東京 😀", "so " * 400)
_LENGTHS = (1, 2, 19, 38)


def export_half(
    checkpoint: str | Path, out: str | Path, exits: int | str = "all", *, overwrite: bool = False
) -> dict[str, Any]:
    """Write the first layers and exits of a checkpoint as ONNX, with the tokenizer, to a folder.

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
    from splitee.models.half import HalfModel
    from splitee.models.onnx import half_files

    files = half_files(checkpoint, exits)
    with new_folder(out, own=(*files, "fingerprints.json"), overwrite=overwrite) as folder:
        for name, content in files.items():
            (folder / name).write_bytes(content)
        write_fingerprints(folder)
        half = OnnxHalf(folder)
        difference = compare(half, HalfModel(checkpoint, exits))
    count = {"device_exits": half.facts["device_exits"], "exits": len(half.facts["exits"])}
    return {**count, "bytes": sum(map(len, files.values())), "difference": difference}


def compare(found: Half, expected: Half, texts: Sequence[str] = TEXTS) -> float:
    """Return by how much two halves differ, in logits and states, on texts and on random tokens.

    Raises
    ------
    InputError
        If they tokenise a text otherwise, or differ by more than `TOLERANCE`.
    """
    worst = 0.0
    read = [expected.encode([text]) for text in texts]
    for text, encoded in zip(texts, read, strict=True):
        if found.encode([text])["input_ids"] != encoded["input_ids"]:
            raise InputError(f"the exported tokenizer reads {text[:40]!r} otherwise than the model's")
    for encoded in (*read, *_random(expected)):
        ours: Any = encoded
        theirs: Any = encoded
        for exit_ in range(1, expected.facts["device_exits"] + 1):
            ours, theirs = found.advance(ours, exit_), expected.advance(theirs, exit_)
            pairs = zip(
                (found.outputs(ours)[0], *found.state(ours)),
                (expected.outputs(theirs)[0], *expected.state(theirs)),
                strict=True,
            )
            gap = max(float(np.abs(a - b).max()) for a, b in pairs if a is not None and b is not None)
            worst = max(worst, gap)
            if not gap <= TOLERANCE:
                raise InputError(
                    f"exit {exit_} as ONNX differs from torch by {gap:.2g} on a text of "
                    f"{len(encoded['input_ids'])} tokens (at most {TOLERANCE:g} is accepted): this model "
                    "cannot be exported"
                )
    return worst


def _random(half: Half) -> list[Encoded]:
    """Return random tokens of several lengths."""
    rng, most = np.random.default_rng(0), half.facts["vocabulary"]
    found: list[Encoded] = []
    for length in (*_LENGTHS, half.facts["tokens"]):
        ids = rng.integers(min(5, most - 1), most, min(length, half.facts["tokens"])).tolist()
        found.append({"input_ids": ids, "token_type_ids": [0] * len(ids)})
    return found
