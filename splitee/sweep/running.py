"""Run a sweep cell by cell, one file per finished cell; a killed run resumes and ends in the same files."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from splitee._internal.checksums import piece_path, read_piece, sealed, sha256_of, whole_piece
from splitee._internal.errors import InputError
from splitee._internal.files import atomic_path, write_text
from splitee._internal.folders import claimed_folder, put_in_place, refuse_foreign
from splitee._internal.leftovers import FINAL
from splitee.policies.base import Policy
from splitee.policies.names import uses_source
from splitee.replay.orders import stream_of
from splitee.replay.replay import replay
from splitee.sweep.grid import Cell, Grid
from splitee.trace import Trace, load_trace
from splitee.trace.bundled import find_source, find_trace
from splitee.trace.file import read_manifest
from splitee.trace.manifest import recommended_threshold

if TYPE_CHECKING:
    import pandas as pd

    from splitee._internal.ray import Cluster
    from splitee.costs import CostModel
    from splitee.results.results import Results
    from splitee.system.system import System

_GRID = "grid.json"
TABLES = ("repeats", "summary")  # in this order: the last one marks the cell as done
OWN = (_GRID, *(f"{name}.parquet" for name in TABLES))  # what a sweep's folder holds
COUNTS_AT_A_TIME = 2**25  # samples × layers × policies that are replayed together: 128 MB

Tables = dict[str, "pd.DataFrame"]
Needed = tuple[Trace, Trace | None, "dict[str, System]"]
Play = Callable[["Sweep", Sequence[Cell]], Iterable[tuple[Cell, Tables]]]


class Sweep:
    """A grid and its traces, checked against the traces' footers before anything is replayed.

    Parameters
    ----------
    grid : Grid

    Raises
    ------
    InputError
        If a trace, a policy or a cost does not fit.
    """

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self._traces: dict[str, Trace] = {}
        self._sources: dict[str, Trace] = {}
        assert self.sizes
        names = [manifest["name"] for manifest in self.manifests.values()]
        if twice := [name for name in names if names.count(name) > 1]:
            raise InputError(f"two traces are called {twice[0]}, and tables have names only: rename one")

    @cached_property
    def sizes(self) -> list[int]:
        """Number of decisions of each cell."""
        members: dict[tuple[str, int | str], int] = {}  # costs do not change which policies are replayed
        met: set[tuple[str, int | str, str]] = set()  # systems that fit their traces
        sizes = []
        for cell in self.grid.cells():
            facts = self.manifests[cell.trace]
            key = cell.trace, cell.device_layers
            if key not in members:
                members[key] = len(self._members(cell, facts))
            if cell.system is None:
                cell.costs(facts["layers"], self.grid.offload_input)
            elif (*key, cell.system) not in met:
                met.add((*key, cell.system))
                trace = self.trace(cell.trace)
                assert system_of(self.systems, cell, trace).on(trace).world
            sizes.append(members[key] * self.grid.repeats * facts["samples"])
        return sizes

    def _members(self, cell: Cell, facts: dict[str, Any]) -> list[Policy]:
        source, alpha = self.source(cell.trace), recommended_threshold(facts)
        members = self.grid.members(cell, facts["layers"], alpha, source, facts["classes"])
        if self.grid.timed and (unfit := [policy.label for policy in members if not policy.in_time]):
            raise InputError(f"policies: {unfit[0]} knows constant costs only: leave it out with systems")
        return members

    @cached_property
    def systems(self) -> dict[str, System]:
        """The systems of the grid by name, for devices that hold all layers."""
        return self.grid.loaded()

    @cached_property
    def manifests(self) -> dict[str, dict[str, Any]]:
        """The manifests of the traces; only footers are read."""
        return {name: read_manifest(find_trace(name)) for name in self.grid.traces}

    @cached_property
    def sources(self) -> dict[str, str | None]:
        """The validation trace of each trace's source, as given or bundled; None if no policy needs it."""
        if not any(uses_source(name) for name in self.grid.policies):
            return dict.fromkeys(self.manifests)
        return {name: self.grid.source or find_source(facts) for name, facts in self.manifests.items()}

    def source(self, trace: str) -> Trace | None:
        """Return the validation trace of a trace's source."""
        name = self.sources[trace]
        return None if name is None else _kept(self._sources, name)

    def trace(self, name: str) -> Trace:
        """Return a trace and keep it until another is asked for: cells come trace by trace."""
        return _kept(self._traces, name)

    def needed(self, cell: Cell) -> Needed:
        """Return what a cell is replayed with: its trace, the source's, and all systems."""
        return self.trace(cell.trace), self.source(cell.trace), self.systems

    @cached_property
    def facts(self) -> dict[str, Any]:
        """Everything that the results depend on, in plain types."""
        return {
            "grid": self.grid.to_dict(),
            "traces": {name: manifest["fingerprint"] for name, manifest in self.manifests.items()},
            "sources": {
                name: None if source is None else read_manifest(find_trace(source))["fingerprint"]
                for name, source in self.sources.items()
            },
            **(
                {"systems": {name: _digest(system) for name, system in self.systems.items()}}
                if self.grid.timed
                else {}
            ),
            "libraries": {name: version(name) for name in ("splitee", "numpy", "numba", "pandas", "pyarrow")},
        }


