"""Multi-exit models against the library's own hidden states; gradients against separate backward passes."""

import json

import backbones
import pytest
import torch
import toys
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoModel, AutoModelForSequenceClassification

from splitee._internal.checksums import write_fingerprints
from splitee._internal.errors import InputError
from splitee.models.exits import exit_losses
from splitee.models.multi_exit import MultiExitModel, load_checkpoint

IDS = torch.randint(5, 40, (3, 9), generator=torch.Generator().manual_seed(3))
MASK = torch.tensor([[1] * 9, [1] * 6 + [0] * 3, [1] + [0] * 8])
IDS = torch.where(MASK.bool(), IDS, 1)


def library_states(model: MultiExitModel) -> tuple[Tensor, ...]:
    """What the library's own model, with the same weights, says after each layer."""
    theirs = AutoModel.from_config(model.config.backbone_config()).eval()
    left = theirs.load_state_dict(model.backbone.state_dict(), strict=False)
    assert not left.unexpected_keys
    assert all("pooler" in key for key in left.missing_keys)
    with torch.no_grad():
        output = theirs(input_ids=IDS, attention_mask=MASK, output_hidden_states=True)
    return output.hidden_states[1:]


def exit_by_hand(head: nn.Module, state: Tensor, pooling: str) -> Tensor:
    rows = []
    for tokens, mask in zip(state, MASK, strict=True):
        pooled = tokens[0] if pooling == "first" else tokens[: int(mask.sum())].mean(0)
        inner = torch.tanh(head.dense.weight @ pooled + head.dense.bias)
        rows.append(head.classifier.weight @ inner + head.classifier.bias)
    return torch.stack(rows)


@pytest.mark.parametrize("pooling", ["first", "mean"])
@pytest.mark.parametrize("kind", toys.KINDS)
def test_every_exit_reads_the_librarys_own_state(kind, pooling):
    model = toys.model(kind, classes=3, pooling=pooling)
    states = library_states(model)
    assert len(states) == toys.LAYERS
    with torch.no_grad():
        logits = model(IDS, MASK).logits
        assert logits.shape == (3, toys.LAYERS, 3)
        for i, state in enumerate(states):
            expected = exit_by_hand(model.exit_heads[i], state, pooling)
            torch.testing.assert_close(logits[:, i], expected, rtol=1e-5, atol=1e-5)
    spread = (logits[:, 1:] - logits[:, :-1]).abs().max()
    assert spread > 0.1, "the exits all say the same: nothing would have been seen"


@pytest.mark.parametrize("kind", toys.KINDS)
def test_a_cut_anywhere_gives_the_whole_pass(kind):
    model = toys.model(kind)
    states = library_states(model)
    with torch.no_grad():
        whole = model(IDS, MASK).logits
        for at in range(1, toys.LAYERS + 1):
            device = model.run_layers(model.start(IDS, MASK), at)
            assert device.layer == at
            torch.testing.assert_close(device.hidden[MASK.bool()], states[at - 1][MASK.bool()])
            assert torch.equal(model.exit_logits(device), whole[:, at - 1])
            cloud = model.run_layers(device, toys.LAYERS)
            assert torch.equal(model.exit_logits(cloud), whole[:, -1])
            assert device.layer == at, "running on must not change the cut that was sent"


def test_layers_cannot_be_run_backwards_or_beyond_the_last():
    model = toys.model()
    cut = model.run_layers(model.start(IDS, MASK), 3)
    for until in (2, toys.LAYERS + 1):
        with pytest.raises(InputError, match=f"layer {until} is not between 3"):
            model.run_layers(cut, until)


def test_padding_does_not_change_what_is_said():
    for pooling in ("first", "mean"):
        model = toys.model("mpnet", pooling=pooling)
        with torch.no_grad():
            padded = model(IDS, MASK).logits[1]
            alone = model(IDS[1:2, :6]).logits[0]
        torch.testing.assert_close(padded, alone, rtol=1e-5, atol=1e-5)


