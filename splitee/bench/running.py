"""Run the suite: cells in several processes or on Ray, resumable, with the same bytes everywhere."""

from __future__ import annotations

import atexit
import dataclasses
import hashlib
import io
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from splitee._internal.checksums import file_sha256, piece_path, read_piece, whole_piece
from splitee._internal.errors import InputError
from splitee._internal.files import write_text
from splitee._internal.folders import claimed_folder, put_in_place, refuse_foreign
from splitee._internal.leftovers import FINAL, discard
from splitee.bench.entrants import ENTRANTS
from splitee.bench.playing import Half, Row, play, played
from splitee.bench.referee import TIMEOUT, PolicyError, Referee
from splitee.bench.suite import VERSION, Cell, cells, ready, seal
from splitee.bench.tables import as_frame, document_of, stored_field
from splitee.bench.times import cost_of

if TYPE_CHECKING:
    import pandas as pd

    from splitee._internal.ray import Cluster

CHECKED = 500  # rounds of each cell in which a policy file is shown one exit at a time
LIMIT = 1800.0  # processor's s that a policy file may take in all
WARNED = 8  # cells after which it is reported that a policy file will not end within its limit
FILES = ("cells.parquet", "bench.json", "times.json", "page.html")


class Item(NamedTuple):
    """A piece of work: a cell of the suite for all entrants, or for a policy file.

    `what` is "field" or "file", "check" for a policy file's cells as device loops, or "time".
    """

    what: str
    cell: int
    file: str
    timeout: float


class Done(NamedTuple):
    """What a piece of work has brought; `read`: files that a policy file has read, with their SHA-256."""

    rows: list[Row]
    seconds: float
    failed: str
    times: dict[str, dict[str, float | None]]
    read: dict[str, str]


@lru_cache(maxsize=4)
def _halves(number: int) -> tuple[Half, Half]:
    cell = cells()[number]
    return Half.of(cell, judge=False), Half.of(cell, judge=True)


_REFEREES: dict[str, Referee] = {}


def _referee(item: Item) -> Referee:
    if item.file not in _REFEREES:
        _REFEREES[item.file] = Referee(Path(item.file), item.timeout)
        atexit.register(_dismiss, item.file)
    return _REFEREES[item.file]


def _dismiss(file: str) -> None:
    if file in _REFEREES:
        _REFEREES.pop(file).close()


def work(common: Any, item: Item) -> Done:
    """Do a piece of work in this process; what goes wrong in a policy file is returned."""
    cell = cells()[item.cell]
    if item.what == "field":
        return Done(play(cell, ENTRANTS), 0.0, "", {}, {})
    if item.what == "time":
        return Done([], 0.0, "", {entrant.name: cost_of(entrant, cell) for entrant in ENTRANTS}, {})
    name, rows, times, spent = Path(item.file).stem, [], {}, {"seconds": 0.0, "read": []}
    try:
        referee = _referee(item)
        before = referee.ask("spent")["seconds"]
        if item.what == "check":
            times = _checked(referee, name)
        else:
            first, second = _halves(item.cell)
            rows = played(cell, name, referee.policies(first.played.task), first, second)
        spent = referee.ask("spent")
    except (PolicyError, InputError) as error:
        _dismiss(item.file)
        return Done([], 0.0, str(error), {}, {})
    read = {file: file_sha256(file) for file in spent["read"]}
    return Done(rows, spent["seconds"] - before, "", times, read)


def _checked(referee: Referee, name: str) -> dict[str, dict[str, float | None]]:
    """Play a policy file's policies in some cells as device loops too, and return what a decision takes.

    Raises
    ------
    PolicyError
        If a device loop, shown one exit at a time, decides otherwise in some round.
    """
    for cell in checked_cells():
        half = ready(cell, judge=True)
        for policy in referee.policies(half.task):
            whole = half.play({"it": policy}, 1, CHECKED)["it"]
            shown = half.play({"it": policy.live()}, 1, CHECKED)["it"]
            for what in ("split", "offloaded", "evaluated"):
                differ = np.flatnonzero((getattr(whole, what) != getattr(shown, what))[0])
                if len(differ):
                    raise PolicyError(
                        f"{policy.label} decides otherwise if it is shown one exit at a time: "
                        f"first in round {differ[0] + 1} of the cell {cell.title} (a policy draws random "
                        "numbers from the generator that start gets)"
                    )
            if not np.allclose(whole.cost, shown.cost, rtol=1e-9):
                raise PolicyError(f"{policy.label} reports other costs than its decisions have")
    return {name: referee.ask("cost")}


def checked_cells() -> list[Cell]:
    """Return the cells in which a policy file is also shown one exit at a time: some of every track.

    Examples
    --------
    >>> sorted({cell.track for cell in checked_cells()})
    ['constant', 'delay', 'drift', 'shift', 'short', 'system']
    """
    found: dict[tuple[str, bool], Cell] = {}
    for cell in cells():
        found.setdefault((cell.track, cell.half_device), cell)
    return list(found.values())


