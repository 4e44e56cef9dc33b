"""Temperatures against a generic minimiser on logits, and what calibration must leave alone."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import entr, expit, log_softmax, softmax

from splitee._internal.errors import InputError
from splitee.trace import Trace
from splitee.trace.reliability import expected_calibration_error
from splitee.trace.temperature import HIGHEST, LOWEST, apply_temperatures, calibrate, fit_temperatures
from splitee.trace.threshold import recommend_threshold


def world(seed: int, samples: int, classes: int, true_temperatures: tuple[float, ...]) -> Trace:
    """Exits whose labels follow softmax(z / T), T known, and whose confidences say softmax(z)."""
    rng = np.random.default_rng(seed)
    # one z for all exits, so that one label can follow each of them: it is scaled by T
    z = rng.normal(0, 1.5, (samples, classes))
    label = (np.log(softmax(z, axis=1)) + rng.gumbel(size=z.shape)).argmax(axis=1)
    logits = np.stack([z * t for t in true_temperatures], axis=1)
    if classes > 2:
        logits = logits.astype(np.float16).astype(np.float64)
    return Trace(
        softmax(logits, axis=2).max(axis=2),
        logits.argmax(axis=2),
        label,
        "made up",
        classes=classes,
        logits=logits if classes > 2 else None,
    )


def logits_of(trace: Trace, i: int) -> np.ndarray:
    """What the trace tells of an exit's logits, read plainly."""
    if trace.classes > 2:
        return trace.logits[:, i].astype(np.float64)
    sure = trace.confidence[:, i].astype(np.float64)
    z = np.stack([np.log(np.maximum(1 - sure, 2.0**-25))] * 2, axis=1)  # the least that rounds to 1
    z[np.arange(len(z)), trace.prediction[:, i]] = np.log(sure)
    return z


def loss(trace: Trace, i: int, temperature: float) -> float:
    likelihood = log_softmax(logits_of(trace, i) / temperature, axis=1)
    return -likelihood[np.arange(trace.samples), trace.label].mean()


cases = st.builds(
    world,
    st.integers(0, 2**32 - 1),
    st.integers(20, 200),
    st.sampled_from([2, 3, 5]),
    st.tuples(*[st.floats(0.2, 5)] * 3),
)


@settings(max_examples=25)
@given(cases)
def test_it_is_what_a_generic_minimiser_finds(trace):
    for i, found in enumerate(fit_temperatures(trace)):
        theirs = minimize(
            lambda log_t, i=i: loss(trace, i, math.exp(log_t[0])),
            [0.0],
            method="Nelder-Mead",
            options={"xatol": 1e-9, "fatol": 1e-14},
        )
        if LOWEST < math.exp(theirs.x[0]) < HIGHEST:
            assert found == pytest.approx(math.exp(theirs.x[0]), rel=1e-4)


@settings(max_examples=25)
@given(cases)
def test_no_other_temperature_is_likelier(trace):
    for i, found in enumerate(fit_temperatures(trace)):
        assert LOWEST <= found <= HIGHEST
        here = loss(trace, i, found)
        for other in (1.0, found * 1.01, found / 1.01, found * 1.3, found / 1.3):
            if LOWEST <= other <= HIGHEST:
                assert here <= loss(trace, i, other) + 1e-9


@pytest.mark.parametrize("classes", [2, 4])
def test_a_known_temperature_is_found_again(classes):
    true = (0.25, 1.0, 2.5)
    source = world(5, 40_000, classes, true)
    found = fit_temperatures(source)
    assert found == pytest.approx(true, rel=0.04)  # the second exit is calibrated: T ≈ 1
    made = apply_temperatures(source, found)
    for i in range(3):
        right = source.prediction[:, i] == source.label
        assert expected_calibration_error(made.confidence[:, i], right) < 0.012
        if i != 1:
            assert expected_calibration_error(source.confidence[:, i], right) > 0.05


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.floats(0.1, 10))
def test_confidences_of_two_classes_say_what_their_logits_would(seed, temperature):
    rng = np.random.default_rng(seed)
    z = rng.integers(-300, 300, (100, 2, 2)) / 64  # exact in float16
    z[..., 1] += (z[..., 0] == z[..., 1]) / 64
    label = rng.integers(2, size=100)
    never = np.full((100, 2, 1), -3e4)  # a third class that no temperature brings back
    two = Trace(softmax(z, axis=2).max(axis=2), z.argmax(axis=2), label)
    three = Trace(two.confidence, two.prediction, label, classes=3, logits=np.concatenate([z, never], axis=2))
    assert fit_temperatures(two) == pytest.approx(fit_temperatures(three), rel=1e-3)
    scales = [temperature, 1 / temperature]
    expected = softmax(z / np.array(scales)[:, None], axis=2).max(axis=2)
    for trace in (two, three):
        assert apply_temperatures(trace, scales).confidence == pytest.approx(expected, abs=2e-5)


