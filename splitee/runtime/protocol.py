"""The Open Inference Protocol v2 over HTTP, with its extension for binary tensors.

A body is a JSON head, then the raw little-endian bytes of the tensors whose entry in the head has the
parameter ``binary_data_size``. The header ``Inference-Header-Content-Length`` holds the length of the head;
without it the whole body is JSON. A device and a cloud share this file, which needs NumPy only. No length is
believed: each is compared with the bytes at hand before memory is taken.

References
----------
KServe, Open Inference Protocol (V2), HTTP/REST; Triton Inference Server, extension "binary tensor data".
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitee._internal.errors import InputError, shown, suggest
from splitee._internal.reading import parse_json

Arrays = dict[str, NDArray[Any]]
Head = dict[str, Any]

HEAD_LENGTH = "Inference-Header-Content-Length"
JSON, BINARY = "application/json", "application/octet-stream"
MOST_HEAD = 2**22  # bytes of JSON
MOST_TENSORS = 16
_MOST_NAME = 256  # characters of a name or id
_MOST_DIMENSIONS = 8
BYTES = "BYTES"  # elements of any length, each behind its length: numpy's objects
_LENGTH = 4  # bytes of such a length
_MOST_ELEMENTS = 4096
_NUMPY = {
    "BOOL": "?",
    "UINT8": "u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "INT8": "i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
}
_NAMES = {np.dtype(kind): name for name, kind in _NUMPY.items()}
_Scalar = bool | int | float | str


class ProtocolError(InputError):
    """What is wrong with a request, in one line, and the HTTP status of the answer.

    Examples
    --------
    >>> error = ProtocolError("there is no layer 9", 400)
    >>> error.status, error.body()
    (400, b'{"error": "there is no layer 9"}')
    """

    def __init__(self, message: object = "", status: int = 400) -> None:
        super().__init__(message)
        self.status = status

    def body(self) -> bytes:
        """Return the protocol's error object."""
        return json.dumps({"error": " ".join(str(self).split())}).encode()


@dataclass(frozen=True)
class Request:
    """A request for inference.

    Attributes
    ----------
    inputs : dict of str to ndarray
        Tensors by name.
    parameters : dict
        Texts, numbers and booleans by name.
    id : str
        Chosen by the client, returned with the answer.
    outputs : dict of str to bool, optional
        Tensors wanted, and whether each as bytes. None: all, as `binary` says.
    binary : bool
        Whether outputs that are not named are wanted as bytes.
    """

    inputs: Arrays
    parameters: dict[str, _Scalar] = field(default_factory=dict)
    id: str = ""
    outputs: dict[str, bool] | None = None
    binary: bool = True


@dataclass(frozen=True)
class Response:
    """An answer: tensors by name, and the model that computed them."""

    outputs: Arrays
    model: str = ""
    version: str = ""
    id: str = ""
    parameters: dict[str, _Scalar] = field(default_factory=dict)


def write_request(request: Request) -> tuple[dict[str, str], bytes]:
    """Return headers and body of a request; all tensors go as bytes.

    Examples
    --------
    >>> headers, body = write_request(Request({"input_ids": np.int64([[5, 6]])}, {"layer": 0}))
    >>> headers["Inference-Header-Content-Length"], len(body)
    ('169', 185)
    >>> read_request(body, headers["Inference-Header-Content-Length"]).inputs["input_ids"].tolist()
    [[5, 6]]
    """
    head: Head = {} if not request.id else {"id": request.id}
    parameters: dict[str, _Scalar] = dict(request.parameters)
    if request.outputs is None:
        parameters["binary_data_output"] = request.binary
    else:
        head["outputs"] = [
            {"name": name, "parameters": {"binary_data": binary}} for name, binary in request.outputs.items()
        ]
    head["parameters"] = parameters
    return _write(head, "inputs", request.inputs, set(request.inputs))


def read_request(body: bytes, head_length: str | None = None) -> Request:
    """Parse a request.

    Parameters
    ----------
    body : bytes
        The arrays of the result may be views of it.
    head_length : str, optional
        The header ``Inference-Header-Content-Length``.

    Raises
    ------
    ProtocolError
        If it is not a request of the protocol; status 400, or 413 if its head is too long.
    """
    head, inputs = _read(body, head_length, "inputs")
    parameters = _parameters(head, "the request")
    binary = parameters.pop("binary_data_output", False)
    if not isinstance(binary, bool):
        raise ProtocolError(f"binary_data_output is {shown(binary)}: give true or false")
    outputs: dict[str, bool] | None = None
    if head.get("outputs"):  # an empty list asks for all
        outputs = {}
        for entry in _entries(head, "outputs"):
            name = _text(entry.get("name"), "the name of an output")
            wanted = _parameters(entry, name).get("binary_data", binary)
            if name in outputs or not isinstance(wanted, bool):
                raise ProtocolError(f"output {shown(name)}: name it once, with binary_data true or false")
            outputs[name] = wanted
    return Request(inputs, parameters, _text(head.get("id", ""), "id"), outputs, binary)


