"""Load a pretrained encoder or decoder from a folder or the hub, and start exits from its poolers."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from torch import nn
from transformers import AutoConfig, AutoModel, PretrainedConfig
from transformers.modeling_utils import PreTrainedModel

from splitee._internal.errors import InputError
from splitee._internal.numbers import layers_held
from splitee._internal.reading import read_json
from splitee.models.checkpoints import check_sizes
from splitee.models.elasticbert import ElasticBertConfig, stored_poolers
from splitee.models.exits import ExitHead

# errors of damaged weights: RuntimeError for shapes that differ, UnpicklingError for a git-lfs pointer
UNREADABLE = (OSError, ValueError, RuntimeError, SafetensorError, pickle.UnpicklingError, EOFError)
# what the library raises for values of wrong types in a configuration
WRONG_VALUES = (
    *UNREADABLE,
    StrictDataclassError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    AssertionError,
)


def load_backbone(name: str | Path, layers: int | str | None = None) -> tuple[PreTrainedModel, set[str]]:
    """Load a backbone in float32, if wanted with its first layers only.

    Returns
    -------
    (PreTrainedModel, set of str)
        The backbone, and the names of the weights that the checkpoint lacks.

    Raises
    ------
    InputError
        If it cannot be loaded, or has fewer layers.
    """
    try:
        config = AutoConfig.from_pretrained(str(name))
        if layers is not None:
            config.num_hidden_layers = _at_most(config, layers, name)
        backbone, loading = _load(name, config)
        more = stored_poolers(config, loading["unexpected_keys"])
        if more > config.to_dict().get("num_output_layers", more):
            config.num_output_layers = more
            backbone, loading = _load(name, config)
    except InputError:
        raise
    except UNREADABLE as error:
        location = "" if Path(name).is_dir() else "no such folder here, and from the hub "
        raise InputError(
            f"{name}: {location}no encoder could be loaded from safetensors "
            f"({' '.join(str(error).split())[:200]}); "
            "give a folder that has config.json and model.safetensors"
        ) from error
    return backbone, set(loading["missing_keys"])


def check_backbone(backbone: str | Path) -> None:
    """Refuse a local path that does not exist, before it is taken for a name on the hub."""
    path = Path(backbone).expanduser()
    looks_local = path.is_absolute() or str(backbone).startswith((".", "~")) or len(path.parts) > 2
    if looks_local and not path.is_dir():
        raise InputError(f"{backbone}: no such folder; a backbone is a folder or a name on the hub")
    if (file := path / "config.json").is_file():
        check_sizes(read_json(file), file)


def check_weights(name: str | Path, model: nn.Module, missing: Collection[str]) -> None:
    """Raise InputError if weights are missing (the library would make up random ones) or not finite."""
    if missing:
        raise InputError(
            f"{name}: {len(missing)} weights are missing from its model.safetensors, such as {min(missing)}"
        )
    for key, values in model.named_parameters():
        if not torch.isfinite(values).all():
            raise InputError(f"{name}: its weights are broken: {key} holds NaN or infinite values")


def start_exits(
    name: str | Path,
    exits: Iterable[tuple[int, nn.Module]],
    poolers: Mapping[int, nn.Linear],
    every: nn.Linear | None,
) -> None:
    """Copy pretrained poolers into the dense layers of exits, given as (layer, `ExitHead`).

    Parameters
    ----------
    poolers : mapping
        Poolers by layer (1-based). If there are some, but none at the layer of an exit, a warning says so.
    every : nn.Linear, optional
        The pooler for all exits whose layer has none of its own.
    """
    random = []
    for layer, head in exits:
        assert isinstance(head, ExitHead)
        if (start := poolers.get(layer, every)) is None:
            random.append(layer)
        elif head.dense.weight.shape != start.weight.shape:
            raise InputError(
                f"{name}: its pretrained pooler reads one state, these exits read several side by side: "
                "give exit_join 'mean' or exit_states 1"
            )
        else:
            head.dense.load_state_dict(start.state_dict())
    if poolers and random:
        warnings.warn(
            f"{name} has no pretrained pooler at layers {', '.join(map(str, random))}: their exits start "
            "from random weights",
            stacklevel=3,
        )


def _load(name: str | Path, config: PretrainedConfig) -> tuple[PreTrainedModel, dict[str, Any]]:
    # ElasticBERT is published only as pytorch_model.bin (torch loads tensors from it, no code)
    safe = None if isinstance(config, ElasticBertConfig) else True
    loaded: tuple[PreTrainedModel, dict[str, Any]] = AutoModel.from_pretrained(
        str(name), config=config, use_safetensors=safe, dtype=torch.float32, output_loading_info=True
    )
    return loaded


def _at_most(config: PretrainedConfig, layers: int | str, name: str | Path) -> int:
    try:
        layers = layers_held(layers, config.num_hidden_layers)
    except InputError as error:
        raise InputError(
            f"{name} has {config.num_hidden_layers} layers: cannot keep {layers}, give fewer"
        ) from error
    if kinds := getattr(config, "layer_types", None):
        config.layer_types = list(kinds)[:layers]
    return layers
