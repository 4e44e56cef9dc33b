"""Running any encoder layer by layer.

The library's own code prepares everything (embeddings, masks, position biases). What its first layer was
called with is what every layer is called with, so the loop over layers can be ours: it can stop, be resumed
elsewhere, or pool each layer's state and forget it. An encoder for which this does not reproduce the
library's own hidden states is refused by name, never approximated.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from transformers.modeling_utils import PreTrainedModel

from splitee._internal.errors import InputError


@dataclass
class Cut:
    """A batch part-way through the encoder: what a device would send to continue elsewhere.

    Attributes
    ----------
    hidden : Tensor, shape (batch, tokens, width)
        The state after `layer`.
    layer : int
        Layers run so far (1-based: the last one run).
    mask : Tensor, shape (batch, tokens)
        1 where a token is, 0 where padding is.
    arguments, options
        What the library hands to every layer besides the state (masks, position biases).
    """

    hidden: Tensor
    layer: int
    mask: Tensor
    arguments: tuple[Any, ...]
    options: dict[str, Any]

    def take(self, rows: Tensor) -> Cut:
        """Keep these samples of the batch, shape (k,): indices from 0."""
        count = len(self.hidden)
        rows = rows.to(self.hidden.device)

        def of(value: Any) -> Any:
            # a table that is no sample's (DeBERTa's of distances) may happen to be as long as the batch
            if not isinstance(value, Tensor) or value.ndim == 0 or len(value) != count:
                return value
            return value[rows] if value.ndim > 2 or value.shape == self.mask.shape else value

        return replace(
            self,
            hidden=self.hidden[rows],
            mask=self.mask[rows],
            arguments=tuple(map(of, self.arguments)),
            options={name: of(value) for name, value in self.options.items()},
        )


def run_layers(layers: nn.ModuleList, cut: Cut, until: int) -> Cut:
    """Continue through layer `until` (1-based)."""
    if not cut.layer <= until <= len(layers):
        raise InputError(
            f"layer {until} is not between {cut.layer} (already run) and {len(layers)} (the last)"
        )
    hidden = cut.hidden
    for layer in layers[cut.layer : until]:
        hidden = _state(layer(hidden, *cut.arguments, **cut.options))
    return replace(cut, hidden=hidden, layer=until)


def check_cuttable(backbone: PreTrainedModel) -> None:
    """Raise InputError unless running the layers one by one gives the library's own hidden states.

    Checked on three random texts with padding, at every layer, against ``output_hidden_states``; and, so
    that samples can leave a batch, with two of the three.
    """
    if getattr(backbone, "pooler", None) is not None:
        backbone.pooler = None
    where = find_layers(backbone)
    # what such a layer sees differs only in texts longer than its window: the check below could not tell
    if len(set(getattr(backbone.config, "layer_types", None) or ())) > 1:
        raise _refusal(backbone, "its layers are of several kinds")
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(5, max(6, backbone.config.vocab_size), (3, 7), generator=generator)
    mask = torch.tensor([[1] * 7, [1] * 5 + [0] * 2, [1] * 2 + [0] * 5])
    was_training = backbone.training
    backbone.eval()
    with torch.no_grad():
        expected = backbone(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states[1:]
        cut = first_layer(backbone, where, {"input_ids": ids, "attention_mask": mask})
        left = torch.tensor([0, 2])
        same = _gives(expected, getattr(*where), cut) and _gives(
            [states[left] for states in expected], getattr(*where), cut.take(left)
        )
    backbone.train(was_training)
    if not same:
        raise _refusal(backbone, "its layers, run one by one, do not give its hidden states")


def _gives(expected: Sequence[Tensor], layers: nn.ModuleList, cut: Cut) -> bool:
    """Whether going on from `cut`, after layer 1, gives these states at every layer, but for padding."""
    real = cut.mask.bool()
    if len(expected) != len(layers):
        return False
    for layer, theirs in enumerate(expected, 1):
        cut = run_layers(layers, cut, layer)
        if cut.hidden.shape != theirs.shape or not torch.allclose(cut.hidden[real], theirs[real], atol=1e-5):
            return False
    return True


def find_layers(backbone: nn.Module) -> tuple[nn.Module, str]:
    """Find the module and attribute that hold the layers: the one list as long as the configuration says."""
    config = getattr(backbone, "config", None)
    depth = getattr(config, "num_hidden_layers", None)
    if getattr(config, "is_encoder_decoder", False) or getattr(config, "is_decoder", False):
        raise _refusal(backbone, "it is no plain encoder")
    found = [
        (parent, name)
        for parent in backbone.modules()
        for name, child in parent.named_children()
        if isinstance(child, nn.ModuleList) and len(child) == depth
    ]
    if len(found) != 1:
        raise _refusal(backbone, f"{len(found)} lists of {depth} layers were found in it, one is needed")
    return found[0]


def _refusal(backbone: nn.Module, why: str) -> InputError:
    kind = getattr(getattr(backbone, "config", None), "model_type", type(backbone).__name__)
    return InputError(
        f"an encoder of type {kind!r} ({type(backbone).__name__}) cannot be cut: {why}; "
        "BERT, RoBERTa, MPNet, DistilBERT and ELECTRA can"
    )


def first_layer(backbone: nn.Module, where: tuple[nn.Module, str], inputs: dict[str, Any]) -> Cut:
    """Let the library run as far as layer 1, noting what it calls the layer with and what comes out."""
    seen: dict[str, Any] = {}

    def note(_: nn.Module, arguments: tuple[Any, ...], options: dict[str, Any], output: Any) -> None:
        seen.update(arguments=arguments, options=options, output=output)

    with _only_first(where) as layer:
        handle = layer.register_forward_hook(note, with_kwargs=True)
        try:
            backbone(**inputs)
        finally:
            handle.remove()
    options = dict(seen["options"])
    if seen["arguments"]:
        arguments = seen["arguments"][1:]
    else:
        arguments = ()
        options.pop("hidden_states")
    return Cut(_state(seen["output"]), 1, inputs["attention_mask"], arguments, options)


@contextmanager
def _only_first(where: tuple[nn.Module, str]) -> Iterator[nn.Module]:
    parent, name = where
    layers = getattr(parent, name)
    setattr(parent, name, layers[:1])
    try:
        yield layers[0]
    finally:
        setattr(parent, name, layers)


def _state(output: Any) -> Tensor:
    """A layer returns its state, or a tuple that begins with it."""
    state: Tensor = output[0] if isinstance(output, tuple) else output
    return state
