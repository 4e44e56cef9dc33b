"""Slimming a checkpoint in stages: heads, units and rank go step by step, and what was lost is won back.

COST-EFF (Shen et al. 2022): a full-size multi-exit teacher; then, event by event, importance over the loss of
all exits, fewer heads, units and a lower rank, and some training in between; then training on the teacher's
states alone; then on its states and its exits' answers. Every stage has its own optimiser and schedule, and
its own folder: a run that was killed goes on in the stage where it stopped.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import TrainerCallback, set_seed

from splitee.checkpoints import file_sha256
from splitee.errors import InputError
from splitee.files import claimed_folder, discard, refuse_existing
from splitee.models.config import MultiExitConfig
from splitee.models.encode import load_tokenizer
from splitee.models.multi_exit import MultiExitModel, exit_losses, load_checkpoint
from splitee.models.slender import Widths, check_slimmable, slim
from splitee.rows import Rows, check_learnable, map_labels
from splitee.training.distill import noted_states, prediction_loss, representation_loss
from splitee.training.finishing import examples, finish
from splitee.training.importance import Importance, inputs_of, keep_best, taylor_importance
from splitee.training.loop import Report
from splitee.training.slim_recipe import Event, SlimRecipe, Stage, plan
from splitee.training.trainer import (
    ByLength,
    Example,
    LengthTrainer,
    collate,
    newest_checkpoint,
    quiet,
    trainer_arguments,
)

HARD = 0.1  # share of the hard labels in the loss that importance is taken of (the authors' code)


def slim_checkpoint(
    checkpoint: str | Path,
    train: Rows,
    validation: Rows,
    out: str | Path,
    recipe: SlimRecipe,
    *,
    overwrite: bool = False,
    report: Report = lambda line: None,
) -> MultiExitModel:
    """Slim a fine-tuned checkpoint, which teaches, and write the student and its validation trace to `out`.

    While it runs, stages are in ``OUT.partial``; the same call resumes there after an interruption, in the
    stage where it stopped, and keeps the same heads and units.

    Parameters
    ----------
    checkpoint : path
        A folder written by `splitee train`: all exits' answers and all layers' states teach.
    train, validation : Rows
        Labelled, with names that the model's classes have. α is chosen on validation.

    Raises
    ------
    FileExistsError
        Where `out` exists and `overwrite` is false.
    InputError
        Where the encoder cannot be slimmed so, or ``OUT.partial`` belongs to another run.
    """
    checkpoint, out = Path(checkpoint), Path(out)
    refuse_existing(out, overwrite)
    if out.exists() and not (out / "config.json").is_file():
        raise InputError(f"{out} exists and is no checkpoint: it is not overwritten")
    teacher = load_checkpoint(checkpoint)
    config = teacher.backbone.config
    check_slimmable(config)
    for rows in (train, validation):
        check_learnable(rows)
        if rows.regression != teacher.config.regresses:
            raise InputError(f"{rows.name} and {checkpoint} do not go together: one has scores, one classes")
    if not teacher.config.regresses:
        names = [teacher.config.id2label[i] for i in range(teacher.config.num_labels)]
        train, validation = (map_labels(rows, names, {}) for rows in (train, validation))
    tokenizer = load_tokenizer(checkpoint)
    learned = examples(teacher, tokenizer, train, teacher.config.max_tokens)
    steps = -(-len(learned) // recipe.batch_size)
    stages = plan(_present(teacher), recipe, steps)
    claim = {
        "checkpoint": file_sha256(checkpoint / "model.safetensors"),
        "recipe": asdict(recipe),
        "data": [train.identity, validation.identity],
    }
    device = "cuda" if torch.cuda.is_available() else "cpu"
    teacher.to(device).eval().requires_grad_(False)
    with claimed_folder(out, claim) as work:
        student: MultiExitModel | None = None
        history = []
        for number, stage in enumerate(stages):
            folder = work / f"{number:02d}-{stage.name}"
            student = _stage(
                stage, number, student or teacher, teacher, learned, tokenizer, recipe, folder, report
            )
            history.append(_described(stage, student))
        assert student is not None
        student.config.training = (teacher.config.training or {}) | {
            "slimmed": {"from": checkpoint.resolve().name, "recipe": asdict(recipe), "stages": history}
        }
        student.config.recommended_threshold = None
        finish(student, tokenizer, validation, recipe.alpha_rule, work, out, overwrite, report)
        return student


def _present(model: MultiExitModel) -> Event:
    """The size of a model's layers, all of one size."""
    widths = Widths.of(model.backbone.config)
    rank = widths.rank if widths.rank is not None else model.backbone.config.hidden_size
    sizes = {(len(heads), units) for heads, units in zip(widths.heads, widths.units, strict=True)}
    if len(sizes) > 1:
        raise InputError("the layers of this encoder are of several widths: only an even one is slimmed on")
    ((heads, units),) = sizes
    return Event(heads, units, rank)


def _described(stage: Stage, student: MultiExitModel) -> dict[str, Any]:
    widths = Widths.of(student.backbone.config)
    told: dict[str, Any] = {"stage": stage.name, "steps": stage.steps, "parameters": student.num_parameters()}
    if stage.event is not None:
        told |= {
            "heads": [list(layer) for layer in widths.heads],
            "units": stage.event.units,
            "rank": widths.rank,
        }
    return told


