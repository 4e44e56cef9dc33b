"""Importance by a plain loop over weights, and by what taking a unit away does; the schedule by hand."""

import numpy as np
import pytest
import torch
import toys

from splitee._internal.errors import InputError
from splitee.models.exits import exit_losses
from splitee.models.slender import Widths
from splitee.training.importance import Importance, keep_best, taylor_importance
from splitee.training.slim_recipe import Event, slimming_events

IDS = torch.tensor([[0, 9, 12, 30, 2], [0, 8, 7, 6, 2]])
BATCHES = [
    {"input_ids": IDS, "labels": torch.tensor([0, 1])},
    {"input_ids": IDS.flip(0) + 1, "labels": torch.tensor([1, 1])},
]


def every_exit(logits, batch):
    return exit_losses(logits, batch["labels"]).sum()


def last_exit(logits, batch):
    return exit_losses(logits[:, -1:], batch["labels"]).sum()


def weights(model, kind, layer):
    block = model.layers[layer]
    out = block.attention.attn.o if kind == "mpnet" else block.attention.output.dense
    return out.weight, block.intermediate.dense.weight, block.output.dense.weight


@pytest.mark.parametrize("form", ["absolute", "signed"])
@pytest.mark.parametrize("kind", ["bert", "mpnet"])
def test_scores_are_a_plain_sum_over_weights(kind, form):
    model = toys.model(kind, gradient_equilibrium=False).eval()
    found = taylor_importance(model, BATCHES, every_exit, form)
    for layer in range(toys.LAYERS):
        linears = weights(model, kind, layer)
        gradients = []
        for batch in BATCHES:
            loss = every_exit(model(batch["input_ids"]).logits, batch)
            gradients.append(torch.autograd.grad(loss, linears))
        out, up, down = (
            w.detach().numpy() * sum((g[i].abs() if form == "absolute" else g[i]).numpy() for g in gradients)
            for i, w in enumerate(linears)
        )
        total = (lambda values: np.abs(values).sum()) if form == "absolute" else (lambda v: abs(v.sum()))
        for head in range(2):
            assert found.heads[layer][head] == pytest.approx(total(out[:, 8 * head : 8 * head + 8]), rel=1e-4)
        for unit in range(24):
            both = np.concatenate([up[unit], down[:, unit]])
            assert found.units[layer][unit] == pytest.approx(total(both), rel=1e-3, abs=1e-7)


def test_every_exit_has_a_say():
    model = toys.model("bert", gradient_equilibrium=False).eval()
    all_, last = (taylor_importance(model, BATCHES, loss) for loss in (every_exit, last_exit))
    assert not np.allclose(all_.units[0], last.units[0])
    # above the first three exits only the last has one: the two agree there
    np.testing.assert_allclose(all_.units[3], last.units[3], rtol=1e-5)


def test_a_silent_unit_matters_least():
    model = toys.model("bert").eval()
    with torch.no_grad():
        model.layers[1].output.dense.weight[:, 5] = 0
        model.layers[1].intermediate.dense.weight[5] = 0
        model.layers[2].attention.output.dense.weight[:, 8:] = 0
    found = taylor_importance(model, BATCHES, every_exit)
    assert found.units[1].argmin() == 5
    assert found.units[1][5] == 0
    heads, units = keep_best(found, Widths.of(model.backbone.config), 1, 23)
    assert 5 not in units[1]
    assert heads[2] == [0]


def test_the_model_is_left_as_it_was():
    model = toys.model("bert").train()
    before = {name: values.clone() for name, values in model.named_parameters()}
    taylor_importance(model, BATCHES, every_exit)
    assert model.training
    assert all(p.grad is None for p in model.parameters())
    assert all(torch.equal(before[name], values) for name, values in model.named_parameters())


def test_equals_go_to_the_first_and_heads_keep_their_numbers():
    widths = Widths(((1, 3, 7),), (4,))
    scores = Importance([np.array([1.0, 2.0, 2.0])], [np.array([0.0, 5.0, 5.0, 5.0])])
    assert keep_best(scores, widths, 1, 2) == ([[3]], [[1, 2]])
    assert keep_best(scores, widths, 2, 4) == ([[3, 7]], [[0, 1, 2, 3]])


def test_the_schedule_of_the_paper():
    events = slimming_events(Event(12, 3072, 768), Event(2, 256, 128))
    assert [event.heads for event in events] == list(range(11, 1, -1))
    assert events[-1] == Event(2, 256, 128)
    steps = np.diff([3072, *(event.units for event in events)])
    assert steps.max() - steps.min() <= 1
    assert slimming_events(Event(2, 9, None), Event(2, 3, None)) == [Event(2, 3, None)]


SCORES = Importance([np.ones(2)], [np.ones(3)])


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: taylor_importance(toys.model(), BATCHES, every_exit, "squared"), "choose one of absolute"),
        (lambda: taylor_importance(toys.model(), [], every_exit), "at least one batch"),
        (lambda: slimming_events(Event(4, 10, None), Event(5, 10, None)), "heads: cannot keep 5"),
        (lambda: slimming_events(Event(4, 10, 8), Event(4, 10, 0)), "rank: cannot keep 0"),
        (lambda: keep_best(SCORES, Widths(((0, 1),), (3,)), 3, 1), "cannot keep 3 of 2"),
    ],
)
def test_what_cannot_be(make, word):
    with pytest.raises(InputError, match=word):
        make()
