"""Fit linear exits to frozen features: one pass over the images, then one convex fit per exit.

With few samples per class and a pretrained network, linear exits on frozen features are a strong baseline,
and are trained in minutes on a CPU. Each exit is a multinomial logistic regression on what its head pools.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from splitee.data.images import Images
from splitee.data.rows import check_learnable
from splitee.models.cutting import evaluating
from splitee.models.inputs import ImageInputs
from splitee.models.staged import StagedModel, StageHead, pool_state

POOLINGS = ("avg", "avg+max", "grid2", "grid+max")
DECAYS = (1e-5, 1e-4, 1e-3, 1e-2)
_ITERATIONS = 60  # of L-BFGS per fit


@dataclass(frozen=True)
class HeadFit:
    """How one exit was fitted.

    Attributes
    ----------
    layer : int
        The stage of the exit.
    pooling : str
        What the exit reads; with `decay`, what gave the lowest cross entropy on the validation images.
    decay : float
        The weight decay.
    accuracy, loss : float
        On the validation images.
    """

    layer: int
    pooling: str
    decay: float
    accuracy: float
    loss: float


def try_heads(
    model: StagedModel,
    train: Images,
    validation: Images,
    *,
    poolings: Sequence[str] = POOLINGS,
    decays: Sequence[float] = DECAYS,
    most_features: int = 8192,
    mirrored: bool = True,
) -> Iterator[tuple[HeadFit, Tensor, Tensor]]:
    """Fit every exit to frozen features with every pooling and decay; yield each fit, weights and biases.

    Parameters
    ----------
    model : StagedModel
        It is not changed.
    train, validation : Images
        Labelled, with the label names of the model's classes, in that order.
    poolings : sequence of str
        What is tried for every exit: see `splitee.models.staged.pool_state`.
    decays : sequence of float
        See `fit_linear`.
    most_features : int
        A pooling that gives more is tried only if all do.
    mirrored : bool
        Whether every image of `train` is also read from right to left.

    Raises
    ------
    InputError
        If images have no labels.
    """
    check_learnable(validation)
    features, labels = _examples(model, train, poolings, mirrored)
    held, right = _examples(model, validation, poolings, mirrored=False)
    for exit_, layer in enumerate(model.exits):
        wide = {name for name in poolings if features[exit_][name].shape[1] > most_features}
        for pooling in [name for name in poolings if name not in wide] or poolings:
            values, others = features[exit_][pooling], held[exit_][pooling]
            for decay in decays:
                weight, bias = fit_linear(values, labels, model.config.num_labels, decay)
                logits = others @ weight + bias
                accuracy = float((logits.argmax(1) == right).float().mean())
                loss = float(nn.functional.cross_entropy(logits, right))
                yield HeadFit(layer, pooling, decay, accuracy, loss), weight, bias


def choose_heads(
    model: StagedModel,
    train: Images,
    validation: Images,
    *,
    report: Callable[[str], None] = lambda line: None,
    **tried: Any,
) -> list[HeadFit]:
    """Fit the exits of a network of stages to frozen features, with what validates best.

    Parameters
    ----------
    model : StagedModel
        Its exits are replaced; the stages do not change.
    train, validation : Images
        See `try_heads`.
    report : callable
        Called with a line per exit.
    **tried
        What is tried: further arguments of `try_heads`.

    Returns
    -------
    list of HeadFit
        For every exit, the fit of the lowest cross entropy on `validation`.
    """
    best: dict[int, tuple[HeadFit, Tensor, Tensor]] = {}
    for one in try_heads(model, train, validation, **tried):
        layer = one[0].layer
        if layer not in best or one[0].loss < best[layer][0].loss:
            best[layer] = one
    found = [best[layer][0] for layer in model.exits]
    for exit_, fit in enumerate(found):
        _set(model, exit_, *best[fit.layer])
        report(
            f"exit at stage {fit.layer}: {fit.pooling}, decay {fit.decay:g}, validation accuracy "
            f"{fit.accuracy:.1%}, loss {fit.loss:.3f}"
        )
    model.config.pooling = [fit.pooling for fit in found]
    return found


def fit_heads(model: StagedModel, images: Images, fits: Sequence[HeadFit], *, mirrored: bool = True) -> None:
    """Fit the exits to all these images, with the poolings and decays that `choose_heads` has chosen."""
    features, labels = _examples(model, images, sorted({fit.pooling for fit in fits}), mirrored)
    model.config.pooling = [fit.pooling for fit in fits]
    for exit_, fit in enumerate(fits):
        values = features[exit_][fit.pooling]
        _set(model, exit_, fit, *fit_linear(values, labels, model.config.num_labels, fit.decay))


def _examples(
    model: StagedModel, images: Images, poolings: Sequence[str], mirrored: bool
) -> tuple[list[dict[str, Tensor]], Tensor]:
    check_learnable(images)
    assert images.label is not None
    labels = torch.from_numpy(np.tile(images.label, 1 + mirrored))
    return pooled(model, images, poolings, mirrored=mirrored), labels


def _set(model: StagedModel, exit_: int, fit: HeadFit, weight: Tensor, bias: Tensor) -> None:
    head = StageHead(model.width(fit.layer), model.config.num_labels, fit.pooling, model.config.exit_dropout)
    with torch.no_grad():
        head.classifier.weight.copy_(weight.T)
        head.classifier.bias.copy_(bias)
    model.exit_heads[exit_] = head.to(model.device).eval()


@torch.no_grad()
def pooled(
    model: StagedModel, images: Images, poolings: Sequence[str], *, mirrored: bool, batch_size: int = 32
) -> list[dict[str, Tensor]]:
    """Return what exits may read, per exit and pooling, shape (images, features), mirror images last."""
    inputs = ImageInputs(model.config)
    encoded = inputs.encode(images)
    found: list[dict[str, list[Tensor]]] = [{name: [] for name in poolings} for _ in model.exits]
    with evaluating(model):
        for mirror in (False, True)[: 1 + mirrored]:
            for start in range(0, len(encoded), batch_size):
                pixels = inputs.batch(encoded[start : start + batch_size])["pixel_values"].to(model.device)
                cut = model.start(pixels.flip(-1) if mirror else pixels)
                for exit_, layer in enumerate(model.exits):
                    cut = model.run_layers(cut, layer)
                    for name in poolings:
                        found[exit_][name].append(pool_state(cut.hidden.float(), name).cpu())
    return [{name: torch.cat(parts) for name, parts in one.items()} for one in found]


def fit_linear(features: Tensor, labels: Tensor, classes: int, decay: float) -> tuple[Tensor, Tensor]:
    """Fit a multinomial logistic regression by L-BFGS on standardised features.

    Parameters
    ----------
    features : Tensor, shape (n, d)
    labels : Tensor of int64, shape (n,)
    classes : int
    decay : float
        The loss is the mean cross entropy plus `decay` times the sum of squared weights.

    Returns
    -------
    (Tensor, Tensor)
        Weights, shape (d, classes), and biases, for the features as they are.

    Examples
    --------
    >>> features, labels = torch.tensor([[0.0], [1.0], [3.0], [4.0]]), torch.tensor([0, 0, 1, 1])
    >>> weight, bias = fit_linear(features, labels, 2, 1e-3)
    >>> (torch.tensor([[1.5], [2.5]]) @ weight + bias).argmax(1).tolist()
    [0, 1]
    """
    mean, scale = features.mean(0), features.std(0, correction=0) + 1e-3
    standard = (features - mean) / scale
    weight = torch.zeros(features.shape[1], classes, requires_grad=True)
    bias = torch.zeros(classes, requires_grad=True)
    method = torch.optim.LBFGS([weight, bias], max_iter=_ITERATIONS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        method.zero_grad()
        value = nn.functional.cross_entropy(standard @ weight + bias, labels) + decay * weight.square().sum()
        value.backward()
        return value

    with torch.enable_grad():
        method.step(loss)
    folded = (weight / scale[:, None]).detach()
    return folded, (bias - mean @ folded).detach()
