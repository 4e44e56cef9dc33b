"""Toy checkpoints in the layout of COST-EFF's authors: their names, random weights."""

import json
from pathlib import Path

import torch
import toys
from safetensors.torch import save_file
from torch import Tensor

BASE = {
    "architectures": ["CosteffForSequenceClassification"],
    "model_type": "bert",
    "vocab_size": 45,
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,  # of four
    "prun_hidden_size": 8,
    "intermediate_size": 24,
    "prun_intermediate_size": 10,
    "emb_hidden_dim": 5,
    "head_to_distill": [[0, 2], [1, 3], [2, 3]],
    "hidden_act": "gelu",
    "max_position_embeddings": 40,
    "type_vocab_size": 2,
    "hidden_mode": "concat",
    "pooling_mode": "cls",
    "last_n_hidden": 1,
    "pooler_dense": False,
    "pad_token_id": 1,
}


def write(folder: Path, change: dict, safe: bool = False) -> tuple[dict, dict[str, Tensor]]:
    """A checkpoint with the names of their weights."""
    config = BASE | change
    hidden, inner, units = (config[k] for k in ("hidden_size", "prun_hidden_size", "prun_intermediate_size"))
    rank, depth, classes = (
        config["emb_hidden_dim"],
        config["num_hidden_layers"],
        len(config.get("id2label", "ab")),
    )
    shapes: dict[str, tuple[int, ...]] = {}

    def linear(name: str, out: int, of: int) -> None:
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = (out, of), (out,)

    def norm(name: str) -> None:
        shapes[f"{name}.weight"] = shapes[f"{name}.bias"] = (hidden,)

    if rank == -1:
        shapes["bert.embeddings.word_embeddings.weight"] = (config["vocab_size"], hidden)
    else:
        shapes["bert.embeddings.word_embeddings1.weight"] = (config["vocab_size"], rank)
        shapes["bert.embeddings.word_embeddings2.weight"] = (hidden, rank)
    shapes["bert.embeddings.position_embeddings.weight"] = (40, hidden)
    shapes["bert.embeddings.token_type_embeddings.weight"] = (2, hidden)
    norm("bert.embeddings.LayerNorm")
    for i in range(depth):
        at = f"bert.encoder.layer.{i}"
        for name in ("query", "key", "value"):
            linear(f"{at}.attention.self.{name}", inner, hidden)
        linear(f"{at}.attention.output.dense", hidden, inner)
        norm(f"{at}.attention.output.LayerNorm")
        linear(f"{at}.intermediate.dense", units, hidden)
        linear(f"{at}.output.dense", hidden, units)
        norm(f"{at}.output.LayerNorm")
    several = config["hidden_mode"] == "concat" and not config["pooler_dense"]
    for i in range(depth):
        exit_, pooler = (
            (f"bert.encoder.highway.{i}.classifier", f"bert.encoder.highway.{i}.pooler.dense")
            if i < depth - 1
            else ("classifier", "bert.pooler.dense")
        )
        linear(exit_, classes, hidden * (min(config["last_n_hidden"], i + 2) if several else 1))
        if config["pooler_dense"]:
            linear(pooler, hidden, hidden)
    generator = torch.Generator().manual_seed(0)
    weights = {name: torch.randn(shape, generator=generator) * 0.4 for name, shape in shapes.items()}
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    stored = weights | {"bert.embeddings.position_ids": torch.arange(40)[None]}
    if safe:
        save_file(stored, folder / "model.safetensors")
    else:
        torch.save(stored, folder / "pytorch_model.bin")
    toys.tokenizer().save_pretrained(folder)
    return config, weights
