"""How long teachers and students take on this machine: batches of 1 and of 32, with and without early exit.

python experiments/cost_eff_2022/latency.py DATA_ROOT [WORK] [--threads 2]

SST-2's test sentences, MiniLM's models of seed 0, in float32; early exit by confidence at each checkpoint's own
recommended threshold. All are timed in one run, in turns: the median of seven rounds after one that does not
count. Writes results/latency.csv.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
import torch

from splitee._internal.files import write_text
from splitee.models.early_exit import infer
from splitee.models.encode import encode, load_tokenizer, pad
from splitee.models.multi_exit import load_checkpoint
from splitee.policies.rules import AtExit, Confidence

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent))
from scored import scored_rows  # noqa: E402  # the experiments'

NAME = re.compile(r"sst2-minilm(-\d-(slender|depth|depth-svd)|-bundled)?")
ROUNDS = 7
TEXTS = {1: 64, 32: 512}  # by batch size


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data_root", type=Path)
    parser.add_argument("work", type=Path, nargs="?", default=Path.home() / ".cache" / "splitee" / "cost-eff")
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    folders = sorted(
        path
        for path in given.work.iterdir()
        if NAME.fullmatch(path.name) and (path / "model.safetensors").exists()
    )
    rows = scored_rows("sst2_sentences", given.data_root, folders[0])
    chosen = np.random.default_rng(0).permutation(len(rows))
    jobs = []
    for folder in folders:
        model, tokenizer = load_checkpoint(folder), load_tokenizer(folder)
        told = model.config.recommended_threshold
        encoded = encode(tokenizer, rows.text, model.config.max_tokens)
        for size, count in TEXTS.items():
            texts = [encoded[i] for i in chosen[:count]]
            texts.sort(key=lambda one: len(one["input_ids"]))
            batches = [pad(texts[i : i + size], tokenizer.pad_token_id) for i in range(0, count, size)]
            rules = {"no": AtExit(len(model.exits))}
            if told is not None:
                rules["yes"] = Confidence(told["value"])
            jobs += [(folder.name, size, early, model, batches, rule) for early, rule in rules.items()]
    taken: list[list[float]] = [[] for _ in jobs]
    layers = [0.0] * len(jobs)
    for _ in range(ROUNDS + 1):
        for k, (*_, model, batches, rule) in enumerate(jobs):
            began = time.perf_counter()
            exits = [infer(model, batch, rule).exit for batch in batches]
            taken[k].append((time.perf_counter() - began) / len(batches))
            layers[k] = float(np.mean([model.exits[i - 1] for i in np.concatenate(exits)]))
    table = pd.DataFrame(
        {
            "model": name,
            "batch": size,
            "early_exit": early,
            "threads": given.threads,
            "mean_layer": layers[k],
            "milliseconds": 1000 * median(taken[k][1:]),
        }
        for k, (name, size, early, *_) in enumerate(jobs)
    )
    file = HERE / "results" / "latency.csv"
    write_text(file, table.to_csv(index=False, float_format="%.4g", lineterminator="\n"), overwrite=True)
    print(table.to_string())


if __name__ == "__main__":
    main()
