"""One table, whatever holds it."""

import io
import json

import numpy as np
import pandas as pd
import pytest

from splitee._internal.errors import InputError
from splitee.data.tables import Reading, Table, read_table

FRAME = pd.DataFrame({"id": ["a", "b"], "score": [0.25, 0.5], "label": [1, 0]})


def parquet(frame, **how):
    sink = io.BytesIO()
    frame.to_parquet(sink, index=False, **how)
    return sink.getvalue()


def npz(**arrays):
    sink = io.BytesIO()
    np.savez(sink, **arrays)
    return sink.getvalue()


def records():
    sink = io.BytesIO()
    np.save(sink, np.array([("a", 0.25, 1), ("b", 0.5, 0)], "U1,f4,i8").astype(
        [("id", "U1"), ("score", "f4"), ("label", "i8")]
    ))  # fmt: skip
    return sink.getvalue()


HELD = {
    "csv": FRAME.to_csv(index=False).encode(),
    "tsv": FRAME.to_csv(index=False, sep="\t").encode(),
    "semicolons": FRAME.to_csv(index=False, sep=";", decimal=",").encode("utf-16"),
    "json": FRAME.to_json(orient="records").encode(),
    "jsonl": FRAME.to_json(orient="records", lines=True).encode("utf-8-sig"),
    "parquet": parquet(FRAME),
    "strings": parquet(FRAME.astype(str)),
    "frame": FRAME,
    "index": FRAME.set_index("id"),
    "categories": FRAME.assign(id=FRAME["id"].astype("category")),
    "npz": npz(**{name: FRAME[name].to_numpy().astype("U1" if name == "id" else float) for name in FRAME}),
    "npy": records(),
}


@pytest.mark.parametrize("kind", HELD)
def test_every_container_holds_the_same(kind):
    table = read_table(HELD[kind])
    assert len(table) == 2
    assert table.texts("id").to_pylist() == ["a", "b"]
    assert table.cells("label").to_pylist() in (["1", "0"], ["1.0", "0.0"])
    assert table.numbers("label", np.int64).tolist() == [1, 0]
    assert table.numbers("score", np.float32).tolist() == [0.25, 0.5]
    assert table.holds("id")
    assert not table.holds("other")


def test_lists_become_matrices():
    frame = pd.DataFrame({"c": [[0.5, 0.75], [1.0, 0.25]], "z": [[[0, 1], [2, 3]]] * 2, "n": ["x", "y"]})
    for source in (frame, parquet(frame), frame.to_json(orient="records").encode()):
        arrays = read_table(source).arrays()
        assert arrays["c"].tolist() == [[0.5, 0.75], [1.0, 0.25]]
        assert arrays["z"].shape == (2, 2, 2)
        assert arrays["n"].tolist() == ["x", "y"]
    stacked = pd.DataFrame({"z": [np.zeros((2, 3)), np.ones((2, 3))]})
    assert read_table(stacked).arrays()["z"].shape == (2, 2, 3)
    with pytest.raises(InputError, match="lists of 1 to 2 values"):
        read_table(pd.DataFrame({"c": [[1.0], [1.0, 2.0]]})).arrays()
    with pytest.raises(InputError, match="row 1: a list is missing"):
        read_table(pd.DataFrame({"c": [[1.0], None]})).arrays()
    with pytest.raises(InputError, match="holds a list per row"):
        read_table(frame).cells("c")


def test_gaps_and_mixed_cells():
    table = read_table(b'[{"a": 1, "b": "x"}, {"a": "y"}]')
    assert table.texts("a").to_pylist() == ["1", "y"]
    assert "column 'a' mixes kinds of values" in table.notes[0]
    assert (table.texts("b").to_pylist(), table.missing("b")) == (["x", ""], 1)
    with pytest.raises(InputError, match="row 1: '' is not a number"):
        Table({"a": read_table(pd.DataFrame({"a": [0.5, None]})).columns["a"]}, 0).numbers("a", np.float32)


def test_the_row_of_a_bad_cell_is_that_of_the_file():
    for data, row in (
        (b"a\n1\nx\n", 3),
        (b'[{"a": "1"}, {"a": "x"}]', 2),
        (pd.DataFrame({"a": ["1", "x"]}), 1),
    ):
        with pytest.raises(InputError, match=f"column 'a', row {row}: 'x' is not a number"):
            read_table(data).numbers("a", np.float32)


def test_how_a_file_is_written_may_be_said():
    data = "a;b,c\n1,5;è\n".encode("cp1252")
    table = read_table(data, Reading(sep=";", decimal=",", encoding="cp1252"))
    assert table.numbers("a", np.float64).tolist() == [1.5]
    assert table.texts("b,c").to_pylist() == ["è"]
    for wrong in ({"sep": "ab"}, {"decimal": ";"}, {"encoding": "klingon"}):
        with pytest.raises(InputError, match=f"--{next(iter(wrong))}"):
            Reading(**wrong)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (b"PAR1 but not really", "cannot be read as Parquet"),
        (parquet(FRAME)[:-20] + b"PAR1", "cannot be read as Parquet"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "two columns are called 'a'"),
        (npz(a=[1, 2], b=[1]), "differ in length"),
        (json.dumps({"a": [1, 2], "b": [1]}).encode(), "differ in length"),
        (b'[{"a": "\\ud800"}]', "not valid Unicode"),
        (b'[{"a": [1]}, {"a": 2}]', "mixes lists and single values"),
    ],
)
def test_what_is_no_table(source, says):
    with pytest.raises(InputError, match=says):
        read_table(source)
