"""Which bundled trace is the source of a target: the validation data of its own model."""

import pytest

import splitee
from splitee._internal.errors import InputError
from splitee.trace import Trace, bundled
from splitee.trace.bundled import find_source, same_model

TRAINING = {"validation": {"sha256": "v", "task": "sst2_sentences"}, "best_step": 432}
MODEL = {"name": "sst2-mpnet", "sha256": "m"}


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    monkeypatch.setattr(bundled, "_BUNDLED", tmp_path)

    def put(name, **manifest):
        Trace([[0.6, 0.9]], [[0, 1]], [1], name, manifest=manifest).save(tmp_path / f"{name}.parquet")

    return put


def test_the_bundled_targets_have_theirs():
    for name in ("imdb", "yelp_sentences", "sst2_validation"):
        assert find_source(splitee.load_trace(name).manifest) == "sst2_validation"
    source = splitee.load_trace("sst2_validation")
    assert source.has_labels
    assert source.manifest["data"]["sha256"] == source.manifest["training"]["validation"]["sha256"]


def test_a_validation_split_of_other_data_is_no_source(shelf):
    shelf("yelp", model=MODEL, training=TRAINING, data={"split": "validation", "sha256": "y"})
    target = {"model": MODEL, "training": TRAINING}
    assert find_source(target) is None
    shelf("sst2_validation", model=MODEL, data={"split": "validation", "sha256": "other"})
    assert find_source(target) == "sst2_validation"
    shelf("zz", model=MODEL, data={"source": "file", "part": "held out", "sha256": "v"})
    assert find_source(target) == "zz"  # the very data that the training recorded


def test_another_models_is_no_source(shelf):
    other = {"name": "sst2-mpnet", "sha256": "n"}
    shelf("sst2_validation", model=other, training=TRAINING, data={"split": "validation", "sha256": "v"})
    assert find_source({"model": MODEL, "training": TRAINING}) is None
    assert find_source({"model": "mpnet"}) is None
    assert find_source({}) is None


def test_what_train_writes_itself_knows_no_weights_but_its_training(shelf):
    shelf("sst2", model={}, training=TRAINING, data={"task": "sst2_sentences", "sha256": "v"})
    assert find_source({"model": MODEL, "training": TRAINING}) == "sst2"
    assert find_source({"model": MODEL, "training": TRAINING | {"best_step": 1}}) is None


def test_same_model_says_none_where_nothing_is_told():
    assert same_model({"model": MODEL}, {"model": MODEL, "training": TRAINING}) is True
    assert same_model({"model": MODEL, "training": TRAINING}, {"training": TRAINING}) is True
    assert same_model({"model": MODEL}, {"model": "mpnet"}) is None
    assert same_model({}, {"training": "long"}) is None


def test_a_damaged_shelf_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(bundled, "_BUNDLED", tmp_path)
    (tmp_path / "t.parquet").write_bytes(b"PAR1 nothing PAR1")
    with pytest.raises(InputError, match=r"t\.parquet: cannot be read as Parquet"):
        find_source({"model": MODEL})
