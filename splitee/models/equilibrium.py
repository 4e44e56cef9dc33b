"""Gradient equilibrium: the mean, not the sum, of the exits' gradients reaches each layer.

Li et al. (2019): Improved Techniques for Training Adaptive Deep Networks; as ElasticBERT uses it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class _Scale(torch.autograd.Function):
    """Identity forward; the gradient times a factor backward."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return hidden.view_as(hidden)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0] * ctx.factor, None


def before_exit(hidden: Tensor, above: int) -> Tensor:
    """Weigh what comes back from an exit and from all after it by 1 / `above`, their number."""
    scaled: Tensor = _Scale.apply(hidden, 1 / above)
    return scaled


def after_exit(hidden: Tensor, above: int) -> Tensor:
    """Undo, for what comes back from the `above` − 1 exits after this one, the mean they took."""
    if above == 1:
        return hidden
    scaled: Tensor = _Scale.apply(hidden, float(above - 1))
    return scaled
