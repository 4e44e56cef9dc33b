"""Fuzz the readers of tables: ``python -m tests.fuzz.tables --format csv --count 200000 --seed 1``."""

from __future__ import annotations

import io
import json
import random
from typing import Any

import numpy as np

from splitee._internal.errors import InputError
from splitee.data.rows import rows_from_table
from splitee.data.tables import read_table
from splitee.trace.importing import import_trace

from .driver import main, mutate

_CSV_WORDS = (
    *(b",", b";", b"\t", b'"', b'""', b"\n", b"\r\n", b"\r", b"\0", b"\xef\xbb\xbf", b"\xff\xfe"),
    *(b"-1", b"nan", b"inf", b"1e400", b"9" * 40, b"0,5", b"50%", b"1.0", b",,,,", b" ", b"-"),
    *(b"confidence_1", b"label", b"exit"),
)
_JSON_WORDS = (
    *(b"{", b"}", b"[", b"]", b"[" * 2000, b'{"a":' * 500, b"null", b"NaN", b"Infinity", b"1e999"),
    *(b"9" * 5000, b'"\\ud800"', b'"label": 1,', b"true", b",", b":", b"\n", b"\xef\xbb\xbf", b'"text"'),
    *(b"{}", b"[]", b"-1"),
)
_NPZ_WORDS = (
    *(b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06", b"\x93NUMPY", b"(1000000000000,)", b"'|O'"),
    *(b"'<U1000000000'", b"(0, 1000000000000)", b"\xff\xff\xff\xff", b"\x00\x00\x00\x00", b"\x0e\x00"),
    *(b"\x08\x00", b"((((((((("),
)
_PARQUET_WORDS = (
    b"PAR1",
    b"\xff\xff\xff\xff\x0f",
    b"\x80\x80\x80\x80\x10",
    b"\x00",
    b"\x15\x00",
    b"\xff" * 8,
)


def _wide(rng: random.Random) -> dict[str, list[Any]]:
    n, exits = rng.randint(1, 12), rng.randint(2, 4)
    columns: dict[str, list[Any]] = {"id": [f"s{i}" for i in range(n)]}
    for exit_ in range(1, exits + 1):
        columns[f"confidence_{exit_}"] = [round(rng.uniform(0.5, 1), 4) for _ in range(n)]
        columns[f"prediction_{exit_}"] = [rng.randrange(2) for _ in range(n)]
    columns["label"] = [rng.randrange(2) for _ in range(n)]
    return columns


def _texts(rng: random.Random) -> dict[str, list[Any]]:
    words = ("fine", "dull", "a, b", 'say "hi"', "two\nlines", "é", "", "12", "-")
    n = rng.randint(1, 12)
    labels = rng.choice((["0", "1"], ["neg", "pos"], ["-1", "1"], ["1.0", "2.0"], ["-", "yes"]))
    return {
        "text": [" ".join(rng.choices(words, k=rng.randint(1, 4))) for _ in range(n)],
        "label": rng.choices(labels, k=n),
    }


def _table(rng: random.Random) -> dict[str, list[Any]]:
    return _wide(rng) if rng.random() < 0.5 else _texts(rng)


def make_csv(rng: random.Random) -> bytes:
    """Return a mutated CSV table of texts or of a trace, sometimes in another encoding."""
    columns, sep = _table(rng), rng.choice((",", ",", ";", "\t", "|"))
    rows = [list(columns), *zip(*columns.values(), strict=True)]
    quoted = ([_cell(cell, sep) for cell in row] for row in rows)
    text = "".join(sep.join(row) + "\n" for row in quoted)
    return mutate(rng, text.encode(rng.choice(("utf-8", "utf-8", "utf-8-sig", "utf-16"))), _CSV_WORDS)


def _cell(cell: object, sep: str) -> str:
    text = str(cell)
    return '"' + text.replace('"', '""') + '"' if any(mark in text for mark in ('"', sep, "\n")) else text


def make_jsonl(rng: random.Random) -> bytes:
    """Return mutated JSON Lines, or a JSON text in one of the forms that are read."""
    columns = _table(rng)
    records = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    form = rng.randrange(4)
    if form == 0:
        text = json.dumps(records)
    elif form == 1:
        text = json.dumps(columns)
    elif form == 2:
        split = {"columns": list(columns), "data": [list(record.values()) for record in records]}
        text = json.dumps(split)
    else:
        text = "".join(json.dumps(record) + "\n" for record in records)
    return mutate(rng, text.encode(), _JSON_WORDS)


def make_npz(rng: random.Random) -> bytes:
    """Return a mutated NPZ file of arrays or logits; sometimes only its members are mutated."""
    n, exits = rng.randint(1, 12), rng.randint(2, 4)
    draw = np.random.default_rng(rng.getrandbits(32))
    arrays: dict[str, Any] = {"label": draw.integers(0, 2, n)}
    if rng.random() < 0.5:
        arrays["logits"] = draw.normal(size=(n, exits, 2)).astype(rng.choice(("f2", "f4", "f8")))
    else:
        arrays["confidence"] = draw.uniform(0.5, 1, (n, exits)).astype(np.float32)
        arrays["prediction"] = draw.integers(0, 2, (n, exits))
    sink = io.BytesIO()
    save = np.savez if rng.random() < 0.5 else np.savez_compressed
    if rng.random() < 0.5:
        save(sink, **arrays)
        return mutate(rng, sink.getvalue(), _NPZ_WORDS)
    import zipfile

    how = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
    with zipfile.ZipFile(sink, "w", how) as archive:
        for name, values in arrays.items():
            member = io.BytesIO()
            np.save(member, values)
            archive.writestr(f"{name}.npy", mutate(rng, member.getvalue(), _NPZ_WORDS))
    return sink.getvalue()


def make_parquet(rng: random.Random) -> bytes:
    """Return a mutated Parquet table, sometimes with lists, compressed in some way."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = _table(rng)
    if "id" in columns and rng.random() < 0.5:
        exits = sum(name.startswith("confidence") for name in columns)
        confidences = [columns[f"confidence_{i + 1}"] for i in range(exits)]
        predictions = [columns[f"prediction_{i + 1}"] for i in range(exits)]
        columns = {
            "confidence": [list(row) for row in zip(*confidences, strict=True)],
            "prediction": [list(row) for row in zip(*predictions, strict=True)],
            "label": columns["label"],
        }
    sink = io.BytesIO()
    pq.write_table(
        pa.table(columns),
        sink,
        compression=rng.choice(("none", "snappy", "zstd", "gzip")),
        use_dictionary=rng.random() < 0.5,
    )
    return mutate(rng, sink.getvalue(), _PARQUET_WORDS)


def read(data: bytes) -> None:
    """Read the input as a trace and as texts; raise what both of them refuse."""
    refused: list[InputError] = []
    for one in (_read_trace, _read_texts):
        try:
            one(data)
        except InputError as error:
            refused.append(error)
    if len(refused) == 2:
        raise refused[0]


def _read_trace(data: bytes) -> None:
    import_trace(data)


def _read_texts(data: bytes) -> None:
    table = read_table(data)
    label = "label" if "label" in table else None
    rows_from_table(table, "the file", ("text",), label, None, "rows", no_label=["-"] * (len(data) % 2))


FORMATS = {
    "csv": (make_csv, read),
    "jsonl": (make_jsonl, read),
    "npz": (make_npz, read),
    "parquet": (make_parquet, read),
}

if __name__ == "__main__":
    main(FORMATS)
