import hashlib
import json
import pickle
import subprocess
import sys

import numpy as np
import pytest

from splitee._internal.errors import InputError
from splitee.trace.checks import check_trace
from splitee.trace.trace import Trace


@pytest.fixture
def tiny():
    return Trace([[0.6, 0.9], [0.8, 0.7]], [[0, 1], [1, 1]], label=[1, 0], name="tiny")


def test_dtypes_shapes_and_defaults(tiny):
    assert (tiny.samples, tiny.layers, tiny.classes, tiny.exit_layers) == (2, 2, 2, (1, 2))
    assert (tiny.confidence.dtype, tiny.prediction.dtype, tiny.label.dtype) == ("float32", "int32", "int32")
    assert list(tiny.id) == ["0", "1"]
    assert tiny.recommended_threshold is None
    assert repr(tiny) == "<Trace 'tiny': 2 samples × 2 exits, 2 classes, labels>"
    assert tiny.manifest["confidence"] == "softmax"


def test_arrays_are_locked_copies(tiny):
    mine = np.full((1, 2), 0.75, dtype=np.float32)
    trace = Trace(mine, [[0, 1]])
    mine[:] = 0.5
    assert (trace.confidence == 0.75).all()
    for values in (*tiny.columns.values(), tiny.entropy):
        with pytest.raises(ValueError, match="read-only"):
            values[0] = 0
    with pytest.raises(AttributeError, match="replace"):
        tiny.label = None
    tiny.manifest["name"] = "other"
    assert tiny.manifest["name"] == "tiny"


@pytest.mark.parametrize("order", "CF")
def test_what_an_exit_says_is_contiguous_whatever_the_order_given(order):
    trace = Trace(np.array([[0.6, 0.7], [0.8, 0.9]], order=order), np.ones((2, 2), order=order))
    assert trace.confidence.flags.f_contiguous
    assert trace.prediction.flags.f_contiguous


def test_floats_are_rounded_once():
    value = 0.5 + 2.0**-25 + 2.0**-50  # by way of float16 or twice-rounded it would become 0.5
    assert Trace([[value, 0.5]], [[0, 1]]).confidence[0, 0] == np.float32(value)


def test_entropy_follows_from_two_classes_only():
    entropy = Trace([[0.5, 1.0], [0.9, 1 + 5e-7]], [[0, 1], [1, 1]]).entropy
    expected = [[np.log(2), 0], [-0.9 * np.log(0.9) - 0.1 * np.log(0.1), 0]]
    np.testing.assert_allclose(entropy, expected, atol=1e-6)
    assert Trace([[0.5, 1.0]], [[0, 2]]).entropy is None
    assert Trace([[0.5, 1.0]], [[0, 1]], softmax=False).entropy is None
    given = Trace([[0.5, 1.0]], [[0, 2]], entropy=[[1.0, 0.0]])
    assert given.entropy.tolist() == [[1, 0]]


def test_accuracy_and_agreement(tiny):
    assert tiny.accuracy_per_exit().tolist() == [0, 0.5]
    assert tiny.agreement_per_exit().tolist() == [0.5, 1]
    assert np.isnan(tiny.replace(label=None).accuracy_per_exit()).all()


def test_select_takes_numbers_and_masks(tiny):
    picked = tiny.select([1, 1, 0])
    assert list(picked.id) == ["1", "1", "0"]
    assert picked.label.tolist() == [0, 0, 1]
    assert tiny.select([True, False]).fingerprint == tiny.select([0]).fingerprint
    for bad in ([2], [], [True], "x"):
        with pytest.raises(InputError):
            tiny.select(bad)


def test_fingerprint_is_of_the_content_alone(tiny):
    assert tiny.replace(name="other", manifest={"model": "x"}).fingerprint == tiny.fingerprint
    changes = [
        {"label": None},
        {"label": [1, 1]},
        {"classes": 3},
        {"softmax": False},
        {"id": ["a", "b"]},
        {"group": ["x", "y"]},
        {"entropy": [[0.1, 0.2], [0.3, 0.4]]},
        {"confidence": [[0.6, 0.9], [0.8, np.nextafter(np.float32(0.7), np.float32(1))]]},
    ]
    assert len({tiny.replace(**change).fingerprint for change in changes} | {tiny.fingerprint}) == 9
    # ids are told apart by where one ends
    assert tiny.replace(id=["ab", "c"]).fingerprint != tiny.replace(id=["a", "bc"]).fingerprint


