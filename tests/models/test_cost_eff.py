"""COST-EFF's own checkpoints, read by `splitee.cli.convert`: their forward pass, spelled out, beside ours."""

import json

import commands
import pytest
import torch
from cost_eff_layout import write
from torch import Tensor
from torch.nn import functional

from splitee._internal.errors import InputError
from splitee.models.cost_eff import to_multi_exit
from splitee.models.multi_exit import load_checkpoint

IDS = torch.randint(5, 40, (3, 9), generator=torch.Generator().manual_seed(3))
CASES = [
    {},
    {"emb_hidden_dim": -1, "pooling_mode": "avg"},
    {"last_n_hidden": 3},
    {"last_n_hidden": 2, "hidden_mode": "avg", "id2label": {"0": "a", "1": "b", "2": "c"}},
    {"pooler_dense": True, "last_n_hidden": 2},
    {
        "num_attention_heads": 4,
        "prun_hidden_size": 16,
        "head_to_distill": [[0, 1, 2, 3]] * 12,
    },  # an assistant
]


def by_hand(config: dict, w: dict[str, Tensor]) -> Tensor:
    """The logits of every exit, as their code computes them, without padding."""
    hidden, depth, heads = config["hidden_size"], config["num_hidden_layers"], config["num_attention_heads"]
    size = config["prun_hidden_size"] // heads

    def linear(name: str, x: Tensor) -> Tensor:
        return functional.linear(x, w[f"{name}.weight"], w.get(f"{name}.bias"))

    def norm(name: str, x: Tensor) -> Tensor:
        return functional.layer_norm(x, (hidden,), w[f"{name}.weight"], w[f"{name}.bias"], 1e-12)

    at = "bert.embeddings"
    if config["emb_hidden_dim"] == -1:
        x = w[f"{at}.word_embeddings.weight"][IDS]
    else:
        x = linear(f"{at}.word_embeddings2", w[f"{at}.word_embeddings1.weight"][IDS])
    x = x + w[f"{at}.position_embeddings.weight"][: IDS.shape[1]] + w[f"{at}.token_type_embeddings.weight"][0]
    states, logits = [norm(f"{at}.LayerNorm", x)], []
    for i in range(depth):
        x, at = states[-1], f"bert.encoder.layer.{i}"
        context = []
        q, k, v = (linear(f"{at}.attention.self.{name}", x) for name in ("query", "key", "value"))
        for head in range(heads):
            part = slice(head * size, (head + 1) * size)
            attention = (q[..., part] @ k[..., part].transpose(1, 2) / size**0.5).softmax(-1)
            context.append(attention @ v[..., part])
        out = linear(f"{at}.attention.output.dense", torch.cat(context, -1))
        x = norm(f"{at}.attention.output.LayerNorm", out + x)
        inner = functional.gelu(linear(f"{at}.intermediate.dense", x))
        states.append(norm(f"{at}.output.LayerNorm", linear(f"{at}.output.dense", inner) + x))
        read = [states[-1]] if config["pooler_dense"] else states[-config["last_n_hidden"] :]
        joined = torch.cat(read, -1) if config["hidden_mode"] == "concat" else sum(read) / len(read)
        pooled = joined.mean(1) if config["pooling_mode"] == "avg" else joined[:, 0]
        if config["pooler_dense"]:
            pooled = linear(
                f"bert.encoder.highway.{i}.pooler.dense" if i < depth - 1 else "bert.pooler.dense", pooled
            )
        exit_ = f"bert.encoder.highway.{i}.classifier" if i < depth - 1 else "classifier"
        logits.append(linear(exit_, torch.tanh(pooled)))
    return torch.stack(logits, 1)


@pytest.mark.parametrize("change", CASES)
def test_a_converted_checkpoint_gives_their_logits(change, tmp_path):
    config, weights = write(tmp_path, change)
    model = to_multi_exit(tmp_path)
    with torch.no_grad():
        torch.testing.assert_close(model(IDS).logits, by_hand(config, weights), rtol=1e-4, atol=1e-4)
    assert model.backbone.config.num_attention_heads == 4
    assert model.backbone.config.slender["heads"] == config["head_to_distill"][:3]
    assert sum(p.numel() for p in model.parameters()) == sum(one.numel() for one in weights.values())


