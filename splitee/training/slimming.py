"""Slim a checkpoint: compress it by pruning and distillation, in stages.

The method is COST-EFF (Shen et al. 2022); the default is what its authors released. A full-size multi-exit
model, the assistant, learns from the checkpoint and becomes the teacher. Pruning events alternate with
training: each event computes importance over the loss of all exits and removes heads, units and rank. Then
the student is trained on the teacher's states, and at last on states and exit answers. Every stage has its
own optimiser, schedule and folder; a killed run resumes in the stage where it stopped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch

from splitee._internal.checksums import file_sha256
from splitee._internal.errors import InputError
from splitee._internal.folders import claimed_folder
from splitee.data.rows import Rows, check_learnable, map_labels
from splitee.models.checkpoints import check_out, find_checkpoint
from splitee.models.encode import load_tokenizer
from splitee.models.inputs import TextInputs
from splitee.models.multi_exit import MultiExitModel, load_encoder
from splitee.models.slender import check_slimmable
from splitee.training.assistant import new_assistant
from splitee.training.distill import Teacher
from splitee.training.finishing import examples, finish, report_note
from splitee.training.loop import Report, measure_of
from splitee.training.pruning import exits_from, first_layers, size_of, smaller
from splitee.training.recipe import mixed_precision
from splitee.training.slim_recipe import WHY_NOT, SlimRecipe, Stage, assistant_stage, plan
from splitee.training.slim_stage import Lesson, run_stage
from splitee.training.trainer import Example


def slim_checkpoint(
    checkpoint: str | Path,
    train: Rows,
    validation: Rows,
    out: str | Path,
    recipe: SlimRecipe,
    *,
    encoder: str | Path | None = None,
    overwrite: bool = False,
    report: Report = lambda line: None,
) -> MultiExitModel:
    """Compress a fine-tuned checkpoint; write the student and its validation trace to `out`.

    The checkpoint is the teacher. Stages are kept in ``OUT.partial`` during the run. The same call resumes
    after an interruption in the stage where it stopped, and keeps the same heads and units.

    Parameters
    ----------
    checkpoint : path
        A folder written by `splitee train`; its exit answers and states are the targets.
    train, validation : Rows
        Labelled rows with the label names of the model. The best epoch of the last stage, by the mean over
        exits, and α are chosen on `validation`.
    out : path
        Folder of the new checkpoint.
    recipe : SlimRecipe
        How to slim.
    encoder : str or path, optional
        The pretrained encoder that the assistant starts from. Default: the one that the checkpoint was made
        from, if that came from the hub; else the assistant starts from the checkpoint, and a note says so.
    overwrite : bool
        Whether an existing checkpoint may be replaced.
    report : callable
        Called with lines of progress.

    Returns
    -------
    MultiExitModel

    Raises
    ------
    FileExistsError
        If `out` exists and `overwrite` is false.
    InputError
        If the encoder cannot be pruned to this size, or ``OUT.partial`` belongs to another run.
    """
    checkpoint, out = find_checkpoint(checkpoint), Path(out)
    check_out(out, overwrite)
    teacher = load_encoder(checkpoint, WHY_NOT)
    check_slimmable(teacher.backbone.config)
    if recipe.first_exit is not None:
        teacher = exits_from(teacher, recipe.first_exit)
    train, validation = (_match_labels(rows, teacher, checkpoint) for rows in (train, validation))
    tokenizer = load_tokenizer(checkpoint)
    inputs = TextInputs(tokenizer, teacher)
    train_examples, validation_examples = (
        [one | {"row": row} for row, one in enumerate(examples(inputs, rows))] for rows in (train, validation)
    )
    steps = -(-len(train_examples) // recipe.batch_size)
    student = _initial_student(teacher, recipe)
    stages, assistant = plan(size_of(student), recipe, steps), assistant_stage(recipe, steps)
    claim = {
        "checkpoint": file_sha256(checkpoint / "model.safetensors"),
        "recipe": asdict(recipe),
        "encoder": None if encoder is None else str(encoder),
        "data": [train.identity, validation.identity],
    }
    with claimed_folder(out, claim) as work:
        for rows, encoded in ((train, train_examples), (validation, validation_examples)):
            report_note(inputs, rows, encoded, None, report)
        lesson = _lesson(teacher, train_examples, validation_examples, tokenizer.pad_token_id, recipe, report)
        if _validation_hash(teacher) not in (None, validation.identity.get("sha256")):
            report(
                f"note: the teacher was validated on other rows than {validation.name}: if it was trained on "
                "some of these, the best epoch and α are chosen too optimistically"
            )
        history = []
        if assistant is not None:
            begin = partial(new_assistant, teacher, recipe, encoder, report)
            teacher, record = run_stage(assistant, len(stages), begin, lesson, work / assistant.name)
            history.append(record)
            lesson = _lesson(
                teacher, train_examples, validation_examples, tokenizer.pad_token_id, recipe, report
            )
            student = _initial_student(teacher, recipe)
        student.to(teacher.device)
        for number, stage in enumerate(stages):
            prune = partial(_pruned, stage, number, lesson)
            folder = work / f"{number:02d}-{stage.name}"
            if recipe.event_order == "train-first":
                before = partial(_same, student)
                student, record = run_stage(stage, number, before, lesson, folder, prune)
            else:
                before = partial(prune, student)
                student, record = run_stage(stage, number, before, lesson, folder)
            history.append(record)
        student.config.training = (teacher.config.training or {}) | {
            "slimmed": {"from": checkpoint.resolve().name, "recipe": asdict(recipe), "stages": history}
        }
        student.config.recommended_threshold = None
        finish(student, inputs, validation, recipe.alpha_rule, work, out, overwrite, report)
        return student


def _lesson(
    teacher: MultiExitModel,
    train_examples: Sequence[Example],
    validation_examples: Sequence[Example],
    pad_token: int,
    recipe: SlimRecipe,
    report: Report,
) -> Lesson:
    """Freeze a model as teacher, cache its outputs, and report its size and scores."""
    teacher.to("cuda" if torch.cuda.is_available() else "cpu").eval().requires_grad_(False)
    mixed = mixed_precision(recipe.precision)
    narrow = None if mixed == "float32" else getattr(torch, mixed)
    taught = Teacher(
        teacher,
        train_examples,
        pad_token,
        narrow,
        cache=recipe.distill,
        attention=recipe.distill and recipe.attention_weight > 0,
        spread=recipe.teacher_layers == "spread",
    )
    lesson = Lesson(taught, train_examples, validation_examples, pad_token, recipe, report)
    shown = " ".join(f"{100 * score:.1f}" for score in lesson.scores(teacher))
    report(f"teacher: {lesson.size(teacher)}; validation {measure_of(teacher)} by exit, %: {shown}")
    return lesson


def _initial_student(teacher: MultiExitModel, recipe: SlimRecipe) -> MultiExitModel:
    """Return the first student: the teacher, or its first layers."""
    return teacher if recipe.layers is None else first_layers(teacher, recipe.layers)


def _validation_hash(teacher: MultiExitModel) -> object:
    """Return the SHA-256 of the rows that a checkpoint was validated on, if it is recorded."""
    return ((teacher.config.training or {}).get("validation") or {}).get("sha256")


def _same(model: MultiExitModel) -> MultiExitModel:
    return model


def _pruned(stage: Stage, number: int, lesson: Lesson, before: MultiExitModel) -> MultiExitModel:
    """Return the student of a stage, pruned if the stage has an event."""
    if stage.event is None:
        return before
    return smaller(before, lesson.teacher, stage.event, lesson.batches(), lesson.recipe, number)


def _match_labels(rows: Rows, teacher: MultiExitModel, checkpoint: Path) -> Rows:
    """Check that rows fit the teacher's task, and convert their labels to its class order."""
    check_learnable(rows)
    if rows.regression != teacher.config.regresses:
        raise InputError(f"{rows.name} and {checkpoint} do not fit: one has scores, the other classes")
    if rows.regression:
        return rows
    return map_labels(rows, teacher.config.class_names, {})