def test_token_types_reach_the_embeddings():
    model = toys.model("bert")
    types = torch.zeros_like(IDS)
    types[:, 4:] = 1
    with torch.no_grad():
        assert torch.equal(model(IDS, MASK).logits, model(IDS, MASK, torch.zeros_like(IDS)).logits)
        assert not torch.allclose(model(IDS, MASK).logits, model(IDS, MASK, types).logits)


def test_exits_at_chosen_layers():
    every = toys.model("bert")
    some = toys.model("bert", exits=[2, 4])
    some.backbone.load_state_dict(every.backbone.state_dict())
    some.exit_heads[0].load_state_dict(every.exit_heads[1].state_dict())
    some.exit_heads[1].load_state_dict(every.exit_heads[3].state_dict())
    with torch.no_grad():
        assert torch.equal(some(IDS, MASK).logits, every(IDS, MASK).logits[:, [1, 3]])
        cut = some.start(IDS, MASK)
        with pytest.raises(InputError, match="layer 1 has no exit: exits are at 2, 4"):
            some.exit_logits(cut)
        assert torch.equal(some.exit_logits(some.run_layers(cut, 2)), every(IDS, MASK).logits[:, 1])


@pytest.mark.parametrize("exits", [[1, 2], [0, 4], [1, 5], [2, 1, 4], [1, 1, 4]])
def test_exits_that_cannot_be(exits):
    with pytest.raises(InputError, match="exit"):
        toys.model(exits=exits)


def test_a_pooling_that_is_none():
    with pytest.raises(InputError, match=r"pooling 'max': choose one of first, mean, last"):
        toys.model(pooling="max")


def test_round_trip_through_the_auto_class(tmp_path):
    model = toys.model("electra", classes=3, pooling="first", exits=[1, 3, 4])
    model.config.recommended_threshold = {"value": 0.8, "rule": "best"}
    model.save_pretrained(tmp_path)
    assert {file.suffix for file in tmp_path.iterdir()} == {".json", ".safetensors"}
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert type(again) is MultiExitModel
    assert not again.training
    assert again.config.recommended_threshold["value"] == 0.8
    for one in (again, load_checkpoint(tmp_path)):
        toys.assert_same_model(one, model)
        with torch.no_grad():
            torch.testing.assert_close(one(IDS, MASK).logits, model(IDS, MASK).logits, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", toys.KINDS)
def test_fresh_exits_leave_the_pretrained_weights_alone(kind, tmp_path):
    toys.backbone(tmp_path, kind)
    pretrained = load_file(tmp_path / "model.safetensors")
    torch.manual_seed(5)
    first = MultiExitModel.from_backbone(tmp_path, num_labels=3, pooling="first")
    torch.manual_seed(5)
    again = MultiExitModel.from_backbone(tmp_path, num_labels=3, pooling="first")
    ours = first.backbone.state_dict()
    assert all("pooler" in key or torch.equal(ours[key], pretrained[key]) for key in pretrained)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert first.exit_heads[0].classifier.weight.shape == (3, 16)
    assert first.exit_heads[0].dense.weight.any()


@pytest.mark.parametrize("kind", ["bert", "mpnet", "albert"])
def test_exits_start_from_the_pretrained_pooler_if_asked(kind, tmp_path):
    settings = backbones.config("albert", backbones.WORK["albert"]) if kind == "albert" else toys.config(kind)
    AutoModel.from_config(settings).save_pretrained(tmp_path)
    stored = load_file(tmp_path / "model.safetensors")
    weight = stored["pooler.weight" if kind == "albert" else "pooler.dense.weight"]
    model = MultiExitModel.from_backbone(tmp_path, num_labels=2, exit_start="pooler")
    assert model.config.pooling == "first"
    assert all(torch.equal(head.dense.weight, weight) for head in model.exit_heads)
    new = MultiExitModel.from_backbone(tmp_path, num_labels=2)
    assert not torch.equal(new.exit_heads[0].dense.weight, weight)


def test_a_pooler_that_is_not_there_is_not_made_up(tmp_path):
    for kind, word in (("distilbert", "no pretrained pooler"), ("bert", "pooler.dense")):
        options = {"add_pooling_layer": False} if kind == "bert" else {}
        AutoModel.from_config(toys.config(kind), **options).save_pretrained(tmp_path / kind)
        MultiExitModel.from_backbone(tmp_path / kind, num_labels=2)
        with pytest.raises(InputError, match=word):
            MultiExitModel.from_backbone(tmp_path / kind, num_labels=2, exit_start="pooler")
    with pytest.raises(InputError, match=r"exit_start 'old': choose one of new, pooler"):
        MultiExitModel.from_backbone(tmp_path / "bert", num_labels=2, exit_start="old")


def test_half_of_the_layers(tmp_path):
    toys.backbone(tmp_path)
    assert MultiExitModel.from_backbone(tmp_path, num_labels=2, layers="half").exits == (1, 2)
    with pytest.raises(InputError, match="has 4 layers: cannot keep 5"):
        MultiExitModel.from_backbone(tmp_path, num_labels=2, layers=5)


def test_only_safetensors_are_read(tmp_path):
    folder = toys.backbone(tmp_path / "backbone")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match="no encoder could be loaded from safetensors"):
        MultiExitModel.from_backbone(folder, num_labels=2)
    folder = toys.checkpoint(tmp_path / "checkpoint")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"model\.safetensors is missing"):
        load_checkpoint(folder)