def write_response(response: Response, request: Request | None = None) -> tuple[dict[str, str], bytes]:
    """Return headers and body of an answer; `request` says which outputs are wanted, and how.

    Raises
    ------
    ProtocolError
        If it wants an output that there is not.
    """
    outputs, binary = response.outputs, set(response.outputs)
    if request is not None and request.outputs is not None:
        for name in request.outputs:
            if name not in outputs:
                raise ProtocolError(f"no output is called {shown(name)}: {suggest(name, outputs)}")
        outputs = {name: outputs[name] for name in request.outputs}
        binary = {name for name, wanted in request.outputs.items() if wanted}
    elif request is not None and not request.binary:
        binary = set()
    head: Head = {"model_name": response.model, "model_version": response.version}
    if response.id:
        head["id"] = response.id
    if response.parameters:
        head["parameters"] = response.parameters
    return _write(head, "outputs", outputs, binary)


def read_response(status: int, body: bytes, head_length: str | None = None) -> Response:
    """Parse an answer.

    Raises
    ------
    ProtocolError
        If the status is not 200, with the server's own line; or if it is no answer of the protocol.
    """
    if status != 200:
        raise ProtocolError(_complaint(status, body), status)
    head, outputs = _read(body, head_length, "outputs")
    model, version, id_ = (_text(head.get(key, ""), key) for key in ("model_name", "model_version", "id"))
    return Response(outputs, model, version, id_, _parameters(head, "the answer"))


def _complaint(status: int, body: bytes) -> str:
    try:
        return str(parse_json(body[:MOST_HEAD])["error"])
    except (ValueError, LookupError, TypeError):
        return f"the server answered with status {status} and no error object"


# tensors


def _write(head: Head, key: str, arrays: Arrays, binary: Iterable[str]) -> tuple[dict[str, str], bytes]:
    entries, raw = [], []
    for name, array in arrays.items():
        if array.dtype.kind == "O":
            data = b"".join(len(one).to_bytes(_LENGTH, "little") + one for one in array.ravel())
            size = {"binary_data_size": len(data)}
            entries.append({"name": name, "datatype": BYTES, "shape": list(array.shape), "parameters": size})
            raw.append(data)
            continue
        kind = np.dtype(array.dtype).newbyteorder("<")
        if kind not in _NAMES:
            raise ProtocolError(f"{name}: no datatype of the protocol is numpy's {array.dtype}")
        entry: Head = {"name": name, "datatype": _NAMES[kind], "shape": list(array.shape)}
        if name in binary:
            data = np.ascontiguousarray(array, dtype=kind).tobytes()
            entry["parameters"] = {"binary_data_size": len(data)}
            raw.append(data)
        else:
            entry["data"] = array.ravel().tolist()
        entries.append(entry)
    text = json.dumps({**head, key: entries}).encode()
    if not raw:
        return {"Content-Type": JSON}, text
    return {"Content-Type": BINARY, HEAD_LENGTH: str(len(text))}, b"".join([text, *raw])


def _read(body: bytes, head_length: str | None, key: str) -> tuple[Head, Arrays]:
    length = len(body)
    if head_length is not None:
        if not (head_length.isascii() and head_length.isdigit() and len(head_length) < 12):
            raise ProtocolError(f"{HEAD_LENGTH} is {shown(head_length)}: give the bytes of the JSON head")
        length = int(head_length)
        if length > len(body):
            raise ProtocolError(f"{HEAD_LENGTH} is {length:,}, but the body has {len(body):,} bytes")
    if length > MOST_HEAD:
        raise ProtocolError(
            f"the JSON part has {length:,} bytes, at most {MOST_HEAD:,} are read: use binary data", 413
        )
    try:
        head = parse_json(body[:length])
    except ValueError as error:
        raise ProtocolError(f"the JSON part cannot be read: {shown(str(error), 120)}") from error
    if not isinstance(head, dict):
        raise ProtocolError("the JSON part is no object")
    arrays: Arrays = {}
    at = length
    for entry in _entries(head, key):
        name = _text(entry.get("name"), "the name of a tensor")
        if name in arrays:
            raise ProtocolError(f"tensor {shown(name)} is given twice")
        arrays[name], at = _tensor(name, entry, body, at)
    if at != len(body):
        raise ProtocolError(f"{len(body) - at:,} bytes of the body belong to no tensor")
    return head, arrays


