"""Gradient equilibrium: each layer receives the mean, not the sum, of the gradients of the exits above it.

Li et al. (2019): Improved Techniques for Training Adaptive Deep Networks; as used by ElasticBERT.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class _Scale(torch.autograd.Function):
    """The identity forward; backward, scale the gradient by a factor."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return hidden.view_as(hidden)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0] * ctx.factor, None


def before_exit(hidden: Tensor, above: int) -> Tensor:
    """Scale the gradient from this exit and all later ones by 1 / `above`, their number."""
    scaled: Tensor = _Scale.apply(hidden, 1 / above)
    return scaled


def after_exit(hidden: Tensor, above: int) -> Tensor:
    """Scale the gradient from later exits by `above` − 1, which undoes the mean they took."""
    if above == 1:
        return hidden
    scaled: Tensor = _Scale.apply(hidden, float(above - 1))
    return scaled
