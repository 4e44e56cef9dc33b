"""Vision backbones of transformers as consecutive stages: ViT, DeiT, Swin, ResNet and MobileNetV2.

Each stage maps one tensor to one tensor. The states after the stages are the library's own hidden states
(its tests compare them); the last stage includes what the library applies before ``last_hidden_state``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from splitee._internal.errors import InputError

Stages = list[nn.Module]


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
