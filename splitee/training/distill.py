"""What a slender student learns from a full-size teacher: its states, layer by layer, and its exits' answers.

COST-EFF (Shen et al. 2022): Σ over the embedding and all layers of the mean squared distance of states, and Σ
over exits of the cross entropy between the student's and the teacher's answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from splitee._internal.errors import InputError
from splitee.models.encode import pad
from splitee.models.multi_exit import MultiExitModel
from splitee.training.trainer import inputs_of

NOTES = 4 * 2**30  # bytes of memory that a teacher's notes may take


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


class Teacher:
    """A full-size model that teaches: its states, and its exits' answers, to what a student's exits are.

    A teacher many times the size of its student takes most of the time; so all that it has to say of the rows
    is noted once, in float16, where that fits into `NOTES` bytes.

    Parameters
    ----------
    model : MultiExitModel
        In evaluation mode.
    learned : sequence of dict
        Encoded examples; batches name theirs as ``rows``.
    pad_token : int
    precision : torch.dtype, optional
        In which the encoder is run, mixed; default: float32.
    note : bool
        False: it is asked each time.
    """

    def __init__(
        self,
        model: MultiExitModel,
        learned: Sequence[Mapping[str, Any]],
        pad_token: int,
        precision: torch.dtype | None = None,
        note: bool = True,
    ) -> None:
        self.model, self.precision = model, precision
        lengths = np.array([len(one["input_ids"]) for one in learned])
        self.starts = np.concatenate([[0], np.cumsum(lengths)])
        depth, width = len(model.layers) + 1, model.backbone.config.hidden_size
        self.noted = note and int(self.starts[-1]) * depth * width * 2 <= NOTES
        if not self.noted:
            return
        self.states = torch.empty((int(self.starts[-1]), depth, width), dtype=torch.float16)
        self.logits = torch.empty((len(learned), len(model.exits), model.config.num_labels))
        order = np.argsort(lengths, kind="stable")
        for rows in np.array_split(order, max(1, len(order) // 32)):
            batch = pad([inputs_of(learned[i]) for i in rows], pad_token)
            states, logits = self._run({key: values.to(model.device) for key, values in batch.items()})
            stacked = torch.stack([state.half() for state in states], dim=2).cpu()
            for place, row in enumerate(rows):
                self.states[self.starts[row] : self.starts[row + 1]] = stacked[place, : lengths[row]]
            self.logits[rows] = logits.float().cpu()

    def says(
        self, batch: Mapping[str, Tensor], student: MultiExitModel, *, states: bool = True
    ) -> tuple[list[Tensor], Tensor]:
        """Return what a student's states and its exits' answers are to be.

        Each exit learns from the teacher's exit at the same layer; the last from the last, also of a student
        with fewer layers.

        Returns
        -------
        (list of Tensor, Tensor)
            The states, shape (batch, tokens, width), of the embedding and of the student's layers (unless
            they are not asked for); logits, shape (batch, exits, classes).
        """
        if self.noted:
            found, logits = self._noted(batch, states)
        else:
            found, logits = self._run(inputs_of(batch))
        return found[: len(student.layers) + 1], logits[:, [*range(len(student.exits) - 1), -1]]

    def _run(self, inputs: Mapping[str, Tensor]) -> tuple[list[Tensor], Tensor]:
        kind = self.model.device.type
        mixed = torch.autocast(kind, dtype=self.precision, enabled=self.precision is not None)
        with torch.no_grad(), mixed, noted_states(self.model) as states:
            logits: Tensor = self.model(**inputs).logits
        return states, logits

    def _noted(self, batch: Mapping[str, Tensor], states: bool) -> tuple[list[Tensor], Tensor]:
        rows, device = batch["rows"].tolist(), batch["input_ids"].device
        logits = self.logits[rows].to(device)
        if not states:
            return [], logits
        _, depth, width = self.states.shape
        whole = torch.zeros((len(rows), batch["input_ids"].shape[1], depth, width), dtype=torch.float16)
        for place, row in enumerate(rows):
            told = self.states[self.starts[row] : self.starts[row + 1]]
            whole[place, : len(told)] = told
        return list(whole.to(device).unbind(2)), logits


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
