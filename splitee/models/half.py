"""The device's half of a model: the layers up to one of its exits; the weights of the rest are not loaded."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from splitee._internal.checksums import check_files, file_sha256
from splitee._internal.errors import InputError
from splitee._internal.numbers import layers_held
from splitee.models.checkpoints import find_checkpoint
from splitee.models.config import MultiExitConfig
from splitee.models.cutting import Cut
from splitee.models.encode import check_tokens, encode, load_tokenizer
from splitee.models.loading import WRONG_VALUES, check_weights
from splitee.models.multi_exit import MultiExitModel, load_checkpoint, load_config

Encoded = dict[str, list[int]]


class _First(MultiExitModel):
    """The first layers of a model: the weights of the others are in the file, and are not missed."""

    _keys_to_ignore_on_load_unexpected: ClassVar[list[str]] = [""]


def load_half(checkpoint: str | Path, exits: int | str = "all") -> MultiExitModel:
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
    layers = _exit_layers(config)
    try:
        held = layers_held(exits, len(layers))
    except InputError as error:
        raise InputError(f"layers of the device: {error}") from error
    if held == len(layers):
        whole: MultiExitModel = load_checkpoint(folder)
        return whole
    check_files(folder)
    try:
        model, loading = _First.from_pretrained(
            folder,
            config=_shortened(config, layers[:held]),
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # ESM's head for contacts, which no exit reads, spans all layers
        )
    except InputError as error:
        raise InputError(f"{folder}: {error}") from error
    except WRONG_VALUES as error:
        why = " ".join(str(error).split())[:200]
        raise InputError(f"{folder}: its first layers cannot be loaded: {why}") from error
    mismatched = {str(key[0]) for key in loading["mismatched_keys"] if "contact_head" not in str(key[0])}
    check_weights(folder, model, {*loading["missing_keys"], *mismatched})
    model.eval()
    model._stack = replace(model.stack, norm=None)  # what the library applies after the last layer of all
    half: MultiExitModel = model
    return half


def half_facts(checkpoint: str | Path, half: MultiExitModel) -> dict[str, Any]:
    """Return what a device has to know of the whole model, as JSON values."""
    folder = find_checkpoint(checkpoint)
    config, backbone = load_config(folder), half.backbone.config
    if config.regresses:
        raise InputError(f"{checkpoint} predicts scores: the live pair answers with classes")
    has_types = "token_type_ids" in inspect.signature(half.backbone.forward).parameters
    layers = _exit_layers(config)
    return {
        "name": folder.resolve().name,
        "fingerprint": file_sha256(folder / "model.safetensors"),
        "layers": layers[-1],
        "hidden": backbone.hidden_size,
        "exits": layers,
        "device_exits": len(half.exits),
        "classes": [" ".join(one.split()) for one in config.class_names],
        "tokens": config.max_tokens,
        "vocabulary": backbone.vocab_size,
        "token_types": int(getattr(backbone, "type_vocab_size", 0) or 0) if has_types else 0,
        "states": config.exit_states,
        "confidence": config.confidence,
        "recommended_threshold": config.recommended_threshold,
    }


class HalfModel:
    """The first layers of a model, one sample at a time.

    Parameters
    ----------
    checkpoint : str or path
    exits : int, "half" or "all"
        m; see `load_half`.
    threads : int, optional
        Threads of torch. Default: its choice.
    """

    def __init__(self, checkpoint: str | Path, exits: int | str = "all", threads: int | None = None) -> None:
        if threads is not None:
            torch.set_num_threads(threads)
        self.model = load_half(checkpoint, exits)
        self.facts = half_facts(checkpoint, self.model)
        self._tokenizer = load_tokenizer(checkpoint)
        check_tokens([], self.facts["tokens"], self.facts["vocabulary"], self.model.positions)

    def encode(self, text: Sequence[str]) -> Encoded:
        """Return the token ids of one text, or of a pair, truncated as in training."""
        (found,) = encode(self._tokenizer, [[one] for one in text], self.facts["tokens"])
        check_tokens([found], self.facts["tokens"], self.facts["vocabulary"], None)
        return found

    @torch.inference_mode()
    def advance(self, at: Encoded | Cut, exit: int) -> Cut:
        """Run the layers up to an exit, from token ids or from where an earlier call ended."""
        cut = at if isinstance(at, Cut) else self.model.start(**_tensors(at))
        return self.model.run_layers(cut, self.model.exits[exit - 1])

    @torch.inference_mode()
    def outputs(self, cut: Cut) -> tuple[NDArray[np.float32], float | None]:
        """Return the logits of the exit just reached, shape (K,), and the certainty if it is learned."""
        logits, certainty = self.model.exit_outputs(cut)
        return logits[0].numpy(), None if certainty is None else float(certainty[0])

    @torch.inference_mode()
    def state(self, cut: Cut) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Return the state, shape (1, t, h), and the pooled states before it, shape (1, r, h), or None."""
        recent = torch.stack(cut.recent, 1).numpy() if cut.recent else None
        return cut.hidden.numpy(), recent


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


def _tensors(encoded: Encoded) -> dict[str, torch.Tensor]:
    tensors = {name: torch.tensor([values]) for name, values in encoded.items()}
    return tensors | {"attention_mask": torch.ones_like(tensors["input_ids"])}
