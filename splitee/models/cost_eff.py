"""Checkpoints of COST-EFF's authors (Shen et al. 2022), read into a slender multi-exit model.

Their ``config.json`` says ``"model_type": "bert"`` and has these keys besides BERT's: ``prun_hidden_size``
and ``prun_intermediate_size`` (the width of all heads and the feed-forward units that are left),
``num_attention_heads`` (the heads that are left), ``head_to_distill`` (their numbers in the full encoder),
``emb_hidden_dim`` (rank of the word embedding; −1: not factorised), ``last_n_hidden`` and ``hidden_mode``
(``concat`` or ``avg``: the states that an exit reads), ``pooling_mode`` (``cls`` or ``avg``) and
``pooler_dense``. In the weights, ``bert.encoder.highway.{i}`` is the exit after layer i + 1, and
``classifier`` is the last one.

One thing differs: with ``pooling_mode`` ``avg`` their code averages over padding too, this package does not.
Texts without padding get the same answers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from splitee._internal.errors import InputError
from splitee._internal.reading import read_json
from splitee.models.checkpoints import MOST_CONFIG, check_sizes
from splitee.models.config import MultiExitConfig
from splitee.models.loading import UNREADABLE, WRONG_VALUES, check_weights
from splitee.models.multi_exit import MultiExitModel
from splitee.models.slender import SlenderBertConfig, Widths

_MARK = "prun_hidden_size"  # in no other configuration
_OF_BERT = (
    *("vocab_size", "hidden_size", "num_hidden_layers", "hidden_act", "intermediate_size", "pad_token_id"),
    *("hidden_dropout_prob", "attention_probs_dropout_prob", "max_position_embeddings", "type_vocab_size"),
    *("initializer_range", "layer_norm_eps"),
)
_POOLINGS = {"cls": "first", "avg": "mean"}
_JOINS = {"concat": "concat", "avg": "mean"}


def is_cost_eff(config: Mapping[str, Any]) -> bool:
    """Return whether a configuration (config.json) is one of COST-EFF's authors' code."""
    return _MARK in config


def to_multi_exit(folder: str | Path, **options: Any) -> MultiExitModel:
    """Convert a checkpoint of COST-EFF's authors' code, a teaching assistant or a pruned model.

    Parameters
    ----------
    folder : str or path
        With ``config.json`` and ``pytorch_model.bin`` or ``model.safetensors``.
    **options
        Passed to `MultiExitConfig`, such as ``id2label``, ``max_tokens`` (default: 128, as in their scripts)
        and, for regression, ``score_range``.

    Raises
    ------
    InputError
        If the folder holds no such checkpoint, or its weights are damaged or do not fit its configuration.
    """
    folder = Path(folder)
    file = folder / "config.json"
    if not file.is_file():
        raise InputError(f"{folder}: no checkpoint there (config.json is missing)")
    config = read_json(file, MOST_CONFIG)
    if not isinstance(config, dict) or not is_cost_eff(config):
        raise InputError(f"{folder} is no checkpoint of COST-EFF's code ({_MARK} is missing in config.json)")
    check_sizes(config, file)
    try:
        described = _described(config, options)
    except InputError as error:
        raise InputError(f"{file}: {error}") from error
    except WRONG_VALUES as error:
        why = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise InputError(f"{file} is damaged: {why}") from error
    model = MultiExitModel(described)
    weights = {_renamed(name, len(model.exits)): values for name, values in _weights(folder).items()}
    weights.pop("", None)
    try:
        missing, foreign = model.load_state_dict(weights, strict=False)
    except RuntimeError as error:
        raise InputError(
            f"{folder}: its weights do not fit config.json ({' '.join(str(error).split())[:200]})"
        ) from error
    if foreign:
        raise InputError(f"{folder}: weights of an unknown name, such as {foreign[0]}")
    check_weights(folder, model, missing)
    model.eval()
    return model


def _described(config: Mapping[str, Any], options: Mapping[str, Any]) -> MultiExitConfig:
    depth, kept = int(config["num_hidden_layers"]), int(config["num_attention_heads"])
    size = int(config[_MARK]) // kept
    numbers = config.get("head_to_distill") or [range(kept)] * depth
    heads = tuple(tuple(int(head) for head in layer) for layer in numbers[:depth])
    if int(config[_MARK]) != kept * size or any(len(layer) != kept for layer in heads):
        raise ValueError(f"head_to_distill does not name {kept} heads per layer")
    rank = int(config.get("emb_hidden_dim", -1))
    units = (int(config["prun_intermediate_size"]),) * depth
    widths = Widths(heads, units, None if rank == -1 else rank)
    backbone = SlenderBertConfig(
        **{key: config[key] for key in _OF_BERT if key in config},
        num_attention_heads=int(config["hidden_size"]) // size,
        slender=widths.to_dict(),
    )
    widths.check(backbone)
    dense = bool(config.get("pooler_dense", False))
    classes = len(config.get("id2label") or "ab")  # as the library: two by default
    return MultiExitConfig(
        backbone.to_dict(),
        **{
            "pooling": "first" if dense else _POOLINGS[config.get("pooling_mode", "cls")],
            "exit_dense": dense,
            "exit_dropout": float(config.get("hidden_dropout_prob", 0.1)),
            "exit_states": 1 if dense else int(config.get("last_n_hidden", 1)),
            "exit_join": _JOINS[config.get("hidden_mode", "concat")],
            "num_labels": classes,
            **({"id2label": _names(config["id2label"])} if config.get("id2label") else {}),
            **options,
        },
    )


def _names(names: Mapping[Any, Any]) -> dict[int, str]:
    return {int(number): str(name) for number, name in names.items()}


def _renamed(name: str, exits: int) -> str:
    """Return our name of a weight; "" for the positions, which are no weight."""
    if name.endswith("embeddings.position_ids"):
        return ""
    last = exits - 1
    for pattern, ours in (
        (r"bert\.embeddings\.word_embeddings1\.", "backbone.embeddings.word_embeddings.words."),
        (r"bert\.embeddings\.word_embeddings2\.", "backbone.embeddings.word_embeddings.up."),
        (r"bert\.encoder\.highway\.(\d+)\.classifier\.", r"exit_heads.\1.classifier."),
        (r"bert\.encoder\.highway\.(\d+)\.pooler\.dense\.", r"exit_heads.\1.dense."),
        (r"bert\.pooler\.dense\.", f"exit_heads.{last}.dense."),
        (r"classifier\.", f"exit_heads.{last}.classifier."),
        (r"bert\.", "backbone."),
    ):
        if re.match(pattern, name):
            return re.sub(f"^{pattern}", ours, name)
    return name


def _weights(folder: Path) -> dict[str, Tensor]:
    try:
        if (folder / "model.safetensors").is_file():
            return dict(load_file(folder / "model.safetensors"))
        file = folder / "pytorch_model.bin"
        if not file.is_file():
            raise InputError(f"{folder}: pytorch_model.bin or model.safetensors is missing")
        loaded = torch.load(file, map_location="cpu", weights_only=True)  # tensors, no code
        return {str(name): values for name, values in loaded.items() if isinstance(values, Tensor)}
    except InputError:
        raise
    except (*UNREADABLE, AttributeError) as error:
        why = " ".join(str(error).split())[:200]
        raise InputError(f"{folder}: its weights cannot be read: {why}") from error
