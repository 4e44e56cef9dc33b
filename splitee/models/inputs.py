"""What a model reads: texts or images, encoded the same for training, precomputing and profiling.

`TextInputs` and `ImageInputs` have one interface. A sample is encoded alone (`encode`), and encoded samples
are put together when a batch is needed (`batch`): images are decoded only then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from splitee._internal.errors import InputError
from splitee.data.images import Images
from splitee.data.measures import noise, sharpness
from splitee.data.pictures import pixels, scaled
from splitee.data.rows import Rows
from splitee.models.config import StagedConfig
from splitee.models.encode import check_tokens, encode, load_tokenizer, pad, truncation_note
from splitee.models.flops import count_flops
from splitee.models.multi_exit import MultiExitModel
from splitee.models.network import ExitNetwork

Samples = Rows | Images
Encoded = Sequence[Any]


class Batch(Protocol):
    """Puts encoded samples together; it can be sent to another process."""

    def __call__(self, encoded: Encoded) -> dict[str, Tensor]:
        """Return the batch of the model."""
        ...


class Inputs(Protocol):
    """How samples become batches."""

    batch: Batch

    def encode(self, rows: Any, size: int | None = None) -> list[Any]:
        """Return every sample encoded, at most of this size; InputError if the model cannot take one."""
        ...

    def sizes(self, encoded: Encoded) -> NDArray[np.int64]:
        """Return the size of every sample: tokens, or 1 for images, which are all of one size."""
        ...

    def note(self, rows: Any, encoded: Encoded, size: int | None = None) -> str | None:
        """Return a line on what `encode` changed; None if there is nothing to say."""
        ...

    def columns(self, rows: Any, encoded: Encoded) -> dict[str, Any]:
        """Return the columns of a trace that come from the samples themselves."""
        ...

    def facts(self, model: Any, encoded: Encoded, size: int | None = None) -> dict[str, Any]:
        """Return what a manifest says about sizes, FLOPs and states."""
        ...

    def save_pretrained(self, folder: Path) -> Any:
        """Write what `load_inputs` reads again."""
        ...


class TextInputs:
    """Texts, as token ids.

    Parameters
    ----------
    tokenizer : tokenizer
        From `load_tokenizer`.
    model : MultiExitModel
        Its positions and vocabulary limit what can be encoded.
    """

    def __init__(self, tokenizer: Any, model: MultiExitModel) -> None:
        self.tokenizer = tokenizer
        self.batch: Batch = partial(pad, pad_id=tokenizer.pad_token_id)
        self._longest = model.config.max_tokens
        self._limits = model.backbone.config.vocab_size, model.positions

    def encode(self, rows: Rows, size: int | None = None) -> list[dict[str, list[int]]]:
        """Return token ids per text, truncated to `size` tokens (default: as in training)."""
        if not isinstance(rows, Rows):
            raise InputError(f"{rows.name} holds images, but the model reads texts: give texts")
        longest = size or self._longest
        encoded = encode(self.tokenizer, rows.text, longest)
        check_tokens(encoded, longest, *self._limits)
        return encoded

    def sizes(self, encoded: Encoded) -> NDArray[np.int64]:
        """Return the tokens per text, shape (n,)."""
        return np.array([len(one["input_ids"]) for one in encoded], dtype=np.int64)

    def note(self, rows: Rows, encoded: Encoded, size: int | None = None) -> str | None:
        """Return a line on how many texts were truncated; None if none was."""
        return truncation_note(self.tokenizer, rows.text, list(encoded), size or self._longest)

    def columns(self, rows: Rows, encoded: Encoded) -> dict[str, Any]:
        """Return the tokens per text and a hash of each text."""
        return {"length": self.sizes(encoded), "text_hash": rows.text_hash}

    def facts(self, model: MultiExitModel, encoded: Encoded, size: int | None = None) -> dict[str, Any]:
        """Return FLOPs and bytes of states at the mean and the largest number of tokens."""
        lengths, longest = self.sizes(encoded), size or self._longest
        width = model.backbone.config.hidden_size
        pooled = 4 * width * (model.config.exit_states - 1)  # of earlier states that later exits read
        return {
            "flops": {
                "counter": "torch.utils.flop_counter, eager attention",
                "mean_length": count_flops(model, max(1, round(float(lengths.mean())))),
                "max_length": count_flops(model, longest),
                # the mean may equal one of the others: three lengths give the constant, S and S² parts
                "half_length": count_flops(model, max(1, longest // 2)),
                "quarter_length": count_flops(model, max(1, longest // 4)),
            },
            "hidden_state_bytes": {
                "per_token_float32": 4 * width,
                "mean_length_float32": pooled + round(4 * width * float(lengths.mean())),
                "max_length_float32": pooled + 4 * width * longest,
            },
            "max_tokens": longest,
            "reach_max_tokens": int((lengths == longest).sum()),  # truncated, or exactly of this length
        }

    def save_pretrained(self, folder: Path) -> None:
        """Write the tokenizer."""
        self.tokenizer.save_pretrained(folder)


@dataclass(frozen=True)
class _Pixels:
    """Decodes, resizes and scales images; small, so that it can be sent to another process."""

    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def pixels(self, encoded: dict[str, Any]) -> NDArray[np.uint8]:
        """Return an image as it is scaled for the model, shape (size, size, channels)."""
        name, data = encoded["image"]
        return pixels(data, self.size, len(self.mean), name)

    def __call__(self, encoded: Encoded) -> dict[str, Tensor]:
        values = np.stack([self.pixels(one) for one in encoded])
        return {"pixel_values": torch.from_numpy(scaled(values, self.mean, self.std))}


class ImageInputs:
    """Images, resized to the model's square.

    Parameters
    ----------
    config : StagedConfig
        Its image_size, image_mean and image_std.
    """

    def __init__(self, config: StagedConfig) -> None:
        self._pixels = _Pixels(config.image_size, tuple(config.image_mean), tuple(config.image_std))
        self.batch: Batch = self._pixels

    def encode(self, rows: Images, size: int | None = None) -> list[dict[str, Any]]:
        """Return the name and file of every image, as ``image``; they are decoded in `batch`."""
        if not isinstance(rows, Images):
            raise InputError(f"{rows.name} holds texts, but the model reads images: give images")
        if size is not None:
            raise InputError("max_tokens is for texts: the model resizes every image to one size")
        return [{"image": one} for one in zip(rows.id, rows.data, strict=True)]

    def sizes(self, encoded: Encoded) -> NDArray[np.int64]:
        """Return 1 for every image, shape (n,): all have one size."""
        return np.ones(len(encoded), dtype=np.int64)

    def note(self, rows: Images, encoded: Encoded, size: int | None = None) -> str | None:
        """Return None: nothing is left out of an image."""
        return None

    def columns(self, rows: Images, encoded: Encoded) -> dict[str, Any]:
        """Return the bytes of every image's file, a hash of it, its group, and its sharpness and noise."""
        measured = [(sharpness(one), noise(one)) for one in map(self._pixels.pixels, encoded)]
        return {
            "input_bytes": rows.sizes,
            "text_hash": rows.hashes,
            "group": rows.group,
            "sharpness": [one for one, _ in measured],
            "noise": [one for _, one in measured],
        }

    def facts(self, model: ExitNetwork, encoded: Encoded, size: int | None = None) -> dict[str, Any]:
        """Return FLOPs and the positions, width and bytes of the state at every exit."""
        pixels = model.config.image_size
        states = model.state_sizes(pixels)
        return {
            "flops": {
                "counter": "torch.utils.flop_counter, eager attention",
                "image": count_flops(model, pixels),
            },
            "hidden_state_bytes": {
                "by_exit_shape": [list(state) for state in states],
                "by_exit_float32": [4 * positions * width for positions, width in states],
            },
            "image_size": pixels,
        }

    def save_pretrained(self, folder: Path) -> None:
        """Write nothing: the configuration says how images are read."""


def load_inputs(folder: str | Path, model: ExitNetwork) -> Inputs:
    """Return how a model reads samples.

    Parameters
    ----------
    folder : str or path
        Of texts, the folder with the tokenizer.
    model : ExitNetwork

    Raises
    ------
    InputError
        If the folder of a model of texts holds no tokenizer.
    """
    if isinstance(model, MultiExitModel):
        return TextInputs(load_tokenizer(folder), model)
    return ImageInputs(model.config)
