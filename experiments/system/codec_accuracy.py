"""What a codec does to answers: cut the bundled model after every exit, transfer the state, run the rest.

python experiments/system/codec_accuracy.py DATA_ROOT [--data sst2_sentences imdb]

Every text's state after layer i is encoded and decoded at its true length; the remaining layers and the last
exit answer. float32 is the uncut model. Writes results/tables/codecs.csv and, to be read, codecs.md.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from splitee.data.tasks import load_task
from splitee.models.cutting import Cut
from splitee.models.encode import encode, load_tokenizer, pad
from splitee.models.multi_exit import MultiExitModel, load_checkpoint
from splitee.models.passes import plan_batches
from splitee.system.codec import CODECS, decode, state_bytes
from splitee.system.codec import encode as encode_state

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent))
from writing import write_csv, write_readable  # noqa: E402  # the experiments'

MODEL, BATCH = "sst2_slender", 32
TABLES = HERE / "results" / "tables"
SPLITS = {"sst2_sentences": "test", "imdb": "test"}
MOST = 2000  # rows, spread over the split


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data_root")
    parser.add_argument("--data", nargs="+", choices=SPLITS, default=list(SPLITS))
    given = parser.parse_args()
    torch.set_num_threads(1)
    table = pd.concat([measured(name, given.data_root) for name in given.data], ignore_index=True)
    write_csv(table, TABLES / "codecs.csv")
    readable(pd.read_csv(TABLES / "codecs.csv"), TABLES)


@torch.inference_mode()
def measured(name: str, data_root: str) -> pd.DataFrame:
    """Return a row per codec and layer for one data set."""
    model, tokenizer = load_checkpoint(MODEL), load_tokenizer(MODEL)
    rows = load_task(name, SPLITS[name], data_root)
    if len(rows) > MOST:
        rows = rows.take(np.linspace(0, len(rows) - 1, MOST).astype(np.int64))
    assert rows.label is not None
    encoded = encode(tokenizer, rows.text, model.config.max_tokens)
    lengths = np.array([len(one["input_ids"]) for one in encoded])
    layers, hidden = model.exits[:-1], int(model.backbone.config.hidden_size)
    logits = {
        (codec, layer): np.empty((len(rows), model.config.num_labels), dtype=np.float32)
        for codec in CODECS
        for layer in layers
    }
    error = {key: [0.0, 0.0] for key in logits}  # squared error and squared state
    for members in plan_batches(lengths, BATCH):
        cut = model.start(**pad([encoded[i] for i in members], tokenizer.pad_token_id))
        for layer in layers:
            cut = model.run_layers(cut, layer)
            for codec in CODECS:
                moved = transferred(cut, codec, lengths[members])
                logits[codec, layer][members] = last_exit(model, moved)
                real = cut.mask.bool()
                error[codec, layer][0] += float((moved.hidden - cut.hidden)[real].double().square().sum())
                error[codec, layer][1] += float(cut.hidden[real].double().square().sum())
    found = []
    for (codec, layer), values in logits.items():
        exact = logits["float32", layer]
        sure, before = (_confidence(part) for part in (values, exact))
        found.append(
            {
                "data": name,
                "samples": len(rows),
                "codec": codec,
                "layer": layer,
                "bytes": float(state_bytes(codec, lengths, hidden).mean()),
                "accuracy": float((values.argmax(1) == rows.label).mean()),
                "agreement": float((values.argmax(1) == exact.argmax(1)).mean()),
                "confidence_change": float(np.abs(sure - before).mean()),
                "largest_change": float(np.abs(sure - before).max()),
                "state_error": float(np.sqrt(error[codec, layer][0] / error[codec, layer][1])),
            }
        )
    return pd.DataFrame(found)


def transferred(cut: Cut, codec: str, lengths: NDArray[np.int64]) -> Cut:
    """Return the cut with every sample's state encoded and decoded at its true length."""
    hidden = cut.hidden.clone()
    for row, length in enumerate(lengths):
        state = hidden[row, :length].numpy()
        parts = encode_state(codec, state)
        assert sum(part.nbytes for part in parts) == state_bytes(codec, length, state.shape[1])
        hidden[row, :length] = torch.from_numpy(decode(codec, parts, state.shape[1]))
    return replace(cut, hidden=hidden)


def last_exit(model: MultiExitModel, cut: Cut) -> NDArray[np.float32]:
    logits: NDArray[np.float32] = model.exit_logits(model.run_layers(cut, model.exits[-1])).float().numpy()
    return logits


def _confidence(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    confidence: NDArray[np.float64] = shifted.max(axis=1) / shifted.sum(axis=1)
    return confidence


def readable(table: pd.DataFrame, folder: Path) -> None:
    """Write the table to be read: a row per data set and codec, a column per layer where the model is cut."""
    rows = []
    for (data, codec), part in table.groupby(["data", "codec"], sort=False):
        cells = {"data": data, "codec": codec, "bytes per text": f"{part['bytes'].iloc[0]:,.0f}"}
        for row in part.itertuples():
            cells[f"after layer {row.layer}"] = f"{100 * row.accuracy:.2f} ({100 * row.agreement:.2f})"
        cells["largest change of confidence"] = f"{part['largest_change'].max():.4f}"
        cells["error of the state %"] = f"{100 * part['state_error'].max():.2f}"
        rows.append(cells)
    samples = ", ".join(
        f"{part['samples'].iloc[0]:,} of {name}" for name, part in table.groupby("data", sort=False)
    )
    write_readable(
        pd.DataFrame(rows),
        folder / "codecs",
        f"{MODEL} cut after a layer: accuracy of the last exit (agreement with float32) in %, {samples}; the error "
        "of the state is relative to its norm, the largest over layers.",
    )


if __name__ == "__main__":
    main()
