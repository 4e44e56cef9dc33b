"""Drive a device: samples of a table or folder, of a stream of lines, or of a small HTTP endpoint."""

from __future__ import annotations

import json
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import IO, Any

from splitee._internal.errors import InputError
from splitee.runtime.device import Device
from splitee.runtime.interface import Interface
from splitee.runtime.records import Record

MOST_WAITING = 1024  # requests of the endpoint
ANSWER_SECONDS = 60.0
Reply = Callable[[Record], object]


@dataclass
class Item:
    """A sample that came, when it came (ms), and who wants the answer."""

    sample: Any
    id: str
    arrived: float
    reply: Reply
    refuse: Callable[[str], object] = lambda line: None


@dataclass
class Stop:
    """Set by SIGTERM and SIGINT: the sample at hand is finished first."""

    asked: bool = False
    wake: Callable[[], object] = field(default=lambda: None)


@contextmanager
def stopping() -> Iterator[Stop]:
    """Let SIGTERM and SIGINT ask for a stop."""
    stop = Stop()

    def ask(*_: object) -> None:
        stop.asked = True
        stop.wake()

    kinds = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(kind, ask) for kind in kinds]
    try:
        yield stop
    finally:
        for kind, handler in zip(kinds, before, strict=True):
            signal.signal(kind, handler)


def run_rows(
    device: Device,
    samples: Sequence[Any],
    ids: Sequence[str],
    labels: Sequence[int] | None,
    arrivals: Sequence[float] | None,
    stop: Stop,
    reply: Reply = lambda record: None,
) -> None:
    """Answer the rows of a table, from the first that the journal does not have.

    Parameters
    ----------
    device : Device
    samples : sequence
        Rows of one text, or of two; or image files.
    ids : sequence of str
    labels : sequence of int, optional
        For the log.
    arrivals : sequence of float, optional
        When each arrives, ms. Default: when the one before it is answered.
    stop : Stop
    reply : callable
        Called with every answer.
    """
    device.finish()
    for row in range(len(device.records), len(samples)):
        if stop.asked:
            break
        due, waiting = None, 0
        if arrivals is not None:
            due = arrivals[row]
            while (left := due - device.now()) > 0 and not stop.asked:
                device.settle()
                time.sleep(min(left, 20.0) / 1e3)
            now = device.now()
            waiting = sum(1 for later in arrivals[row + 1 : row + 1000] if later <= now)
        label = None if labels is None else int(labels[row])
        record = device.take(samples[row], ids[row], arrived=due, label=label, waiting=waiting, reply=reply)
        if arrivals is None:
            device.wait(record)
    device.finish()


def run_stream(device: Device, source: Callable[[Callable[[Item | None], None]], Any], stop: Stop) -> None:
    """Answer what a source hands over, until it hands over None or a stop is asked for.

    Parameters
    ----------
    device : Device
    source : callable
        Called with a function that takes `Item`s, and None at the end, from any thread.
    stop : Stop
    """
    items: queue.SimpleQueue[Item | str | None] = queue.SimpleQueue()
    stop.wake = device.wake = lambda: items.put("")
    device.finish()
    source(items.put)
    while not stop.asked:
        item = items.get()
        if item is None:
            break
        if isinstance(item, str):
            device.settle()
            continue
        try:
            device.take(item.sample, item.id, arrived=item.arrived, waiting=items.qsize(), reply=item.reply)
        except InputError as error:
            item.refuse(str(error))
    device.finish()


def lines_of(device: Device, stream: IO[str], reply: Reply) -> Callable[[Callable[[Item | None], None]], Any]:
    """Return the source of a stream of lines, one text each; empty lines are passed over."""

    def source(put: Callable[[Item | None], None]) -> None:
        def read() -> None:
            number = len(device.records)
            for line in stream:
                if text := line.strip():
                    put(
                        Item(
                            [text], str(number), device.now(), reply, lambda why: print(why, file=sys.stderr)
                        )
                    )
                    number += 1
            put(None)

        threading.Thread(target=read, name="lines", daemon=True).start()

    return source


@contextmanager
def endpoint(device: Device, host: str, port: int) -> Iterator[tuple[Any, int]]:
    """Listen for ``POST /`` with a sample, and ``GET /status``; yield the source and the port.

    The body is what the interface's `sample` takes: a text, or an image file. The answer is the JSON object
    of `answer_of`.
    """
    hold: dict[str, Any] = {"put": None, "number": len(device.records)}
    guard = threading.Lock()
    open_ = threading.Semaphore(MOST_WAITING)

    class Handler(_Handler):
        classes = device.half.facts["classes"]
        interface = device.interface

        def submit(self, sample: Any, reply: Reply, refuse: Callable[[str], object]) -> bool:
            if hold["put"] is None or not open_.acquire(blocking=False):
                return False
            with guard:
                id_, hold["number"] = str(hold["number"]), hold["number"] + 1
            hold["put"](Item(sample, id_, device.now(), reply, refuse))
            return True

        def done(self) -> None:
            open_.release()

        def status(self) -> dict[str, Any]:
            gone = device.connection is None or device.connection.gone
            return {**device.view.to_dict(), "cloud": "gone" if gone else "there"}

    try:
        server = ThreadingHTTPServer((host, port), Handler)
    except OSError as error:
        raise InputError(f"{host}:{port} cannot be listened on: {error.strerror}") from error
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, name="endpoint", daemon=True)
    thread.start()
    try:
        yield lambda put: hold.update(put=put), server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


def answer_of(record: Record, classes: Sequence[str]) -> dict[str, Any]:
    """Return an answer as JSON values."""
    return {
        "id": record.id,
        "class": classes[record.prediction],
        "confidence": round(record.confidence, 6),
        "by": record.by,
        "exit": record.late[0] if record.late else record.layer,
        "offloaded": record.offloaded,
        "lost": record.lost,
        "ms": round(record.latency, 3),
    }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30

    def submit(self, sample: Any, reply: Reply, refuse: Callable[[str], object]) -> bool:
        raise NotImplementedError

    def done(self) -> None:
        raise NotImplementedError

    def status(self) -> dict[str, Any]:
        raise NotImplementedError

    classes: Sequence[str] = ()
    interface: Interface

    def do_GET(self) -> None:
        if self.path == "/status":
            self._send(200, self.status())
        else:
            self._send(404, {"error": "there are POST / with a sample, and GET /status"})

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        most = self.interface.most_sample
        if not length.isdigit() or len(length) > 9 or int(length) > most:
            self.close_connection = True
            self._send(413, {"error": f"give a body of at most {most} bytes, with its length"})
            return
        body = self.rfile.read(int(length))
        try:
            sample = self.interface.sample(body, self.headers.get("Content-Type", ""))
        except ValueError as error:
            self._send(400, {"error": str(error)})
            return
        found: queue.SimpleQueue[tuple[int, dict[str, Any]]] = queue.SimpleQueue()
        if not self.submit(
            sample,
            lambda record: found.put((200, answer_of(record, self.classes))),
            lambda why: found.put((400, {"error": why})),
        ):
            self._send(503, {"error": "too many samples wait: try again later"})
            return
        try:
            self._send(*found.get(timeout=ANSWER_SECONDS))
        except queue.Empty:
            self._send(504, {"error": "no answer in time"})
        finally:
            self.done()

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing per request."""

    def _send(self, status: int, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
