"""Kill every command that writes before each of its file operations, and run it again.

After the kill the output is the old one or the new one, whole. After the command has run again it is the new
one, and nothing else is there.

    python -m tests.fuzz.kills                                # every command, every operation
    python -m tests.fuzz.kills --command run --most 20        # 20 drawn operations
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

os.environ |= {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}  # threads do not survive a fork
sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from grids import grid_file
from killing import Injector, forked
from made_up import random_trace

FEW = ("--policy", "splitee,final-exit", "--repeats", "2", "--threshold", "0.8", "--device-layers", "all")


@dataclass(frozen=True)
class Case:
    """A command that writes.

    Attributes
    ----------
    out : str
        Name of its output.
    words : tuple
        The command, which is run in a folder of its own.
    inputs : callable
        Makes the input files in the current folder.
    before : tuple
        A command that makes the output that is replaced; none: there is no such output.
    models : bool
        Whether it needs torch.
    """

    out: str
    words: tuple[str, ...]
    inputs: Callable[[], None]
    before: tuple[str, ...] = ()
    models: bool = False


def traces() -> None:
    random_trace(24, layers=4).replace(name="one").save("one.parquet")
    random_trace(24, layers=4, seed=1).replace(name="two").save("two.parquet")
    splitee_("trace", "export", "one.parquet", "--out", "one.csv", "--format", "wide")
    few = {"policies": ["splitee", "final-exit"], "device_layers": "all", "exploration": 1, "threshold": 0.8}
    grid_file(Path(), **few, seed=1).rename("old.yaml")
    grid_file(Path(), **few)


def results() -> None:
    traces()
    draw_little()
    splitee_("run", "one.parquet", *FEW, "--out", "results")


def texts() -> None:
    import toys

    rows = [(f"{word} w{i} w{i % 7}", i % 2) for i, word in enumerate(["bad", "good"] * 16)]
    for name, some in (("train.csv", rows), ("validation.csv", rows[:8])):
        lines = "".join(f"{text},{label}\n" for text, label in some)
        Path(name).write_text(f"text,label\n{lines}")
    toys.backbone(Path("bert"))
    toys.checkpoint(Path("model"), id2label={0: "0", 1: "1"})


def predictions() -> None:
    texts()
    splitee_(*PREDICT, "--out", "method")
    points = "reference,task,layers,flops,performance\nR,sst-2,1,30000,50\nR,sst-2,4,2000000,60\n"
    Path("reference.csv").write_text(points)


def authors_checkpoint() -> None:
    from cost_eff_layout import write

    write(Path("theirs"), {})


DATA = ("--text", "train.csv", "--validation-text", "validation.csv", "--label-column", "label")
TRAIN = (
    *("train", "--backbone", "bert", *DATA, "--batch-size", "8", "--epochs", "2", "--patience", "2"),
    *("--max-tokens", "12", "--checkpoint-steps", "2", "--learning-rate", "0.01", "--out", "out"),
)
SLIM = (
    *("slim", "model", *DATA, "--heads", "1", "--ffn", "8", "--batch-size", "8", "--prune-epochs", "0.5"),
    *(
        "--representation-epochs",
        "0.5",
        "--prediction-epochs",
        "1",
        "--checkpoint-steps",
        "1",
        "--out",
        "out",
    ),
)
PRECOMPUTE = (
    *("precompute", "model", "--text", "train.csv", "--label-column", "label", "--batch-size", "4"),
    *("--shard-size", "8", "--out", "out.parquet"),
)
PREDICT = (
    *("elue", "predict", "model", "--task", "sst-2", "--text", "train.csv", "--label-column", "label"),
    *("--policy", "exits,elasticbert", "--threshold", "0.8"),
)
SCORE = ("elue", "score", "method", "--reference", "reference.csv", "--draws", "20", "--out", "out")
CONVERT = ("convert", "theirs", "--out", "out")
RUN = ("run", "one.parquet", *FEW, "--out", "out")
CASES = {
    "import": Case(
        "t.parquet",
        ("trace", "import", "one.csv", "--out", "t.parquet", "--overwrite"),
        traces,
        ("trace", "import", "one.csv", "--name", "old", "--out", "t.parquet"),
    ),
    "export": Case("t.csv", ("trace", "export", "one.parquet", "--out", "t.csv"), traces),
    "calibrate": Case(
        "t.parquet",
        ("trace", "calibrate", "one.parquet", "--source", "two.parquet", "--out", "t.parquet"),
        traces,
    ),
    "join": Case(
        "t.parquet",
        ("trace", "join", "one.parquet", "one.parquet", "--out", "t.parquet", "--overwrite"),
        traces,
        ("trace", "import", "one.csv", "--out", "t.parquet"),
    ),
    "run": Case("out", RUN, traces),
    "run --overwrite": Case("out", (*RUN, "--overwrite"), traces, (*RUN, "--offload", "1,2", "--seed", "1")),
    "report": Case("results/report.html", ("report", "results"), results),
    "sweep": Case("out", ("sweep", "grid.yaml", "--out", "out"), traces),
    "sweep --overwrite": Case(
        "out",
        ("sweep", "grid.yaml", "--out", "out", "--overwrite"),
        traces,
        ("sweep", "old.yaml", "--out", "out"),
    ),
    "precompute": Case("out.parquet", PRECOMPUTE, texts, models=True),
    "precompute --overwrite": Case(
        "out.parquet", (*PRECOMPUTE, "--overwrite"), texts, (*PRECOMPUTE, "--name", "old"), models=True
    ),
    "train": Case("out", TRAIN, texts, models=True),
    "train --overwrite": Case("out", (*TRAIN, "--overwrite"), texts, (*TRAIN, "--seed", "1"), models=True),
    "elue predict": Case("out", (*PREDICT, "--out", "out"), texts, models=True),
    "elue predict --overwrite": Case(
        "out",
        (*PREDICT, "--out", "out", "--overwrite"),
        texts,
        (*PREDICT, "--policy", "pabee:1", "--out", "out"),
        models=True,
    ),
    "elue score": Case("out", SCORE, predictions, models=True),
    "elue score --overwrite": Case(
        "out", (*SCORE, "--overwrite"), predictions, (*SCORE, "--seed", "1", "--grid", "8"), models=True
    ),
    "convert": Case("out", CONVERT, authors_checkpoint, models=True),
    "convert --overwrite": Case(
        "out", (*CONVERT, "--overwrite"), authors_checkpoint, (*CONVERT, "--class-names", "a,b"), models=True
    ),
    "slim": Case("out", SLIM, texts, models=True),
    "slim --overwrite": Case("out", (*SLIM, "--overwrite"), texts, (*SLIM, "--seed", "1"), models=True),
}


def splitee_(*words: str) -> None:
    """Run a command in this process, and expect no error."""
    import commands

    ran = commands.splitee(*words)
    assert ran.code == 0, ran


def content(place: Path) -> dict[str, bytes] | None:
    """Return the files of an output, or None if there is none."""
    if place.is_file():
        return {"": place.read_bytes()}
    if not place.is_dir():
        return None
    return {str(file.relative_to(place)): file.read_bytes() for file in place.rglob("*") if file.is_file()}


class Trial:
    """A case in a folder of its own, with what it writes when nothing disturbs it."""

    def __init__(self, case: Case, folder: Path) -> None:
        self.case, self.folder = case, folder
        self.log = folder / "log"
        self.template, self.place = folder / "template", folder / "place"
        self.template.mkdir()
        self.do(lambda: os.chdir(self.template) or case.inputs())
        if case.before:
            self.do(lambda: os.chdir(self.template) or splitee_(*case.before))
        self.old = content(self.template / case.out)
        self.operations = self.run(count=True)
        self.new = content(self.place / case.out)
        assert self.new is not None, self.log.read_text()
        self.names = self.entries()

    def do(self, work: Callable[[], None]) -> None:
        """Do some work in a child process, because threads that it starts would not survive a fork."""
        code = forked(lambda: work() or 0, self.log)
        assert code == 0, self.log.read_text()

    def run(self, last: int | None = None, count: bool = False, fresh: bool = True) -> int:
        """Run the command, killed before an operation; return its exit code, or its number of operations."""
        if fresh:
            shutil.rmtree(self.place, ignore_errors=True)
            shutil.copytree(self.template, self.place, symlinks=True)
        injector, tally = Injector(self.place, last), self.folder / "tally"

        def work() -> int:
            import commands

            if self.case.words[0] in ("run", "elue"):
                draw_little()
            os.chdir(self.place)
            injector.install()
            ran = commands.splitee(*self.case.words)
            os.write(1, (ran.out + ran.err).encode())
            tally.write_text(str(injector.made))
            return ran.code

        code = forked(work, self.log)
        return int(tally.read_text()) if count else code

    def entries(self) -> set[str]:
        return {str(path.relative_to(self.place)) for path in self.place.rglob("*")}

    def kill(self, last: int) -> str | None:
        """Kill the command before an operation and run it again; return what is wrong, or None."""
        code = self.run(last)
        if code != -9:
            return f"was to be killed, and ended with {code}: {self.log.read_text()[-300:]}"
        found = content(self.place / self.case.out)
        if found not in (self.old, self.new):
            return "after the kill the output is neither the old nor the new one"
        code = self.run(fresh=False)
        said = self.log.read_text()
        refused = code == 2 and "exists already" in said and found == self.new
        if code and not refused:
            return f"run again, it ends with {code}: {said[-300:]}"
        if content(self.place / self.case.out) != self.new:
            return "run again, it writes another output"
        if litter := self.entries() ^ self.names:
            return f"litter: {sorted(litter)[:5]}"
        return None


def draw_little() -> None:
    """Replace the drawings of `splitee run`, which take seconds, by empty ones."""
    from matplotlib.figure import Figure

    from splitee.report.figures import curves, pareto

    for name in ("accuracy_cost", "regret", "layers_over_time"):
        draw = lambda results: Figure(figsize=(1, 1))  # noqa: E731
        draw.__name__ = name
        setattr(curves, name, draw)
    pareto.pareto = lambda *_: Figure(figsize=(1, 1))


def imported(case: Case) -> None:
    """Import what a case needs once, for all child processes."""
    import pandas  # noqa: F401
    import pyarrow.parquet  # noqa: F401

    import splitee.replay.replay

    if case.models:
        import toys  # noqa: F401

        import splitee.training.finetune
        import splitee.training.slimming  # noqa: F401


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--command", action="append", choices=list(CASES), help="repeatable; default: all")
    parser.add_argument("--most", type=int, help="operations per command; default: all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    given = parser.parse_args()
    bad = 0
    for name in given.command or CASES:
        case = CASES[name]
        imported(case)
        began = time.monotonic()
        with tempfile.TemporaryDirectory(dir=given.folder) as folder:
            trial = Trial(case, Path(folder))
            chosen = list(range(1, trial.operations + 1))
            if given.most is not None and given.most < len(chosen):
                chosen = sorted(random.Random(given.seed).sample(chosen, given.most))
            for last in chosen:
                wrong = trial.kill(last)
                if wrong is not None:
                    bad += 1
                    print(f"{name}, killed before operation {last}: {wrong}", flush=True)
        seconds = time.monotonic() - began
        row = {
            "command": name,
            "operations": trial.operations,
            "kills": len(chosen),
            "seconds": round(seconds),
        }
        print(json.dumps(row), flush=True)
    print(f"{bad} wrong")
    return bool(bad)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main())
