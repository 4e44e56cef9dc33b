import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trace_strategies import traces

from splitee._internal.errors import InputError
from splitee.trace import Trace
from splitee.trace.exporting import export_csv
from splitee.trace.importing import import_trace

LONG = b"""sample,exit,confidence,prediction,label
b,2,0.9,1,1
a,1,0.6,0,0
b,1,0.8,1,1
a,2,0.7,1,0
"""
WIDE = b"""id,confidence_1,prediction_1,confidence_2,prediction_2,label
b,0.8,1,0.9,1,1
a,0.6,0,0.7,1,0
"""
TRACE = Trace([[0.8, 0.9], [0.6, 0.7]], [[1, 1], [0, 1]], [1, 0], id=["b", "a"])


def npz(**arrays):
    sink = io.BytesIO()
    np.savez(sink, **arrays)
    return sink.getvalue()


def exported(trace, layout):
    sink = io.BytesIO()
    export_csv(trace, sink, layout)
    return sink.getvalue()


# --- what is exported is imported


@given(traces(unique_ids=True, with_logits=False), st.sampled_from(["long", "wide"]))
@settings(max_examples=60)
def test_export_and_import_give_the_same_trace(trace, layout):
    data = exported(trace, layout)
    back = import_trace(data, classes=trace.classes, softmax=trace.softmax).trace
    assert back.fingerprint == trace.fingerprint


@given(st.lists(st.floats(0.5, 1, width=32), min_size=2, max_size=200))
def test_decimals_give_the_same_float32_again(values):
    trace = Trace([values], [[0] * len(values)])
    assert import_trace(exported(trace, "wide")).trace.fingerprint == trace.fingerprint


@pytest.mark.parametrize("layout", ["long", "wide"])
def test_scores_that_are_regressed_come_back_too(layout):
    value, target = [[0.25, 3.5], [4.125, 5.0]], [3.75, 4.5]
    trace = Trace(
        [[0.5, 0.75], [0.5, 1.0]],
        [[0, 4], [4, 5]],
        [4, 5],
        classes=6,
        softmax=False,
        value=value,
        target=target,
    )
    back = import_trace(exported(trace, layout), classes=6, softmax=False).trace
    assert back.fingerprint == trace.fingerprint
    assert back.target is not None


@pytest.mark.parametrize("renamed", [{}, {"label": "target"}])
def test_a_column_called_target_may_be_anything(renamed):
    data = WIDE.replace(b"label", b"target")
    made, notes = import_trace(data, renamed=renamed)
    assert made.has_labels == bool(renamed)
    assert ("ignored columns: target" in notes) != bool(renamed)
    arrays = {"confidence": TRACE.confidence, "prediction": TRACE.prediction, "target": TRACE.label}
    assert import_trace(npz(**arrays), renamed=renamed).trace.has_labels == bool(renamed)
    named = LONG.replace(b"label", b"value").replace(b",1\n", b",yes\n").replace(b",0\n", b",no\n")
    assert import_trace(named).trace.value is None


def test_the_exported_table_is_plain():
    assert exported(TRACE, "long").decode().splitlines()[:3] == [
        "sample,exit,confidence,prediction,label",
        '"b",1,0.8,1,1',
        '"b",2,0.9,1,1',
    ]
    assert exported(TRACE, "wide").decode().splitlines()[0] == (
        "id,confidence_1,confidence_2,prediction_1,prediction_2,label"
    )


def test_a_long_table_cannot_hold_doubled_ids():
    doubled = TRACE.replace(id=["a", "a"])
    with pytest.raises(InputError, match="--format wide"):
        exported(doubled, "long")
    assert import_trace(exported(doubled, "wide")).trace.fingerprint == doubled.fingerprint


# --- CSV


@pytest.mark.parametrize("data", [LONG, WIDE, b"\xef\xbb\xbf" + LONG, WIDE.replace(b"\n", b"\r\n") + b"\n"])
def test_long_and_wide_are_told_apart(data):
    trace, notes = import_trace(data)
    assert trace.fingerprint == TRACE.fingerprint
    rows = 4 if b"sample" in data else 2
    assert notes == [f"{rows} rows read", "labels: '0' 1, '1' 1"]


def test_exits_may_count_from_0():
    for data in (
        LONG.replace(b",1,0.", b",0,0.").replace(b",2,0.", b",1,0."),
        WIDE.replace(b"_1", b"_0").replace(b"_2", b"_1"),
    ):
        trace, notes = import_trace(data)
        assert trace.fingerprint == TRACE.fingerprint
        assert notes[1] == "exits count from 0 in the file; they are 1..2 in the trace"