def _digest(system: System) -> str:
    """Return the SHA-256 of all that a system says, the rates of its link included."""
    return hashlib.sha256(json.dumps(system.to_dict(), sort_keys=True).encode()).hexdigest()


def system_of(systems: Mapping[str, System], cell: Cell, trace: Trace) -> System:
    """Return the system of a cell, with its device's layers."""
    assert cell.system is not None
    return replace(systems[cell.system], device_layers=cell.holds(trace.layers))


def _kept(last: dict[str, Trace], name: str) -> Trace:
    """Return a trace, and keep it in `last` instead of any other."""
    if name not in last:
        last.clear()
        last[name] = load_trace(name)
    return last[name]


def play_cell(
    grid: Grid,
    cell: Cell,
    trace: Trace,
    source: Trace | None = None,
    systems: Mapping[str, System] | None = None,
) -> Tables:
    """Replay all policies of a cell.

    Parameters
    ----------
    grid : Grid
    cell : Cell
    trace : Trace
    source : Trace, optional
        The source's validation trace, for policies that need it.
    systems : mapping of str to System, optional
        `Grid.loaded`, if it has been called already.

    Returns
    -------
    dict of DataFrame
        "summary": one row per policy and interval, as in `Results.summary`, after the settings of the cell;
        "repeats": one row per policy and repeat, with the final regret last.
    """
    import pandas as pd

    members = grid.members(cell, trace.layers, trace.recommended_threshold, source, trace.classes)
    settings: dict[str, Any] = {"trace": trace.name, "device_layers": cell.holds(trace.layers)}
    if cell.system is None:
        constant = cell.costs(trace.layers, grid.offload_input)
        settings |= {"layer_cost": constant.layer, "exit_cost": constant.exit, "offload": cell.offload}
        costs: CostModel | System = constant
        settings["mu"] = cell.mu
    else:
        costs = system = system_of(grid.loaded() if systems is None else systems, cell, trace)
        settings["system"] = cell.system
        settings["mu"] = system.on(trace).usual_mu if cell.mu == "auto" else cell.mu
    if grid.stream != ("shuffled",):
        settings["stream"] = cell.stream
    orders = stream_of(cell.stream, trace, grid.repeats, grid.seed)
    several = max(1, COUNTS_AT_A_TIME // (trace.samples * (trace.layers + 1)))
    tables: dict[str, list[pd.DataFrame]] = {name: [] for name in TABLES}
    for first in range(0, len(members), several):
        some = dict(enumerate(members[first : first + several]))
        results = replay(
            trace,
            {str(k): policy for k, policy in some.items()},
            costs,
            settings["mu"],
            repeats=grid.repeats,
            seed=grid.seed,
            orders=orders,
            threshold=grid.alphas(trace.recommended_threshold)[0],
        )
        parameters = pd.DataFrame(
            {
                "policy": [policy.label for policy in some.values()],
                "threshold": [_parameter(policy, "threshold") for policy in some.values()],
                "exploration": [_parameter(policy, "exploration") for policy in some.values()],
            },
            index=[str(k) for k in some],
        )
        for name, rows in (("summary", _summary(results, grid.interval)), ("repeats", _repeats(results))):
            named = pd.concat([parameters.loc[rows.pop("policy")].reset_index(drop=True), rows], axis=1)
            tables[name].append(named)
    return {
        name: pd.concat(parts, ignore_index=True).pipe(
            lambda table: pd.concat([pd.DataFrame(settings, index=table.index), table], axis=1)
        )
        for name, parts in tables.items()
    }


def _summary(results: Results, intervals: Sequence[str]) -> pd.DataFrame:
    import pandas as pd

    return pd.concat([results.summary(interval) for interval in intervals], ignore_index=True)


def _repeats(results: Results) -> pd.DataFrame:
    import pandas as pd

    table = results.repeats()
    table = table[table["policy"].isin(list(results))].reset_index(drop=True)
    last = {"regret": "common", "regret_own": "own"}
    ends = pd.concat(
        [
            pd.DataFrame({name: getattr(result.curve, kind)[:, -1] for name, kind in last.items()})
            for result in results.values()
        ],
        ignore_index=True,
    )
    return pd.concat([table, ends], axis=1)


def _parameter(policy: object, name: str) -> float:
    value = getattr(policy, name, None)
    return float("nan") if value is None else float(value)


def play_here(work: Sweep, cells: Sequence[Cell]) -> Iterator[tuple[Cell, Tables]]:
    """Replay cells one after the other in this process, each with all threads."""
    for cell in cells:
        yield cell, play_cell(work.grid, cell, *work.needed(cell))


def play_on(cluster: Cluster) -> Play:
    """Return a function that replays cells on a cluster, one task and thread each; traces are sent once."""

    def play(work: Sweep, cells: Sequence[Cell]) -> Iterator[tuple[Cell, Tables]]:
        def common(cell: Cell) -> tuple[str, Callable[[], tuple[Grid, Needed]]]:
            return cell.trace, lambda: (work.grid, work.needed(cell))

        return cluster.map(_play_task, cells, common)

    return play


def _play_task(common: tuple[Grid, Needed], cell: Cell) -> Tables:
    grid, needed = common
    return play_cell(grid, cell, *needed)


def sweep(
    grid: Grid,
    out: str | Path,
    *,
    play: Play = play_here,
    overwrite: bool = False,
    report: Callable[[str], None] = lambda line: None,
    begin: Callable[[int], None] = lambda decisions: None,
    advance: Callable[[int, bool], None] = lambda decisions, computed: None,
) -> Path:
    """Replay a grid and write its tables to a folder; continue an earlier call that was interrupted.

    Parameters
    ----------
    grid : Grid
    out : path
        The folder of ``summary.parquet``, ``repeats.parquet`` and ``grid.json``. ``OUT.partial`` holds the
        finished cells, also as Parquet, until all are done.
    play : callable
        Function that replays cells: in this process (default), or on a cluster (`play_on`).
    overwrite : bool
        Whether an existing `out` is replaced when all cells are done.
    report, begin, advance : callable
        Progress: called with a line; with the number of all decisions; with the number of decisions of
        finished cells and whether they were made by this call.

    Raises
    ------
    FileExistsError
        If `out` exists and `overwrite` is false; nothing is replayed then.
    InputError
        If the grid does not fit its traces, or ``OUT.partial`` belongs to another grid.
    """
    out = Path(out)
    place = out.resolve()
    refuse_foreign(place, OWN, "a sweep's", overwrite)
    work = Sweep(grid)
    with claimed_folder(place, work.facts) as folder:
        _play_missing(work, folder, play, report, begin, advance)
        done = folder / FINAL
        shutil.rmtree(done, ignore_errors=True)
        done.mkdir()
        for name in TABLES:
            _join([_part(folder, cell, name) for cell in grid.cells()], done / f"{name}.parquet")
        document = sealed({**work.facts, "files": sha256_of(done)})
        write_text(done / _GRID, json.dumps(document, indent=1) + "\n")
        refuse_foreign(place, OWN, "a sweep's", overwrite)  # it may have appeared meanwhile
        put_in_place(done, place, folder)
    return out


def _play_missing(
    work: Sweep,
    folder: Path,
    play: Play,
    report: Callable[[str], None],
    begin: Callable[[int], None],
    advance: Callable[[int, bool], None],
) -> None:
    """Replay the cells that have no whole files yet and write their files."""
    cells = work.grid.cells()
    found = [[whole_piece(_part(folder, cell, name)) for name in TABLES] for cell in cells]
    missing = [cell for cell, whole in zip(cells, found, strict=True) if not all(whole)]
    begin(sum(work.sizes))
    if damaged := sum(False in whole for whole in found):
        report(f"{damaged} of {len(cells)} cells are damaged: they are computed again")
    if len(missing) < len(cells):
        report(f"{len(cells) - len(missing)} of {len(cells)} cells are there from an earlier run")
        advance(sum(work.sizes) - sum(work.sizes[cell.number] for cell in missing), False)
    for cell, tables in play(work, missing):
        for name in TABLES:
            with piece_path(_part(folder, cell, name)) as temporary:
                tables[name].to_parquet(temporary, index=False, compression="zstd")
        advance(work.sizes[cell.number], True)


def _part(folder: Path, cell: Cell, table: str) -> Path:
    return folder / f"cell-{cell.number:06d}.{table}.parquet"


def _join(parts: Sequence[Path], out: Path) -> None:
    """Join finished pieces into one file with a row group each, reading one at a time."""
    import pyarrow.parquet as pq

    with (
        atomic_path(out) as temporary,
        pq.ParquetWriter(temporary, pq.read_schema(parts[0]), compression="zstd") as writer,
    ):
        for part in parts:
            writer.write_table(pq.read_table(io.BytesIO(read_piece(part))))
