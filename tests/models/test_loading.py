"""Backbones from folders: whole, cut short, missing."""

import pytest
import torch
import toys
from torch import nn

from splitee._internal.errors import InputError
from splitee.models.exits import ExitHead
from splitee.models.loading import load_backbone, start_exits


def test_a_backbone_with_its_first_layers(tmp_path):
    toys.backbone(tmp_path)
    backbone, missing = load_backbone(tmp_path, "half")
    assert (backbone.config.num_hidden_layers, backbone.dtype, missing) == (2, torch.float32, set())
    with pytest.raises(InputError, match="has 4 layers: cannot keep 9, give fewer"):
        load_backbone(tmp_path, 9)
    with pytest.raises(InputError, match="no such folder here, and from the hub no encoder could be loaded"):
        load_backbone(tmp_path / "none")


def test_exits_start_from_their_layers_pooler_else_from_the_one_for_all():
    heads = [(layer, ExitHead(8, 2, 0.0)) for layer in (1, 2, 3)]
    second, every = nn.Linear(8, 8), nn.Linear(8, 8)
    random = heads[0][1].dense.weight.clone()
    with pytest.warns(UserWarning, match="no pretrained pooler at layers 1, 3"):
        start_exits("toy", heads, {2: second}, None)
    assert torch.equal(heads[0][1].dense.weight, random)
    assert torch.equal(heads[1][1].dense.weight, second.weight)
    start_exits("toy", heads, {}, every)
    assert all(torch.equal(head.dense.bias, every.bias) for _, head in heads)