@dataclass
class Plan:
    """What is run, and what has failed so far.

    Attributes
    ----------
    files : sequence of Path
    field : bool
        Whether the package's own entrants are played, not read.
    """

    files: Sequence[Path]
    field: bool
    timeout: float = TIMEOUT
    limit: float = LIMIT
    report: Callable[[str], None] = print
    failed: dict[str, str] = dataclasses.field(default_factory=dict)
    late: set[str] = dataclasses.field(default_factory=set)  # those that failed by the limit
    cells: dict[str, int] = dataclasses.field(default_factory=dict)  # played of each file
    spent: dict[str, float] = dataclasses.field(default_factory=dict)

    def items(self) -> list[Item]:
        """Return all pieces of work; comparisons first, then trace by trace."""
        found = [Item("check", 0, str(file), self.timeout) for file in self.files]
        for cell in cells():
            if self.field:
                found.append(Item("field", cell.number, "", self.timeout))
            found += [Item("file", cell.number, str(file), self.timeout) for file in self.files]
        return found

    def wanted(self, item: Item) -> bool:
        """Whether a piece of work is still worth doing."""
        return not item.file or Path(item.file).stem not in self.failed

    def took(self, item: Item, done: Done) -> None:
        """Take note of what a piece of work has taken, and whether its file has failed."""
        if not item.file:
            return
        name = Path(item.file).stem
        self.spent[name] = self.spent.get(name, 0.0) + done.seconds
        if done.failed:
            self.failed.setdefault(name, done.failed)
        elif self.spent[name] > self.limit:
            self.late.add(name)
            self.failed.setdefault(
                name, f"took more than {self.limit:g} s of the processor: give fewer settings, or --limit"
            )
        elif item.what == "file":
            self.cells[name] = self.cells.get(name, 0) + 1
            whole = self.spent[name] / self.cells[name] * len(cells())
            if self.cells[name] == WARNED and whole > self.limit:
                self.report(
                    f"{name} will take about {whole:,.0f} s of the processor, more than its --limit of "
                    f"{self.limit:g}: give fewer settings, or a greater limit"
                )


Map = Callable[[Iterable[Item]], Iterator[tuple[Item, Done]]]


def here(workers: int) -> Map:
    """Return a function that does work in this process, or in several of this machine."""

    def one(items: Iterable[Item]) -> Iterator[tuple[Item, Done]]:
        try:
            for item in items:
                yield item, work(None, item)
        finally:  # another call may find other files
            for file in list(_REFEREES):
                _dismiss(file)

    def several(items: Iterable[Item]) -> Iterator[tuple[Item, Done]]:
        before = {name: os.environ.get(name) for name in _ONE_THREAD}
        os.environ.update(dict.fromkeys(_ONE_THREAD, "1"))
        try:
            with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
                running: dict[Future[Done], Item] = {}
                left = iter(items)
                try:
                    while True:
                        while len(running) < workers + 1 and (item := next(left, None)) is not None:
                            running[pool.submit(work, None, item)] = item
                        if not running:
                            return
                        for done in wait(running, return_when=FIRST_COMPLETED).done:
                            yield running.pop(done), done.result()
                except BaseException:
                    pool.shutdown(cancel_futures=True)
                    raise
        finally:
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})

    return one if workers == 1 else several


_ONE_THREAD = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS")


def on(cluster: Cluster) -> Map:
    """Return a function that does work on a cluster, one task and thread each."""

    def many(items: Iterable[Item]) -> Iterator[tuple[Item, Done]]:
        return cluster.map(work, items, lambda item: ("", lambda: None))

    return many


def bench(
    out: str | Path,
    files: Sequence[str | Path] = (),
    *,
    again: bool = False,
    play_on: Map | None = None,
    limit: float = LIMIT,
    timeout: float = TIMEOUT,
    overwrite: bool = False,
    report: Callable[[str], None] = lambda line: None,
    begin: Callable[[int], None] = lambda pieces: None,
    advance: Callable[[bool], None] = lambda computed: None,
) -> Path:
    """Play the suite, and write its tables and its page to a folder; continue an interrupted call.

    Parameters
    ----------
    out : path
        The folder of ``cells.parquet``, ``bench.json``, ``times.json`` and ``page.html``.
    files : sequence of path
        Policy files; see docs/bench.md. They run in processes of their own.
    again : bool
        Whether the package's own entrants are played again. Default: only if there are no files; else their
        stored results are read.
    play_on : callable, optional
        Does the work: `here(workers)` (default: one per processor) or `on(cluster)`.
    limit, timeout : float
        Seconds of the processor that a policy file may take in all, and of waiting for one answer.
    overwrite : bool
        Whether an existing `out` is replaced.
    report, begin, advance : callable
        Progress: called with a line; with the number of pieces of work; for each that is finished, with
        whether this call computed it.

    Returns
    -------
    Path
        `out`.

    Raises
    ------
    FileExistsError
        If `out` exists and `overwrite` is false; nothing is played then.
    InputError
        If a file does not exist, two have one name, none can be ranked, or the stored results are of another
        suite.
    """
    out, place = Path(out), Path(out).resolve()
    refuse_foreign(place, FILES, "a benchmark's", overwrite)
    paths = _policy_files(files)
    plan = Plan(paths, again or not paths, timeout, limit, report)
    field = None if plan.field else stored_field()
    map_ = here(os.cpu_count() or 1) if play_on is None else play_on
    facts = {
        "suite": VERSION,
        "seal": seal(),
        "field": "played" if plan.field else "stored",
        "libraries": {name: version(name) for name in ("splitee", "numpy", "numba", "scipy")},
    }
    with claimed_folder(place, facts) as folder:
        times = _play_missing(plan, folder, map_, report, begin, advance)
        if paths and len(plan.failed) == len(paths) and not plan.field:
            if not plan.late:
                discard(folder)
            raise InputError("; ".join(f"{name}: {why}" for name, why in sorted(plan.failed.items())))
        rows = [row for item in plan.items() if item.what != "check" and plan.wanted(item)
                for row in _read(folder, item)["rows"]]  # fmt: skip
        if plan.field:
            times |= _timed(folder)
        frame = as_frame(rows, field)
        made = folder / FINAL
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir()
        given = {path.stem: file_sha256(path) for path in paths}
        _write(made, frame, plan, facts | {"files": given}, times)
        refuse_foreign(place, FILES, "a benchmark's", overwrite)
        put_in_place(made, place, folder)
    return out


