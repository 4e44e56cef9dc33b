"""Arrays of confidences, logits or probabilities; what is transposed, multi-label or in other units."""

import io
import math

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax
from scipy.stats import entropy as scipy_entropy

from splitee._internal.errors import InputError
from splitee.trace import Trace
from splitee.trace.arrays import holds_arrays
from splitee.trace.checks import check_trace
from splitee.trace.columns import entropy_bounds, half_unit
from splitee.trace.importing import import_trace

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(30, 4, 3)).astype(np.float32) * 3
P = softmax(LOGITS.astype(np.float64), axis=2)
LABEL = RNG.integers(0, 3, 30)
PLAIN = {"confidence": P.max(axis=2), "prediction": P.argmax(axis=2)}


def npz(**arrays):
    sink = io.BytesIO()
    np.savez(sink, **arrays)
    return sink.getvalue()


def npy(array):
    sink = io.BytesIO()
    np.save(sink, array)
    return sink.getvalue()


FRAME = pd.DataFrame({"logits": list(LOGITS), "label": LABEL})
SOURCES = {
    "npz": (npz(logits=LOGITS, label=LABEL), {}),
    "probabilities": (npz(probabilities=P, label=LABEL), {}),
    "mapped": (npz(p=P, y=LABEL), {"probabilities": "p", "label": "y"}),
    "npy": (npy(LOGITS), {}),
    "npy of probabilities": (npy(P), {}),
    "mapping": ({"logits": LOGITS, "label": LABEL}, {}),
    "frame": (FRAME, {}),
    "json": (
        pd.DataFrame({"logits": LOGITS.tolist(), "label": LABEL}).to_json(orient="records").encode(),
        {},
    ),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_everything_is_derived_from_logits_or_probabilities(kind):
    source, renamed = SOURCES[kind]
    trace, notes = import_trace(source, renamed=renamed)
    np.testing.assert_allclose(trace.confidence, P.max(axis=2), rtol=1e-6)
    np.testing.assert_array_equal(trace.prediction, P.argmax(axis=2))
    np.testing.assert_allclose(trace.entropy, scipy_entropy(P, axis=2), rtol=1e-4, atol=1e-6)
    assert trace.classes == 3
    assert trace.has_labels == ("npy" not in kind)
    assert any("derived from the" in note for note in notes)
    np.testing.assert_allclose(softmax(trace.logits.astype(float), axis=2), P, atol=5e-3)


def test_traces_are_made_of_logits_in_python():
    one, other = Trace.from_logits(LOGITS, LABEL), Trace.from_probabilities(P, LABEL, name="p")
    np.testing.assert_array_equal(one.prediction, other.prediction)
    np.testing.assert_allclose(one.confidence, other.confidence, rtol=1e-6)
    assert (one.classes, other.name, one.has_labels) == (3, "p", True)
    assert Trace.from_probabilities([[[0.0, 1.0], [0.5, 0.5]]]).logits is None
    for wrong in (LOGITS[0], LOGITS[:, :, :1], np.full((1, 2, 3), np.nan), [[["a", "b"]]]):
        with pytest.raises(InputError, match="logits"):
            Trace.from_logits(wrong)
    with pytest.raises(InputError, match=r"sum to 1.8.*sigmoids"):
        Trace.from_probabilities([[[0.9, 0.9], [0.5, 0.5]]])


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        (
            {"logits": LOGITS.swapaxes(0, 1), "label": LABEL},
            r"shape \(4, 30, 3\).*np.swapaxes\(logits, 0, 1\)",
        ),
        ({name: values.T for name, values in PLAIN.items()} | {"label": LABEL}, "30 samples.*confidence.T"),
        ({name: np.tile(values.T, 9) for name, values in PLAIN.items()}, "4 samples with 270 exits"),
        ({"probabilities": P.swapaxes(1, 2)}, r"sum to 1 over axis 1.*np.swapaxes\(p, 1, 2\)"),
        ({"logits": P}, "--map probabilities=logits"),
        ({"logits": LOGITS, "prediction": 2 - P.argmax(axis=2)}, "prediction differs"),
        (PLAIN | {"label": np.eye(3)[LABEL]}, r"one-hot: .*argmax\(axis=1\)"),
        (PLAIN | {"label": np.ones((30, 3))}, "multi-label"),
        (PLAIN | {"prediction": P.round()}, "multi-label"),
        ({"a": LOGITS}, "no array 'confidence' among a"),
        ({"": LOGITS[0]}, "one array of shape"),
        (PLAIN | {"label": LABEL + 1}, "'3' is not a class|numbered from"),
    ],
)
def test_arrays_that_are_something_else(arrays, says):
    with pytest.raises(InputError, match=says):
        import_trace(arrays, classes=3 if "label" in arrays and arrays["label"].max() == 3 else None)


def test_columns_of_a_table_are_no_arrays():
    wide = {"confidence_1": P.max(axis=2)[:, 0], "confidence_2": P.max(axis=2)[:, 1]}
    wide |= {"prediction_1": P.argmax(axis=2)[:, 0], "prediction_2": P.argmax(axis=2)[:, 1]}
    assert not holds_arrays(wide, {})
    trace = import_trace(npz(**wide)).trace
    np.testing.assert_array_equal(trace.prediction, P.argmax(axis=2)[:, :2])


# units


