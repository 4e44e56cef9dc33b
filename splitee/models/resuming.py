"""The rest of the layers for samples that enter at different layers, in one batch.

A cloud receives tokens from one device, and the state after some layer from another. Samples join the running
batch at the layer after their own, so that each layer runs once for all samples that have reached it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from splitee.models.cutting import Cut, prepared, stand_ins
from splitee.models.early_exit import exit_output
from splitee.models.multi_exit import MultiExitModel


@dataclass(frozen=True)
class Part:
    """Samples that enter at one layer.

    Attributes
    ----------
    layer : int
        Number of layers that were run elsewhere; 0: none, `ids` are given.
    mask : ndarray of int64, shape (b, t)
        1 for tokens, 0 for padding.
    ids, types : ndarray of int64, shape (b, t), optional
        Tokens, and token types.
    state : ndarray of float32, shape (b, t, h), optional
        The state after `layer`.
    recent : ndarray of float32, shape (b, r, h), optional
        What exits that read N > 1 states need: the pooled states before, r = min(N − 1, layer).
    """

    layer: int
    mask: NDArray[np.int64]
    ids: NDArray[np.int64] | None = None
    types: NDArray[np.int64] | None = None
    state: NDArray[np.float32] | None = None
    recent: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Final:
    """What the last exit says: confidence (n,) float32, prediction (n,) int64, logits (n, K) float32."""

    confidence: NDArray[np.float32]
    prediction: NDArray[np.int64]
    logits: NDArray[np.float32]

    def rows(self, first: int, until: int) -> Final:
        """Return those of samples `first` to `until` − 1."""
        part = slice(first, until)
        return Final(self.confidence[part], self.prediction[part], self.logits[part])


class Resumer:
    """Runs the rest of a model's layers.

    Parameters
    ----------
    model : MultiExitModel
        It is put in evaluation mode; afterwards it must be used in one thread at a time.

    Examples
    --------
    >>> from transformers import BertConfig
    >>> from splitee.models.config import MultiExitConfig
    >>> config = MultiExitConfig(
    ...     BertConfig(vocab_size=50, hidden_size=8, num_hidden_layers=3, num_attention_heads=2,
    ...                intermediate_size=16).to_dict(), num_labels=2)
    >>> model = MultiExitModel(config).eval()
    >>> ids, mask = np.array([[5, 6, 7]]), np.ones((1, 3), np.int64)
    >>> device = model.run_layers(model.start(torch.tensor(ids)), 2)
    >>> state = device.hidden.detach().numpy()
    >>> both = Resumer(model).finish([Part(0, mask, ids=ids), Part(2, mask, state=state)])
    >>> bool(np.allclose(both[0].logits, both[1].logits, atol=1e-5))
    True
    """

    def __init__(self, model: MultiExitModel) -> None:
        self.model = model
        exits = model.exits
        # the confidence of a score compares the last exit with the one before
        self._before = exits[-2] if model.config.regresses and len(exits) > 1 else None
        self._form: Any = None  # an output of layer 1: a tensor or a tuple
        model.eval()
        with torch.inference_mode():
            self._form = self._arguments(torch.ones(1, 1, dtype=torch.long, device=model.device)).first

    @torch.inference_mode()
    def finish(self, parts: Sequence[Part]) -> list[Final]:
        """Run each part's remaining layers and the last exit, at least one part.

        Answers equal those of a part alone, up to rounding errors of the encoder.

        Raises
        ------
        InputError
            If a part is padded on the left and the model does not admit it.
        """
        order = sorted(range(len(parts)), key=lambda i: parts[i].layer)
        final = self._finish([parts[i] for i in order])
        answers, at = {}, 0
        for i in order:
            answers[i] = final.rows(at, at + len(parts[i].mask))
            at += len(parts[i].mask)
        return [answers[i] for i in range(len(parts))]

    def _finish(self, parts: list[Part]) -> Final:
        """Run parts in ascending order of their layers: the samples that run by now are the first ones."""
        model = self.model
        longest = max(part.mask.shape[1] for part in parts)
        mask = self._stacked([part.mask for part in parts], longest)
        whole = Cut(mask, 0, mask, tuple(self._arguments(mask).calls))
        running: Cut | None = None
        for layer, entering in groupby(parts, key=lambda part: max(part.layer, 1)):
            hidden, *recent = self._entering(list(entering), longest)
            if running is not None:
                running = model.run_layers(running, layer)
                hidden = torch.cat([running.hidden, hidden])
                recent = [torch.cat(pair) for pair in zip(running.recent, recent, strict=True)]
            count = len(hidden)
            at = whole if count == len(mask) else whole.take(torch.arange(count))
            running = replace(at, hidden=hidden, layer=layer, recent=tuple(recent))
        assert running is not None
        before = None
        if self._before is not None:
            running = model.run_layers(running, self._before)
            before = model.exit_logits(running).float().cpu().numpy()
        values, certainty = model.exit_outputs(model.run_layers(running, model.exits[-1]))
        logits = values.float().cpu().numpy()
        said = exit_output(model, logits, before)
        confidence = said.confidence if certainty is None else certainty.float().cpu().numpy()
        return Final(confidence, said.prediction.astype(np.int64), logits)

    def _entering(self, parts: list[Part], longest: int) -> list[Tensor]:
        """Return the state at the layer where parts enter, and the recent ones."""
        found = []
        tokens = [part for part in parts if not part.layer]
        if tokens:
            pad = self.model.backbone.config.pad_token_id or 0
            ids = self._stacked([part.ids for part in tokens], longest, pad)
            types = None
            if any(part.types is not None for part in tokens):
                given = [np.zeros_like(part.mask) if part.types is None else part.types for part in tokens]
                types = self._stacked(given, longest)
            cut = self.model.start(ids, self._stacked([part.mask for part in tokens], longest), types)
            found.append([cut.hidden, *cut.recent])
        states = [part for part in parts if part.layer]
        if states:
            hidden = self._stacked([part.state for part in states], longest)
            recent = (
                [] if states[0].recent is None else self._stacked([part.recent for part in states]).unbind(1)
            )
            found.append([hidden, *recent])
        return [torch.cat(tensors) for tensors in zip(*found, strict=True)]

    def _stacked(self, arrays: Sequence[Any], longest: int | None = None, pad: int = 0) -> Tensor:
        """Return arrays, shape (b, t, …), one below the other, t padded on the right."""
        if longest is None or all(array.shape[1] == longest for array in arrays):
            return torch.from_numpy(np.concatenate(arrays)).to(self.model.device)
        shape = (sum(map(len, arrays)), longest, *arrays[0].shape[2:])
        stacked, at = np.full(shape, pad, arrays[0].dtype), 0
        for array in arrays:
            stacked[at : at + len(array), : array.shape[1]] = array
            at += len(array)
        return torch.from_numpy(stacked).to(self.model.device)

    def _arguments(self, mask: Tensor) -> Any:
        """Return the record of what the library passes to its layers; they do not depend on the tokens."""
        backbone = self.model.backbone
        with stand_ins(self.model.stack, self._form) as record:
            backbone(**prepared(backbone, torch.zeros_like(mask), mask))
        return record
