"""The wire: what is written is read again, any damage is one ProtocolError, no length is believed."""

import contextlib
import json
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from splitee.runtime import protocol
from splitee.runtime.protocol import HEAD_LENGTH, ProtocolError, Request, Response

KINDS = [
    "bool",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "int8",
    "int16",
    "int32",
    "int64",
    "float16",
    "float32",
    "float64",
]
IN_JSON = [kind for kind in KINDS if kind != "float16"]


@st.composite
def tensors(draw: st.DrawFn, kinds: list[str] = KINDS) -> dict[str, np.ndarray]:
    names = draw(st.lists(st.text(min_size=1, max_size=5), min_size=1, max_size=4, unique=True))
    shape = arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)
    return {name: draw(arrays.arrays(np.dtype(draw(st.sampled_from(kinds))), draw(shape))) for name in names}


def assert_same(found: dict, wanted: dict) -> None:
    assert list(found) == list(wanted)
    for name, array in wanted.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


@given(tensors(), st.dictionaries(st.text(max_size=4), st.booleans() | st.integers() | st.text(), max_size=3))
def test_a_request_is_read_as_it_was_written(inputs: dict, parameters: dict) -> None:
    parameters.pop("binary_data_output", None)
    headers, body = protocol.write_request(Request(inputs, parameters, id="7"))
    found = protocol.read_request(body, headers.get(HEAD_LENGTH))
    assert_same(found.inputs, inputs)
    assert (found.parameters, found.id, found.outputs, found.binary) == (parameters, "7", None, True)


@given(tensors(IN_JSON), st.data())
def test_an_answer_is_read_as_it_was_written_in_bytes_or_json(outputs: dict, data: st.DataObject) -> None:
    outputs = {name: np.nan_to_num(array) for name, array in outputs.items()}
    wanted = {name: data.draw(st.booleans()) for name in data.draw(st.permutations(list(outputs)))}
    answer = Response(outputs, "toy", "1", "9", {"batch": 3})
    headers, body = protocol.write_response(answer, Request({}, outputs=wanted))
    assert (HEAD_LENGTH in headers) == any(wanted.values())
    found = protocol.read_response(200, body, headers.get(HEAD_LENGTH))
    assert_same(found.outputs, {name: outputs[name] for name in wanted})
    assert (found.model, found.version, found.id, found.parameters) == ("toy", "1", "9", {"batch": 3})


def test_the_bytes_are_those_of_the_protocol() -> None:
    """An example written by hand from the extension's text."""
    head = b'{"inputs":[{"name":"x","datatype":"INT32","shape":[2],"parameters":{"binary_data_size":8}}]}'
    body = head + b"\x01\x00\x00\x00\xfe\xff\xff\xff"
    assert protocol.read_request(body, str(len(head))).inputs["x"].tolist() == [1, -2]
    headers, answer = protocol.write_response(Response({"y": np.float32([1.0])}, "m", "1"))
    length = int(headers[HEAD_LENGTH])
    assert answer[length:] == b"\x00\x00\x80\x3f"
    assert json.loads(answer[:length]) == {
        "model_name": "m",
        "model_version": "1",
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [1], "parameters": {"binary_data_size": 4}}],
    }


@pytest.mark.parametrize("data", [[1, 2, 3, 4, 5, 6], [[1, 2, 3], [4, 5, 6]]])
def test_json_data_are_flat_or_nested_as_the_shape(data: list) -> None:
    head = {"inputs": [{"name": "x", "datatype": "INT64", "shape": [2, 3], "data": data}]}
    assert protocol.read_request(json.dumps(head).encode()).inputs["x"].tolist() == [[1, 2, 3], [4, 5, 6]]


@given(st.lists(st.binary(max_size=20), max_size=5), st.binary(max_size=30))
def test_elements_of_any_length(given_: list[bytes], junk: bytes) -> None:
    """As the extension writes BYTES: each element behind its length; what does not fit is one line."""
    array = np.empty(len(given_), dtype=object)
    array[:] = given_
    headers, body = protocol.write_request(Request({"x": array, "y": np.int8([3])}))
    found = protocol.read_request(body, headers[HEAD_LENGTH]).inputs
    assert (found["x"].tolist(), found["y"].tolist()) == (given_, [3])
    raw = b"".join(struct.pack("<I", len(one)) + one for one in given_)
    assert body[int(headers[HEAD_LENGTH]) :] == raw + b"\x03"
    entry = {"name": "x", "datatype": "BYTES", "shape": [len(given_)]}
    for data in (junk, raw[:-1], raw + b"\x00"):
        sized = entry | {"parameters": {"binary_data_size": len(data)}}
        head = json.dumps({"inputs": [sized]}).encode()
        with contextlib.suppress(ProtocolError):
            again = protocol.read_request(head + data, str(len(head))).inputs["x"].tolist()
            assert b"".join(struct.pack("<I", len(one)) + one for one in again) == data


