"""Slender encoders: what is kept computes what it computed; saved, cut and counted as any other."""

import json

import numpy as np
import pytest
import torch
import toys
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModel, BertConfig

from splitee._internal.errors import InputError
from splitee.elue.flops import Flops
from splitee.models.early_exit import infer
from splitee.models.multi_exit import MultiExitConfig, MultiExitModel, load_checkpoint
from splitee.models.opening import open_backbone
from splitee.models.slender import Widths, layer_parts, slim
from splitee.policies.rules import Confidence

KINDS = ("bert", "roberta", "mpnet")
IDS = torch.tensor([[0, 9, 12, 30, 2], [0, 8, 2, 1, 1], [0, 11, 7, 2, 1]])
MASK = (IDS != 1).long()
HEADS = [[0, 3], [1], [0, 1, 2, 3], [2]]
UNITS = [[0, 5, 23], list(range(24)), [7], [1, 2, 3, 22]]


def full(kind):
    torch.manual_seed(0)
    model = AutoModel.from_config(toys.config(kind, num_attention_heads=4)).eval()
    with torch.no_grad():
        for name, values in model.named_parameters():
            if "LayerNorm" not in name:
                values.normal_(0, 0.3)
    model.pooler = None
    return model


def states(model):
    with torch.no_grad():
        return model(input_ids=IDS, attention_mask=MASK, output_hidden_states=True).hidden_states


def masked(model, heads, units):
    """The full model with all other heads and units silenced where their outputs are read."""
    size = model.config.hidden_size // 4

    def silence(kept):
        def hook(module, arguments):
            (values,) = arguments
            mask = torch.zeros(values.shape[-1])
            mask[kept] = 1
            return (values * mask,)

        return hook

    for layer, some, of in zip(model.encoder.layer, heads, units, strict=True):
        parts = layer_parts(layer)
        places = [head * size + i for head in some for i in range(size)]
        getattr(*parts.out_of).register_forward_pre_hook(silence(places))
        getattr(*parts.down).register_forward_pre_hook(silence(list(of)))
    return model


def assert_same(ours, theirs, tolerance=1e-5):
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a[MASK.bool()], b[MASK.bool()], rtol=1e-4, atol=tolerance)


