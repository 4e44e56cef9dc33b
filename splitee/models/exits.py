"""Exits: what they read of a layer's state, the classifier on it, and the loss of each."""

from __future__ import annotations

import torch
from torch import Tensor, nn

POOLINGS = ("first", "mean", "last")


class ExitHead(nn.Module):
    """One exit: dense layer, tanh, dropout, classifier, as BERT's pooler and classifier.

    With ``dense=False`` the dense layer is left out, as in COST-EFF's exits.
    """

    def __init__(self, width: int, classes: int, dropout: float, dense: bool = True) -> None:
        super().__init__()
        self.dense = nn.Linear(width, width) if dense else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(width, classes)

    def forward(self, pooled: Tensor) -> Tensor:
        """Map a pooled state, shape (batch, width), to logits, shape (batch, classes)."""
        logits: Tensor = self.classifier(self.dropout(torch.tanh(self.dense(pooled))))
        return logits


def exit_losses(logits: Tensor, labels: Tensor) -> Tensor:
    """Return each exit's mean cross entropy, or its mean squared error if there is one output.

    The sum over exits is the fine-tuning loss of ElasticBERT and SplitEE.

    Parameters
    ----------
    logits : Tensor, shape (batch, exits, classes)
    labels : Tensor, shape (batch,)
        Class numbers, or scores if there is one output.

    Returns
    -------
    Tensor, shape (exits,)
    """
    if logits.shape[-1] == 1:
        return (logits.squeeze(-1).float() - labels.float().unsqueeze(1)).square().mean(0)
    exits = logits.shape[1]
    each = nn.functional.cross_entropy(
        logits.flatten(0, 1).float(), labels.repeat_interleave(exits), reduction="none"
    )
    return each.view(-1, exits).mean(0)


def pool(hidden: Tensor, mask: Tensor, pooling: str) -> Tensor:
    """Reduce states, shape (batch, tokens, width), to one per sample, shape (batch, width).

    "first" and "last" are the first and the last token that is not padding, whichever side the padding is on.
    """
    if pooling in ("first", "last"):
        real = mask.bool().int()
        place = real.argmax(1) if pooling == "first" else mask.shape[1] - 1 - real.flip(1).argmax(1)
        return hidden[torch.arange(len(hidden), device=hidden.device), place]
    weight = mask.to(hidden.dtype).unsqueeze(-1)
    return (hidden * weight).sum(1) / weight.sum(1).clamp(min=1)
