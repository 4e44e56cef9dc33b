"""The rest of the layers for samples that enter at different layers, in one batch.

A cloud receives the input from one device, and the state after some layer from another. Samples join the
running batch at the layer after their own, so that each layer runs once for all samples that have reached it.
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
from splitee.models.inputs import ImageInputs
from splitee.models.multi_exit import MultiExitModel
from splitee.models.network import ExitNetwork, State
from splitee.models.staged import StagedModel
from splitee.system.codec import from_rows


@dataclass(frozen=True)
class Part:
    """Samples that enter at one layer.

    Attributes
    ----------
    layer : int
        Number of layers that were run elsewhere; 0: none, `ids` or `files` are given.
    mask : ndarray of int64, shape (b, t), optional
        1 for tokens, 0 for padding; of texts.
    ids, types : ndarray of int64, shape (b, t), optional
        Tokens, and token types.
    state : ndarray of float32, shape (b, t, h), optional
        The state after `layer`.
    recent : ndarray of float32, shape (b, r, h), optional
        What exits that read N > 1 states need: the pooled states before, r = min(N − 1, layer).
    files : tuple of bytes, optional
        The image files of images.
    pixels : Tensor, shape (b, channels, height, width), optional
        What `Resumer.read` made of them.
    """

    layer: int
    mask: NDArray[np.int64] | None = None
    ids: NDArray[np.int64] | None = None
    types: NDArray[np.int64] | None = None
    state: NDArray[np.float32] | None = None
    recent: NDArray[np.float32] | None = None
    files: tuple[bytes, ...] | None = None
    pixels: Tensor | None = None

    @property
    def rows(self) -> int:
        """Number of samples."""
        return len(next(one for one in (self.mask, self.state, self.files) if one is not None))


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
    """Runs the rest of a model's layers; `resumer_of` returns that of a model.

    Parameters
    ----------
    model : ExitNetwork
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
    >>> both = resumer_of(model).finish([Part(0, mask, ids=ids), Part(2, mask, state=state)])
    >>> bool(np.allclose(both[0].logits, both[1].logits, atol=1e-5))
    True
    """

    def __init__(self, model: ExitNetwork) -> None:
        self.model = model
        exits = model.exits
        # the confidence of a score compares the last exit with the one before
        self._before = exits[-2] if model.config.regresses and len(exits) > 1 else None
        model.eval()

    def read(self, part: Part) -> Part:
        """Return a part whose input can be run: of images, the files are decoded.

        Raises
        ------
        InputError
            If a file is damaged.
        """
        return part

    @torch.inference_mode()
    def finish(self, parts: Sequence[Part]) -> list[Final]:
        """Run each part's remaining layers and the last exit, at least one part.

        Answers equal those of a part alone, up to rounding errors of the layers.

        Raises
        ------
        InputError
            If a part is padded on the left and the model does not admit it.
        """
        order = sorted(range(len(parts)), key=lambda i: parts[i].layer)
        final = self._finish([self.read(parts[i]) for i in order])
        answers, at = {}, 0
        for i in order:
            answers[i] = final.rows(at, at + parts[i].rows)
            at += parts[i].rows
        return [answers[i] for i in range(len(parts))]

    def _finish(self, parts: list[Part]) -> Final:
        """Run parts in ascending order of their layers: the samples that run by now are the first ones."""
        model, common = self.model, self._common(parts)
        running: Any = None
        for layer, entering in groupby(parts, key=lambda part: max(part.layer, 1)):
            states = self._entering(list(entering), common)
            if running is not None:
                running = model.run_layers(running, layer)
                states = [torch.cat(pair) for pair in zip(self._states(running), states, strict=True)]
            running = self._cut(states, layer, common)
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

    # what differs by the kind of model

    def _common(self, parts: list[Part]) -> Any:
        """Return what all samples share."""

    def _entering(self, parts: list[Part], common: Any) -> list[Tensor]:
        """Return the state at the layer where parts enter, and further ones that exits read."""
        raise NotImplementedError

    def _states(self, running: Any) -> list[Tensor]:
        """Return the same of the samples that run."""
        return [running.hidden]

    def _cut(self, states: list[Tensor], layer: int, common: Any) -> Any:
        """Return these states as what `ExitNetwork.run_layers` takes."""
        return State(states[0], layer)


class _Texts(Resumer):
    """Texts are padded to the longest; the layers get masks as well."""

    model: MultiExitModel

    def __init__(self, model: MultiExitModel) -> None:
        super().__init__(model)
        self._form: Any = None  # an output of layer 1: a tensor or a tuple
        with torch.inference_mode():
            self._form = self._arguments(torch.ones(1, 1, dtype=torch.long, device=model.device)).first

    def _common(self, parts: list[Part]) -> Cut:
        """Return a batch of all samples without a state: masks, and what the layers get of them."""
        masks = [part.mask for part in parts if part.mask is not None]
        mask = self._stacked(masks, max(one.shape[1] for one in masks))
        return Cut(mask, 0, mask, tuple(self._arguments(mask).calls))

    def _entering(self, parts: list[Part], common: Cut) -> list[Tensor]:
        longest, found = common.mask.shape[1], []
        tokens = [part for part in parts if not part.layer]
        if tokens:
            pad = self.model.backbone.config.pad_token_id or 0
            ids = self._stacked([part.ids for part in tokens], longest, pad)
            types = None
            if any(part.types is not None for part in tokens):
                given: list[Any] = [part.mask for part in tokens]
                given = [
                    np.zeros_like(mask) if part.types is None else part.types
                    for part, mask in zip(tokens, given, strict=True)
                ]
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

    def _states(self, running: Cut) -> list[Tensor]:
        return [running.hidden, *running.recent]

    def _cut(self, states: list[Tensor], layer: int, common: Cut) -> Cut:
        hidden, *recent = states
        count = len(hidden)
        at = common if count == len(common.mask) else common.take(torch.arange(count))
        return replace(at, hidden=hidden, layer=layer, recent=tuple(recent))

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


class _Images(Resumer):
    """Images are of one size; states come as positions and channels."""

    model: StagedModel

    def __init__(self, model: StagedModel) -> None:
        super().__init__(model)
        self._batch = ImageInputs(model.config).batch

    def read(self, part: Part) -> Part:
        """Decode the files of a part, unless that is done."""
        if part.files is None or part.pixels is not None:
            return part
        named = [{"image": (f"image {row}", file)} for row, file in enumerate(part.files)]
        return replace(part, pixels=self._batch(named)["pixel_values"])

    def _entering(self, parts: list[Part], common: None) -> list[Tensor]:
        pixels = [part.pixels for part in parts if part.pixels is not None]
        found = [self.model.start(torch.cat(pixels).to(self.model.device)).hidden] if pixels else []
        states = [part.state for part in parts if part.state is not None]
        if states:
            layer = max(part.layer for part in parts)
            rows = torch.from_numpy(np.concatenate(states)).to(self.model.device)
            found.append(from_rows(rows, self.model.shapes[layer - 1]))
        return [torch.cat(found)]


def resumer_of(model: ExitNetwork) -> Resumer:
    """Return what runs the rest of a model's layers."""
    return _Texts(model) if isinstance(model, MultiExitModel) else _Images(model)
