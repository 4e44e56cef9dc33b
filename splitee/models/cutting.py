"""Run an encoder layer by layer.

The library's own code prepares embeddings, masks and position biases. A hook records the arguments of the
first layer; every further layer is called with the same arguments. The loop over layers can therefore stop,
resume on another machine, or pool the state of a layer and discard it. Encoders for which this does not
reproduce the library's hidden states are refused by name, never approximated.
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
    """A batch part-way through the encoder: what a device transfers so that a cloud can continue.

    Attributes
    ----------
    hidden : Tensor, shape (batch, tokens, width)
        The state after `layer`.
    layer : int
        Number of layers run so far.
    mask : Tensor, shape (batch, tokens)
        1 for tokens, 0 for padding.
    arguments, options : tuple, dict
        Positional and keyword arguments that the library passes to every layer besides the state (masks,
        position biases).
    """

    hidden: Tensor
    layer: int
    mask: Tensor
    arguments: tuple[Any, ...]
    options: dict[str, Any]

    def take(self, rows: Tensor) -> Cut:
        """Return the batch restricted to some samples (0-based indices), shape (k,)."""
        count = len(self.hidden)
        rows = rows.to(self.hidden.device)

        def select(value: Any) -> Any:
            # a table shared by all samples (DeBERTa's of distances) may happen to be as long as the batch
            if not isinstance(value, Tensor) or value.ndim == 0 or len(value) != count:
                return value
            return value[rows] if value.ndim > 2 or value.shape == self.mask.shape else value

        return replace(
            self,
            hidden=self.hidden[rows],
            mask=self.mask[rows],
            arguments=tuple(map(select, self.arguments)),
            options={name: select(value) for name, value in self.options.items()},
        )


def run_layers(layers: nn.ModuleList, cut: Cut, until: int) -> Cut:
    """Run layers `cut.layer` + 1 to `until` (1-based).

    Raises
    ------
    InputError
        If `until` lies before the layers already run or after the last layer.
    """
    if not cut.layer <= until <= len(layers):
        raise InputError(
            f"layer {until} is not between {cut.layer} (already run) and {len(layers)} (the last)"
        )
    hidden = cut.hidden
    for layer in layers[cut.layer : until]:
        hidden = _state(layer(hidden, *cut.arguments, **cut.options))
    return replace(cut, hidden=hidden, layer=until)


def check_cuttable(backbone: PreTrainedModel) -> None:
    """Raise InputError unless running the layers one by one reproduces the library's hidden states.

    All layers are compared with ``output_hidden_states`` on three random texts with padding, and again on two
    of the three, as samples may exit from a batch. The backbone's pooler is removed.
    """
    if getattr(backbone, "pooler", None) is not None:
        backbone.pooler = None
    where = find_layers(backbone)
    # layers with attention windows differ only in texts longer than the window: the test texts are too short
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
        rows = torch.tensor([0, 2])
        same = _reproduces(expected, getattr(*where), cut) and _reproduces(
            [states[rows] for states in expected], getattr(*where), cut.take(rows)
        )
    backbone.train(was_training)
    if not same:
        raise _refusal(backbone, "its layers, run one by one, do not reproduce its hidden states")


def _reproduces(expected: Sequence[Tensor], layers: nn.ModuleList, cut: Cut) -> bool:
    """Return whether running on from `cut`, after layer 1, gives these states, padding aside."""
    real = cut.mask.bool()
    if len(expected) != len(layers):
        return False
    for layer, states in enumerate(expected, 1):
        cut = run_layers(layers, cut, layer)
        if cut.hidden.shape != states.shape or not torch.allclose(cut.hidden[real], states[real], atol=1e-5):
            return False
    return True


def find_layers(backbone: nn.Module) -> tuple[nn.Module, str]:
    """Return the module and attribute that hold the layers: the only list of the configured length."""
    config = getattr(backbone, "config", None)
    depth = getattr(config, "num_hidden_layers", None)
    if getattr(config, "is_encoder_decoder", False) or getattr(config, "is_decoder", False):
        raise _refusal(backbone, "it is not a plain encoder")
    found = [
        (parent, name)
        for parent in backbone.modules()
        for name, child in parent.named_children()
        if isinstance(child, nn.ModuleList) and len(child) == depth
    ]
    if len(found) != 1:
        raise _refusal(backbone, f"it has {len(found)} lists of {depth} layers instead of one")
    return found[0]


def _refusal(backbone: nn.Module, why: str) -> InputError:
    kind = getattr(getattr(backbone, "config", None), "model_type", type(backbone).__name__)
    return InputError(
        f"an encoder of type {kind!r} ({type(backbone).__name__}) cannot be cut: {why}; "
        "BERT, RoBERTa, MPNet, DistilBERT and ELECTRA can"
    )


def first_layer(backbone: nn.Module, where: tuple[nn.Module, str], inputs: dict[str, Any]) -> Cut:
    """Run the library's code up to layer 1, and record the layer's arguments and output."""
    seen: dict[str, Any] = {}

    def record(_: nn.Module, arguments: tuple[Any, ...], options: dict[str, Any], output: Any) -> None:
        seen.update(arguments=arguments, options=options, output=output)

    with _only_first(where) as layer:
        handle = layer.register_forward_hook(record, with_kwargs=True)
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
    """Return the state from a layer's output: the output itself, or the first item of a tuple."""
    state: Tensor = output[0] if isinstance(output, tuple) else output
    return state
