"""Device profiles: interpolation against a loop, shapes, files, and one line for bad input.

Also splitee.system.profile_checks.
"""

import itertools
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import splitee
from splitee.system.profile import DeviceProfile, bundled_profiles

COUNTS = (8, 16, 40)
LAYERS = np.array([[1.0, 2, 3, 4], [2, 4, 6, 9], [8, 16, 24, 36]])  # (T, 4 layers)


def between(table: np.ndarray, tokens: int) -> np.ndarray:
    """Interpolate rows of a table by token count, spelt out."""
    if tokens <= COUNTS[0]:
        return table[0]
    for (low, high), (first, second) in zip(
        itertools.pairwise(COUNTS), itertools.pairwise(table), strict=True
    ):
        if low <= tokens <= high:
            return first + (second - first) * (tokens - low) / (high - low)
    raise AssertionError


@given(st.lists(st.integers(0, 40), max_size=20))
def test_values_between_token_counts(tokens: list[int]) -> None:
    device = DeviceProfile(
        LAYERS,
        LAYERS / 10,
        LAYERS * 5,
        tokens=COUNTS,
        tokenize_ms=LAYERS[:, 0],
        encode_ms={"int8": LAYERS[:, 1], "float16": 0.5},
    )
    times = device.at(np.array(tokens, dtype=np.int64), (1, 2, 3, 4))
    assert times.layer_ms.shape == (len(tokens), 4)
    assert times.exit_mj is None
    for row, count in enumerate(tokens):
        right = between(LAYERS, count)
        assert np.allclose(times.layer_ms[row], right)
        assert np.allclose(times.exit_ms[row], right / 10)
        assert np.allclose(times.layer_mj[row], right * 5)
        assert times.tokenize_ms[row] == pytest.approx(right[0])
        assert times.encode_ms("int8")[row] == pytest.approx(right[1])
        assert times.encode_ms("float16")[row] == 0.5
    for row in np.flatnonzero(np.isin(tokens, COUNTS)):
        assert (times.layer_ms[row] == LAYERS[COUNTS.index(tokens[row])]).all()  # no rounding where measured
    assert times.encode_mj("int8").tolist() == [0] * len(tokens)


def test_numbers_hold_for_every_layer_exactly() -> None:
    device = DeviceProfile(layer_ms=5 / 6, exit_ms=1 / 6)
    assert device.regular == (5 / 6, 1 / 6)
    times = device.at(np.array([3, 10**6]), tuple(range(1, 13)))
    assert (times.layer_ms == 5 / 6).all()
    assert (times.exit_ms == 1 / 6).all()
    assert (times.tokenize_ms == 0).all()
    assert (device.at(np.array([3]), (2, 6)).layer_ms == [[2 * (5 / 6), 4 * (5 / 6)]]).all()
    assert DeviceProfile([1.0, 2.0], 0.1).regular is None


def test_layers_of_the_backbone_are_summed_up_to_every_exit() -> None:
    whole = DeviceProfile(LAYERS, LAYERS / 10, tokens=COUNTS)
    times = whole.at(np.array([8, 40]), (2, 4))
    assert times.layer_ms.tolist() == [[3, 7], [24, 60]]
    assert np.allclose(times.exit_ms, [[0.2, 0.4], [1.6, 3.6]])
    assert DeviceProfile([1.0, 2, 3, 4]).at(np.array([8]), (1, 4)).layer_ms.tolist() == [[1, 9]]
    by_exit = DeviceProfile([5.0, 7.0], [0.1, 0.2])  # as many values as exits: what lies between them
    assert by_exit.at(np.array([8]), (2, 4)).layer_ms.tolist() == [[5, 7]]


def test_a_profile_is_the_same_after_saving(tmp_path: Path) -> None:
    facts = {"threads": 1, "model": {"sha256": "ab"}, "quartiles": [1.5, 2.5]}
    device = DeviceProfile(
        LAYERS / 3,
        0.1,
        LAYERS * 7,
        tokens=COUNTS,
        tokenize_ms=LAYERS[:, 0] / 7,
        encode_ms={"int8": 1 / 3},
        radio_mw=800,
        hidden=384,
        name="phone",
        kind="quoted",
        source="a page",
        facts=facts,
    )
    device.save(tmp_path / "device.json")
    for back in (DeviceProfile.load(tmp_path / "device.json"), pickle.loads(pickle.dumps(device))):
        assert back.to_dict() == device.to_dict()
        assert np.array_equal(back.layer_ms, device.layer_ms)
        assert back.facts == facts
        assert (
            back.at(np.array([9]), (1, 2, 3, 4)).layer_ms.tolist()
            == device.at(np.array([9]), (1, 2, 3, 4)).layer_ms.tolist()
        )
    with pytest.raises(FileExistsError):
        device.save(tmp_path / "device.json")
    device.save(tmp_path / "device.json", overwrite=True)


