"""What a model of texts takes on the wire: tokens, or a state of as many positions.

============== ============== ========= =====================================================================
tensor         datatype       shape     meaning
============== ============== ========= =====================================================================
input_ids      INT64          [b, t]    tokens of b samples, padded to t
token_type_ids INT64          [b, t]    optional, for backbones that have token types
attention_mask INT64          [b, t]    1 for tokens, 0 for padding; always needed
state          FP32/FP16/INT8 [b, t, h] the state after a layer; h is the backbone's width
recent         FP32           [b, r, h] only for models whose exits read N > 1 states (``exit_states``): the
                                        pooled states before this one, r = min(N − 1, layer)
============== ============== ========= =====================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from splitee._internal.errors import shown
from splitee._internal.reading import parse_json
from splitee.runtime.interface import Integers, Interface, Sizes, Work, exactly
from splitee.runtime.protocol import Arrays, ProtocolError, Request


@dataclass(frozen=True)
class TextInterface(Interface):
    """What a model of texts takes and returns.

    Attributes
    ----------
    hidden : int
        Width of the state h.
    tokens : int
        Most tokens per sample.
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

    inputs: ClassVar = ("input_ids", "token_type_ids", "attention_mask", "state", "scale", "recent")
    whole: ClassVar = "input_ids"
    most_sample: ClassVar = 2**20

    hidden: int = 0
    tokens: int = 0
    vocabulary: int = 0
    token_types: int = 0
    states: int = 1
    pads_left: bool = True
    scores: bool = False

    def size(self, encoded: Mapping[str, Any]) -> tuple[int, int]:
        """Return the number of tokens; the bytes of a text are those of its tokens."""
        return len(encoded["input_ids"]), 0

    def input_request(self, encoded: Mapping[str, Any]) -> Request:
        """Return the request that runs every layer on the tokens of one text."""
        types = encoded.get("token_type_ids")
        mask = np.ones((1, len(encoded["input_ids"])), np.int64)
        return self.tokens_request([encoded["input_ids"]], mask, None if types is None else [types])

    def noted(self, encoded: Mapping[str, Any]) -> dict[str, Any]:
        """Return the tokens."""
        return dict(encoded)

    def resumed(self, noted: Any) -> Any:
        """Return the tokens."""
        return noted

    def sample(self, body: bytes, kind: str) -> list[str]:
        """Return the text of a body in UTF-8, or of JSON ``{"text": …}``; a list of two is a pair."""
        if not kind.startswith("application/json"):
            text: Any = body.decode("utf-8")
        else:
            found = parse_json(body)
            text = found.get("text") if isinstance(found, dict) else None
        texts = text if isinstance(text, list) else [text]
        if not 1 <= len(texts) <= 2 or not all(isinstance(one, str) and one.strip() for one in texts):
            raise ValueError('give a text: the body itself, or {"text": "…"} as application/json')
        return texts

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
        mask: ArrayLike | None = None,
        codec: str = "float32",
        recent: ArrayLike | None = None,
    ) -> Request:
        """Return the request that runs the layers after `layer` on a state, shape (b, t, h).

        Parameters
        ----------
        mask : array of int, shape (b, t), optional
            Default: there is no padding.
        recent : array, shape (b, r, h), optional

        Examples
        --------
        >>> toy = TextInterface("toy", "ab12", 6, (3, 6), ("no", "yes"), hidden=2, tokens=8, vocabulary=50)
        >>> request = toy.state_request(3, [[[1.0, -2.0]]], codec="int8")
        >>> {name: array.dtype.name for name, array in request.inputs.items()}
        {'attention_mask': 'int64', 'state': 'int8', 'scale': 'float32'}
        >>> toy.check(request).state.tolist()
        [[[1.0078740119934082, -2.0]]]
        """
        made = super().state_request(layer, state, codec=codec)
        given = np.ones(np.shape(state)[:2]) if mask is None else mask
        inputs: Arrays = {"attention_mask": np.asarray(given, np.int64), **made.inputs}
        if recent is not None and self.states > 1:
            inputs["recent"] = np.asarray(recent, np.float32)
        return Request(inputs, made.parameters)

    @property
    def most_bytes(self) -> int:
        """Bytes of `rows` float32 states of the longest texts, with their masks and scales."""
        return self.rows * self.tokens * (4 * self.hidden + 8 + 4)

    @property
    def form(self) -> dict[str, Any]:
        """What a model of the same weights could differ in."""
        return {**super().form, "hidden": self.hidden, "states": self.states}

    def _check_input(self, inputs: Arrays) -> Work:
        mask = self._mask(inputs, self._shape(inputs["input_ids"], False))
        ids = exactly(inputs, "input_ids", "int64", mask.shape)
        if ids.min() < 0 or ids.max() >= self.vocabulary:
            raise ProtocolError(f"input_ids: tokens are numbers from 0 to {self.vocabulary - 1}")
        types = None
        if "token_type_ids" in inputs:
            if not self.token_types:
                raise ProtocolError("this model has no token types: leave token_type_ids out")
            types = exactly(inputs, "token_type_ids", "int64", mask.shape)
            if types.min() < 0 or types.max() >= self.token_types:
                raise ProtocolError(f"token_type_ids: types are numbers from 0 to {self.token_types - 1}")
        return Work(0, mask, ids=ids, types=types)

    def _check_state(self, inputs: Arrays, parameters: Mapping[str, Any]) -> Work:
        if "token_type_ids" in inputs:
            raise ProtocolError("token_type_ids goes with input_ids, not with state")
        mask = self._mask(inputs, self._shape(inputs["state"], True))
        before_last = self.exits[-2] if self.scores and len(self.exits) > 1 else self.layers - 1
        layer = self._check_layer(parameters, before_last)
        state = self._decoded(inputs, parameters, (*mask.shape, self.hidden))
        held = min(self.states - 1, layer)
        recent = None
        if (held > 0) != ("recent" in inputs):
            raise ProtocolError(f"recent: this model needs {held} states before the one after layer {layer}")
        if held:
            recent = exactly(inputs, "recent", "float32", (len(mask), held, self.hidden))
            if not np.isfinite(recent).all():
                raise ProtocolError("recent holds values that are not finite")
        return Work(layer, mask, state=state, recent=recent)

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
        mask = exactly(inputs, "attention_mask", "int64", shape)
        if not ((mask == 0) | (mask == 1)).all() or not mask.any(axis=1).all():
            raise ProtocolError(
                "attention_mask: give 1 for tokens and 0 for padding, and a token in every sample"
            )
        if not self.pads_left and (mask[:, 0] == 0).any():
            raise ProtocolError("padding on the left changes the answers of this model: pad on the right")
        return mask

    def _tensors(self) -> dict[str, tuple[str, Sizes]]:
        h = self.hidden
        found = {
            "input_ids": ("INT64", [-1, -1]),
            "token_type_ids": ("INT64", [-1, -1]),
            "attention_mask": ("INT64", [-1, -1]),
            "state": ("FP32", [-1, -1, h]),
            "scale": ("FP32", [-1, -1]),
            "recent": ("FP32", [-1, -1, h]),
        }
        absent = {"token_type_ids"} if not self.token_types else set()
        absent |= {"recent"} if self.states == 1 else set()
        return {name: one for name, one in found.items() if name not in absent}