def test_the_command_converts_and_the_result_precomputes(tmp_path):
    config, weights = write(tmp_path / "theirs", {"last_n_hidden": 2}, safe=True)
    out = tmp_path / "ours"
    words = ("--class-names", "bad,good", "--max-tokens", 20)
    ran = commands.splitee("convert", tmp_path / "theirs", "--out", out, *words)
    assert ran.code == 0, ran
    assert "3 exits" in ran.out
    model = load_checkpoint(out)
    with torch.no_grad():
        torch.testing.assert_close(model(IDS).logits, by_hand(config, weights), rtol=1e-4, atol=1e-4)
    assert (model.config.class_names, model.config.max_tokens) == (["bad", "good"], 20)
    assert (out / "fingerprints.json").is_file()
    (tmp_path / "texts.csv").write_text("text\ngood w1\nbad w2\n")
    ran = commands.splitee(
        "precompute", out, "--text", tmp_path / "texts.csv", "--out", tmp_path / "t.parquet"
    )
    assert ran.code == 0, ran
    assert (
        "exists already" in commands.splitee("convert", tmp_path / "theirs", "--out", out, *words).complaint
    )
    assert commands.splitee("convert", tmp_path / "theirs", "--out", out, *words, "--overwrite").code == 0


@pytest.mark.parametrize(
    ("damage", "word"),
    [
        (lambda config: config.pop("prun_hidden_size"), "neither COST-EFF's nor a fine-tuned ElasticBERT"),
        (lambda config: config.update(prun_hidden_size=9), "head_to_distill does not name 2 heads"),
        (lambda config: config.update(head_to_distill=[[0], [1], [2]]), "head_to_distill does not name 2"),
        (lambda config: config.update(head_to_distill=[[0, 9]] * 3), "give some of 0 to 3"),
        (lambda config: config.update(prun_intermediate_size=11), "do not fit config.json"),
        (lambda config: config.update(num_hidden_layers=2), "weights of an unknown name"),
        (lambda config: config.update(hidden_mode="sum"), "config.json is damaged"),
        (lambda config: config.update(prun_intermediate_size="x"), "config.json is damaged"),
        (lambda config: config.update(vocab_size="x"), "config.json is damaged"),
        (lambda config: config.update(num_hidden_layers=10**9), "config.json is damaged"),
        (lambda config: config.update(last_n_hidden=9), "give 1 to 4"),
        (lambda config: config.update(id2label={"0": "score"}), "regression model"),
    ],
)
def test_checkpoints_that_cannot_be_converted(damage, word, tmp_path):
    config, _ = write(tmp_path / "theirs", {})
    damage(config)
    (tmp_path / "theirs" / "config.json").write_text(json.dumps(config))
    ran = commands.splitee("convert", tmp_path / "theirs", "--out", tmp_path / "ours")
    assert word in ran.complaint
    assert [path.name for path in tmp_path.iterdir()] == ["theirs"]


def test_damaged_weights_and_names_of_classes(tmp_path):
    write(tmp_path / "theirs", {})
    ran = commands.splitee("convert", tmp_path / "theirs", "--out", tmp_path / "o", "--class-names", "a,b,c")
    assert "--class-names has 3 names" in ran.complaint
    weights = tmp_path / "theirs" / "pytorch_model.bin"
    weights.write_bytes(weights.read_bytes()[:500])
    with pytest.raises(InputError, match="weights cannot be read"):
        to_multi_exit(tmp_path / "theirs")
    weights.unlink()
    with pytest.raises(InputError, match=r"pytorch_model\.bin or model\.safetensors is missing"):
        to_multi_exit(tmp_path / "theirs")
    with pytest.raises(InputError, match="no checkpoint there"):
        to_multi_exit(tmp_path)
