"""One stage of slimming: train a student for some steps, resuming where a run was interrupted."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import TrainerCallback, set_seed

from splitee._internal.checksums import FINGERPRINTS, damaged_file, write_fingerprints
from splitee._internal.reading import read_json
from splitee._internal.swapping import remove
from splitee.elue.flops import Flops
from splitee.models.encode import pad
from splitee.models.exits import certainty_loss, exit_losses
from splitee.models.multi_exit import MultiExitModel, load_checkpoint
from splitee.models.slender import Widths
from splitee.training.attention import attention_loss, recorded_attention
from splitee.training.distill import Teacher, prediction_loss, recorded_states, representation_loss
from splitee.training.loop import Report, accuracies, correlations, measure_of
from splitee.training.slim_recipe import SlimRecipe, Stage
from splitee.training.trainer import (
    Example,
    LengthTrainer,
    collate,
    inputs_of,
    newest_checkpoint,
    prepare,
    read_state,
    remove_checkpoints,
    train_to_the_end,
    trainer_arguments,
)


@dataclass(frozen=True)
class Lesson:
    """What all stages share: the teacher, the training and validation examples, and the options."""

    teacher: Teacher
    train_examples: Sequence[Example]
    validation_examples: Sequence[Example]
    pad_token: int
    recipe: SlimRecipe
    report: Report

    def batches(self) -> Iterator[dict[str, Tensor]]:
        """Yield the batches for importance: the recipe's share of the rows, drawn, grouped by length."""
        size, count = self.recipe.batch_size, len(self.train_examples)
        rng = np.random.default_rng(self.recipe.seed)
        drawn = rng.permutation(count)[: math.ceil(self.recipe.importance_share * count)]
        rows = sorted((self.train_examples[i] for i in sorted(drawn)), key=lambda one: len(one["input_ids"]))
        return self._collated(rows, size)

    def collate(self, batch: Sequence[Example]) -> dict[str, Tensor]:
        """Stack examples to a batch with their indices as ``rows``."""
        rows = torch.tensor([one["row"] for one in batch])
        read = [{key: value for key, value in one.items() if key != "row"} for one in batch]
        return collate(read, partial(pad, pad_id=self.pad_token)) | {"rows": rows}

    def scores(self, model: MultiExitModel) -> list[float]:
        """Return each exit's score on the validation examples."""
        was_training = model.training
        model.eval()
        logits, labels = [], []
        rows = sorted(self.validation_examples, key=lambda one: len(one["input_ids"]))
        with torch.no_grad():
            for batch in self._collated(rows, 64):
                logits.append(model(**inputs_of(batch)).logits.float().cpu().numpy())
                labels.append(batch["labels"].cpu().numpy())
        model.train(was_training)
        by_exit = correlations if model.config.regresses else accuracies
        return by_exit(np.concatenate(logits), np.concatenate(labels))

    def flops(self, model: MultiExitModel) -> float:
        """Return the FLOPs through the last exit for a text of mean length."""
        tokens = round(float(np.mean([len(one["input_ids"]) for one in self.train_examples])))
        return float(Flops.from_config(model.config.to_dict()).at(tokens)[-1])

    def size(self, model: MultiExitModel) -> str:
        """Describe parameters and FLOPs, absolute and relative to the teacher."""
        count, whole = model.num_parameters(), self.teacher.model.num_parameters()
        flops, all_flops = self.flops(model), self.flops(self.teacher.model)
        return (
            f"{count / 1e6:.2f} M parameters ({100 * count / whole:.1f} %), "
            f"{flops / 1e9:.3g} GFLOPs ({100 * flops / all_flops:.1f} %)"
        )

    def _collated(self, rows: Sequence[Example], size: int) -> Iterator[dict[str, Tensor]]:
        for first in range(0, len(rows), size):
            batch = self.collate(rows[first : first + size])
            yield {key: values.to(self.teacher.model.device) for key, values in batch.items()}


def run_stage(
    stage: Stage,
    number: int,
    student: Callable[[], MultiExitModel],
    lesson: Lesson,
    folder: Path,
    after: Callable[[MultiExitModel], MultiExitModel] = lambda learner: learner,
) -> tuple[MultiExitModel, dict[str, Any]]:
    """Train a student through a stage, and save it in ``folder/done``.

    Parameters
    ----------
    stage : Stage
        The stage.
    number : int
        Number of the stage; it is part of the seed.
    student : callable
        Creates the initial student; not called if an earlier run has begun the stage.
    lesson : Lesson
        Teacher, examples and options.
    folder : Path
        Working folder of the stage.
    after : callable
        Prunes the trained student, if the stage does so.

    Returns
    -------
    (MultiExitModel, dict)
        The student (the best of the evaluated ones, if the stage evaluates), and a record of the stage.
    """
    recipe, report = lesson.recipe, lesson.report
    done, start = folder / "done", folder / "start"
    if _is_whole(done, report):
        return _loaded(done, lesson), read_json(done / "stage.json")
    if not _is_whole(start, report):
        remove_checkpoints(folder)
        _save(student(), start)
    learner = _loaded(start, lesson)  # loaded even if new, so that a resumed run is identical
    _check_best(folder, report)
    report(f"stage {stage.name}: {lesson.size(learner)}; {stage.steps} steps at {stage.rate:.2g}")
    began = time.monotonic()
    learner.train().requires_grad_(True)
    seed = int(np.random.SeedSequence([recipe.seed, number]).generate_state(1)[0] >> 1)
    set_seed(seed)
    judge = _Judge(lesson, folder / "best", stage.evaluate_every)
    trainer = _Trainer(
        lesson.teacher if recipe.distill else None,
        stage,
        recipe,
        model=learner,
        args=trainer_arguments(
            folder,
            batch_size=recipe.batch_size,
            learning_rate=stage.rate,
            weight_decay=recipe.weight_decay,
            warmup_steps=int(recipe.warmup * stage.steps),
            seed=seed,
            precision=recipe.precision,
            save_steps=recipe.checkpoint_steps,
            max_steps=stage.steps,
            logging_steps=20,
        ),
        data_collator=lesson.collate,
        train_dataset=list(lesson.train_examples),
        callbacks=[judge],
    )
    prepare(trainer)
    evaluated = [entry for entry in train_to_the_end(trainer, folder, report) if "exits" in entry]
    learner.eval()
    if evaluated:
        learner = _loaded(folder / "best", lesson)
    learner = after(learner)
    report(f"  {stage.steps} steps in {time.monotonic() - began:.0f} s (this session)")
    record = _described(stage, learner, lesson) | ({"judged": evaluated} if evaluated else {})
    _save(learner, done, record)
    for path in (*folder.glob("checkpoint-*"), start, folder / "best"):
        shutil.rmtree(path, ignore_errors=True)
    return learner, record


