"""The device's half on ONNX Runtime, as `splitee export onnx` wrote it: without torch and transformers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitee._internal.checksums import check_files
from splitee._internal.errors import InputError
from splitee._internal.numbers import layers_held
from splitee._internal.reading import read_json
from splitee.data.pictures import Data, content, pixels, scaled
from splitee.runtime.halves import HALF, Encoded, Floats
from splitee.system.codec import as_rows

SCHEMA = 1
_MOST = 2**24  # bytes of the manifest
_FACTS = {
    "name": str,
    "fingerprint": str,
    "layers": int,
    "exits": list,
    "device_exits": int,
    "classes": list,
    "confidence": str,
}
_OF_TEXTS = {
    "hidden": int,
    "tokens": int,
    "vocabulary": int,
    "token_types": int,
    "states": int,
    "gives_types": bool,
}
_OF_IMAGES = {
    "shapes": list,
    "image_size": int,
    "channels": int,
    "image_mean": list,
    "image_std": list,
}


@dataclass(frozen=True)
class Place:
    """How far a sample has come: tensors by name, and those that every range of layers takes."""

    exit: int
    held: dict[str, NDArray[Any]]
    shared: dict[str, NDArray[Any]]


class OnnxHalf:
    """Layers and exits 1..m; see `splitee.runtime.halves.Half`. `open_onnx` returns that of texts or images.

    Parameters
    ----------
    folder : path
        Of `splitee export onnx`.
    facts : dict
        From its manifest, with ``device_exits`` the number of exits to open.
    threads : int, optional
        Threads of ONNX Runtime. Default: its choice.
    """

    def __init__(self, folder: Path, facts: dict[str, Any], threads: int | None = None) -> None:
        self.facts, exits = facts, facts["device_exits"]
        self._ranges = [_session(folder / f"layers_{i}.onnx", threads) for i in range(1, exits + 1)]
        self._exits = [_session(folder / f"exit_{i}.onnx", threads) for i in range(1, exits + 1)]

    def encode(self, sample: Any, name: str = "the sample") -> Encoded:
        """Return a sample as `advance` takes it."""
        raise NotImplementedError

    def given(self, encoded: Encoded) -> dict[str, NDArray[Any]]:
        """Return what the first graph takes of an encoded sample."""
        raise NotImplementedError

    def advance(self, place: Place | Encoded, exit: int) -> Place:
        """Run the layers up to an exit, from an encoded sample or from an earlier place."""
        if not isinstance(place, Place):
            place = Place(0, self.given(place), {})
        held, shared = place.held, place.shared
        for session in self._ranges[place.exit : exit]:
            found = _run(session, held | shared)
            shared = shared or {name: one for name, one in found.items() if name.startswith("shared_")}
            held = {name.replace("_out", ""): one for name, one in found.items() if name not in shared}
        return Place(exit, held, shared)

    def outputs(self, place: Place) -> tuple[Floats, float | None]:
        """Return the logits of the exit just reached, shape (K,), and the certainty if it is learned."""
        found = _run(self._exits[place.exit - 1], place.held)
        return found["logits"][0], float(found["certainty"][0]) if "certainty" in found else None

    def state(self, place: Place) -> tuple[Floats, Floats | None]:
        """Return the state, shape (1, t, h), and the pooled states before it, shape (1, r, h), or None."""
        recent = [one for name, one in place.held.items() if name.startswith("recent")]
        return as_rows(place.held["hidden"]), np.stack(recent, 1) if recent else None


class TextOnnx(OnnxHalf):
    """Of a model of texts: the folder holds the tokenizer."""

    def __init__(self, folder: Path, facts: dict[str, Any], threads: int | None = None) -> None:
        from tokenizers import Tokenizer

        self._gives_types = facts.pop("gives_types")
        super().__init__(folder, facts, threads)
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(facts["tokens"], strategy="longest_first")

    def encode(self, sample: Sequence[str], name: str = "the text") -> Encoded:
        """Return the token ids of one text, or of a pair, truncated as in training."""
        found = self._tokenizer.encode(sample[0], sample[1] if len(sample) > 1 else None)
        if not found.ids:
            raise InputError("the text has no tokens")
        types = {"token_type_ids": found.type_ids} if self._gives_types else {}
        return {"input_ids": found.ids, **types}

    def given(self, encoded: Encoded) -> dict[str, NDArray[Any]]:
        """Return token ids and types, shape (1, t)."""
        values = {"token_type_ids": [0] * len(encoded["input_ids"]), **encoded}
        return {name: np.array([one], np.int64) for name, one in values.items()}


class ImageOnnx(OnnxHalf):
    """Of a network of stages."""

    def encode(self, sample: Data, name: str = "the image") -> Encoded:
        """Return the bytes of an image file, and what they decode to."""
        file = content(sample, name)
        return {"image": file, "pixels": self._pixels(file, name)}

    def given(self, encoded: Encoded) -> dict[str, NDArray[Any]]:
        """Return pixels, shape (1, channels, height, width)."""
        values = encoded["pixels"] if "pixels" in encoded else self._pixels(encoded["image"])
        mean, std = self.facts["image_mean"], self.facts["image_std"]
        return {"pixel_values": np.ascontiguousarray(scaled(values[None], mean, std))}

    def _pixels(self, file: bytes, name: str = "the image") -> NDArray[np.uint8]:
        return pixels(file, self.facts["image_size"], self.facts["channels"], name)


def open_onnx(folder: str | Path, exits: int | str = "all", threads: int | None = None) -> OnnxHalf:
    """Open an exported half.

    Parameters
    ----------
    folder : str or path
        Of `splitee export onnx`.
    exits : int, "half" or "all"
        m; all: those that were exported, half: of those of the model.
    threads : int, optional
        Threads of ONNX Runtime. Default: its choice.

    Raises
    ------
    InputError
        If the folder is damaged, or holds fewer exits.
    """
    folder = Path(folder)
    check_files(folder)
    facts = _manifest(folder)
    held = facts["device_exits"]
    exits = held if exits == "all" else layers_held(exits, len(facts["exits"]))
    if exits > held:
        raise InputError(f"{folder} holds {held} exits: give at most {held} layers of the device")
    kind = ImageOnnx if "shapes" in facts else TextOnnx
    return kind(folder, {**facts, "device_exits": exits}, threads)


def _session(file: Path, threads: int | None) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no common class
        why = " ".join(str(error).split())[:160]
        raise InputError(f"{file} cannot be opened by ONNX Runtime: {why}") from error
    inputs, outputs = ([one.name for one in ends] for ends in (session.get_inputs(), session.get_outputs()))
    return session, inputs, outputs


def _run(opened: Any, given: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    session, inputs, outputs = opened
    return dict(zip(outputs, session.run(outputs, {name: given[name] for name in inputs}), strict=True))


def _manifest(folder: Path) -> dict[str, Any]:
    found = read_json(folder / HALF, _MOST)
    if not isinstance(found, dict) or found.get("splitee_half") != SCHEMA:
        raise InputError(f"{folder / HALF} is no manifest of splitee export onnx (version {SCHEMA})")
    own = _OF_IMAGES if "shapes" in found else _OF_TEXTS
    for name, kind in {**_FACTS, **own}.items():
        if type(found.get(name)) is not kind:
            raise InputError(f"{folder / HALF} is damaged: {name} is {found.get(name)!r:.60}")
    return found
