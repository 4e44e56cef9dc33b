"""What a model takes and returns on the wire: names, shapes and limits of tensors, for both halves.

An input is either tokens, and the cloud runs every layer, or the state after a layer, and it runs the rest.

============== ============== ========= =====================================================================
tensor         datatype       shape     meaning
============== ============== ========= =====================================================================
input_ids      INT64          [b, t]    tokens of b samples, padded to t
token_type_ids INT64          [b, t]    optional, for backbones that have token types
attention_mask INT64          [b, t]    1 for tokens, 0 for padding; always needed
state          FP32/FP16/INT8 [b, t, h] the state after layer ``layer`` under ``codec``
scale          FP32           [b, t]    with INT8: the scale of every token
recent         FP32           [b, r, h] only for models whose exits read N > 1 states (``exit_states``): the
                                        pooled states before this one, r = min(N − 1, layer)
confidence     FP32           [b]       output: confidence of the last exit
prediction     INT64          [b]       output: its class
logits         FP32           [b, K]    output: its logits (K = 1: the score of a regression)
============== ============== ========= =====================================================================

A request with a state has the parameters ``layer`` (1 to L − 1), ``codec`` and ``fingerprint``. NumPy only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from splitee._internal.errors import shown, suggest
from splitee.runtime.protocol import Arrays, ProtocolError, Request
from splitee.system.codec import CODECS, decode, encode

Integers = NDArray[np.int64]
Floats = NDArray[np.float32]

VERSION = "1"
INPUTS = ("input_ids", "token_type_ids", "attention_mask", "state", "scale", "recent")
OUTPUTS = ("confidence", "prediction", "logits")
_DATATYPE = {"float32": "float32", "float16": "float16", "int8": "int8"}  # codec: numpy's name of the state's
_CONFLICT = 409  # the state is of another model


@dataclass(frozen=True)
class Work:
    """A checked request: tokens (`layer` 0) or the state after `layer`, decoded to float32.

    Shapes are those of the table above; what is not given is None.
    """

    layer: int
    mask: Integers
    ids: Integers | None = None
    types: Integers | None = None
    state: Floats | None = None
    recent: Floats | None = None


@dataclass(frozen=True)
class Interface:
    """What a model takes and returns, as its metadata say it.

    Attributes
    ----------
    name : str
        The model's name in addresses.
    fingerprint : str
        SHA-256 of the checkpoint's ``model.safetensors``, as in profiles and traces.
    layers, hidden : int
        Number of layers L and width of the state h.
    exits : tuple of int
        The layers with an exit, ascending; the last is L.
    classes : tuple of str
        Class names; one name for a regression.
    tokens, rows : int
        Most tokens per sample and most samples of a request.
    vocabulary : int
        Number of token ids.
    token_types : int
        Number of token types; 0 if the backbone has none.
    states : int
        N, how many states an exit reads.
    pads_left : bool
        Whether samples may be padded on the left.
    scores : bool
        Whether the model predicts a score. Its confidence compares the last exit with the one before.
    """

    name: str
    fingerprint: str
    layers: int
    hidden: int
    exits: tuple[int, ...]
    classes: tuple[str, ...]
    tokens: int
    vocabulary: int
    rows: int = 64
    token_types: int = 0
    states: int = 1
    pads_left: bool = True
    scores: bool = False

    def metadata(self) -> dict[str, Any]:
        """Return the protocol's model metadata; what it has no place for are parameters."""
        h, k = self.hidden, 1 if self.scores else len(self.classes)
        shapes = {
            "input_ids": ("INT64", [-1, -1]),
            "token_type_ids": ("INT64", [-1, -1]),
            "attention_mask": ("INT64", [-1, -1]),
            "state": ("FP32", [-1, -1, h]),
            "scale": ("FP32", [-1, -1]),
            "recent": ("FP32", [-1, -1, h]),
        }
        absent = {"token_type_ids"} if not self.token_types else set()
        absent |= {"recent"} if self.states == 1 else set()
        outputs = {"confidence": ("FP32", [-1]), "prediction": ("INT64", [-1]), "logits": ("FP32", [-1, k])}
        return {
            "name": self.name,
            "versions": [VERSION],
            "platform": "splitee",
            "inputs": [_entry(name, *shapes[name]) for name in INPUTS if name not in absent],
            "outputs": [_entry(name, *outputs[name]) for name in OUTPUTS],
            "parameters": {
                "fingerprint": self.fingerprint,
                "layers": self.layers,
                "hidden": h,
                "exits": ",".join(map(str, self.exits)),
                "classes": "\n".join(self.classes),
                "codecs": ",".join(CODECS),
                "tokens": self.tokens,
                "vocabulary": self.vocabulary,
                "rows": self.rows,
                "token_types": self.token_types,
                "states": self.states,
                "pads_left": self.pads_left,
                "scores": self.scores,
            },
        }

    @classmethod
    def from_metadata(cls, found: Mapping[str, Any]) -> Interface:
        """Return the interface that a server reports.

        Raises
        ------
        ProtocolError
            If it is not one of ``splitee serve``.
        """
        try:
            given = dict(found["parameters"])
            given.pop("codecs")
            given["exits"] = tuple(int(layer) for layer in given["exits"].split(","))
            given["classes"] = tuple(given["classes"].split("\n"))
            return cls(name=str(found["name"]), **given)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ProtocolError(
                "this is no model of splitee serve: its metadata lack what a cut needs"
            ) from error

    def tokens_request(self, ids: ArrayLike, mask: ArrayLike, types: ArrayLike | None = None) -> Request:
        """Return the request that runs every layer on tokens, shape (b, t)."""
        inputs: Arrays = {
            "input_ids": np.asarray(ids, np.int64),
            "attention_mask": np.asarray(mask, np.int64),
        }
        if types is not None and self.token_types:
            inputs["token_type_ids"] = np.asarray(types, np.int64)
        return Request(inputs, {"fingerprint": self.fingerprint})

    def state_request(
        self,
        layer: int,
        state: ArrayLike,
        mask: ArrayLike,
        codec: str = "float32",
        recent: ArrayLike | None = None,
    ) -> Request:
        """Return the request that runs the layers after `layer` on a state, shape (b, t, h).

        Raises
        ------
        InputError
            If the codec is unknown, or the state has values that are not finite.

        Examples
        --------
        >>> toy = Interface("toy", "ab12", 6, 2, (3, 6), ("no", "yes"), tokens=8, vocabulary=50)
        >>> request = toy.state_request(3, [[[1.0, -2.0]]], [[1]], "int8")
        >>> {name: array.dtype.name for name, array in request.inputs.items()}
        {'attention_mask': 'int64', 'state': 'int8', 'scale': 'float32'}
        >>> toy.check(request).state.tolist()
        [[[1.0078740119934082, -2.0]]]
        """
        values = np.asarray(state, np.float32)
        parts = encode(codec, values.reshape(-1, values.shape[-1]))
        inputs: Arrays = {
            "attention_mask": np.asarray(mask, np.int64),
            "state": parts[0].reshape(values.shape),
        }
        if codec == "int8":
            inputs["scale"] = parts[1].reshape(values.shape[:2])
        if recent is not None and self.states > 1:
            inputs["recent"] = np.asarray(recent, np.float32)
        return Request(inputs, {"layer": int(layer), "codec": codec, "fingerprint": self.fingerprint})

    def check(self, request: Request) -> Work:
        """Return what a request asks for.

        Raises
        ------
        ProtocolError
            If it does not fit the model: status 400, or 409 if its state is of another model.
        """
        inputs, parameters = request.inputs, request.parameters
        for name in inputs:
            if name not in INPUTS:
                raise ProtocolError(f"no input is called {shown(name)}: {suggest(name, INPUTS)}")
        if ("input_ids" in inputs) == ("state" in inputs):
            raise ProtocolError("give either input_ids or state")
        has_state = "state" in inputs
        mark = parameters.get("fingerprint")
        if mark != self.fingerprint and (has_state or mark is not None):
            raise ProtocolError(
                f"fingerprint is {shown(mark)}, this model's is {self.fingerprint[:12]}…: both halves need "
                "the same checkpoint",
                400 if mark is None else _CONFLICT,
            )
        shape = self._shape(inputs["state" if has_state else "input_ids"], has_state)
        mask = self._mask(inputs, shape)
        return self._state(inputs, parameters, mask) if has_state else self._tokens(inputs, parameters, mask)

    def _shape(self, array: NDArray[Any], has_state: bool) -> tuple[int, int]:
        name, wanted = ("state", f"[b, t, {self.hidden}]") if has_state else ("input_ids", "[b, t]")
        good = array.ndim == (3 if has_state else 2) and (not has_state or array.shape[2] == self.hidden)
        if not good or not (1 <= array.shape[0] <= self.rows and 1 <= array.shape[1] <= self.tokens):
            raise ProtocolError(
                f"{name} has shape {shown(list(array.shape))}: give {wanted}, at most {self.rows} samples of "
                f"at most {self.tokens} tokens"
            )
        return array.shape[0], array.shape[1]

    def _mask(self, inputs: Arrays, shape: tuple[int, int]) -> Integers:
        mask = _exactly(inputs, "attention_mask", "int64", shape)
        if not ((mask == 0) | (mask == 1)).all() or not mask.any(axis=1).all():
            raise ProtocolError(
                "attention_mask: give 1 for tokens and 0 for padding, and a token in every sample"
            )
        if not self.pads_left and (mask[:, 0] == 0).any():
            raise ProtocolError("padding on the left changes the answers of this model: pad on the right")
        return mask

    def _tokens(self, inputs: Arrays, parameters: Mapping[str, Any], mask: Integers) -> Work:
        for name in ("scale", "recent"):
            if name in inputs:
                raise ProtocolError(f"{name} goes with state, not with input_ids")
        if parameters.get("layer", 0) != 0 or isinstance(parameters.get("layer"), bool):
            raise ProtocolError("input_ids are the input of layer 1: layer must be 0, or left out")
        ids = _exactly(inputs, "input_ids", "int64", mask.shape)
        if ids.min() < 0 or ids.max() >= self.vocabulary:
            raise ProtocolError(f"input_ids: tokens are numbers from 0 to {self.vocabulary - 1}")
        types = None
        if "token_type_ids" in inputs:
            if not self.token_types:
                raise ProtocolError("this model has no token types: leave token_type_ids out")
            types = _exactly(inputs, "token_type_ids", "int64", mask.shape)
            if types.min() < 0 or types.max() >= self.token_types:
                raise ProtocolError(f"token_type_ids: types are numbers from 0 to {self.token_types - 1}")
        return Work(0, mask, ids=ids, types=types)

    def _state(self, inputs: Arrays, parameters: Mapping[str, Any], mask: Integers) -> Work:
        if "token_type_ids" in inputs:
            raise ProtocolError("token_type_ids goes with input_ids, not with state")
        layer, codec = parameters.get("layer"), parameters.get("codec")
        last = self.exits[-2] if self.scores and len(self.exits) > 1 else self.layers - 1
        if type(layer) is not int or not 1 <= layer <= last:
            raise ProtocolError(f"layer is {shown(layer)}: states are taken after layers 1 to {last}")
        if codec not in _DATATYPE:
            raise ProtocolError(f"no codec is called {shown(codec)}: {suggest(codec, CODECS)}")
        state = _exactly(inputs, "state", _DATATYPE[str(codec)], (*mask.shape, self.hidden))
        parts = [state.reshape(-1)]
        if (codec == "int8") != ("scale" in inputs):
            raise ProtocolError("scale goes with codec int8, and int8 needs it")
        if codec == "int8":
            parts.append(_exactly(inputs, "scale", "float32", mask.shape).reshape(-1))
        with np.errstate(over="ignore", invalid="ignore"):
            decoded = decode(str(codec), parts, self.hidden).reshape(state.shape)
        held = min(self.states - 1, layer)
        recent = None
        if (held > 0) != ("recent" in inputs):
            raise ProtocolError(f"recent: this model needs {held} states before the one after layer {layer}")
        if held:
            recent = _exactly(inputs, "recent", "float32", (len(mask), held, self.hidden))
        if not np.isfinite(decoded).all() or (recent is not None and not np.isfinite(recent).all()):
            raise ProtocolError("state, scale or recent holds values that are not finite")
        return Work(layer, mask, state=decoded, recent=recent)


def _entry(name: str, datatype: str, shape: list[int]) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape}


def _exactly(inputs: Arrays, name: str, datatype: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return an aligned array of this datatype and shape."""
    if name not in inputs:
        raise ProtocolError(f"{name} is missing")
    found = inputs[name]
    if found.dtype.name != datatype or found.shape != tuple(shape):
        raise ProtocolError(
            f"{name} is {found.dtype.name} of shape {shown(list(found.shape))}: give {datatype} of shape "
            f"{list(shape)}"
        )
    return np.require(found, requirements=["C", "A"])
