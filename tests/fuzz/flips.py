"""Flip bits in what lies on disk, and read it or resume from it: nothing may be accepted with other numbers.

    python -m tests.fuzz.flips --count 200 --seed 0
    python -m tests.fuzz.flips --kind shards --count 20

Pieces (shards, cells, checkpoints of a training, stages of slimming) are those that a killed command left;
the command is run again and must end in the same bytes, or be refused in one line. Results and checkpoints
are loaded, and must be what they were, or be refused in one line.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from splitee._internal.errors import InputError

from .kills import CASES, Trial, content, imported

PIECES = {"shards": "precompute", "cells": "sweep", "training": "train", "stages": "slim"}


def flipped(folder: Path, rng: random.Random) -> str:
    """Flip 1 to 3 bits, or cut the end off, of a file drawn by its size; return what was done."""
    files = sorted(file for file in folder.rglob("*") if file.is_file() and file.stat().st_size)
    file = rng.choices(files, [file.stat().st_size ** 0.5 for file in files])[0]
    data = bytearray(file.read_bytes())
    if rng.random() < 0.1:
        del data[rng.randrange(len(data)) :]
    else:
        for _ in range(rng.choice((1, 1, 3))):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    file.write_bytes(data)
    return file.name


def resumed(kind: str, folder: Path, rng: random.Random) -> Callable[[], tuple[str, str]]:
    """Return a trial: leave the pieces of a killed command, flip, run it again."""
    trial = Trial(CASES[PIECES[kind]], folder)
    work = trial.place / f"{trial.case.out}.partial"

    def one() -> tuple[str, str]:
        while True:  # a kill that leaves pieces
            assert trial.run(rng.randrange(trial.operations // 3, trial.operations)) == -9
            if work.is_dir() and (work / "run.json").exists():
                break
        name = flipped(work, rng)
        code = trial.run(fresh=False)
        said = trial.log.read_text()
        if code == 2 and said.count("splitee: ") == 1 and "Traceback" not in said:
            return name, "refused"
        if code or content(trial.place / trial.case.out) != trial.new:
            return name, f"WRONG (exit {code}): {said[-300:]}"
        return name, "computed again" if "damaged" in said else "not needed"

    return one


def numbers(folder: Path) -> Any:
    """Return all that results hold."""
    import splitee

    results = splitee.load_results(folder)
    tables = results.summary("data"), results.summary("run"), results.repeats(), results.by_sample()
    texts = [table.to_csv() for table in (*tables, results.curves())]
    return texts, json.dumps(results.facts, sort_keys=True), [one.described() for one in results.values()]


def weights(folder: Path) -> Any:
    """Return all that a checkpoint holds."""
    from splitee.models.encode import load_tokenizer
    from splitee.models.multi_exit import load_checkpoint

    model = load_checkpoint(folder)
    tokens = load_tokenizer(folder)(["good w1 bad", "w7 w8"])["input_ids"]
    values = {name: value.numpy().tobytes() for name, value in model.state_dict().items()}
    return values, model.config.to_dict(), tokens


def answers(folder: Path) -> Any:
    """Return all that a method of ELUE holds."""
    from splitee.elue.predictions import read_method

    method = read_method(folder)
    columns = {
        name: [one.prediction.tolist(), one.exit_layer.tolist(), one.flops.tolist(), one.modules]
        for name, one in method.settings.items()
    }
    return method.name, method.task, method.right.tolist(), columns, dict(method.facts)


def loaded(kind: str, folder: Path, rng: random.Random) -> Callable[[], tuple[str, str]]:
    """Return a trial: copy what was written, flip, load it."""
    whole, copy = folder / "whole", folder / "copy"
    if kind == "results":
        from made_up import random_trace

        import splitee

        read = numbers
        splitee.replay(random_trace(40), ["splitee", "random"], repeats=3).save(whole, choices=True)
    elif kind == "methods":
        import numpy as np

        from splitee.elue.predictions import Method, Setting, write_method

        read = answers
        rng_ = np.random.default_rng(0)
        settings = {
            f"exit-{i}": Setting(rng_.integers(2, size=30), np.full(30, i), np.full(30, 1e9 * i))
            for i in (1, 2, 3)
        }
        write_method(Method("m", "sst-2", rng_.integers(2, size=30), settings, {"seed": 0}), whole)
    else:
        import toys

        from splitee._internal.checksums import write_fingerprints

        read = weights
        toys.checkpoint(whole)
        write_fingerprints(whole)
    wanted = read(whole)

    def one() -> tuple[str, str]:
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(whole, copy)
        name = flipped(copy, rng)
        try:
            found = read(copy)
        except InputError:
            return name, "refused"
        if found == wanted:
            return name, "the same"
        return name, "WRONG: other numbers"

    return one


KINDS = (*PIECES, "results", "methods", "checkpoints")


def flip(kind: str, count: int, seed: int, folder: Path) -> Counter[str]:
    """Flip bits `count` times; return how often what happened, wrong outcomes by their file."""
    rng = random.Random(f"{kind}/{seed}")
    one = (resumed if kind in PIECES else loaded)(kind, folder, rng)
    found: Counter[str] = Counter()
    for _ in range(count):
        name, outcome = one()
        found[f"{name}: {outcome}" if outcome.startswith("WRONG") else outcome] += 1
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kind", action="append", choices=KINDS, help="repeatable; default: all")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    bad = 0
    for kind in given.kind or KINDS:
        if kind in PIECES:
            imported(CASES[PIECES[kind]])
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            found = flip(kind, given.count, given.seed, Path(folder))
        bad += sum(count for outcome, count in found.items() if "WRONG" in outcome)
        seconds = round(time.monotonic() - began)
        print(json.dumps({"kind": kind, "flips": given.count, **found, "seconds": seconds}), flush=True)
    print(f"{bad} wrong")
    return bool(bad)


if __name__ == "__main__":
    raise SystemExit(main())
