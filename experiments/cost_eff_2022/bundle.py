"""Write the checkpoint that comes with splitee: the slender MiniLM of train.sh, in float16, with its tokenizer.

python experiments/cost_eff_2022/bundle.py [WORK]
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import torch
from transformers.utils import logging

import splitee
from splitee.models.checkpoints import BUNDLED
from splitee.models.encode import load_tokenizer
from splitee.models.multi_exit import load_checkpoint

NOTICE = """# {name}

A slender multi-exit encoder: {layers} layers, {heads} attention heads and {units} feed-forward units in each, word
embedding of rank {rank}, {millions:.2f} M parameters (float16 on disk, run in float32), an exit after every layer. It tells
negative from positive English sentences.

Made by `splitee slim` (COST-EFF's method) from a multi-exit
[sentence-transformers/all-MiniLM-L6-v2](https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2), fine-tuned on
the whole sentences of GLUE's SST-2 by `splitee train`; both commands are in `experiments/cost_eff_2022/train.sh`, all
settings in `config.json`. It is a modified derivative of that model, which is under the Apache License 2.0, and is under
the same licence (the project's LICENSE).

What it is worth: docs/models.md. It was trained on film reviews; it knows no neutral text.
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("work", type=Path, nargs="?", default=Path.home() / ".cache" / "splitee" / "cost-eff")
    given = parser.parse_args()
    logging.disable_progress_bar()
    source = given.work / "sst2-minilm-bundled"
    out = Path(splitee.__file__).parent / "data" / BUNDLED
    model, tokenizer = load_checkpoint(source), load_tokenizer(source)
    slender = model.config.backbone["slender"]
    told = {
        "layers": len(model.layers),
        "heads": len(slender["heads"][0]),
        "units": slender["units"][0],
        "rank": slender["rank"],
        "millions": model.num_parameters() / 1e6,
    }
    shutil.rmtree(out, ignore_errors=True)
    model.to(torch.float16).save_pretrained(out)
    tokenizer.save_pretrained(out)
    for file in out.iterdir():
        file.chmod(0o644)
    (out / "README.md").write_text(NOTICE.format(name=BUNDLED, **told), encoding="utf-8")
    size = sum(file.stat().st_size for file in out.iterdir())
    print(f"wrote {out}: {size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
