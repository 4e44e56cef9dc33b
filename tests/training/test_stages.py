"""Networks of stages start from vision backbones and from checkpoints, and are trained by `splitee train`."""

import json
import shutil
from pathlib import Path

import commands
import numpy as np
import photos
import pytest
import shapes
import torch
import toys

import splitee.training.loop
from splitee._internal.errors import InputError
from splitee.models.multi_exit import load_checkpoint
from splitee.models.vision import image_form, load_vision
from splitee.trace import load_trace
from splitee.training.frozen import fit_frozen
from splitee.training.recipe import Recipe
from splitee.training.stages import check_stages, stages_size, start_stages


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("shapes")
    shapes.folder(made / "train", 48)
    shapes.folder(made / "held", 16, seed=1)
    for kind in ("resnet", "vit"):
        shapes.backbone(made / kind, kind)
    return made


def command(place: Path, out: Path, *options: object, kind: str = "resnet") -> tuple[object, ...]:
    data = ("--images", place / "train", "--validation-images", place / "held")
    return ("train", "--backbone", place / kind, *data, "--out", out, *options)


TUNED = ("--epochs", 6, "--learning-rate", 0.01, "--image-size", 16, "--batch-size", 8, "--patience", 6)


@pytest.fixture(scope="module")
def tuned(place: Path) -> Path:
    ran = commands.splitee(*command(place, place / "tuned", *TUNED))
    assert ran.code == 0, ran.err
    return place / "tuned"


@pytest.fixture(scope="module")
def frozen(place: Path) -> Path:
    ran = commands.splitee(*command(place, place / "frozen", "--frozen", "--image-size", 16))
    assert ran.code == 0, ran.err
    assert "exit at stage 2" in ran.err
    return place / "frozen"


def test_it_learns_what_can_be_learned(tuned: Path, frozen: Path, place: Path) -> None:
    for out, least in ((tuned, 0.8), (frozen, 0.8)):
        model, trace = load_checkpoint(out), load_trace(out / "validation.parquet")
        assert trace.accuracy_per_exit()[-1] >= least
        assert model.config.class_names == list(shapes.CLASSES)
        assert model.config.recommended_threshold == trace.manifest["recommended_threshold"]
        assert model.config.training["train"]["rows"] == 48
        assert model.config.training["backbone"] == "resnet"
    before = load_vision(place / "resnet").state_dict()
    ours = dict(load_checkpoint(frozen).stages.state_dict())
    assert {values.shape for values in before.values()} >= {values.shape for values in ours.values()}
    first = "embedder.embedder.convolution.weight"
    assert torch.equal(ours["0.0.embedder.convolution.weight"], before[first])
    assert not torch.equal(
        load_checkpoint(tuned).stages.state_dict()["0.0.embedder.convolution.weight"], before[first]
    )


def test_frozen_exits_are_those_of_choose_heads(frozen: Path, place: Path) -> None:
    from splitee.data.images import load_images
    from splitee.training.heads import choose_heads

    train, held = load_images(place / "train"), load_images(place / "held")
    model = start_stages(place / "resnet", shapes.CLASSES, Recipe(image_size=16))
    fits = choose_heads(model, train, held)
    stored = load_checkpoint(frozen)
    assert stored.config.pooling == [fit.pooling for fit in fits]
    with pytest.raises(FileExistsError):
        fit_frozen(place / "resnet", train, held, frozen)
    for ours, theirs in zip(stored.exit_heads, model.exit_heads, strict=True):
        assert torch.allclose(ours.classifier.weight, theirs.classifier.weight, atol=1e-4)


class Interruption(BaseException):
    """As a kill: nothing of the package catches it."""


def interrupt(patch: pytest.MonkeyPatch, owner: object, name: str, at: int) -> None:
    real, calls = getattr(owner, name), [0]

    def counted(*given: object, **named: object) -> object:
        calls[0] += 1
        if calls[0] == at:
            raise Interruption
        return real(*given, **named)

    patch.setattr(owner, name, counted)


