"""How many bytes an input has, as text and as token ids, beside the state: every bundled target trace's texts.

python experiments/system/inputs.py DATA_ROOT

The texts are those that the traces were made of, by their SHA-256. Writes results/input_bytes/NAME.parquet (the UTF-8
bytes of every sample, in the trace's order; of a pair, both texts and one byte between them), and
results/tables/inputs.csv and, to be read, inputs.md.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import splitee
from splitee._internal.files import atomic_path
from splitee.data.tasks import load_task
from splitee.system.codec import CODECS, state_bytes

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent))
from writing import write_csv, write_readable  # noqa: E402  # the experiments'

TABLES = HERE / "results" / "tables"
HIDDEN = 768  # of the traces' encoder
ID_BYTES = 2  # per token: vocabularies of less than 65,536


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data_root")
    given = parser.parse_args()
    found = []
    for name in splitee.bundled_traces():
        if name.endswith("_validation") or name.startswith(("caltech", "slender")):
            continue  # each text once; traces of images hold the bytes of their inputs
        trace = splitee.load_trace(name)
        size = text_bytes(trace, given.data_root)
        file = HERE / "results" / "input_bytes" / f"{name}.parquet"
        with atomic_path(file, overwrite=True) as temporary:
            pd.DataFrame({"bytes": size}).to_parquet(temporary, index=False, compression="zstd")
        found.append(described(name, trace, size))
    write_csv(pd.DataFrame(found), TABLES / "inputs.csv")
    readable(pd.read_csv(TABLES / "inputs.csv"), TABLES)


def text_bytes(trace: splitee.Trace, data_root: str) -> NDArray[np.uint32]:
    """Return the UTF-8 bytes of every sample of a trace, shape (n,)."""
    data = trace.manifest["data"]
    rows = load_task(data["task"], data["split"], data_root)
    size = np.array([sum(len(part.encode()) for part in texts) for texts in zip(*rows.text, strict=True)])
    size = size + len(rows.text) - 1
    if rows.identity["sha256"] != data["sha256"] or list(trace.columns["id"]) != list(rows.id):
        raise SystemExit(
            f"{trace.name}: {rows.name} of {data_root} is not the data that the trace was made of"
        )
    return size.astype(np.uint32)


def described(name: str, trace: splitee.Trace, size: NDArray[np.uint32]) -> dict[str, object]:
    """Return the statistics of one data set."""
    assert trace.length is not None
    row: dict[str, object] = {"data": name, "samples": trace.samples, "tokens": float(trace.length.mean())}
    kinds = {"text": size, "token_ids": ID_BYTES * trace.length}
    kinds |= {codec: state_bytes(codec, trace.length, HIDDEN) for codec in CODECS}
    for kind, values in kinds.items():
        row |= {f"{kind}_mean": float(values.mean()), f"{kind}_p95": float(np.percentile(values, 95))}
    row["text_bytes_per_token"] = float(size.sum() / trace.length.sum())
    row["text_of_float16"] = float(np.median(size / kinds["float16"]))
    return row


def readable(table: pd.DataFrame, folder: Path) -> None:
    """Write the table to be read: bytes as mean (p95)."""
    kinds = {"text": "text", "token_ids": "token ids", **{codec: f"state, {codec}" for codec in CODECS}}
    rows = []
    for row in table.to_dict("records"):
        cells = {"data": row["data"], "samples": f"{row['samples']:,}", "tokens": f"{row['tokens']:.1f}"}
        for kind, heading in kinds.items():
            cells[heading] = f"{row[f'{kind}_mean']:,.0f} ({row[f'{kind}_p95']:,.0f})"
        rows.append(cells | {"float16 state / text": f"{1 / row['text_of_float16']:,.0f}"})
    write_readable(
        pd.DataFrame(rows),
        folder / "inputs",
        f"Bytes per sample, mean (p95): the whole text in UTF-8, its token ids ({ID_BYTES} bytes each, truncated as "
        f"the trace's), and the state of width {HIDDEN} by codec; and how many times larger than the text the "
        "float16 state of a sample is (median).",
    )


if __name__ == "__main__":
    main()
