"""Make the profiles that come with splitee: two measured on this machine, two quoted.

python experiments/system/profiles.py BACKBONES DATA_ROOT [--name epyc] [--only NAME]

Measured, at batch 1 with one thread: the bundled sst2_slender, and an encoder of 12 layers of width 768
(BACKBONES/all-mpnet-base-v2, the backbone of the bundled traces) with new exits, whose times do not depend on
what its weights were trained for; its fingerprint is left out, so that it serves every model of that shape.
Both are compared with the inference of SST-2's validation sentences in the same run (300 and 60); the comparison
is written to results/check.csv. Run it on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

import splitee
from splitee.data.tasks import load_task
from splitee.models.encode import load_tokenizer
from splitee.models.multi_exit import MultiExitModel
from splitee.models.profiling import ProfileOptions, measure

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent))
from writing import write_csv  # noqa: E402  # the experiments'

PROFILES = Path(splitee.__file__).parent / "system" / "profiles"
ENCODER = "all-mpnet-base-v2"
TEXTS = {"sst2_slender": 300, "mpnet_base": 60}  # compared
REPEATS = {"sst2_slender": 40, "mpnet_base": 15}

# the time of a whole model, divided by its layers; neither source times layers or exits
_QUOTED = {
    "pixel_4_bert_base": splitee.DeviceProfile(
        layer_ms=np.full((1, 12), round(62 * 5.5 / 12, 3)),
        tokens=[128],
        hidden=768,
        name="pixel_4_bert_base",
        kind="quoted",
        source="Sun et al., MobileBERT, ACL 2020 (arXiv 2004.02984): 62 ms on a Pixel 4 phone, 5.5 times faster "
        "than BERT-base; so 341 ms for BERT-base, divided by its 12 layers",
        facts={
            "energy": "unknown",
            "exits": "not timed: 0 ms",
            "tokens": "assumed: 128, the length in its experiments on GLUE",
        },
    ),
    "c5_9xlarge_bert_base": splitee.DeviceProfile(
        layer_ms=np.round(np.outer([12.6, 19.2, 35.3], np.full(12, 1 / 12)), 4),
        tokens=[64, 128, 256],
        hidden=768,
        name="c5_9xlarge_bert_base",
        kind="quoted",
        source="Shen, Speed up your BERT inference by 3x on CPUs using Apache TVM (Apache MXNet blog, 8 July 2020, "
        "table in gist icemelon/cf0e7f354773ac6893d9dce62690b5be): BERT-base at batch 1 under TVM, 12.6, 19.2 and "
        "35.3 ms at 64, 128 and 256 tokens, EC2 c5.9xlarge; divided by its 12 layers",
        facts={"energy": "unknown", "exits": "not timed: 0 ms"},
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("backbones", type=Path)
    parser.add_argument("data_root")
    parser.add_argument("--name", default="epyc", help="kind of this machine")
    parser.add_argument("--only", choices=REPEATS, help="measure this model only")
    given = parser.parse_args()
    for name, quoted in _QUOTED.items():
        quoted.save(PROFILES / f"{name}.json", overwrite=True)
    rows = load_task("sst2_sentences", "validation", given.data_root)
    checks = []
    for model, repeats in REPEATS.items():
        if given.only not in (None, model):
            continue
        spread = np.linspace(0, len(rows) - 1, TEXTS[model]).astype(np.int64)
        texts = list(rows.take(spread).text)
        with tempfile.TemporaryDirectory() as work:
            folder = model if model == "sst2_slender" else _with_exits(given.backbones / ENCODER, Path(work))
            name = f"{model}_{given.name}_1_thread"
            options = ProfileOptions(repeats=repeats, threads=1)
            profile, check = measure(folder, options, texts=texts, name=name)
        assert check is not None
        facts = dict(profile.facts)
        if model != "sst2_slender":
            facts["model"] = {key: value for key, value in facts["model"].items() if key != "sha256"}
            profile = replace(profile, facts=facts | {"model": facts["model"] | {"name": ENCODER}})
            profile = replace(profile, source=profile.source.replace(Path(folder).name, ENCODER))
        profile.save(PROFILES / f"{name}.json", overwrite=True)
        checks.append({"profile": name, **check.summary()})
        print(checks[-1], flush=True)
    file = HERE / "results" / "check.csv"
    table = pd.DataFrame(checks)
    if given.only is not None and file.exists():
        before = pd.read_csv(file)
        table = pd.concat([table, before[~before["profile"].isin(table["profile"])]])
    write_csv(table.sort_values("profile", ascending=False), file)


def _with_exits(backbone: Path, work: Path) -> Path:
    """Write the encoder with an exit after every layer, as `splitee train` does."""
    MultiExitModel.from_backbone(backbone, num_labels=2, max_tokens=128).save_pretrained(work)
    load_tokenizer(backbone).save_pretrained(work)
    return work


if __name__ == "__main__":
    main()
