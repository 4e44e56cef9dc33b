"""The device's half answers as the whole model does, and holds no more than its layers."""

from pathlib import Path

import backbones
import numpy as np
import pytest
import torch
import toys

from splitee._internal.errors import InputError
from splitee.models.half import half_facts, load_half, open_torch
from splitee.models.multi_exit import load_checkpoint


def saved(folder: Path, name: str, **options: object) -> Path:
    backbones.model(name, **options).save_pretrained(folder)
    toys.tokenizer().save_pretrained(folder)
    return folder


def agrees(folder: Path, held: int) -> None:
    """Its exits say what the whole model's say, and its state goes on to the whole model's answer."""
    whole, half = load_checkpoint(folder), load_half(folder, held)
    ids = torch.tensor([[5, 9, 7, 12, 6]])
    with torch.inference_mode():
        ours, theirs = half.start(ids), whole.start(ids)
        for layer in whole.exits[:held]:
            ours, theirs = half.run_layers(ours, layer), whole.run_layers(theirs, layer)
            assert np.allclose(half.exit_logits(ours), whole.exit_logits(theirs), atol=1e-5)
        assert np.allclose(ours.hidden, theirs.hidden, atol=1e-5)
    assert half.exits == whole.exits[:held]
    if held < len(whole.exits):
        assert half.num_parameters() < whole.num_parameters()


@pytest.mark.parametrize("kind", toys.KINDS)
def test_a_half_is_the_first_layers(kind: str, tmp_path: Path) -> None:
    agrees(toys.checkpoint(tmp_path / "model", kind), 2)


@pytest.mark.parametrize("held", [1, 2])
def test_exits_at_some_layers_and_of_several_states(held: int, tmp_path: Path) -> None:
    options = {"exits": [2, 4], "exit_states": 3, "confidence": "learned", "exit_join": "mean"}
    agrees(toys.checkpoint(tmp_path / "model", **options), held)


@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt2", "modernbert", "albert"])
def test_what_follows_the_last_layer_is_not_applied_before_it(name: str, tmp_path: Path) -> None:
    agrees(saved(tmp_path / "model", name), 2)


def test_the_bundled_model(tmp_path: Path) -> None:
    half = open_torch("sst2_slender", "half")
    assert half.facts["device_exits"] == 3
    assert half.facts["exits"] == [1, 2, 3, 4, 5, 6]
    assert half.facts["classes"] == ["negative", "positive"]
    place = half.advance(half.encode(["a joy to watch"]), 1)
    assert half.outputs(half.advance(place, 3))[0].argmax() == 1


def test_what_cannot_be_halved(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="7 is not from 1 to 6"):
        load_half("sst2_slender", 7)
    with pytest.raises(InputError, match="share weights in groups"):
        load_half(saved(tmp_path / "albert", "albert groups"), 1)
    with pytest.raises(InputError, match="hold 2 layers"):
        load_half(saved(tmp_path / "deberta", "deberta-v2 convolution"), 1)
    scores = toys.checkpoint(tmp_path / "scores", classes=1, score_range=(0, 5))
    with pytest.raises(InputError, match="predicts scores"):
        half_facts(scores, load_half(scores, 1))