def test_fingerprint_is_what_its_docstring_says(tiny):
    header = {
        "classes": 2,
        "columns": [["id", "str", [2]], ["confidence", "float32", [2, 2]], ["prediction", "int32", [2, 2]]],
        "softmax": True,
    }
    parts = [
        json.dumps(header, sort_keys=True).encode() + b"\n",
        np.array([1, 2], "<i8").tobytes() + "aé".encode(),
        np.array([0.6, 0.9, 0.8, 0.7], "<f4").tobytes(),
        np.array([0, 1, 1, 1], "<i4").tobytes(),
    ]
    trace = tiny.replace(label=None, id=["a", "é"])
    assert trace.fingerprint == hashlib.sha256(b"".join(parts)).hexdigest()


def test_a_trace_travels_to_worker_processes(tiny):
    assert pickle.loads(pickle.dumps(tiny)).fingerprint == tiny.fingerprint


def test_manifest_facts_are_read_and_kept():
    manifest = {
        "class_names": ["no", "maybe", "yes"],
        "exit_layers": (3, 6),
        "recommended_threshold": {"value": 0.85, "rule": "best accuracy"},
        "flops": {"layer": [1, 2.5]},
        "name": "ignored",
    }
    trace = Trace([[0.6, 0.9]], [[0, 1]], manifest=manifest)
    assert (trace.classes, trace.exit_layers, trace.recommended_threshold) == (3, (3, 6), 0.85)
    assert trace.manifest["flops"] == {"layer": [1, 2.5]}
    assert trace.manifest["name"] == "mine"


C, P = [[0.6, 0.9], [0.8, 0.7]], [[0, 1], [1, 1]]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((C, [[0, 1]]), r"prediction must have shape \(2, 2\), not \(1, 2\)"),
        (([0.6, 0.9], [0, 1]), r"confidence must have shape \(samples, exits\)"),
        (([[0.6], [0.7]], [[0], [1]]), r"at least 1 sample and 2 exits, not \(2, 1\)"),
        ((np.zeros((0, 3)), np.zeros((0, 3))), r"not \(0, 3\)"),
        (([[0.6, 0.9], [0.8]], P), "confidence cannot be converted to an array"),
        (([["a", "b"]], [[0, 1]]), "confidence must hold numbers, not <U1"),
        (([[0.6, np.nan], [0.8, 0.7]], P), r"confidence at row 0 \(from 0\), exit 2 \(from 1\) is nan"),
        (([[0.6, 0.9], [np.inf, 0.7]], P), r"row 1 \(from 0\), exit 1 \(from 1\) is inf"),
        (([[0.6, 0.9], [1e300, 0.7]], P), r"row 1 \(from 0\), exit 1 \(from 1\) is inf"),
        (([[0.6, 0.9], [0.49, 0.7]], P), r"exit 1 \(from 1\) is 0.49, below 1/classes = 0.5.*--scores"),
        (([[0.6, 1.1], [0.8, 0.7]], P), r"exit 2 \(from 1\) is 1.1, above 1"),
        ((C, [[0, 1], [1, -1]]), "prediction at row 1 .*exit 2.* is -1, which is negative"),
        ((C, [[0, 1], [1, 0.5]]), "is 0.5, not a whole number"),
        ((C, [[0, 1], [1, 2**40]]), "too large"),
        ((C, P, [0]), r"label must have shape \(2,\), not \(1,\)"),
        ((C, P, [0, -1]), r"label at row 1 \(from 0\) is -1, which is negative"),
        ((C, P, [0, np.nan]), r"label at row 1 \(from 0\) is nan"),
        ((C, P, None, ""), "name must be a non-empty text"),
    ],
)
def test_bad_arguments_name_the_place(arguments, says):
    with pytest.raises(InputError, match=says):
        Trace(*arguments)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"classes": 1}, "classes must be a whole number of at least 2, not 1"),
        ({"classes": 2.5}, "not 2.5"),
        ({"classes": 2, "prediction": [[0, 1], [2, 1]]}, "is class 2, but there are 2, 0..1"),
        ({"classes": 2, "label": [0, 2]}, r"label at row 1 \(from 0\) is class 2"),
        ({"cloud_confidence": [0.5, 0.6]}, "must be given together"),
        ({"cloud_confidence": [0.4, 0.6], "cloud_prediction": [0, 1]}, "cloud_confidence at row 0"),
        ({"entropy": [[0.1, 1.0], [0, 0]]}, "nats, not bits"),
        ({"entropy": [[0.1, -1.0], [0, 0]]}, "negative"),
        ({"id": ["a"]}, r"id must be a list of one text per sample \(2\)"),
        ({"id": ["a", None]}, r"id at row 1 \(from 0\) is None, not a text"),
        ({"group": ["a", "\ud800"]}, "not valid Unicode"),
        ({"length": [3, -1]}, "negative"),
        ({"logits": np.zeros((2, 2, 3))}, r"logits must have shape \(2, 2, 2\)"),
        ({"logits": np.full((2, 2, 2), 1e6)}, "in float16, not a finite number"),
        ({"manifest": {"x": {1, 2}}}, "only JSON values"),
        ({"manifest": {"x": float("nan")}}, "only JSON values"),
        ({"manifest": [1]}, "must be a mapping"),
        ({"manifest": {"class_names": ["a"]}}, "classes must be|1 names"),
        ({"manifest": {"class_names": ["a", "a"]}}, "distinct"),
        ({"classes": 2, "manifest": {"class_names": ["a", "b", "c"]}}, "3 names for 2 classes"),
        ({"manifest": {"exit_layers": [2, 1]}}, "rising"),
        ({"manifest": {"exit_layers": [1]}}, "must be 2 rising"),
        ({"manifest": {"recommended_threshold": 0.8}}, "recommended_threshold"),
        ({"manifest": {"recommended_threshold": {"value": 80}}}, "in 0..1"),
        ({"softmax": False, "confidence": [[-0.1, 0.5], [0.5, 0.5]]}, "is -0.1, below 0"),
    ],
)
def test_bad_options_name_the_place(options, says):
    with pytest.raises(InputError, match=says):
        Trace(**{"confidence": C, "prediction": P, **options})


