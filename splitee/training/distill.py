"""Distillation: a slender student learns the teacher's states, layer by layer, and its exits' answers.

The losses are COST-EFF's (Shen et al. 2022): the sum over the embedding and all layers of the mean squared
distance between states, and the sum over exits of the cross entropy between student and teacher.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from splitee._internal.errors import InputError
from splitee.models.encode import pad
from splitee.models.multi_exit import MultiExitModel
from splitee.training.attention import recorded_attention, same_heads
from splitee.training.trainer import inputs_of

AVERAGES = ("sample", "token")
CACHE_BYTES = 4 * 2**30  # memory limit for a teacher's cached outputs


@contextmanager
def recorded_states(model: MultiExitModel) -> Iterator[list[Tensor]]:
    """Record the outputs of the embedding and of every layer, (batch, tokens, width), in the last pass."""
    states: list[Tensor] = []

    def record_embedding(_: nn.Module, arguments: tuple[Any, ...], options: dict[str, Any]) -> None:
        states.clear()
        states.append(arguments[0] if arguments else options["hidden_states"])

    def record_layer(_: nn.Module, __: Any, output: Any) -> None:
        states.append(output[0] if isinstance(output, tuple) else output)

    handles = [model.layers[0].register_forward_pre_hook(record_embedding, with_kwargs=True)]
    handles += [layer.register_forward_hook(record_layer) for layer in model.layers]
    try:
        yield states
    finally:
        for handle in handles:
            handle.remove()


@dataclass(frozen=True)
class Targets:
    """What a student learns from a teacher.

    Attributes
    ----------
    states : list of Tensor, shape (batch, tokens, width) each
        For the embedding and each of the student's layers; empty if they were not asked for.
    logits : Tensor, shape (batch, exits, classes)
        For each of the student's exits.
    attention : list of Tensor, shape (batch, heads, tokens, tokens) each
        Attention scores for each of the student's layers and heads; empty if they were not asked for.
    """

    states: list[Tensor]
    logits: Tensor
    attention: list[Tensor]


def spread_layers(layers: int, depth: int) -> list[int]:
    """Return for each of a student's layers the layer of a teacher of this depth that it learns from.

    They are spread evenly, as in COST-EFF's code: layer j learns from layer ⌊j·L/l⌋ of L.

    Examples
    --------
    >>> spread_layers(4, 12), spread_layers(8, 12)
    ([3, 6, 9, 12], [1, 3, 4, 6, 7, 9, 10, 12])
    """
    return [layer * depth // layers for layer in range(1, layers + 1)]


class Teacher:
    """A full-size model whose states and exit answers are the targets of a student.

    A teacher is many times the size of its student, so its passes take most of the time. Its outputs for all
    examples are therefore cached once, in float16, if they fit into `CACHE_BYTES`.

    Parameters
    ----------
    model : MultiExitModel
        In evaluation mode.
    train_examples : sequence of dict
        Encoded examples; batches refer to them by index as ``rows``.
    pad_token : int
        Token id for padding.
    precision : torch.dtype, optional
        Mixed precision of the encoder. Default: float32.
    cache : bool
        Whether outputs may be cached.
    attention : bool
        Whether students learn attention scores too; outputs are then not cached.
    spread : bool
        Whether a student with fewer layers learns the states of layers spread over the teacher's, or those of
        the first layers.
    """

    def __init__(
        self,
        model: MultiExitModel,
        train_examples: Sequence[Mapping[str, Any]],
        pad_token: int,
        precision: torch.dtype | None = None,
        cache: bool = True,
        attention: bool = False,
        spread: bool = True,
    ) -> None:
        self.model, self.precision, self.attention, self.spread = model, precision, attention, spread
        lengths = np.array([len(one["input_ids"]) for one in train_examples])
        self.starts = np.concatenate([[0], np.cumsum(lengths)])
        depth, width = len(model.layers) + 1, model.backbone.config.hidden_size
        self.cached = cache and not attention and int(self.starts[-1]) * depth * width * 2 <= CACHE_BYTES
        if not self.cached:
            return
        self.states = torch.empty((int(self.starts[-1]), depth, width), dtype=torch.float16)
        self.logits = torch.empty((len(train_examples), len(model.exits), model.config.num_labels))
        order = np.argsort(lengths, kind="stable")
        for rows in np.array_split(order, max(1, len(order) // 32)):
            batch = pad([inputs_of(train_examples[i]) for i in rows], pad_token)
            states, logits, _ = self._run({key: values.to(model.device) for key, values in batch.items()})
            stacked = torch.stack([state.half() for state in states], dim=2).cpu()
            for place, row in enumerate(rows):
                self.states[self.starts[row] : self.starts[row + 1]] = stacked[place, : lengths[row]]
            self.logits[rows] = logits.float().cpu()

    def targets(
        self, batch: Mapping[str, Tensor], student: MultiExitModel, *, states: bool = True
    ) -> Targets:
        """Return the targets for a student's states, exit logits and, if wanted, attention.

        Each exit's target is the teacher's exit at the same place. The last exit's target is the teacher's
        last exit, even if the student has fewer layers. The targets of its layers are then those of
        `spread_layers`: layer j's state is compared with the state after ⌊j·L/l⌋, its attention with that of
        layer ⌊(j−1)·L/l⌋ + 1, the first of these layers, as in COST-EFF's code.
        """
        if self.cached:
            found, logits = self._from_cache(batch, states)
            attention: list[Tensor] = []
        else:
            found, logits, attention = self._run(inputs_of(batch))
        layers, depth = len(student.layers), len(self.model.layers)
        after = spread_layers(layers, depth) if self.spread else list(range(1, layers + 1))
        first = [before + 1 for before in (0, *after[:-1])]
        return Targets(
            [found[layer] for layer in (0, *after)] if found else [],
            logits[:, [*range(len(student.exits) - 1), -1]],
            same_heads(attention, self.model, first, student) if attention else [],
        )

    def _run(self, inputs: Mapping[str, Tensor]) -> tuple[list[Tensor], Tensor, list[Tensor]]:
        kind = self.model.device.type
        mixed = torch.autocast(kind, dtype=self.precision, enabled=self.precision is not None)
        with torch.no_grad(), mixed, recorded_states(self.model) as states:
            if not self.attention:
                return states, self.model(**inputs).logits, []
            with recorded_attention(self.model) as record:
                logits: Tensor = self.model(**inputs).logits
            return states, logits, record.scores()

    def _from_cache(self, batch: Mapping[str, Tensor], states: bool) -> tuple[list[Tensor], Tensor]:
        rows, device = batch["rows"].tolist(), batch["input_ids"].device
        logits = self.logits[rows].to(device)
        if not states:
            return [], logits
        _, depth, width = self.states.shape
        padded = torch.zeros((len(rows), batch["input_ids"].shape[1], depth, width), dtype=torch.float16)
        for place, row in enumerate(rows):
            cached = self.states[self.starts[row] : self.starts[row + 1]]
            padded[place, : len(cached)] = cached
        return list(padded.to(device).unbind(2)), logits


def representation_loss(
    student: list[Tensor], teacher: list[Tensor], mask: Tensor, average: str = "sample"
) -> Tensor:
    """Return the sum over states of the mean squared distance, averaged over width and non-padding tokens.

    Parameters
    ----------
    student, teacher : lists of Tensor, shape (batch, tokens, width) each
        The outputs of the embedding and of each layer, from `recorded_states`.
    mask : Tensor, shape (batch, tokens)
        1 for tokens, 0 for padding.
    average : {"sample", "token"}
        "sample" averages over the tokens of each sample, then over samples, as COST-EFF's code; "token"
        averages over all tokens of the batch, so that long samples weigh more.

    Raises
    ------
    InputError
        If student and teacher differ in depth or width, or the average is unknown.

    Examples
    --------
    >>> zero, one = [torch.zeros(2, 3, 4)], [torch.tensor([1.0, 2.0]).sqrt()[:, None, None].expand(2, 3, 4)]
    >>> mask = torch.tensor([[1, 1, 1], [1, 0, 0]])
    >>> [round(float(representation_loss(zero, one, mask, kind)), 6) for kind in AVERAGES]
    [1.5, 1.25]
    """
    if average not in AVERAGES:
        raise InputError(f"states_average {average!r}: choose one of {', '.join(AVERAGES)}")
    if [state.shape for state in student] != [state.shape for state in teacher]:
        raise InputError("student and teacher must have equal numbers of layers and equal hidden sizes")
    weight = mask.to(torch.float32)
    total = torch.zeros((), device=mask.device)
    for ours, theirs in zip(student, teacher, strict=True):
        apart = (ours.float() - theirs.float()).square().mean(-1)
        if average == "sample":
            total = total + ((apart * weight).sum(1) / weight.sum(1)).mean()
        else:
            total = total + (apart * weight).sum() / weight.sum()
    return total


def prediction_loss(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """Return the sum over exits of the mean cross entropy between student and teacher.

    Regression scores (one output) are compared by their squared distance.

    Parameters
    ----------
    student, teacher : Tensor, shape (batch, exits, classes)
        Logits. Each exit learns from the teacher's exit at the same index; a teacher with one exit teaches
        all exits of the student.
    temperature : float
        Divides the logits of both; above 0.
    """
    if not temperature > 0:
        raise InputError(f"temperature is {temperature}: give a number above 0")
    teacher = teacher.detach().float().expand_as(student)
    if student.shape[-1] == 1:
        return (student.float() - teacher).square().mean(0).sum()
    likely = (teacher / temperature).softmax(-1)
    surprise = -functional.log_softmax(student.float() / temperature, -1)
    return (likely * surprise).sum(-1).mean(0).sum()