@pytest.mark.parametrize("kind", KINDS)
def test_keeping_everything_changes_nothing(kind):
    model = full(kind)
    same = slim(model, [range(4)] * 4, [range(24)] * 4)
    for a, b in zip(states(same), states(model), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("kind", KINDS)
def test_a_slender_model_is_the_full_one_with_the_others_masked(kind):
    model = full(kind)
    slender = slim(model, HEADS, UNITS)
    assert_same(states(slender), states(masked(model, HEADS, UNITS)))


@pytest.mark.parametrize("kind", KINDS)
def test_slimming_in_steps_is_slimming_at_once(kind):
    model = full(kind)
    once = slim(model, HEADS, UNITS)
    half = slim(model, [[0, 1, 2, 3], [1, 2], [0, 1, 2, 3], [1, 2]], [range(24)] * 4)
    steps = slim(half, HEADS, UNITS)
    assert Widths.of(steps.config) == Widths.of(once.config)
    for a, b in zip(states(steps), states(once), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_rank_embedding_changes_nothing_and_a_lower_one_is_the_best(kind):
    model = full(kind)
    everything = [range(4)] * 4, [range(24)] * 4
    assert_same(states(slim(model, *everything, rank=16)), states(model), 1e-4)
    lower = slim(model, *everything, rank=5).embeddings.word_embeddings
    table = model.embeddings.word_embeddings.weight.detach().double().numpy()
    singular = np.linalg.svd(table, compute_uv=False)
    approximate = lower(torch.arange(table.shape[0])).detach().double().numpy()
    error = np.linalg.norm(approximate - table)
    assert error == pytest.approx(np.sqrt((singular[5:] ** 2).sum()), rel=1e-4)  # Eckart and Young
    again = slim(slim(model, *everything, rank=9), *everything, rank=5).embeddings.word_embeddings
    torch.testing.assert_close(again(IDS), lower(IDS), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_cut_saved_loaded_and_exited_like_any_other(kind, tmp_path):
    slender = slim(full(kind), HEADS, UNITS, rank=6)
    open_backbone(slender)
    described = slender.config.to_dict()
    config = MultiExitConfig(described, num_labels=2, pooling="first", exit_dense=False)
    model = MultiExitModel(config, slender).eval()
    with torch.no_grad():
        for values in model.exit_heads.parameters():
            values.normal_(0, 0.8)
        expected = model(IDS, MASK).logits
    model.save_pretrained(tmp_path)
    again = load_checkpoint(tmp_path)
    toys.assert_same_model(again, model)
    with torch.no_grad():
        torch.testing.assert_close(again(IDS, MASK).logits, expected, rtol=0, atol=1e-5)
    assert Widths.of(again.backbone.config) == Widths.of(slender.config)
    whole = infer(again, {"input_ids": IDS, "attention_mask": MASK}, Confidence(0.7))
    alone = [
        infer(again, {"input_ids": IDS[i : i + 1], "attention_mask": MASK[i : i + 1]}, Confidence(0.7))
        for i in range(3)
    ]
    assert whole.exit.tolist() == [int(one.exit[0]) for one in alone]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dense", [True, False])
def test_flops_are_torchs_count(kind, dense, tmp_path):
    slender = slim(full(kind), HEADS, UNITS, rank=6)
    config = MultiExitConfig(slender.config.to_dict(), num_labels=3, exit_dense=dense)
    model = MultiExitModel(config, slender).eval()
    model.backbone.set_attn_implementation("eager")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.full((1, 9), 7))
    model.save_pretrained(tmp_path)
    told = json.loads((tmp_path / "config.json").read_text())
    assert Flops.from_config(told).at(9, every_exit=True)[-1] == counter.get_total_flops()


def test_bert_base_at_an_eighth():
    """2 heads, FFN 256, rank 128 and COST-EFF's exits: 13.92 M parameters (FACTS D: 1/7.9)."""
    slender = BertConfig().to_dict() | {
        "model_type": "slender_bert",
        "slender": Widths((((0, 1),) * 12), (256,) * 12, 128).to_dict(),
    }
    with torch.device("meta"):  # only its size is asked for
        model = MultiExitModel(MultiExitConfig(slender, num_labels=2, exit_dense=False))
    assert model.num_parameters() == pytest.approx(13.92e6, abs=0.005e6)
    mac = Flops.from_config(model.config.to_dict()).at(128, every_exit=True)[-1] / 2
    assert mac == pytest.approx(1.27e9, rel=0.02)  # FACTS D


@pytest.mark.parametrize(
    ("heads", "units", "rank", "word"),
    [
        ([[0]] * 3, [[0]] * 4, None, "3 layers"),
        ([[]] + [[0]] * 3, [[0]] * 4, None, "layer 1 keeps heads"),
        ([[4]] + [[0]] * 3, [[0]] * 4, None, "0 to 3"),
        ([[0, 0]] + [[0]] * 3, [[0]] * 4, None, "ascending"),
        ([[0]] * 4, [[]] + [[0]] * 3, None, "keeps 0 feed-forward units"),
        ([[0]] * 4, [[24]] + [[0]] * 3, None, "units 0 to 23"),
        ([[0]] * 4, [[1, 1]] + [[0]] * 3, None, "units 0 to 23"),
        ([[0]] * 4, [[0]] * 4, 17, "rank 17"),
        ([[0]] * 4, [[0]] * 4, 0, "rank 0"),
    ],
)
def test_what_cannot_be_kept(heads, units, rank, word):
    with pytest.raises(InputError, match=word):
        slim(full("bert"), heads, units, rank)


def test_what_is_gone_cannot_be_kept():
    slender = slim(full("mpnet"), HEADS, UNITS, rank=6)
    with pytest.raises(InputError, match="layer 2 has no head 0: it has 1"):
        slim(slender, [[0]] * 4, [[0]] * 4)
    with pytest.raises(InputError, match="rank 7: the embedding has rank 6"):
        slim(slender, HEADS, [[0]] * 4, rank=7)


def test_an_encoder_that_cannot_be_slimmed():
    with pytest.raises(InputError, match="'distilbert' cannot be slimmed"):
        slim(AutoModel.from_config(toys.config("distilbert")), [[0]] * 4, [[0]] * 4)
