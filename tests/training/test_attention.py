"""Attention maps: scores beside the library's probabilities, the loss spelled out, heads by number."""

import pytest
import torch
import toys

from splitee._internal.errors import InputError
from splitee.models.slender import slim
from splitee.training.attention import attention_loss, recorded_attention, same_heads
from splitee.training.distill import Teacher, spread_layers
from splitee.training.pruning import _with_exits_of, first_layers

IDS = torch.tensor([[0, 9, 12, 30, 2], [0, 8, 2, 1, 1]])
MASK = (IDS != 1).long()
BATCH = {"input_ids": IDS, "attention_mask": MASK}


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_the_softmax_of_the_scores_is_the_librarys_attention(kind):
    model = toys.model(kind)
    with torch.no_grad(), recorded_attention(model) as record:
        model(IDS, MASK)
        model(IDS, MASK)  # a later pass takes the place of an earlier one
        scores = record.scores()
    model.backbone.set_attn_implementation("eager")
    with torch.no_grad():
        expected = model.backbone(**BATCH, output_attentions=True).attentions
    assert len(scores) == toys.LAYERS
    for ours, theirs in zip(scores, expected, strict=True):
        masked = ours.masked_fill(MASK[:, None, None, :] == 0, float("-inf"))
        torch.testing.assert_close(masked.softmax(-1), theirs, rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        model(IDS[:, :2])
    assert record.scores()[0].shape[-1] == 5, "nothing is recorded afterwards"


def test_the_loss_by_hand():
    generator = torch.Generator().manual_seed(0)
    student, teacher = ([torch.randn(2, 3, 5, 5, generator=generator) for _ in range(2)] for _ in range(2))
    by_hand = 0.0
    for ours, theirs in zip(student, teacher, strict=True):
        for row, n in ((0, 5), (1, 3)):
            apart = (ours[row, :, :n, :n] - theirs[row, :, :n, :n]) ** 2
            by_hand += apart.mean().item() / 2
    assert float(attention_loss(student, teacher, MASK)) == pytest.approx(by_hand, rel=1e-5)
    student[1][1, :, 4] = student[1][1, :, :, 3] = 1e6  # padding
    assert float(attention_loss(student, teacher, MASK)) == pytest.approx(by_hand, rel=1e-5)


def test_a_pruned_student_has_the_attention_of_the_heads_it_kept():
    """Nothing but heads is pruned in layer 1, so that its scores stay; each is compared with its own head."""
    model = toys.model()
    units = [list(range(24))] * toys.LAYERS
    encoder = slim(model.backbone, [[1], [0], [0, 1], [0]], units)
    student = _with_exits_of(model, encoder, [1, 2, 3, 4])
    targets = Teacher(model, [], 1, attention=True).targets(BATCH, student)
    assert [one.shape[1] for one in targets.attention] == [1, 1, 2, 1]
    with torch.no_grad(), recorded_attention(student) as own:
        student(IDS, MASK)
    pairs = (MASK[:, :, None] * MASK[:, None, :]).bool()
    torch.testing.assert_close(own.scores()[0][:, 0][pairs], targets.attention[0][:, 0][pairs])
    assert float(attention_loss(own.scores()[:1], targets.attention[:1], MASK)) == pytest.approx(0, abs=1e-8)
    assert float(attention_loss(own.scores()[1:], targets.attention[1:], MASK)) > 1e-3
    with pytest.raises(InputError, match="layer 1 of the teacher has no head 0"):
        same_heads(own.scores(), student, [1, 2, 3, 4], model)


def test_layers_of_squat_students_are_spread():
    assert spread_layers(6, 12) == [2, 4, 6, 8, 10, 12]
    assert spread_layers(12, 12) == list(range(1, 13))
    model = toys.model()
    student = first_layers(model, 2)
    teacher = Teacher(model, [], 1, attention=True)
    found = teacher.targets(BATCH, student).attention
    with torch.no_grad(), recorded_attention(model) as record:
        model(IDS, MASK)
    for ours, layer in zip(found, (1, 3), strict=True):  # the first layer of each half
        torch.testing.assert_close(ours, record.scores()[layer - 1])
    assert not teacher.cached
    assert not Teacher(model, [], 1, cache=False).targets(BATCH, student).attention
