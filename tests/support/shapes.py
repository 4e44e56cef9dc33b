"""Pictures with something to learn, and toy vision backbones on disk, made in code."""

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from transformers import AutoModel, DeiTConfig, MobileNetV2Config, ResNetConfig, SwinConfig, ViTConfig

CLASSES = ("bar", "dot")
_VIT = {
    "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 24,
    "image_size": 32, "patch_size": 8,
}  # fmt: skip
CONFIGS = {
    "vit": ViTConfig(**_VIT),
    "deit": DeiTConfig(**_VIT),
    "swin": SwinConfig(
        image_size=32, patch_size=4, embed_dim=8, depths=[1, 2], num_heads=[2, 2], window_size=4
    ),
    "resnet": ResNetConfig(embedding_size=4, hidden_sizes=[4, 6, 8], depths=[1, 1, 2], layer_type="basic"),
    "mobilenet_v2": MobileNetV2Config(depth_multiplier=0.25, image_size=32),
}
_SMALL = {
    "vit": ViTConfig(**_VIT | {"image_size": 16, "patch_size": 4}),
    "resnet": ResNetConfig(embedding_size=8, hidden_sizes=[8, 12], depths=[1, 1], layer_type="basic"),
}


def folder(place: Path, count: int, seed: int = 0) -> Path:
    """A folder per class: bars that lie, and dots."""
    rng = np.random.default_rng(seed)
    for i in range(count):
        name = CLASSES[i % 2]
        picture = Image.new("RGB", (24, 20), tuple(rng.integers(0, 90, 3).tolist()))
        x, y = int(rng.integers(2, 10)), int(rng.integers(2, 10))
        box = [x, y, x + 12, y + 2] if name == "bar" else [x, y, x + 6, y + 7]
        ImageDraw.Draw(picture).rectangle(box, fill=tuple(rng.integers(180, 256, 3).tolist()))
        (place / name).mkdir(parents=True, exist_ok=True)
        picture.save(place / name / f"{i:03d}.png")
    return place


def backbone(place: Path, kind: str = "resnet", **preprocessor: object) -> Path:
    """A pretrained vision backbone's folder, as the library writes it."""
    torch.manual_seed(0)
    AutoModel.from_config(_SMALL[kind]).save_pretrained(place)
    if preprocessor:
        (place / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    return place
