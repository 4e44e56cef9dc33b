"""Networks of stages: cut, trained, precomputed and early-exited by the same code as encoders."""

from pathlib import Path

import commands
import numpy as np
import photos
import pytest
import torch
from torch import nn

import splitee
from splitee._internal.errors import InputError
from splitee.data.measures import noise, sharpness
from splitee.data.pictures import pixels
from splitee.models.config import STAGE_POOLINGS, StagedConfig
from splitee.models.early_exit import infer
from splitee.models.flops import count_flops
from splitee.models.inputs import ImageInputs, TextInputs, load_inputs
from splitee.models.multi_exit import load_checkpoint, load_encoder
from splitee.models.network import ExitNetwork
from splitee.models.precompute import compute_trace, precompute
from splitee.models.staged import StagedModel, StageHead, pool_state
from splitee.policies.rules import AtExit, Confidence
from splitee.system.codec import as_rows
from splitee.trace import load_trace
from splitee.training.finetune import Recipe, finetune

PIXELS = torch.rand(5, 3, 12, 12, generator=torch.Generator().manual_seed(2))


def by_hand(model: StagedModel, pixels: torch.Tensor) -> torch.Tensor:
    """Logits of every exit, image by image, written out."""
    rows = []
    for image in pixels:
        hidden, logits = image[None], []
        for number, stage in enumerate(model.stages, 1):
            hidden = stage(hidden)
            if number in model.exits:
                head = model.exit_heads[model.exits.index(number)]
                features = torch.cat([hidden.mean((2, 3)), hidden.amax((2, 3))], 1)
                logits.append(features @ head.classifier.weight.T + head.classifier.bias)
        rows.append(torch.stack(logits, 1))
    return torch.cat(rows)


@torch.no_grad()
def test_every_exit_is_what_it_says() -> None:
    model = photos.model(exits=[1, 3])
    assert isinstance(model, ExitNetwork)
    assert model.exits == (1, 3)
    expected = by_hand(model, PIXELS)
    assert torch.allclose(model(PIXELS).logits, expected, atol=1e-4)
    cut = model.start(PIXELS)
    assert torch.allclose(model.exit_logits(cut), expected[:, 0], atol=1e-4)
    part = model.run_layers(cut.take(torch.tensor([4, 1])), 3)  # after others have exited
    assert torch.allclose(model.exit_logits(part), expected[[4, 1], 1], atol=1e-4)
    with pytest.raises(InputError, match="layer 2 has no exit"):
        model.exit_logits(model.run_layers(cut, 2))
    with pytest.raises(InputError, match="not between"):
        model.run_layers(part, 2)
    with pytest.raises(InputError, match=r"the model takes \(3, 12, 12\)"):
        model(torch.rand(1, 3, 8, 8))


def test_states_are_measured_from_the_tensors() -> None:
    model = photos.model()
    assert [tuple(shape) for shape in model.shapes] == [(6, 6, 6), (8, 6, 6), (12, 3, 3)]
    assert model.state_sizes(12) == [(36, 6), (36, 8), (9, 12)]
    cut = model.run_layers(model.start(PIXELS), 2)
    rows = as_rows(cut.hidden)
    assert rows.shape == (5, 36, 8)
    assert torch.equal(rows[1, 7], cut.hidden[1, :, 1, 1])  # position 7 of a map of 6 columns


def test_flops_are_those_of_convolutions() -> None:
    counted = count_flops(photos.model(), 12)
    by_formula = [2 * 36 * 27 * 6, 2 * 36 * 54 * 8, 2 * 9 * 72 * 12]  # places × inputs × outputs
    assert counted == {"pixels": 12, "layers": by_formula, "exits": [2 * 2 * w * 3 for w in (6, 8, 12)]}


@pytest.mark.parametrize("shape", [(3, 5), (3, 7, 5), (3, 5, 6, 4)])
def test_pooling(shape: tuple[int, ...]) -> None:
    hidden = torch.rand(shape)
    places = {2: lambda: hidden[:, None], 3: lambda: hidden, 4: lambda: hidden.flatten(2).mT}[len(shape)]()
    assert torch.allclose(pool_state(hidden, "avg"), places.mean(1))
    assert torch.equal(pool_state(hidden, "max"), places.amax(1))
    assert torch.equal(pool_state(hidden, "avg+max")[:, 5:], places.amax(1))
    grid = pool_state(hidden, "grid+max")
    assert grid.shape == (3, 50)
    if len(shape) == 4:  # fields of 2 × 2 places: rows 0–1, 2–3, 4–5, columns 0–1, 1–2, 2–3
        assert torch.allclose(grid[:, 1], hidden[:, 0, :2, 1:3].mean((1, 2)))
    quarters = pool_state(hidden, "grid2")
    assert quarters.shape == (3, 20)
    if len(shape) == 4:  # fields of 3 × 2 places
        assert torch.allclose(quarters[:, 1], hidden[:, 0, :3, 2:].mean((1, 2)))
    for pooling in STAGE_POOLINGS:
        assert StageHead(5, 2, pooling)(hidden).shape == (3, 2)