def _loaded(folder: Path, lesson: Lesson) -> MultiExitModel:
    model: MultiExitModel = load_checkpoint(folder)
    model.to(lesson.teacher.model.device)
    return model


def _save(student: MultiExitModel, folder: Path, record: dict[str, Any] | None = None) -> None:
    """Save a student with fingerprints; a folder that was not finished does not match them."""
    if folder.exists():
        remove(folder)
    student.save_pretrained(folder)
    if record is not None:
        (folder / "stage.json").write_text(json.dumps(record), encoding="utf-8")
    write_fingerprints(folder)


def _is_whole(folder: Path, report: Report) -> bool:
    """Return whether a student was saved here and is not damaged; report damage."""
    if not (folder / FINGERPRINTS).exists():
        return False
    if damaged := damaged_file(folder):
        report(f"{folder} is damaged ({damaged}): it is made again")
    return not damaged


def _check_best(folder: Path, report: Report) -> None:
    """Remove the checkpoints of a stage if they refer to a best student that is missing or damaged."""
    last = newest_checkpoint(folder, report)
    history = [] if last is None else (read_state(last) or {})["log_history"]
    if any("exits" in entry for entry in history) and not _is_whole(folder / "best", report):
        report("  the best student is lost: the stage starts again")
        remove_checkpoints(folder)


def _described(stage: Stage, student: MultiExitModel, lesson: Lesson) -> dict[str, Any]:
    widths = Widths.of(student.backbone.config)
    record: dict[str, Any] = {
        "stage": stage.name,
        "steps": stage.steps,
        "parameters": student.num_parameters(),
        "flops": lesson.flops(student),
    }
    if stage.event is not None:
        heads = [list(layer) for layer in widths.heads]
        record |= {"heads": heads, "units": stage.event.units, "rank": widths.rank}
    return record


class _Trainer(LengthTrainer):
    def __init__(self, teacher: Teacher | None, stage: Stage, recipe: SlimRecipe, **options: Any) -> None:
        super().__init__(**options)
        self.teacher = teacher
        self.stage = stage
        self.temperature = recipe.temperature
        self.average = recipe.states_average
        self.attention_weight = recipe.attention_weight

    def compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, **_: Any) -> Any:
        """Return the loss of the stage at this step."""
        if self.teacher is None:
            outputs = model(**inputs)
            return (outputs.loss, outputs) if return_outputs else outputs.loss
        targets = self.teacher.targets(inputs, model)
        with recorded_states(model) as own_states, recorded_attention(model) as own_attention:
            outputs = model(**inputs_of(inputs))
        only_states = self.state.global_step < self.stage.on_states
        if self.stage.assistant and not only_states:
            soft = prediction_loss(outputs.logits, targets.logits[:, -1:], self.temperature)
            loss = (soft + exit_losses(outputs.logits, inputs["labels"]).sum()) / 2
        else:
            mask = inputs["attention_mask"]
            loss = representation_loss(own_states, targets.states, mask, self.average)
            if targets.attention:
                scores = own_attention.scores()
                loss = loss + self.attention_weight * attention_loss(scores, targets.attention, mask)
            if not only_states:
                loss = loss + prediction_loss(outputs.logits, targets.logits, self.temperature)
        if outputs.certainty is not None and self.state.global_step >= self.stage.on_states:
            loss = loss + certainty_loss(outputs.certainty, outputs.logits, inputs["labels"])
        return (loss, outputs) if return_outputs else loss


class _Judge(TrainerCallback):
    """Reports progress; after each epoch, keeps the student if the mean over its exits is the best so far.

    Its decisions depend only on the Trainer's history, so a resumed stage decides the same.
    """

    def __init__(self, lesson: Lesson, best: Path, every: int | None) -> None:
        self.lesson = lesson
        self.best = best
        self.every = every
        self.shown = time.monotonic()

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any], **_: Any) -> None:
        now = time.monotonic()
        if "loss" in logs and (now > self.shown + 10 or state.global_step == state.max_steps):
            self.shown = now
            loss = float(logs["loss"])
            self.lesson.report(f"  step {state.global_step} of {state.max_steps}: loss {loss:.4g}")

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        step = state.global_step
        if self.every is None or (step % self.every and step != state.max_steps):
            return
        scores = self.lesson.scores(model)
        before = [float(np.mean(entry["exits"])) for entry in state.log_history if "exits" in entry]
        if not before or np.mean(scores) > max(before):
            _save(model, self.best)
        state.log_history.append({"step": step, "exits": scores})
        shown = " ".join(f"{100 * score:.1f}" for score in scores)
        self.lesson.report(f"  step {step}: validation {measure_of(model)} by exit, %: {shown}")
