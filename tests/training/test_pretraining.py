"""Pre-training: the loss by hand, equilibrium within a group, all exits learn, resumed it ends the same."""

import numpy as np
import pytest
import torch
import toys
from safetensors.torch import load_file
from torch.nn import functional
from transformers import BertConfig, BertModel, TrainerCallback

import splitee.training.pretrain as module
from splitee._internal.errors import InputError
from splitee.models.elasticbert import ElasticBertConfig
from splitee.models.multi_exit import MultiExitModel
from splitee.models.pretraining import ElasticBertForPreTraining, groups_of
from splitee.training.pretrain import Pretraining, collate, pretrain, segment_pairs

VOCABULARY = len(toys.SPECIAL) + len(toys.WORDS)
TOKENIZER = toys.tokenizer()


def config(**changes):
    sizes = {"vocab_size": VOCABULARY, "hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2}
    more = {"intermediate_size": 24, "max_position_embeddings": 40, "pad_token_id": 1, "num_output_layers": 4}
    return ElasticBertConfig(**{**sizes, **more, "attention_probs_dropout_prob": 0.0, **changes})


def texts(count, seed=0):
    """Words come in runs of their alphabet: neighbours tell masked words, and the order of segments."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        start = int(rng.integers(len(toys.WORDS)))
        made.append(" ".join(toys.WORDS[(start + i) % len(toys.WORDS)] for i in range(40)))
    return made


PAIRS = segment_pairs(TOKENIZER, texts(60), 23, seed=0)
HOW = Pretraining(steps=12, batch_size=8, tokens=23, evaluate_every=4, seed=3)


def model(**changes):
    torch.manual_seed(0)
    return ElasticBertForPreTraining(config(**changes)).eval()


def batch(count=4):
    return collate(TOKENIZER, PAIRS[:count], HOW)


def test_the_loss_by_hand():
    net, inputs = model(), batch()
    told = net(**inputs)
    states = net.elasticbert(
        inputs["input_ids"],
        inputs["attention_mask"],
        inputs["token_type_ids"],
        output_hidden_states=True,
    ).hidden_states[1:]
    total = 0.0
    for i, state in enumerate(states):
        words = net.transforms[i](state) @ net.elasticbert.embeddings.word_embeddings.weight.T + net.bias
        mlm = functional.cross_entropy(words.flatten(0, 1), inputs["labels"].flatten(), ignore_index=-100)
        pooled = net.elasticbert.encoder.pooler[i](state)
        order = functional.cross_entropy(net.orders[i](pooled), inputs["order"])
        assert float(told.mlm[i]) == pytest.approx(mlm.item(), rel=1e-5)
        assert float(told.order[i]) == pytest.approx(order.item(), rel=1e-5)
        total += mlm.item() + order.item()
    assert told.loss.item() == pytest.approx(total, rel=1e-5)


@pytest.mark.parametrize("group", [(1, 2, 3, 4), (1, 3, 4), (2, 4)])
def test_the_mean_of_the_groups_exits_reaches_each_layer(group):
    net, inputs = model(), batch()
    states = {}

    def keep(layer):
        def hook(module_, arguments, output):
            state = output[0] if isinstance(output, tuple) else output
            state.retain_grad()
            states[layer] = state

        return hook

    for layer, block in enumerate(net.elasticbert.encoder.layer, 1):
        block.register_forward_hook(keep(layer))
    net(**inputs, group=group).loss.backward()
    reached = {layer: state.grad.clone() for layer, state in states.items()}
    each = {}
    for at in group:  # one exit alone: nothing to balance
        states.clear()
        net.zero_grad()
        net(**inputs, group=(at,)).loss.backward()
        each[at] = {layer: state.grad.clone() for layer, state in states.items()}
    for layer in range(1, group[-1] + 1):
        above = [each[at][layer] for at in group if at >= layer]
        torch.testing.assert_close(reached[layer], torch.stack(above).mean(0), rtol=1e-3, atol=1e-7)


def test_groups_take_turns_and_hold_the_last_exit():
    assert groups_of(12) == ((1, 3, 5, 7, 9, 11, 12), (2, 4, 6, 8, 10, 12))
    assert groups_of(3) == ((1, 3), (2, 3))
    assert groups_of(1) == ((1,),)


def test_pairs_are_neighbours_half_of_them_swapped():
    assert all(len(one["input_ids"]) <= 23 for one in PAIRS)
    swapped = np.mean([one["order"] for one in PAIRS])
    assert 0.3 < swapped < 0.7
    words = TOKENIZER.convert_ids_to_tokens
    for one in PAIRS[:20]:
        first = [
            w for w, kind in zip(words(one["input_ids"]), one["token_type_ids"], strict=True) if not kind
        ]
        second = [w for w, kind in zip(words(one["input_ids"]), one["token_type_ids"], strict=True) if kind]
        end, start = (first[-2], second[0]) if not one["order"] else (second[-2], first[1])
        assert (toys.WORDS.index(end) + 1) % len(toys.WORDS) == toys.WORDS.index(start)


@pytest.mark.parametrize(
    ("steps", "less", "order"), [(40, 0.02, None), pytest.param(240, 0.5, 0.67, marks=pytest.mark.slow)]
)
def test_every_exit_learns(steps, less, order, tmp_path):
    how = Pretraining(
        steps=steps, batch_size=16, tokens=23, learning_rate=5e-3, evaluate_every=steps // 2, seed=3
    )
    train = segment_pairs(TOKENIZER, texts(150), 23, seed=0)
    held_out = segment_pairs(TOKENIZER, texts(20, seed=1), 23, seed=1)
    net = pretrain(config(), TOKENIZER, train, held_out, tmp_path / "model", how)
    history = net.config.training["history"]
    assert [entry["step"] for entry in history] == [0, steps // 2, steps]
    first, last = np.array(history[0]["mlm"]), np.array(history[-1]["mlm"])
    assert (last < first - less).all()
    if order:
        assert (np.array(history[-1]["order"])[1:] < order).all(), "learned, but not at the first exit"
    backbone = MultiExitModel.from_backbone(tmp_path / "model", num_labels=2)
    pooler = net.elasticbert.encoder.pooler[2].dense.weight
    assert torch.equal(backbone.exit_heads[2].dense.weight, pooler.cpu())


class StopError(Exception):
    pass


def test_a_resumed_run_ends_as_an_undisturbed_one(tmp_path, monkeypatch):
    def run(out):
        return pretrain(config(hidden_dropout_prob=0.1), TOKENIZER, PAIRS, PAIRS[:8], out, HOW)

    whole = run(tmp_path / "whole")

    class Interrupt(TrainerCallback):
        def on_step_end(self, args, state, control, **_):
            if state.global_step == 6:  # two steps after the checkpoint
                raise StopError

    real = module._Trainer
    monkeypatch.setattr(
        module,
        "_Trainer",
        lambda groups, **options: real(
            groups, **{**options, "callbacks": [*options["callbacks"], Interrupt()]}
        ),
    )
    with pytest.raises(StopError):
        run(tmp_path / "again")
    monkeypatch.setattr(module, "_Trainer", real)
    again = run(tmp_path / "again")
    files = [load_file(tmp_path / name / "model.safetensors") for name in ("whole", "again")]
    assert all(torch.equal(files[0][key], files[1][key]) for key in files[0])
    assert whole.config.training["history"] == again.config.training["history"]
    with pytest.raises(FileExistsError):
        run(tmp_path / "whole")


def test_stopped_after_its_last_checkpoint_it_is_not_trained_on(tmp_path, monkeypatch):
    """Twelve steps are no whole number of epochs here: the Trainer would take a thirteenth."""

    def run(out):
        return pretrain(config(), TOKENIZER, PAIRS, PAIRS[:8], out, HOW)

    assert HOW.steps % -(-len(PAIRS) // HOW.batch_size)
    whole, seen, real = run(tmp_path / "whole"), [], module.put_in_place

    def stopped(*_):
        raise StopError

    monkeypatch.setattr(module, "put_in_place", stopped)
    with pytest.raises(StopError):
        run(tmp_path / "again")
    monkeypatch.setattr(module, "put_in_place", real)
    collate_ = module.collate
    monkeypatch.setattr(module, "collate", lambda *given: seen.append(1) or collate_(*given))
    again = run(tmp_path / "again")
    assert len(seen) == 1, "what is held out is read, no batch of a step"
    assert whole.config.training["history"] == again.config.training["history"]
    files = [load_file(tmp_path / name / "model.safetensors") for name in ("whole", "again")]
    assert all(torch.equal(files[0][key], files[1][key]) for key in files[0])


def test_a_batch_without_a_masked_word():
    inputs = batch(2)
    inputs["labels"][:] = -100
    told = model()(**inputs)
    assert torch.isfinite(told.loss)
    assert not told.mlm.any()


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: Pretraining(steps=0), "steps"),
        (lambda: Pretraining(tokens=4), "tokens"),
        (lambda: Pretraining(mask=0), "mask"),
        (lambda: segment_pairs(TOKENIZER, ["good"], 23, 0), "no pairs"),
        (lambda: ElasticBertForPreTraining(config(num_output_layers=1)), "num_output_layers"),
    ],
)
def test_what_cannot_be(make, word):
    with pytest.raises(InputError, match=word):
        make()


def test_it_begins_with_an_encoder(tmp_path):
    torch.manual_seed(7)
    shape = config().to_dict()
    shape.pop("model_type")
    bert = BertModel(BertConfig(**shape))
    how = Pretraining(steps=1, batch_size=8, tokens=23, learning_rate=1e-12, weight_decay=0)
    made = pretrain(config(), TOKENIZER, PAIRS, PAIRS[:8], tmp_path / "out", how, encoder=bert)
    for key, values in bert.state_dict().items():
        if "pooler" not in key:
            assert torch.allclose(made.elasticbert.state_dict()[key], values, atol=1e-6), key
    deep = BertModel(BertConfig(**shape | {"num_hidden_layers": 6}))
    with pytest.raises(InputError, match="num_hidden_layers is 6, not 4"):
        pretrain(config(), TOKENIZER, PAIRS, PAIRS[:8], tmp_path / "other", how, encoder=deep)
    narrow = BertModel(BertConfig(**shape | {"hidden_size": 8}))
    with pytest.raises(InputError, match="of another shape"):
        pretrain(config(), TOKENIZER, PAIRS, PAIRS[:8], tmp_path / "other", how, encoder=narrow)
