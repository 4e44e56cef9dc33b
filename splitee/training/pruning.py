"""Taking away: the smaller student of a bigger one, by what its heads and units matter to the exits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from torch import Tensor, nn

from splitee._internal.errors import InputError
from splitee.models.config import MultiExitConfig
from splitee.models.multi_exit import MultiExitModel, exit_losses
from splitee.models.slender import Widths, slim
from splitee.training.distill import Teacher, prediction_loss
from splitee.training.importance import Importance, keep_best, taylor_importance
from splitee.training.slim_recipe import Event, SlimRecipe

HARD = 0.1  # share of the hard labels in the loss that importance is taken of (the authors' code)


def size_of(model: MultiExitModel) -> Event:
    """Tell the size of a model's layers.

    Raises
    ------
    InputError
        Where they are of several sizes.
    """
    widths = Widths.of(model.backbone.config)
    rank = widths.rank if widths.rank is not None else model.backbone.config.hidden_size
    sizes = {(len(heads), units) for heads, units in zip(widths.heads, widths.units, strict=True)}
    if len(sizes) > 1:
        raise InputError("the layers of this encoder are of several widths: only an even one is slimmed on")
    ((heads, units),) = sizes
    return Event(heads, units, rank)


def first_layers(model: MultiExitModel, layers: int) -> MultiExitModel:
    """Copy a model's first layers, with their exits.

    Raises
    ------
    InputError
        Where it has not so many layers, or the last of them has no exit.
    """
    if layers not in model.exits:
        raise InputError(f"layers: {layers} cannot be kept, exits are at {', '.join(map(str, model.exits))}")
    widths = Widths.of(model.backbone.config)
    encoder: Any = slim(model.backbone, widths.heads, [list(range(units)) for units in widths.units])
    encoder.encoder.layer = nn.ModuleList(list(encoder.encoder.layer)[:layers])
    fewer = Widths(widths.heads[:layers], widths.units[:layers], widths.rank)
    encoder.config.num_hidden_layers, encoder.config.slender = layers, fewer.to_dict()
    return _with_exits_of(model, encoder, [exit_ for exit_ in model.exits if exit_ <= layers])


def smaller(
    before: MultiExitModel,
    teacher: Teacher,
    event: Event,
    batches: Iterable[dict[str, Tensor]],
    recipe: SlimRecipe,
    number: int,
) -> MultiExitModel:
    """Make the student of an event (the `number`-th) of the one before it.

    Parameters
    ----------
    batches : iterable of dict
        Inputs, ``labels`` and ``rows``, over which importance is taken.
    """
    widths = Widths.of(before.backbone.config)
    if event.heads == len(widths.heads[0]) and event.units == widths.units[0]:  # all stay: nothing to weigh
        scores = Importance(
            [np.zeros(event.heads) for _ in widths.heads], [np.zeros(event.units) for _ in widths.units]
        )
    elif recipe.importance == "random":
        rng = np.random.default_rng([recipe.seed, number])
        scores = Importance(
            [rng.random(len(heads)) for heads in widths.heads], [rng.random(units) for units in widths.units]
        )
    else:
        before.requires_grad_(True)
        exits = slice(None) if recipe.every_exit else slice(-1, None)

        def loss(logits: Tensor, batch: dict[str, Tensor]) -> Tensor:
            by_labels = exit_losses(logits[:, exits], batch["labels"]).sum()
            if not recipe.distill:
                return by_labels
            _, taught = teacher.says(batch, before, states=False)
            soft = prediction_loss(logits[:, exits], taught[:, exits], recipe.temperature)
            return (1 - HARD) * soft + HARD * by_labels

        scores = taylor_importance(before, batches, loss, recipe.importance)
        before.requires_grad_(before is not teacher.model)
    heads, units = keep_best(scores, widths, event.heads, event.units)
    rank = None if event.rank == before.backbone.config.hidden_size else event.rank
    return _with_exits_of(before, slim(before.backbone, heads, units, rank), list(before.exits))


def _with_exits_of(model: MultiExitModel, encoder: Any, exits: list[int]) -> MultiExitModel:
    """Put copies of a model's exits, of the first of them, on another encoder."""
    every = exits == list(range(1, encoder.config.num_hidden_layers + 1))
    described = model.config.to_dict() | {
        "backbone": encoder.config.to_dict(),
        "exits": None if every and model.config.exits is None else exits,
    }
    described.pop("model_type", None)
    made = MultiExitModel(MultiExitConfig(**described), encoder)
    for head, known in zip(made.exit_heads, model.exit_heads, strict=False):
        head.load_state_dict(known.state_dict())
    made.eval()
    return made