def test_columns_may_have_other_names():
    data = LONG.replace(b"sample", b"doc").replace(b"confidence", b"p")
    trace, notes = import_trace(data.replace(b"label", b"gold"), renamed={"sample": "doc", "confidence": "p"})
    assert not trace.has_labels
    assert notes == ["4 rows read", "ignored columns: gold"]
    data = (
        WIDE.replace(b"confidence_", b"conf of exit ").replace(b"prediction_", b"y[").replace(b"y[1", b"y[01")
    )
    trace, _ = import_trace(data, renamed={"confidence": "conf of exit {}", "prediction": "y[{}"})
    assert trace.fingerprint == TRACE.fingerprint


def test_names_of_classes_are_numbered():
    data = LONG.replace(b",0.9,1,1", b",0.9,pos,pos").replace(b",0.8,1,1", b",0.8, pos ,pos")
    data = data.replace(b",0.6,0,0", b",0.6,neg,neg").replace(b",0.7,1,0", b",0.7,pos,neg")
    trace = import_trace(data).trace
    assert trace.fingerprint == TRACE.fingerprint
    assert trace.manifest["class_names"] == ["neg", "pos"]
    swapped = import_trace(data, class_names=["pos", "maybe", "neg"]).trace
    assert (swapped.classes, swapped.label.tolist()) == (3, [0, 2])
    with pytest.raises(InputError, match=r"row 3: 'neg' is none of the class names pos, other"):
        import_trace(data, class_names=["pos", "other"])
    assert import_trace(LONG, class_names=["neg", "pos"]).trace.fingerprint == TRACE.fingerprint
    stars = import_trace(LONG, class_names=["1", "0"]).trace  # names that look like numbers are names
    assert stars.label.tolist() == [0, 1]


def test_whole_floats_are_classes_and_an_empty_label_column_is_none():
    data = LONG.replace(b",1,1\n", b",1.0,\n").replace(b",0,0\n", b",0.0,\n").replace(b",1,0\n", b",1.0,\n")
    trace = import_trace(data).trace
    assert trace.fingerprint == TRACE.replace(label=None).fingerprint


def test_scores_need_the_flag():
    data = LONG.replace(b"0.6", b"0.3")
    with pytest.raises(InputError, match="--scores"):
        import_trace(data)
    assert import_trace(data, softmax=False).trace.manifest["confidence"] == "score"


