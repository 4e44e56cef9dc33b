"""Slimming a checkpoint in stages: heads, units and rank go step by step, and what was lost is won back.

COST-EFF (Shen et al. 2022): a full-size multi-exit teacher; then, event by event, importance over the loss of
all exits, fewer heads, units and a lower rank, and some training in between; then training on the teacher's
states alone; then on its states and its exits' answers. Every stage has its own optimiser and schedule, and
its own folder: a run that was killed goes on in the stage where it stopped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch

from splitee._internal.errors import InputError
from splitee._internal.files import claimed_folder
from splitee.data.rows import Rows, check_learnable, map_labels
from splitee.models.checkpoints import check_out, file_sha256, find_checkpoint
from splitee.models.encode import load_tokenizer
from splitee.models.multi_exit import MultiExitModel, load_checkpoint
from splitee.models.slender import check_slimmable
from splitee.training.distill import Teacher
from splitee.training.finishing import examples, finish
from splitee.training.loop import Report, measure_of
from splitee.training.pruning import first_layers, size_of, smaller
from splitee.training.recipe import mixed_precision
from splitee.training.slim_recipe import SlimRecipe, Stage, assistant_stage, plan
from splitee.training.slim_stage import Lesson, run_stage
from splitee.training.trainer import Example


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
        Labelled, with names that the model's classes have. The best epoch of the last stage, by the mean
        over exits, and α are chosen on validation.

    Raises
    ------
    FileExistsError
        Where `out` exists and `overwrite` is false.
    InputError
        Where the encoder cannot be slimmed so, or ``OUT.partial`` belongs to another run.
    """
    checkpoint, out = find_checkpoint(checkpoint), Path(out)
    check_out(out, overwrite)
    teacher = load_checkpoint(checkpoint)
    check_slimmable(teacher.backbone.config)
    train, validation = (_answered(rows, teacher, checkpoint) for rows in (train, validation))
    tokenizer = load_tokenizer(checkpoint)
    learned, judged = (
        [
            one | {"row": row}
            for row, one in enumerate(examples(teacher, tokenizer, rows, teacher.config.max_tokens))
        ]
        for rows in (train, validation)
    )
    steps = -(-len(learned) // recipe.batch_size)
    student = _cut(teacher, recipe)
    stages, assistant = plan(size_of(student), recipe, steps), assistant_stage(recipe, steps)
    claim = {
        "checkpoint": file_sha256(checkpoint / "model.safetensors"),
        "recipe": asdict(recipe),
        "data": [train.identity, validation.identity],
    }
    with claimed_folder(out, claim) as work:
        lesson = _lesson(teacher, learned, judged, tokenizer.pad_token_id, recipe, report)
        if _judged_on(teacher) not in (None, validation.identity.get("sha256")):
            report(
                f"note: the teacher was judged on other rows than {validation.name}'s: if it was trained on "
                "some of these, the best epoch and α are chosen too favourably"
            )
        history = []
        if assistant is not None:
            begin = partial(_begin, teacher, assistant, len(stages), lesson)
            teacher, told = run_stage(assistant, len(stages), begin, lesson, work / assistant.name)
            history.append(told)
            lesson = _lesson(teacher, learned, judged, tokenizer.pad_token_id, recipe, report)
            student = _cut(teacher, recipe)
        student.to(teacher.device)
        for number, stage in enumerate(stages):
            begin = partial(_begin, student, stage, number, lesson)
            student, told = run_stage(stage, number, begin, lesson, work / f"{number:02d}-{stage.name}")
            history.append(told)
        student.config.training = (teacher.config.training or {}) | {
            "slimmed": {"from": checkpoint.resolve().name, "recipe": asdict(recipe), "stages": history}
        }
        student.config.recommended_threshold = None
        finish(student, tokenizer, validation, recipe.alpha_rule, work, out, overwrite, report)
        return student


def _lesson(
    teacher: MultiExitModel,
    learned: Sequence[Example],
    judged: Sequence[Example],
    pad_token: int,
    recipe: SlimRecipe,
    report: Report,
) -> Lesson:
    """Let a model teach: it learns no more, and notes what it has to say."""
    teacher.to("cuda" if torch.cuda.is_available() else "cpu").eval().requires_grad_(False)
    mixed = mixed_precision(recipe.precision)
    narrow = None if mixed == "float32" else getattr(torch, mixed)
    taught = Teacher(teacher, learned, pad_token, narrow, note=recipe.distill)
    lesson = Lesson(taught, learned, judged, pad_token, recipe, report)
    shown = " ".join(f"{100 * score:.1f}" for score in lesson.scores(teacher))
    report(f"teacher: {lesson.size(teacher)}; validation {measure_of(teacher)} by exit, %: {shown}")
    return lesson


def _cut(teacher: MultiExitModel, recipe: SlimRecipe) -> MultiExitModel:
    """What slimming begins with: the teacher, or its first layers."""
    return teacher if recipe.layers is None else first_layers(teacher, recipe.layers)


def _judged_on(teacher: MultiExitModel) -> object:
    """The SHA-256 of the rows that a checkpoint was judged on, where it tells."""
    return ((teacher.config.training or {}).get("validation") or {}).get("sha256")


def _begin(before: MultiExitModel, stage: Stage, number: int, lesson: Lesson) -> MultiExitModel:
    if stage.event is None:
        return before
    return smaller(before, lesson.teacher, stage.event, lesson.batches(), lesson.recipe, number)


def _answered(rows: Rows, teacher: MultiExitModel, checkpoint: Path) -> Rows:
    """Check that rows are of the teacher's task, and number their classes as it does."""
    check_learnable(rows)
    if rows.regression != teacher.config.regresses:
        raise InputError(f"{rows.name} and {checkpoint} do not go together: one has scores, one classes")
    if rows.regression:
        return rows
    return map_labels(rows, teacher.config.class_names, {})
