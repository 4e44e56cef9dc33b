"""What a model takes and returns on the wire, for both halves: what texts and images have in common.

An input is either the sample itself, and the cloud runs every layer, or the state after a layer, and it runs
the rest. `TextInterface` and `ImageInterface` add what the sample is.

============== ============== ========= =====================================================================
tensor         datatype       shape     meaning
============== ============== ========= =====================================================================
state          FP32/FP16/INT8 [b, t, h] the state after layer ``layer`` under ``codec``: t places of width h
scale          FP32           [b, t]    with INT8: the scale of every position
confidence     FP32           [b]       output: confidence of the last exit
prediction     INT64          [b]       output: its class
logits         FP32           [b, K]    output: its logits (K = 1: the score of a regression)
============== ============== ========= =====================================================================

A request with a state has the parameters ``layer`` (1 to L − 1), ``codec`` and ``fingerprint``. NumPy only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from splitee._internal.errors import InputError, shown, suggest
from splitee.runtime.protocol import Arrays, ProtocolError, Request
from splitee.system.codec import CODECS, decode, encode

Integers = NDArray[np.int64]
Floats = NDArray[np.float32]
Sizes = list[int]

VERSION = "1"
OUTPUTS = ("confidence", "prediction", "logits")
_CONFLICT = 409  # the state is of another model


@dataclass(frozen=True)
class Work:
    """A checked request: the input (`layer` 0) or the state after `layer`, decoded to float32.

    Shapes are those of the tables; what is not given is None. `files` are the images of image files.
    """

    layer: int
    mask: Integers | None = None
    ids: Integers | None = None
    types: Integers | None = None
    state: Floats | None = None
    recent: Floats | None = None
    files: tuple[bytes, ...] | None = None

    @property
    def rows(self) -> int:
        """Number of samples."""
        return len(next(one for one in (self.mask, self.state, self.files) if one is not None))

    @property
    def tokens(self) -> int:
        """Tokens per sample, padding included; 1 for images, which are all of one size."""
        return 1 if self.mask is None else self.mask.shape[1]


@dataclass(frozen=True)
class Interface:
    """What a model takes and returns, as its metadata say it.

    Attributes
    ----------
    name : str
        The model's name in addresses.
    fingerprint : str
        SHA-256 of the checkpoint's ``model.safetensors``, as in profiles and traces.
    layers : int
        Number of layers L.
    exits : tuple of int
        The layers with an exit, ascending; the last is L.
    classes : tuple of str
        Class names; one name for a regression.
    rows : int
        Most samples of a request.
    """

    inputs: ClassVar[tuple[str, ...]] = ("state", "scale")
    whole: ClassVar[str] = ""  # the tensor with the samples themselves
    most_sample: ClassVar[int] = 0  # bytes of a sample that comes to the device by HTTP

    name: str
    fingerprint: str
    layers: int
    exits: tuple[int, ...]
    classes: tuple[str, ...]
    rows: int = 64

    # the device's side

    def size(self, encoded: Any) -> tuple[int, int]:
        """Return tokens and bytes of a sample that the device's half has encoded; 0: it has none."""
        raise NotImplementedError

    def input_request(self, encoded: Any) -> Request:
        """Return the request that runs every layer on one sample that the device's half has encoded."""
        raise NotImplementedError

    def noted(self, encoded: Any) -> dict[str, Any]:
        """Return, as JSON values, what a journal keeps of a sample until it is answered."""
        raise NotImplementedError

    def resumed(self, noted: Any) -> Any:
        """Return the encoded sample that `noted` kept."""
        raise NotImplementedError

    def sample(self, body: bytes, kind: str) -> Any:
        """Return the sample in the body of a request to the device; ValueError if there is none.

        Parameters
        ----------
        body : bytes
        kind : str
            The content type.
        """
        raise NotImplementedError

    def state_request(
        self,
        layer: int,
        state: ArrayLike,
        mask: ArrayLike | None = None,
        codec: str = "float32",
        recent: ArrayLike | None = None,
    ) -> Request:
        """Return the request that runs the layers after `layer` on a state, shape (b, t, h).

        `mask` and `recent` are for texts.

        Raises
        ------
        InputError
            If the codec is unknown, or the state has values that are not finite.
        """
        values = np.asarray(state, np.float32)
        parts = encode(codec, values.reshape(-1, values.shape[-1]))
        inputs: Arrays = {"state": parts[0].reshape(values.shape)}
        if codec == "int8":
            inputs["scale"] = parts[1].reshape(values.shape[:2])
        return Request(inputs, {"layer": int(layer), "codec": codec, "fingerprint": self.fingerprint})

    def check_cloud(self, theirs: Interface) -> None:
        """Raise InputError if a cloud's model is another one than the device's."""
        if theirs.fingerprint != self.fingerprint:
            raise InputError(
                f"has the model of fingerprint {theirs.fingerprint[:12]}…, the device of "
                f"{self.fingerprint[:12]}…: both halves need the same checkpoint"
            )
        if type(theirs) is not type(self) or theirs.form != self.form:
            raise InputError(
                "has the same weights in other layers or exits than the device: both halves need the same "
                "checkpoint, and the same stages registered"
            )

    # the cloud's side

    @property
    def most_bytes(self) -> int:
        """Bytes of the longest body that a request may need, without its JSON head."""
        raise NotImplementedError

    def check(self, request: Request) -> Work:
        """Return what a request asks for.

        Raises
        ------
        ProtocolError
            If it does not fit the model: status 400, or 409 if its state is of another model.
        """
        inputs, parameters = request.inputs, request.parameters
        for name in inputs:
            if name not in self.inputs:
                raise ProtocolError(f"no input is called {shown(name)}: {suggest(name, self.inputs)}")
        has_state = "state" in inputs
        if (self.whole in inputs) == has_state:
            raise ProtocolError(f"give either {self.whole} or state")
        mark = parameters.get("fingerprint")
        if mark != self.fingerprint and (has_state or mark is not None):
            raise ProtocolError(
                f"fingerprint is {shown(mark)}, this model's is {self.fingerprint[:12]}…: both halves need "
                "the same checkpoint",
                400 if mark is None else _CONFLICT,
            )
        if has_state:
            return self._check_state(inputs, parameters)
        layer = parameters.get("layer", 0)
        if layer != 0 or isinstance(layer, bool):
            raise ProtocolError(f"{self.whole} is the input of layer 1: layer must be 0, or left out")
        for name in ("scale", "recent"):
            if name in inputs:
                raise ProtocolError(f"{name} goes with state, not with {self.whole}")
        return self._check_input(inputs)

    def _check_input(self, inputs: Arrays) -> Work:
        raise NotImplementedError

    def _check_state(self, inputs: Arrays, parameters: Mapping[str, Any]) -> Work:
        raise NotImplementedError

    def _decoded(self, inputs: Arrays, parameters: Mapping[str, Any], shape: tuple[int, int, int]) -> Floats:
        """Return the state of a request, which must have this shape (b, t, h)."""
        codec = parameters.get("codec")
        if codec not in CODECS:
            raise ProtocolError(f"no codec is called {shown(codec)}: {suggest(codec, CODECS)}")
        state = exactly(inputs, "state", str(codec), shape)  # codecs are called as numpy's types are
        parts = [state.reshape(-1)]
        if (codec == "int8") != ("scale" in inputs):
            raise ProtocolError("scale goes with codec int8, and int8 needs it")
        if codec == "int8":
            parts.append(exactly(inputs, "scale", "float32", shape[:2]).reshape(-1))
        with np.errstate(over="ignore", invalid="ignore"):
            decoded = decode(str(codec), parts, shape[2]).reshape(shape)
        if not np.isfinite(decoded).all():
            raise ProtocolError("state or scale holds values that are not finite")
        return decoded

    def _check_layer(self, parameters: Mapping[str, Any], last: int) -> int:
        """Return the layer of a state, at most `last`."""
        layer = parameters.get("layer")
        if type(layer) is not int or not 1 <= layer <= last:
            raise ProtocolError(f"layer is {shown(layer)}: states are taken after layers 1 to {last}")
        return layer

    # metadata

    @property
    def form(self) -> dict[str, Any]:
        """What a model of the same weights could differ in, as the metadata say it."""
        return {"layers": self.layers, "exits": self.exits}

    def metadata(self) -> dict[str, Any]:
        """Return the protocol's model metadata; what it has no place for are parameters."""
        outputs = {"confidence": ("FP32", [-1]), "prediction": ("INT64", [-1])}
        logits = ("FP32", [-1, len(self.classes)])
        given = {part.name: getattr(self, part.name) for part in fields(self) if part.name != "name"}
        return {
            "name": self.name,
            "versions": [VERSION],
            "platform": "splitee",
            "inputs": [_entry(name, *one) for name, one in self._tensors().items()],
            "outputs": [_entry(name, *one) for name, one in {**outputs, "logits": logits}.items()],
            "parameters": {
                **{name: _written(name, value) for name, value in given.items()},
                "codecs": ",".join(CODECS),
            },
        }

    def _tensors(self) -> dict[str, tuple[str, Sizes]]:
        """Return datatype and shape of the inputs, by name."""
        raise NotImplementedError

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Self:
        """Return the interface of facts of a model, or of the parameters in its metadata; others are left."""
        given = {part.name: found[part.name] for part in fields(cls) if part.name in found}
        return cls(**{name: _read(name, value) for name, value in given.items()})


