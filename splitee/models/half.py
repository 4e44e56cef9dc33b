"""The device's half of a model: the layers up to one of its exits; the weights of the rest are not loaded."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import torch
from numpy.typing import NDArray

from splitee._internal.checksums import check_files, file_sha256
from splitee._internal.errors import InputError
from splitee._internal.numbers import layers_held
from splitee.data.pictures import Data, content, pixels, scaled
from splitee.models.checkpoints import find_checkpoint
from splitee.models.config import MultiExitConfig, StagedConfig
from splitee.models.cutting import Cut
from splitee.models.encode import check_tokens, encode, load_tokenizer
from splitee.models.loading import WRONG_VALUES, check_weights
from splitee.models.multi_exit import MultiExitModel, load_checkpoint, load_config
from splitee.models.network import ExitNetwork
from splitee.models.staged import StagedModel
from splitee.system.codec import as_rows

Encoded = dict[str, Any]


class _First(MultiExitModel):
    """The first layers of a model: the weights of the others are in the file, and are not missed."""

    _keys_to_ignore_on_load_unexpected: ClassVar[list[str]] = [""]


def load_half(checkpoint: str | Path, exits: int | str = "all") -> ExitNetwork:
    """Load the layers up to an exit, and the exits up to it.

    Parameters
    ----------
    checkpoint : str or path
        A folder written by `splitee train` or `splitee slim`, or the bundled "sst2_slender".
    exits : int, "half" or "all"
        m, the number of exits; m = L loads the whole model.

    Raises
    ------
    InputError
        If the model has fewer exits, cannot be loaded, or its layers share weights in groups.

    Examples
    --------
    >>> half = load_half("sst2_slender", 2)
    >>> len(half.layers), half.exits
    (2, (1, 2))
    """
    folder = find_checkpoint(checkpoint)
    config = load_config(folder)
    try:
        whole = None if isinstance(config, MultiExitConfig) else StagedModel(cast(StagedConfig, config))
    except InputError as error:
        raise InputError(f"{folder}: {error}") from error
    layers = _exit_layers(cast(MultiExitConfig, config)) if whole is None else list(whole.exits)
    try:
        held = layers_held(exits, len(layers))
    except InputError as error:
        raise InputError(f"layers of the device: {error}") from error
    if held == len(layers):
        loaded: ExitNetwork = load_checkpoint(folder)
        return loaded
    check_files(folder)
    if whole is not None:
        try:
            return whole.first(held, folder / "model.safetensors")
        except WRONG_VALUES as error:
            raise InputError(f"{folder}: its first stages cannot be loaded: {_why(error)}") from error
    try:
        model, loading = _First.from_pretrained(
            folder,
            config=_shortened(cast(MultiExitConfig, config), layers[:held]),
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # ESM's head for contacts, which no exit reads, spans all layers
        )
    except InputError as error:
        raise InputError(f"{folder}: {error}") from error
    except WRONG_VALUES as error:
        raise InputError(f"{folder}: its first layers cannot be loaded: {_why(error)}") from error
    mismatched = {str(key[0]) for key in loading["mismatched_keys"] if "contact_head" not in str(key[0])}
    check_weights(folder, model, {*loading["missing_keys"], *mismatched})
    model.eval()
    model._stack = replace(model.stack, norm=None)  # what the library applies after the last layer of all
    half: MultiExitModel = model
    return half


def model_facts(checkpoint: str | Path, model: ExitNetwork) -> dict[str, Any]:
    """Return what either half has to know of the whole model, as JSON values.

    Parameters
    ----------
    checkpoint : str or path
    model : ExitNetwork
        The model, or its first layers.
    """
    folder = find_checkpoint(checkpoint)
    config = load_config(folder)
    names = ["score"] if config.regresses else [" ".join(one.split()) for one in config.class_names]
    facts: dict[str, Any] = {
        "name": folder.resolve().name,
        "fingerprint": file_sha256(folder / "model.safetensors"),
        "classes": names,
        "confidence": config.confidence,
        "recommended_threshold": config.recommended_threshold,
    }
    if isinstance(model, StagedModel):
        shapes = [list(shape) for shape in model.shapes]
        return {
            **facts,
            "layers": len(shapes),
            "exits": list(config.exits or range(1, len(shapes) + 1)),
            "shapes": shapes,
            "image_size": config.image_size,
            "channels": len(config.image_mean),
            "image_mean": config.image_mean,
            "image_std": config.image_std,
        }
    backbone = cast(MultiExitModel, model).backbone
    layers = _exit_layers(cast(MultiExitConfig, config))
    has_types = "token_type_ids" in inspect.signature(backbone.forward).parameters
    return {
        **facts,
        "layers": layers[-1],
        "exits": layers,
        "hidden": backbone.config.hidden_size,
        "tokens": config.max_tokens,
        "vocabulary": backbone.config.vocab_size,
        "token_types": int(getattr(backbone.config, "type_vocab_size", 0) or 0) if has_types else 0,
        "states": config.exit_states,
    }


def half_facts(checkpoint: str | Path, half: ExitNetwork) -> dict[str, Any]:
    """Return what a device has to know of the whole model, and of its own half, as JSON values."""
    if half.config.regresses:
        raise InputError(f"{checkpoint} predicts scores: the live pair answers with classes")
    return {**model_facts(checkpoint, half), "device_exits": len(half.exits)}


class HalfModel:
    """The first layers of a model, one sample at a time; `open_torch` returns that of texts or of images.

    Parameters
    ----------
    checkpoint : str or path
    model : ExitNetwork
        From `load_half`.
    """

    def __init__(self, checkpoint: str | Path, model: ExitNetwork) -> None:
        self.model = model
        self.facts = half_facts(checkpoint, model)

    def encode(self, sample: Any, name: str = "the sample") -> Encoded:
        """Return a sample as `advance` takes it; an error calls it by this name."""
        raise NotImplementedError

    def batch(self, encoded: Encoded) -> dict[str, torch.Tensor]:
        """Return the batch of one encoded sample."""
        raise NotImplementedError

    @torch.inference_mode()
    def advance(self, at: Any, exit: int) -> Any:
        """Run the layers up to an exit, from an encoded sample or from where an earlier call ended."""
        cut = self.model.start(**self.batch(at)) if isinstance(at, dict) else at
        return self.model.run_layers(cut, self.model.exits[exit - 1])

    @torch.inference_mode()
    def outputs(self, cut: Any) -> tuple[NDArray[np.float32], float | None]:
        """Return the logits of the exit just reached, shape (K,), and the certainty if it is learned."""
        logits, certainty = self.model.exit_outputs(cut)
        return logits[0].numpy(), None if certainty is None else float(certainty[0])

    @torch.inference_mode()
    def state(self, cut: Any) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Return the state, shape (1, t, h), and the pooled states before it, shape (1, r, h), or None."""
        return as_rows(cut.hidden).numpy(), None


