"""Run an encoder or decoder layer by layer.

The library's own code prepares embeddings, masks and position biases. Layer 1 runs, and stand-ins for the
further layers record the arguments that the library passes to each of them. The loop over layers can
therefore stop, resume on another machine, or pool the state of a layer and discard it. For which backbones
this reproduces the library is checked in `splitee.models.opening`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from splitee._internal.errors import InputError
from splitee.models.network import State

Call = tuple[
    tuple[Any, ...], dict[str, Any]
]  # positional and keyword arguments of a layer, without the state

_HOOKED = "_output_capturing_hooks_installed"  # the library's mark of a model that has them


@dataclass(frozen=True)
class Stack:
    """The layers of a backbone.

    Attributes
    ----------
    parent, name : nn.Module, str
        The module and its attribute that hold the list of layers.
    order : tuple of int, length L
        For each layer, its place in that list; ALBERT runs one layer several times.
    norm : nn.Module, optional
        What the library applies to the state of the last layer, and to no other.
    causal : bool
        Whether a token sees only the tokens before it (a decoder).
    pads_left : bool
        Whether padding on the left changes no state.
    """

    parent: nn.Module
    name: str
    order: tuple[int, ...]
    norm: nn.Module | None = None
    causal: bool = False
    pads_left: bool = True

    @property
    def layers(self) -> list[nn.Module]:
        """The layers in the order in which they run."""
        held = getattr(self.parent, self.name)
        return [held[place] for place in self.order]


@dataclass
class Cut(State):
    """A batch of texts part-way through the layers of an encoder or decoder.

    Attributes
    ----------
    hidden : Tensor, shape (batch, tokens, width)
        The state after `layer`.
    layer : int
        Number of layers run so far.
    mask : Tensor, shape (batch, tokens)
        1 for tokens, 0 for padding.
    calls : tuple of (tuple, dict), length L
        For each layer, the positional and keyword arguments that the library passes besides the state (masks,
        position biases). Layers of one kind share them.
    recent : tuple of Tensor
        States before this one that exits read too, oldest first: pooled, shape (batch, width). From
        `first_layer` it is the state of the embedding, not pooled.
    """

    mask: Tensor
    calls: tuple[Call, ...]
    recent: tuple[Tensor, ...] = ()

    def branch(self, change: Callable[[Tensor], Tensor]) -> Cut:
        """Return the state for an exit: `change` is applied to the earlier states that it reads too."""
        return replace(self, recent=tuple(change(state) for state in self.recent))

    def take(self, rows: Tensor) -> Cut:
        """Return the batch restricted to some samples (0-based indices), shape (k,)."""
        count = len(self.hidden)
        rows = rows.to(self.hidden.device)
        taken: dict[int, Tensor] = {}  # arguments that layers share are selected once

        def select(value: Any) -> Any:
            if isinstance(value, tuple | list):
                return type(value)(map(select, value))
            # a table shared by all samples (DeBERTa's of distances) may happen to be as long as the batch
            if not isinstance(value, Tensor) or value.ndim == 0 or len(value) != count:
                return value
            if value.ndim <= 2 and value.shape != self.mask.shape:
                return value
            if id(value) not in taken:
                taken[id(value)] = value[rows]
            return taken[id(value)]

        calls = tuple(
            (tuple(map(select, arguments)), {name: select(value) for name, value in options.items()})
            for arguments, options in self.calls
        )
        recent = tuple(state[rows] for state in self.recent)
        return replace(self, hidden=self.hidden[rows], mask=self.mask[rows], calls=calls, recent=recent)


def run_layers(stack: Stack, cut: Cut, until: int) -> Cut:
    """Run layers `cut.layer` + 1 to `until` (1-based), and after the last one the final norm, if any.

    Raises
    ------
    InputError
        If `until` lies before the layers already run or after the last layer.
    """
    layers = stack.layers
    if not cut.layer <= until <= len(layers):
        raise InputError(
            f"layer {until} is not between {cut.layer} (already run) and {len(layers)} (the last)"
        )
    hidden = cut.hidden
    for layer, (arguments, options) in zip(
        layers[cut.layer : until], cut.calls[cut.layer : until], strict=True
    ):
        hidden = _state(layer(hidden, *arguments, **options))
    if stack.norm is not None and cut.layer < until == len(layers):
        hidden = stack.norm(hidden)
    return replace(cut, hidden=hidden, layer=until)


def first_layer(backbone: nn.Module, stack: Stack, inputs: dict[str, Any]) -> Cut:
    """Run the library's code with layer 1 and stand-ins for the others, and return the state after layer 1.

    Parameters
    ----------
    backbone : nn.Module
        The backbone.
    stack : Stack
        Its layers.
    inputs : dict
        From `prepared`.
    """
    depth = len(stack.order)
    with stand_ins(stack) as record:
        backbone(**inputs)
    if len(record.states) != depth:
        raise RuntimeError(f"it calls {len(record.states)} layers instead of {depth}")
    # layer 2's input includes what the library does between layers 1 and 2 (DeBERTa-v2's convolution)
    hidden = record.states[1] if depth > 1 else record.output
    if depth == 1 and stack.norm is not None:
        hidden = stack.norm(hidden)
    return Cut(hidden, 1, inputs["attention_mask"], tuple(record.calls), (record.states[0],))


def prepared(
    backbone: nn.Module, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
) -> dict[str, Any]:
    """Return the keyword arguments of a backbone for a batch; all inputs have shape (batch, tokens).

    Token types are left out if the backbone takes none. If a row is padded on the left, positions are counted
    from its first token, where the backbone takes positions.
    """
    takes = inspect.signature(backbone.forward).parameters
    inputs: dict[str, Any] = {"input_ids": input_ids, "attention_mask": attention_mask}
    if token_type_ids is not None and "token_type_ids" in takes:
        inputs["token_type_ids"] = token_type_ids
    if "position_ids" in takes and bool((attention_mask[:, 0] == 0).any()):
        _, first = position_table(backbone) or (0, 0)
        inputs["position_ids"] = (attention_mask.long().cumsum(1) - 1).clamp(min=0) + first
    return inputs


def position_table(backbone: nn.Module) -> tuple[int, int] | None:
    """Return the length of the table of position embeddings and its first place in use; None without one."""
    for name, module in backbone.named_modules():
        if isinstance(module, nn.Embedding) and name.rpartition(".")[2] in ("position_embeddings", "wpe"):
            # RoBERTa's positions start after the padding index
            return module.num_embeddings, 0 if module.padding_idx is None else module.padding_idx + 1
    return None


class Record:
    """What the library passed to its layers: states, further arguments, and the output of the last one.

    With `first`, an output of the first layer from before, no layer is run.
    """

    def __init__(self, first: Any = None) -> None:
        self.states: list[Tensor] = []
        self.calls: list[Call] = []
        self.first = first
        self.output: Any = None

    def __call__(self, layer: nn.Module, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Run the layer if it is the first, else return the state in the form of the first's output."""
        if arguments:
            state, arguments = arguments[0], arguments[1:]
        else:
            options = dict(options)
            state = options.pop("hidden_states")
        self.states.append(state)
        self.calls.append((arguments, options))
        if self.first is None:
            self.first = layer(state, *arguments, **options)
            self.output = _state(self.first)
            return self.first
        self.output = state.view_as(state)  # an object of its own: what reads it follows the last layer
        if isinstance(self.first, tuple | list):
            return type(self.first)((self.output, *self.first[1:]))
        return self.output


