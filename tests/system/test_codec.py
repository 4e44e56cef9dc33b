"""The codecs: sizes are those that are computed, and what comes back is as near as it can be."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import splitee
from splitee.system.codec import CODECS, decode, encode, state_bytes

# down to subnormal numbers, and far beyond what float16 holds
STATES = st.tuples(st.integers(0, 9), st.integers(1, 17)).flatmap(
    lambda shape: arrays(np.float32, shape, elements=st.floats(-1e6, 1e6, width=32))
)


@given(STATES, st.sampled_from(CODECS))
def test_a_state_has_the_bytes_that_are_computed_and_comes_back(state: np.ndarray, codec: str) -> None:
    tokens, hidden = state.shape
    parts = encode(codec, state)
    assert sum(part.nbytes for part in parts) == state_bytes(codec, tokens, hidden)
    back = decode(codec, parts, hidden)
    assert back.dtype == np.float32
    assert back.shape == state.shape
    assert np.array_equal(back, decode(codec, [part.tobytes() for part in parts], hidden))
    if codec == "float32":
        assert np.array_equal(back, state)
    elif codec == "float16":
        assert np.array_equal(back, np.clip(state, -65504, 65504).astype(np.float16).astype(np.float32))
    else:
        scale = np.abs(state).max(axis=1, initial=0) / 127
        assert (np.abs(back - state) <= (scale * 0.5001 + 1e-44)[:, None]).all()


def test_the_greatest_number_of_a_token_is_kept_by_int8() -> None:
    state = np.random.default_rng(0).normal(size=(50, 32)).astype(np.float32)
    back = decode("int8", encode("int8", state), 32)
    row, peak = np.arange(50), np.abs(state).argmax(axis=1)
    assert np.allclose(back[row, peak], state[row, peak], rtol=1e-6)


def test_bytes_by_codec() -> None:
    tokens = np.array([0, 1, 128])
    assert state_bytes("float32", tokens, 768).tolist() == [0, 3072, 393216]
    assert state_bytes("float16", tokens, 768).tolist() == [0, 1536, 196608]
    assert state_bytes("int8", tokens, 768).tolist() == [0, 772, 98816]
    assert state_bytes("int8", tokens, 768).dtype == np.int64


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: encode("int4", [[1.0]]), "int4"),
        (lambda: encode("int8", [1.0]), "shape"),
        (lambda: encode("int8", [[1.0], [np.nan]]), "token 1"),
        (lambda: encode("float16", [[np.inf]]), "token 0"),
        (lambda: state_bytes("int8", [-1], 8), "at least 0"),
        (lambda: state_bytes("int8", [1.5], 8), "whole"),
        (lambda: state_bytes("int8", [1], 0), "hidden"),
        (lambda: state_bytes("int8", [2**62], 2**20), "too large"),
        (lambda: decode("int8", [b"1234"], 2), "no int8 state"),
        (lambda: decode("float32", [b"12345"], 1), "no float32 state"),
        (lambda: decode("float32", [], 1), "no float32 state"),
    ],
)
def test_bad_input_is_one_line(call, words: str) -> None:
    with pytest.raises(splitee.InputError, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)
