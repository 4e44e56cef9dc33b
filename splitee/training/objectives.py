"""Ways to train exits: what is minimised at each step, one name each.

A way may have two halves: in the second the encoder and its last exit stay as they are, and the other exits
learn. All ways take the same number of steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from splitee.models.multi_exit import exit_losses

Loss = Callable[[Tensor, Tensor, int], Tensor]  # (logits, labels, step): the step counts from 1


@dataclass(frozen=True)
class Objective:
    """What is minimised.

    Attributes
    ----------
    loss : callable
        Of logits, shape (batch, exits, classes), labels, shape (batch,), and the step, from 1.
    second : callable, optional
        The loss of the second half, where the encoder is frozen.
    equilibrium : bool
        Whether the published form lets the mean of the exits' gradients reach a layer, not the sum.
    """

    loss: Loss
    second: Loss | None = None
    equilibrium: bool = False


def joint(logits: Tensor, labels: Tensor, step: int = 1) -> Tensor:
    """Sum the exits' losses (ElasticBERT, Liu et al. 2022; SplitEE)."""
    return exit_losses(logits, labels).sum()


def depth_weighted(logits: Tensor, labels: Tensor, step: int = 1) -> Tensor:
    """Weigh exit j's loss by j: Σ j·L_j / Σ j (PABEE, Zhou et al. 2020).

    Examples
    --------
    >>> logits = torch.tensor([[[0.0, 0.0], [9.0, -9.0]]])  # exit 1 knows nothing, exit 2 all
    >>> round(float(depth_weighted(logits, torch.tensor([0]))), 4)  # ln 2 · 1/3
    0.231
    """
    losses = exit_losses(logits, labels)
    weight = torch.arange(1, len(losses) + 1, dtype=losses.dtype, device=losses.device)
    return (weight * losses).sum() / weight.sum()


def last(logits: Tensor, labels: Tensor, step: int = 1) -> Tensor:
    """Train the last exit only, as a model without others is trained."""
    return exit_losses(logits[:, -1:], labels).sum()


def others(logits: Tensor, labels: Tensor, step: int = 1) -> Tensor:
    """Sum the losses of all exits but the last (DeeBERT's second stage, Xin et al. 2020)."""
    return exit_losses(logits[:, :-1], labels).sum()


def alternating(logits: Tensor, labels: Tensor, step: int = 1) -> Tensor:
    """Train the last exit in odd steps, all of them in even ones (BERxiT, Xin et al. 2021)."""
    return last(logits, labels) if step % 2 else joint(logits, labels)


def distilled(logits: Tensor, labels: Tensor, step: int = 1) -> Tensor:
    """Let every exit learn what the last one says: Σ_i KL(p_i ‖ p_L) (FastBERT, Liu et al. 2020).

    No label is read. Where the model regresses, the squared distance to the last exit's score.
    """
    taught, teacher = logits[:, :-1].float(), logits[:, -1:].detach().float()
    if logits.shape[-1] == 1:
        return (taught - teacher).square().mean(0).sum()
    said, says = functional.log_softmax(taught, -1), functional.log_softmax(teacher, -1)
    return (said.exp() * (said - says)).sum(-1).mean(0).sum()


OBJECTIVES: dict[str, Objective] = {
    "joint": Objective(joint, equilibrium=True),
    "depth-weighted": Objective(depth_weighted),
    "two-stage": Objective(last, second=others),
    "alternating": Objective(alternating),
    "self-distillation": Objective(last, second=distilled),
}
