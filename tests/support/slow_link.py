"""A relay on the loopback that is as slow as a link: rate, round trip and outages, in user space.

What a client writes passes at the link's rate, one transfer after another (FIFO over all connections). Half
of the round trip lies before the server, half before the client. In an outage connections are cut.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import numpy as np

from splitee.system.link import Link

PIECE = 1400  # bytes that pass at a time


class SlowLink:
    """`url` leads to the server over the link; the link's time starts when the relay does."""

    def __init__(self, server: str, link: Link) -> None:
        self.host, _, port = server.rpartition("//")[2].rpartition(":")
        self.port, self.link, self.url = int(port), link, ""
        self.free, self.start, self.bytes = 0.0, time.monotonic(), 0

    def now(self) -> float:
        return 1e3 * (time.monotonic() - self.start)

    def passes(self, size: int, at: float) -> float:
        """Return when a piece has passed that is ready at a time (ms)."""
        at, left = max(at, self.free), 8.0 * size
        edges, rates = self.link.edges_ms, self.link.bits_per_ms
        if self.link.constant:
            self.free = at + left / rates[0]
            return self.free
        while True:
            phase = at % edges[-1]
            k = min(int(np.searchsorted(edges, phase, side="right")) - 1, len(rates) - 1)
            room = max(edges[k + 1] - phase, 1e-6)
            if rates[k] * room >= left:
                self.free = at + left / rates[k]
                return self.free
            left -= rates[k] * room
            at += room

    def down(self) -> bool:
        return any(start <= self.now() < end for start, end in self.link.outages_ms)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.down():
            writer.transport.abort()
            return
        try:
            theirs, to = await asyncio.open_connection(self.host, self.port)
        except OSError:
            writer.transport.abort()
            return
        ways = [self.pump(reader, to, True), self.pump(theirs, writer, False), self.watch(writer, to)]
        tasks = [asyncio.ensure_future(way) for way in ways]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        for one in (writer, to):
            one.transport.abort()

    async def watch(self, *writers: asyncio.StreamWriter) -> None:
        """End when the link goes down."""
        while not self.down():
            await asyncio.sleep(0.005 if len(self.link.outages_ms) else 3600)

    async def pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, up: bool) -> None:
        loop, half = asyncio.get_running_loop(), self.link.rtt / 2
        with suppress(ConnectionError):
            while data := await reader.read(PIECE if up else 2**16):
                self.bytes += len(data) if up else 0
                due = (self.passes(len(data), self.now()) if up else self.now()) + half
                loop.call_later(max(0.0, due - self.now()) / 1e3, writer.write, data)


@contextmanager
def slow_link(server: str, link: Link) -> Iterator[SlowLink]:
    """A relay to a server, in a thread."""
    relay, loop = SlowLink(server, link), asyncio.new_event_loop()

    async def begin() -> asyncio.Server:
        return await asyncio.start_server(relay.serve, "127.0.0.1", 0)

    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    made = asyncio.run_coroutine_threadsafe(begin(), loop).result()
    relay.url = f"http://127.0.0.1:{made.sockets[0].getsockname()[1]}"
    try:
        yield relay
    finally:
        loop.call_soon_threadsafe(made.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