def _written(name: str, value: Any) -> Any:
    """Return a value as metadata hold it: a text, number or boolean."""
    if name == "classes":
        return "\n".join(value)
    if name == "shapes":
        return ";".join(",".join(map(str, shape)) for shape in value)
    return ",".join(map(str, value)) if isinstance(value, tuple) else value


def _read(name: str, value: Any) -> Any:
    """Return a value of metadata, or of facts, as the class has it."""
    if name == "classes":
        return tuple(value.split("\n") if isinstance(value, str) else value)
    if name == "exits":
        return tuple(map(int, value.split(",") if isinstance(value, str) else value))
    if name == "shapes":
        given = [shape.split(",") for shape in value.split(";")] if isinstance(value, str) else value
        return tuple(tuple(map(int, shape)) for shape in given)
    return value


def _entry(name: str, datatype: str, shape: Sizes) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape}


def exactly(inputs: Arrays, name: str, datatype: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return an aligned array of this datatype and shape; ProtocolError if it is another."""
    if name not in inputs:
        raise ProtocolError(f"{name} is missing")
    found = inputs[name]
    if found.dtype.name != datatype or found.shape != tuple(shape):
        raise ProtocolError(
            f"{name} is {found.dtype.name} of shape {shown(list(found.shape))}: give {datatype} of shape "
            f"{list(shape)}"
        )
    return np.require(found, requirements=["C", "A"])
