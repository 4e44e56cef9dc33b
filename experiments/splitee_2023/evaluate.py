"""The SplitEE paper's evaluation on the bundled traces: every table and figure, by one command.

python experiments/splitee_2023/evaluate.py [--out FOLDER] [--pair NAME ...]

Under two minutes on two cores, after numba has compiled (once). Running it twice gives identical files.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # two processes of one thread each, whatever the machine has
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import pandas as pd
import scenarios
from scenarios import PAIRS, Pair

from splitee.report.phase_map import phase_map

HERE = Path(__file__).parent


def _task(kind: str, name: str) -> tuple[str, pd.DataFrame]:
    pair = Pair(name.split(":")[0])
    if kind in ("curves", "phases"):
        device = int(name.split(":")[1])
        if kind == "curves":
            return kind, scenarios.curves(pair, device)
        few = pair.target.samples < 10_000
        return kind, phase_map(pair.target, device, repeats=5 if few else 1)
    if kind == "drift":
        return "other_streams", scenarios.drift(Pair("yelp_sentences"), Pair("imdb"))
    function: Callable[[Pair], pd.DataFrame] = getattr(scenarios, kind)
    return kind, function(pair)


def measure(names: list[str], pool: ProcessPoolExecutor) -> dict[str, pd.DataFrame]:
    """Replay everything; the numbers do not depend on how the work is shared out."""
    tasks = [
        (kind, f"{name}:{device}")
        for kind in ("phases", "curves")
        for name in names
        for device in Pair(name).devices
    ]
    tasks += [
        (kind, name)
        for kind in (
            "as_released",
            "other_streams",
            "thresholds",
            "explorations",
            "regrets",
            "families",
            "side_information",
            "calibration",
            "calibrated_policies",
        )
        for name in names
    ]
    if {"imdb", "yelp_sentences"} <= set(names):
        tasks.append(("drift", "yelp_sentences"))
    size = {name: Pair(name).target.samples for name in names}
    by_size = sorted(tasks, key=lambda task: -size[task[1].split(":")[0]] * (2 if ":" in task[1] else 1))
    done: dict[tuple[str, str], tuple[str, pd.DataFrame]] = {}
    for task, told in zip(by_size, pool.map(_task, *zip(*by_size, strict=True)), strict=True):
        done[task] = told
        print(f"{len(done)} of {len(tasks)}: {' '.join(task)}", file=sys.stderr, flush=True)
    tables: dict[str, list[pd.DataFrame]] = {}
    for task in tasks:  # in the order of the pairs again
        kind, part = done[task]
        tables.setdefault(kind, []).append(part)
    return {kind: pd.concat(parts, ignore_index=True) for kind, parts in tables.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out", type=Path, default=HERE / "results", help="default: results beside this file"
    )
    parser.add_argument("--pair", action="append", choices=list(PAIRS), help="repeatable; default: all five")
    given = parser.parse_args()
    names = given.pair or list(PAIRS)
    from figures import write_figures
    from tables import write_tables

    with ProcessPoolExecutor(max_workers=2, mp_context=get_context("spawn")) as pool:
        tables = measure(names, pool)
        halves = [pool.submit(write_figures, tables, names, given.out, part, 2) for part in (0, 1)]
        write_tables(tables, given.out)
        for half in halves:
            half.result()
    print(f"wrote {given.out}")


if __name__ == "__main__":
    main()