def test_a_profile_of_another_model_is_refused() -> None:
    device = DeviceProfile(1.0, facts={"model": {"sha256": "a" * 64}})
    device.check_model({"model": {"sha256": "a" * 64}})
    device.check_model({})
    DeviceProfile(1.0).check_model({"model": {"sha256": "b" * 64}})
    with pytest.raises(splitee.InputError, match="another model"):
        device.check_model({"model": {"sha256": "b" * 64}})


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"layer_ms": -1}, "layer_ms must be between"),
        ({"layer_ms": float("nan")}, "layer_ms must be between"),
        ({"layer_ms": float("inf")}, "layer_ms must be between"),
        ({"layer_ms": "15"}, "layer_ms is '15'"),
        ({"layer_ms": True}, "layer_ms is True"),
        ({"layer_ms": None}, "layer_ms is None"),
        ({"layer_ms": []}, r"shape \(0,\)"),
        ({"layer_ms": 10**400}, "layer_ms is 1000"),
        ({"layer_ms": 10**5000}, "very long int"),
        ({"layer_ms": [[1, 2], [3]]}, "array of numbers"),
        ({"layer_ms": [[1, 2], [3, 4]]}, "tokens names"),
        ({"layer_ms": [[1, 2], [3, 4]], "tokens": [8]}, r"shape \(2, 2\)"),
        ({"layer_ms": [[[1]]], "tokens": [8]}, "shape"),
        ({"layer_ms": 1, "exit_ms": [0.1, -0.1]}, "exit_ms must"),
        ({"layer_ms": [1, 2], "layer_mj": [1, 2, 3]}, "layer_mj has 3"),
        ({"layer_ms": 1, "exit_ms": [1, 2], "exit_mj": [1, 2, 3]}, "exit_mj has 3"),
        ({"layer_ms": 1, "tokens": [8, 8]}, "ascending"),
        ({"layer_ms": 1, "tokens": [0, 8]}, "from 1"),
        ({"layer_ms": 1, "tokens": [8.5]}, "whole numbers"),
        ({"layer_ms": 1, "tokens": []}, "whole numbers"),
        ({"layer_ms": 1, "tokenize_ms": [1, 2]}, "tokenize_ms has shape"),
        ({"layer_ms": 1, "tokens": [8], "tokenize_ms": [1, 2]}, "tokenize_ms has shape"),
        ({"layer_ms": 1, "encode_ms": {"int4": 1}}, "int4"),
        ({"layer_ms": 1, "encode_ms": 3}, "mapping"),
        ({"layer_ms": 1, "encode_ms": {"int8": -1}}, r"encode_ms\[int8\]"),
        ({"layer_ms": 1, "radio_mw": -1}, "radio_mw"),
        ({"layer_ms": 1, "hidden": 0}, "hidden"),
        ({"layer_ms": 1, "hidden": 1.5}, "hidden"),
        ({"layer_ms": 1, "kind": "guess"}, "kind"),
        ({"layer_ms": 1, "name": 3}, "name"),
        ({"layer_ms": 1, "facts": [1]}, "facts"),
        ({"layer_ms": 1, "facts": {"x": float("nan")}}, "facts"),
    ],
)
def test_bad_values_are_one_line(given: dict, words: str, tmp_path: Path) -> None:
    with pytest.raises(splitee.InputError, match=words) as caught:
        DeviceProfile(**given)
    assert "\n" not in str(caught.value)
    if given["layer_ms"] == 10**5000:
        return  # Python does not write it
    file = tmp_path / "bad.json"
    file.write_text(json.dumps({"splitee_profile": 1, **given}))
    with pytest.raises(splitee.InputError, match=words) as caught:
        DeviceProfile.load(file)
    assert str(caught.value).startswith(str(file))


def test_bad_questions_are_one_line() -> None:
    device = DeviceProfile(LAYERS, tokens=COUNTS, encode_ms={"int8": 1.0}, name="phone")
    for tokens, layers, words in [
        ([41], (1, 2, 3, 4), "beyond the profile phone, which ends at 40"),
        ([8], (1, 2, 3), "4 layers"),
        ([8], (1, 2, 3, 4, 5), "4 layers"),
        ([8], (2, 1), "ascending"),
        ([8], (), "ascending"),
        ([8.5], (1, 2, 3, 4), "whole"),
        ([[8]], (1, 2, 3, 4), "shape"),
        ([-1], (1, 2, 3, 4), "whole"),
    ]:
        with pytest.raises(splitee.InputError, match=words):
            device.at(np.array(tokens), layers)
    with pytest.raises(splitee.InputError, match="no encode_ms of float16"):
        device.at(np.array([8]), (1, 2, 3, 4)).encode_ms("float16")
    with pytest.raises(splitee.InputError, match="int4"):
        device.at(np.array([8]), (1, 2, 3, 4)).encode_mj("int4")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not readable JSON"),
        ("[1]", "not a device profile"),
        ('{"layer_ms": 1}', "not a device profile"),
        ('{"splitee_profile": 2, "layer_ms": 1}', "not a device profile"),
        ('{"splitee_profile": 1}', "layer_ms is missing"),
        ('{"splitee_profile": 1, "layer_ms": 1, "exit_sm": 1}', "did you mean exit_ms"),
        ('{"splitee_profile": 1, "layer_ms": 1, "": 1}', "has no ''"),
        ('{"splitee_profile": 1, "layer_ms": 1e400}', "layer_ms must"),
        ('{"splitee_profile": 1, "layer_ms": ' + "[" * 10000 + "]" * 10000 + "}", "nested"),
    ],
)
def test_bad_files_are_one_line(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "device.json"
    file.write_text(text)
    with pytest.raises(splitee.InputError, match=words) as caught:
        DeviceProfile.load(file)
    assert "\n" not in str(caught.value)


def test_bundled_profiles_say_what_they_are() -> None:
    for name in bundled_profiles():
        device = DeviceProfile.load(name)
        assert device.name == name
        assert device.kind in ("measured", "quoted")
        assert device.source
    with pytest.raises(splitee.InputError, match="no such file, nor a bundled profile"):
        DeviceProfile.load("nowhere")