@pytest.mark.parametrize(
    ("stages", "words"),
    [
        ([nn.Conv2d(3, 4, 3), nn.Conv2d(5, 4, 3)], "stage 2 (Conv2d) does not take the state of stage 1"),
        ([nn.Linear(5, 4)], "stage 1 (Linear) does not take an image"),
        ([nn.Flatten(0)], "for an image: give (batch"),
        ([nn.Conv2d(3, 4, 3), nn.LSTM(10, 4)], "does not take|instead of one tensor"),
        ([nn.Sequential(nn.Flatten(1), nn.LSTM(432, 4))], "returns tuple instead of one tensor"),
        ([], "there are no stages"),
        ([nn.Conv2d(3, 4, 3), nn.Softmax(0)], "other images of the batch"),
    ],
)
def test_stages_that_do_not_compose(stages: list[nn.Module], words: str) -> None:
    with pytest.raises(InputError) as found:
        StagedModel(StagedConfig(num_labels=2, image_size=12), stages)
    assert any(word in str(found.value) for word in words.split("|"))
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"exits": [1, 2]}, "with 3 among them"),
        ({"pooling": "sum"}, "choose one of avg"),
        ({"pooling": ["avg", "max"]}, "pooling names 2 exits"),
        ({"num_labels": 1}, "at least two classes"),
        ({"image_size": 0}, "image_size"),
        ({"image_std": [1.0, 0.0, 1.0]}, "above 0"),
        ({"image_mean": [1.0]}, "one value per channel"),
        ({"confidence": "learned"}, "softmax only"),
    ],
)
def test_bad_options(options: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        photos.model(**options)
    with pytest.raises(InputError, match="no stages are called 'tow'"):
        StagedModel(StagedConfig({"stages": "tow"}, num_labels=2))


def test_given_stages_keep_their_weights() -> None:
    stages = photos.stages()
    kept = [values.clone() for stage in stages for values in stage.state_dict().values()]
    model = StagedModel(StagedConfig(num_labels=2, image_size=12), stages)
    assert all(map(torch.equal, kept, model.stages.state_dict().values()))
    model.init_weights()
    assert all(map(torch.equal, kept, model.stages.state_dict().values()))


def test_custom_heads() -> None:
    class Middle(nn.Module):
        def forward(self, hidden: torch.Tensor) -> torch.Tensor:
            return hidden[:, :3, 1, 1]

    config = StagedConfig(num_labels=3, image_size=12)
    model = StagedModel(config, photos.stages(), {3: Middle()}).eval()
    assert torch.equal(
        model(PIXELS).logits[:, 2], model.run_layers(model.start(PIXELS), 3).hidden[:, :3, 1, 1]
    )
    with pytest.raises(InputError, match="stage 4, which has no exit"):
        StagedModel(config, photos.stages(), {4: Middle()})


def test_a_checkpoint_is_the_model(tmp_path: Path) -> None:
    model = photos.model(pooling=["avg", "grid+max", "max"])
    model.save_pretrained(tmp_path / "toy")
    loaded = load_checkpoint(tmp_path / "toy")
    assert isinstance(loaded, StagedModel)
    assert torch.allclose(loaded(PIXELS).logits, model(PIXELS).logits, atol=1e-5)
    assert isinstance(load_inputs(tmp_path / "toy", loaded), ImageInputs)
    (tmp_path / "toy" / "config.json").write_text(
        (tmp_path / "toy" / "config.json").read_text().replace('"image_size": 12', '"image_size": 999999')
    )
    with pytest.raises(InputError, match="image_size"):
        load_checkpoint(tmp_path / "toy")


def test_cascades_of_the_trace_are_early_exit(tmp_path: Path) -> None:
    """For every distortion: the trace of `precompute`, replayed, answers as `infer` on the model."""
    place = photos.checkpoint(tmp_path / "toy")
    model, images = load_checkpoint(place), photos.images(24)
    for name in ("clean", "blur1", "noise2", "jpeg3", "brightness3", "resolution2"):
        stream = images.distorted(name, size=16)
        trace = precompute(place, stream, tmp_path / f"{name}.parquet")
        again = precompute(place, stream, tmp_path / "again.parquet", overwrite=True, name=name)
        assert trace.fingerprint == again.fingerprint
        assert trace.input_bytes.tolist() == [len(one) for one in stream.data]
        seen = [pixels(one, model.config.image_size) for one in stream.data]
        assert np.allclose(trace.sharpness, [sharpness(one) for one in seen])
        assert np.allclose(trace.noise, [noise(one) for one in seen])
        assert trace.manifest["hidden_state_bytes"]["by_exit_shape"] == [[36, 6], [36, 8], [9, 12]]
        inputs = ImageInputs(model.config)
        batch = inputs.batch(inputs.encode(stream))
        for alpha in (0.4, 0.6, 0.9):
            answers = infer(model, batch, Confidence(alpha))
            result = splitee.replay(trace, splitee.ElasticBERT(alpha), repeats=1, orders=[range(24)])
            assert result.split[0].tolist() == answers.exit.tolist()
            chosen = trace.prediction[np.arange(24), answers.exit - 1]
            assert chosen.tolist() == answers.prediction.tolist()
    assert infer(model, {"pixel_values": PIXELS}, AtExit(2)).exit.tolist() == [2] * 5
    with pytest.raises(InputError, match="no samples"):
        infer(model, {"pixel_values": PIXELS[:0]}, AtExit(2))


def test_training_is_that_of_encoders(tmp_path: Path) -> None:
    images = photos.images(24)
    before = photos.model()
    kept = {name: values.clone() for name, values in before.named_parameters()}
    recipe = Recipe(epochs=2, batch_size=8, learning_rate=1e-3, objective="joint")
    trained = finetune(before, images, images, tmp_path / "out", recipe)
    changed = dict(trained.named_parameters())
    assert not any(
        torch.equal(values, changed[name].cpu()) for name, values in kept.items() if "weight" in name
    )
    loaded = load_checkpoint(tmp_path / "out")
    assert loaded.config.recommended_threshold == trained.config.recommended_threshold
    assert load_trace(tmp_path / "out" / "validation.parquet").samples == 24
    with pytest.raises(InputError, match="3 classes, the data 2"):
        finetune(
            photos.model(), photos.images(8, classes=2), photos.images(8, classes=2), tmp_path / "b", recipe
        )


def test_texts_and_images_are_not_mixed_up() -> None:
    import toys

    model = toys.model()
    with pytest.raises(InputError, match="the model reads texts"):
        TextInputs(toys.tokenizer(), model).encode(photos.images())
    rows = splitee.data.rows.Rows("texts", (["good"],), None, None, ["0"], {})
    with pytest.raises(InputError, match="the model reads images"):
        compute_trace(photos.model(), ImageInputs(photos.model().config), rows)


def test_the_command(tmp_path: Path) -> None:
    """`splitee precompute --images`, with a vision backbone that needs nothing registered."""
    from transformers import ResNetConfig

    config = ResNetConfig(embedding_size=4, hidden_sizes=[4, 6], depths=[1, 1], layer_type="basic").to_dict()
    names = {0: "cat", 1: "dog"}
    made = StagedModel(StagedConfig(config, image_size=32, id2label=names, label2id={"cat": 0, "dog": 1}))
    made.save_pretrained(tmp_path / "model")
    pets, out = photos.folder(tmp_path / "pets"), tmp_path / "pets.parquet"
    ran = commands.splitee("precompute", tmp_path / "model", "--images", pets, "--out", out)
    assert ran.code == 0, ran
    assert "6 samples, 2 exits" in ran.out
    trace = load_trace(out)
    assert trace.label.tolist() == [0, 0, 0, 1, 1, 1]
    assert trace.input_bytes.min() > 100
    common = ("precompute", tmp_path / "model", "--overwrite", "--out", out)
    ran = commands.splitee(*common, "--images", pets, "--distort", "clean,blur3", "--seed", 4)
    assert ran.code == 0, ran
    assert set(load_trace(out).group) <= {"clean", "blur3"}
    assert "levels 1, 2 and 3" in commands.splitee(*common, "--images", pets, "--distort", "blur9").complaint
    assert (
        "does not go with --images" in commands.splitee(*common, "--images", pets, "--task", "imdb").complaint
    )
    assert "--distort goes with --images" in commands.splitee(*common, "--distort", "blur1").complaint
    (pets / "cat" / "bad.png").write_bytes(photos.photo(size=(90, 80))[:300])
    assert "bad.png" in commands.splitee(*common, "--images", pets).complaint


def test_what_is_for_texts_says_so(tmp_path: Path) -> None:
    place = photos.checkpoint(tmp_path / "toy")
    with pytest.raises(InputError, match="reads images: this is for models of texts"):
        load_encoder(place)