@pytest.mark.parametrize("factor", [math.log(3), math.log(2)])
def test_entropies_in_other_units(factor):
    nats = scipy_entropy(P, axis=2)
    assert import_trace(PLAIN | {"entropy": nats}).trace.entropy is not None
    assert import_trace(PLAIN | {"entropy": nats.astype(np.float16)}).trace.entropy is not None
    with pytest.raises(
        InputError, match=r"entropies are (divided by ln 3|in bits).*multiply|above ln\(classes\)"
    ):
        import_trace(PLAIN | {"entropy": nats / factor})


def test_entropies_lie_within_their_bounds():
    low, high = entropy_bounds(P.max(axis=2), 3)
    entropies = scipy_entropy(P, axis=2)
    assert (low <= entropies + 1e-9).all()
    assert (entropies <= high + 1e-9).all()


def test_confidences_in_per_cent():
    trace, notes = import_trace(PLAIN | {"confidence": 100 * PLAIN["confidence"]})
    np.testing.assert_allclose(trace.confidence, PLAIN["confidence"], rtol=1e-6)
    assert "confidence is in per cent, and divided by 100" in notes
    head = b"id,confidence_1,prediction_1,confidence_2,prediction_2\n"
    shares = import_trace(head + b"a,0.6570,0,0.9486,1\nb,0.9,1,0.5171,0\n").trace
    percent = import_trace(head + b"a,65.70,0,94.86,1\nb,90,1,51.71,0\n").trace
    assert percent.fingerprint == shares.fingerprint
    table = b"id,confidence_1,prediction_1,confidence_2,prediction_2\na,51 %,0,99.5 %,1\n"
    assert import_trace(table).trace.confidence.tolist() == [[np.float32(0.51), np.float32(0.995)]]
    with pytest.raises(InputError, match="above 1"):
        import_trace(PLAIN | {"confidence": 7 * PLAIN["confidence"]})


@pytest.mark.parametrize("digits", [2, 3, 4])
def test_confidences_rounded_below_one_kth(digits):
    rounded = np.round(np.array([[1 / 3, 0.9], [0.5, 0.71]]), digits)
    trace = Trace(rounded, [[0, 1], [2, 1]])
    assert trace.classes == 3
    assert half_unit(trace.confidence) == pytest.approx(0.5 * 10.0**-digits)
    table = f"id,confidence_1,prediction_1,confidence_2,prediction_2\na,{rounded[0, 0]},2,0.8,0\n"
    assert import_trace(table.encode()).trace.classes == 3
    with pytest.raises(InputError, match="below 1/classes"):
        Trace([[0.2, 0.9]], [[0, 2]])
    with pytest.raises(InputError, match="below 1/classes"):
        Trace([[0.33333, 0.9123456], [0.3331, 0.5]], [[0, 2], [1, 1]])


# classes and exits


def test_classes_in_another_order_are_named():
    label = P[:, -1].argmax(axis=1)
    swapped = np.array([0, 2, 1])[PLAIN["prediction"]]
    warnings = check_trace(Trace(PLAIN["confidence"], swapped, label))
    assert any("100.00% if predicted 1 is 2, 2 is 1" in line for line in warnings)
    fair = check_trace(Trace(PLAIN["confidence"], PLAIN["prediction"], label))
    assert not any("different orders" in line for line in fair)


def test_exits_may_be_named_by_their_layer():
    table = (
        b"sample,exit,confidence,prediction\n"
        b"a,4,0.6,0\na,8,0.7,0\na,12,0.9,1\nb,4,0.5,1\nb,8,0.7,1\nb,12,0.8,1\n"
    )
    with pytest.raises(InputError, match="give --exit-layers 4,8,12"):
        import_trace(table)
    trace = import_trace(table, exit_layers=(4, 8, 12)).trace
    assert trace.exit_layers == (4, 8, 12)
    wide = table.replace(b",4,", b",1,").replace(b",8,", b",2,").replace(b",12,", b",3,")
    assert import_trace(wide, exit_layers=(4, 8, 12)).trace.exit_layers == (4, 8, 12)
    with pytest.raises(InputError, match="names 2 layers, but the file has 3 exits"):
        import_trace(wide, exit_layers=(4, 8))
    floats = table.replace(b",4,", b",1.0,").replace(b",8,", b",2.0,").replace(b",12,", b",3.0,")
    assert import_trace(floats).trace.layers == 3


def test_classes_of_one_to_k_and_minus_one():
    rows = b"a,0.6,1,0.7,2,1\nb,0.6,2,0.9,2,%b\n"
    head = b"id,confidence_1,prediction_1,confidence_2,prediction_2,label\n"
    with pytest.raises(InputError, match="numbered from 1 to 2 and none is 0: give --class-names"):
        import_trace(head + rows % b"2")
    named = import_trace(head + rows % b"2", class_names=["no", "yes"]).trace
    assert (named.prediction.tolist(), named.label.tolist()) == ([[0, 1], [1, 1]], [0, 1])
    assert import_trace(head + rows % b"2", classes=3).trace.prediction.tolist() == [[1, 2], [2, 2]]
    with pytest.raises(InputError, match="--no-label=-1"):
        import_trace(head + rows % b"-1", classes=3)
    left, notes = import_trace(head + rows % b"-1", classes=3, no_label=["-1"])
    assert (left.id.tolist(), left.label.tolist()) == (["a"], [1])
    assert "1 of 2 samples left out" in notes[0]
