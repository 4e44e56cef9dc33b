"""ELUE's data folders: byte order marks, index columns, GLUE's headers, ELUE's label numbers."""

import pytest

from splitee._internal.errors import InputError
from splitee.data.elue_files import elue_file, elue_names
from splitee.data.tasks import load_task

SCITAIL = 'premise\thypothesis\tlabel\nA plant "grows.\tIt grows.\t1\nIt is so.\tIt is cold.\t0\n'


def folder(root, name, split, content, mark=""):
    (root / name).mkdir(parents=True, exist_ok=True)
    (root / name / f"{split}.tsv").write_bytes((mark + content).encode())


def test_elues_folders_with_their_numbers_marks_and_index_columns(tmp_path):
    folder(tmp_path, "SciTail", "dev", SCITAIL)
    rows = load_task("scitail", "validation", tmp_path)
    assert [rows.label_names[y] for y in rows.label] == ["entails", "neutral"]
    assert rows.text[0][0] == 'A plant "grows.'
    head = "index\t#1 ID\t#2 ID\t#1 String\t#2 String\r\n"
    folder(tmp_path, "MRPC", "test", head + "0\t12\t13\tOne.\tTwo.\r\n1\t3\t4\tTea.\tTee.\r\n", "\ufeff")
    rows = load_task("mrpc", "test", tmp_path)
    assert rows.label is None
    assert (rows.text, rows.id) == ((["One.", "Tea."], ["Two.", "Tee."]), ["0", "1"])
    folder(tmp_path, "MRPC", "dev", "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t2\t3\tA\tB\n", "\ufeff")
    assert load_task("mrpc", "validation", tmp_path).label.tolist() == [1]
    folder(tmp_path, "STS-B", "dev", "sentence1\tsentence2\tlabel\na\tb\t2.5\n")
    assert load_task("stsb", "validation", tmp_path).label.tolist() == [2.5]
    folder(tmp_path, "SST-2", "train", "sentence\tlabel\ngood film\t1\ngood\t1\n")
    assert load_task("sst2_sentences", "train", tmp_path).label.tolist() == [1, 1]


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ("premise\tlabel\na\t1\n", "no column 'hypothesis'"),
        ("premise\thypothesis\tlabel\na\tb\t2\n", "none of ELUE's"),
        ("premise\thypothesis\tlabel\na\tb\t-1\n", "none of ELUE's"),
        ("premise\thypothesis\tlabel\na\tb\n", "line 2: 2 fields instead of 3"),
        ("premise\thypothesis\tlabel\n", "no rows"),
        ("", "no column 'premise'"),
    ],
)
def test_damaged_files_of_elue(content, word, tmp_path):
    folder(tmp_path, "SciTail", "dev", content)
    with pytest.raises(InputError, match=word):
        load_task("scitail", "validation", tmp_path)


def test_only_elues_tasks_and_splits_have_a_file(tmp_path):
    folder(tmp_path, "SciTail", "dev", SCITAIL)
    assert elue_file(tmp_path, "scitail", "validation") == tmp_path / "SciTail" / "dev.tsv"
    assert elue_file(tmp_path, "scitail", "test") is None
    assert elue_file(tmp_path, "qqp", "validation") is None
    assert elue_names("rte", ("entailment", "not_entailment")) == ("entailment", "not_entailment")
