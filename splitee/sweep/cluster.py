"""A sweep on Ray (extra `ray`): a task a cell, traces in the object store.

Ray schedules, and plays again what a lost node was playing; only this process writes, so nothing is lost or
counted twice.
"""

from __future__ import annotations

import logging
import re
import socket
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from splitee.errors import InputError
from splitee.sweep.grid import Cell
from splitee.sweep.running import Tables, play_cell

if TYPE_CHECKING:
    from splitee.sweep.running import Sweep

WAITING = 64  # cells handed over at a time, at least; and so many for each processor
ONE_THREAD = {"NUMBA_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


class Cluster:
    """Where Ray plays cells.

    Parameters
    ----------
    address : str, optional
        Of a running cluster, as `ray.init` takes it ("auto"). Default: one of this machine, for the while.
    """

    def __init__(self, address: str | None = None) -> None:
        self.address = address

    def __call__(self, work: Sweep, cells: Sequence[Cell]) -> Iterator[tuple[Cell, Tables]]:
        """Play cells, and give each when it is done."""
        ray = connect(self.address)
        play = ray.remote(num_cpus=1, max_retries=-1, runtime_env={"env_vars": ONE_THREAD})(_play)
        kept: dict[str, Any] = {}  # references: a trace stays in the store while its cells may need it
        most = WAITING + 2 * int(ray.cluster_resources().get("CPU", 1))
        running: dict[Any, Cell] = {}
        left = iter(cells)
        while True:
            while len(running) < most and (cell := next(left, None)) is not None:
                if cell.trace not in kept:
                    kept[cell.trace] = ray.put((work.trace(cell.trace), work.source(cell.trace)))
                running[play.remote(work.grid, cell, kept[cell.trace])] = cell
            if not running:
                return
            (done,), _ = ray.wait(list(running), num_returns=1)
            yield running.pop(done), ray.get(done)


def connect(address: str | None) -> Any:
    """Return the module `ray`, connected to a cluster.

    Raises
    ------
    InputError
        Where Ray is not installed, or no cluster is there.
    """
    try:
        import ray
    except ImportError as error:
        raise InputError("Ray is not installed: pip install 'splitee[ray]'") from error
    if not ray.is_initialized():
        try:
            if address is not None and (place := re.fullmatch(r"([^:/]+):(\d+)", address)):
                # Ray itself tries for minutes, and then ends the process
                socket.create_connection((place[1], int(place[2])), timeout=5).close()
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        except (OSError, ValueError) as error:
            raise InputError(f"no Ray cluster at {address}: {' '.join(str(error).split())[:150]}") from error
    return ray


def _play(grid: Any, cell: Cell, traces: Any) -> Tables:
    trace, source = traces
    return play_cell(grid, cell, trace, source)
