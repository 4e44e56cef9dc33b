"""Exits: what they read of a layer's state, the classifier on it, and the loss of each."""

from __future__ import annotations

import torch
from torch import Tensor, nn

POOLINGS = ("first", "mean", "last")
JOINS = ("concat", "mean")
CONFIDENCES = ("softmax", "learned")


class ExitHead(nn.Module):
    """One exit: dense layer, tanh, dropout, classifier, as BERT's pooler and classifier.

    With ``dense=False`` the dense layer is left out, as in COST-EFF's exits. Several concatenated states have
    `states` times the width.
    """

    def __init__(self, width: int, classes: int, dropout: float, dense: bool = True, states: int = 1) -> None:
        super().__init__()
        self.dense = nn.Linear(states * width, width) if dense else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(width if dense else states * width, classes)

    def forward(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """Map a pooled state, shape (batch, states · width), to logits, shape (batch, classes).

        What the classifier reads comes with them, shape (batch, width) or (batch, states · width).
        """
        features: Tensor = self.dropout(torch.tanh(self.dense(pooled)))
        return self.classifier(features), features


class CertaintyHead(nn.Module):
    """BERxiT's learning to exit (Xin et al. 2021): one linear map with a sigmoid, shared by all exits.

    It reads what the exit's classifier reads, and estimates whether the exit is right. BERxiT's code
    estimates the uncertainty, which is 1 minus this.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Map features, shape (batch, width), to certainties between 0 and 1, shape (batch,)."""
        certainty: Tensor = torch.sigmoid(self.linear(features)).squeeze(-1)
        return certainty


def certainty_loss(certainty: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean squared error of the learned certainties, over samples and exits.

    The target is 1 if the exit's class is right, else 0. For regression it is exp(−(y_i − y)²), as in
    BERxiT's code. No gradient passes through the target.

    Parameters
    ----------
    certainty : Tensor, shape (batch, exits)
    logits : Tensor, shape (batch, exits, classes)
    labels : Tensor, shape (batch,)

    Examples
    --------
    >>> logits = torch.tensor([[[2.0, 0.0], [0.0, 2.0]]])  # exit 1 says class 0, exit 2 class 1
    >>> loss = certainty_loss(torch.tensor([[0.9, 0.6]]), logits, torch.tensor([0]))
    >>> round(float(loss), 3)  # (0.1² + 0.6²) / 2
    0.185
    """
    values = logits.detach().float()
    if values.shape[-1] == 1:
        wanted = (-(values.squeeze(-1) - labels.float().unsqueeze(1)).square()).exp()
    else:
        wanted = (values.argmax(-1) == labels.unsqueeze(1)).float()
    return (certainty.float() - wanted).square().mean()


def joined(states: list[Tensor], join: str) -> Tensor:
    """Join pooled states, shape (batch, width) each, to the input of an exit: side by side, or the mean."""
    if len(states) == 1:
        return states[0]
    return torch.cat(states, dim=-1) if join == "concat" else torch.stack(states).mean(0)


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