def _stage(
    stage: Stage,
    number: int,
    before: MultiExitModel,
    teacher: MultiExitModel,
    learned: list[Example],
    tokenizer: Any,
    recipe: SlimRecipe,
    folder: Path,
    report: Report,
) -> MultiExitModel:
    """Take away what the stage takes away, train, and leave the student in ``folder/done``."""
    device = teacher.device
    done, start = folder / "done", folder / "start"
    if done.is_dir():
        student = load_checkpoint(done)
        student.to(device)
        return student
    if start.is_dir():
        student = load_checkpoint(start)
    else:
        student = before
        if stage.event is not None:
            student = _slimmed(stage.event, number, before, teacher, learned, tokenizer, recipe)
        _save(student, start)
        student = load_checkpoint(start)  # as a resumed run finds it
    size = student.num_parameters() / 1e6
    report(f"stage {stage.name}: {size:.2f} M parameters, {stage.steps} steps at {stage.rate:.2g}")
    student.to(device).train().requires_grad_(True)
    set_seed(recipe.seed + number)
    trainer = _Trainer(
        teacher if recipe.distill else None,
        stage,
        recipe.temperature,
        model=student,
        args=trainer_arguments(
            folder,
            batch_size=recipe.batch_size,
            learning_rate=stage.rate,
            weight_decay=recipe.weight_decay,
            warmup_steps=int(recipe.warmup * stage.steps),
            seed=recipe.seed + number,
            precision=recipe.precision,
            save_steps=recipe.checkpoint_steps,
            max_steps=stage.steps,
            logging_steps=20,
        ),
        data_collator=lambda batch: collate(batch, tokenizer.pad_token_id),
        train_dataset=learned,
        callbacks=[_Told(report)],
    )
    quiet(trainer)
    last = newest_checkpoint(folder)
    if stage.steps:
        trainer.train(resume_from_checkpoint=None if last is None else str(last))
    student.eval()
    _save(student, done)
    for path in (*folder.glob("checkpoint-*"), start):
        shutil.rmtree(path)
    return student


def _save(student: MultiExitModel, folder: Path) -> None:
    """Write a student so that no half of it is ever found under its name."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = folder.with_name(f".{folder.name}")
    if unfinished.exists():
        discard(unfinished)
    student.save_pretrained(unfinished)
    unfinished.rename(folder)


def _slimmed(
    event: Event,
    number: int,
    before: MultiExitModel,
    teacher: MultiExitModel,
    learned: list[Example],
    tokenizer: Any,
    recipe: SlimRecipe,
) -> MultiExitModel:
    """Make the smaller student of an event."""
    widths = Widths.of(before.backbone.config)
    if recipe.importance == "random":
        rng = np.random.default_rng([recipe.seed, number])
        scores = Importance(
            [rng.random(len(heads)) for heads in widths.heads], [rng.random(units) for units in widths.units]
        )
    else:
        before.requires_grad_(True)
        batches = _batches(learned, tokenizer.pad_token_id, recipe, before.device)
        exits = slice(None) if recipe.every_exit else slice(-1, None)

        def loss(logits: Tensor, batch: dict[str, Tensor]) -> Tensor:
            with torch.no_grad():
                taught = teacher(**inputs_of(batch)).logits
            soft = prediction_loss(logits[:, exits], taught[:, exits], recipe.temperature)
            return (1 - HARD) * soft + HARD * exit_losses(logits[:, exits], batch["labels"]).sum()

        scores = taylor_importance(before, batches, loss, recipe.importance)
        before.requires_grad_(before is not teacher)
    heads, units = keep_best(scores, widths, event.heads, event.units)
    rank = None if event.rank == before.backbone.config.hidden_size else event.rank
    encoder = slim(before.backbone, heads, units, rank)
    described = before.config.to_dict() | {"backbone": encoder.config.to_dict()}
    described.pop("model_type", None)
    student = MultiExitModel(MultiExitConfig(**described), encoder)
    student.exit_heads.load_state_dict(before.exit_heads.state_dict())
    student.eval()
    return student


def _batches(
    learned: Sequence[Example], pad_token: int, recipe: SlimRecipe, device: torch.device
) -> Iterator[dict[str, Tensor]]:
    order = list(ByLength([len(one["input_ids"]) for one in learned], recipe.batch_size, recipe.seed))
    for first in range(0, len(order), recipe.batch_size):
        batch = collate([learned[i] for i in order[first : first + recipe.batch_size]], pad_token)
        yield {key: values.to(device) for key, values in batch.items()}


class _Trainer(LengthTrainer):
    def __init__(
        self, teacher: MultiExitModel | None, stage: Stage, temperature: float, **options: Any
    ) -> None:
        super().__init__(**options)
        self.teacher = teacher
        self.stage = stage
        self.temperature = temperature

    def compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, **_: Any) -> Any:
        """What the stage minimises at this step."""
        if self.teacher is None:
            outputs = model(**inputs)
            return (outputs.loss, outputs) if return_outputs else outputs.loss
        read = inputs_of(inputs)
        with torch.no_grad(), noted_states(self.teacher) as theirs:
            taught = self.teacher(**read).logits
        with noted_states(model) as ours:
            outputs = model(**read)
        loss = representation_loss(ours, theirs, inputs["attention_mask"])
        if self.state.global_step >= self.stage.on_states:
            loss = loss + prediction_loss(outputs.logits, taught, self.temperature)
        return (loss, outputs) if return_outputs else loss


class _Told(TrainerCallback):
    def __init__(self, report: Report) -> None:
        self.report = report

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any], **_: Any) -> None:
        if "loss" in logs:
            self.report(f"  step {state.global_step} of {state.max_steps}: loss {float(logs['loss']):.4g}")
