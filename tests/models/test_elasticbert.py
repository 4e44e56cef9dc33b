"""ElasticBERT: its authors' checkpoints, written key by key; BERT's own states; static and dynamic use."""

import json

import commands
import pandas as pd
import pytest
import torch
import toys
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModel, BertConfig, BertModel

from splitee._internal.errors import InputError
from splitee.models.elasticbert import ElasticBertConfig, ElasticBertModel
from splitee.models.elasticbert_tuned import to_multi_exit
from splitee.models.multi_exit import MultiExitModel, load_checkpoint

NAMES = (
    *("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads"),
    *("intermediate_size", "max_position_embeddings"),
)
SIZES = {
    "toy": dict(zip(NAMES, (51, 16, 4, 2, 24, 40), strict=True)),
    "base": dict(zip(NAMES, (30522, 768, 12, 12, 3072, 512), strict=True)),
}
IDS = torch.tensor([[2, 7, 9, 3, 0], [2, 8, 3, 0, 0]])
MASK = (IDS != 0).long()


def layout(size: dict, poolers: list[int], classes: int | None, static: bool) -> dict[str, torch.Size]:
    """The keys of the authors' state dict (FACTS B), spelled out, with their shapes."""
    h, f = size["hidden_size"], size["intermediate_size"]
    norm = {"weight": (h,), "bias": (h,)}

    def linear(of: int, to: int) -> dict[str, tuple[int, ...]]:
        return {"weight": (to, of), "bias": (to,)}

    parts: dict[str, dict[str, tuple[int, ...]]] = {
        "elasticbert.embeddings.word_embeddings": {"weight": (size["vocab_size"], h)},
        "elasticbert.embeddings.position_embeddings": {"weight": (size["max_position_embeddings"], h)},
        "elasticbert.embeddings.token_type_embeddings": {"weight": (2, h)},
        "elasticbert.embeddings.LayerNorm": norm,
    }
    for i in range(size["num_hidden_layers"]):
        layer = f"elasticbert.encoder.layer.{i}"
        for name in ("query", "key", "value"):
            parts[f"{layer}.attention.self.{name}"] = linear(h, h)
        parts[f"{layer}.attention.output.dense"] = linear(h, h)
        parts[f"{layer}.attention.output.LayerNorm"] = norm
        parts[f"{layer}.intermediate.dense"] = linear(h, f)
        parts[f"{layer}.output.dense"] = linear(f, h)
        parts[f"{layer}.output.LayerNorm"] = norm
    for i in poolers:
        parts[f"elasticbert.encoder.pooler.{i}.dense"] = linear(h, h)
    if classes and static:
        parts["classifier"] = linear(h, classes)
    elif classes:
        for i in range(len(poolers)):
            parts[f"classifiers.{i}"] = linear(h, classes)
    return {f"{part}.{name}": shape for part, shapes in parts.items() for name, shape in shapes.items()}


def write(folder, size, *, poolers=None, classes=None, static=False, form="bin", **options):
    """A checkpoint as the authors' code writes it; return its tensors."""
    folder.mkdir(parents=True, exist_ok=True)
    poolers = list(range(size["num_hidden_layers"])) if poolers is None else poolers
    generator = torch.Generator().manual_seed(0)
    state = {}
    for key, shape in layout(size, poolers, classes, static).items():
        scale = 0.2 if size["hidden_size"] < 100 else 0.04
        state[key] = torch.randn(shape, generator=generator) * scale + (1.0 if "Norm.weight" in key else 0.0)
    state["elasticbert.embeddings.position_ids"] = torch.arange(size["max_position_embeddings"])[None]
    config = {
        "architectures": ["ElasticBertForMaskedLM"],
        "model_type": "elasticbert",
        "max_output_layers": size["num_hidden_layers"],
        "num_output_layers": 1 if static else len(poolers),
        "layer_norm_eps": 1e-12,
        "type_vocab_size": 2,
        **size,
        **options,
    }
    (folder / "config.json").write_text(json.dumps(config))
    if form == "bin":
        torch.save(state, folder / "pytorch_model.bin")
    else:
        save_file(state, folder / "model.safetensors")
    toys.tokenizer().save_pretrained(folder)
    return state


