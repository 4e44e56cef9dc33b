"""Importance of attention heads and feed-forward units: the first-order change of the loss without them.

COST-EFF (Shen et al. 2022) sums the loss over all exits, so that units that any exit needs are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from splitee._internal.errors import InputError
from splitee.models.multi_exit import MultiExitModel
from splitee.models.slender import Widths, layer_parts
from splitee.training.trainer import inputs_of

FORMS = ("absolute", "signed")
Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Importance:
    """First-order change of the loss if a head or a unit is removed.

    Attributes
    ----------
    heads, units : list of ndarray
        For each layer, the scores of its heads or units.
    """

    heads: list[Scores]
    units: list[Scores]


def taylor_importance(
    model: MultiExitModel,
    batches: Iterable[dict[str, Tensor]],
    loss: Callable[[Tensor, dict[str, Tensor]], Tensor],
    form: str = "absolute",
) -> Importance:
    """Score every head and unit by its weights times the gradients of a loss.

    The weights of a head are its columns of the attention's output map. The weights of a unit are its row of
    the first feed-forward map and its column of the second. Dropout is off.

    Parameters
    ----------
    model : MultiExitModel
        With a BERT-like or MPNet encoder; its gradients are cleared.
    batches : iterable of dict
        Inputs of the model, and other values that `loss` needs.
    loss : callable
        Maps logits, shape (batch, exits, classes), and the batch to a scalar, such as the sum over exits.
    form : {"absolute", "signed"}
        "absolute" is Σ |w · Σ_batches |∂L/∂w||, as in the authors' code; "signed" is |Σ w · ∂L/∂w|, summed
        over batches and over the weights of the head or unit (Molchanov et al. 2017).

    Returns
    -------
    Importance

    Raises
    ------
    InputError
        If the form is unknown or there are no batches.
    """
    if form not in FORMS:
        raise InputError(f"importance {form!r}: choose one of {', '.join(FORMS)}")
    parts = [layer_parts(layer) for layer in model.layers]
    maps = [[getattr(*place) for place in (p.out_of, p.up, p.down)] for p in parts]
    sums = [[torch.zeros_like(linear.weight) for linear in layer] for layer in maps]
    was_training = model.training
    model.eval()
    count = 0
    for batch in batches:
        model.zero_grad()
        loss(model(**inputs_of(batch)).logits, batch).backward()
        count += 1
        for linears, totals in zip(maps, sums, strict=True):
            for linear, total in zip(linears, totals, strict=True):
                gradient = linear.weight.grad
                if gradient is not None:  # None in layers above the last exit in the loss
                    total += gradient.abs() if form == "absolute" else gradient
    model.zero_grad()
    model.train(was_training)
    if not count:
        raise InputError("importance needs at least one batch")
    heads, units = [], []
    config = cast(Any, model.backbone.config)
    size = config.hidden_size // config.num_attention_heads
    for linears, totals in zip(maps, sums, strict=True):
        out, up, down = (_products(a, b, form) for a, b in zip(linears, totals, strict=True))
        heads.append(_reduced(out.sum(0).view(-1, size).sum(1), form))
        units.append(_reduced(up.sum(1) + down.sum(0), form))
    return Importance(heads, units)


def _products(linear: nn.Linear, total: Tensor, form: str) -> Tensor:
    products = linear.weight.detach().double() * total.double()
    return products.abs() if form == "absolute" else products


def _reduced(scores: Tensor, form: str) -> Scores:
    return np.asarray((scores if form == "absolute" else scores.abs()).cpu().numpy(), dtype=np.float64)


def keep_best(
    importance: Importance, widths: Widths, heads: int, units: int
) -> tuple[list[list[int]], list[list[int]]]:
    """Choose the most important heads and units, the same number in every layer; on ties the first.

    Parameters
    ----------
    importance : Importance
        From a model with these `widths`.
    widths : Widths
        The present widths.
    heads, units : int
        Numbers to keep in each layer.

    Returns
    -------
    (heads, units)
        Arguments of `slim`: heads numbered as in the full encoder, units as in the present one.
    """
    chosen_heads = [
        [present[place] for place in _best(scores, heads)]
        for scores, present in zip(importance.heads, widths.heads, strict=True)
    ]
    return chosen_heads, [_best(scores, units) for scores in importance.units]


def _best(scores: Scores, count: int) -> list[int]:
    if not 1 <= count <= len(scores):
        raise InputError(f"cannot keep {count} of {len(scores)}: give 1 to {len(scores)}")
    return sorted(np.argsort(-scores, kind="stable")[:count].tolist())
