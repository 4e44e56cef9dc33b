"""What can be cut, against the library's own states, each text alone; what cannot is refused by name."""

import copy
import pickle
import warnings

import pytest
import torch
import toys
from backbones import DECODERS, SIZES, WORK, config, library, model
from torch import Tensor
from transformers import AutoModel

from splitee._internal.errors import InputError
from splitee.models.config import MultiExitConfig
from splitee.models.cutting import stand_ins
from splitee.models.exits import pool
from splitee.models.multi_exit import MultiExitModel
from splitee.models.opening import open_backbone

REFUSED = {
    "fnet": (SIZES, "padding"),
    "nystromformer": (SIZES | {"num_landmarks": 7, "segment_means_seq_len": 7}, ""),
    "convbert": (SIZES | {"embedding_size": 16, "conv_kernel_size": 3, "head_ratio": 1}, "padding"),
    "vit": ({"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "image_size": 32}, "pixel"),
    "canine": ({"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2}, "no token ids"),
    "squeezebert": (
        SIZES
        | {"embedding_size": 16}
        | {f"{part}_groups": 1 for part in ("q", "k", "v", "post_attention", "intermediate", "output")},
        "dict",
    ),
    "layoutlm": (SIZES, "bbox"),
    "xmod": (SIZES | {"languages": ["en", "de"], "default_language": "en"}, "lang_ids"),
    "longformer": (SIZES | {"attention_window": 4}, ""),
    "big_bird": (SIZES, "original_full"),
    "t5": ({"vocab_size": 60, "d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 3, "num_heads": 2}, ""),
    "xlnet": ({"vocab_size": 60, "d_model": 16, "n_layer": 3, "n_head": 2, "d_inner": 24}, ""),
    "mra": (SIZES, "see"),
    "mamba": ({"vocab_size": 60, "hidden_size": 16, "num_hidden_layers": 3, "state_size": 4}, ""),
}


TEXTS = [torch.randint(5, 60, (1, n), generator=torch.Generator().manual_seed(n)) for n in (9, 6, 3, 1)]


def padded(side: str) -> tuple[Tensor, Tensor]:
    ids, mask = torch.full((4, 9), 1), torch.zeros(4, 9, dtype=torch.long)
    for row, text in enumerate(TEXTS):
        n = text.shape[1]
        place = slice(0, n) if side == "right" else slice(9 - n, 9)
        ids[row, place], mask[row, place] = text[0], 1
    return ids, mask


@pytest.mark.parametrize("name", WORK)
@torch.no_grad()
def test_states_are_the_librarys_of_each_text_alone(name):
    made = model(name)
    states = [library(made, text) for text in TEXTS]
    assert len(states[0]) == len(made.layers) == made.config.backbone_config().num_hidden_layers
    for side in ("right", "left"):
        ids, mask = padded(side)
        cut = made.start(ids, mask)
        for layer in range(1, len(made.layers) + 1):
            cut = made.run_layers(cut, layer)
            for row in range(4):
                torch.testing.assert_close(
                    cut.hidden[row, mask[row].bool()], states[row][layer - 1][0], rtol=1e-4, atol=1e-4
                )
        logits = made(ids, mask).logits
        torch.testing.assert_close(made.exit_logits(cut), logits[:, -1])
        for row, text in enumerate(TEXTS):
            torch.testing.assert_close(made(text).logits[0], logits[row], rtol=1e-4, atol=1e-4)
    spread = (logits[:, 1:] - logits[:, :-1]).abs().max()
    assert spread > 0.02, "the exits all say the same: nothing would have been seen"


@pytest.mark.parametrize("name", ["modernbert", "gemma2", "gpt2", "albert", "deberta-v2"])
@torch.no_grad()
def test_a_part_of_the_batch_goes_on_alone(name):
    made = model(name)
    ids, mask = padded("right")
    whole = made(ids, mask).logits
    cut = made.run_layers(made.start(ids, mask), 2).take(torch.tensor([1, 3]))
    last = made.run_layers(cut, len(made.layers))
    torch.testing.assert_close(made.exit_logits(last), whole[[1, 3], -1], rtol=1e-5, atol=1e-5)


def test_decoders_pool_the_last_token_and_know_that_they_must(tmp_path):
    for name in WORK:
        backbone = AutoModel.from_config(config(name, WORK[name]))
        assert open_backbone(backbone).causal == (name in DECODERS), name
    with pytest.raises(InputError, match="the first token sees no other, use 'last'"):
        model("llama", pooling="first")
    for name, expected in (("gpt2", "last"), ("modernbert", "mean")):
        AutoModel.from_config(config(name, WORK[name])).save_pretrained(tmp_path / name)
        made = MultiExitModel.from_backbone(tmp_path / name, num_labels=2)
        assert made.config.pooling == expected
        made.save_pretrained(tmp_path / f"{name}-exits")
        again = MultiExitModel.from_pretrained(tmp_path / f"{name}-exits")
        ids, mask = padded("left")
        torch.testing.assert_close(again(ids, mask).logits, made.eval()(ids, mask).logits)


@pytest.mark.parametrize("name", ["modernbert", "albert", "llama"])
def test_the_first_layers_alone(name, tmp_path):
    AutoModel.from_config(config(name, WORK[name])).save_pretrained(tmp_path)
    made = MultiExitModel.from_backbone(tmp_path, num_labels=2, layers=2).eval()
    assert made.exits == (1, 2)
    whole = MultiExitModel.from_backbone(tmp_path, num_labels=2).eval()
    with torch.no_grad():
        ours, theirs = made.start(TEXTS[0]), whole.start(TEXTS[0])
        torch.testing.assert_close(ours.hidden, theirs.hidden)


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_cut_is_refused_in_one_line_through_both_doors(name, tmp_path):
    sizes, why = REFUSED[name]
    settings = config(name, sizes)
    expected = rf"(?s)'{name}'.*cannot be cut: .*{why}.*BERT, RoBERTa.*Llama"
    with pytest.raises(InputError, match=expected) as one:
        MultiExitModel(MultiExitConfig(settings.to_dict(), num_labels=2))
    assert "\n" not in str(one.value)
    AutoModel.from_config(settings).save_pretrained(tmp_path)
    with pytest.raises(InputError, match=expected):
        MultiExitModel.from_backbone(tmp_path, num_labels=2)


def test_layers_that_do_not_add_up_are_refused():
    class Odd(type(AutoModel.from_config(toys.config("bert")))):
        def forward(self, input_ids, **options):
            output = super().forward(input_ids, **options)
            if output.hidden_states is not None:
                output.hidden_states = tuple(states * 1.01 for states in output.hidden_states)
            return output

    with pytest.raises(InputError, match="do not reproduce its hidden states"):
        open_backbone(Odd(toys.config("bert")))


def test_opening_changes_no_mode_and_leaves_the_layers():
    backbone = AutoModel.from_config(toys.config("bert"), add_pooling_layer=False).train()
    backbone.encoder.layer[1].eval()
    modes = [module.training for module in backbone.modules()]
    before = list(backbone.encoder.layer)
    stack = open_backbone(backbone)
    with pytest.raises(ZeroDivisionError), stand_ins(stack):
        raise ZeroDivisionError
    assert [module.training for module in backbone.modules() if module is not backbone.pooler] == modes[
        : len(list(backbone.modules()))
    ]
    assert list(backbone.encoder.layer) == before == stack.layers


def test_a_copy_of_a_model_runs_its_own_layers():
    one = model("modernbert")
    two = copy.deepcopy(one)
    with torch.no_grad():
        for values in two.backbone.layers.parameters():
            values.zero_()
        assert not torch.allclose(one(TEXTS[0]).logits, two(TEXTS[0]).logits)


def test_first_and_last_token_on_either_side():
    hidden = torch.arange(8.0).reshape(2, 4, 1)
    mask = torch.tensor([[1, 1, 0, 0], [0, 0, 1, 1]])
    assert pool(hidden, mask, "first").flatten().tolist() == [0, 6]
    assert pool(hidden, mask, "last").flatten().tolist() == [1, 7]
    assert pool(hidden, mask, "mean").flatten().tolist() == [0.5, 6.5]


def test_padding_without_a_mask_is_warned_of_once():
    made = model("bert")
    ids, mask = padded("right")
    with pytest.warns(UserWarning, match=r"padding token \(1\) but no attention_mask"):
        made(ids)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made(ids)
        model("bert")(ids, mask)
        model("bert")(TEXTS[0])


@pytest.mark.parametrize("name", ["bert", "llama"])
def test_opening_leaves_no_hooks_behind(name):
    made = model(name).eval()
    assert not any(module._forward_hooks for module in made.modules())
    with torch.no_grad():
        copied = pickle.loads(pickle.dumps(made))
        assert torch.equal(copied(TEXTS[0]).logits, made(TEXTS[0]).logits)
        states = made.backbone(TEXTS[0], output_hidden_states=True).hidden_states
    assert len(states) == made.backbone.config.num_hidden_layers + 1