@st.composite
def two_class_traces(draw):
    n, layers = draw(st.integers(1, 6)), draw(st.integers(2, 4))

    def column(elements, *shape):
        size = int(np.prod(shape))
        return np.array(draw(st.lists(elements, min_size=size, max_size=size))).reshape(shape)

    edges = st.sampled_from([0.5 - 5e-7, 0.5, 1 - 2**-24, 1.0, 1 + 5e-7])
    columns = {
        "entropy": lambda: column(st.floats(0, 0.6875, width=32), n, layers),
        "logits": lambda: column(st.floats(-65504, 65504, width=16), n, layers, 2),
        "label": lambda: column(st.integers(0, 1), n),
    }
    return Trace(
        column(edges | st.floats(0.5, 1, width=32), n, layers),
        column(st.integers(0, 1), n, layers),
        classes=2,
        **{name: make() for name, make in columns.items() if draw(st.booleans())},
    )


@given(two_class_traces(), st.lists(st.floats(0.05, 20), min_size=4, max_size=4))
def test_any_two_class_trace_stays_a_trace_and_keeps_its_ranks(trace, temperatures):
    scales = temperatures[: trace.layers]
    made = apply_temperatures(trace, scales)
    assert made.columns.keys() == trace.columns.keys()
    for name in made.columns.keys() - {"confidence", "entropy", "logits"}:
        assert (made.columns[name] == trace.columns[name]).all(), name
    changed = np.array(scales) != 1
    assert (made.confidence[:, ~changed] == trace.confidence[:, ~changed]).all()  # roundings and all
    assert ((made.confidence[:, changed] >= 0.5) & (made.confidence[:, changed] <= 1)).all()
    for i, scale in enumerate(scales):
        order = np.argsort(trace.confidence[:, i], kind="stable")
        assert (np.diff(made.confidence[order, i]) >= 0).all()
        surer = made.confidence[:, i] - np.clip(trace.confidence[:, i], 0.5, 1)
        assert (surer * (1 - scale) >= -1e-6).all()  # T > 1 makes less sure, T < 1 surer
    if "entropy" in made.columns:
        likely = made.confidence[:, changed].astype(np.float64)
        assert made.entropy[:, changed] == pytest.approx(entr(likely) + entr(1 - likely), abs=2e-6)


@settings(max_examples=30)
@given(cases, st.tuples(*[st.floats(0.05, 20)] * 3))
def test_predictions_and_all_else_stay(trace, scales):
    cloud = {
        "cloud_confidence": np.full(trace.samples, 0.9),
        "cloud_prediction": trace.prediction[:, 0],
        "length": np.arange(trace.samples),
    }
    given_ = trace.replace(manifest={"note": "mine"}, **cloud)
    made = apply_temperatures(given_, scales)
    for name in ("prediction", "label", "id", *cloud):
        assert (made.columns[name] == given_.columns[name]).all()
    assert made.manifest["note"] == "mine"
    assert (made.confidence >= 1 / trace.classes - 1e-7).all()
    if made.logits is not None:
        named = np.take_along_axis(made.logits, made.prediction[..., None], axis=2)[..., 0]
        assert (named == made.logits.max(axis=2)).all()
        assert softmax(made.logits.astype(np.float64), axis=2).max(axis=2) == pytest.approx(
            made.confidence, abs=0.02
        )


def test_temperature_one_is_the_same_to_the_last_bit():
    for classes in (2, 3):
        trace = world(1, 50, classes, (0.5, 1.5))
        trace = trace.replace(entropy=np.full((50, 2), 0.25))
        assert apply_temperatures(trace, [1, 1]).fingerprint == trace.fingerprint
        half = apply_temperatures(trace, [1, 2])
        assert (half.confidence[:, 0] == trace.confidence[:, 0]).all()
        assert (half.columns["entropy"][:, 0] == 0.25).all()
        assert (half.confidence[:, 1] < trace.confidence[:, 1]).all()


def test_entropies_follow_the_logits():
    trace = world(1, 50, 3, (0.5, 1.5)).replace(entropy=np.zeros((50, 2)))
    made = apply_temperatures(trace, [0.5, 3])
    z = trace.logits.astype(np.float64) / np.array([0.5, 3])[:, None]
    assert made.entropy == pytest.approx(entr(softmax(z, axis=2)).sum(axis=2), abs=1e-6)
    assert "entropy" not in apply_temperatures(world(1, 50, 2, (0.5, 1.5)), [0.5, 3]).columns


def test_a_confidence_of_one_is_very_sure_but_not_infinitely():
    # 90 of 100 right with C = 1: T brings ln(2^25 − 1) down to ln 9
    trace = Trace([[1.0, 0.75]] * 100, [[1, 1]] * 100, [1] * 90 + [0] * 10)
    found = fit_temperatures(trace)
    assert found[0] == pytest.approx(math.log(2**25 - 1) / math.log(9), rel=1e-5)
    assert found[1] == pytest.approx(math.log(3) / math.log(9), rel=1e-5)
    assert apply_temperatures(trace, found).confidence == pytest.approx(np.full((100, 2), 0.9), abs=1e-6)
    assert apply_temperatures(trace, [2, 0.05]).confidence[0] == pytest.approx(
        [expit(math.log(2**25 - 1) / 2), 1]
    )
    # what a rounded softmax may be beside 1/2 and 1
    edge = Trace([[0.5 - 5e-7, 1 + 5e-7]] * 2, [[0, 1]] * 2, [0, 1])
    assert apply_temperatures(edge, [3, 3]).confidence[0, 0] == 0.5
    assert np.isfinite(fit_temperatures(edge)).all()


