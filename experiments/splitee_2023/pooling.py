"""Tabulate the pooling trials of traces.sh: validation accuracy (%) by exit.

python experiments/splitee_2023/pooling.py WORK
"""

import json
import sys
from pathlib import Path

from splitee._internal.files import write_text

lines = []
for pooling in ("mean", "first"):
    config = json.loads(
        (Path(sys.argv[1]) / f"pooling-{pooling}" / "config.json").read_text(encoding="utf-8")
    )
    accuracy = config["training"]["history"][-1]["accuracy"]
    lines.append(",".join([pooling, *(f"{100 * a:.1f}" for a in accuracy)]))
header = ",".join(["pooling", *(f"exit_{i + 1}" for i in range(len(accuracy)))])
write_text(Path(__file__).with_name("pooling.csv"), "\n".join([header, *lines, ""]), overwrite=True)
