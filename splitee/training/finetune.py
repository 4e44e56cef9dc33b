"""Fine-tune a backbone with exits on the transformers Trainer: resumable, seeded, evaluated per exit."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import torch
import transformers

from splitee._internal.errors import InputError
from splitee._internal.folders import claimed_folder
from splitee._internal.reading import read_json
from splitee.data.tasks import Rows, check_learnable
from splitee.models.checkpoints import check_out, check_sizes
from splitee.models.encode import load_tokenizer
from splitee.models.exits import ExitHead
from splitee.models.multi_exit import MultiExitModel, load_checkpoint
from splitee.training.finishing import examples, finish, report_truncated
from splitee.training.loop import Report, by_exit, evaluations, measure_of, train_model
from splitee.training.objectives import OBJECTIVES
from splitee.training.recipe import Recipe

__all__ = ["Recipe", "Report", "finetune"]


def finetune(
    backbone: str | Path,
    train: Rows,
    validation: Rows,
    out: str | Path,
    recipe: Recipe | None = None,
    *,
    overwrite: bool = False,
    report: Report = lambda line: None,
) -> MultiExitModel:
    """Train a multi-exit model; write it, its tokenizer and its validation trace to the folder `out`.

    Checkpoints are kept in ``OUT.partial`` during training. The same call resumes there after an
    interruption.

    Parameters
    ----------
    backbone : str or path
        An encoder for `MultiExitModel.from_backbone`.
    train, validation : Rows
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
    MultiExitModel


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
    for rows in (train, validation):
        check_learnable(rows)
    assert train.label is not None
    names = _names(train)
    if _names(validation) != names:
        raise InputError(
            f"{validation.name} has the labels {', '.join(_names(validation))}, "
            f"but {train.name} has {', '.join(names)}: give the same labels"
        )
    _check_backbone(backbone)
    transformers.set_seed(recipe.seed)  # for initial weights and dropout; the Trainer seeds the rest
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
    if len(model.exits) < 2 and OBJECTIVES[recipe.objective].second is not None:
        raise InputError(
            f"objective {recipe.objective!r} trains the exits before the last: give at least two exits"
        )
    if train.regression:
        _start_from_mean(model, float(train.label.mean()))
    tokenizer = load_tokenizer(backbone)
    train_examples = examples(model, tokenizer, train, recipe.max_tokens)
    validation_examples = examples(model, tokenizer, validation, recipe.max_tokens)
    claim = {
        "backbone": str(backbone),
        "recipe": asdict(recipe),
        "data": [train.identity, validation.identity],
    }
    with claimed_folder(out, claim) as work:
        for rows, encoded in ((train, train_examples), (validation, validation_examples)):
            report_truncated(tokenizer, rows, encoded, recipe.max_tokens, report)
        state = train_model(model, tokenizer, train_examples, validation_examples, recipe, work, report)
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
            "backbone": Path(backbone).name if Path(backbone).is_dir() else str(backbone),
            "backbone_source": "folder" if Path(backbone).is_dir() else "hub",
            "recipe": asdict(recipe),
            "train": train.identity | {"rows": len(train)},
            "validation": validation.identity | {"rows": len(validation)},
            "best_step": state.best_global_step,
            "history": history,
            "libraries": {"torch": torch.__version__, "transformers": transformers.__version__},
        }
        finish(model, tokenizer, validation, recipe.alpha_rule, work, out, overwrite, report)
        return model


def _start_from_mean(model: MultiExitModel, score: float) -> None:
    """Let new exits predict the mean score; from 0, the first epoch would be spent on reaching it."""
    with torch.no_grad():
        for head in model.exit_heads:
            assert isinstance(head, ExitHead)
            head.classifier.bias.fill_(score)


def _names(rows: Rows) -> tuple[str, ...]:
    """Return the class names, or ("score",) for regression."""
    return ("score",) if rows.regression else rows.label_names or ()


def _check_backbone(backbone: str | Path) -> None:
    """Refuse a local path that does not exist, before it is taken for a name on the hub."""
    path = Path(backbone).expanduser()
    looks_local = path.is_absolute() or str(backbone).startswith((".", "~")) or len(path.parts) > 2
    if looks_local and not path.is_dir():
        raise InputError(f"{backbone}: no such folder; a backbone is a folder or a name on the hub")
    if (file := path / "config.json").is_file():
        check_sizes(read_json(file), file)