HEADER = b"sample,exit,confidence,prediction,label\n"


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "the file or its first line is empty"),
        (b"\n", "the file or its first line is empty"),
        (HEADER, "a header, but no rows"),
        (b"\xff\xfe\x00", "line 1 is not utf-16"),
        (b"sample,sample\n1,2\n", "two columns are called 'sample'"),
        (b"x,y\n1,2\n", "its columns are x, y; map them with --map NAME=COLUMN"),
        (
            LONG.replace(b"prediction", b"guess"),
            "no column 'prediction' among sample, exit, .*--map prediction=COLUMN",
        ),
        (LONG.replace(b"sample", b"doc"), "no column 'sample' among doc, exit.*--map sample=COLUMN"),
        (LONG + b"a,1,0.6,0,0\n", "sample 'a' has two rows for exit 1: rows 3 and 6"),
        (LONG[: LONG.index(b"a,2")], "sample 'a' has no row for exit 2"),
        (LONG + b"c,3,0.6,0,0\n", "sample 'b' has no row for exit 3"),
        (LONG.replace(b",2,0.", b",3,0."), "exits must be numbered 1, 2, 3, ... without gaps, not 1, 3"),
        (LONG.replace(b"0.8", b"high"), "column 'confidence', row 4: 'high' is not a number"),
        (LONG.replace(b"0.8", b""), "column 'confidence', row 4: '' is not a number"),
        (LONG.replace(b"b,1,", b"b,one,"), "column 'exit', row 4: 'one' is not a whole number"),
        (
            LONG.replace(b"0.8,1,1", b"0.8,pos,1"),
            "prediction, row 4: 'pos' is not a class number, but other cells are",
        ),
        (LONG.replace(b"0.8,1,1", b"0.8,0.5,1"), "prediction, row 4: '0.5' is not a class number"),
        (
            LONG.replace(b"0.8,1,1", b"0.8,1,"),
            r"column 'label' is empty in 1 of 4 rows \(the first: row 4\): .* --no-label empty",
        ),
        (LONG.replace(b"0.8,1,1", b"0.8,1,0"), "sample 'b' has different values of 'label'"),
        (LONG.replace(b"0.8,1,1", b"0.8,1"), "not valid CSV, .*Row #4: Expected 5 columns, got 4"),
        (LONG.replace(b"0.8", b"nan"), r"confidence at row 0 \(from 0\), exit 1 \(from 1\) is nan"),
        (
            WIDE.replace(b"prediction_2", b"other"),
            "exit 2 has a confidence column but no prediction column",
        ),
        (WIDE.replace(b"confidence_2", b"confidence_3"), "numbered 1, 2, 3, ... without gaps, not 1, 3"),
        (WIDE.replace(b"confidence_2", b"confidence_01"), "are both the confidence of exit 1"),
        (WIDE.replace(b"prediction", b"guess"), "no column 'prediction_1' among .*--map prediction=COLUMN"),
        (WIDE.replace(b"0.7", b"x"), "column 'confidence_2', row 3: 'x' is not a number"),
        (b"PAR1....", "cannot be read as Parquet"),
        (b"PK\x03\x04 not really", "cannot be read as NPZ"),
    ],
)
def test_bad_tables_name_the_place(data, says):
    with pytest.raises(InputError, match=says) as caught:
        import_trace(data)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "renamed", "says"),
    [
        (LONG, {"smaple": "doc"}, "--map smaple=doc: the columns of a long table are sample, exit"),
        (LONG, {"label": "gold"}, "no column 'gold' among"),
        (WIDE, {"entropy": "h{x}{}"}, "no column 'h{x}1' among"),
        (WIDE, {"entropy": "entropy"}, "in place of the exit number"),
        (npz(confidence=[[1]]), {"exit": "e"}, "the arrays of a trace are"),
        (npz(a=[[0.6, 0.7]], prediction=[[0, 1]]), {"confidence": "b"}, "no array 'b' among a, prediction"),
        (npz(confidence=[[0.6, 0.7]], prediction=[[0, 1]]), {"label": "y"}, "no array 'y' among"),
    ],
)
def test_bad_maps_are_named(data, renamed, says):
    with pytest.raises(InputError, match=says):
        import_trace(data, renamed=renamed)


def test_a_vast_number_of_exits_does_not_exhaust_the_memory():
    rows = b"".join(b"s%d,%d,0.6,0,0\n" % (i, i) for i in range(1, 100_000))
    with pytest.raises(InputError, match="sample 's1' has no row for exit 2"):
        import_trace(HEADER + rows)


# --- NPZ


def test_npz_arrays_are_the_arguments_of_trace(tmp_path):
    arrays = {
        "confidence": TRACE.confidence,
        "prediction": TRACE.prediction,
        "label": [1, 0],
        "id": ["b", "a"],
    }
    trace, notes = import_trace(npz(**arrays, x=1))
    assert trace.fingerprint == TRACE.fingerprint
    assert notes == ["2 samples read", "ignored arrays: x", "labels: '0' 1, '1' 1"]
    path = tmp_path / "a.npz"
    path.write_bytes(npz(**arrays, classes=4))
    assert import_trace(path).trace.classes == 4
    assert import_trace(path, classes=5).trace.classes == 5
    assert import_trace(npz(**arrays), class_names=["n", "p"]).trace.manifest["class_names"] == ["n", "p"]


def test_npz_classes_may_be_names():
    names = np.array(["neg", "pos"])
    data = npz(confidence=TRACE.confidence, prediction=names[TRACE.prediction], label=names[[1, 0]])
    trace = import_trace(data).trace
    assert (trace.prediction == TRACE.prediction).all()
    assert trace.manifest["class_names"] == ["neg", "pos"]


def test_npz_never_unpickles():
    data = npz(confidence=np.array([[0.5, None]], dtype=object), prediction=[[0, 1]])
    with pytest.raises(InputError, match="array 'confidence' holds Python objects"):
        import_trace(data)
    with pytest.raises(InputError, match="no array 'confidence' among prediction"):
        import_trace(npz(prediction=[[0, 1]]))


def test_unknown_formats_are_refused():
    with pytest.raises(InputError, match="unknown format 'xls'"):
        import_trace(LONG, "xls")
    with pytest.raises(InputError, match="unknown layout 'tall'"):
        export_csv(TRACE, io.BytesIO(), "tall")
