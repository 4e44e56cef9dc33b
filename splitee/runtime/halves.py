"""The device's half of a model: what it does, whichever library runs it, and how it is opened."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from splitee._internal.errors import InputError
from splitee.trace.columns import read_logits

HALF = "half.json"  # the manifest of an exported half
Encoded = dict[str, Any]  # of a text its tokens, of an image its file and pixels
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Said:
    """What an exit says of a sample: confidence and entropy (float32), class."""

    confidence: float
    prediction: int
    entropy: float


class Half(Protocol):
    """Layers and exits 1..m of a model, for one sample at a time.

    A *place* is how far a sample has come; only the half knows what is in it.
    """

    facts: dict[str, Any]

    def encode(self, sample: Any, name: str = "the sample") -> Encoded:
        """Return the token ids of one text, or of a pair; or an image, of its file.

        Raises
        ------
        InputError
            If it cannot be read; the line calls it by this name.
        """

    def advance(self, place: Any, exit: int) -> Any:
        """Run the layers up to an exit, from an encoded sample or from an earlier place."""

    def outputs(self, place: Any) -> tuple[Floats, float | None]:
        """Return the logits of the exit just reached, shape (K,), and the certainty if it is learned."""

    def state(self, place: Any) -> tuple[Floats, Floats | None]:
        """Return the state, shape (1, t, h), and the pooled states before it, shape (1, r, h), or None.

        Of images t are the positions of a map, and h its channels.
        """


def said(half: Half, place: Any) -> Said:
    """Evaluate the exit just reached."""
    logits, certainty = half.outputs(place)
    confidence, entropy, prediction = read_logits(logits[None])
    sure = float(confidence[0]) if certainty is None else float(np.float32(certainty))
    return Said(sure, int(prediction[0]), float(entropy[0]))


def open_half(model: str | Path, exits: int | str = "all", threads: int | None = None) -> Half:
    """Open the device's half of a model.

    Parameters
    ----------
    model : str or path
        A folder that `splitee export onnx` wrote: ONNX Runtime runs it, and torch is not needed. Else a
        checkpoint, or the bundled "sst2_slender": torch runs it.
    exits : int, "half" or "all"
        m, the number of exits that the device holds.
    threads : int, optional
        Threads of the library that runs it. Default: its choice.

    Raises
    ------
    InputError
        If it cannot be opened, or has fewer exits.

    Examples
    --------
    >>> half = open_half("sst2_slender", 2)
    >>> place = half.advance(half.encode(["a joy to watch"]), 2)
    >>> said(half, place).prediction, half.state(place)[0].shape
    (1, (1, 6, 384))
    """
    if (Path(model) / HALF).is_file():
        from splitee.runtime.onnx_half import open_onnx

        return open_onnx(model, exits, threads)
    try:
        from splitee.models.half import open_torch
    except ModuleNotFoundError as error:
        raise InputError(
            f"{model} is a checkpoint, which needs {error.name}: pip install 'splitee[models]', or run "
            "splitee export onnx elsewhere and give the folder that it writes"
        ) from error
    return open_torch(model, exits, threads)
