"""Fuzz what is read beside tables: ``python -m tests.fuzz.settings --format yaml --count 200000 --seed 1``.

Half of the inputs are texts with changed bytes, half are documents with changed values.
"""

from __future__ import annotations

import json
import random
import shutil
import sys
import tempfile
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from splitee.sweep import read_grid
from splitee.trace import file as trace_file
from splitee.trace import from_bytes
from splitee.trace.bundled import find_source
from splitee.trace.manifest import recommended_threshold

from .driver import main, mutate

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

_JSON_WORDS = (
    *(b"{", b"}", b"[", b"]", b"[" * 2000, b'{"a":' * 500, b"null", b"NaN", b"-Infinity", b"1e999"),
    *(b"9" * 5000, b"9" * 400, b'"\\ud800"', b"true", b",", b":", b'"', b"\xef\xbb\xbf", b"{}", b"[]", b"-1"),
)
_YAML_WORDS = (
    *(b"&a ", b"*a", b"<<: *a", b"!!int ", b"!!float ", b"!!python/name:os.system ", b"!!set ", b"!!omap "),
    *(
        b"!!binary ",
        b"!!timestamp ",
        b"!!bool ",
        b"1e99999999",
        b"1e99999999/3",
        b"9" * 400,
        b"0x" + b"f" * 99,
    ),
    *(
        b"1:1:1:1",
        b"2001-99-99",
        b".inf",
        b".nan",
        b"? ",
        b"- ",
        b"[" * 200,
        b"\n",
        b": ",
        b"{",
        b"}",
        b"~",
        b"|\n",
    ),
    *(
        b"\xef\xbb\xbf",
        b"\xff\xfe",
        b"mu: 1\n",
        b"%YAML 9.9\n",
        b"---\n",
        b"...",
        b"\t",
        b"\0",
        b"'",
        b'"',
        b"#",
    ),
)
_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2, 10**9, 2**31, 2**63, 10**30, 10**400, 0.5, -0.5, 1e308, 1e-320),
    *(
        float("nan"),
        float("inf"),
        "",
        "x",
        "half",
        "1e99999999/7",
        "5/0",
        "\0",
        "\x1b[2J",
        "a" * 5000,
        "\ud800",
    ),
    *(
        [],
        [[]],
        [1, 1],
        [None],
        {},
        {"a": 1},
        {"0": "x", "2": "y"},
        list(range(2000)),
        "splitee",
        "imdb",
        "all",
    ),
)


def changed(rng: random.Random, document: Any) -> Any:
    """Return a copy of a document of lists and dicts with 1 to 3 values replaced, removed or added."""
    copy = json.loads(json.dumps(document))
    for _ in range(rng.choice((1, 1, 2, 3))):
        place = copy
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not keys:
                break
            key = rng.choice(keys)
            if isinstance(place[key], dict | list) and place[key] and rng.random() < 0.7:
                place = place[key]
                continue
            if rng.random() < 0.1:
                del place[key]
            else:
                place[key] = deepcopy(rng.choice(_VALUES))
            break
        if isinstance(place, dict) and rng.random() < 0.1:
            place[rng.choice(("x", "", "schema", "\0", "num_labels", "splitee"))] = deepcopy(
                rng.choice(_VALUES)
            )
    return copy


@cache
def place() -> Path:
    """Return a folder of this process (in memory, where there is one)."""
    memory = Path("/dev/shm")
    return Path(tempfile.mkdtemp(prefix="fuzz-", dir=memory if memory.is_dir() else None))


# the grid of a sweep

_GRID = {
    "traces": ["imdb", "rte_validation"], "policies": ["splitee", "cloud-only", "split:2"], "offload": [1, "5/6"],
    "mu": 0.1, "layer_cost": "5/6", "device_layers": ["all", "half"], "threshold": ["recommended", 0.8],
    "exploration": [1, 0.5], "repeats": 3, "seed": 0, "offload_input": 2, "send_input": False,
    "source": "rte_validation", "interval": ["data", "run"],
}  # fmt: skip


def make_yaml(rng: random.Random) -> bytes:
    if rng.random() < 0.5:
        return mutate(rng, yaml.safe_dump(_GRID, sort_keys=False).encode(), _YAML_WORDS)
    return json.dumps(changed(rng, _GRID)).encode()  # JSON is YAML


