"""The initial teaching assistant of slimming: the pretrained encoder, or the checkpoint itself."""

from __future__ import annotations

from pathlib import Path

from transformers import set_seed

from splitee._internal.errors import InputError
from splitee.models.multi_exit import MultiExitModel
from splitee.training.loop import Report
from splitee.training.slim_recipe import SlimRecipe


def new_assistant(
    teacher: MultiExitModel, recipe: SlimRecipe, encoder: str | Path | None, report: Report
) -> MultiExitModel:
    """Return the model that becomes the assistant; see ``assistant_start`` of `SlimRecipe`.

    Parameters
    ----------
    teacher : MultiExitModel
        The checkpoint; the assistant has its exits.
    recipe : SlimRecipe
        How to slim.
    encoder : str or path, optional
        The pretrained encoder. Default: the one recorded in the checkpoint, if it is there.
    report : callable
        Called with a note if no encoder is known.

    Raises
    ------
    InputError
        If the encoder cannot be loaded, or differs from the checkpoint's in depth or hidden size.
    """
    if recipe.assistant_start == "teacher":
        return teacher
    if encoder is None:
        training = teacher.config.training or {}
        if training.get("backbone_source") != "hub":  # of a folder only the last part is recorded
            report(
                "note: the assistant starts from the checkpoint, not from its pretrained encoder, which is "
                "not known here: --encoder names it"
            )
            return teacher
        encoder = str(training["backbone"])
    config, depth = teacher.config, len(teacher.layers)
    set_seed(recipe.seed)  # for the new exits
    made = MultiExitModel.from_backbone(
        encoder,
        num_labels=config.num_labels,
        id2label=config.id2label,
        label2id=config.label2id,
        layers=depth,
        exits=config.exits,
        pooling=config.pooling,
        exit_dropout=config.exit_dropout,
        exit_dense=config.exit_dense,
        exit_states=config.exit_states,
        exit_join=config.exit_join,
        confidence=config.confidence,
        gradient_equilibrium=config.gradient_equilibrium,
        max_tokens=config.max_tokens,
        score_range=config.score_range,
    )
    ours, theirs = (model.backbone.config.hidden_size for model in (made, teacher))
    if ours != theirs:
        raise InputError(f"encoder {encoder} has hidden size {ours}, the checkpoint has {theirs}")
    made.config.training = config.training
    made.to(teacher.device)
    return made