@pytest.mark.parametrize(
    ("size", "form"),
    [("toy", "bin"), ("toy", "safetensors"), pytest.param("base", "safetensors", marks=pytest.mark.slow)],
)
def test_states_are_those_of_transformers_own_bert(size, form, tmp_path):
    state = write(tmp_path / "elastic", SIZES[size], form=form)
    bert = BertModel(BertConfig(**SIZES[size]), add_pooling_layer=False).eval()
    own = {
        key.removeprefix("elasticbert."): values
        for key, values in state.items()
        if ".pooler." not in key and "position_ids" not in key
    }
    assert not bert.load_state_dict(own, strict=False).unexpected_keys
    model = MultiExitModel.from_backbone(tmp_path / "elastic", num_labels=3).eval()
    assert model.config.pooling == "first"
    with torch.no_grad():
        expected = bert(IDS, MASK, output_hidden_states=True).hidden_states[1:]
        cut = model.start(IDS, MASK)
        for layer, theirs in enumerate(expected, 1):
            cut = model.run_layers(cut, layer)
            torch.testing.assert_close(cut.hidden[MASK.bool()], theirs[MASK.bool()], rtol=1e-4, atol=1e-5)
    for i, head in enumerate(model.exit_heads):
        assert torch.equal(head.dense.weight, state[f"elasticbert.encoder.pooler.{i}.dense.weight"])
        assert torch.equal(head.dense.bias, state[f"elasticbert.encoder.pooler.{i}.dense.bias"])


def test_static_and_dynamic_use_from_one_checkpoint(tmp_path):
    state = write(tmp_path / "elastic", SIZES["toy"])
    dynamic = MultiExitModel.from_backbone(tmp_path / "elastic", num_labels=2).eval()
    for layers in range(1, 5):
        static = MultiExitModel.from_backbone(
            tmp_path / "elastic", num_labels=2, layers=layers, exits=[layers]
        ).eval()
        assert len(static.layers) == layers
        assert len(static.exit_heads) == 1
        pooler = state[f"elasticbert.encoder.pooler.{layers - 1}.dense.weight"]
        assert torch.equal(static.exit_heads[0].dense.weight, pooler)
        static.exit_heads[0].load_state_dict(dynamic.exit_heads[layers - 1].state_dict())
        with torch.no_grad():
            torch.testing.assert_close(
                static(IDS, MASK).logits[:, 0], dynamic(IDS, MASK).logits[:, layers - 1]
            )


@pytest.mark.parametrize("static", [False, True])
def test_fine_tuned_checkpoints_keep_their_classifiers(static, tmp_path):
    state = write(
        tmp_path / "tuned",
        SIZES["toy"],
        poolers=[3] if static else None,
        classes=3,
        static=static,
        id2label={0: "a", 1: "b", 2: "c"},
    )
    model = to_multi_exit(tmp_path / "tuned")
    assert model.exits == ((4,) if static else (1, 2, 3, 4))
    assert model.config.id2label == {0: "a", 1: "b", 2: "c"}
    with torch.no_grad():
        cut, logits = model.start(IDS, MASK), []
        for layer in range(1, 5):
            cut = model.run_layers(cut, layer)
            if layer not in model.exits:
                continue
            key = f"elasticbert.encoder.pooler.{layer - 1}.dense"
            pooled = torch.tanh(cut.hidden[:, 0] @ state[f"{key}.weight"].T + state[f"{key}.bias"])
            head = "classifier" if static else f"classifiers.{layer - 1}"
            logits.append(pooled @ state[f"{head}.weight"].T + state[f"{head}.bias"])
        expected = torch.stack(logits, 1)
        torch.testing.assert_close(model(IDS, MASK).logits, expected, rtol=1e-4, atol=1e-5)
        from transformers import AutoModelForSequenceClassification

        theirs = AutoModelForSequenceClassification.from_pretrained(tmp_path / "tuned").eval()
        torch.testing.assert_close(theirs(IDS, MASK).logits, expected, rtol=1e-4, atol=1e-5)
    model.save_pretrained(tmp_path / "ours")
    with torch.no_grad():
        torch.testing.assert_close(load_checkpoint(tmp_path / "ours")(IDS, MASK).logits, expected)


