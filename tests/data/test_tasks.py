"""Named tasks and one's own files: what is read, and what is refused in one line."""

import json
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitee._internal.errors import InputError
from splitee.data.tables import read_table
from splitee.data.tasks import (
    DATA_ROOT_VARIABLE,
    PAIRS,
    TASKS,
    Rows,
    get_task,
    hold_out,
    load_file,
    load_task,
    map_labels,
)

FRAME = pd.DataFrame({"text": ["fine film", "dull, long", ""], "label": [1, 0, 1]})


def write(frame: pd.DataFrame, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        frame.to_parquet(path, index=False)
    elif path.suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in frame.to_dict("records")))
    return path


def refused(call, *words: str) -> str:
    with pytest.raises(InputError) as caught:
        call()
    line = str(caught.value)
    assert "\n" not in line.strip()
    for word in words:
        assert word in line, line
    return line


@pytest.fixture(autouse=True)
def no_root(monkeypatch):
    monkeypatch.delenv(DATA_ROOT_VARIABLE, raising=False)


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
def test_a_named_task_from_local_files(suffix, tmp_path, monkeypatch):
    write(FRAME, tmp_path / "imdb" / f"test{suffix}")
    rows = load_task("imdb", "test", tmp_path)
    assert rows.text == (["fine film", "dull, long", ""],)
    assert rows.label.tolist() == [1, 0, 1]
    assert rows.label.dtype == np.int64
    assert rows.label_names == ("negative", "positive")
    assert rows.id == ["0", "1", "2"]
    assert rows.identity == {
        "task": "imdb",
        "split": "test",
        "source": "file",
        "sha256": rows.fingerprint,
    }
    monkeypatch.setenv(DATA_ROOT_VARIABLE, str(tmp_path))
    assert load_task("imdb", "test").identity == rows.identity
    refused(lambda: load_task("imdb", "test", tmp_path / "elsewhere"), "elsewhere", "no test.parquet")


def test_the_same_rows_have_one_fingerprint_whatever_the_file(tmp_path):
    found = {
        load_file(write(FRAME, tmp_path / f"a{s}"), label="label").fingerprint for s in (".csv", ".jsonl")
    }
    found.add(load_file(write(FRAME, tmp_path / "a.parquet"), label="label").fingerprint)
    assert len(found) == 1
    for change in ({"text": ["fine film", "dull, longer", ""]}, {"label": [1, 1, 1]}):
        other = load_file(write(FRAME.assign(**change), tmp_path / "b.parquet"), label="label")
        assert other.fingerprint not in found
    # where one text ends and the next begins is part of it
    moved = FRAME.assign(text=["fine filmd", "ull, long", ""])
    assert load_file(write(moved, tmp_path / "b.csv"), label="label").fingerprint not in found


