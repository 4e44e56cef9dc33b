"""Bounds on what a client may do before its request is complete: headers, and time.

uvicorn's own protocol neither limits headers nor how slowly a request may come.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from splitee.runtime.protocol import JSON, ProtocolError

MOST_HEADERS = 2**15  # bytes of address and headers
HEADER_SECONDS, BODY_SECONDS = 10.0, 60.0
_REASONS = {408: "Request Timeout", 431: "Request Header Fields Too Large", 400: "Bad Request"}


class BoundedProtocol(HttpToolsProtocol):
    """HTTP with bounds: too many headers are status 431, a request that comes too slowly is status 408."""

    header_seconds = HEADER_SECONDS
    body_seconds = BODY_SECONDS

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._timer: asyncio.TimerHandle | None = None
        self._in_head = True  # or between two requests
        self._received = 0  # bytes of the head so far, as they came
        self._counted = 0  # bytes of headers and trailers that were parsed
        self._refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a head."""
        super().connection_made(transport)
        self._wait(self.header_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing."""
        self._wait(None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse, unless the connection was refused."""
        if self._refused:
            return
        if self._timer is None and self._in_head:
            self._wait(self.header_seconds)
        self._received += len(data)
        super().data_received(data)
        if self._in_head and self._received > MOST_HEADERS:
            self._too_large()

    def on_message_begin(self) -> None:
        """Count anew."""
        self._counted = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Count the address."""
        self._counted += len(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count a header, or a trailer of a body in chunks."""
        self._counted += len(name) + len(value) + 4
        if self._counted > MOST_HEADERS:
            self._too_large()
        elif not self._refused:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Start the request and wait for its body."""
        if self._refused:
            return
        self._in_head, self._received = False, 0
        self._wait(self.body_seconds)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Hand on the body."""
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Wait for nothing: uvicorn itself ends connections without requests."""
        if not self._refused:
            self._in_head, self._received = True, 0
            self._wait(None)
            super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP with the protocol's error object."""
        self._refuse(400, msg)

    def _wait(self, seconds: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if seconds is None else self.loop.call_later(seconds, self._too_slow)

    def _too_slow(self) -> None:
        self._refuse(408, "the request came too slowly")

    def _too_large(self) -> None:
        self._refuse(431, f"address and headers have more than {MOST_HEADERS:,} bytes")

    def _refuse(self, status: int, line: str) -> None:
        if self._refused or self.transport.is_closing():
            return
        self._refused = True
        self._wait(None)
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            body = ProtocolError(line, status).body()
            head = (
                f"HTTP/1.1 {status} {_REASONS[status]}\r\ncontent-type: {JSON}\r\n"
                f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
            )
            self.transport.write(head.encode() + body)
        self.transport.close()