def test_where_labels_do_not_determine_it():
    coin = Trace([[0.5, 0.9]] * 4, [[0, 0]] * 4, [0, 0, 0, 1])
    assert fit_temperatures(coin)[0] == 1  # every T says 0.5
    right = Trace([[0.6, 0.9]] * 4, [[1, 0]] * 4, [1] * 4)
    assert fit_temperatures(right) == pytest.approx([LOWEST, HIGHEST], rel=1e-4)


def test_float16_ties_leave_the_prediction():
    # rounded to float16 both logits are 10, and the model had named the second
    logits = [[[10, 10, 0], [1, 2, 0]]]
    trace = Trace([[0.5002, 0.66]], [[1, 1]], [1], classes=3, logits=logits)
    made = apply_temperatures(trace, [2, 2])
    assert made.prediction.tolist() == [[1, 1]]
    assert made.confidence == pytest.approx(softmax(np.array(logits) / 2, axis=2).max(axis=2), abs=1e-6)


def test_calibrating_tells_how_and_chooses_the_threshold_anew():
    source = world(1, 2000, 2, (0.3, 3.0)).replace(name="source")
    worse = source.prediction.copy()  # so that it matters for accuracy who exits first
    worse[::8, 0] = 1 - worse[::8, 0]
    source = source.replace(prediction=worse)
    target = world(2, 500, 2, (0.3, 3.0)).replace(
        name="target",
        manifest={"recommended_threshold": {"value": 0.95, "rule": "within:3"}, "model": "m", "note": [1]},
    )
    made = calibrate(target, source)
    facts = made.manifest
    temperatures = facts["calibration"]["temperatures"]
    assert temperatures == fit_temperatures(source).tolist()
    assert made.fingerprint == apply_temperatures(target, temperatures).fingerprint
    assert facts["calibration"]["source"] == {
        "name": "source",
        "fingerprint": source.fingerprint,
        "samples": 2000,
    }
    assert "negative log-likelihood" in facts["calibration"]["method"]
    chosen = recommend_threshold(apply_temperatures(source, temperatures), "within:3")
    assert chosen.value != recommend_threshold(source, "within:3").value
    assert facts["recommended_threshold"] == chosen.to_dict()
    assert made.recommended_threshold == chosen.value != 0.95
    assert (facts["note"], made.name) == ([1], "target")
    # the target's labels have no say
    for label in (None, 1 - target.label):
        assert calibrate(target.replace(label=label), source).manifest["calibration"] == facts["calibration"]
    for rule in ({}, {"rule": "by eye"}):
        other = target.replace(manifest={"recommended_threshold": {"value": 0.95, **rule}})
        assert calibrate(other, source).manifest["recommended_threshold"]["rule"] == "within:0.5"


def test_what_cannot_be_calibrated():
    trace = world(1, 30, 2, (0.3, 3.0))
    three = world(1, 30, 3, (0.3, 3.0))
    sha = {"model": {"sha256": "a"}}
    for target, source, why in [
        (trace, trace.replace(label=None), "has no labels"),
        (trace, trace.replace(softmax=False), "has scores"),
        (trace.replace(softmax=False), trace, "has scores"),
        (three, three.replace(logits=None), "has 3 classes and no logits"),
        (three.replace(logits=None), three, "has 3 classes and no logits"),
        (three, three.replace(logits=-three.logits), "row 0 .*, exit 1 .* name another class"),
        (trace, three, "has 3 classes, made up has 2"),
        (trace, world(1, 30, 2, (1, 1, 1)), "has 3 exits, made up has 2"),
        (calibrate(trace, trace), trace, "is calibrated already"),
        (trace, calibrate(trace, trace), "is calibrated already"),
        (trace.replace(manifest=sha), trace.replace(manifest={"model": {"sha256": "b"}}), "another model"),
        (
            trace.replace(manifest={"exit_layers": [1, 2]}),
            trace.replace(manifest={"exit_layers": [1, 3]}),
            "at other layers",
        ),
    ]:
        with pytest.raises(InputError, match=why):
            calibrate(target, source)
    assert calibrate(trace.replace(manifest=sha), trace.replace(manifest=sha)).name == "made up"
    not_known_to_differ = trace.replace(manifest={"model": "a"})
    assert calibrate(trace.replace(manifest=sha), not_known_to_differ).name == "made up"


@pytest.mark.parametrize("temperatures", [[1], [1, 0], [1, -1], [1, math.nan], [1, math.inf], [[1, 1]]])
def test_temperatures_that_are_none(temperatures):
    with pytest.raises(InputError, match="2 positive numbers"):
        apply_temperatures(world(1, 30, 2, (0.3, 3.0)), temperatures)