def same_files(one: Path, other: Path) -> None:
    names = sorted(file.name for file in one.iterdir())
    assert names == sorted(file.name for file in other.iterdir())
    for name in ("config.json", "validation.parquet", "model.safetensors"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


@pytest.mark.parametrize(("name", "at"), [("_features", 1), ("_features", 3), ("fit_linear", 2)])
def test_interrupted_a_frozen_fit_resumes(
    name: str, at: int, frozen: Path, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """48 images are read as they are, and mirrored, then 16 to validate; no piece is read again."""
    from splitee.training import heads

    words = command(place, tmp_path / "out", "--frozen", "--image-size", 16)
    with monkeypatch.context() as patch:
        interrupt(patch, heads, name, at)
        with pytest.raises(Interruption):
            commands.splitee(*words)
    pieces = len(list((tmp_path / "out.partial").glob("features-*.npy")))
    assert pieces == (at - 1 if name == "_features" else 3)
    calls = []
    real = heads._features
    monkeypatch.setattr(heads, "_features", lambda *given: calls.append(1) or real(*given))
    assert commands.splitee(*words).code == 0
    assert len(calls) == 3 - pieces
    same_files(frozen, tmp_path / "out")


@pytest.mark.parametrize("at", [8, 20])
def test_interrupted_a_training_resumes(
    at: int, tuned: Path, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = command(place, tmp_path / "out", *TUNED)
    with monkeypatch.context() as patch:
        interrupt(patch, splitee.training.loop._Trainer, "training_step", at)
        with pytest.raises(Interruption):
            commands.splitee(*words)
    ran = commands.splitee(*words)
    assert ran.code == 0, ran.err
    assert "resuming from step" in ran.err
    ours, theirs = load_checkpoint(tmp_path / "out"), load_checkpoint(tuned)
    toys.assert_same_model(ours, theirs)


def test_a_checkpoint_of_stages_as_start(tuned: Path, place: Path, tmp_path: Path) -> None:
    whole = load_checkpoint(tuned)
    same = start_stages(tuned, shapes.CLASSES, Recipe())
    toys.assert_same_model(same, whole)
    other = start_stages(tuned, ("x", "y", "z"), Recipe(pooling="max", image_size=24))
    assert (other.config.num_labels, other.config.image_size, other.config.pooling) == (3, 24, "max")
    for name, values in whole.stages.state_dict().items():
        assert torch.equal(values, other.stages.state_dict()[name])
    assert start_stages(tuned, shapes.CLASSES, Recipe(exits=(2,))).exits == (2,)
    assert start_stages(place / "vit", shapes.CLASSES, Recipe(first_exit=2)).exits == (2, 3)
    assert stages_size(tuned, Recipe()) == 16
    given = ("--images", place / "train", "--validation-rows", 8, "--epochs", 1)
    ran = commands.splitee(
        "train", "--backbone", tuned, *given, "--train-rows", 30, "--out", tmp_path / "more"
    )
    assert ran.code == 0, ran.err
    assert load_checkpoint(tmp_path / "more").config.training["train"]["rows"] == 30


def test_images_are_scaled_as_the_backbone_was_trained(tmp_path: Path) -> None:
    place = shapes.backbone(
        tmp_path / "vit", "vit", image_mean=[0.5, 0.4, 0.3], image_std=[0.25] * 3, size={"height": 40}
    )
    form = image_form(place)
    assert form["image_size"] == 16  # the backbone's own, of its position embeddings
    assert np.allclose(form["image_mean"], [127.5, 102, 76.5])
    assert np.allclose(form["image_std"], 63.75)
    model = start_stages(place, ("a", "b"), Recipe())
    assert model.config.image_mean == pytest.approx(form["image_mean"])
    place = shapes.backbone(tmp_path / "resnet", "resnet", size={"shortest_edge": 40}, do_normalize=False)
    assert image_form(place) == {"image_size": 40}
    assert image_form(place, 24)["image_size"] == 24
    shutil.rmtree(place)
    assert image_form(shapes.backbone(place)) == {"image_size": 224}
    for bad in ({"image_mean": ["x"]}, {"size": "large"}, {"image_mean": [0.5], "rescale_factor": 0}):
        (place / "preprocessor_config.json").write_text(json.dumps(bad))
        with pytest.raises(InputError, match=r"preprocessor_config\.json is damaged"):
            image_form(place)


def test_a_head_of_the_library_is_left_out(tmp_path: Path) -> None:
    """A classifier's checkpoint has no pooler, and a head that no exit needs."""
    from transformers import ViTForImageClassification

    torch.manual_seed(0)
    ViTForImageClassification(shapes._SMALL["vit"]).save_pretrained(tmp_path / "vit")
    assert len(start_stages(tmp_path / "vit", ("a", "b"), Recipe()).stages) == 3


def test_bad_input(place: Path, tuned: Path, tmp_path: Path) -> None:
    texts = toys.backbone(tmp_path / "bert")
    empty = tmp_path / "empty"
    empty.mkdir()
    flat = photos.folder(tmp_path / "flat", 2)
    for file in flat.rglob("*.png"):
        file.rename(flat / file.name)
    for folder in [one for one in flat.iterdir() if one.is_dir()]:
        folder.rmdir()
    out, images = ("--out", tmp_path / "out"), ("--images", place / "train", "--validation-rows", 8)
    resnet = ("train", "--backbone", place / "resnet")
    for words, line in (
        ((*resnet, *images, *out, "--max-tokens", 9), "--max-tokens does not go with --images"),
        ((*resnet, *images, *out, "--exit-states", 2), "--exit-states does not go with --images"),
        ((*resnet, *images, *out, "--task", "imdb"), "--task does not go with --images"),
        ((*resnet, *images, *out, "--text", "t.csv"), "--text does not go with --images"),
        ((*resnet, *images, *out, "--frozen", "--epochs", 2), "--epochs does not go with --frozen"),
        ((*resnet, *images, *out, "--pooling", "mean"), "pooling 'mean': choose one of avg, max"),
        ((*resnet, *images, *out, "--exits", "1,3"), "exits [1, 3]: give ascending layers from 1 to 2"),
        ((*resnet, *images, *out, "--distort", "blur9", "--image-size", 16), "levels 1, 2 and 3"),
        ((*resnet, *images[:2], *out), "--validation-images PATH, or --validation-rows N"),
        ((*resnet, "--text", "t.csv", *out, "--frozen"), "--frozen goes with --images"),
        ((*resnet, "--text", "t.csv", *out, "--image-size", 9), "--image-size goes with --images"),
        ((*resnet, "--images", empty, *images[2:], *out), "no images there"),
        ((*resnet, "--images", flat, *images[2:], *out), "has no labels"),
        ((*resnet, "--images", place / "train", "--validation-images", flat, *out), "no labels"),
        (("train", "--backbone", texts, *images, *out), "is of type 'bert': images need a vision backbone"),
        (("train", "--backbone", tmp_path / "none", *images, *out), "no such folder"),
        (("train", "--backbone", place / "vit", *images, *out, "--image-size", 24), "do not compose"),
        (("slim", tuned, "--task", "imdb", "--params", 0.5, *out), "as encoders of texts have them"),
        (("elue", "predict", tuned, "--task", "sst-2", "--policy", "exits", *out), "ELUE's tasks are texts"),
    ):
        assert line in commands.splitee(*words).complaint, words
    with pytest.raises(InputError, match="exit_join is for encoders"):
        check_stages(Recipe(exit_join="mean"))


@pytest.mark.parametrize("how", ["--frozen", "--patience"])
def test_a_damaged_image_is_one_line(how: str, place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "train", tmp_path / "train")
    for name, (file, line) in photos.bad(tmp_path / "bad").items():
        there = tmp_path / "train" / "bar" / name
        shutil.move(file, there)
        data = ("--images", tmp_path / "train", "--validation-images", place / "held")
        options = ("--image-size", 16, how, *([] if how == "--frozen" else [1]))
        ran = commands.splitee(
            "train", "--backbone", place / "resnet", *data, "--out", tmp_path / "out", *options
        )
        assert ran.code == 2
        assert line in ran.err.splitlines()[-1]
        assert name in ran.err.splitlines()[-1]
        there.unlink()
