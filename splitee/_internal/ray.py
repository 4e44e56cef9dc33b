"""Independent pieces of work on Ray (extra `ray`).

Ray schedules, and does again what a lost node was doing; only the calling process writes, so nothing is lost
or counted twice.
"""

from __future__ import annotations

import logging
import re
import socket
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from splitee._internal.errors import InputError

Item = TypeVar("Item")
Result = TypeVar("Result")
Common = TypeVar("Common")
AHEAD = 2  # pieces handed over for each processor: enough that none waits


class Cluster:
    """Where Ray does the work.

    Parameters
    ----------
    address : str, optional
        Of a running cluster, as `ray.init` takes it ("auto"). Default: one of this machine, for the while.
    cpus, gpus : int
        What a piece of work takes.

    Raises
    ------
    InputError
        Where Ray is not installed, or no cluster is there.
    """

    def __init__(self, address: str | None = None, cpus: int = 1, gpus: int = 0) -> None:
        self.ray = _connect(address)
        self.cpus, self.gpus = cpus, gpus

    def map(
        self,
        function: Callable[[Common, Item], Result],
        items: Iterable[Item],
        common: Callable[[Item], tuple[str, Callable[[], Common]]],
    ) -> Iterator[tuple[Item, Result]]:
        """Yield each item with what `function` makes of it, in the order in which they are done.

        Parameters
        ----------
        function : callable
            Of what items have in common, and an item.
        items : iterable
        common : callable
            Gives a key and what makes what all items of this key have in common; it is made once a key and
            put into the object store.
        """
        ray = self.ray
        threads = {name: str(self.cpus) for name in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS")}
        task = ray.remote(
            num_cpus=self.cpus, num_gpus=self.gpus, max_retries=-1, runtime_env={"env_vars": threads}
        )(function)
        stored: dict[str, Any] = {}
        most = AHEAD * max(1, int(ray.cluster_resources().get("CPU", 1)))
        running: dict[Any, Item] = {}
        left = iter(items)
        while True:
            while len(running) < most and (item := next(left, None)) is not None:
                key, make = common(item)
                if key not in stored:
                    stored[key] = ray.put(make())
                running[task.remote(stored[key], item)] = item
            if not running:
                return
            (done,), _ = ray.wait(list(running), num_returns=1)
            yield running.pop(done), _got(ray, done)


def _got(ray: Any, done: Any) -> Any:
    """Return a result; what was wrong with the input is told as it is here, without a worker's traceback."""
    try:
        return ray.get(done)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, InputError):
            raise error.cause from None
        raise


def _connect(address: str | None) -> Any:
    """Return the module `ray`, connected."""
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