class TextHalf(HalfModel):
    """The first layers of an encoder or decoder."""

    def __init__(self, checkpoint: str | Path, model: MultiExitModel) -> None:
        super().__init__(checkpoint, model)
        self._tokenizer = load_tokenizer(checkpoint)
        check_tokens([], self.facts["tokens"], self.facts["vocabulary"], model.positions)

    def encode(self, sample: Sequence[str], name: str = "the text") -> Encoded:
        """Return the token ids of one text, or of a pair, truncated as in training."""
        (found,) = encode(self._tokenizer, [[one] for one in sample], self.facts["tokens"])
        check_tokens([found], self.facts["tokens"], self.facts["vocabulary"], None)
        return found

    def batch(self, encoded: Encoded) -> dict[str, torch.Tensor]:
        """Return the tokens of one text, shape (1, t), without padding."""
        tensors = {name: torch.tensor([values]) for name, values in encoded.items()}
        return tensors | {"attention_mask": torch.ones_like(tensors["input_ids"])}

    @torch.inference_mode()
    def state(self, cut: Cut) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Return the state, shape (1, t, h), and the pooled states before it, shape (1, r, h), or None."""
        recent = torch.stack(cut.recent, 1).numpy() if cut.recent else None
        return cut.hidden.numpy(), recent


class ImageHalf(HalfModel):
    """The first stages of a network of stages."""

    def encode(self, sample: Data, name: str = "the image") -> Encoded:
        """Return the bytes of an image file, and what they decode to; InputError if they cannot be read."""
        file = content(sample, name)
        return {"image": file, "pixels": self._pixels(file, name)}

    def batch(self, encoded: Encoded) -> dict[str, torch.Tensor]:
        """Return the pixels of one image, shape (1, channels, height, width)."""
        values = encoded["pixels"] if "pixels" in encoded else self._pixels(encoded["image"])
        config = self.model.config
        return {"pixel_values": torch.from_numpy(scaled(values[None], config.image_mean, config.image_std))}

    def _pixels(self, file: bytes, name: str = "the image") -> NDArray[np.uint8]:
        return pixels(file, self.facts["image_size"], self.facts["channels"], name)


def open_torch(checkpoint: str | Path, exits: int | str = "all", threads: int | None = None) -> HalfModel:
    """Open the first layers of a checkpoint.

    Parameters
    ----------
    checkpoint : str or path
    exits : int, "half" or "all"
        m; see `load_half`.
    threads : int, optional
        Threads of torch. Default: its choice.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    model = load_half(checkpoint, exits)
    if isinstance(model, MultiExitModel):
        return TextHalf(checkpoint, model)
    return ImageHalf(checkpoint, model)


def _exit_layers(config: MultiExitConfig) -> list[int]:
    depth = int(config.backbone_config().num_hidden_layers)
    return list(config.exits or range(1, depth + 1))


def _shortened(config: MultiExitConfig, exits: list[int]) -> MultiExitConfig:
    """Return the configuration of the layers up to the last of these exits."""
    backbone, depth = config.backbone_config(), exits[-1]
    if int(getattr(backbone, "num_hidden_groups", 1)) > 1:
        raise InputError(
            "its layers share weights in groups, so the first ones cannot be loaded alone: let the device "
            "hold all layers"
        )
    if depth == 1 and getattr(backbone, "conv_kernel_size", None):
        raise InputError("its layer 2 reads more than the state after layer 1: let the device hold 2 layers")
    backbone.num_hidden_layers = depth
    if kinds := getattr(backbone, "layer_types", None):
        backbone.layer_types = list(kinds)[:depth]
    if widths := getattr(backbone, "slender", None):
        short = {name: widths[name][:depth] for name in ("heads", "units")}
        backbone.slender = {**widths, **short}
    shortened = copy.deepcopy(config)
    shortened.backbone, shortened.exits = backbone.to_dict(), exits
    return shortened


def _why(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
