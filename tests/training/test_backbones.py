"""From a backbone of each kind to a trace: trained, stored, loaded, precomputed, and run with early exit."""

import commands
import numpy as np
import pandas as pd
import pytest
import toys
from backbones import DECODERS, WORK, config
from transformers import AutoModel

from splitee.models.early_exit import infer
from splitee.models.encode import encode, load_tokenizer, pad
from splitee.models.multi_exit import load_checkpoint
from splitee.policies.rules import AtExit
from splitee.trace import load_trace


@pytest.mark.slow
@pytest.mark.parametrize("name", ["deberta-v2", "modernbert", "albert", "llama", "gpt2"])
def test_from_a_backbone_to_a_trace(name, tmp_path):
    AutoModel.from_config(config(name, WORK[name])).save_pretrained(tmp_path / "toy")
    toys.tokenizer().save_pretrained(tmp_path / "toy")
    texts = [f"{'good' if i % 2 else 'bad'} " + "w3 " * (i % 9) for i in range(24)]
    pd.DataFrame({"text": texts, "label": [i % 2 for i in range(24)]}).to_csv(tmp_path / "t.csv", index=False)
    ran = commands.splitee(
        *("train", "--backbone", tmp_path / "toy", "--text", tmp_path / "t.csv", "--label-column", "label"),
        *("--validation-text", tmp_path / "t.csv", "--epochs", 1, "--max-tokens", 16, "--batch-size", 8),
        *("--out", tmp_path / "model"),
    )
    assert ran.code == 0, ran
    ran = commands.splitee(
        *("precompute", tmp_path / "model", "--text", tmp_path / "t.csv", "--label-column", "label"),
        *("--out", tmp_path / "t.parquet", "--logits"),
    )
    assert ran.code == 0, ran
    trace, model = load_trace(tmp_path / "t.parquet"), load_checkpoint(tmp_path / "model")
    assert model.config.pooling == ("last" if name in DECODERS else "mean")
    tokenizer = load_tokenizer(tmp_path / "model")
    batch = pad(encode(tokenizer, [texts], 16), tokenizer.pad_token_id)
    for exit_ in range(1, trace.layers + 1):
        answers = infer(model, batch, AtExit(exit_))
        np.testing.assert_allclose(answers.logits, trace.logits[:, exit_ - 1], atol=2e-3)