def test_what_it_writes_is_the_authors_layout(tmp_path):
    config = ElasticBertConfig(**SIZES["toy"], num_output_layers=2, max_output_layers=4)
    model = ElasticBertModel(config)
    keys = {f"elasticbert.{key}" for key in model.state_dict()}
    assert keys - {"elasticbert.embeddings.position_ids"} == set(layout(SIZES["toy"], [2, 3], None, False))
    model.save_pretrained(tmp_path)
    again = AutoModel.from_pretrained(tmp_path)
    assert type(again) is ElasticBertModel
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
    told = AutoConfig.from_pretrained(tmp_path)
    assert (told.num_output_layers, told.max_output_layers) == (2, 4)


def test_it_is_trained_by_its_name_like_any_backbone(tmp_path):
    size = SIZES["toy"] | {"vocab_size": len(toys.SPECIAL) + len(toys.WORDS)}
    write(tmp_path / "elastic", size, pad_token_id=1)
    frame = pd.DataFrame({"text": ["good", "bad", "fine w1", "dull w2"] * 4, "label": [1, 0] * 8})
    frame.to_csv(tmp_path / "texts.csv", index=False)
    ran = commands.splitee(
        *("train", "--backbone", tmp_path / "elastic", "--text", tmp_path / "texts.csv"),
        *(
            "--validation-rows",
            4,
            "--label-column",
            "label",
            "--out",
            tmp_path / "model",
            "--epochs",
            1,
            "--max-tokens",
            16,
        ),
    )
    assert ran.code == 0, ran
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert config["pooling"] == "first"
    assert config["backbone"]["model_type"] == "elasticbert"
    assert load_checkpoint(tmp_path / "model").exits == (1, 2, 3, 4)


@pytest.mark.parametrize(("poolers", "random"), [([0, 1, 2, 3], []), ([1, 3], [1, 2, 3]), ([2, 3], [1, 2])])
def test_poolers_that_the_configuration_leaves_out_are_restored_or_named(poolers, random, tmp_path, recwarn):
    state = write(tmp_path / "elastic", SIZES["toy"], poolers=poolers)
    settings = json.loads((tmp_path / "elastic" / "config.json").read_text()) | {"num_output_layers": 1}
    (tmp_path / "elastic" / "config.json").write_text(json.dumps(settings))
    model = MultiExitModel.from_backbone(tmp_path / "elastic", num_labels=2)
    for layer, head in zip(model.exits, model.exit_heads, strict=True):
        stored = state.get(f"elasticbert.encoder.pooler.{layer - 1}.dense.weight")
        same = stored is not None and torch.equal(head.dense.weight, stored)
        assert same == (layer not in random), layer
    told = [str(one.message) for one in recwarn if "no pretrained pooler" in str(one.message)]
    assert len(told) == bool(random)
    if random:
        assert f"at layers {', '.join(map(str, random))}:" in told[0]


def test_damaged_checkpoints(tmp_path):
    state = write(tmp_path / "elastic", SIZES["toy"])
    state.pop("elasticbert.encoder.pooler.2.dense.bias")
    torch.save(state, tmp_path / "elastic" / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"pooler\.2\.dense\.bias"):
        MultiExitModel.from_backbone(tmp_path / "elastic", num_labels=2)
    with pytest.raises(InputError, match="classifier"):
        to_multi_exit(tmp_path / "elastic")
    for content in ("version https://git-lfs.github.com/spec/v1\noid sha256:0\n", ""):
        (tmp_path / "elastic" / "pytorch_model.bin").write_text(content)
        with pytest.raises(InputError, match="no encoder could be loaded"):
            MultiExitModel.from_backbone(tmp_path / "elastic", num_labels=2)
    with pytest.raises(InputError, match="no fine-tuned ElasticBERT"):
        to_multi_exit(tmp_path / "nothing")
