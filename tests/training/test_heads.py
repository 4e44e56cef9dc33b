"""Linear exits on frozen features: against scikit-like optimality, and only the exits change."""

import numpy as np
import photos
import pytest
import torch

from splitee._internal.errors import InputError
from splitee.training.heads import choose_heads, fit_heads, fit_linear, pooled


def test_a_fit_is_optimal() -> None:
    """The gradient of the penalised loss is 0 at the weights, in standardised features."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(200, 5, generator=generator) * torch.tensor([1.0, 10.0, 0.1, 3.0, 1.0]) + 4
    labels = (features[:, 0] + 0.1 * features[:, 1] > 4.4).long() + (features[:, 3] > 6).long()
    weight, bias = fit_linear(features, labels, 3, 1e-2)
    mean, scale = features.mean(0), features.std(0, correction=0) + 1e-3
    standard, free = (features - mean) / scale, (weight * scale[:, None]).requires_grad_()
    free_bias = (bias + mean @ weight).requires_grad_()
    value = (
        torch.nn.functional.cross_entropy(standard @ free + free_bias, labels) + 1e-2 * free.square().sum()
    )
    value.backward()
    assert free.grad.abs().max() < 1e-3
    assert free_bias.grad.abs().max() < 1e-3


def test_only_the_exits_change() -> None:
    model, images = photos.model(), photos.images(24)
    stages = {name: values.clone() for name, values in model.stages.state_dict().items()}
    lines: list[str] = []
    train, held = images.take(np.arange(15)), images.take(np.arange(15, 24))
    fits = choose_heads(
        model, train, held, poolings=("avg+max", "grid+max"), decays=(1e-3, 1e-1), report=lines.append
    )
    assert [fit.layer for fit in fits] == [1, 2, 3]
    assert len(lines) == 3
    assert all(torch.equal(values, stages[name]) for name, values in model.stages.state_dict().items())
    features = pooled(model, held, ("avg+max", "grid+max"), mirrored=False)
    for head, fit, values in zip(model.exit_heads, fits, features, strict=True):
        right = head.classifier(values[fit.pooling]).argmax(1) == torch.from_numpy(held.label)
        assert float(right.float().mean()) == pytest.approx(fit.accuracy)
    fit_heads(model, images, fits, mirrored=False)
    logits = model(pixels(model, images)).logits
    assert (logits.argmax(-1).numpy() == images.label[:, None]).mean() > 0.8  # it has seen them all


def pixels(model, images):
    from splitee.models.inputs import ImageInputs

    inputs = ImageInputs(model.config)
    return inputs.batch(inputs.encode(images))["pixel_values"]


def test_mirror_images_come_last() -> None:
    model, images = photos.model(), photos.images(3)
    both = pooled(model, images, ("grid+max",), mirrored=True)[0]["grid+max"]
    assert len(both) == 6
    assert torch.equal(both[:3], pooled(model, images, ("grid+max",), mirrored=False)[0]["grid+max"])


def test_labels_are_needed() -> None:
    from dataclasses import replace

    bare = replace(photos.images(), label=None, label_names=None)
    with pytest.raises(InputError, match="no labels"):
        choose_heads(photos.model(), bare, photos.images())
