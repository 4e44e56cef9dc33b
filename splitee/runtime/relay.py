"""A link to test on: a relay between a device and a cloud with rate, round trip, loss and outages.

It works in user space on connections of TCP, whatever they carry. Bytes to the cloud pass one after the other
at the link's rate, over all connections together, as in `splitee.system`; either way takes half the round
trip, and a new connection one round trip more. In an outage connections are reset. A lost packet of 1,500
bytes is transferred again, a round trip later. Bytes from the cloud have no rate: answers are small.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from urllib.parse import urlsplit

import numpy as np

from splitee._internal.errors import InputError
from splitee.system.link import Link

_log = logging.getLogger("splitee.serve")
_PACKET = 1500  # bytes
_CHUNK = 2**14  # bytes that are read at a time
_HELD = 64  # chunks of a direction of a connection that are under way
_LONGEST = 3600.0  # seconds of one sleep


class Uplink:
    """When bytes are across: the link's clock, in ms from its start.

    Parameters
    ----------
    link : Link
    loss : float
        Share of packets that are lost, 0 to 0.9.
    seed : int
        Of the losses.

    Examples
    --------
    >>> uplink = Uplink(Link(uplink=8.0, rtt=20.0))
    >>> uplink.across(0.0, 1000), uplink.across(0.0, 1000), uplink.across(50.0, 1000)
    (11.0, 12.0, 61.0)
    """

    def __init__(self, link: Link, loss: float = 0.0, seed: int = 0) -> None:
        if not 0 <= loss <= 0.9:
            raise InputError(f"loss is {loss!r}: give a share of packets from 0 to 0.9")
        self.link, self.loss = link, loss
        self._rng = np.random.default_rng(seed)
        self._free = 0.0

    def across(self, now: float, size: int) -> float:
        """Return when `size` bytes, which are there at `now`, have arrived on the other side."""
        packets = -(-size // _PACKET)
        tries = self._rng.geometric(1 - self.loss, packets) if self.loss else np.ones(1, np.int64)
        again = int(tries.sum()) - len(tries)
        begin = max(now, self._free)
        self._free = begin + self.link.transfer_ms(begin, size + again * _PACKET)
        return self._free + (int(tries.max()) - 0.5) * self.link.rtt

    def up(self, now: float) -> bool:
        """Return whether no outage is going on."""
        return not any(start <= now < end for start, end in self.link.outages_ms)

    def next_outage(self, now: float) -> float | None:
        """Return when the next outage begins; None if there is none."""
        return min((float(start) for start in self.link.outages_ms[:, 0] if start > now), default=None)


class Relay:
    """Listens on this machine and passes connections on to a server.

    Parameters
    ----------
    to : str
        Address of the server: ``http://host:port`` or ``https://host:port``.
    link : Link
        Its time counts from `start`.
    loss, seed
        See `Uplink`.
    """

    def __init__(self, to: str, link: Link, *, loss: float = 0.0, seed: int = 0) -> None:
        try:
            parts = urlsplit(to)
            self._host, port = parts.hostname, parts.port or {"http": 80, "https": 443}[parts.scheme]
        except (ValueError, KeyError) as error:
            raise InputError(f"{to!r} is no address: write it as http://host:port") from error
        if not self._host:
            raise InputError(f"{to!r} names no host: write it as http://host:port")
        self._port, self._scheme = port, parts.scheme
        self._uplink = Uplink(link, loss, seed)
        self._rtt = link.rtt
        self._open: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()

    async def start(self, port: int = 0, host: str = "127.0.0.1") -> str:
        """Listen, start the link's time, and return the relay's address."""
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._server = await asyncio.start_server(self._connected, host, port, limit=_CHUNK)
        self._watch = asyncio.create_task(self._outages())
        return f"{self._scheme}://{host}:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        """End all connections."""
        self._watch.cancel()
        self._server.close()
        self._reset()
        if self._serving:
            await asyncio.wait(self._serving, timeout=1.0)

    @property
    def now(self) -> float:
        """The link's time in ms."""
        return 1000.0 * (self._loop.time() - self._began)

    async def _outages(self) -> None:
        while (start := self._uplink.next_outage(self.now)) is not None:
            while (left := start - self.now) > 0:
                await asyncio.sleep(min(left / 1000, _LONGEST))
            self._reset()

    def _reset(self) -> None:
        for writer in list(self._open):
            writer.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        born, task = self.now, asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        self._open.add(writer)
        back: asyncio.StreamWriter | None = None
        try:
            if not self._uplink.up(born):
                return
            answers, back = await asyncio.open_connection(self._host, self._port, limit=_CHUNK)
            self._open.add(back)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pass(reader, back, up=True, since=born + self._rtt))
                both.create_task(self._pass(answers, writer, up=False))
        except* OSError as group:  # one of the two has gone
            _log.debug("a connection of the relay ended", exc_info=group)
        finally:
            for one in (writer, back):
                if one is not None:
                    one.transport.abort()
                    self._open.discard(one)

    async def _pass(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, up: bool, since: float = 0.0
    ) -> None:
        """Hand bytes on when they are across, until there are no more."""
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_HELD)

        async def deliver() -> None:
            while True:
                due, part = await under_way.get()
                if (left := due - self.now) > 0:
                    await asyncio.sleep(left / 1000)
                if not part:
                    if target.can_write_eof():
                        target.write_eof()
                    return
                target.write(part)
                await target.drain()

        delivering = asyncio.create_task(deliver())
        latest = 0.0
        try:
            while not delivering.done():
                part = await source.read(_CHUNK)
                now = max(self.now, since)
                due = self._uplink.across(now, len(part)) if up and part else now + self._rtt / 2
                latest = max(latest, due)  # in the order in which they came
                await under_way.put((latest, part))
                if not part:
                    break
            await delivering
        finally:
            delivering.cancel()
            with contextlib.suppress(asyncio.CancelledError, OSError):
                await delivering


@contextmanager
def relaying(to: str, link: Link, *, port: int = 0, loss: float = 0.0, seed: int = 0) -> Iterator[str]:
    """Run a relay in a thread; yields its address.

    Examples
    --------
    >>> with relaying("http://127.0.0.1:9", Link(uplink=1.0)) as address:
    ...     address.startswith("http://127.0.0.1:")
    True
    """
    relay = Relay(to, link, loss=loss, seed=seed)
    started: Future[tuple[str, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def main() -> None:
        try:
            end = asyncio.Event()
            started.set_result((await relay.start(port), asyncio.get_running_loop(), end))
            await end.wait()
            await relay.stop()
        except OSError as error:  # the port is taken
            started.set_exception(error)

    thread = threading.Thread(target=lambda: asyncio.run(main()), daemon=True)
    thread.start()
    address, loop, end = started.result()
    try:
        yield address
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join()
