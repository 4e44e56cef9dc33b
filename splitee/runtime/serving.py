"""Run the cloud half: sockets, TLS, signals, and how a server stops."""

from __future__ import annotations

import logging
import signal
import socket
import ssl
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn

from splitee._internal.errors import InputError
from splitee.runtime.cloud import Cloud
from splitee.runtime.connections import BODY_SECONDS, HEADER_SECONDS, BoundedProtocol

_log = logging.getLogger("splitee.serve")
_BACKLOG = 512


@dataclass(frozen=True)
class Listening:
    """Where and how a server listens.

    Attributes
    ----------
    host, port : str, int
        Port 0: any that is free.
    certificate, key : path, optional
        Files in PEM for TLS, both or neither.
    connections : int
        Connections at once; further ones get status 503.
    header_seconds, body_seconds : float
        How long a client may take for the headers and for the body of a request.
    stop_seconds : int
        How long requests may take to end after the server was asked to stop.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    certificate: str | Path | None = None
    key: str | Path | None = None
    connections: int = 512
    header_seconds: float = HEADER_SECONDS
    body_seconds: float = BODY_SECONDS
    stop_seconds: int = 30


class Server(uvicorn.Server):
    """A server of one model; `run` returns after it was asked to stop and has answered what was open.

    Parameters
    ----------
    cloud : Cloud
    listening : Listening, optional

    Raises
    ------
    InputError
        If the certificate or key cannot be used.
    OSError
        If the address cannot be used.
    """

    def __init__(self, cloud: Cloud, listening: Listening | None = None) -> None:
        self.cloud = cloud
        self.listening = how = listening or Listening()
        bounds = {"header_seconds": how.header_seconds, "body_seconds": how.body_seconds}
        tls: dict[str, Any] = {}
        if how.certificate is not None or how.key is not None:
            _check_tls(how)
            tls = {"ssl_certfile": str(how.certificate), "ssl_keyfile": str(how.key)}
        super().__init__(
            uvicorn.Config(
                cloud.app(),
                http=type("Protocol", (BoundedProtocol,), bounds),
                ws="none",
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=False,
                proxy_headers=False,
                limit_concurrency=how.connections,
                timeout_keep_alive=75,
                timeout_graceful_shutdown=how.stop_seconds,
                backlog=_BACKLOG,
                **tls,
            )
        )
        family = socket.AF_INET6 if ":" in how.host else socket.AF_INET
        self.socket = socket.create_server((how.host, how.port), family=family, backlog=_BACKLOG)

    @property
    def url(self) -> str:
        """The server's address."""
        host, port = self.socket.getsockname()[:2]
        scheme = "http" if self.listening.certificate is None else "https"
        return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until a signal, or `should_exit`, asks to stop."""
        if threading.current_thread() is threading.main_thread():
            # uvicorn hands a signal on when it has stopped: that ends a process with an error
            signal.signal(signal.SIGTERM, lambda *_: None)
        try:
            super().run(sockets or [self.socket])
        except KeyboardInterrupt:  # handed on likewise
            pass
        finally:
            self.socket.close()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and log that the server is ready."""
        await super().startup(sockets)
        if self.started:
            model = self.cloud.interface
            fields = {"url": self.url, "model": model.name, "fingerprint": model.fingerprint}
            _log.warning("ready", extra={"fields": fields})


def _check_tls(how: Listening) -> None:
    if how.certificate is None or how.key is None:
        raise InputError("TLS needs a certificate and its key: give both")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(how.certificate, how.key, password=lambda: "")
    except (OSError, ssl.SSLError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{how.certificate} and {how.key}: no certificate and key in PEM ({reason})"
        ) from error
