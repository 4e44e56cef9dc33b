"""What a slender student learns from a full-size teacher: its states, layer by layer, and its exits' answers.

COST-EFF (Shen et al. 2022): Σ over the embedding and all layers of the mean squared distance of states, and Σ
over exits of the cross entropy between the student's and the teacher's answers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from splitee.errors import InputError
from splitee.models.multi_exit import MultiExitModel


@contextmanager
def noted_states(model: MultiExitModel) -> Iterator[list[Tensor]]:
    """Note the embedding's output and every layer's, shape (batch, tokens, width), of the last pass."""
    states: list[Tensor] = []

    def embedded(_: nn.Module, arguments: tuple[Any, ...], options: dict[str, Any]) -> None:
        states.clear()
        states.append(arguments[0] if arguments else options["hidden_states"])

    def passed(_: nn.Module, __: Any, output: Any) -> None:
        states.append(output[0] if isinstance(output, tuple) else output)

    handles = [model.layers[0].register_forward_pre_hook(embedded, with_kwargs=True)]
    handles += [layer.register_forward_hook(passed) for layer in model.layers]
    try:
        yield states
    finally:
        for handle in handles:
            handle.remove()


def taught_by(teacher: MultiExitModel, student: MultiExitModel, inputs: dict[str, Tensor]) -> Tensor:
    """Return what the student's exits are to say, as logits, shape (batch, exits, classes).

    Each learns from the teacher's exit at the same layer; the last from the last, also of a student with
    fewer layers.
    """
    exits = [*range(len(student.exits) - 1), -1]
    logits: Tensor = teacher(**inputs).logits[:, exits]
    return logits


def representation_loss(student: list[Tensor], teacher: list[Tensor], mask: Tensor) -> Tensor:
    """Sum over states of their mean squared distance: over the width, and over tokens that are no padding.

    Parameters
    ----------
    student, teacher : lists of Tensor, shape (batch, tokens, width) each
        The embedding's output and each layer's, as `noted_states` notes them.
    mask : Tensor, shape (batch, tokens)
        1 where a token is.

    Raises
    ------
    InputError
        Where the two have other depths or widths.
    """
    if [state.shape for state in student] != [state.shape for state in teacher]:
        raise InputError("student and teacher need as many layers and the same hidden size")
    weight = mask.to(torch.float32)
    total = torch.zeros((), device=mask.device)
    for ours, theirs in zip(student, teacher, strict=True):
        apart = (ours.float() - theirs.float()).square().mean(-1)
        total = total + (apart * weight).sum() / weight.sum()
    return total


def prediction_loss(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """Sum over exits of the mean cross entropy between the student's answers and the teacher's.

    Scores (one output) are compared by their squared distance.

    Parameters
    ----------
    student, teacher : Tensor, shape (batch, exits, classes)
        Each exit learns from the teacher's same exit; a teacher of one exit teaches them all.
    """
    if not temperature > 0:
        raise InputError(f"temperature is {temperature}: give a number above 0")
    teacher = teacher.detach().float().expand_as(student)
    if student.shape[-1] == 1:
        return (student.float() - teacher).square().mean(0).sum()
    likely = (teacher / temperature).softmax(-1)
    surprise = -functional.log_softmax(student.float() / temperature, -1)
    return (likely * surprise).sum(-1).mean(0).sum()
