"""Fine-tune a backbone with exits on the transformers Trainer: resumable, seeded, evaluated per exit."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import torch
import transformers

from splitee._internal.errors import InputError
from splitee._internal.folders import claimed_folder
from splitee.data.images import Images
from splitee.data.rows import check_learnable
from splitee.models.checkpoints import check_out
from splitee.models.exits import ExitHead
from splitee.models.inputs import Samples, load_inputs
from splitee.models.loading import check_backbone
from splitee.models.multi_exit import MultiExitModel, load_checkpoint
from splitee.models.network import ExitNetwork
from splitee.models.staged import StagedModel
from splitee.training.finishing import examples, finish, report_note
from splitee.training.loop import Report, by_exit, evaluations, measure_of, train_model
from splitee.training.objectives import OBJECTIVES
from splitee.training.recipe import Recipe
from splitee.training.stages import start_stages

__all__ = ["Recipe", "Report", "finetune"]


def finetune(
    backbone: str | Path | StagedModel,
    train: Samples,
    validation: Samples,
    out: str | Path,
    recipe: Recipe | None = None,
    *,
    overwrite: bool = False,
    report: Report = lambda line: None,
) -> ExitNetwork:
    """Train a multi-exit model; write it, its tokenizer and its validation trace to the folder `out`.

    Checkpoints are kept in ``OUT.partial`` during training. The same call resumes there after an
    interruption.

    Parameters
    ----------
    backbone : str, path or StagedModel
        An encoder for `MultiExitModel.from_backbone`; for images a vision backbone or a checkpoint of stages,
        see `splitee.training.stages.start_stages`; or a network of stages with as many classes, which is
        trained in place and whose exits are as they are.
    train, validation : Rows or Images
        Labelled rows with the same label names. The best epoch (by the last exit) and α are chosen on
        `validation`.
    out : path
        Folder of the checkpoint.
    recipe : Recipe, optional
        How to train.
    overwrite : bool
        Whether an existing checkpoint may be replaced.
    report : callable
        Called with lines of progress.

    Returns
    -------
    ExitNetwork

    Raises
    ------
    FileExistsError
        If `out` exists and `overwrite` is false.
    InputError
        If the data have no labels, the training diverged, or ``OUT.partial`` belongs to another run.
    """
    recipe = recipe or Recipe()
    out = Path(out)
    check_out(out, overwrite)
    names = label_names(train, validation)
    transformers.set_seed(recipe.seed)  # for initial weights and dropout; the Trainer seeds the rest
    if isinstance(backbone, StagedModel):
        model: ExitNetwork = _named(backbone, names)
    elif isinstance(train, Images):
        model = start_stages(backbone, names, recipe)
    else:
        model = _new_model(backbone, train, names, recipe)
    inputs = load_inputs("" if isinstance(backbone, StagedModel) else backbone, model)
    if len(model.exits) < 2 and OBJECTIVES[recipe.objective].second is not None:
        raise InputError(
            f"objective {recipe.objective!r} trains the exits before the last: give at least two exits"
        )
    size = None if isinstance(model, StagedModel) else recipe.max_tokens
    train_examples = examples(inputs, train, size)
    validation_examples = examples(inputs, validation, size)
    origin = origin_of(backbone)
    claim = {
        "backbone": origin["backbone"] if isinstance(backbone, StagedModel) else str(backbone),
        "recipe": asdict(recipe),
        "data": [train.identity, validation.identity],
    }
    with claimed_folder(out, claim) as work:
        for rows, encoded in ((train, train_examples), (validation, validation_examples)):
            report_note(inputs, rows, encoded, size, report)
        state = train_model(model, inputs, train_examples, validation_examples, recipe, work, report)
        device = model.device
        if not state.best_global_step:
            raise InputError(
                f"the training diverged (the {measure_of(model)} is not a number): lower --learning-rate"
            )
        model = load_checkpoint(work / f"checkpoint-{state.best_global_step}")
        model.to(device)
        history = [
            {"epoch": entry["epoch"], measure_of(model): by_exit(entry)}
            for entry in evaluations(state.log_history)
        ]

        model.config.training = {
            **origin,
            "recipe": asdict(recipe),
            "train": train.identity | {"rows": len(train)},
            "validation": validation.identity | {"rows": len(validation)},
            "best_step": state.best_global_step,
            "history": history,
            "libraries": {"torch": torch.__version__, "transformers": transformers.__version__},
        }
        finish(model, inputs, validation, recipe.alpha_rule, work, out, overwrite, report)
        return model


def _new_model(
    backbone: str | Path, train: Samples, names: tuple[str, ...], recipe: Recipe
) -> MultiExitModel:
    """Return an encoder with new exits."""
    check_backbone(backbone)
    assert train.label is not None
    model = MultiExitModel.from_backbone(
        backbone,
        num_labels=len(names),
        id2label=dict(enumerate(names)),
        label2id={name: i for i, name in enumerate(names)},
        exits=recipe.exits,
        layers=recipe.layers,
        exit_start=recipe.exit_start,
        exit_dense=recipe.exit_dense,
        exit_states=recipe.exit_states,
        exit_join=recipe.exit_join,
        first_exit=recipe.first_exit,
        confidence=recipe.confidence,
        score_range=(train.label.min(), train.label.max()) if train.regression else None,
        **({} if recipe.pooling == "auto" else {"pooling": recipe.pooling}),
        gradient_equilibrium=recipe.equilibrium,
        max_tokens=recipe.max_tokens,
    )
    if train.regression:
        _start_from_mean(model, float(train.label.mean()))
    return model


def _named(model: StagedModel, names: tuple[str, ...]) -> StagedModel:
    """Give a network of stages the names of the classes.

    Raises
    ------
    InputError
        If it has another number of classes.
    """
    if model.config.num_labels != len(names):
        raise InputError(f"the model has {model.config.num_labels} classes, the data {len(names)}")
    model.config.id2label = dict(enumerate(names))
    model.config.label2id = {name: i for i, name in enumerate(names)}
    return model


def origin_of(backbone: str | Path | StagedModel) -> dict[str, str]:
    """Return the name of a backbone, and where it comes from."""
    if isinstance(backbone, StagedModel):
        described = backbone.config.backbone
        name = described.get("stages") or described.get("model_type") or "stages"
        return {"backbone": str(name), "backbone_source": "stages"}
    folder = Path(backbone).is_dir()
    return {
        "backbone": Path(backbone).name if folder else str(backbone),
        "backbone_source": "folder" if folder else "hub",
    }


def _start_from_mean(model: MultiExitModel, score: float) -> None:
    """Let new exits predict the mean score; from 0, the first epoch would be spent on reaching it."""
    with torch.no_grad():
        for head in model.exit_heads:
            assert isinstance(head, ExitHead)
            head.classifier.bias.fill_(score)


def label_names(train: Samples, validation: Samples) -> tuple[str, ...]:
    """Return the class names of what is trained and validated on, or ("score",) for regression.

    Raises
    ------
    InputError
        If there are no labels to learn from, or they are others in the two.
    """
    for rows in (train, validation):
        check_learnable(rows)
    names = _names(train)
    if _names(validation) != names:
        raise InputError(
            f"{validation.name} has the labels {', '.join(_names(validation))}, "
            f"but {train.name} has {', '.join(names)}: give the same labels"
        )
    return names


def _names(rows: Samples) -> tuple[str, ...]:
    """Return the class names, or ("score",) for regression."""
    return ("score",) if rows.regression else rows.label_names or ()
