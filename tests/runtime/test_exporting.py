"""A half that was exported answers as the checkpoint does; one that does not is not written."""

import json
from pathlib import Path

import backbones
import numpy as np
import pytest
import torch
import toys
from shapes import CONFIGS

from splitee._internal.errors import InputError
from splitee.models.config import StagedConfig
from splitee.models.half import TextHalf, open_torch
from splitee.models.onnx import half_files
from splitee.models.staged import StagedModel
from splitee.runtime import exporting
from splitee.runtime.exporting import compare, export_half
from splitee.runtime.halves import open_half, said
from splitee.runtime.interfaces import interface_of
from splitee.runtime.onnx_half import TextOnnx, open_onnx


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toys.checkpoint(tmp_path_factory.mktemp("toy") / "model")


@pytest.fixture(scope="module")
def half(checkpoint: Path) -> Path:
    export_half(checkpoint, checkpoint.parent / "half", 2)
    return checkpoint.parent / "half"


def test_decisions_are_those_of_torch(checkpoint: Path, half: Path) -> None:
    ours, theirs = open_half(half), open_half(checkpoint, 2)
    assert isinstance(ours, TextOnnx)
    assert isinstance(theirs, TextHalf)
    assert interface_of(ours.facts) == interface_of(theirs.facts)
    rng = np.random.default_rng(1)
    for _ in range(30):
        text = [" ".join(rng.choice(toys.WORDS, rng.integers(1, 30))) for _ in range(rng.integers(1, 3))]
        encoded = ours.encode(text)
        assert encoded == {name: list(values) for name, values in theirs.encode(text).items()}
        for exit_ in (1, 2):
            a, b = (said(one, one.advance(one.encode(text), exit_)) for one in (ours, theirs))
            assert a.prediction == b.prediction
            assert abs(a.confidence - b.confidence) < 1e-4


def test_a_place_goes_on_from_where_it_is(half: Path) -> None:
    model = open_half(half)
    encoded = model.encode(["good w1 w2"])
    at_once, in_steps = model.advance(encoded, 2), model.advance(model.advance(encoded, 1), 2)
    assert np.array_equal(model.state(at_once)[0], model.state(in_steps)[0])


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("mpnet", {"exit_states": 2}),
        pytest.param("roberta", {"exits": [2, 4], "pooling": "first"}, marks=pytest.mark.slow),
        pytest.param("distilbert", {"confidence": "learned"}, marks=pytest.mark.slow),
    ],
)
def test_masks_position_biases_and_several_states(kind: str, options: dict, tmp_path: Path) -> None:
    done = export_half(toys.checkpoint(tmp_path / "model", kind, **options), tmp_path / "half", 2)
    assert done["difference"] < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in backbones.WORK if name != "gpt2"])
def test_every_kind_of_backbone(name: str, tmp_path: Path) -> None:
    backbones.model(name, max_tokens=20).save_pretrained(tmp_path / "model")
    toys.tokenizer().save_pretrained(tmp_path / "model")
    done = export_half(tmp_path / "model", tmp_path / "half", 3 if name == "albert groups" else 2)
    assert done["difference"] < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("kind", CONFIGS)
def test_every_kind_of_vision_backbone(kind: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = StagedConfig(CONFIGS[kind].to_dict(), num_labels=3, image_size=32)
    StagedModel(config).eval().save_pretrained(tmp_path / "model")
    assert export_half(tmp_path / "model", tmp_path / "half")["difference"] < 1e-4


def test_token_types_are_given_where_the_tokenizer_gives_them(checkpoint: Path, tmp_path: Path) -> None:
    files = half_files(checkpoint, 1)
    files["half.json"] = files["half.json"].replace(b'"gives_types": true', b'"gives_types": false')
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with_types, without = open_onnx(tmp_path), open_half(checkpoint, 1)
    assert list(with_types.encode(["good", "bad"])) == ["input_ids"]
    for text in (["good w1"], ["dull"]):
        a, b = (one.outputs(one.advance(one.encode(text), 1))[0] for one in (with_types, without))
        assert np.allclose(a, b, atol=1e-4)


@pytest.mark.slow
def test_positions_that_a_graph_cannot_hold(tmp_path: Path) -> None:
    backbones.model("gpt2", max_tokens=20).save_pretrained(tmp_path / "model")
    toys.tokenizer().save_pretrained(tmp_path / "model")
    with pytest.raises(InputError, match="this model cannot be exported"):
        export_half(tmp_path / "model", tmp_path / "half", 2)
    assert not (tmp_path / "half").exists()


def test_an_export_that_differs_is_not_written(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "TOLERANCE", 0.0)
    with pytest.raises(InputError, match="as ONNX differs from torch"):
        export_half(checkpoint, tmp_path / "half", 1)
    assert not (tmp_path / "half").exists()


def test_a_tokenizer_that_reads_otherwise_is_found(checkpoint: Path, half: Path) -> None:
    found = open_onnx(half)
    found._tokenizer.enable_truncation(3)
    with pytest.raises(InputError, match="reads 'Dull; far too long!' otherwise"):
        compare(found, open_torch(checkpoint, 2), [["Dull; far too long!"]])


def test_a_folder_is_checked_before_it_is_used(checkpoint: Path, half: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds 2 exits"):
        open_half(half, 3)
    with pytest.raises(FileExistsError):
        export_half(checkpoint, half, 2)
    files = half_files(checkpoint, 1)
    assert sorted(files) == ["exit_1.onnx", "half.json", "layers_1.onnx", "tokenizer.json"]
    manifest = json.loads(files["half.json"])
    for i, (name, change, line) in enumerate(
        (
            ("half.json", json.dumps({**manifest, "splitee_half": 2}), "no manifest"),
            ("half.json", json.dumps({**manifest, "tokens": "9"}), "tokens is '9'"),
            ("layers_1.onnx", "not a graph", "cannot be opened by ONNX Runtime"),
        )
    ):
        folder = tmp_path / str(i)
        folder.mkdir()
        for file, content in files.items():
            (folder / file).write_bytes(content)
        (folder / name).write_text(change)
        with pytest.raises(InputError, match=line):
            open_half(folder)
    (half / "exit_1.onnx").write_bytes(b"damaged")
    with pytest.raises(InputError, match="does not match its checksum"):
        open_half(half)


@pytest.mark.slow
def test_the_bundled_model_on_its_texts(tmp_path: Path) -> None:
    """The same classes on random texts, and confidences within 1e-4; experiments/live has real ones."""
    export_half("sst2_slender", tmp_path / "half")
    ours, theirs = open_half(tmp_path / "half"), open_half("sst2_slender")
    words = [word for word in ours._tokenizer.get_vocab() if word.isalpha()]
    rng = np.random.default_rng(0)
    for _ in range(300):
        text = " ".join(rng.choice(words, rng.integers(1, 60)))
        a: object = ours.encode([text])
        b: object = theirs.encode([text])
        for exit_ in range(1, 7):
            a, b = ours.advance(a, exit_), theirs.advance(b, exit_)
            one, other = said(ours, a), said(theirs, b)
            assert one.prediction == other.prediction
            assert abs(one.confidence - other.confidence) < 1e-4