X = {"name": "x", "datatype": "FP32", "shape": [2], "data": [1, 2]}
RAW = {"name": "x", "datatype": "FP32", "shape": [2]}
WRONG = {
    "no list": ({"inputs": {}}, "inputs: give a list"),
    "none": ({"inputs": []}, "inputs: give a list"),
    "no object": ({"inputs": [3]}, "inputs: give a list"),
    "too many": ({"inputs": [X | {"name": str(i)} for i in range(99)]}, "inputs: give a list"),
    "twice": ({"inputs": [X, X]}, "twice"),
    "no name": ({"inputs": [X | {"name": 3}]}, "the name of a tensor is 3"),
    "long name": ({"inputs": [X | {"name": "x" * 300}]}, "at most 256"),
    "texts": ({"inputs": [X | {"datatype": "BYTES"}]}, "BYTES has no form in JSON"),
    "many texts": ({"inputs": [RAW | {"datatype": "BYTES", "shape": [2**30], "parameters":
        {"binary_data_size": 2**32}}]}, "at most 4,096"),
    "texts of no size": ({"inputs": [RAW | {"datatype": "BYTES", "parameters": {"binary_data_size": 7}}]},
        "for 2 elements"),
    "datatype": ({"inputs": [X | {"datatype": ["FP32"]}]}, "datatype"),
    "negative": ({"inputs": [X | {"shape": [-1]}]}, "shape"),
    "boolean size": ({"inputs": [X | {"shape": [True]}]}, "shape"),
    "huge": ({"inputs": [X | {"shape": [2**39] * 8}]}, "is not a list of the"),
    "no shape": ({"inputs": [X | {"shape": None}]}, "shape"),
    "too few": ({"inputs": [X | {"data": [1]}]}, "not a list of the 2 values"),
    "transposed": ({"inputs": [X | {"shape": [1, 2], "data": [[1], [2]]}]}, "nested data"),
    "text data": ({"inputs": [X | {"data": ["1", "2"]}]}, "no FP32"),
    "fraction": ({"inputs": [X | {"datatype": "INT8", "data": [1.5, 2]}]}, "no INT8"),
    "too large": ({"inputs": [X | {"datatype": "INT8", "data": [1, 300]}]}, "beyond INT8"),
    "half": ({"inputs": [X | {"datatype": "FP16"}]}, "no form in JSON"),
    "no data": ({"inputs": [{"name": "x", "datatype": "FP32", "shape": [2]}]}, "either data or"),
    "both": ({"inputs": [X | {"parameters": {"binary_data_size": 8}}]}, "either data or"),
    "bytes": ({"inputs": [RAW | {"parameters": {"binary_data_size": 8}}]}, "0 are there"),
    "size": ({"inputs": [RAW | {"parameters": {"binary_data_size": 7}}]}, "has 8 bytes"),
    "shared": ({"inputs": [X | {"parameters": {"shared_memory_region": "r"}}]}, "shared memory"),
    "parameters": ({"inputs": [X], "parameters": {"a": [1]}}, "texts, numbers or booleans"),
    "outputs": ({"inputs": [X], "outputs": [{"name": "y"}, {"name": "y"}]}, "name it once"),
    "id": ({"inputs": [X], "id": 5}, "id is 5"),
}  # fmt: skip


@pytest.mark.parametrize(("head", "line"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_one_line(head: dict, line: str) -> None:
    with pytest.raises(ProtocolError, match=line) as caught:
        protocol.read_request(json.dumps(head).encode())
    assert caught.value.status == 400
    assert "\n" not in json.loads(caught.value.body())["error"]


@pytest.mark.parametrize("length", ["-1", "1e3", "9999", "", "²", "9" * 5000])
def test_the_length_of_the_head_is_not_believed(length: str) -> None:
    with pytest.raises(ProtocolError, match=HEAD_LENGTH):
        protocol.read_request(b"{}", length)


def test_bytes_that_belong_to_no_tensor_are_refused() -> None:
    headers, body = protocol.write_request(Request({"x": np.zeros(2)}))
    with pytest.raises(ProtocolError, match="1 bytes of the body belong"):
        protocol.read_request(body + b"0", headers[HEAD_LENGTH])


@pytest.mark.parametrize(
    "body", [b"[" * 200_000, b"\xff\xfe", b"", b"[1]", b'{"inputs": 1' + b"0" * 9000 + b"}"]
)
def test_json_that_cannot_be_read(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        protocol.read_request(body)


def test_a_long_head_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(ProtocolError) as caught:
        protocol.read_request(b" " * (protocol.MOST_HEAD + 1))
    assert caught.value.status == 413


def test_an_announced_size_takes_no_memory() -> None:
    entry = {"name": "x", "datatype": "FP64", "shape": [2**36], "parameters": {"binary_data_size": 2**39}}
    body = json.dumps({"inputs": [entry]}).encode()
    tracemalloc.start()
    with pytest.raises(ProtocolError, match="announced"):
        protocol.read_request(body, str(len(body)))
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


@given(st.binary(max_size=40), st.integers(0, 250), st.integers(0, 60))
def test_damage_anywhere_is_a_protocol_error_or_a_request(piece: bytes, at: int, cut: int) -> None:
    headers, body = protocol.write_request(Request({"x": np.arange(4), "y": np.float16([1])}, {"layer": 1}))
    damaged = body[:at] + piece + body[at + cut :]
    with contextlib.suppress(ProtocolError):
        assert isinstance(protocol.read_request(damaged, headers[HEAD_LENGTH]), Request)


def test_a_wanted_output_that_is_not_there() -> None:
    with pytest.raises(ProtocolError, match=r"no output is called 'logit'.*did you mean logits"):
        protocol.write_response(Response({"logits": np.zeros(1)}), Request({}, outputs={"logit": True}))


def test_a_servers_error_is_its_own_line() -> None:
    with pytest.raises(ProtocolError, match=r"^no layer 9$") as caught:
        protocol.read_response(400, b'{"error": "no layer 9"}')
    assert caught.value.status == 400
    with pytest.raises(ProtocolError, match="status 502 and no error object"):
        protocol.read_response(502, b"<html>")
