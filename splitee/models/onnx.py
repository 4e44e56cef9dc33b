"""The device's half as ONNX: one graph per range of layers between exits, and one per exit.

torch's exporter by tracing is used: it needs the package `onnx` only (its successor needs onnxscript too, and
takes ten times as long). A traced graph has no branches, so `splitee.runtime.exporting` compares every export
with the model: on texts of other lengths than the traced one, and on images.
"""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

from splitee._internal.errors import InputError
from splitee.models.cutting import Call, Cut
from splitee.models.encode import load_tokenizer
from splitee.models.half import half_facts, load_half
from splitee.models.multi_exit import MultiExitModel
from splitee.models.staged import StagedModel

HALF = "half.json"
SCHEMA = 1
_TRACED = 37  # tokens; no other size of a model is likely to be this number
_OPSET = 17
_FOREIGN = (
    RuntimeError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    torch.onnx.errors.OnnxExporterError,
)


def half_files(checkpoint: str | Path, exits: int | str = "all") -> dict[str, bytes]:
    """Return the first layers and exits of a checkpoint as ONNX, with the tokenizer and a manifest.

    Parameters
    ----------
    checkpoint : str or path
        A folder written by `splitee train` or `splitee slim`, or the bundled "sst2_slender".
    exits : int, "half" or "all"
        m, the number of exits that the device holds.

    Returns
    -------
    dict of str to bytes
        ``layers_I.onnx`` are the layers between exit I − 1 and exit I, ``exit_I.onnx`` is exit I,
        ``tokenizer.json`` the tokenizer of a model of texts, ``half.json`` the manifest.

    Raises
    ------
    InputError
        If the model cannot be exported.
    """
    model = load_half(checkpoint, exits)
    facts = {"splitee_half": SCHEMA, **half_facts(checkpoint, model)}
    more: dict[str, bytes] = {}
    try:
        with torch.no_grad(), _quiet():
            if isinstance(model, StagedModel):
                graphs = _staged_graphs(model)
            else:
                assert isinstance(model, MultiExitModel)
                tokenizer = load_tokenizer(checkpoint)
                backend = getattr(tokenizer, "backend_tokenizer", None)
                if backend is None:
                    raise InputError(
                        f"{checkpoint}: its tokenizer is one of Python, a device runs those of tokenizers"
                    )
                facts["gives_types"] = "token_type_ids" in tokenizer.model_input_names
                more["tokenizer.json"] = backend.to_str().encode()
                graphs = _graphs(model, facts["token_types"] > 0)
    except InputError:
        raise
    except _FOREIGN as error:
        why = " ".join(f"{type(error).__name__}: {error}".split())[:160]
        raise InputError(f"its layers cannot be exported as ONNX ({why})") from error
    text = json.dumps(facts, indent=1) + "\n"
    return {**graphs, **more, HALF: text.encode()}


def _staged_graphs(model: StagedModel) -> dict[str, bytes]:
    """Return the graphs of a network of stages by file name: everything in them has one size."""
    given, name, done = model.probe(model.config.image_size)["pixel_values"], "pixel_values", 0
    found: dict[str, bytes] = {}
    for exit_, layer in enumerate(model.exits, 1):
        part = nn.Sequential(*model.stages[done:layer])
        found[f"layers_{exit_}.onnx"] = _exported(part, (given,), [name], ["hidden_out"])
        given, name, done = part(given), "hidden", layer
        head = model.exit_heads[exit_ - 1]
        found[f"exit_{exit_}.onnx"] = _exported(head, (given,), [name], ["logits"])
    return found


class _Range(nn.Module):
    """Layers up to an exit. The first range takes tokens, the others what the one before returns.

    Besides the state these are: the pooled states that exits read too, and the tensors that the library
    passes to its layers (masks, position biases); `template` holds the places of the latter.
    """

    def __init__(self, model: MultiExitModel, exit_: int, first: _Range | None) -> None:
        super().__init__()
        self.model, self.exit, self.first = model, exit_, first
        self.template: list[Call] = []
        self.states = 0  # pooled states among what is returned

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        until = self.model.exits[self.exit - 1]
        if self.first is None:
            names = ("input_ids", "token_type_ids")[: len(given)]
            inputs = dict(zip(names, given, strict=True))
            cut = self.model.start(attention_mask=torch.ones_like(given[0]), **inputs)
            shared = _tensors_of(cut.calls[cut.layer :])
            self.template = list(_filled(cut.calls, {id(one): i for i, one in enumerate(shared)}))
        else:
            source = self.first.template
            before = min(self.model.config.exit_states - 1, self.model.exits[self.exit - 2])
            recent, shared = given[1 : 1 + before], list(given[1 + before :])
            calls = tuple(_filled(source, dict(enumerate(shared))))
            mask = torch.ones_like(given[0][..., 0], dtype=torch.long)
            cut = Cut(given[0], self.model.exits[self.exit - 2], mask, calls, tuple(recent))
        cut = self.model.run_layers(cut, until)
        self.states = len(cut.recent)
        return cut.hidden, *cut.recent, *(shared if self.first is None else ())


