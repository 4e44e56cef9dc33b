"""A model that is run under exit rules: each setting is what `infer` answers, whatever the batches."""

import numpy as np
import pytest
import torch
import toys

from splitee._internal.errors import InputError
from splitee.data.rows import Rows
from splitee.elue.inferred import inferred
from splitee.models.early_exit import infer
from splitee.models.encode import encode, pad
from splitee.models.multi_exit import load_checkpoint
from splitee.policies.rules import AtExit, Confidence

TEXTS = [" ".join(toys.WORDS[i % 7 : i % 7 + 1 + i % 5]) for i in range(20)]
NAMES = ("LABEL_0", "LABEL_1")
LABEL = np.arange(20) % 2
ROWS = Rows("texts", (TEXTS,), LABEL, NAMES, [str(i) for i in range(20)], {"sha256": "of the texts"})
RULES = {"sure": Confidence(0.7), "second": AtExit(2)}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return toys.checkpoint(tmp_path_factory.mktemp("inferred") / "toy", exits=[2, 4])


def test_settings_are_what_the_model_answers(checkpoint):
    lines = []
    made = inferred(checkpoint, ROWS, RULES, "m", "sst-2", batch_size=6, report=lines.append)
    model, tokenizer = load_checkpoint(checkpoint), toys.tokenizer()
    assert made.facts["parameters"] == model.num_parameters()
    assert made.facts["data"] == ROWS.identity
    assert made.label.tolist() == LABEL.tolist()
    assert [line.split(":")[0] for line in lines] == ["sure", "second"]
    with torch.no_grad():
        for name, rule in RULES.items():
            alone = [infer(model, pad(encode(tokenizer, ([text],), 20), 1), rule) for text in TEXTS]
            one = made.settings[name]
            assert one.prediction.tolist() == [int(a.prediction[0]) for a in alone]
            assert one.exit_layer.tolist() == [model.exits[int(a.exit[0]) - 1] for a in alone]
    deeper = made.settings["sure"].exit_layer == 4
    assert made.settings["sure"].flops[deeper].min() > 0
    assert len(set(made.settings["second"].exit_layer)) == 1


def test_rows_and_model_must_go_with_the_task(checkpoint):
    with pytest.raises(InputError, match="sts-b"):
        inferred(checkpoint, ROWS, RULES, "m", "sts-b")
    named = Rows("named", (TEXTS,), LABEL, ("bad", "good"), ROWS.id, {})
    with pytest.raises(InputError, match="LABEL_0"):
        inferred(checkpoint, named, RULES, "m", "sst-2")
