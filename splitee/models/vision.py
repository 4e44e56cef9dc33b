"""Vision backbones of transformers as consecutive stages: ViT, DeiT, Swin, ResNet and MobileNetV2.

Each stage maps one tensor to one tensor. The states after the stages are the library's own hidden states
(its tests compare them); the last stage includes what the library applies before ``last_hidden_state``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel
from transformers.utils import cached_file

from splitee._internal.errors import InputError
from splitee._internal.reading import read_json
from splitee.models.loading import UNREADABLE, check_backbone, check_weights

Stages = list[nn.Module]
_SIDE = 224  # pixels, if nothing says how many


class _Swin(nn.Module):
    """A stage of Swin, which also reads the height and width of its grid of patches."""

    def __init__(self, stage: nn.Module, grid: tuple[int, int]) -> None:
        super().__init__()
        self.stage, self.grid = stage, grid

    def forward(self, hidden: Tensor) -> Tensor:
        state: Tensor = self.stage(hidden, self.grid)[0]
        return state


class _Patches(nn.Module):
    """The patch embeddings of Swin, without the size of the grid that they return too."""

    def __init__(self, embeddings: nn.Module) -> None:
        super().__init__()
        self.embeddings = embeddings

    def forward(self, pixels: Tensor) -> Tensor:
        state: Tensor = self.embeddings(pixels)[0]
        return state


def _vit(backbone: Any) -> Stages:
    first, *between = backbone.layers
    stages = [nn.Sequential(backbone.embeddings, first), *between]
    return [*stages[:-1], nn.Sequential(stages[-1], backbone.layernorm)]


def _swin(backbone: Any) -> Stages:
    height, width = backbone.embeddings.patch_grid
    stages: Stages = []
    for stage in backbone.encoder.layers:
        stages.append(_Swin(stage, (height, width)))
        if stage.downsample is not None:
            height, width = (height + 1) // 2, (width + 1) // 2
    first = nn.Sequential(_Patches(backbone.embeddings), stages[0])
    return [first, *stages[1:-1], nn.Sequential(stages[-1], backbone.layernorm)]


def _resnet(backbone: Any) -> Stages:
    first, *others = backbone.encoder.stages
    return [nn.Sequential(backbone.embedder, first), *others]


def _mobilenet(backbone: Any) -> Stages:
    first, *others = backbone.layer
    return [nn.Sequential(backbone.conv_stem, first), *others, backbone.conv_1x1]


VISION: dict[str, Callable[[Any], Stages]] = {
    "vit": _vit,
    "deit": _vit,
    "swin": _swin,
    "resnet": _resnet,
    "mobilenet_v2": _mobilenet,
}


def stages_of(backbone: Any) -> Stages:
    """Return the stages of a vision backbone of transformers.

    Raises
    ------
    InputError
        If it is of another family.
    """
    kind = getattr(getattr(backbone, "config", None), "model_type", type(backbone).__name__)
    if kind not in VISION:
        raise InputError(
            f"a backbone of type {kind!r} has no known stages ({', '.join(VISION)} have): give the stages "
            "themselves to StagedModel"
        )
    return VISION[kind](backbone)


def load_vision(name: str | Path) -> Any:
    """Load a pretrained vision backbone of transformers in float32.

    Parameters
    ----------
    name : str or path
        A folder, or a name on the hub.

    Raises
    ------
    InputError
        If it cannot be loaded, or is of a family whose stages are not known.
    """
    config = _config(name)
    if config.model_type not in VISION:
        raise InputError(
            f"{name} is of type {config.model_type!r}: images need a vision backbone ({', '.join(VISION)}) "
            "or a checkpoint of stages"
        )
    try:
        backbone, loading = AutoModel.from_pretrained(
            str(name), config=config, use_safetensors=True, dtype=torch.float32, output_loading_info=True
        )
    except UNREADABLE as error:
        why = " ".join(str(error).split())[:200]
        raise InputError(f"{name}: no vision backbone could be loaded from safetensors ({why})") from error
    # the pooler that some checkpoints lack is no stage
    check_weights(name, backbone, {key for key in loading["missing_keys"] if not key.startswith("pooler.")})
    return backbone


def image_form(name: str | Path, size: int | None = None) -> dict[str, Any]:
    """Return how a vision backbone takes images, as options of `StagedConfig`.

    Parameters
    ----------
    name : str or path
        A folder, or a name on the hub. Its ``preprocessor_config.json`` names mean and standard deviation.
    size : int, optional
        Pixels per side. Default: as the backbone's configuration or preprocessor has it, else 224.

    Raises
    ------
    InputError
        If a file is damaged.
    """
    config = _config(name)
    file = cached_file(
        str(name), "preprocessor_config.json", _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_gated_repo=False, _raise_exceptions_for_connection_errors=False,
    )  # fmt: skip
    found = read_json(file) if file is not None else {}
    try:
        sides = found.get("size", {})
        if isinstance(sides, dict):
            sides = sides.get("height") or sides.get("shortest_edge")
        side = size or getattr(config, "image_size", None) or sides or _SIDE
        scale = found.get("rescale_factor", 1 / 255) if found.get("do_rescale", True) else 1.0
        form: dict[str, Any] = {"image_size": int(side)}
        if found.get("do_normalize", True) and "image_mean" in found:
            form["image_mean"] = [float(value) / scale for value in found["image_mean"]]
            form["image_std"] = [float(value) / scale for value in found["image_std"]]
    except (TypeError, ValueError, KeyError, AttributeError, ArithmeticError) as error:
        why = f"{type(error).__name__}: {error}"
        raise InputError(f"{name}: its preprocessor_config.json is damaged ({why})") from error
    return form


def _config(name: str | Path) -> Any:
    """Return the library's configuration of a backbone."""
    check_backbone(name)
    try:
        return AutoConfig.from_pretrained(str(name))
    except UNREADABLE as error:
        where = "" if Path(name).is_dir() else "no such folder here, and from the hub "
        why = " ".join(str(error).split())[:200]
        raise InputError(f"{name}: {where}no configuration could be loaded ({why})") from error
