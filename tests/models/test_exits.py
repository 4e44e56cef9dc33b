"""Exits: a learned certainty, and several states read at once, spelled out from the library's states."""

import numpy as np
import pytest
import torch
import toys
from torch import Tensor
from transformers import AutoModel

import splitee
from splitee._internal.errors import InputError
from splitee.data.rows import Rows
from splitee.models.early_exit import infer
from splitee.models.encode import encode, pad
from splitee.models.exits import certainty_loss
from splitee.models.flops import count_flops
from splitee.models.inputs import TextInputs
from splitee.models.multi_exit import MultiExitModel, load_checkpoint
from splitee.models.precompute import PrecomputeOptions, compute_trace

IDS = torch.randint(5, 40, (3, 9), generator=torch.Generator().manual_seed(3))
MASK = torch.tensor([[1] * 9, [1] * 6 + [0] * 3, [1] + [0] * 8])
IDS = torch.where(MASK.bool(), IDS, 1)
TEXTS = [" ".join(f"w{(7 * i + j) % 40}" for j in range(1 + i % 11)) for i in range(30)]
TOKENIZER = toys.tokenizer()
ROWS = Rows("texts", (TEXTS,), None, None, [str(i) for i in range(len(TEXTS))], {})


def batch(texts: list[str]) -> dict[str, Tensor]:
    return pad(encode(TOKENIZER, (texts,), 16), TOKENIZER.pad_token_id)


def middle(values: np.ndarray) -> float:
    """A threshold far from all values, so that rounding in the encoder decides nothing."""
    ordered = np.unique(values.astype(np.float64))
    some = len(ordered) // 3
    widest = some + int(np.diff(ordered)[some:-some].argmax())
    return float((ordered[widest] + ordered[widest + 1]) / 2)


def pooled_states(model: MultiExitModel) -> list[Tensor]:
    """The library's states after the embedding and after each layer, averaged over each text."""
    theirs = AutoModel.from_config(model.config.backbone_config()).eval()
    theirs.load_state_dict(model.backbone.state_dict(), strict=False)
    with torch.no_grad():
        found = theirs(input_ids=IDS, attention_mask=MASK, output_hidden_states=True).hidden_states
    mask = MASK[..., None].float()
    return [(state * mask).sum(1) / mask.sum(1) for state in found]


def test_a_certainty_is_a_sigmoid_of_what_the_classifier_reads():
    model = toys.model(confidence="learned")
    states = pooled_states(model)
    with torch.no_grad():
        output = model(IDS, MASK)
        linear = model.certainty_head.linear
        for i, head in enumerate(model.exit_heads):
            features = torch.tanh(states[i + 1] @ head.dense.weight.T + head.dense.bias)
            expected = 1 / (1 + torch.exp(-(features @ linear.weight[0] + linear.bias)))
            torch.testing.assert_close(output.certainty[:, i], expected, rtol=1e-4, atol=1e-5)
        cut = model.run_layers(model.start(IDS, MASK), 2)
        torch.testing.assert_close(model.exit_outputs(cut)[1], output.certainty[:, 1])
    assert toys.model()(IDS, MASK).certainty is None


