"""The one door for backbones: whether their layers can be run one by one is checked, never assumed.

A backbone is accepted if its layers, run one by one, give the library's own states, and if neither padding
nor the other texts of a batch change the states of a text. Nothing is approximated.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from transformers.modeling_utils import PreTrainedModel

from splitee._internal.errors import InputError
from splitee.models.cutting import (
    Stack,
    evaluating,
    first_layer,
    prepared,
    run_layers,
    same_hooks,
    same_states,
    stand_ins,
)

WORKS = (
    "BERT, RoBERTa, XLM-RoBERTa (XL), MPNet, DistilBERT, ELECTRA, ALBERT, DeBERTa, ModernBERT, EuroBERT, "
    "ESM, ElasticBERT and the decoders GPT-2, Llama, Mistral, Qwen and Gemma"
)
_LENGTHS = (7, 5, 2)  # tokens of the texts of the check
# what foreign code raises on inputs that it was not made for
_FOREIGN = (RuntimeError, ValueError, TypeError, LookupError, AttributeError, AssertionError)
_FURTHER = (
    *("pixel_values", "bbox", "lang_ids", "input_features", "input_values", "decoder_input_ids"),
    *("xpath_tags_seq", "visual_embeds"),
)


def open_backbone(backbone: PreTrainedModel) -> Stack:
    """Find the layers of a backbone and check that they can be run one by one.

    The states after every layer are compared with those of the library on three random texts: alone, padded
    on the right, padded on the left, and after some samples have exited from the batch. The backbone's pooler
    is removed, and its cache of keys and values is turned off.

    Raises
    ------
    InputError
        If the backbone is of a kind that cannot be cut; the message lists kinds that can.
    """
    if getattr(backbone, "pooler", None) is not None:
        backbone.pooler = None
    if getattr(backbone.config, "use_cache", False):
        backbone.config.use_cache = False
    stack = find_layers(backbone)
    try:
        with torch.no_grad(), evaluating(backbone), same_hooks(backbone):
            return _checked(backbone, stack)
    except _FOREIGN as error:
        for key, values in backbone.named_parameters():
            if not torch.isfinite(values).all():
                raise InputError(f"its weights are broken: {key} holds NaN or infinite values") from error
        if isinstance(error, InputError):
            raise
        why = " ".join(f"{type(error).__name__}: {error}".split())[:120]
        raise refusal(backbone, f"its layers cannot be run one by one ({why})") from error


def find_layers(backbone: PreTrainedModel) -> Stack:
    """Find the list of layers: the only one of the configured length that is in no other such list."""
    config = backbone.config
    depth = getattr(config, "num_hidden_layers", None)
    takes = inspect.signature(backbone.forward).parameters
    if further := [name for name in _FURTHER if name in takes]:
        raise refusal(backbone, f"it reads more than token ids ({further[0]})")
    if getattr(config, "is_encoder_decoder", False):
        raise refusal(backbone, "it has an encoder and a decoder")
    if "input_ids" not in takes or not isinstance(getattr(config, "vocab_size", None), int):
        raise refusal(backbone, "it reads no token ids of a vocabulary")
    if getattr(config, "attention_type", None) == "block_sparse":
        raise refusal(
            backbone,
            "its attention changes with the length of the batch; with attention_type "
            "'original_full' it can be cut",
        )
    groups = getattr(config, "num_hidden_groups", None)  # ALBERT: layers of a group share their weights
    length = depth if groups is None else groups
    found: list[tuple[str, nn.Module, str]] = []
    for path, parent in backbone.named_modules():
        for name, child in parent.named_children():
            inside = any(f"{path}.".startswith(outer) for outer, _, _ in found)
            if isinstance(child, nn.ModuleList) and len(child) == length and length and not inside:
                found.append((f"{path}.{name}.".lstrip("."), parent, name))
    if len(found) != 1:
        raise refusal(backbone, f"it has {len(found)} lists of {length} layers instead of one")
    ((_, parent, name),) = found
    order = range(int(depth or 0))
    return Stack(parent, name, tuple(layer * int(length or 0) // len(order) for layer in order))


def refusal(backbone: nn.Module, why: str) -> InputError:
    """Return the error that refuses a backbone."""
    kind = getattr(getattr(backbone, "config", None), "model_type", type(backbone).__name__)
    return InputError(
        f"a backbone of type {kind!r} ({type(backbone).__name__}) cannot be cut: {why}; {WORKS} can"
    )


def _checked(backbone: PreTrainedModel, stack: Stack) -> Stack:
    alone = [_ids(backbone, length, seed) for seed, length in enumerate(_LENGTHS)]
    stack = replace(stack, norm=_final_norm(backbone, stack, alone[0]))
    # for each text alone, the library's states after every layer, shape (L, tokens, width)
    states = [_library_states(backbone, ids) for ids in alone]
    if len(states[0]) != len(stack.order):
        raise refusal(backbone, f"it has {len(states[0])} states for {len(stack.order)} layers")
    if not _agree(backbone, stack, _whole(backbone, alone[0]), [one[None] for one in states[0]]):
        raise refusal(backbone, "its layers, run one by one, do not reproduce its hidden states")
    if not _pads(backbone, stack, alone, states, right=True):
        raise refusal(backbone, "padding or other texts in the batch change its states")
    if not _sees(backbone, alone[0], states[0][-1], -2, -1):
        raise refusal(backbone, "its tokens do not see each other")
    return replace(
        stack,
        causal=not _sees(backbone, alone[0], states[0][-1], -1, -2),
        pads_left=_pads(backbone, stack, alone, states, right=False),
    )


def _ids(backbone: PreTrainedModel, length: int, seed: int) -> Tensor:
    """Return a random text without special tokens, shape (1, length)."""
    config = backbone.config
    special = {getattr(config, f"{name}_token_id", None) for name in ("pad", "bos", "eos", "cls", "sep")}
    every = range(min(config.vocab_size, 1000))
    usual = [i for i in every if i not in special and i > 4]
    usual = usual if len(usual) > 1 else list(every)
    order = torch.randperm(len(usual), generator=torch.Generator().manual_seed(seed))
    chosen = order[torch.arange(length) % len(usual)]
    return torch.tensor(usual)[chosen][None].to(backbone.device)


def _whole(backbone: PreTrainedModel, ids: Tensor) -> dict[str, Any]:
    return prepared(backbone, ids, torch.ones_like(ids))


def _library_states(backbone: PreTrainedModel, ids: Tensor) -> Tensor:
    """Return the library's states of one text after every layer, shape (L, tokens, width)."""
    output = backbone(**_whole(backbone, ids), output_hidden_states=True)
    return torch.cat([*output.hidden_states[1:-1], output.last_hidden_state])