def test_scores_may_lie_below_one_over_k():
    trace = Trace([[0.1, 0.9]], [[0, 1]], softmax=False)
    assert trace.manifest["confidence"] == "score"
    assert trace.select([0]).softmax is False


# --- what is odd


def test_oddities_are_warnings():
    trace = Trace(
        [[0.6, 0.9], [0.8, 0.9], [0.6, 0.9]], [[0, 1], [1, 1], [0, 1]], [1, 1, 1], id=["a", "b", "a"]
    )
    assert check_trace(trace) == [
        "every label is class 1",
        "exit 2: every confidence is 0.9",
        "exit 2: every prediction is 1",
        "1 of 3 samples repeat another's confidences and predictions",
        "1 of 3 samples repeat another's id",
    ]
    assert check_trace(Trace([[0.6, 0.9]], [[0, 1]], [1])) == []
    names = ["dog", "cat", "Dog"]
    odd = Trace([[0.6, 0.9], [0.5, 0.7]], [[0, 1], [1, 0]], [2, 0], manifest={"class_names": names})
    said = "no exit ever answers 'Dog', the label of 1 of 2 samples: check the spelling of the class names"
    assert check_trace(odd) == [said]
    many = Trace([[0.5, 0.7]] * 6, [[0, 1], [1, 0]] * 3, [1, 2, 3, 4, 5, 5])
    assert "answers 2, 3, 4 and 1 more, the label of 5 of 6 samples" in check_trace(many)[0]
    scores = Trace([[0.6, 0.9], [0.5, 0.7]], [[0, 1], [1, 0]], [2, 0], value=[[0.1, 1.2], [0.8, 0.3]])
    assert check_trace(scores) == []
    assert "no labels" in check_trace(Trace(C, [[0, 1], [1, 0]]))[0]


def test_importing_the_trace_loads_neither_pandas_nor_arrow():
    heavy = "('pandas', 'pyarrow', 'torch', 'numba', 'matplotlib')"
    code = f"import sys, splitee.trace; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"