def test_csv_cells_are_taken_as_text(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("id,text,label\n007,12,1\n008,NA,0\n009,null,1\n")
    rows = load_file(path, label="label")
    assert rows.id == ["007", "008", "009"]
    assert rows.text == (["12", "NA", "null"],)
    assert rows.label.tolist() == [1, 0, 1]
    path = tmp_path / "a.jsonl"
    path.write_text('{"id": "007", "text": "12"}\n{"id": "008", "text": "2024-01-01"}\n')
    assert load_file(path).text == (["12", "2024-01-01"],)
    assert load_file(path).id == ["007", "008"]


def test_pairs_of_texts(tmp_path):
    frame = pd.DataFrame({"premise": ["a", "b"], "hypothesis": ["c", "d"], "label": [1, 0]})
    write(frame, tmp_path / "scitail" / "test.parquet")
    rows = load_task("scitail", "test", tmp_path)
    assert rows.text == (["a", "b"], ["c", "d"])
    assert len(rows) == 2
    swapped = load_file(tmp_path / "scitail" / "test.parquet", ("hypothesis", "premise"))
    assert swapped.text == (["c", "d"], ["a", "b"])
    assert swapped.label is None


def test_rows_labelled_minus_one(tmp_path):
    some = write(FRAME.assign(label=[1, -1, 0], id=["a", "b", "c"]), tmp_path / "some.csv")
    refused(lambda: load_file(some, label="label"), "'-1' in 1 of 3 rows", "row 3", "--no-label=-1", "-1,0,1")
    rows = load_file(some, label="label", no_label=["-1"])
    assert rows.notes[0] == "3 rows read, 1 left out (no label: '-1' 1)"
    assert rows.text == (["fine film", ""],)
    assert rows.label.tolist() == [1, 0]
    assert rows.id == ["a", "c"]
    for names in (None, ("no", "yes"), ("0", "1")):
        none = load_file(
            write(FRAME.assign(label=-1), tmp_path / "none.parquet"), label="label", label_names=names
        )
        assert none.label is None
        assert len(none) == 3


@pytest.mark.parametrize(
    ("labels", "names", "expected", "expected_names"),
    [
        ([0, 2, 1], None, [0, 2, 1], ("0", "1", "2")),
        ([0, 0, 0], None, [0, 0, 0], ("0", "1")),
        ([0.0, 2.0, 1.0], None, [0, 2, 1], ("0", "1", "2")),  # pandas' integers of a column that had gaps
        (["pos", "neg", "pos"], None, [1, 0, 1], ("neg", "pos")),
        (["pos", "neg", "pos"], ("pos", "neg"), [0, 1, 0], ("pos", "neg")),
        ([1, 0, 1], ("no", "yes"), [1, 0, 1], ("no", "yes")),
        ([1, 5, 2], ("1", "2", "3", "4", "5"), [0, 4, 1], ("1", "2", "3", "4", "5")),  # stars, by name
        ([1, 2, -1], ("1", "2", "-1"), [0, 1, 2], ("1", "2", "-1")),
        ([True, False, True], None, [1, 0, 1], ("False", "True")),
    ],
)
@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
def test_labels_by_number_and_by_name(labels, names, expected, expected_names, suffix, tmp_path):
    if suffix == ".csv" and labels[0] == 0.0 and isinstance(labels[0], float):
        labels = [int(label) for label in labels]
    path = write(FRAME.assign(label=labels), tmp_path / f"a{suffix}")
    rows = load_file(path, label="label", label_names=names)
    assert rows.label.tolist() == expected
    assert rows.label_names == expected_names


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"label": [0, 1, 2]}, ["'2' is not a class", "2 classes"]),
        ({"label": [0, -2, 1]}, ["'-2' is negative", "--class-names"]),
        ({"label": [0, 1, None]}, ["row 2", "'label' is empty"]),
        ({"label": ["positive", "negative", "mixed"]}, ["'mixed'", "negative, positive"]),
        ({"label": [0.5, 1, 1]}, ["'0.5'"]),
        ({"label": [float("inf"), 1, 1]}, ["none of the class names negative, positive"]),
        ({"text": ["a", None, "c"]}, ["row 1", "'text' does not hold text"]),
        ({"text": [1, 2, 3]}, ["row 0", "'text' does not hold text"]),
        ({"text": [float("nan"), 2.0, 3.0]}, ["row 0", "'text' does not hold text"]),
    ],
)
def test_bad_rows_of_a_task(change, words, tmp_path):
    write(FRAME.assign(**change), tmp_path / "imdb" / "test.parquet")
    refused(lambda: load_task("imdb", "test", tmp_path), str(tmp_path / "imdb" / "test.parquet"), *words)


def test_an_empty_label_in_a_csv_is_no_class(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("text,label\na,1\nb,\nc,0\n")
    refused(lambda: load_file(path, label="label"), "row 3", "'label' is empty", "--no-label empty")


def test_missing_columns_files_and_rows(tmp_path):
    path = write(FRAME, tmp_path / "a.csv")
    refused(lambda: load_file(path, ("review",)), "no column 'review'", "text, label")
    refused(lambda: load_file(path, label="stars"), "no column 'stars'")
    refused(lambda: load_file(path, ("text", "text", "text")), "one or two text columns")
    refused(lambda: load_file(tmp_path / "b.csv"), "b.csv", "no such file")
    for suffix in (".parquet", ".csv", ".jsonl"):
        empty = write(FRAME[:0], tmp_path / f"empty{suffix}")
        refused(
            lambda empty=empty: load_file(empty), empty.name, "no column" if suffix == ".jsonl" else "no rows"
        )
    write(FRAME, tmp_path / "imdb" / "train.csv")
    refused(lambda: load_task("imdb", "test", tmp_path), "imdb", "no test.parquet", "it has train.csv")
    refused(lambda: load_task("qqp", "test", tmp_path), "qqp", "no such folder")
    refused(lambda: load_task("imbd", "test", tmp_path), "did you mean imdb?")
    refused(lambda: get_task("x" * 30), "sst2")
    refused(lambda: load_task("yelp_sentences", "test"), "not on the hub", "--data-root")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.parquet", b"PAR1 but not really"),
        ("a.parquet", b""),
        ("a.csv", b'text\n"unclosed'),
        ("a.csv", b"text\n\xff\xfe\xfa"),
        ("a.csv", b"text,label\na,1,2,3\n"),
        ("a.jsonl", b'{"text": "a"'),
        ("a.jsonl", b"3\n4\n"),
        ("a.jsonl", b'["a", "b"]\n'),
    ],
)
def test_files_that_are_not_what_they_say(name, content, tmp_path):
    path = tmp_path / name
    path.write_bytes(content)
    refused(lambda: load_file(path), name)


