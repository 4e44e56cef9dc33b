"""Texts and labels that people bring: what is said of them, and what is asked."""

import commands
import pandas as pd
import pytest

from splitee._internal.errors import InputError
from splitee.data.rows import Rows, load_file, map_labels
from splitee.data.tables import Reading

TEXTS = ["a fine film", "dull", "moving", "a mess"]


def frame(labels, **more):
    return pd.DataFrame({"text": TEXTS[: len(labels)], "label": labels, **more})


@pytest.mark.parametrize(
    ("mark", "option"), [(-1, "--no-label=-1"), ("-", "--no-label=-"), ("", "--no-label empty")]
)
def test_marks_of_no_label_are_asked_for(mark, option):
    other = frame(["1", mark, "0", mark] if mark != -1 else [1, -1, 0, -1])
    with pytest.raises(InputError, match=f"in 2 of 4 rows .the first: row 1.*{option}"):
        load_file(other, label="label")
    rows = load_file(other, label="label", no_label=[str(mark) or "empty"])
    assert rows.text == ([TEXTS[0], TEXTS[2]],)
    assert rows.label.tolist() == [1, 0]
    assert rows.id == ["0", "2"]
    assert rows.notes[0].startswith("4 rows read, 2 left out (no label: ")
    if mark:
        with_class = load_file(other, label="label", label_names=[str(mark), "0", "1"])
        assert (len(with_class), with_class.label_names) == (4, (str(mark), "0", "1"))
    every = load_file(other.assign(label=mark), label="label")
    assert every.label is None
    assert "no labels: every cell" in every.notes[1]


def test_labels_from_one_to_k():
    with pytest.raises(InputError, match=r"numbered from 1 to 3 and none is 0: give --class-names"):
        load_file(frame([1, 2, 3, 1]), label="label")
    rows = load_file(frame([1, 2, 3, 1]), label="label", label_names=["bad", "so-so", "good"])
    assert rows.label.tolist() == [0, 1, 2, 0]
    assert any("numbered from 1 in the file: 1 is 'bad', 3 is 'good'" in note for note in rows.notes)
    stars = load_file(frame(["1.0", "2.0", "3.0", "1.0"]), label="label", label_names=["3", "2", "1"])
    assert stars.label.tolist() == [2, 1, 0, 2]


def test_labels_written_as_floats(tmp_path):
    (tmp_path / "a.csv").write_text("text,label\na,1.0\nb,0.0\n")
    rows = load_file(tmp_path / "a.csv", label="label", label_names=["negative", "positive"])
    assert rows.label.tolist() == [1, 0]
    assert rows.notes == ("2 rows read", "labels: 'negative' 1, 'positive' 1")
    with pytest.raises(InputError, match="--regression"):
        load_file(frame([0.5, 1.5, 2.0, 1.0]), label="label")


def test_classes_are_counted():
    rows = load_file(frame([0, 4, 4, 4]), label="label")
    assert rows.notes[-1] == "labels: '0' 1, '4' 3; '1', '2', '3' do not occur"


def test_columns_that_hold_no_texts():
    ids = frame([0, 1, 1, 0], number=["1", "2", "3", "4"])
    with pytest.raises(InputError, match=r"column 'number' holds only numbers.*--text-column text"):
        load_file(ids, "number", "label")
    alone = load_file(ids[["number"]], "number")
    assert any("holds only numbers" in note for note in alone.notes)
    empty = load_file(pd.DataFrame({"text": ["a", " ", "", "b c"]}))
    assert empty.notes[-1] == "2 texts are empty in column 'text' (row 1, 2)"


def test_several_labels_per_sample():
    for label in (["toxic", "insult"], "list"):
        data = pd.DataFrame({"text": ["a"], "toxic": [1], "insult": [0], "list": [["x", "y"]]})
        with pytest.raises(InputError, match="multi-label"):
            load_file(data, label=label)


def test_labels_that_are_no_class_of_the_model():
    rows = load_file(frame([0, 1, 1, 0]), label="label")
    with pytest.raises(InputError, match=r"labels are numbers: .*--class-names bad,good"):
        map_labels(rows, ("bad", "good"), {})


def test_the_text_hash_names_a_text():
    one = Rows("a", (["x", "y"], ["z", "z"]), None, None, ["0", "1"], {})
    other = Rows("b", (["y", "x"], ["z", "z"]), None, None, ["0", "1"], {})
    assert one.text_hash == other.text_hash[::-1]
    moved = Rows("c", (["xz", "y"], ["", "z"]), None, None, ["0", "1"], {})
    assert one.text_hash[0] != moved.text_hash[0]


def test_options_of_a_csv_file(tmp_path):
    (tmp_path / "a.csv").write_bytes("text;label\nfilm raté;1\ndull;0\n".encode("cp1252"))
    rows = load_file(tmp_path / "a.csv", label="label", reading=Reading(encoding="cp1252"))
    assert rows.text[0] == ["film raté", "dull"]


@pytest.mark.slow
def test_the_command_says_how_texts_are_read(tmp_path):
    (tmp_path / "a.tsv").write_text('text\tlabel\n"opening\t1\nfine\t0\nx\t-\n')
    words = [
        "precompute",
        "--text",
        tmp_path / "a.tsv",
        "--label-column",
        "label",
        "--class-names",
        "negative,positive",
    ]
    ran = commands.splitee(*words, "--out", tmp_path / "a.parquet")
    assert "--no-label=-" in ran.complaint
    ran = commands.splitee(*words, "--no-label", "-", "--max-tokens", "3", "--out", tmp_path / "a.parquet")
    assert ran.code == 0, ran
    assert "3 rows read, 1 left out (no label: '-' 1)" in ran.err
    assert "labels: 'negative' 1, 'positive' 1" in ran.err
    assert "texts are truncated at 3 tokens" in ran.err
