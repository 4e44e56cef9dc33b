"""Early exit in real batches: who is sure leaves, the others go on as a smaller batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from splitee._internal.errors import InputError
from splitee.models.multi_exit import MultiExitModel
from splitee.policies.rules import Memory, Rule, Said
from splitee.trace.columns import read_logits, read_scores, round_scores


@dataclass(frozen=True)
class Answers:
    """What was answered, and where.

    Attributes
    ----------
    prediction : ndarray of int64, shape (b,)
        The class; of a score, the score rounded to one.
    exit : ndarray of int64, shape (b,)
        The exit that answered, 1-based, as the columns of a trace.
    logits : ndarray of float32, shape (b, classes)
        What that exit said; shape (b, 1), the score, where the model regresses.
    """

    prediction: NDArray[np.int64]
    exit: NDArray[np.int64]
    logits: NDArray[np.float32]


@torch.inference_mode()
def infer(
    model: MultiExitModel, batch: Mapping[str, Tensor], rule: Rule, *, last: int | None = None
) -> Answers:
    """Run a batch layer by layer; whom the rule lets go is answered, and the rest runs on without them.

    Answers and exits are those of one sample at a time, up to float error of the encoder, and those of the
    same rule's cascade on the model's trace.

    Parameters
    ----------
    model : MultiExitModel
    batch : mapping of str to Tensor, shape (b, tokens)
        ``input_ids`` and, where there are any, ``attention_mask`` and ``token_type_ids``.
    rule : Rule
        Of `splitee.policies.rules`, or a policy's, such as ``splitee.PABEE(3).rule``.
    last : int, optional
        The exit (1-based) that answers at the latest; default: the last.

    Raises
    ------
    InputError
        Where the model has no exit `last`, or the rule reads what its exits do not say.

    Examples
    --------
    >>> from transformers import BertConfig
    >>> from splitee.models.config import MultiExitConfig
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
    if (empty := len(batch["input_ids"]) == 0) or batch["input_ids"].shape[1] == 0:
        raise InputError(f"the batch holds no {'samples' if empty else 'tokens'}")
    count = len(batch["input_ids"])
    prediction = np.zeros(count, dtype=np.int64)
    answered = np.zeros(count, dtype=np.int64)
    kept = np.zeros((count, model.config.num_labels), dtype=np.float32)
    rows = np.arange(count)  # those still on their way
    memory: Memory | None = None
    before: NDArray[np.float32] | None = None
    cut = model.start(**batch)
    for exit_, layer in enumerate(model.exits[:last], 1):
        cut = model.run_layers(cut, layer)
        if exit_ < last and not rule.asks(exit_):
            continue
        logits = model.exit_logits(cut).float().cpu().numpy()
        said = _said(model, logits, before)
        if exit_ < last:
            sure, memory = rule.sure(exit_, said, memory)
        else:
            sure = np.ones(len(rows), dtype=bool)
        leaving = rows[sure]
        prediction[leaving], answered[leaving], kept[leaving] = said.prediction[sure], exit_, logits[sure]
        stay = ~sure
        rows, before = rows[stay], logits[stay]
        if not len(rows):
            break
        if sure.any():
            cut = cut.take(torch.from_numpy(np.flatnonzero(stay)))
            memory = None if memory is None else memory[stay]
    return Answers(prediction, answered, kept)


def _said(model: MultiExitModel, logits: NDArray[np.float32], before: NDArray[np.float32] | None) -> Said:
    """Read logits as `splitee.models.precompute` does; compare a score with the one before."""
    if not model.config.regresses:
        confidence, entropy, prediction = read_logits(logits)
        return Said(confidence, prediction, entropy)
    low, high = model.config.score_range
    values = logits if before is None else np.concatenate([before, logits], axis=1)
    agreement, _ = read_scores(values, low, high)
    return Said(agreement[:, -1], round_scores(logits[:, 0], low, high), value=logits[:, 0])
