"""The cloud half: the protocol's addresses, and inference on what a device hands over."""

from __future__ import annotations

import hmac
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

import splitee
from splitee._internal.errors import InputError, shown
from splitee.models.encode import check_tokens
from splitee.models.half import model_facts
from splitee.models.multi_exit import MultiExitModel, load_checkpoint
from splitee.models.network import ExitNetwork
from splitee.models.resuming import Final, Part, resumer_of
from splitee.runtime import protocol
from splitee.runtime.batching import Batcher, Done
from splitee.runtime.interface import VERSION, Interface, Work
from splitee.runtime.interfaces import interface_of
from splitee.runtime.metrics import TYPE, Metrics
from splitee.runtime.protocol import HEAD_LENGTH, ProtocolError

_log = logging.getLogger("splitee.serve")
_HEAD = 2**16  # bytes of a JSON head beside binary tensors
_UNREAD = (401, 404, 413, 415, 503)  # statuses that may come before the body was read
Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class Limits:
    """How much a server takes on.

    Attributes
    ----------
    rows : int
        Samples of a request.
    batch_rows, batch_tokens, waiting, linger
        See `Batcher`.
    body_bytes : int, optional
        Bytes of a body. Default: what `rows` of the largest float32 states take; of images at least 16 MiB.
    open_bytes : int
        Bytes of all bodies together that were received and are not yet answered.
    """

    rows: int = 64
    batch_rows: int = 32
    batch_tokens: int = 4096
    waiting: int = 512
    linger: float = 0.002
    body_bytes: int | None = None
    open_bytes: int = 2**27


@dataclass
class Cloud:
    """A model behind the protocol's addresses.

    Parameters
    ----------
    model : ExitNetwork
        In evaluation mode.
    interface : Interface
        From `interface_for`.
    limits : Limits
    token : str, optional
        What clients give as ``Authorization: Bearer TOKEN``. Health needs none.
    """

    model: ExitNetwork
    interface: Interface
    limits: Limits = field(default_factory=Limits)
    token: str | None = None

    def __post_init__(self) -> None:
        self.resumer = resumer_of(self.model)
        self.ready = False
        self.open_bytes = 0
        self.most = self.limits.body_bytes or max(self.interface.most_bytes + _HEAD, protocol.MOST_HEAD)

    def app(self) -> Starlette:
        """Return the ASGI application; it can be started once."""
        model = "/v2/models/{model}"
        routes = []
        for place in (model, model + "/versions/{version}"):
            routes += [
                Route(place + "/infer", self._guarded(self._infer), methods=["POST"]),
                Route(place + "/ready", self._guarded(self._ready)),
                Route(place, self._guarded(self._metadata)),
            ]
        routes += [
            Route("/v2/health/live", self._live),
            Route("/v2/health/ready", self._ready),
            Route("/v2", self._guarded(self._server)),
            Route("/metrics", self._guarded(self._metrics_text)),
        ]
        errors = {404: _other, 405: _other, ProtocolError: _complaint}
        return Starlette(routes=routes, lifespan=self._lifespan, exception_handlers=errors)

    def run(self, works: list[Work]) -> list[Final | ProtocolError]:
        """Compute the answers to checked requests, as one batch; an image that is damaged gets an error."""
        answers: list[Any] = []
        parts = []
        for work in works:
            try:
                parts.append(self.resumer.read(Part(**vars(work))))
                answers.append(None)
            except InputError as error:
                answers.append(ProtocolError(str(error)))
        finals = iter(self.resumer.finish(parts) if parts else ())
        return [next(finals) if one is None else one for one in answers]

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        limits = self.limits
        self.batcher = Batcher(
            self.run,
            most_rows=limits.batch_rows,
            most_tokens=limits.batch_tokens,
            most_waiting=limits.waiting,
            linger=limits.linger,
        )
        self.metrics = Metrics(lambda: self.batcher.waiting)
        self.ready = True
        yield
        self.ready = False
        await self.batcher.close()

    def _guarded(self, handler: Handler) -> Handler:
        """Require the token, and the model's name and version where the address has them."""

        async def checked(request: Request) -> Response:
            if self.token is not None:
                given = request.headers.get("authorization", "").encode()
                if not hmac.compare_digest(given, f"Bearer {self.token}".encode()):
                    raise ProtocolError("this server needs its token: give Authorization: Bearer TOKEN", 401)
            name = request.path_params.get("model", self.interface.name)
            version = request.path_params.get("version", VERSION)
            if (name, version) != (self.interface.name, VERSION):
                raise ProtocolError(
                    f"there is no model {shown(name)} of version {shown(version)}: there is "
                    f"{self.interface.name}, version {VERSION}",
                    404,
                )
            return await handler(request)

        return checked

    async def _live(self, request: Request) -> Response:
        return JSONResponse({"live": True})

    async def _ready(self, request: Request) -> Response:
        answer = {"ready": self.ready, "name": self.interface.name}
        return JSONResponse(answer, 200 if self.ready else 503)

    async def _server(self, request: Request) -> Response:
        return JSONResponse(
            {"name": "splitee", "version": splitee.__version__, "extensions": ["binary_tensor_data"]}
        )

    async def _metadata(self, request: Request) -> Response:
        return JSONResponse(self.interface.metadata())

    async def _metrics_text(self, request: Request) -> Response:
        return Response(self.metrics.text(), headers={"content-type": TYPE})

    async def _infer(self, request: Request) -> Response:
        event: dict[str, Any] = {"client": request.client.host if request.client else None, "status": 200}
        held = [0]  # bytes of the body that count as open
        try:
            headers, body = await self._answer(request, event, held)
            return Response(body, headers=headers)
        except (ProtocolError, ClientDisconnect) as error:
            if isinstance(error, ClientDisconnect):  # nobody reads the answer, but the log does
                error = ProtocolError("the client has gone", 499)
            event |= {"status": error.status, "error": str(error)}
            raise error from None
        finally:
            self.open_bytes -= held[0]
            self.metrics.requests.labels(str(event["status"])).inc()
            self.metrics.received.inc(held[0])
            _log.log(_level(event["status"]), "infer", extra={"fields": event})

    async def _answer(
        self, request: Request, event: dict[str, Any], held: list[int]
    ) -> tuple[dict[str, str], bytes]:
        body = await self._body(request, held)
        event["bytes"] = len(body)
        asked = protocol.read_request(body, request.headers.get(HEAD_LENGTH))
        work = self.interface.check(asked)
        rows = work.rows
        event |= {"id": asked.id, "layer": work.layer, "samples": rows, "tokens": work.tokens}
        done = await self.batcher.submit(work)
        self.metrics.done(done, work.layer, rows)
        times = {"waited_ms": round(done.waited_ms, 3), "computed_ms": round(done.computed_ms, 3)}
        event |= times | {"batch": done.batch}
        return protocol.write_response(_response(done, self.interface.name, asked.id, times), asked)

    async def _body(self, request: Request, held: list[int]) -> bytes:
        """Read a body; what is too long is refused before, or at the latest when, it is there."""
        if request.headers.get("content-encoding", "identity") != "identity":
            raise ProtocolError("compressed bodies are not accepted: use a codec such as int8", 415)
        length = request.headers.get("content-length", "0")
        if not length.isdigit() or len(length) > 15 or int(length) > self.most:
            raise ProtocolError(
                f"the body has {shown(length)} bytes: at most {self.most:,} are accepted", 413
            )
        parts: list[bytes] = []
        async for part in request.stream():
            parts.append(part)
            held[0] += len(part)
            self.open_bytes += len(part)
            if held[0] > self.most:
                raise ProtocolError(f"the body has more than {self.most:,} bytes", 413)
            if self.open_bytes > self.limits.open_bytes:
                raise ProtocolError("too many bodies are open: try again later", 503)
        return b"".join(parts)


