"""Fit linear exits to frozen features: one pass over the images, then one convex fit per exit.

With few samples per class and a pretrained network, linear exits on frozen features are a strong baseline,
and are trained in minutes on a CPU. Each exit is a multinomial logistic regression on what its head pools.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from splitee.data.images import Images
from splitee.data.rows import check_learnable
from splitee.models.cutting import evaluating
from splitee.models.inputs import ImageInputs
from splitee.models.staged import StagedModel, StageHead, pool_state

POOLINGS = ("avg", "avg+max", "grid2", "grid+max")
DECAYS = (1e-5, 1e-4, 1e-3, 1e-2)
_ITERATIONS = 60  # of L-BFGS per fit
_BATCHES = 8  # whose features are kept together


Features = NDArray[np.float32]
Compute = Callable[[], Features]
Keep = Callable[[str, str, Compute], Features]


def computed(what: str, name: str, compute: Compute) -> Features:
    """Return features as they are computed; see `pooled`."""
    return compute()


_COMPUTED = partial(computed, "images")


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
    batch_size: int = 32,
    keep: Keep = computed,
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
    batch_size : int
        Images per forward pass.
    keep : callable
        See `pooled`.

    Raises
    ------
    InputError
        If images have no labels.
    """
    check_learnable(validation)
    features, labels = _examples(model, train, poolings, mirrored, partial(keep, "train"), batch_size)
    held, right = _examples(model, validation, poolings, False, partial(keep, "validation"), batch_size)
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
    found: list[HeadFit] = []
    every = try_heads(model, train, validation, **tried)
    for _, fits in groupby(every, key=lambda one: one[0].layer):
        fit, weight, bias = min(fits, key=lambda one: one[0].loss)
        _set(model, len(found), fit, weight, bias)
        found.append(fit)
        report(
            f"exit at stage {fit.layer}: {fit.pooling}, decay {fit.decay:g}, validation accuracy "
            f"{fit.accuracy:.1%}, loss {fit.loss:.3f}"
        )
    model.config.pooling = [fit.pooling for fit in found]
    return found


def fit_heads(model: StagedModel, images: Images, fits: Sequence[HeadFit], *, mirrored: bool = True) -> None:
    """Fit the exits to all these images, with the poolings and decays that `choose_heads` has chosen."""
    poolings = sorted({fit.pooling for fit in fits})
    features, labels = _examples(model, images, poolings, mirrored, partial(computed, "train"))
    model.config.pooling = [fit.pooling for fit in fits]
    for exit_, fit in enumerate(fits):
        values = features[exit_][fit.pooling]
        _set(model, exit_, fit, *fit_linear(values, labels, model.config.num_labels, fit.decay))


def _examples(
    model: StagedModel,
    images: Images,
    poolings: Sequence[str],
    mirrored: bool,
    keep: Callable[[str, Compute], Features],
    batch_size: int = 32,
) -> tuple[list[dict[str, Tensor]], Tensor]:
    check_learnable(images)
    assert images.label is not None
    labels = torch.from_numpy(np.tile(images.label, 1 + mirrored))
    return pooled(model, images, poolings, mirrored=mirrored, batch_size=batch_size, keep=keep), labels


def _set(model: StagedModel, exit_: int, fit: HeadFit, weight: Tensor, bias: Tensor) -> None:
    head = StageHead(model.width(fit.layer), model.config.num_labels, fit.pooling, model.config.exit_dropout)
    with torch.no_grad():
        head.classifier.weight.copy_(weight.T)
        head.classifier.bias.copy_(bias)
    model.exit_heads[exit_] = head.to(model.device).eval()


def pooled(
    model: StagedModel,
    images: Images,
    poolings: Sequence[str],
    *,
    mirrored: bool,
    batch_size: int = 32,
    keep: Callable[[str, Compute], Features] = _COMPUTED,
) -> list[dict[str, Tensor]]:
    """Return what exits may read, per exit and pooling, shape (images, features), mirror images last.

    `keep` is called with a name for every some images and a function that computes their features; it returns
    them, computed now or kept from an earlier run.
    """
    inputs = ImageInputs(model.config)
    encoded = inputs.encode(images)
    parts = list(dict.fromkeys(part for name in poolings for part in name.split("+")))
    size = batch_size * _BATCHES
    found = []
    for mirror in (False, True)[: 1 + mirrored]:
        for start in range(0, len(encoded), size):
            some = partial(_features, model, inputs, encoded[start : start + size], parts, mirror, batch_size)
            found.append(torch.from_numpy(keep(f"{start:07d}-{'mirror' if mirror else 'as-is'}", some)))
    grey = [torch.zeros(1, *model.shapes[layer - 1]) for layer in model.exits]
    widths = [pool_state(state, part).shape[1] for state in grey for part in parts]
    every = iter(torch.cat(found).split(widths, dim=1))
    by_exit = [{part: next(every) for part in parts} for _ in model.exits]
    return [
        {name: torch.cat([one[part] for part in name.split("+")], dim=1) for name in poolings}
        for one in by_exit
    ]


@torch.no_grad()
def _features(
    model: StagedModel, inputs: ImageInputs, encoded: Any, parts: list[str], mirror: bool, batch_size: int
) -> Features:
    """Return the parts of poolings side by side, exit after exit, shape (images, features)."""
    found = []
    with evaluating(model):
        for start in range(0, len(encoded), batch_size):
            pixels = inputs.batch(encoded[start : start + batch_size])["pixel_values"].to(model.device)
            cut, row = model.start(pixels.flip(-1) if mirror else pixels), []
            for layer in model.exits:
                cut = model.run_layers(cut, layer)
                row += [pool_state(cut.hidden.float(), part).cpu() for part in parts]
            found.append(torch.cat(row, dim=1))
    return torch.cat(found).numpy()


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
