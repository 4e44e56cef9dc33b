"""What the commands that need torch share: the check for it, and the rows to train on."""

import importlib.util
from dataclasses import replace

import click
import pandas as pd
import pytest

from splitee._internal.errors import InputError
from splitee.cli.models_extra import TrainingData, check_source, need_models_extra, training_data
from splitee.cli.texts import Texts, marks


def test_missing_libraries_are_named_together(monkeypatch):
    real = importlib.util.find_spec
    gone = ("torch", "accelerate")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in gone else real(name))
    with pytest.raises(InputError, match=r"torch and accelerate.*splitee\[models\]"):
        need_models_extra()


def test_one_source_of_texts_is_named():
    check_source("imdb", None, {"--label-column": None}, {"--split": "test"})
    check_source(None, "a.csv", {"--label-column": "label"}, {"--split": None})
    for given in ((None, None), ("imdb", "a.csv")):
        with pytest.raises(InputError, match="--task"):
            check_source(*given, {})
    with pytest.raises(InputError, match=r"--label-column .*--task"):
        check_source("imdb", None, {"--label-column": "label"})
    with pytest.raises(InputError, match=r"--split .*--text"):
        check_source(None, "a.csv", {}, {"--split": "test"})


def test_options_reach_the_command_as_one_argument():
    @click.command()
    @training_data
    def command(data: TrainingData) -> TrainingData:
        return data

    words = ["--text", "a.csv", "--text-column", "a", "--text-column", "b", "--validation-rows", "5"]
    data = command.main(words, standalone_mode=False)
    found = data.texts.text_file, data.texts.text_columns, data.validation_rows
    assert found == ("a.csv", ("a", "b"), 5)
    assert data.task is data.train_rows is None


# The rows that `train` and `slim` learn from and are judged on


@pytest.fixture
def given(tmp_path):
    frame = pd.DataFrame({"text": [f"t{i}" for i in range(30)], "label": ["bad", "good", "good"] * 10})
    frame[:20].to_csv(tmp_path / "train.csv", index=False)
    frame[20:].to_csv(tmp_path / "validation.csv", index=False)
    (tmp_path / "imdb").mkdir()
    numbers = frame.assign(label=[0, 1, 1] * 10)
    for split in ("train", "validation"):
        numbers[: 20 if split == "train" else 7].to_parquet(tmp_path / "imdb" / f"{split}.parquet")
    texts = Texts(
        data_root=str(tmp_path), text_file=str(tmp_path / "train.csv"), text_columns=(), class_names=None,
        label_columns=("label",), no_label=None, sep=None, decimal=None, encoding=None, quoting=None,
    )  # fmt: skip
    return TrainingData(texts, None, str(tmp_path / "validation.csv"), None, None)


def changed(data, **changes):
    """Return the data with values of their own, or of their texts, changed."""
    inner = {name: changes.pop(name) for name in list(changes) if name in Texts.__dataclass_fields__}
    return replace(data, texts=replace(data.texts, **inner), **changes)


def test_a_file_for_each_side(given):
    given.check()
    train, validation = given.rows(0, regression=False)
    assert (len(train), len(validation)) == (20, 10)
    assert train.label_names == validation.label_names == ("bad", "good")


def test_rows_held_out_are_the_same_whatever_the_seed(given):
    held = replace(given, validation_text=None, validation_rows=5, train_rows=8)
    first, second = held.rows(1, regression=False), held.rows(2, regression=False)
    assert first[1].id == second[1].id
    assert first[0].id != second[0].id, "fewer rows are drawn by the seed"
    assert len(first[0]) == 8
    assert not set(first[0].id) & set(first[1].id)


def test_a_named_task_has_its_own_splits(given):
    task = changed(given, task="imdb", text_file=None, label_columns=(), validation_text=None)
    task.check()
    assert [len(rows) for rows in task.rows(0, regression=False)] == [20, 7]
    assert [len(rows) for rows in replace(task, validation_rows=4).rows(0, regression=False)] == [16, 4]


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"text_file": None}, "--text"),
        ({"task": "imdb"}, "--text"),
        ({"task": "imdb", "text_file": None}, "--label-column"),
    ],
)
def test_options_that_do_not_go_together(changes, word, given):
    with pytest.raises(InputError, match=word):
        changed(given, **changes).check()


@pytest.mark.parametrize(
    ("changes", "word"), [({"label_columns": ()}, "--label-column"), ({"validation_text": None}, "--valid")]
)
def test_options_that_are_missing(changes, word, given):
    with pytest.raises(InputError, match=word):
        changed(given, **changes).rows(0, regression=False)


def test_several_labels_per_sample_are_out_of_scope(given):
    with pytest.raises(InputError, match="multi-label classification"):
        changed(given, label_columns=("toxic", "insult")).rows(0, regression=False)


@pytest.mark.parametrize(
    ("value", "found"), [(None, []), ("", ["empty"]), ("-1, -", ["-1", "-"]), ("-1,", ["-1", "empty"])]
)
def test_marks_of_no_label(value, found):
    assert marks(value) == found
