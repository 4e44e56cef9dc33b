"""A short, real pre-training: IMDb's reviews, a six-layer ElasticBERT, every exit's loss.

python experiments/elue_2022/pretrain.py DATA_ROOT BACKBONES [WORK]

The encoder begins with all-MiniLM-L6-v2's weights, poolers and heads with random ones. Interrupted, the same
command goes on. Writes results/tables/pretraining.csv and a figure; half an hour on two cores.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import torch
from transformers import AutoConfig, AutoModel

from splitee._internal.files import write_text
from splitee.models.elasticbert import ElasticBertConfig
from splitee.models.encode import load_tokenizer
from splitee.report.figures.style import freeze, new_figure, paper, write_figure
from splitee.training.pretrain import Pretraining, pretrain, segment_pairs

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data_root", type=Path)
    parser.add_argument("backbones", type=Path)
    parser.add_argument("work", type=Path, nargs="?", default=Path.home() / ".cache" / "splitee" / "elue")
    given = parser.parse_args()
    out = given.work / "imdb-minilm-pretrained"
    if not out.exists():
        tokenizer = load_tokenizer(given.backbones / "all-MiniLM-L6-v2")
        texts = pd.read_parquet(given.data_root / "imdb" / "train.parquet")["text"].tolist()
        how = Pretraining(
            steps=300, batch_size=32, tokens=64, learning_rate=3e-4, evaluate_every=50, precision="bfloat16"
        )
        encoder = AutoModel.from_pretrained(given.backbones / "all-MiniLM-L6-v2", dtype=torch.float32)
        depth = encoder.config.num_hidden_layers
        described = encoder.config.to_dict()
        described.pop("model_type")
        config = ElasticBertConfig(**described | {"max_output_layers": depth, "num_output_layers": depth})
        train = segment_pairs(tokenizer, texts[:12_000], how.tokens, seed=0)
        held_out = segment_pairs(tokenizer, texts[-200:], how.tokens, seed=1)[:256]
        pretrain(
            config,
            tokenizer,
            train,
            held_out,
            out,
            how,
            encoder=encoder,
            report=lambda line: print(line, flush=True),
        )
    history = AutoConfig.from_pretrained(out).training["history"]
    table = pd.DataFrame(
        [
            {"step": entry["step"], "exit": exit_, "masked_words": mlm, "order": order}
            for entry in history
            for exit_, (mlm, order) in enumerate(zip(entry["mlm"], entry["order"], strict=True), 1)
        ]
    )
    (RESULTS / "tables").mkdir(parents=True, exist_ok=True)
    (RESULTS / "figures").mkdir(parents=True, exist_ok=True)
    file = RESULTS / "tables" / "pretraining.csv"
    write_text(file, table.to_csv(index=False, float_format="%.4g", lineterminator="\n"), overwrite=True)
    draw(table)


@paper
def draw(table: pd.DataFrame) -> None:
    """Every exit's held-out losses over the steps."""
    figure = new_figure(7.2, 2.8)
    panels = figure.subplots(1, 2)
    kinds = (("masked_words", "masked words"), ("order", "order of segments"))
    last = table["exit"].max()
    for axes, (column, title) in zip(panels, kinds, strict=True):
        for exit_, part in table.groupby("exit"):
            colour = plt.colormaps["viridis_r"](exit_ / last)
            axes.plot(part["step"], part[column], color=colour, lw=1.2, label=f"exit {exit_}")
        axes.set_title(title, loc="left")
        axes.set_xlabel("step")
        axes.grid(True)
    panels[0].set_ylabel("held-out cross entropy (nats)")
    panels[0].legend(ncols=2)
    freeze(figure)
    for kind in ("png", "pdf"):
        write_figure(figure, RESULTS / "figures" / f"pretraining.{kind}", True)


if __name__ == "__main__":
    main()