class _StandIn(nn.Module):
    """Takes the place of a layer: calls are recorded, attributes are the layer's."""

    def __init__(self, layer: nn.Module, record: Record) -> None:
        super().__init__()
        self.layer = layer
        self._record = record

    def forward(self, *arguments: Any, **options: Any) -> Any:
        return self._record(self.layer, arguments, options)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("layer"), name)


@contextmanager
def stand_ins(stack: Stack, first: Any = None) -> Iterator[Record]:
    """Replace the layers by stand-ins, of which only the first one called runs its layer; see `Record`."""
    layers, record = getattr(stack.parent, stack.name), Record(first)
    setattr(stack.parent, stack.name, nn.ModuleList(_StandIn(layer, record) for layer in layers))
    try:
        yield record
    finally:
        setattr(stack.parent, stack.name, layers)


@contextmanager
def same_hooks(module: nn.Module) -> Iterator[None]:
    """Remove the hooks afterwards that the library has added meanwhile.

    It adds some when a model first returns its hidden states, and such a model cannot be pickled.
    """
    before = {part: part._forward_hooks.copy() for part in module.modules()}
    flagged = [part for part in module.modules() if hasattr(part, _HOOKED)]
    try:
        yield
    finally:
        for part, hooks in before.items():
            part._forward_hooks = hooks
            if hasattr(part, _HOOKED) and part not in flagged:
                delattr(part, _HOOKED)


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Put a module in evaluation mode; afterwards every part is in the mode it was in."""
    in_training = [part for part in module.modules() if part.training]
    if in_training:  # setting every part's mode takes a fifth of a short inference
        module.eval()
    try:
        yield
    finally:
        for part in in_training:
            part.training = True


def _state(output: Any) -> Tensor:
    """Return the state from a layer's output: the output itself, or its first item."""
    state = output[0] if isinstance(output, tuple | list) else output
    if not isinstance(state, Tensor):
        raise TypeError(f"a layer returns {type(state).__name__} instead of a state")
    return state


def same_states(found: Tensor, expected: Tensor, real: Tensor) -> bool:
    """Return whether the states of real tokens are equal up to rounding."""
    if found.shape != expected.shape:
        return False
    ours, theirs = found[real].float(), expected[real].float()
    exact = found.dtype in (torch.float32, torch.float64)
    scale = theirs.square().mean().sqrt().clamp(min=1)
    return bool(((ours - theirs).abs() <= (1e-4 if exact else 0.1) * scale).all())