def _tensor(name: str, entry: Head, body: bytes, at: int) -> tuple[NDArray[Any], int]:
    """Return a tensor, and where in the body the next one begins."""
    datatype, shape = entry.get("datatype"), entry.get("shape")
    if not isinstance(datatype, str) or (datatype not in _NUMPY and datatype != BYTES):
        raise ProtocolError(f"{name}: datatype {shown(datatype)} is not known: {', '.join(_NUMPY)}, {BYTES}")
    if (
        not isinstance(shape, list)
        or len(shape) > _MOST_DIMENSIONS
        or not all(type(size) is int and 0 <= size < 2**40 for size in shape)
    ):
        raise ProtocolError(f"{name}: shape {shown(shape)}: give up to {_MOST_DIMENSIONS} whole numbers")
    count = math.prod(shape)
    parameters = _parameters(entry, name)
    if any(key.startswith("shared_memory") for key in parameters):
        raise ProtocolError(f"{name}: shared memory is not supported: give binary data")
    size = parameters.get("binary_data_size")
    if (size is None) == ("data" not in entry):
        raise ProtocolError(f"{name}: give either data or binary_data_size")
    if datatype == BYTES:
        return _elements(name, size, count, body, at).reshape(shape), at + int(size or 0)
    kind = np.dtype(_NUMPY[datatype])
    if size is None:
        return _from_lists(name, entry["data"], shape, kind, datatype), at
    expected = count * kind.itemsize
    if type(size) is not int or size != expected:
        raise ProtocolError(
            f"{name}: binary_data_size is {shown(size)}, but {datatype} of shape {shown(shape)} has "
            f"{shown(expected)} bytes"
        )
    if size > len(body) - at:
        raise ProtocolError(f"{name}: {size:,} bytes are announced, but {len(body) - at:,} are there")
    return np.frombuffer(body, kind, count, at).reshape(shape), at + size


def _elements(name: str, size: Any, count: int, body: bytes, at: int) -> NDArray[Any]:
    """Return the elements of a tensor of BYTES as objects, one of bytes each, shape (count,)."""
    if size is None:
        raise ProtocolError(f"{name}: {BYTES} has no form in JSON: give binary data")
    if count > _MOST_ELEMENTS:
        raise ProtocolError(f"{name}: {shown(count)} elements of {BYTES}: give at most {_MOST_ELEMENTS:,}")
    if type(size) is not int or not 0 <= size <= len(body) - at or _LENGTH * count > size:
        raise ProtocolError(
            f"{name}: binary_data_size is {shown(size)} for {shown(count)} elements, and "
            f"{len(body) - at:,} bytes are there"
        )
    found, end = np.empty(count, dtype=object), at + size
    for i in range(count):
        length = int.from_bytes(body[at : at + _LENGTH], "little") if at + _LENGTH <= end else size
        at += _LENGTH + length
        if at > end:
            raise ProtocolError(f"{name}: element {i} ends behind the tensor")
        found[i] = body[at - length : at]
    if at != end:
        raise ProtocolError(f"{name}: {end - at:,} bytes belong to no element")
    return found


def _from_lists(name: str, data: Any, shape: list[int], kind: np.dtype[Any], datatype: str) -> NDArray[Any]:
    """Return the array of JSON data: one list in row-major order, or nested as the shape is."""
    if kind.kind == "f" and kind.itemsize == 2:
        raise ProtocolError(f"{name}: {datatype} has no form in JSON: give binary data")
    level = data
    if isinstance(level, list) and level and isinstance(level[0], list):
        for size in shape[1:]:
            if not all(isinstance(row, list) and len(row) == size for row in level):
                raise ProtocolError(f"{name}: nested data does not have the shape {shown(shape)}")
            level = [value for row in level for value in row]
    count = math.prod(shape)
    if not isinstance(level, list) or len(level) != count:
        raise ProtocolError(f"{name}: data is not a list of the {shown(count)} values of its shape")
    fits = {"b": (bool,), "i": (int,), "u": (int,), "f": (int, float)}[kind.kind]
    if not all(type(value) in fits for value in level):
        raise ProtocolError(f"{name}: data holds values that are no {datatype}")
    try:
        with np.errstate(over="ignore"):
            return np.array(level, kind).reshape(shape)
    except (OverflowError, ValueError) as error:
        raise ProtocolError(f"{name}: data holds values beyond {datatype}") from error


# parts of the JSON head


def _entries(head: Head, key: str) -> list[Head]:
    entries = head.get(key)
    if (
        not isinstance(entries, list)
        or not 1 <= len(entries) <= MOST_TENSORS
        or not all(isinstance(entry, dict) for entry in entries)
    ):
        raise ProtocolError(f"{key}: give a list of 1 to {MOST_TENSORS} tensors")
    return entries


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str) or len(value) > _MOST_NAME:
        raise ProtocolError(f"{what} is {shown(value)}: give a text of at most {_MOST_NAME} characters")
    return value


def _parameters(entry: Mapping[str, Any], what: str) -> dict[str, Any]:
    found = entry.get("parameters") or {}
    if not isinstance(found, dict) or not all(
        isinstance(value, bool | int | float | str) for value in found.values()
    ):
        raise ProtocolError(f"parameters of {shown(what)}: give texts, numbers or booleans by name")
    return dict(found)
