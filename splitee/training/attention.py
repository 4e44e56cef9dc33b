"""Distillation of attention maps: each head that a student keeps learns the scores of the same head.

This is an option of COST-EFF's code (``--output_attentions``), off in its scripts. As TinyBERT (Jiao et al.
2020), it compares scores before the softmax, not probabilities.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn

from splitee._internal.errors import InputError
from splitee.models.multi_exit import MultiExitModel
from splitee.models.slender import Widths, layer_parts


class AttentionRecord:
    """Queries and keys of every layer in the last pass."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.queries: list[Tensor] = []
        self.keys: list[Tensor] = []

    def scores(self) -> list[Tensor]:
        """Return each layer's scores q·k / √d, shape (batch, heads, tokens, tokens) each."""
        found = []
        for query, key in zip(self.queries, self.keys, strict=True):
            q, k = (one.float().unflatten(-1, (-1, self.size)).transpose(1, 2) for one in (query, key))
            found.append(q @ k.transpose(2, 3) / self.size**0.5)
        return found


@contextmanager
def recorded_attention(model: MultiExitModel) -> Iterator[AttentionRecord]:
    """Record the attention of every layer in the last pass.

    The scores are computed from queries and keys, so that any attention implementation will do. Masks are not
    included, nor MPNet's position biases, which do not depend on the text.
    """
    config = cast(Any, model.backbone.config)
    record = AttentionRecord(config.hidden_size // config.num_attention_heads)
    handles = []
    for place, layer in enumerate(model.layers):
        parts = layer_parts(layer)
        query, key, _ = (getattr(parts.attention, name) for name in parts.into)

        def note_query(_: nn.Module, __: Any, output: Tensor, first: bool = place == 0) -> None:
            if first:
                record.queries.clear()
                record.keys.clear()
            record.queries.append(output)

        def note_key(_: nn.Module, __: Any, output: Tensor) -> None:
            record.keys.append(output)

        handles += [query.register_forward_hook(note_query), key.register_forward_hook(note_key)]
    try:
        yield record
    finally:
        for handle in handles:
            handle.remove()


def same_heads(
    teacher: Sequence[Tensor], of: MultiExitModel, layers: Sequence[int], student: MultiExitModel
) -> list[Tensor]:
    """Select from a teacher's scores the heads that a student has.

    Parameters
    ----------
    teacher : sequence of Tensor
        The scores of each of the teacher's layers.
    of : MultiExitModel
        The teacher.
    layers : sequence of int
        For each layer of the student, the layer (1-based) of the teacher that it learns from.
    student : MultiExitModel
        The student; its heads are numbered as in the full encoder.

    Raises
    ------
    InputError
        If the teacher lacks a head.
    """
    ours, theirs = (Widths.of(cast(Any, model.backbone.config)).heads for model in (student, of))
    chosen = []
    for heads, layer in zip(ours, layers, strict=True):
        present = theirs[layer - 1]
        if lacking := sorted(set(heads) - set(present)):
            raise InputError(f"layer {layer} of the teacher has no head {lacking[0]} to learn from")
        places = torch.tensor([present.index(head) for head in heads], device=teacher[layer - 1].device)
        chosen.append(teacher[layer - 1].index_select(1, places))
    return chosen


def attention_loss(student: Sequence[Tensor], teacher: Sequence[Tensor], mask: Tensor) -> Tensor:
    """Return the sum over layers of the mean squared distance between attention scores.

    The mean is over heads and over pairs of tokens that are not padding, per sample, and then over samples.
    COST-EFF's code divides the sum over pairs by n·128, the padded length, instead of n², so that there short
    texts weigh less.

    Parameters
    ----------
    student, teacher : sequences of Tensor, shape (batch, heads, tokens, tokens) each
        Scores of each layer.
    mask : Tensor, shape (batch, tokens)
        1 for tokens, 0 for padding.

    Examples
    --------
    >>> zero, two = torch.zeros(1, 1, 2, 2), torch.full((1, 1, 2, 2), 2.0)
    >>> float(attention_loss([zero, zero], [two, zero], torch.tensor([[1, 1]])))
    4.0
    """
    weight = mask.to(torch.float32)
    pairs = weight[:, None, :, None] * weight[:, None, None, :]
    total = torch.zeros((), device=mask.device)
    for ours, theirs in zip(student, teacher, strict=True):
        apart = ((ours.float() - theirs.float()).square() * pairs).sum((2, 3)).mean(1)
        total = total + (apart / weight.sum(1).square()).mean()
    return total