def interface_for(
    checkpoint: str | Path, model: ExitNetwork, *, rows: int = 64, max_tokens: int | None = None
) -> Interface:
    """Return the interface of a checkpoint that was loaded.

    Raises
    ------
    InputError
        If the model has fewer positions than `max_tokens`, or reads images.
    """
    facts = {**model_facts(checkpoint, model), "rows": rows}
    if isinstance(model, MultiExitModel):
        facts |= {"pads_left": model.stack.pads_left, "scores": model.config.regresses}
        facts["tokens"] = max_tokens or facts["tokens"]
        check_tokens([], facts["tokens"], facts["vocabulary"], model.positions)
    elif max_tokens is not None:
        raise InputError(f"{checkpoint} reads images: --max-tokens is for texts, leave it out")
    return interface_of(facts)


def open_cloud(
    checkpoint: str | Path,
    limits: Limits | None = None,
    *,
    token: str | None = None,
    max_tokens: int | None = None,
) -> Cloud:
    """Load a checkpoint for serving.

    Parameters
    ----------
    checkpoint : str or path
        A folder of `splitee train`, of texts or images, or the bundled "sst2_slender".
    limits : Limits, optional
    token : str, optional
        What clients have to give.
    max_tokens : int, optional
        Most tokens per sample. Default: as in training.

    Raises
    ------
    InputError
        If the checkpoint cannot be loaded.

    Examples
    --------
    >>> cloud = open_cloud("sst2_slender")
    >>> cloud.interface.layers, cloud.interface.classes
    (6, ('negative', 'positive'))
    """
    limits = limits or Limits()
    model = load_checkpoint(checkpoint)
    return Cloud(
        model, interface_for(checkpoint, model, rows=limits.rows, max_tokens=max_tokens), limits, token
    )


def _response(done: Done, name: str, id_: str, times: dict[str, float]) -> protocol.Response:
    final: Final = done.answer
    outputs: protocol.Arrays = {
        "confidence": final.confidence,
        "prediction": final.prediction,
        "logits": final.logits,
    }
    return protocol.Response(outputs, name, VERSION, id_, {**times, "batch": done.batch})


async def _complaint(request: Request, error: Exception) -> Response:
    """Answer with the error object; a body that was not read to its end ends the connection."""
    assert isinstance(error, ProtocolError)
    headers = {"content-type": protocol.JSON}
    if error.status in _UNREAD:
        headers["connection"] = "close"
    if error.status == 401:
        headers["www-authenticate"] = "Bearer"
    if error.status == 503:
        headers["retry-after"] = "1"
    return Response(error.body(), error.status, headers)


async def _other(request: Request, error: Exception) -> Response:
    status = getattr(error, "status_code", 404)
    line = "use another method" if status == 405 else f"there is nothing at {shown(request.url.path)}"
    return Response(ProtocolError(line, status).body(), status, {"content-type": protocol.JSON})


def _level(status: int) -> int:
    return logging.INFO if status < 500 else logging.WARNING
