"""What teachers and students say of the test splits: a trace each; of those with one exit, answers.

python experiments/cost_eff_2022/predict.py DATA_ROOT [WORK]

Reads checkpoints that train.sh made (those that are there; what is written stays). In float32.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from transformers.utils import logging

from splitee.elue.inferred import inferred
from splitee.elue.predictions import write_method
from splitee.models.multi_exit import load_config
from splitee.models.precompute import precompute
from splitee.policies.rules import AtExit

HERE = Path(__file__).parent
RESULTS = HERE / "results"
sys.path.append(str(HERE.parent))
from scored import scored_rows  # noqa: E402  # the experiments'

TASKS = {"sst2": ("sst2_sentences", "sst-2"), "mrpc": ("mrpc", "mrpc")}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data_root", type=Path)
    parser.add_argument("work", type=Path, nargs="?", default=Path.home() / ".cache" / "splitee" / "cost-eff")
    given = parser.parse_args()
    logging.disable_progress_bar()
    for checkpoint in sorted(path for path in given.work.iterdir() if (path / "model.safetensors").exists()):
        if (task := checkpoint.name.partition("-")[0]) in TASKS:
            predict(checkpoint, *TASKS[task], given.data_root)


def predict(checkpoint: Path, data: str, task: str, data_root: Path) -> None:
    """Write what one checkpoint says, unless it is there."""
    trace, answers = RESULTS / "traces" / f"{checkpoint.name}.parquet", RESULTS / "answers" / checkpoint.name
    if trace.exists() or answers.exists():
        return
    rows = scored_rows(data, data_root, checkpoint)
    if load_config(checkpoint).backbone["num_hidden_layers"] > 1:
        trace.parent.mkdir(parents=True, exist_ok=True)
        precompute(checkpoint, rows, trace, name=checkpoint.name)
    else:
        write_method(inferred(checkpoint, rows, {"last": AtExit(1)}, checkpoint.name, task), answers)
    print(f"read by {checkpoint.name}", flush=True)


if __name__ == "__main__":
    main()
