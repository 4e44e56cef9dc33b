"""Training objectives for exits, by name: the loss at each step.

An objective may have two halves. In the second half the encoder and its last exit are frozen, and the other
exits are trained. All objectives take the same number of steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from splitee.models.exits import exit_losses

Loss = Callable[[Tensor, Tensor, int], Tensor]  # (logits, labels, step), with steps from 1


@dataclass(frozen=True)
class Objective:
    """A training objective.

    Attributes
    ----------
    loss : callable
        Loss of logits, shape (batch, exits, classes), labels, shape (batch,), and the step, from 1.
    second : callable, optional
        Loss of the second half, in which the encoder is frozen.
    equilibrium : bool
        Whether the published form passes the mean, not the sum, of the exits' gradients to each layer.
    every_exit : callable
        Whether `loss` trains all exits at a step, or only the last one. A learned confidence is trained in
        the same steps, and throughout the second half.
    """

    loss: Loss
    second: Loss | None = None
    equilibrium: bool = False
    every_exit: Callable[[int], bool] = lambda step: True


def joint(logits: Tensor, labels: Tensor, step: int = 1) -> Tensor:
    """Return the sum of the exits' losses (ElasticBERT, Liu et al. 2022; SplitEE)."""
    return exit_losses(logits, labels).sum()


def depth_weighted(logits: Tensor, labels: Tensor, step: int = 1) -> Tensor:
    """Return the mean of the exits' losses weighted by depth, Σ j·L_j / Σ j (PABEE, Zhou et al. 2020).

    Examples
    --------
    >>> logits = torch.tensor([[[0.0, 0.0], [9.0, -9.0]]])  # exit 1 is undecided, exit 2 is sure and right
    >>> round(float(depth_weighted(logits, torch.tensor([0]))), 4)  # ln 2 · 1/3
    0.231
    """
    losses = exit_losses(logits, labels)
    weight = torch.arange(1, len(losses) + 1, dtype=losses.dtype, device=losses.device)
    return (weight * losses).sum() / weight.sum()


def last(logits: Tensor, labels: Tensor, step: int = 1) -> Tensor:
    """Return the loss of the last exit only."""
    return exit_losses(logits[:, -1:], labels).sum()


def others(logits: Tensor, labels: Tensor, step: int = 1) -> Tensor:
    """Return the sum of the losses of all exits but the last (DeeBERT's second stage, Xin et al. 2020)."""
    return exit_losses(logits[:, :-1], labels).sum()


def alternating(logits: Tensor, labels: Tensor, step: int = 1) -> Tensor:
    """Return the last exit's loss in odd steps and the joint loss in even steps (BERxiT, Xin et al. 2021)."""
    return last(logits, labels) if step % 2 else joint(logits, labels)


def distilled(logits: Tensor, labels: Tensor, step: int = 1) -> Tensor:
    """Return the divergence of every exit from the last one, Σ_i KL(p_i ‖ p_L) (FastBERT, Liu et al. 2020).

    This is the direction that the paper prints; its released code has the other one (`distilled_released`).
    Labels are not used. For regression it is the squared distance to the last exit's score.
    """
    return _divergence(logits, from_student=True)


def distilled_released(logits: Tensor, labels: Tensor, step: int = 1) -> Tensor:
    """Return the divergence of the last exit from every other, Σ_i KL(p_L ‖ p_i), as FastBERT's code has it.

    Its gradient is that of the cross entropy with the last exit's probabilities as labels.
    """
    return _divergence(logits, from_student=False)


def joint_distilled(logits: Tensor, labels: Tensor, step: int = 1) -> Tensor:
    """Return the joint loss and the distillation from the last exit, Σ_i L_i + Σ_{i<L} H(p_L, p_i).

    This is BERxiT's ``self_distil`` (Xin et al. 2021), at its temperature of 1, with the cross entropies H
    averaged over samples, as the losses are. No gradient passes through p_L. For regression H is the squared
    distance to the last exit's score.
    """
    return joint(logits, labels) + _cross_entropy(logits)


def joint_distilled_released(logits: Tensor, labels: Tensor, step: int = 1) -> Tensor:
    """Return `joint_distilled` with H summed over samples, as in BERxiT's code (its batches have 8)."""
    return joint(logits, labels) + len(logits) * _cross_entropy(logits)


def _cross_entropy(logits: Tensor) -> Tensor:
    student, teacher = logits[:, :-1].float(), logits[:, -1:].detach().float()
    if logits.shape[-1] == 1:
        return (student - teacher).square().mean(0).sum()
    return -(teacher.softmax(-1) * functional.log_softmax(student, -1)).sum(-1).mean(0).sum()


def _divergence(logits: Tensor, from_student: bool) -> Tensor:
    student, teacher = logits[:, :-1].float(), logits[:, -1:].detach().float()
    if logits.shape[-1] == 1:
        return (student - teacher).square().mean(0).sum()
    log_student, log_teacher = functional.log_softmax(student, -1), functional.log_softmax(teacher, -1)
    weight = (log_student if from_student else log_teacher).exp()
    apart = log_student - log_teacher if from_student else log_teacher - log_student
    return (weight * apart).sum(-1).mean(0).sum()


def _never(step: int) -> bool:
    return False


def _in_even_steps(step: int) -> bool:
    return step % 2 == 0


OBJECTIVES: dict[str, Objective] = {
    "joint": Objective(joint, equilibrium=True),
    "depth-weighted": Objective(depth_weighted),
    "two-stage": Objective(last, second=others, every_exit=_never),
    "alternating": Objective(alternating, every_exit=_in_even_steps),
    "joint+distillation": Objective(joint_distilled),
    "joint+distillation-released": Objective(joint_distilled_released),
    "self-distillation": Objective(last, second=distilled, every_exit=_never),
    "self-distillation-released": Objective(last, second=distilled_released, every_exit=_never),
}
