"""Requests to a network of stages are checked before memory is taken; both halves build them alike."""

import base64
import dataclasses
import tracemalloc

import numpy as np
import photos
import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitee.runtime.image_interface import ImageInterface
from splitee.runtime.interfaces import interface_of, reported
from splitee.runtime.protocol import HEAD_LENGTH, ProtocolError, Request, read_request, write_request
from splitee.runtime.text_interface import TextInterface
from splitee.system.codec import CODECS, decode, encode, rows_shape

SHAPES = ((3, 4, 5), (6, 8), (7,))
TOY = ImageInterface("toy", "ab12" * 16, 3, (1, 3), ("no", "yes"), rows=4, shapes=SHAPES, image_size=16)
FILES = [photos.photo(0), photos.photo(1, kind="JPEG")]


def over_the_wire(request: Request) -> Request:
    headers, body = write_request(request)
    return read_request(body, headers[HEAD_LENGTH])


def test_metadata_say_everything() -> None:
    found = TOY.metadata()
    assert reported(found) == TOY
    assert all(isinstance(value, str | int | bool) for value in found["parameters"].values())
    assert [(one["name"], one["datatype"]) for one in found["inputs"]] == [
        ("image", "BYTES"), ("state", "FP32"), ("scale", "FP32"),
    ]  # fmt: skip
    facts = {part.name: getattr(TOY, part.name) for part in dataclasses.fields(TOY)}
    assert interface_of(facts | {"confidence": "softmax"}) == TOY
    assert type(interface_of({name: one for name, one in facts.items() if name != "shapes"})) is TextInterface


def test_files_go_as_they_lie() -> None:
    request = over_the_wire(TOY.files_request(FILES))
    assert TOY.check(request).files == tuple(FILES)
    assert (TOY.check(request).rows, TOY.check(request).tokens) == (2, 1)
    assert TOY.check(Request(request.inputs)).layer == 0  # standard clients give no fingerprint
    encoded = {"image": FILES[0]}
    assert TOY.size(encoded) == (0, len(FILES[0]))
    noted = TOY.noted(encoded)
    assert noted == {"image": base64.b64encode(FILES[0]).decode()}
    assert TOY.resumed(noted) == encoded
    assert TOY.check(over_the_wire(TOY.input_request(encoded))).files == (FILES[0],)
    assert TOY.sample(FILES[1], "image/jpeg") == FILES[1]
    for body, kind in ((b"", "image/png"), (b"{}", "application/json")):
        with pytest.raises(ValueError, match="bytes of its file"):
            TOY.sample(body, kind)


@given(st.sampled_from(CODECS), st.integers(1, 2), st.integers(1, 4))
def test_a_state_has_the_shape_of_its_stage(codec: str, layer: int, rows: int) -> None:
    shape = rows_shape(SHAPES[layer - 1])
    state = np.random.default_rng(rows).normal(size=(rows, *shape)).astype(np.float32)
    work = TOY.check(over_the_wire(TOY.state_request(layer, state, codec=codec)))
    assert (work.layer, work.files, work.rows) == (layer, None, rows)
    for one, found in zip(state, work.state, strict=True):
        np.testing.assert_array_equal(found, decode(codec, encode(codec, one), shape[1]))
    wrong = TOY.state_request(3 - layer, state, codec=codec)
    with pytest.raises(ProtocolError, match="state has shape"):
        TOY.check(wrong)


def changed(request: Request, inputs: dict | None = None, **parameters: object) -> Request:
    kept = {k: v for k, v in (request.inputs | (inputs or {})).items() if v is not None}
    return Request(kept, {k: v for k, v in (request.parameters | parameters).items() if v is not None})


STATE = TOY.state_request(1, np.ones((1, 20, 3)), codec="int8")
IMAGE = TOY.files_request(FILES)
WRONG = {
    "neither": (changed(IMAGE, {"image": None}), "either image or state"),
    "both": (changed(STATE, {"image": IMAGE.inputs["image"]}), "either image or state"),
    "tokens": (changed(IMAGE, {"input_ids": np.int64([[1]])}), "no input is called 'input_ids'"),
    "numbers": (changed(IMAGE, {"image": np.zeros((1, 16, 16, 3), np.uint8)}), "give BYTES of shape"),
    "many": (TOY.files_request([FILES[0]] * 5), "at most 4 images"),
    "none": (TOY.files_request([]), "at most 4 images"),
    "layer": (changed(IMAGE, layer=1), "layer must be 0"),
    "scale": (changed(IMAGE, {"scale": np.ones((1, 1), np.float32)}), "goes with state"),
    "last": (changed(STATE, layer=3), "after layers 1 to 2"),
    "no layer": (changed(STATE, layer=None), "layer is None"),
    "rows": (TOY.state_request(1, np.ones((5, 20, 3))), "at most 4 samples"),
    "maps": (changed(STATE, {"state": np.ones((1, 3, 4, 5), np.int8)}), "state has shape"),
    "codec": (changed(STATE, codec="int4"), "did you mean int8"),
    "no scale": (changed(STATE, {"scale": None}), "int8 needs it"),
    "infinite": (changed(STATE, {"scale": np.full((1, 20), np.inf, np.float32)}), "not finite"),
    "no fingerprint": (changed(STATE, fingerprint=None), "fingerprint is None"),
}


@pytest.mark.parametrize(("request_", "line"), WRONG.values(), ids=WRONG)
def test_what_does_not_fit_is_refused(request_: Request, line: str) -> None:
    with pytest.raises(ProtocolError, match=line) as caught:
        TOY.check(request_)
    assert caught.value.status == 400


def test_another_models_state_is_a_conflict() -> None:
    for request in (changed(STATE, fingerprint="cd"), changed(IMAGE, fingerprint="cd")):
        with pytest.raises(ProtocolError, match="same checkpoint") as caught:
            TOY.check(request)
        assert caught.value.status == 409


def test_a_header_that_names_too_many_pixels_takes_no_memory() -> None:
    request = TOY.files_request([FILES[0], photos.huge_header()])
    tracemalloc.start()
    with pytest.raises(ProtocolError, match=r"image 1: its header names more than 50,000,000"):
        TOY.check(request)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 2**21


def test_the_longest_body_is_that_of_states_or_of_a_long_file() -> None:
    assert TOY.most_bytes == 2**24
    large = dataclasses.replace(TOY, rows=64, shapes=((64, 112, 112),))
    assert large.most_bytes >= 64 * 4 * 64 * 112**2
