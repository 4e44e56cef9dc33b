"""Prune a model to a smaller student, guided by the importance of heads and units to the exits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from torch import Tensor, nn

from splitee._internal.errors import InputError
from splitee._internal.numbers import layers_held
from splitee.models.config import MultiExitConfig, layers_from
from splitee.models.exits import exit_losses
from splitee.models.multi_exit import MultiExitModel
from splitee.models.slender import Widths, slim
from splitee.training.distill import Teacher, prediction_loss, recorded_states, representation_loss
from splitee.training.importance import Importance, keep_best, taylor_importance
from splitee.training.slim_recipe import Event, SlimRecipe

HARD = 0.1  # weight of the hard labels in the loss for importance (as in the authors' code)


def size_of(model: MultiExitModel) -> Event:
    """Return the size of a model's layers.

    Raises
    ------
    InputError
        If the layers differ in size.
    """
    widths = Widths.of(model.backbone.config)
    rank = widths.rank if widths.rank is not None else model.backbone.config.hidden_size
    sizes = {(len(heads), units) for heads, units in zip(widths.heads, widths.units, strict=True)}
    if len(sizes) > 1:
        raise InputError("the layers of this encoder differ in width: give one with equal layers")
    ((heads, units),) = sizes
    return Event(heads, units, rank)


def first_layers(model: MultiExitModel, count: int | str) -> MultiExitModel:
    """Copy a model's first layers with their exits.

    Raises
    ------
    InputError
        If the model has fewer layers, or the last of them has no exit.
    """
    layers = layers_held(count, len(model.layers)) if isinstance(count, str) else count
    if layers not in model.exits:
        raise InputError(
            f"layers: cannot keep {layers}, the last layer needs an exit ({', '.join(map(str, model.exits))})"
        )
    widths = Widths.of(model.backbone.config)
    encoder: Any = slim(model.backbone, widths.heads, [list(range(units)) for units in widths.units])
    encoder.encoder.layer = nn.ModuleList(list(encoder.encoder.layer)[:layers])
    fewer = Widths(widths.heads[:layers], widths.units[:layers], widths.rank)
    encoder.config.num_hidden_layers, encoder.config.slender = layers, fewer.to_dict()
    return _with_exits_of(model, encoder, [exit_ for exit_ in model.exits if exit_ <= layers])


def exits_from(model: MultiExitModel, first: int) -> MultiExitModel:
    """Return a model without the exits before a layer; it shares the encoder."""
    kept = layers_from(first, len(model.layers))
    return _with_exits_of(model, model.backbone, [layer for layer in model.exits if layer in kept])


def smaller(
    before: MultiExitModel,
    teacher: Teacher,
    event: Event,
    batches: Iterable[dict[str, Tensor]],
    recipe: SlimRecipe,
    number: int,
) -> MultiExitModel:
    """Prune the student of the event before to the size of this event.

    Parameters
    ----------
    before : MultiExitModel
        The student so far, or the teacher.
    teacher : Teacher
        Its answers enter the loss for importance.
    event : Event
        Heads, units and rank to keep.
    batches : iterable of dict
        Inputs, ``labels`` and ``rows`` for importance.
    recipe : SlimRecipe
        Form and loss of importance.
    number : int
        Number of the event; it seeds random pruning.
    """
    widths = Widths.of(before.backbone.config)
    if event.heads == len(widths.heads[0]) and event.units == widths.units[0]:  # nothing is pruned
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
        with_states = recipe.importance_loss == "states+predictions"
        exits = slice(None) if recipe.every_exit else slice(-1, None)

        def loss(logits: Tensor, batch: dict[str, Tensor]) -> Tensor:
            by_labels = exit_losses(logits[:, exits], batch["labels"]).sum()
            if not recipe.distill:
                return by_labels
            targets = teacher.targets(batch, before, states=with_states)
            soft = prediction_loss(logits[:, exits], targets.logits[:, exits], recipe.temperature)
            answers = (1 - HARD) * soft + HARD * by_labels
            if not with_states:
                return answers
            mask = batch["attention_mask"]
            return answers + representation_loss(own, targets.states, mask, recipe.states_average)

        with recorded_states(before) as own:
            scores = taylor_importance(before, batches, loss, recipe.importance)
        before.requires_grad_(before is not teacher.model)
    heads, units = keep_best(scores, widths, event.heads, event.units)
    rank = None if event.rank == before.backbone.config.hidden_size else event.rank
    return _with_exits_of(before, slim(before.backbone, heads, units, rank), list(before.exits))


def _with_exits_of(model: MultiExitModel, encoder: Any, exits: list[int]) -> MultiExitModel:
    """Combine another encoder with copies of some exits of a model, given by their layers."""
    every = exits == list(range(1, encoder.config.num_hidden_layers + 1))
    described = model.config.to_dict() | {
        "backbone": encoder.config.to_dict(),
        "exits": None if every and model.config.exits is None else exits,
    }
    described.pop("model_type", None)
    made = MultiExitModel(MultiExitConfig(**described), encoder)
    for head, layer in zip(made.exit_heads, made.exits, strict=True):
        head.load_state_dict(model.exit_heads[model.exits.index(layer)].state_dict())
    if model.config.confidence == "learned":
        made.certainty_head.load_state_dict(model.certainty_head.state_dict())
    made.eval()
    return made