def _write(
    folder: Path, frame: pd.DataFrame, plan: Plan, facts: dict[str, Any], times: dict[str, Any]
) -> None:
    from splitee.bench.page import page

    own = [path.stem for path in plan.files if path.stem not in plan.failed]
    document = document_of(frame, own, plan.failed, facts)
    frame.to_parquet(folder / FILES[0], index=False, compression="zstd")
    write_text(folder / FILES[1], json.dumps(document, ensure_ascii=False) + "\n")
    write_text(folder / FILES[2], json.dumps(dict(sorted(times.items())), indent=1) + "\n")
    write_text(folder / FILES[3], page(document, times))


def _policy_files(files: Sequence[str | Path]) -> list[Path]:
    paths = [Path(file) for file in files]
    for path in paths:
        if not path.is_file() or path.suffix != ".py":
            what = "is no Python file" if path.exists() else "no such file"
            raise InputError(f"{path}: {what}: give a file with a policy, such as mine.py (docs/bench.md)")
    names = [path.stem for path in paths]
    taken = {entrant.name for entrant in ENTRANTS}
    for name in names:
        if names.count(name) > 1 or name in taken:
            raise InputError(f"two entrants are called {name}: rename the file")
    return [path.resolve() for path in paths]


def _play_missing(
    plan: Plan,
    folder: Path,
    map_: Map,
    report: Callable[[str], None],
    begin: Callable[[int], None],
    advance: Callable[[bool], None],
) -> dict[str, Any]:
    """Do the work that has no whole piece yet; return the times of the policy files."""
    items = plan.items()
    kept = {item: Done(**_read(folder, item)) for item in items if whole_piece(_piece(folder, item))}
    there = [item for item, done in kept.items() if not done.failed and _unchanged(done)]
    begin(len(items))
    for item in there:
        plan.took(item, kept[item])
        advance(False)
    if there:
        report(f"{len(there)} of {len(items)} pieces are there from an earlier run")
    missing = [item for item in items if item not in set(there)]
    for item, done in map_(item for item in missing if plan.wanted(item)):
        plan.took(item, done)
        _keep(folder, item, done)
        advance(True)
    times: dict[str, Any] = {}
    for item in items:
        if item.what == "check" and plan.wanted(item):
            times |= _read(folder, item)["times"]
    return times


def _timed(folder: Path) -> dict[str, Any]:
    """Return the times of the package's entrants, measured when nothing else runs."""
    item = Item("time", 0, "", 0.0)
    if not whole_piece(_piece(folder, item)):
        _keep(folder, item, work(None, item))
    times: dict[str, Any] = _read(folder, item)["times"]
    return times


def _unchanged(done: Done) -> bool:
    """Whether the files beside a policy file are those that it has read."""
    return all(Path(file).is_file() and file_sha256(file) == digest for file, digest in done.read.items())


def _piece(folder: Path, item: Item) -> Path:
    """Return the file of a piece of work; that of a policy file is named after its content."""
    content = item.file.encode() + Path(item.file).read_bytes() if item.file else b""
    who = f"-{hashlib.sha256(content).hexdigest()[:12]}" if item.file else ""
    return folder / f"{item.what}-{item.cell:03d}{who}.json"


def _keep(folder: Path, item: Item, done: Done) -> None:
    with piece_path(_piece(folder, item)) as temporary:
        temporary.write_text(json.dumps(done._asdict()), encoding="utf-8")


def _read(folder: Path, item: Item) -> dict[str, Any]:
    found: dict[str, Any] = json.load(io.BytesIO(read_piece(_piece(folder, item))))
    return found