class _Exit(nn.Module):
    """One exit: of the state and the pooled ones before it; returns logits and, if learned, the certainty."""

    def __init__(self, model: MultiExitModel, exit_: int) -> None:
        super().__init__()
        self.model, self.layer = model, model.exits[exit_ - 1]

    def forward(self, hidden: Tensor, *recent: Tensor) -> tuple[Tensor, ...]:
        mask = torch.ones_like(hidden[..., 0], dtype=torch.long)
        logits, certainty = self.model.exit_outputs(Cut(hidden, self.layer, mask, (), recent))
        return (logits,) if certainty is None else (logits, certainty)


def _graphs(model: MultiExitModel, types: bool) -> dict[str, bytes]:
    """Return the graphs by file name; with `types`, the first takes token types too."""
    ids = torch.arange(_TRACED)[None] % 7 + 5
    given: tuple[Tensor, ...] = (ids, torch.zeros_like(ids)) if types else (ids,)
    first = _Range(model, 1, None)
    names = ["input_ids", "token_type_ids"][: len(given)]
    found: dict[str, bytes] = {}
    shared: list[str] = []
    kept: tuple[Tensor, ...] = ()
    for exit_ in range(1, len(model.exits) + 1):
        part = first if exit_ == 1 else _Range(model, exit_, first)
        returned = torch.jit.trace(part, given, check_trace=False)(*given)
        if exit_ == 1:
            kept = returned[1 + part.states :]
            shared = [f"shared_{i}" for i in range(len(kept))]
        else:
            part(*given)
        outputs = ["hidden_out", *(f"recent_out_{i}" for i in range(part.states))]
        outputs += shared if exit_ == 1 else []
        found[f"layers_{exit_}.onnx"] = _exported(part, given, names, outputs, returned)
        held = returned[: 1 + part.states]
        at = ["hidden", *(f"recent_{i}" for i in range(part.states))]
        said = ["logits", *(["certainty"] if model.config.learned() else [])]
        found[f"exit_{exit_}.onnx"] = _exported(_Exit(model, exit_), held, at, said)
        given, names = (*held, *kept), [*at, *shared]
    return found


def _exported(
    part: nn.Module,
    given: tuple[Tensor, ...],
    inputs: list[str],
    outputs: list[str],
    returned: tuple[Tensor, ...] = (),
) -> bytes:
    """Return a graph; every dimension that is the number of traced tokens is free in it."""
    free = {
        name: {d: "tokens" for d, size in enumerate(one.shape) if size == _TRACED}
        for name, one in (*zip(inputs, given, strict=True), *zip(outputs, returned, strict=False))
    }
    buffer: Any = io.BytesIO()  # a path is what the signature says
    torch.onnx.export(
        part.eval(), given, buffer, dynamo=False, opset_version=_OPSET, input_names=inputs,
        output_names=outputs, dynamic_axes={name: axes for name, axes in free.items() if axes},
    )  # fmt: skip
    content: bytes = buffer.getvalue()
    return content


def _tensors_of(calls: Any) -> list[Tensor]:
    """Return the distinct tensors in what the library passes to layers."""
    if isinstance(calls, Tensor):
        return [calls]
    parts = calls.values() if isinstance(calls, dict) else calls if isinstance(calls, tuple | list) else ()
    found = {id(one): one for part in parts for one in _tensors_of(part)}
    return list(found.values())


def _filled(calls: Any, places: dict[Any, Any]) -> Any:
    """Return calls with tensors replaced by their places, or places by tensors."""
    if isinstance(calls, Tensor):
        return _Place(places[id(calls)]) if id(calls) in places else calls
    if isinstance(calls, _Place):
        return places[calls.number]
    if isinstance(calls, dict):
        return {name: _filled(part, places) for name, part in calls.items()}
    if isinstance(calls, tuple | list):
        return type(calls)(_filled(part, places) for part in calls)
    return calls


class _Place:
    def __init__(self, number: int) -> None:
        self.number = number


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what tracing says of branches and of its own age: the answers are compared after an export.

    Averages over fields are products of matrices meanwhile: ONNX has none over fields of different sizes.
    """
    with (
        warnings.catch_warnings(),
        redirect_stdout(io.StringIO()),  # where the exporter prints a graph that it cannot write
        mock.patch.object(nn.functional, "adaptive_avg_pool2d", _fields),
    ):
        warnings.simplefilter("ignore")
        yield


def _fields(maps: Tensor, size: int | Sequence[int | None]) -> Tensor:
    """Return what `torch.nn.functional.adaptive_avg_pool2d` does, of maps of a fixed size."""
    rows, columns = (size, size) if isinstance(size, int) else size
    down, across = (_averages(int(maps.shape[d]), count) for d, count in ((-2, rows), (-1, columns)))
    return down @ maps @ across.T


def _averages(length: int, count: int | None) -> Tensor:
    """Return the matrix that averages a line over fields, shape (count, length)."""
    count = count or length
    found = torch.zeros(count, length)
    for i in range(count):
        field = slice(i * length // count, -(-(i + 1) * length // count))
        found[i, field] = 1 / (field.stop - field.start)
    return found