def _without(weights):
    return {k: v for k, v in weights.items() if "layer.2.attention" not in k}


def _of_another_shape(weights):
    return {k: v[:1].clone() if k.endswith("intermediate.dense.bias") else v for k, v in weights.items()}


def _nan(weights):
    return {k: v * float("nan") if "layer.1.output" in k else v for k, v in weights.items()}


def _others(weights):
    return {"foreign": torch.zeros(2)}


@pytest.mark.parametrize(
    ("damage", "word"),
    [(_without, "missing"), (_of_another_shape, ""), (_nan, "NaN"), (_others, "missing")],
)
def test_damaged_weights_are_refused_not_made_up(damage, word, tmp_path):
    for folder, load in (
        (toys.backbone(tmp_path / "backbone"), lambda f: MultiExitModel.from_backbone(f, num_labels=2)),
        (toys.checkpoint(tmp_path / "checkpoint"), load_checkpoint),
    ):
        file = folder / "model.safetensors"
        save_file(damage(load_file(file)), file, metadata={"format": "pt"})
        with pytest.raises(InputError, match=f"{folder}.*{word}"):
            load(folder)
        file.write_bytes(file.read_bytes()[:300])
        with pytest.raises(InputError, match=str(folder)):
            load(folder)


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{", '{"model_type": "splitee_multi_exit"}', '{"model_type": "bert"}', '{"model_type": 3}'],
)
def test_damaged_configurations(content, tmp_path):
    folder = toys.checkpoint(tmp_path)
    (folder / "config.json").write_text(content)
    with pytest.raises(InputError, match=str(folder)):
        load_checkpoint(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"backbone": [1]},
        {"backbone": {"model_type": "none"}},
        {"exits": ["a"]},
        {"exits": [9]},
        {"pooling": 1},
    ],
)
def test_damaged_fields(change, tmp_path):
    folder = toys.checkpoint(tmp_path)
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(InputError, match=str(folder)):
        load_checkpoint(folder)


@pytest.mark.parametrize(
    ("kind", "positions"), [("bert", 40), ("distilbert", 40), ("roberta", 38), ("mpnet", 38)]
)
def test_positions_are_those_the_encoder_can_take(kind, positions):
    model = toys.model(kind)
    assert model.positions == positions
    with torch.no_grad():
        model(torch.full((1, positions), 7))
        with pytest.raises((IndexError, RuntimeError)):
            model(torch.full((1, positions + 1), 7))


def _trainable(equilibrium: bool, exits: list[int] | None) -> MultiExitModel:
    model = toys.model(
        "bert", classes=3, exits=exits, exit_dropout=0.0, gradient_equilibrium=equilibrium
    ).train()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    for layer in model.layers:
        layer.attention.self.dropout.p = 0.0
    return model