def test_the_loss_of_certainties():
    logits = torch.randn(5, 4, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    certainty = torch.rand(5, 4, generator=torch.Generator().manual_seed(1)).requires_grad_()
    labels = torch.tensor([0, 1, 2, 1, 0])
    loss = certainty_loss(certainty, logits, labels)
    by_hand = [
        (certainty[s, i].item() - (int(logits[s, i].argmax()) == int(labels[s]))) ** 2
        for s in range(5)
        for i in range(4)
    ]
    assert loss.item() == pytest.approx(np.mean(by_hand), rel=1e-5)
    loss.backward()
    assert logits.grad is None
    values = torch.tensor([[[1.0], [2.0]]])
    off = certainty_loss(torch.zeros(1, 2), values, torch.tensor([2.5]))
    assert float(off) == pytest.approx((np.exp(-2.25) ** 2 + np.exp(-0.25) ** 2) / 2)


def test_a_certainty_head_learns_which_answers_are_right():
    """Labels are the first exit's answers for texts with a certain word, and the other class for others."""
    model = toys.model(confidence="learned")
    ids = torch.randint(8, 40, (200, 7), generator=torch.Generator().manual_seed(0))
    ids[::2, 3] = 7
    with torch.no_grad():
        predicted = model(ids).logits[:, 0].argmax(-1)
    labels = torch.where(torch.arange(200) % 2 == 0, predicted, 1 - predicted)
    model.requires_grad_(False)
    model.certainty_head.requires_grad_(True)
    optimizer = torch.optim.Adam(model.certainty_head.parameters(), lr=0.05)
    for _ in range(150):
        output = model(ids)
        loss = certainty_loss(output.certainty[:, :1], output.logits[:, :1], labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    certainty = output.certainty[:, 0].detach()
    assert loss.item() < 0.2, "a constant has 0.25"
    assert certainty[::2].mean() > certainty[1::2].mean() + 0.2


@pytest.mark.parametrize("classes", [1, 2, 3])
def test_a_learned_confidence_in_traces_and_early_exit(classes, tmp_path):
    options = {"classes": 1, "score_range": (0, 5)} if classes == 1 else {"classes": classes}
    toys.checkpoint(tmp_path, confidence="learned", **options)
    model = load_checkpoint(tmp_path)
    trace = compute_trace(model, TextInputs(TOKENIZER, model), ROWS)
    with torch.no_grad():
        wanted = torch.cat([model(**batch([text])).certainty for text in TEXTS])
    np.testing.assert_allclose(trace.confidence, wanted, atol=1e-5)
    assert not trace.softmax
    assert trace.manifest["confidence_from"].startswith("learned")
    alpha = middle(trace.confidence[:, 0])
    cascade = splitee.replay(trace, splitee.ElasticBERT(alpha), orders=[range(len(TEXTS))]).split[0]
    answers = infer(model, batch(TEXTS), splitee.ElasticBERT(alpha).rule)
    assert answers.exit.tolist() == cascade.tolist()
    assert len(set(cascade.tolist())) > 1
    plain = compute_trace(model, TextInputs(TOKENIZER, model), ROWS, PrecomputeOptions(confidence="softmax"))
    assert "confidence_from" not in plain.manifest
    np.testing.assert_array_equal(plain.prediction, trace.prediction)
    if classes > 1:  # the entropy of the softmax is there for policies that need it
        np.testing.assert_allclose(trace.entropy, plain.entropy, atol=1e-5)
        assert (plain.confidence >= 1 / classes).all()
        usual = infer(model, batch(TEXTS), splitee.ElasticBERT(0.7).rule, confidence="softmax")
        replayed = splitee.replay(plain, splitee.ElasticBERT(0.7), orders=[range(len(TEXTS))]).split[0]
        assert usual.exit.tolist() == replayed.tolist()


def test_a_model_without_learned_confidence_says_so():
    with pytest.raises(InputError, match="splitee train --confidence learned"):
        infer(toys.model(), batch(TEXTS), splitee.ElasticBERT(0.7).rule, confidence="learned")
    model = toys.model(max_tokens=16)
    with pytest.raises(InputError, match="no learned confidence"):
        compute_trace(model, TextInputs(TOKENIZER, model), ROWS, PrecomputeOptions(confidence="learned"))
    with pytest.raises(InputError, match="of one width"):
        toys.model(confidence="learned", exit_states=2, exit_dense=False)
    with pytest.raises(InputError, match="confidence 'sure': choose one of softmax, learned"):
        toys.model(confidence="sure")


def test_a_frozen_encoder_still_teaches_certainty():
    model = toys.model(confidence="learned", gradient_equilibrium=False).train()
    output = model(IDS, MASK, frozen=True)
    certainty_loss(output.certainty, output.logits, torch.tensor([0, 1, 0])).backward()
    assert all(values.grad is None for values in model.backbone.parameters())
    assert all(values.grad is None for values in model.exit_heads[-1].parameters())
    assert model.certainty_head.linear.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("join", ["concat", "mean"])
@pytest.mark.parametrize("exits", [None, [2, 4]])
@pytest.mark.parametrize("dense", [True, False])
def test_exits_read_the_last_states(join, exits, dense):
    model = toys.model(exits=exits, exit_states=3, exit_join=join, exit_dense=dense)
    states = pooled_states(model)
    with torch.no_grad():
        output = model(IDS, MASK).logits
        for place, layer in enumerate(model.exits):
            read = states[max(0, layer - 2) : layer + 1]  # of the embedding too, where layers are few
            joined = torch.cat(read, -1) if join == "concat" else sum(read) / len(read)
            head = model.exit_heads[place]
            inner = torch.tanh(joined @ head.dense.weight.T + head.dense.bias if dense else joined)
            expected = inner @ head.classifier.weight.T + head.classifier.bias
            torch.testing.assert_close(output[:, place], expected, rtol=1e-4, atol=1e-4)
        # stopped, divided and resumed elsewhere
        cut = model.run_layers(model.start(IDS, MASK), 2)
        rows = torch.tensor([2, 0])
        later = model.run_layers(cut.take(rows), 4)
        torch.testing.assert_close(model.exit_logits(cut), output[:, model.exits.index(2)])
        torch.testing.assert_close(model.exit_logits(later), output[rows, -1])
        assert len(later.recent) == 2
    answers = infer(model, batch(TEXTS), splitee.FixedExit(2).rule)
    alone = infer(model, batch(TEXTS[:1]), splitee.FixedExit(2).rule)
    np.testing.assert_allclose(alone.logits[0], answers.logits[0], atol=1e-5)


def test_equilibrium_over_several_states():
    """Each state gets the gradient of every exit that reads it, or follows it, divided by the exits above."""
    labels = torch.tensor([0, 1, 1])

    def gradients(equilibrium: bool, exit_: int | None) -> list[Tensor]:
        model = toys.model(exit_states=2, gradient_equilibrium=equilibrium, exit_dropout=0.0)
        for part in model.modules():
            if isinstance(part, torch.nn.Dropout):
                part.p = 0.0
        model.train()
        logits = model(IDS, MASK).logits
        chosen = logits if exit_ is None else logits[:, exit_ : exit_ + 1]
        torch.nn.functional.cross_entropy(
            chosen.flatten(0, 1), labels.repeat_interleave(chosen.shape[1]), reduction="sum"
        ).backward()
        return [layer.output.dense.weight.grad for layer in model.layers]

    together = gradients(True, None)
    alone = [gradients(False, exit_) for exit_ in range(toys.LAYERS)]
    for layer, found in enumerate(together):
        above = [alone[exit_][layer] for exit_ in range(layer, toys.LAYERS)]
        torch.testing.assert_close(found, sum(above) / len(above), rtol=1e-3, atol=1e-5)


def test_flops_and_bytes_of_more_states_and_certainties():
    model = toys.model(exit_states=3, confidence="learned", max_tokens=16)
    width, classes = 16, 2
    reads = [2, 3, 3, 3]
    expected = [2 * (n * width * width + width * classes + width) for n in reads]
    assert count_flops(model, 9)["exits"] == expected
    trace = compute_trace(model, TextInputs(TOKENIZER, model), ROWS)
    assert trace.manifest["hidden_state_bytes"]["max_length_float32"] == 4 * width * (16 + 2)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"exit_states": 0}, "give 1 to 5"),
        ({"exit_states": 6}, "give 1 to 5"),
        ({"exit_states": 2, "exit_join": "sum"}, "choose one of concat, mean"),
    ],
)
def test_states_that_cannot_be_read(options, word):
    with pytest.raises(InputError, match=word):
        toys.model(**options)


def test_the_first_exit_and_pretrained_poolers(tmp_path):
    toys.backbone(tmp_path, "bert")
    model = MultiExitModel.from_backbone(tmp_path, 2, first_exit=3, exit_states=2, exit_dense=False)
    assert model.exits == (3, 4)
    assert [head.classifier.in_features for head in model.exit_heads] == [32, 32]
    with pytest.raises(InputError, match="first exit is at layer 5: give a layer from 1 to 4"):
        MultiExitModel.from_backbone(tmp_path, 2, first_exit=5)
    with pytest.raises(InputError, match="pooler reads one state"):
        MultiExitModel.from_backbone(tmp_path, 2, exit_start="pooler", exit_states=2)
    mean = MultiExitModel.from_backbone(tmp_path, 2, exit_start="pooler", exit_states=2, exit_join="mean")
    assert len(mean.exits) == 4
