"""Predictions for ELUE from real inference: a model run in batches with early exit under exit rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from splitee._internal.errors import InputError
from splitee.data.rows import Rows, map_labels
from splitee.elue.flops import Flops
from splitee.elue.metrics import class_numbers, get_task, source_names
from splitee.elue.predictions import Method, Setting, modules_run
from splitee.models.early_exit import infer
from splitee.models.encode import check_tokens, encode, load_tokenizer, pad, truncation_note
from splitee.models.multi_exit import load_encoder
from splitee.models.passes import plan_batches
from splitee.policies.rules import AtExit, Rule


def inferred(
    checkpoint: str | Path,
    rows: Rows,
    rules: Mapping[str, Rule],
    name: str,
    task: str,
    *,
    batch_size: int = 32,
    facts: Mapping[str, Any] | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> Method:
    """Run a checkpoint on rows under each rule, with early exit in batches of similar length.

    Parameters
    ----------
    checkpoint : path
        A folder written by `splitee train`.
    rows : Rows
        With labels named as the model's classes; without labels the result is a submission.
    rules : mapping of str to Rule
        Exit rules, keyed by the name of the setting.
    name, task : str
        Name and task of the method.
    batch_size : int
        Texts per batch.
    facts : mapping, optional
        Further facts for ``method.json``.
    report : callable
        Called with lines: progress, and the number of truncated texts.

    Returns
    -------
    Method

    Raises
    ------
    InputError
        If the checkpoint cannot be loaded, or model and task do not fit.
    """
    about = get_task(task)
    model = load_encoder(checkpoint, "ELUE's tasks are texts").to(
        "cuda" if torch.cuda.is_available() else "cpu"
    )
    if model.config.regresses != about.regression:
        kinds = ("classes", "scores")
        raise InputError(
            f"{checkpoint} predicts {kinds[model.config.regresses]}, {task} needs {kinds[about.regression]}"
        )
    if not about.regression:
        names = model.config.class_names
        numbers = class_numbers(about, names)
        rows = rows if rows.label is None else map_labels(rows, names, source_names(about, names))
    tokenizer = load_tokenizer(checkpoint)
    limit = model.config.max_tokens
    encoded = encode(tokenizer, rows.text, limit)
    check_tokens(encoded, limit, model.backbone.config.vocab_size, model.positions)
    lengths = np.array([len(one["input_ids"]) for one in encoded], dtype=np.int64)
    if note := truncation_note(tokenizer, rows.text, encoded, limit):
        report(note)
    flops = Flops.from_config(model.config.to_dict())
    settings = {}
    for setting, rule in rules.items():
        prediction = np.zeros(len(rows), dtype=np.float64 if about.regression else np.int64)
        exits = np.zeros(len(rows), dtype=np.int64)
        for members in plan_batches(lengths, batch_size):
            inputs = pad([encoded[i] for i in members], tokenizer.pad_token_id)
            answers = infer(model, {key: value.to(model.device) for key, value in inputs.items()}, rule)
            prediction[members] = answers.logits[:, 0] if about.regression else numbers[answers.prediction]
            exits[members] = answers.exit
        alone = isinstance(rule, AtExit)
        counts = flops.at(lengths, every_exit=not alone)
        layer = np.asarray(model.exits, dtype=np.int64)[exits - 1]
        width = model.backbone.config.hidden_size
        ran = [
            modules_run(tokens, width, at, [at] if alone else model.exits)
            for tokens, at in zip(lengths.tolist(), layer.tolist(), strict=True)
        ]
        settings[setting] = Setting(prediction, layer, counts[np.arange(len(rows)), exits - 1], ran)
        report(f"{setting}: {layer.mean():.2f} of {len(model.layers)} layers")
    record = {"parameters": model.num_parameters(), "data": rows.identity, **dict(facts or {})}
    right = rows.label if rows.label is None or about.regression else numbers[rows.label]
    return Method(name, task, right, settings, record)
