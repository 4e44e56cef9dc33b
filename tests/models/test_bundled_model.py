"""The checkpoint that comes with splitee: small, with its tokenizer, and run where none is named."""

import json

import commands
import numpy as np
import pandas as pd
import pytest
import toys  # noqa: F401  # makes transformers quiet, before anything imports it
from safetensors.torch import load_file

import splitee
from splitee.models.checkpoints import BUNDLED, find_checkpoint, parameters_of
from splitee.models.encode import load_tokenizer
from splitee.models.multi_exit import load_checkpoint
from splitee.trace import load_trace

PLAIN = {
    "a wonderful, moving film": "positive",
    "I loved every minute of it": "positive",
    "brilliantly acted and great fun": "positive",
    "a dull and lifeless mess": "negative",
    "boring from start to finish": "negative",
    "one of the worst movies of the year": "negative",
}


def test_it_is_small_and_says_where_it_is_from():
    folder = find_checkpoint(BUNDLED)
    assert sum(file.stat().st_size for file in folder.iterdir()) < 8e6
    weights = load_file(folder / "model.safetensors")
    assert {str(values.dtype) for values in weights.values()} == {"torch.float16"}
    card = (folder / "README.md").read_text(encoding="utf-8")
    for word in ("all-MiniLM-L6-v2", "Apache License 2.0", "modified"):
        assert word in card


def test_it_is_run_in_float32():
    model = load_checkpoint(BUNDLED)
    assert {str(values.dtype) for values in model.parameters()} == {"torch.float32"}
    assert model.num_parameters() == parameters_of(BUNDLED)
    assert load_tokenizer(BUNDLED).pad_token_id is not None


def test_ones_own_text_at_once(tmp_path):
    """No checkpoint, no hub: the texts are all there is."""
    frame = pd.DataFrame({"text": list(PLAIN), "label": list(PLAIN.values())})
    frame.to_csv(tmp_path / "mine.csv", index=False)
    out = tmp_path / "mine.parquet"
    options = ("--text", tmp_path / "mine.csv", "--label-column", "label", "--out", out, "--json")
    ran = commands.splitee("precompute", *options, "--class-names", "negative,positive")
    assert ran.code == 0, ran
    assert json.loads(ran.out)["layers"] == 6
    trace = load_trace(out)
    assert trace.recommended_threshold is not None
    assert (trace.prediction[:, -1] == trace.label).mean() >= 5 / 6
    assert np.isfinite(splitee.replay(trace, splitee.SplitEE(0.8), repeats=2).summary()["cost"]).all()


@pytest.mark.parametrize("command", [("elue", "flops", BUNDLED), ("precompute", "--help")])
def test_it_is_known_by_name(command):
    ran = commands.splitee(*command)
    assert ran.code == 0, ran
    assert "sst2_slender" in ran.out


def test_texts_are_not_written_over(tmp_path):
    texts = tmp_path / "reviews.csv"
    texts.write_text("text\na wonderful film\n")
    ran = commands.splitee("precompute", "--text", str(texts), "--out", str(texts), "--overwrite")
    assert ran.code == 2
    assert "is an input file" in ran.err
    assert texts.read_text() == "text\na wonderful film\n"
    assert [path.name for path in tmp_path.iterdir()] == ["reviews.csv"]
