"""Early exit in batches: confident samples exit, the others continue as a smaller batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from splitee._internal.errors import InputError
from splitee.models.cutting import evaluating
from splitee.models.network import ExitNetwork
from splitee.policies.rules import Memory, Rule, Said
from splitee.trace.columns import read_logits, read_scores, round_scores


@dataclass(frozen=True)
class Answers:
    """Answers of a batch, and the exits that gave them.

    Attributes
    ----------
    prediction : ndarray of int64, shape (b,)
        The predicted class; for regression, the score rounded to a class.
    exit : ndarray of int64, shape (b,)
        The exit that answered, 1-based as in the columns of a trace.
    logits : ndarray of float32, shape (b, classes)
        Logits of that exit; for regression, the score, shape (b, 1).
    """

    prediction: NDArray[np.int64]
    exit: NDArray[np.int64]
    logits: NDArray[np.float32]


@torch.inference_mode()
def infer(
    model: ExitNetwork,
    batch: Mapping[str, Tensor],
    rule: Rule,
    *,
    last: int | None = None,
    mark: Callable[[], object] = lambda: None,
    confidence: str | None = None,
) -> Answers:
    """Run a batch layer by layer; samples that the rule accepts exit, and the others continue.

    Answers and exits equal those of one sample at a time, up to rounding errors of the encoder, and those of
    the cascade with the same rule on the model's trace. A model in training mode answers as in evaluation
    mode, and is left in the mode it was in.

    Parameters
    ----------
    model : ExitNetwork
        The model.
    batch : mapping of str to Tensor
        Of texts: ``input_ids``, shape (b, tokens), and optionally ``attention_mask`` and ``token_type_ids``.
        Of images: ``pixel_values``, shape (b, channels, height, width).
    rule : Rule
        From `splitee.policies.rules`, or a policy's rule, such as ``splitee.PABEE(3).rule``.
    last : int, optional
        The last exit (1-based) to use; samples still unanswered there are answered. Default: the model's
        last exit.
    mark : callable, optional
        Called after the layers up to every exit, and again after every exit that is evaluated, so that a
        caller can time the steps.
    confidence : {"softmax", "learned"}, optional
        What the rule takes as confidence: see `MultiExitConfig`. Default: as in training.

    Returns
    -------
    Answers

    Raises
    ------
    InputError
        If the model has no exit `last`, the batch is empty, or the rule does not fit the model's exits.

    Examples
    --------
    >>> from transformers import BertConfig
    >>> from splitee.models.config import MultiExitConfig
    >>> from splitee.models.multi_exit import MultiExitModel
    >>> from splitee.policies.rules import AtExit
    >>> config = MultiExitConfig(
    ...     BertConfig(vocab_size=50, hidden_size=8, num_hidden_layers=3, num_attention_heads=2,
    ...                intermediate_size=16).to_dict(), num_labels=2)
    >>> model = MultiExitModel(config).eval()
    >>> infer(model, {"input_ids": torch.tensor([[1, 2, 3], [4, 5, 6]])}, AtExit(2)).exit
    array([2, 2])
    """
    exits = len(model.exits)
    last = exits if last is None else last
    rule.check(exits)
    if not 1 <= last <= exits:
        raise InputError(f"exit {last}: the model has exits 1 to {exits}")
    first = batch[model.main_input_name]
    if (empty := len(first) == 0) or first.shape[1] == 0:
        raise InputError(f"the batch holds no {'samples' if empty else 'tokens'}: give at least one")
    learned = model.config.learned(confidence)
    with evaluating(model):
        return _infer(model, batch, rule, last, learned, mark)


def _infer(
    model: ExitNetwork,
    batch: Mapping[str, Tensor],
    rule: Rule,
    last: int,
    learned: bool,
    mark: Callable[[], object],
) -> Answers:
    count = len(batch[model.main_input_name])
    prediction = np.zeros(count, dtype=np.int64)
    answered = np.zeros(count, dtype=np.int64)
    logits_at_exit = np.zeros((count, model.config.num_labels), dtype=np.float32)
    rows = np.arange(count)  # samples that have not exited
    memory: Memory | None = None
    before: NDArray[np.float32] | None = None
    cut = model.start(**batch)
    for exit_, layer in enumerate(model.exits[:last], 1):
        cut = model.run_layers(cut, layer)
        mark()
        if exit_ < last and not rule.asks(exit_):
            continue
        values, certainty = model.exit_outputs(cut)
        logits = values.float().cpu().numpy()
        output = exit_output(model, logits, before)
        if learned and certainty is not None:
            output = replace(output, confidence=certainty.float().cpu().numpy())
        if exit_ < last:
            sure, memory = rule.sure(exit_, output, memory)
        else:
            sure = np.ones(len(rows), dtype=bool)
        exiting = rows[sure]
        prediction[exiting], answered[exiting] = output.prediction[sure], exit_
        logits_at_exit[exiting] = logits[sure]
        unsure = ~sure
        rows, before = rows[unsure], logits[unsure]
        mark()
        if not len(rows):
            break
        if sure.any():
            cut = cut.take(torch.from_numpy(np.flatnonzero(unsure)))
            memory = None if memory is None else memory[unsure]
    return Answers(prediction, answered, logits_at_exit)


def exit_output(model: ExitNetwork, logits: NDArray[np.float32], before: NDArray[np.float32] | None) -> Said:
    """Convert logits as `splitee.models.precompute` does; compare a score with that of the exit before."""
    if not model.config.regresses:
        confidence, entropy, prediction = read_logits(logits)
        return Said(confidence, prediction, entropy)
    low, high = model.config.score_range
    values = logits if before is None else np.concatenate([before, logits], axis=1)
    agreement, _ = read_scores(values, low, high)
    return Said(agreement[:, -1], round_scores(logits[:, 0], low, high), value=logits[:, 0])
