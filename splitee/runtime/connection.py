"""The device's connection to the cloud: kept alive, bounded in time, quiet while the cloud is gone.

A thread of its own runs the requests, so that the device goes on with the next sample. When a request fails,
the cloud counts as gone: later requests are given up at once, and its readiness is asked for with back-off.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import httpx

from splitee._internal.errors import InputError
from splitee.runtime.interface import Interface
from splitee.runtime.interfaces import reported
from splitee.runtime.protocol import HEAD_LENGTH, ProtocolError, Response, read_response
from splitee.runtime.records import CUT, LATE, REFUSED

FIRST_WAIT, LONGEST_WAIT = 0.05, 0.5  # seconds between two questions for readiness
PATIENCE = 30.0  # seconds for an answer where there is no deadline
CONNECT = 2.0  # seconds for a connection, and for an answer to a question of readiness


@dataclass(frozen=True)
class Outcome:
    """What became of a request.

    Attributes
    ----------
    response : Response or None
    lost : str
        Why there is none: "late", "cut" or "refused".
    net_ms : float
        From the request to its end.
    cloud_ms : float
        What the cloud says it took, waiting included.
    """

    response: Response | None
    lost: str = ""
    net_ms: float = 0.0
    cloud_ms: float = 0.0


class Connection:
    """Requests to one model of a cloud half.

    Parameters
    ----------
    url : str
        Such as ``http://10.0.0.2:8000``.
    interface : Interface
        What the device's half is of: the cloud must have the same checkpoint.
    token : str, optional
    model : str, optional
        The model's name there. Default: that of the checkpoint.
    connections : int
        Most requests at once.
    verify : bool or str
        For https: a file of certificates to trust.
    say : callable
        Called with a line when the cloud goes, comes back, or refuses.

    Raises
    ------
    InputError
        If the address is none, or the cloud is there and has another model, or wants another token.
    """

    def __init__(
        self,
        url: str,
        interface: Interface,
        *,
        token: str | None = None,
        model: str | None = None,
        connections: int = 8,
        verify: bool | str = True,
        say: Callable[[str], object] = lambda line: None,
    ) -> None:
        if not url.startswith(("http://", "https://")):
            raise InputError(f"--cloud {url}: give an address such as http://127.0.0.1:8000")
        self.url, self.interface, self.gone, self._say = url.rstrip("/"), interface, False, say
        self._place = f"/v2/models/{model or interface.name}"
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
        try:
            self._client = httpx.AsyncClient(
                base_url=self.url, headers=self._headers, limits=limits, verify=verify,
                timeout=httpx.Timeout(PATIENCE, connect=CONNECT), trust_env=False,
            )  # fmt: skip
        except (httpx.InvalidURL, ValueError, OSError) as error:
            raise InputError(f"--cloud {url}: {error}") from error
        self._probe: asyncio.Task[None] | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="cloud", daemon=True)
        self._thread.start()
        try:
            self._run(self._begin())
        except BaseException:
            self.close()
            raise

    def ask(
        self, headers: dict[str, str], body: bytes, left: float | None, done: Callable[[Outcome], object]
    ) -> None:
        """Send a request; `done` is called with its outcome, in the connection's thread.

        Parameters
        ----------
        headers, body
            From `splitee.runtime.protocol.write_request`.
        left : float, optional
            Seconds until the answer would be too late.
        done : callable
        """
        self._loop.call_soon_threadsafe(self._start, headers, body, left, done)

    def close(self) -> None:
        """Give up what is open, and end the thread."""
        if self._thread.is_alive():
            self._run(self._end())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _start(
        self, headers: dict[str, str], body: bytes, left: float | None, done: Callable[[Outcome], object]
    ) -> None:
        task = self._loop.create_task(self._ask(headers, body, left, done))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _begin(self) -> None:
        self._open: set[asyncio.Task[None]] = set()
        try:
            await self._check()
        except (httpx.TransportError, _BusyError):
            self._lose()

    async def _end(self) -> None:
        for task in (*self._open, *([self._probe] if self._probe else [])):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
        await self._client.aclose()

    async def _ask(
        self, headers: dict[str, str], body: bytes, left: float | None, done: Callable[[Outcome], object]
    ) -> None:
        if self.gone:
            done(Outcome(None, CUT))
            return
        begin = time.perf_counter()
        response, lost = None, ""
        try:
            async with asyncio.timeout(left):
                found = await self._post(headers, body)
            response = read_response(found.status_code, found.content, found.headers.get(HEAD_LENGTH))
            self._check_outputs(response)
        except TimeoutError:
            lost = LATE
        except httpx.TransportError:
            lost = CUT
            self._lose()
        except ProtocolError as error:
            response, lost = None, CUT if error.status in (429, 502, 503, 504) else REFUSED
            if lost == REFUSED:
                self._say(f"the cloud refused a request: {error}")
        except asyncio.CancelledError:
            done(Outcome(None, CUT, 1e3 * (time.perf_counter() - begin)))
            raise
        net = 1e3 * (time.perf_counter() - begin)
        told = {} if response is None else response.parameters
        cloud = sum(_number(told.get(name)) for name in ("waited_ms", "computed_ms"))
        done(Outcome(response, lost, net, cloud))

    async def _post(self, headers: dict[str, str], body: bytes) -> httpx.Response:
        """Ask; once more if a kept connection had been closed by the other side meanwhile."""
        place = f"{self._place}/infer"
        try:
            return await self._client.post(place, content=body, headers=headers)
        except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
            return await self._client.post(place, content=body, headers=headers)

    def _check_outputs(self, response: Response) -> None:
        found = response.outputs
        if not {"confidence", "prediction"} <= found.keys() or found["confidence"].shape != (1,):
            raise ProtocolError("the answer lacks the confidence and prediction of one sample", 500)

    def _lose(self) -> None:
        """Begin to ask for readiness, unless that goes on already."""
        if not self.gone:
            self.gone = True
            self._say(f"the cloud at {self.url} is gone; the device answers by itself")
            self._probe = self._loop.create_task(self._return())

    async def _return(self) -> None:
        wait = FIRST_WAIT
        while True:
            await asyncio.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT)
            try:
                async with asyncio.timeout(CONNECT):
                    await self._check()
            except (httpx.TransportError, TimeoutError, _BusyError):
                continue
            except InputError as error:  # another model, another token: it may be mended
                self._say(str(error))
                wait = LONGEST_WAIT
                continue
            self.gone = False
            self._say(f"the cloud at {self.url} is back")
            return

    async def _check(self) -> None:
        """Raise InputError if the cloud does not have the device's model, or wants another token."""
        found = await self._client.get(self._place)
        if found.status_code >= 500:
            raise _BusyError
        if found.status_code != 200:
            try:
                read_response(found.status_code, found.content)
            except ProtocolError as error:
                raise InputError(f"{self.url}: {error}") from error
        try:
            theirs = reported(found.json())
        except (ProtocolError, ValueError) as error:
            raise InputError(f"{self.url}: {error}") from error
        try:
            self.interface.check_cloud(theirs)
        except InputError as error:
            raise InputError(f"{self.url} {error}") from error


class _BusyError(Exception):
    """The cloud is there, but not ready."""


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0
