"""Shared parts of all trainings: the Trainer's arguments, batches of similar length, complete checkpoints."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_model
from torch.utils.data import Sampler
from transformers import PrinterCallback, ProgressCallback, Trainer, TrainingArguments
from transformers.trainer_pt_utils import get_length_grouped_indices

from splitee.models.encode import pad
from splitee.training.recipe import mixed_precision

Example = dict[str, Any]  # token ids of a text, and "labels"


def trainer_arguments(
    work: Path,
    *,
    batch_size: int,
    learning_rate: float,
    weight_decay: float,
    warmup_steps: int,
    seed: int,
    precision: str,
    save_steps: int,
    **more: Any,
) -> TrainingArguments:
    """Return arguments for a run in the folder `work`: AdamW, a linear schedule, two checkpoints kept."""
    mixed = mixed_precision(precision)
    return TrainingArguments(
        output_dir=str(work),
        per_device_train_batch_size=batch_size,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        warmup_steps=warmup_steps,
        lr_scheduler_type="linear",
        seed=seed,
        bf16=mixed == "bfloat16",
        fp16=mixed == "float16",
        save_strategy="steps",
        save_steps=save_steps,
        save_total_limit=2,
        report_to="none",
        remove_unused_columns=False,
        use_cpu=not torch.cuda.is_available(),
        dataloader_pin_memory=torch.cuda.is_available(),
        **more,
    )


def quiet(trainer: Trainer) -> None:
    """Remove the callbacks that print to standard output."""
    for callback in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(callback)


def collate(batch: Sequence[Example], pad_token: int) -> dict[str, torch.Tensor]:
    """Stack examples to tensors, padded on the right."""
    labels = torch.tensor([one["labels"] for one in batch])  # floats for regression
    texts = [{k: v for k, v in one.items() if k != "labels"} for one in batch]
    return pad(texts, pad_token) | {"labels": labels}


def inputs_of(batch: Mapping[str, Any]) -> dict[str, Any]:
    """Return the encoder's inputs of a batch or an example."""
    return {key: batch[key] for key in ("input_ids", "attention_mask", "token_type_ids") if key in batch}


class ByLength(Sampler[int]):
    """Groups batches by length, in an order fixed by seed and epoch, so that an epoch can be resumed."""

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        self.lengths = list(lengths)
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch (called by the Trainer)."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        seed = int(np.random.SeedSequence([self.seed, self.epoch]).generate_state(1)[0])
        generator = torch.Generator().manual_seed(seed)
        return iter(get_length_grouped_indices(self.lengths, self.batch_size, generator=generator))


class LengthTrainer(Trainer):
    """A Trainer with batches of similar length."""

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        lengths = [len(one["input_ids"]) for one in self.train_dataset]
        return ByLength(lengths, self.args.train_batch_size, self.args.seed)


def read_state(checkpoint: Path) -> dict[str, Any] | None:
    """Read a checkpoint's state, which is written last; None if writing was interrupted."""
    try:
        state: dict[str, Any] = json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return state


def newest_checkpoint(work: Path) -> Path | None:
    """Return the newest complete checkpoint, or None."""
    whole = [path for path in work.glob("checkpoint-*") if read_state(path) is not None]
    return max(whole, key=step_of) if whole else None


def train_to_the_end(trainer: Trainer, work: Path) -> list[dict[str, Any]]:
    """Train to ``max_steps`` from the newest complete checkpoint in `work`, if any; return the history.

    A run stopped after its last checkpoint is not resumed, because the Trainer would take one more step.
    """
    last = newest_checkpoint(work)
    if last is not None and step_of(last) == trainer.args.max_steps:
        load_model(trainer.model, last / "model.safetensors")
        history: list[dict[str, Any]] = (read_state(last) or {})["log_history"]
    else:
        trainer.train(resume_from_checkpoint=None if last is None else str(last))
        history = trainer.state.log_history
    return history


def step_of(checkpoint: Path) -> int:
    """Return the step in the name of a checkpoint's folder."""
    return int(checkpoint.name.rpartition("-")[2])
