"""What the trained models say of the test splits: traces of those with all exits, answers of the references.

python experiments/elue_2022/predict.py DATA_ROOT [WORK]

Reads checkpoints that train.sh made (those that are there; what is written stays). Traces are computed in
float32. For each trace, early exit is also really run in batches of 32, under three rules, and compared with the
replay of the trace: agreement.csv.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from transformers.utils import logging

import splitee
from splitee._internal.files import write_text
from splitee.data.tasks import Rows
from splitee.elue.inferred import inferred
from splitee.elue.metrics import TASKS
from splitee.elue.predictions import read_methods, write_method
from splitee.elue.replayed import replayed, setting_name
from splitee.models.precompute import precompute
from splitee.policies.rules import AtExit

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent))
from scored import scored_rows  # noqa: E402  # the experiments'

RESULTS = HERE / "results"
ELUE = {"sst2": "sst-2", "mrpc": "mrpc", "stsb": "sts-b", "scitail": "scitail", "snli": "snli"}
NAME = re.compile(r"(?P<task>[a-z0-9]+)-(?P<backbone>minilm|mpnet)(-first(?P<first>\d+)|-(?P<other>.+))?")


def rows_for(task: str, data_root: Path, checkpoint: Path) -> Rows:
    """The test split of a task."""
    return scored_rows(TASKS[ELUE[task]].data, data_root, checkpoint)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data_root", type=Path)
    parser.add_argument("work", type=Path, nargs="?", default=Path.home() / ".cache" / "splitee" / "elue")
    given = parser.parse_args()
    logging.disable_progress_bar()
    (RESULTS / "traces").mkdir(parents=True, exist_ok=True)
    for checkpoint in sorted(path for path in given.work.iterdir() if (path / "model.safetensors").exists()):
        found = NAME.fullmatch(checkpoint.name)
        if found is None:
            continue
        task, backbone = found["task"], found["backbone"]
        if found["first"]:
            folder = RESULTS / "reference" / backbone / task / f"first-{found['first']}"
            if folder.exists():
                continue
            rows = rows_for(task, given.data_root, checkpoint)
            name = f"{backbone}, first l layers fine-tuned"
            rules = {f"first-{found['first']}": AtExit(1)}
            write_method(inferred(checkpoint, rows, rules, name, ELUE[task]), folder)
            print(f"wrote {folder}", flush=True)
            continue
        out = RESULTS / "traces" / f"{checkpoint.name}.parquet"
        if not out.exists():
            precompute(checkpoint, rows_for(task, given.data_root, checkpoint), out, name=checkpoint.name)
            print(f"wrote {out}", flush=True)
        if found["other"] is None:
            agree(checkpoint, out, rows_for(task, given.data_root, checkpoint), ELUE[task])


def agree(checkpoint: Path, trace_file: Path, rows, task: str) -> None:
    """Run rules on the model and on its trace; note where they differ."""
    file = RESULTS / "agreement.csv"
    known = pd.read_csv(file) if file.exists() else pd.DataFrame({"model": []})
    if checkpoint.name in set(known["model"]):
        return
    trace = splitee.load_trace(trace_file)
    confidence = splitee.ElasticBERT(0.95 if task == "sts-b" else 0.9)
    policies = [confidence, splitee.PABEE(2), splitee.FixedExit(trace.layers // 2)]
    if trace.entropy is not None:
        policies.append(splitee.DeeBERT(0.3))
    named = {setting_name(policy): policy for policy in policies}
    replay = replayed(trace, named, "replay", task)
    run = inferred(checkpoint, rows, {name: policy.rule for name, policy in named.items()}, "run", task)
    lines = []
    for name, one in replay.settings.items():
        other = run.settings[name]
        same = one.exit_layer == other.exit_layer
        apart = np.abs(np.asarray(one.prediction, float) - np.asarray(other.prediction, float))[same]
        lines.append(
            {
                "model": checkpoint.name,
                "rule": name,
                "samples": len(same),
                "mean_layer": one.exit_layer.mean(),
                "other_exit": int((~same).sum()),
                "other_answer": int((apart > (1e-4 if task == "sts-b" else 0)).sum()),
            }
        )
    known = pd.concat([known, pd.DataFrame(lines)]) if len(known) else pd.DataFrame(lines)
    whole = known.sort_values(["model", "rule"])
    write_text(file, whole.to_csv(index=False, float_format="%.4g", lineterminator="\n"), overwrite=True)
    print(f"compared {checkpoint.name}", flush=True)


if __name__ == "__main__":
    main()
    assert read_methods([RESULTS / "reference"])