def brute_force(texts: list[str]) -> list[int]:
    stripped = [text.strip() for text in texts]
    kept = []
    for i, text in enumerate(stripped):
        inside = any(text in other and text != other for other in stripped)
        if not inside and text not in stripped[:i]:
            kept.append(i)
    return kept


@given(st.lists(st.text(st.sampled_from("ab \n\ue000"), max_size=6), min_size=1, max_size=12))
def test_whole_sentences_are_those_no_other_row_holds(texts):
    frame = pd.DataFrame({"sentence": texts, "label": [i % 2 for i in range(len(texts))]})
    with (
        mock.patch("splitee.data.tasks.read_table", side_effect=lambda path: read_table(frame)),
        mock.patch("splitee.data.tasks._local_file"),
    ):
        whole = load_task("sst2_sentences", "train", "root")
        every = load_task("sst2", "train", "root")
        validation = load_task("sst2_sentences", "validation", "root")
    expected = brute_force(texts)
    assert whole.id == [str(i) for i in expected]
    assert whole.text == ([texts[i] for i in expected],)
    assert whole.label.tolist() == [i % 2 for i in expected]
    assert whole.identity["sha256"] == whole.fingerprint or len(expected) < len(texts)
    assert every.text == validation.text == (texts,)


def test_whole_sentences_read_sst2s_folder(tmp_path):
    frame = pd.DataFrame({"sentence": ["a fine film", "fine film", "dull"], "label": [1, 1, 0]})
    write(frame, tmp_path / "sst2" / "train.parquet")
    assert load_task("sst2_sentences", "train", tmp_path).text == (["a fine film", "dull"],)
    assert len(load_task("sst2", "train", tmp_path)) == 3


def test_every_pair_maps_into_its_sources_classes():
    assert {(pair.source, pair.target) for pair in PAIRS.values()} == {
        ("sst2_sentences", "imdb"),
        ("sst2_sentences", "yelp_sentences"),
        ("rte", "scitail"),
        ("mrpc", "qqp"),
        ("mnli", "snli"),
    }
    meaning = {  # spelled out a second time: what each class of the target is in the source
        "imdb": {"negative": "negative", "positive": "positive"},
        "yelp_sentences": {"negative": "negative", "positive": "positive"},
        "scitail": {"entails": "entailment", "neutral": "not_entailment"},
        "qqp": {"not_duplicate": "not_equivalent", "duplicate": "equivalent"},
        "snli": {n: n for n in ("entailment", "neutral", "contradiction")},
    }
    for name, pair in PAIRS.items():
        target, source = TASKS[name], TASKS[pair.source]
        n = len(target.label_names)
        rows = Rows(name, (["a"] * n,), np.arange(n), target.label_names, [""] * n, {})
        mapped = map_labels(rows, source.label_names, pair.label_map)
        for before, after in zip(target.label_names, mapped.label, strict=True):
            assert source.label_names[after] == meaning[name][before]
        assert mapped.label_names == source.label_names


def test_labels_are_mapped_by_name_whatever_the_order():
    rows = Rows("r", (list("abc"),), np.array([0, 1, 1]), ("positive", "negative"), list("012"), {})
    assert map_labels(rows, ("negative", "positive"), {}).label.tolist() == [1, 0, 0]
    assert map_labels(rows, ("bad", "good"), {"positive": "good", "negative": "bad"}).label.tolist() == [
        1,
        0,
        0,
    ]
    refused(lambda: map_labels(rows, ("bad", "positive"), {}), "no class 'negative'", "--label-map")
    unlabelled = Rows("r", (["a"],), None, None, ["0"], {})
    assert map_labels(unlabelled, ("bad", "good"), {}) is unlabelled


