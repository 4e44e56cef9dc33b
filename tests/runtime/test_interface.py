"""Requests are checked against the model before anything is computed; both halves build and read the same."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitee.runtime.interface import Interface
from splitee.runtime.interfaces import reported
from splitee.runtime.protocol import HEAD_LENGTH, ProtocolError, Request, read_request, write_request
from splitee.runtime.text_interface import TextInterface
from splitee.system.codec import CODECS, decode, encode

TOY = TextInterface(
    "toy",
    "ab12" * 16,
    6,
    (2, 4, 6),
    ("no", "yes"),
    rows=4,
    hidden=3,
    tokens=8,
    vocabulary=50,
    token_types=2,
)
DEEP = dataclasses.replace(TOY, states=3)
SCORES = dataclasses.replace(TOY, scores=True, classes=("score",))
MASK = np.int64([[1, 1, 0], [1, 1, 1]])
IDS = np.int64([[7, 8, 0], [9, 9, 9]])
STATE = np.random.default_rng(0).normal(size=(2, 3, 3)).astype(np.float32)


def over_the_wire(request: Request) -> Request:
    headers, body = write_request(request)
    return read_request(body, headers[HEAD_LENGTH])


@pytest.mark.parametrize(
    "model", [TOY, DEEP, SCORES, dataclasses.replace(TOY, token_types=0, pads_left=False)]
)
def test_metadata_say_everything(model: Interface) -> None:
    found = model.metadata()
    assert reported(found) == model
    assert all(isinstance(value, str | int | bool) for value in found["parameters"].values())
    names = [one["name"] for one in found["inputs"]]
    assert ("recent" in names, "token_type_ids" in names) == (model.states > 1, model.token_types > 0)


@pytest.mark.parametrize("found", [{}, {"name": "m", "parameters": {}}, {"name": "m", "parameters": None}])
def test_another_servers_metadata_are_refused(found: dict) -> None:
    with pytest.raises(ProtocolError, match="no model of splitee serve"):
        reported(found)


def test_tokens() -> None:
    work = TOY.check(over_the_wire(TOY.tokens_request(IDS, MASK, types=MASK)))
    assert (work.layer, work.state) == (0, None)
    np.testing.assert_array_equal(work.ids, IDS)
    np.testing.assert_array_equal(work.types, MASK)
    np.testing.assert_array_equal(work.mask, MASK)
    assert (
        "token_type_ids" not in dataclasses.replace(TOY, token_types=0).tokens_request(IDS, MASK, MASK).inputs
    )


@given(st.sampled_from(CODECS), st.integers(1, 5), st.integers(1, 4), st.integers(1, 8))
def test_a_state_is_decoded_as_the_codec_does_it_sample_by_sample(codec, layer, rows, tokens) -> None:
    state = np.random.default_rng(rows).normal(size=(rows, tokens, 3)).astype(np.float32)
    work = TOY.check(over_the_wire(TOY.state_request(layer, state, np.ones((rows, tokens)), codec)))
    assert (work.layer, work.ids) == (layer, None)
    for one, found in zip(state, work.state, strict=True):
        np.testing.assert_array_equal(found, decode(codec, encode(codec, one), 3))


@pytest.mark.parametrize(("layer", "held"), [(1, 1), (2, 2), (5, 2)])
def test_models_whose_exits_read_several_states(layer: int, held: int) -> None:
    recent = np.ones((2, held, 3), np.float32)
    work = DEEP.check(over_the_wire(DEEP.state_request(layer, STATE, MASK, recent=recent)))
    np.testing.assert_array_equal(work.recent, recent)
    for wrong in (None, np.ones((2, held + 1, 3), np.float32)):
        with pytest.raises(ProtocolError, match="recent"):
            DEEP.check(DEEP.state_request(layer, STATE, MASK, recent=wrong))


def state(**changes: object) -> Request:
    made = TOY.state_request(2, STATE, MASK, "int8")
    return dataclasses.replace(
        made,
        inputs={k: v for k, v in (made.inputs | changes.pop("inputs", {})).items() if v is not None},
        parameters={k: v for k, v in (made.parameters | changes).items() if v is not None},
    )


def tokens(parameters: dict | None = None, **inputs: object) -> Request:
    made = TOY.tokens_request(IDS, MASK)
    kept = {k: v for k, v in (made.inputs | inputs).items() if v is not None}
    return Request(kept, made.parameters | (parameters or {}))


WRONG = {
    "neither": (tokens(input_ids=None), "either input_ids or state"),
    "both": (tokens(state=STATE), "either input_ids or state"),
    "name": (tokens(inputids=IDS), "did you mean input_ids"),
    "no mask": (tokens(attention_mask=None), "attention_mask is missing"),
    "mask of another shape": (tokens(attention_mask=MASK[:1]), "attention_mask is int64"),
    "mask of floats": (tokens(attention_mask=MASK.astype(np.float32)), "give int64"),
    "mask of 2": (tokens(attention_mask=MASK * 2), "1 for tokens"),
    "nothing but padding": (tokens(attention_mask=MASK * [[0], [1]]), "a token in every sample"),
    "ids of int32": (tokens(input_ids=IDS.astype(np.int32)), "input_ids is int32"),
    "unknown token": (tokens(input_ids=IDS + 45), "from 0 to 49"),
    "negative token": (tokens(input_ids=IDS - 9), "from 0 to 49"),
    "unknown type": (tokens(token_type_ids=MASK * 2), "from 0 to 1"),
    "layer of tokens": (tokens({"layer": 1}), "layer must be 0"),
    "scale of tokens": (tokens(scale=MASK), "goes with state"),
    "long": (tokens(input_ids=np.zeros((1, 9), np.int64)), "at most 8 tokens"),
    "many": (tokens(input_ids=np.zeros((5, 1), np.int64)), "at most 4 samples"),
    "none": (tokens(input_ids=np.zeros((0, 1), np.int64)), "at most 4 samples"),
    "empty": (tokens(input_ids=np.zeros((1, 0), np.int64)), "at most 4 samples"),
    "flat": (tokens(input_ids=IDS[0]), r"give \[b, t\]"),
    "width": (state(inputs={"state": np.zeros((2, 3, 4), np.int8)}), r"give \[b, t, 3\]"),
    "layer 0": (state(layer=0), "after layers 1 to 5"),
    "last layer": (state(layer=6), "after layers 1 to 5"),
    "no layer": (state(layer=None), "layer is None"),
    "true": (state(layer=True), "layer is True"),
    "fraction": (state(layer=2.0), "layer is 2.0"),
    "codec": (state(codec="int4"), "did you mean int8"),
    "no codec": (state(codec=None), "no codec is called None"),
    "other codec": (state(codec="float16"), "give float16"),
    "no scale": (state(inputs={"scale": None}), "int8 needs it"),
    "scale of another shape": (state(inputs={"scale": np.ones((2, 2), np.float32)}), "scale is float32"),
    "infinite scale": (state(inputs={"scale": np.full((2, 3), np.inf, np.float32)}), "not finite"),
    "types of a state": (state(inputs={"token_type_ids": MASK}), "goes with input_ids"),
    "recent": (state(inputs={"recent": STATE}), "needs 0 states"),
    "no fingerprint": (state(fingerprint=None), "fingerprint is None"),
}


@pytest.mark.parametrize(("request_", "line"), WRONG.values(), ids=WRONG)
def test_what_does_not_fit_is_refused(request_: Request, line: str) -> None:
    with pytest.raises(ProtocolError, match=line) as caught:
        TOY.check(request_)
    assert caught.value.status == 400


@pytest.mark.parametrize("request_", [state(fingerprint="cd"), tokens({"fingerprint": "cd"})])
def test_another_models_state_is_a_conflict(request_: Request) -> None:
    with pytest.raises(ProtocolError, match="same checkpoint") as caught:
        TOY.check(request_)
    assert caught.value.status == 409


def test_standard_clients_need_no_fingerprint_for_tokens() -> None:
    assert TOY.check(Request(TOY.tokens_request(IDS, MASK).inputs)).layer == 0


def test_padding_on_the_left_where_it_changes_answers() -> None:
    right_only = dataclasses.replace(TOY, pads_left=False)
    assert right_only.check(right_only.tokens_request(IDS, MASK)).layer == 0
    with pytest.raises(ProtocolError, match="pad on the right"):
        right_only.check(right_only.tokens_request(IDS, MASK[:, ::-1]))


def test_a_score_needs_the_exit_before_the_last() -> None:
    assert SCORES.check(SCORES.state_request(4, STATE, MASK)).layer == 4
    with pytest.raises(ProtocolError, match="after layers 1 to 4"):
        SCORES.check(SCORES.state_request(5, STATE, MASK))
