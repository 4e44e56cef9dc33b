"""The log of a device: what happened to every sample, and a trace of those that are wholly known.

One Parquet file, sealed as a trace is. `splitee.load_trace` reads the samples of which every exit is known:
those of the device, and the cloud's answer as the last one. `load_log` reads all that happened.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from splitee._internal.errors import InputError
from splitee._internal.files import atomic_path
from splitee._internal.reading import read_bytes
from splitee.runtime.journal import SCHEMA, read_lines, records_of
from splitee.runtime.records import CLOUD, Record
from splitee.runtime.setting import Setting, manifest_of
from splitee.trace import Trace
from splitee.trace import file as trace_file

_MOST = 2**40
_JOURNAL = b'{"splitee_journal":'
_COLUMNS = (
    *("arrived", "began", "known", "waiting", "order", "offloaded", "sends", "bytes", "rate", "by"),
    *("lost", "latency", "paid", "net_ms", "cloud_ms"),
)  # under these names; `exits`, `answer_…`, `late_…` and `…_ms` beside them
_TIMES = ("tokenize", "compute", "encode", "own")


@dataclass(frozen=True)
class Log:
    """A log: its setting, and a record per sample in the order of the rounds."""

    setting: Setting
    records: list[Record]


def write_log(setting: Setting, records: Sequence[Record], out: str | Path, *, overwrite: bool) -> None:
    """Write a log.

    Raises
    ------
    FileExistsError
        If `out` exists and `overwrite` is false.
    InputError
        If there is no record.
    """
    if not records:
        raise InputError(f"{out} is not written: no sample came")
    data = encode(setting, records, Path(out).stem)
    with atomic_path(out, overwrite=overwrite) as temporary:
        temporary.write_bytes(data)


def encode(setting: Setting, records: Sequence[Record], name: str) -> bytes:
    """Return the bytes of a log."""
    import pyarrow as pa

    exits = known_exits(setting)
    confidence = np.full((len(records), len(exits)), np.nan, np.float32)
    prediction = np.full((len(records), len(exits)), -1, np.int32)
    for row, record in enumerate(records):
        for exit_, (sure, class_) in _known(record, len(setting.model["exits"])).items():
            confidence[row, exits.index(exit_)], prediction[row, exits.index(exit_)] = sure, class_
    whole = (prediction >= 0).all(axis=1)
    trace = None
    if whole.any() and len(exits) > 1:
        rows = np.flatnonzero(whole).tolist()
        trace = _trace(setting, [records[row] for row in rows], confidence[rows], prediction[rows], name)
    manifest = {} if trace is None else trace.manifest
    manifest = {**manifest, "name": name, trace_file.LOG: {"schema": SCHEMA, "setting": setting.to_dict()}}
    manifest.setdefault("schema", 1)
    fixed = {"confidence": confidence, "prediction": prediction}
    columns: dict[str, Any] = {
        "id": pa.array([one.id for one in records]),
        **{
            key: pa.FixedSizeListArray.from_arrays(
                pa.array(values.ravel()),
                type=pa.list_(pa.field("element", pa.from_numpy_dtype(values.dtype), False), len(exits)),
            )
            for key, values in fixed.items()
        },
        **{name: pa.array(found, pa.int32()) for name, found in _sizes(records).items()},
        "whole": pa.array(whole),
        **{key: pa.array([getattr(one, key) for one in records]) for key in _COLUMNS},
        "exits": pa.array([list(one.exits) for one in records], pa.list_(pa.int32())),
        "exit_confidence": pa.array([list(one.confidences) for one in records], pa.list_(pa.float64())),
        "exit_entropy": pa.array([list(one.entropies) for one in records], pa.list_(pa.float64())),
        "answer_confidence": pa.array([one.confidence for one in records], pa.float64()),
        "answer": pa.array([one.prediction for one in records], pa.int32()),
        "late_exit": pa.array([one.late[0] if one.late else 0 for one in records], pa.int32()),
        **{f"{key}_ms": pa.array([one.ms.get(key, 0.0) for one in records], pa.float64()) for key in _TIMES},
    }
    if all(one.label is not None for one in records):
        columns["label"] = pa.array([one.label for one in records], pa.int32())
    table = pa.table(columns)
    return trace_file.encode_table(table, manifest)


def load_log(path: str | Path) -> Log:
    """Read a log, or the journal of one that is not finished.

    Raises
    ------
    InputError
        If it is neither, or damaged.
    """
    data = read_bytes(path, _MOST)
    try:
        if data[9 : 9 + len(_JOURNAL)] == _JOURNAL:
            lines, _ = read_lines(data, "it")
            return Log(Setting.of(lines[0].get("setting")), records_of(lines[1:], "it")[0])
        return _decode(data)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def known_exits(setting: Setting) -> list[int]:
    """Return the exits of which a log can know everything: those of the device, and the last."""
    held, last = setting.model["device_exits"], len(setting.model["exits"])
    return [*range(1, held + 1), *([last] if held < last else [])]


def _known(record: Record, last: int) -> dict[int, tuple[float, int]]:
    """Return what is known of a sample, by exit; the cloud's answer is the last exit's."""
    known = record.seen()
    if record.by == CLOUD:
        known[last] = record.confidence, record.prediction
    return known


def _trace(setting: Setting, records: Sequence[Record], confidence: Any, prediction: Any, name: str) -> Trace:
    model = setting.model
    of_exits = manifest_of(model)
    layers = [model["exits"][i - 1] for i in known_exits(setting)]
    if shapes := of_exits["hidden_state_bytes"].get("by_exit_shape"):
        of_exits["hidden_state_bytes"] = {"by_exit_shape": [shapes[i - 1] for i in known_exits(setting)]}
    labels = [one.label for one in records if one.label is not None]
    learned = model.get("confidence") == "learned"
    manifest: dict[str, Any] = {**of_exits, "exit_layers": layers}
    if model.get("recommended_threshold"):
        manifest["recommended_threshold"] = model["recommended_threshold"]
    return Trace(
        confidence,
        prediction,
        labels if len(labels) == len(records) else None,
        name,
        id=[one.id for one in records],
        softmax=not learned,
        manifest=manifest,
        **_sizes(records),
    )


def _sizes(records: Sequence[Record]) -> dict[str, Any]:
    """Return the columns of sizes: tokens of texts, bytes of image files."""
    if any(one.input_bytes for one in records):
        return {"input_bytes": [one.input_bytes for one in records]}
    return {"length": [one.tokens for one in records]}


def _decode(data: bytes) -> Log:
    import pyarrow as pa

    manifest: Mapping[str, Any]
    table, manifest = trace_file.decode_table(data)
    facts = manifest.get(trace_file.LOG)
    if not isinstance(facts, dict) or facts.get("schema") != SCHEMA:
        raise InputError("is no log of splitee device")
    setting = Setting.of(facts.get("setting"))
    exits = known_exits(setting)
    try:
        rows = table.to_pylist()
        return Log(setting, [_record(row, t, exits) for t, row in enumerate(rows, 1)])
    except (KeyError, TypeError, ValueError, pa.ArrowException) as error:
        raise InputError(f"is a damaged log: {type(error).__name__} {error}") from error


def _record(row: dict[str, Any], t: int, exits: list[int]) -> Record:
    asked = tuple(row["exits"])
    at = [exits.index(i) for i in asked]
    record = Record(
        t,
        row["id"],
        row.get("length", 0),
        row["arrived"],
        row["began"],
        row["known"],
        asked,
        tuple(row["exit_confidence"]),
        tuple(row["prediction"][i] for i in at),
        tuple(row["exit_entropy"]),
        row["offloaded"],
        row.get("label"),
    )
    for name in _COLUMNS:
        setattr(record, name, row[name])
    record.input_bytes = row.get("input_bytes", 0)
    record.ms = {key: row[f"{key}_ms"] for key in _TIMES}
    record.confidence, record.prediction = row["answer_confidence"], row["answer"]
    if late := row["late_exit"]:
        record.late = late, row["confidence"][exits.index(late)], row["prediction"][exits.index(late)]
    known = {i: (c, p) for i, c, p in zip(exits, row["confidence"], row["prediction"], strict=True) if p >= 0}
    record.others = {i: one for i, one in known.items() if i not in asked and i != late}
    if record.by == CLOUD:
        record.others.pop(exits[-1], None)
    return record