@pytest.mark.parametrize(
    ("task", "split", "hub_split"),
    [("snli", "test", "test"), ("mnli", "validation", "validation_matched"), ("scitail", "train", "train")],
)
def test_rows_from_the_hub(task, split, hub_split, monkeypatch):
    import datasets

    asked = []
    names = list(TASKS[task].label_names)
    columns = {"premise": ["a", "b", "c"], "hypothesis": ["d", "e", "f"]}
    if task == "scitail":
        data = datasets.Dataset.from_dict(columns | {"label": [names[1], names[0], names[1]]})
    else:
        features = datasets.Features(
            premise=datasets.Value("string"),
            hypothesis=datasets.Value("string"),
            label=datasets.ClassLabel(names=names),
        )
        data = datasets.Dataset.from_dict(columns | {"label": [1, -1, 0]}, features=features)

    def load_dataset(path, name=None, split=None):
        asked.append((path, name, split))
        return data

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    rows = load_task(task, split)
    assert asked == [(TASKS[task].hub, TASKS[task].hub_config, hub_split)]
    if task == "scitail":
        assert rows.text == (["a", "b", "c"], ["d", "e", "f"])
        assert rows.label.tolist() == [1, 0, 1]
    else:
        assert rows.text == (["a", "c"], ["d", "f"])
        assert rows.label.tolist() == [1, 0]
        assert rows.id == ["0", "2"]
    assert rows.identity["source"] == "hub"
    assert rows.identity["hub"] == TASKS[task].hub


@pytest.mark.parametrize(
    "error", [ConnectionError("no\nroute"), FileNotFoundError("gone"), ValueError("no split")]
)
def test_a_hub_out_of_reach(error, monkeypatch):
    import datasets

    def load_dataset(*_, **__):
        raise error

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    refused(lambda: load_task("imdb", "test"), "stanfordnlp/imdb", "--data-root")


def test_a_hub_without_the_library(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "datasets", None)
    refused(lambda: load_task("imdb", "test"), "needs datasets", "splitee[models]")


def test_holding_rows_out():
    frame = pd.DataFrame({"text": [f"t{i}" for i in range(30)], "label": [i % 3 for i in range(30)]})
    rows = load_file(frame, label="label")
    rest, held = hold_out(rows, 7, seed=1)
    assert (len(rest), len(held)) == (23, 7)
    assert sorted(map(int, rest.id + held.id)) == list(range(30))
    for part in (rest, held):
        assert list(map(int, part.id)) == sorted(map(int, part.id))
        assert part.text[0] == [f"t{i}" for i in part.id]
        assert part.label.tolist() == [int(i) % 3 for i in part.id]
    assert len({part.identity["sha256"] for part in (rest, held)} | {rows.fingerprint}) == 3
    assert (rest.identity["part"], held.identity["part"]) == ("rest", "held out")
    assert hold_out(rows, 7, seed=1)[1].id == held.id
    assert hold_out(rows, 7, seed=2)[1].id != held.id
    for count in (0, 30, 31, -1):
        refused(lambda count=count: hold_out(rows, count, seed=0), "30 rows")


def test_two_splits_one_after_the_other(tmp_path):
    for split, frame in {"validation": FRAME, "test": FRAME.iloc[::-1]}.items():
        write(frame, tmp_path / "imdb" / f"{split}.parquet")
    both = load_task("imdb", "validation+test", tmp_path)
    parts = [load_task("imdb", split, tmp_path) for split in ("validation", "test")]
    assert both.text[0] == parts[0].text[0] + parts[1].text[0]
    assert both.label.tolist() == parts[0].label.tolist() + parts[1].label.tolist()
    assert both.id == ["validation/0", "validation/1", "validation/2", "test/0", "test/1", "test/2"]
    assert both.identity["split"] == "validation+test"
    assert both.identity["sha256"] == both.fingerprint
    assert load_task("imdb", "test+validation", tmp_path).fingerprint != both.fingerprint
    refused(lambda: load_task("imdb", "test+test", tmp_path), "once")
    refused(lambda: load_task("imdb", "test+", tmp_path), "test+")
    refused(lambda: load_task("imdb", "test+train", tmp_path), "train")
    write(FRAME.drop(columns="label").assign(label=-1), tmp_path / "imdb" / "bare.parquet")
    refused(lambda: load_task("imdb", "test+bare", tmp_path), "bare", "no labels")
