"""Tables, long and wide, read as columns: layouts, names, and where a table is wrong."""

import numpy as np
import pytest

from splitee._internal.errors import InputError
from splitee.data.tables import read_table
from splitee.trace.layouts import Asked, layout_names, read_layout, without_half_scores

LONG = (
    b"sample,exit,confidence,prediction,label\n"
    b"a,1,0.6,no,no\nb,1,0.5,no,yes\nb,2,0.9,yes,yes\na,2,0.7,no,no\n"
)
WIDE = (
    b"id,confidence_1,confidence_2,prediction_1,prediction_2,label\n"
    b"a,0.6,0.7,no,no,no\nb,0.5,0.9,no,yes,yes\n"
)


@pytest.mark.parametrize(("data", "layout"), [(LONG, "long"), (WIDE, "wide")])
def test_both_layouts_hold_the_same(data, layout):
    for asked in ("auto", layout):
        found = read_layout(read_table(data), asked)
        assert found.columns["id"] == ["a", "b"]
        np.testing.assert_array_equal(found.columns["confidence"], np.float32([[0.6, 0.7], [0.5, 0.9]]))
        assert found.columns["prediction"].tolist() == [[0, 0], [0, 1]]
        assert found.columns["label"].tolist() == [0, 1]
        assert found.class_names == ("no", "yes")
        assert found.notes == ["4 rows read" if layout == "long" else "2 rows read"]


def test_columns_are_mapped_and_the_others_noted():
    data = b"doc,c0,c1,y0,y1,colour\na,0.6,0.7,0,1,red\n"
    asked = Asked({"id": "doc", "confidence": "c{}", "prediction": "y{}"})
    found = read_layout(read_table(data), "wide", asked)
    assert found.columns["id"] == ["a"]
    assert found.columns["prediction"].tolist() == [[0, 1]]
    assert any("colour" in note for note in found.notes)
    assert len(found.notes) == 3, "exits that count from 0 are noted, too"


def test_scores_come_in_pairs_or_are_asked_for():
    names = layout_names("wide")
    assert {"value", "target"} <= names.keys()
    both = without_half_scores(names, ["value_1", "target"], [])
    assert {"value", "target"} <= both.keys()
    assert not {"value", "target"} & without_half_scores(names, ["value_1"], []).keys()
    asked = without_half_scores(names, ["value_1"], ["value"])
    assert "value" in asked
    assert "target" not in asked


@pytest.mark.parametrize(
    ("data", "where"),
    [
        (LONG.replace(b"b,2,0.9", b"b,2,high"), "column 'confidence', row 4: 'high'"),
        (LONG.replace(b"b,2", b"b,1"), "sample 'b' has two rows for exit 1: rows 3 and 4"),
        (LONG.replace(b"b,2,0.9,yes,yes\n", b""), "sample 'b' has no row for exit 2"),
        (LONG.replace(b"0.9,yes,yes", b"0.9,yes,no"), "sample 'b' has different values of 'label'"),
        (WIDE.replace(b"prediction_2", b"prediction_3"), "exit"),
        (WIDE.replace(b"label", b"id"), "'id'"),
        (b"", "empty"),
        (b"sample,exit\n", "no rows"),
    ],
)
def test_the_place_that_is_wrong_is_named(data, where):
    with pytest.raises(InputError, match=where):
        read_layout(read_table(data), "auto")