def _final_norm(backbone: PreTrainedModel, stack: Stack, ids: Tensor) -> nn.Module | None:
    """Return the module that reads the last layer's state, if the library's last state is not that state."""
    readers: list[nn.Module] = []
    with stand_ins(stack) as record:
        inside = {id(module) for layer in getattr(stack.parent, stack.name) for module in layer.modules()}

        def note(module: nn.Module, arguments: tuple[Any, ...]) -> None:
            if arguments and arguments[0] is record.output:
                readers.append(module)

        handles = [
            module.register_forward_pre_hook(note)
            for module in backbone.modules()
            if id(module) not in inside
        ]
        try:
            output = backbone(**_whole(backbone, ids))
        finally:
            for handle in handles:
                handle.remove()
    last, real = output.last_hidden_state, torch.ones_like(ids, dtype=torch.bool)
    if not readers or same_states(record.output, last, real):
        return None
    return readers[0]


def _agree(
    backbone: PreTrainedModel, stack: Stack, inputs: dict[str, Any], expected: Sequence[Tensor]
) -> bool:
    """Return whether running layer by layer gives these states, shape (batch, tokens, width) per layer.

    A part of the batch, as after early exits, must give them as well.
    """
    whole = first_layer(backbone, stack, inputs)
    rows = torch.arange(0, len(whole.hidden), 2, device=whole.hidden.device)
    for cut, states in ((whole, expected), (whole.take(rows), [one[rows] for one in expected])):
        for layer, state in enumerate(states, 1):
            cut = run_layers(stack, cut, layer)
            if not same_states(cut.hidden, state, cut.mask.bool()):
                return False
    return True


def _pads(
    backbone: PreTrainedModel, stack: Stack, alone: Sequence[Tensor], states: Sequence[Tensor], right: bool
) -> bool:
    """Return whether a padded batch gives the states of each text alone."""
    pad, longest = getattr(backbone.config, "pad_token_id", None), max(_LENGTHS)
    shape = (len(alone), longest)
    ids = torch.full(shape, pad if isinstance(pad, int) and pad >= 0 else 0, device=backbone.device)
    mask = torch.zeros(shape, dtype=torch.long, device=backbone.device)
    expected = states[0].new_zeros(len(states[0]), *shape, states[0].shape[-1])
    for row, (text, known) in enumerate(zip(alone, states, strict=True)):
        length = text.shape[1]
        place = slice(0, length) if right else slice(longest - length, longest)
        ids[row, place], mask[row, place], expected[:, row, place] = text[0], 1, known
    return _agree(backbone, stack, prepared(backbone, ids, mask), list(expected))


def _sees(backbone: PreTrainedModel, ids: Tensor, states: Tensor, changed: int, at: int) -> bool:
    """Return whether another token at one place changes the last layer's state at another place."""
    other = ids.clone()
    other[0, changed] = other[0, 0]
    found = backbone(**_whole(backbone, other)).last_hidden_state[0]
    return not torch.equal(found[at], states[at])
