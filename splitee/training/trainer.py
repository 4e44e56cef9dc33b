"""Shared parts of all trainings: the Trainer's arguments, batches of similar length, complete checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_model
from torch.utils.data import Sampler
from transformers import PrinterCallback, ProgressCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_pt_utils import get_length_grouped_indices

from splitee._internal.checksums import FINGERPRINTS, damaged_file, write_fingerprints
from splitee._internal.errors import InputError
from splitee._internal.reading import read_json
from splitee._internal.swapping import remove
from splitee.models.inputs import Batch
from splitee.training.recipe import mixed_precision

Example = dict[str, Any]  # an encoded sample, and "labels"


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


def prepare(trainer: Trainer) -> None:
    """Remove the callbacks that print to standard output; let every checkpoint get its fingerprints."""
    for callback in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(callback)
    trainer.add_callback(_Fingerprints())


def collate(examples: Sequence[Example], batch: Batch) -> dict[str, torch.Tensor]:
    """Put examples together to tensors, by the `batch` of the model's inputs."""
    labels = torch.tensor([one["labels"] for one in examples])  # floats for regression
    samples = [{k: v for k, v in one.items() if k != "labels"} for one in examples]
    return batch(samples) | {"labels": labels}


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
        lengths = [len(one.get("input_ids", "1")) for one in self.train_dataset]  # images have one size
        return ByLength(lengths, self.args.train_batch_size, self.args.seed)


class _Fingerprints(TrainerCallback):
    """Writes the fingerprints of every checkpoint, as its last file."""

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        write_fingerprints(Path(args.output_dir) / f"checkpoint-{state.global_step}")


def read_state(checkpoint: Path) -> dict[str, Any] | None:
    """Read a checkpoint's state; None if there is none that can be read."""
    try:
        state: dict[str, Any] = read_json(checkpoint / "trainer_state.json")
    except InputError:
        return None
    return state


def newest_checkpoint(
    work: Path,
    report: Callable[[str], None] = lambda line: None,
    also: Callable[[Path], bool] = lambda _: True,
) -> Path | None:
    """Return the newest checkpoint that is complete and not damaged, or None; remove those after it.

    Parameters
    ----------
    work : Path
        Folder of the checkpoints.
    report : callable
        Called with a line per damaged checkpoint.
    also : callable
        A further condition on a checkpoint.
    """
    for checkpoint in sorted(work.glob("checkpoint-*"), key=step_of, reverse=True):
        if (checkpoint / FINGERPRINTS).exists():  # else its process was killed while it wrote
            if damaged := damaged_file(checkpoint):
                report(f"{checkpoint} is damaged ({damaged}): continuing from the one before, if any")
            elif also(checkpoint):
                return checkpoint
        remove(checkpoint)
    return None


def remove_checkpoints(work: Path) -> None:
    """Remove all checkpoints of a folder."""
    for checkpoint in work.glob("checkpoint-*"):
        remove(checkpoint)


def train_to_the_end(
    trainer: Trainer, work: Path, report: Callable[[str], None] = lambda line: None
) -> list[dict[str, Any]]:
    """Train to ``max_steps`` from the newest complete checkpoint in `work`, if any; return the history.

    A run stopped after its last checkpoint is not resumed, because the Trainer would take one more step.
    """
    last = newest_checkpoint(work, report)
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
