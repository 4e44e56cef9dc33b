"""Distillation's losses against torch's own, padding left out, and states that are the library's."""

import pytest
import torch
import toys
from torch.nn import functional

from splitee._internal.errors import InputError
from splitee.training.distill import prediction_loss, recorded_states, representation_loss

IDS = torch.tensor([[0, 9, 12, 30, 2], [0, 8, 2, 1, 1]])
MASK = (IDS != 1).long()


@pytest.mark.parametrize("kind", toys.KINDS)
def test_states_are_the_librarys(kind):
    model = toys.model(kind)
    model.backbone(input_ids=IDS, attention_mask=MASK, output_hidden_states=True)  # the library has hooks too
    hooks = len(model.layers[0]._forward_hooks), len(model.layers[0]._forward_pre_hooks)
    with torch.no_grad(), recorded_states(model) as states:
        model(IDS, MASK)
        expected = model.backbone(input_ids=IDS, attention_mask=MASK, output_hidden_states=True).hidden_states
        model(IDS, MASK)  # a later pass takes the place of an earlier one
    assert len(states) == toys.LAYERS + 1
    for ours, theirs in zip(states, expected, strict=True):
        torch.testing.assert_close(ours[MASK.bool()], theirs[MASK.bool()], rtol=1e-4, atol=1e-5)
    assert hooks == (len(model.layers[0]._forward_hooks), len(model.layers[0]._forward_pre_hooks))


def test_representation_is_a_mean_over_tokens_that_are_there():
    generator = torch.Generator().manual_seed(0)
    student, teacher = ([torch.randn(2, 5, 4, generator=generator) for _ in range(3)] for _ in range(2))
    expected = sum(
        functional.mse_loss(a[MASK.bool()], b[MASK.bool()]) for a, b in zip(student, teacher, strict=True)
    )
    assert float(representation_loss(student, teacher, MASK, "token")) == pytest.approx(
        float(expected), rel=1e-5
    )
    each = [
        functional.mse_loss(a[row][MASK[row].bool()], b[row][MASK[row].bool()])
        for a, b in zip(student, teacher, strict=True)
        for row in range(2)
    ]
    assert float(representation_loss(student, teacher, MASK)) == pytest.approx(float(sum(each)) / 2, rel=1e-5)
    student[1][1, 4] = 1e6  # padding
    assert float(representation_loss(student, teacher, MASK)) == pytest.approx(float(sum(each)) / 2, rel=1e-5)
    assert float(representation_loss(teacher, teacher, MASK)) == 0


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_prediction_is_torchs_soft_cross_entropy(temperature):
    student, teacher = torch.randn(2, 6, 4, 3, generator=torch.Generator().manual_seed(0))
    expected = sum(
        functional.cross_entropy(student[:, i] / temperature, (teacher[:, i] / temperature).softmax(-1))
        for i in range(4)
    )
    assert float(prediction_loss(student, teacher, temperature)) == pytest.approx(float(expected), rel=1e-5)
    last = teacher[:, -1:]
    expected = sum(functional.cross_entropy(student[:, i], last[:, 0].softmax(-1)) for i in range(4))
    assert float(prediction_loss(student, last)) == pytest.approx(float(expected), rel=1e-5)


def test_the_teacher_is_not_taught():
    student, teacher = torch.randn(2, 6, 4, 3).unbind(0)
    student, teacher = student.clone().requires_grad_(), teacher.clone().requires_grad_()
    prediction_loss(student, teacher).backward()
    assert student.grad is not None
    assert teacher.grad is None


def test_scores():
    student, teacher = torch.tensor([[[1.0], [2.0]]]), torch.tensor([[[2.0], [2.5]]])
    assert float(prediction_loss(student, teacher)) == pytest.approx(1.25)


def test_what_cannot_be():
    with pytest.raises(InputError, match="temperature"):
        prediction_loss(torch.zeros(1, 1, 2), torch.zeros(1, 1, 2), 0)
    with pytest.raises(InputError, match="equal numbers of layers"):
        representation_loss([torch.zeros(1, 2, 4)], [torch.zeros(1, 2, 8)], torch.ones(1, 2))
