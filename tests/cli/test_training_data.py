"""Which rows `train` and `slim` learn from and are judged on."""

from dataclasses import replace

import pandas as pd
import pytest

from splitee._internal.errors import InputError
from splitee.cli.training_data import TrainingData


@pytest.fixture
def given(tmp_path):
    frame = pd.DataFrame({"text": [f"t{i}" for i in range(30)], "label": ["bad", "good", "good"] * 10})
    frame[:20].to_csv(tmp_path / "train.csv", index=False)
    frame[20:].to_csv(tmp_path / "validation.csv", index=False)
    (tmp_path / "imdb").mkdir()
    numbers = frame.assign(label=[0, 1, 1] * 10)
    for split in ("train", "validation"):
        numbers[: 20 if split == "train" else 7].to_parquet(tmp_path / "imdb" / f"{split}.parquet")
    return TrainingData(
        None, str(tmp_path), str(tmp_path / "train.csv"), (), "label", None,
        str(tmp_path / "validation.csv"), None, None,
    )  # fmt: skip


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
    task = replace(given, task="imdb", text_file=None, label_column=None, validation_text=None)
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
        replace(given, **changes).check()


@pytest.mark.parametrize(
    ("changes", "word"), [({"label_column": None}, "--label-column"), ({"validation_text": None}, "--valid")]
)
def test_options_that_are_missing(changes, word, given):
    with pytest.raises(InputError, match=word):
        replace(given, **changes).rows(0, regression=False)