def _losses_and_states(model: MultiExitModel) -> tuple[list[Tensor], list[Tensor], Tensor]:
    """Each exit's own loss, each layer's output, and the joint loss."""
    states: dict[int, Tensor] = {}
    handles = [
        layer.register_forward_hook(
            lambda module, inputs, output, at=at: states.__setitem__(
                at, output[0] if isinstance(output, tuple) else output
            )
        )
        for at, layer in enumerate(model.layers)
    ]
    labels = torch.tensor([0, 2, 1])
    output = model(IDS, MASK, labels=labels)
    for handle in handles:
        handle.remove()
    losses = [nn.functional.cross_entropy(output.logits[:, i], labels) for i in range(len(model.exits))]
    return losses, [states[at] for at in range(len(model.layers))], output.loss


@pytest.mark.parametrize("exits", [None, [2, 4], [1, 3, 4]])
def test_the_mean_of_the_exits_gradients_reaches_each_layer(exits):
    plain = _trainable(False, exits)
    losses, states, _ = _losses_and_states(plain)
    each = [torch.autograd.grad(loss, states, retain_graph=True, allow_unused=True) for loss in losses]
    balanced = _trainable(True, exits)
    _, theirs, joint = _losses_and_states(balanced)
    reached = torch.autograd.grad(joint, theirs)
    for layer in range(1, toys.LAYERS + 1):
        above = [each[k][layer - 1] for k, at in enumerate(plain.exits) if at >= layer]
        torch.testing.assert_close(
            reached[layer - 1], torch.stack(above).mean(0), rtol=1e-4, atol=1e-7, msg=f"layer {layer}"
        )
        below = [each[k][layer - 1] for k, at in enumerate(plain.exits) if at < layer]
        assert all(gradient is None or not gradient.any() for gradient in below)
    assert float(reached[0].abs().max()) > 1e-4


def test_equilibrium_leaves_the_exits_own_gradients_alone():
    gradients = []
    for equilibrium in (False, True):
        model = _trainable(equilibrium, None)
        _losses_and_states(model)[2].backward()
        gradients.append([p.grad for p in model.exit_heads.parameters()])
    for plain, balanced in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, balanced)


def test_without_equilibrium_and_in_evaluation_the_sum_reaches_each_layer():
    plain = _trainable(False, None)
    losses, states, _ = _losses_and_states(plain)
    summed = torch.autograd.grad(torch.stack(losses).sum(), states)
    for model in (_trainable(False, None), _trainable(True, None).eval()):
        _, theirs, joint = _losses_and_states(model)
        for a, b in zip(torch.autograd.grad(joint, theirs), summed, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-7)


def test_the_forward_pass_knows_no_equilibrium():
    with torch.no_grad():
        balanced, plain = (_trainable(on, None)(IDS, MASK).logits for on in (True, False))
    assert torch.equal(balanced, plain)


def test_the_joint_loss_is_the_sum_of_the_exits_cross_entropies():
    logits = torch.randn(5, 4, 3, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 1, 2, 1, 1])
    expected = sum(float(nn.functional.cross_entropy(logits[:, i], labels)) for i in range(4))
    assert float(exit_losses(logits, labels).sum()) == pytest.approx(expected, rel=1e-6)
    losses, _, joint = _losses_and_states(_trainable(True, [2, 4]))
    assert joint.item() == pytest.approx(sum(losses).item(), rel=1e-6)
    assert toys.model()(IDS, MASK).loss is None


def test_saving_over_a_checkpoint_renews_its_fingerprints(tmp_path):
    model = toys.model()
    model.save_pretrained(tmp_path)
    (tmp_path / "note.txt").write_text("kept")
    write_fingerprints(tmp_path)
    with torch.no_grad():
        model.exit_heads[0].classifier.bias += 1
    model.config.recommended_threshold = {"value": 0.8}
    model.save_pretrained(tmp_path)
    toys.assert_same_model(load_checkpoint(tmp_path), model)
    assert load_checkpoint(tmp_path).config.recommended_threshold == {"value": 0.8}
    (tmp_path / "note.txt").write_text("lost")  # damage to other files is still found afterwards
    model.save_pretrained(tmp_path)
    with pytest.raises(InputError, match=r"note\.txt does not match its checksum"):
        load_checkpoint(tmp_path)
