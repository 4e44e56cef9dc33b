"""Run independent tasks on Ray (extra `ray`).

Ray schedules the tasks and repeats those of a lost node. Only the calling process writes results, so nothing
is lost or counted twice.
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
AHEAD = 2  # submitted tasks per processor: enough that no processor waits


class Cluster:
    """A connection to Ray.

    Parameters
    ----------
    address : str, optional
        Address of a running cluster, as `ray.init` takes it ("auto"). Default: a temporary cluster on this
        machine.
    cpus, gpus : int
        Resources of each task.

    Raises
    ------
    InputError
        If Ray is not installed, or no cluster answers at the address.
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
        """Yield each item with the result of `function`, in order of completion.

        Parameters
        ----------
        function : callable
            Called with the data that items share, and an item.
        items : iterable
            The items.
        common : callable
            Maps an item to a key and a function that creates the data shared by all items of this key. It is
            called once per key; the data go to Ray's object store.
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
    """Return a result; re-raise an InputError of the worker without the worker's traceback."""
    try:
        return ray.get(done)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, InputError):
            raise error.cause from None
        raise


def _connect(address: str | None) -> Any:
    """Return the module `ray`, connected to a cluster."""
    try:
        import ray
    except ImportError as error:
        raise InputError("Ray is not installed: pip install 'splitee[ray]'") from error
    if not ray.is_initialized():
        try:
            if address is not None and (place := re.fullmatch(r"([^:/]+):(\d+)", address)):
                # ray.init would retry for minutes, and then end the process
                socket.create_connection((place[1], int(place[2])), timeout=5).close()
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        except (OSError, ValueError) as error:
            raise InputError(f"no Ray cluster at {address}: {' '.join(str(error).split())[:150]}") from error
    return ray
