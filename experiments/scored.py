"""The rows that an experiment scores: a task's test split, its labels in the model's order."""

from __future__ import annotations

import json
from pathlib import Path

from splitee.data.tasks import Rows, load_task, map_labels


def scored_rows(data: str, data_root: Path, checkpoint: Path) -> Rows:
    """Read the test split of a named data set for a checkpoint."""
    rows = load_task(data, "test", data_root)
    if rows.regression:
        return rows
    config = json.loads((checkpoint / "config.json").read_text())
    names = [config["id2label"][key] for key in sorted(config["id2label"], key=int)]
    return map_labels(rows, names, {})
