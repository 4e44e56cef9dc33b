"""The curve that methods are compared with: a file of points, or the answers of a method per sample."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from splitee._internal.errors import InputError
from splitee.data.tables import naming, read_table
from splitee.elue.metrics import get_task
from splitee.elue.predictions import Method, Points, check_numbers, read_methods

if TYPE_CHECKING:
    import pandas as pd

OWN = "ElasticBERT-base"  # only a score against this reference is called an ELUE score


@dataclass(frozen=True)
class Reference:
    """The reference that methods are compared with.

    Attributes
    ----------
    name : str
        Name of the reference.
    curves : dict of str to ndarray, shape (k, 2)
        For each task, FLOPs and performance in per cent, in order of FLOPs.
    methods : dict of str to Method
        For each task, the answers per sample, if they are known; intervals then resample both sides.
    by_layer : dict of str to dict of int to float
        For each task, FLOPs by number of layers, if the file has the column ``layers``.
    """

    name: str
    curves: dict[str, Points]
    methods: dict[str, Method]
    by_layer: dict[str, dict[int, float]] = field(default_factory=dict)

    @property
    def score_name(self) -> str:
        """The name of a score against this reference."""
        return "ELUE score" if self.name == OWN else f"score against {self.name}"

    def curve(self, task: str, rows: NDArray[np.int64] | None = None) -> Points:
        """Return the points of a task; for a resampling `rows`, if the answers per sample are known."""
        if rows is not None and task in self.methods:
            return self.methods[task].points(rows)
        return self.curves[task]


def read_reference(path: str | Path) -> Reference:
    """Read a reference: a CSV file of points, or a folder with the answers of one method.

    The file has the columns reference (its name), task, flops and performance (per cent).

    Raises
    ------
    InputError
        If a column or a task is missing, or a task has fewer than two points.
    """
    path = Path(path)
    if path.is_dir():
        methods = read_methods([path])
        names = sorted({method.name for method in methods})
        if len(names) > 1 or len({method.task for method in methods}) < len(methods):
            raise InputError(
                f"{path}: a reference is one method, but here are {', '.join(names)}"
                f"{' with several seeds' if len(names) == 1 else ''}"
            )
        found = {method.task: method for method in methods}
        return _checked(Reference(names[0], {task: one.points() for task, one in found.items()}, found), path)
    frame = _read_csv(path)
    names = sorted(set(frame["reference"].astype(str)))
    if len(names) != 1:
        raise InputError(f"{path}: column 'reference' names {', '.join(names)}: use one reference per file")
    curves = {
        get_task(str(task)).name: part.sort_values("flops")[["flops", "performance"]].to_numpy(
            dtype=np.float64
        )
        for task, part in frame.groupby("task")
    }
    by_layer: dict[str, dict[int, float]] = {}
    if "layers" in frame.columns:
        check_numbers(frame, path, "layers")
        for task, layers, flops in zip(frame["task"], frame["layers"], frame["flops"], strict=True):
            by_layer.setdefault(str(task), {})[int(layers)] = float(flops)
    return _checked(Reference(names[0], curves, {}, by_layer), path)


def _read_csv(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise InputError(f"{path}: no such reference: give a file of points or a folder of answers")
    with naming(path):
        frame = read_table(path).to_pandas()
    for column in ("reference", "task"):
        if column not in frame.columns:
            raise InputError(f"{path} has no column {column!r}: it has {', '.join(map(str, frame.columns))}")
    check_numbers(frame, path, "flops", "performance")
    if (below := frame["flops"].to_numpy(dtype=np.float64) <= 0).any():
        raise InputError(f"{path}, row {int(below.argmax())}: flops must be above 0")
    if (frame["reference"].astype(str).str.strip() == "").any():
        raise InputError(f"{path}: column 'reference' is empty in some rows: name the reference in each")
    return frame


def _checked(reference: Reference, path: Path) -> Reference:
    for task, points in reference.curves.items():
        if len(np.unique(points[:, 0])) < 2:
            raise InputError(f"{path}: task {task} has one point only: a curve needs at least two FLOPs")
    return reference