def read_yaml(data: bytes) -> None:
    path = place() / "grid.yaml"
    path.write_bytes(data)
    read_grid(path).cells()


# the manifest of a trace


@cache
def _table() -> tuple[Any, dict[str, Any]]:
    from made_up import random_trace

    facts = {
        "class_names": ["a", "b"], "exit_layers": [1, 2, 3], "recommended_threshold": {"value": 0.8, "rule": "x"},
        "model": {"sha256": "1"}, "data": {"sha256": "2", "split": "test"}, "training": {"validation": {"sha256": "2"}},
        "flops": {"counter": "x", "mean_length": {"embedding": 1}},
    }  # fmt: skip
    trace = random_trace(6, layers=3).replace(manifest=facts)
    data = trace_file.encode(trace.columns, trace.manifest)
    return pq.read_table(pa.BufferReader(data)).replace_schema_metadata(None), trace.manifest


def make_manifest(rng: random.Random) -> bytes:
    """Return a trace file with another manifest and a right checksum, or with changed bytes."""
    table, manifest = _table()
    text = json.dumps(manifest).encode()
    kind = rng.random()
    if kind < 0.3:
        text = mutate(rng, text, _JSON_WORDS)
    elif kind < 0.8:
        text = json.dumps(changed(rng, manifest)).encode()
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, table.schema, write_statistics=False, use_dictionary=False) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({b"splitee": text, b"splitee.sha256": b"0" * 64})
    data = bytearray(sink.getvalue())
    if kind >= 0.8:
        return mutate(rng, bytes(data), (b"\xff" * 4, b"\x80\x80\x80\x80\x10", b"PAR1"))
    start = trace_file._digest_start(data)
    if start is not None:
        data[start : start + 64] = trace_file._digest(data, start)
    return bytes(data)


def read_manifest(data: bytes) -> None:
    path = place() / "t.parquet"
    path.write_bytes(data)
    footer = trace_file.read_manifest(path)
    recommended_threshold(footer)
    find_source(footer)
    trace = from_bytes(data)
    _ = trace.exit_layers, trace.recommended_threshold


# the configuration of a checkpoint


@cache
def _checkpoint() -> tuple[Path, dict[str, Any]]:
    import toys

    folder = toys.checkpoint(place() / "model", classes=3, recommended_threshold={"value": 0.8, "rule": "x"})
    return folder, json.loads((folder / "config.json").read_text())


def make_config(rng: random.Random) -> bytes:
    _, config = _checkpoint()
    if rng.random() < 0.3:
        return mutate(rng, json.dumps(config).encode(), _JSON_WORDS)
    return json.dumps(changed(rng, config)).encode()


def read_config(data: bytes) -> None:
    from splitee.models.multi_exit import load_config

    folder, _ = _checkpoint()
    (folder / "config.json").write_bytes(data)
    config = load_config(folder)
    _ = config.class_names, config.regresses


def read_checkpoint(data: bytes) -> None:
    """Load the weights too, which takes ten times as long."""
    from splitee.models.multi_exit import load_checkpoint

    folder, _ = _checkpoint()
    (folder / "config.json").write_bytes(data)
    load_checkpoint(folder)


# the manifest of results, as before there were checksums


@cache
def _results() -> tuple[Path, dict[str, Any]]:
    from made_up import random_trace

    import splitee

    folder = place() / "results"
    splitee.replay(random_trace(20), ["splitee", "final-exit"], repeats=2).save(folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    for key in ("files", "sha256"):
        del manifest[key]
    return folder, manifest | {"schema": 1}


def make_results(rng: random.Random) -> bytes:
    _, manifest = _results()
    if rng.random() < 0.3:
        return mutate(rng, json.dumps(manifest).encode(), _JSON_WORDS)
    return json.dumps(changed(rng, manifest)).encode()


def read_results(data: bytes) -> None:
    import splitee

    folder, _ = _results()
    (folder / "manifest.json").write_bytes(data)
    splitee.load_results(folder)


FORMATS = {
    "yaml": (make_yaml, read_yaml),
    "manifest": (make_manifest, read_manifest),
    "config": (make_config, read_config),
    "checkpoint": (make_config, read_checkpoint),
    "results": (make_results, read_results),
}

if __name__ == "__main__":
    try:
        main(FORMATS)
    finally:
        shutil.rmtree(place(), ignore_errors=True)
