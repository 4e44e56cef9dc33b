"""Count the floating-point operations of layers and exits with torch's own counter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from splitee.models.config import MultiExitConfig
from splitee.models.cutting import evaluating
from splitee.models.multi_exit import MultiExitModel
from splitee.models.network import ExitNetwork


def count_flops(model: ExitNetwork, size: int) -> dict[str, Any]:
    """Count the floating-point operations of every layer and every exit for one sample.

    Only matrix products and convolutions are counted, with two operations per multiply-add. Attention
    runs in eager mode, because the counter does not see fused attention on the CPU.

    Parameters
    ----------
    model : ExitNetwork
        The model.
    size : int
        Length of the text in tokens, or pixels per side of the image.

    Returns
    -------
    dict
        ``tokens`` (or ``pixels``); ``layers``, one count per layer (the first includes the embeddings);
        ``exits``, one count per exit.
    """
    batch = model.probe(size)
    layers, exits = [], []
    with torch.no_grad(), evaluating(model), model.eager_attention(), _without_gradients(model):
        with FlopCounterMode(display=False) as counter:
            cut = model.start(**batch)
        layers.append(counter.get_total_flops())
        for layer in range(1, len(model.layers) + 1):
            if layer > 1:
                with FlopCounterMode(display=False) as counter:
                    cut = model.run_layers(cut, layer)
                layers.append(counter.get_total_flops())
            if layer in model.exits:
                with FlopCounterMode(display=False) as counter:
                    model.exit_outputs(cut)
                exits.append(counter.get_total_flops())
    return {model.size_unit: size, "layers": layers, "exits": exits}


def count_flops_of(config: Mapping[str, Any], lengths: Sequence[int]) -> list[dict[str, Any]]:
    """Count as `count_flops` at several lengths for a configuration (config.json), with random weights."""
    described = {key: value for key, value in config.items() if key != "model_type"}
    model = MultiExitModel(MultiExitConfig(**described))
    return [count_flops(model, tokens) for tokens in lengths]


@contextmanager
def _without_gradients(model: ExitNetwork) -> Iterator[None]:
    """Freeze all parameters for a while: the counter fails if some are passed as arguments (DeBERTa)."""
    trained = [values for values in model.parameters() if values.requires_grad]
    for values in trained:
        values.requires_grad_(False)
    try:
        yield
    finally:
        for values in trained:
            values.requires_grad_(True)
