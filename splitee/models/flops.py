"""Count the floating-point operations of layers and exits with torch's own counter."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from splitee.models.cutting import evaluating
from splitee.models.multi_exit import MultiExitModel


def count_flops(model: MultiExitModel, tokens: int) -> dict[str, Any]:
    """Count the floating-point operations of every layer and every exit for one text.

    Only matrix products are counted, with two operations per multiply-add. Attention runs in eager mode,
    because the counter does not see fused attention on the CPU.

    Parameters
    ----------
    model : MultiExitModel
        The model.
    tokens : int
        Length of the text.

    Returns
    -------
    dict
        ``tokens``; ``layers``, one count per layer (the first includes the embeddings); ``exits``, one count
        per exit.
    """
    ids = torch.full((1, tokens), min(5, model.backbone.config.vocab_size - 1), device=model.device)
    before = model.backbone.config._attn_implementation
    model.backbone.set_attn_implementation("eager")
    layers, exits = [], []
    try:
        with (
            torch.no_grad(),
            evaluating(model),
        ):  # under inference_mode the counter cannot follow parameters passed as arguments
            with FlopCounterMode(display=False) as counter:
                cut = model.start(ids)
            layers.append(counter.get_total_flops())
            for layer in range(1, len(model.layers) + 1):
                if layer > 1:
                    with FlopCounterMode(display=False) as counter:
                        cut = model.run_layers(cut, layer)
                    layers.append(counter.get_total_flops())
                if layer in model.exits:
                    with FlopCounterMode(display=False) as counter:
                        model.exit_logits(cut)
                    exits.append(counter.get_total_flops())
    finally:
        model.backbone.set_attn_implementation(before)
    return {"tokens": tokens, "layers": layers, "exits": exits}
