"""Clients that mean harm: nothing crashes, memory stays bounded, and others are served meanwhile."""

import contextlib
import io
import json
import random
import socket
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import numpy as np
import photos
import pytest
import serving
from PIL import Image

from splitee.runtime import protocol
from splitee.runtime.cloud import Limits
from splitee.runtime.connections import MOST_HEADERS
from splitee.runtime.interface import Interface
from splitee.runtime.protocol import HEAD_LENGTH
from splitee.runtime.serving import Listening
from splitee.system.codec import rows_shape

NAME = "sst2_slender"
PATH = f"/v2/models/{NAME}/infer"
TOKEN = "t0ken"
QUICK = Listening(port=0, header_seconds=0.5, body_seconds=0.5)


@pytest.fixture(scope="module")
def server() -> Iterator[serving.Server]:
    with serving.serving(NAME, QUICK, token=TOKEN, limits=Limits(rows=8)) as running:
        yield running


def good(interface: Interface, layer: int, rows: int = 1) -> tuple[dict[str, str], bytes]:
    """A request that is answered: headers and body."""
    rng, mask = np.random.default_rng(layer), np.ones((rows, 5), np.int64)
    if layer:
        state = rng.normal(size=(rows, 5, interface.hidden))
        made = interface.state_request(layer, state, mask, ("float32", "float16", "int8")[layer % 3])
    else:
        made = interface.tokens_request(rng.integers(1000, 2000, mask.shape), mask)
    headers, body = protocol.write_request(made)
    return {**headers, "Authorization": f"Bearer {TOKEN}"}, body


def mutated(headers: dict[str, str], body: bytes, rng: random.Random) -> tuple[dict[str, str], bytes]:
    """The request with one thing wrong, in its bytes, its JSON, its lengths or its token."""
    headers, data = dict(headers), bytearray(body)
    length = int(headers[HEAD_LENGTH])
    kind = rng.randrange(8)
    if kind == 0:  # any bytes of it
        for _ in range(rng.randint(1, 8)):
            data[rng.randrange(len(data))] = rng.randrange(256)
    elif kind == 1:  # bytes of the head
        for _ in range(rng.randint(1, 3)):
            data[rng.randrange(length)] = rng.choice(b'0123456789[]{}",:-eE \\')
    elif kind == 2:  # its end is missing
        del data[rng.randrange(len(data)) :]
    elif kind == 3:  # something is between
        at = rng.randrange(len(data))
        data[at:at] = rng.randbytes(rng.randint(1, 3000))
    elif kind == 4:
        headers[HEAD_LENGTH] = rng.choice(
            ["-1", "0", "1e9", str(2**63), str(length + 1), str(length - 1), "x"]
        )
    elif kind == 5:
        headers["Authorization"] = rng.choice(
            ["", "Bearer", f"Bearer {TOKEN}x", "Basic Og==", f"bearer {TOKEN}"]
        )
    elif kind == 6:
        head = json.loads(data[:length])
        entry = rng.choice(head["inputs"])
        values = [None, -1, 2**62, 1e308, [], {}, "x" * 300, [[]], True, [2**40, 2**40], [-1], float("nan")]
        entry[rng.choice(["name", "datatype", "shape", "parameters", "data"])] = rng.choice(values)
        text = json.dumps(head).encode()
        data[:length] = text
        headers[HEAD_LENGTH] = str(len(text))
    else:
        text = rng.choice([b"[" * 10**5, b"{" * 99, b'{"inputs":' + b"9" * 5000, b"null", b"\x00" * 50, b""])
        data, headers = bytearray(text), {k: v for k, v in headers.items() if k != HEAD_LENGTH}
    return headers, bytes(data)


def good_image(interface: Interface, layer: int) -> tuple[dict[str, str], bytes]:
    """The same of images: their files, or a state."""
    if layer:
        shape = rows_shape(interface.shapes[layer - 1])
        made = interface.state_request(layer, np.ones((1, *shape)), codec=("float32", "int8")[layer % 2])
    else:
        made = interface.files_request([photos.photo(0), photos.photo(1, kind="JPEG")])
    headers, body = protocol.write_request(made)
    return {**headers, "Authorization": f"Bearer {TOKEN}"}, body


def ask(port: int, headers: dict[str, str], body: bytes, path: str = PATH) -> tuple[int, bytes]:
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def attack(port: int, interface: Interface, count: int, seed: int, valid: Any = good) -> set[int]:
    """Post mutated requests; every answer is one line, or the answer to a request that is still valid."""
    rng, seen = random.Random(seed), set()
    path = PATH.replace(NAME, interface.name)
    for _ in range(count):
        headers, body = mutated(*valid(interface, rng.randrange(interface.layers)), rng)
        status, answer = ask(port, headers, body, path)
        seen.add(status)
        if status != 200:
            assert "\n" not in json.loads(answer)["error"]
    return seen


def test_mutated_requests(server: serving.Server) -> None:
    port, interface = server.socket.getsockname()[1], server.cloud.interface
    seen = attack(port, interface, 60, seed=1)
    assert {400, 401} <= seen <= {200, 400, 401, 409, 413}
    assert ask(port, *good(interface, 2))[0] == 200
    serving.wait_for(lambda: server.cloud.open_bytes == 0)


def test_mutated_requests_of_images(tmp_path: Path) -> None:
    model = photos.checkpoint(tmp_path / "model")
    with serving.serving(model, QUICK, token=TOKEN, limits=Limits(rows=8)) as server:
        port, interface = server.socket.getsockname()[1], server.cloud.interface
        seen = attack(port, interface, 150, 2, good_image)
        assert {200, 400, 401} <= seen <= {200, 400, 401, 409, 413}
        assert ask(port, *good_image(interface, 0), "/v2/models/model/infer")[0] == 200
        serving.wait_for(lambda: server.cloud.open_bytes == 0)


def raw(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=60)


def ended(connection: socket.socket) -> bytes:
    """What is answered until the server closes the connection."""
    parts = []
    with contextlib.suppress(ConnectionError):
        while part := connection.recv(2**16):
            parts.append(part)
    return b"".join(parts)


HEAD = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
LARGE = {
    "one header": HEAD + "X: " + "y" * (MOST_HEADERS + 9) + "\r\n\r\n",
    "many headers": HEAD + "".join(f"X-{i}: y\r\n" for i in range(MOST_HEADERS // 8)) + "\r\n",
    "a header without end": HEAD + "X: " + "y" * 10 * MOST_HEADERS,
    "an address": f"GET /{'y' * (MOST_HEADERS + 9)} HTTP/1.1\r\nHost: x\r\n\r\n",
    "trailers": HEAD
    + "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n0\r\n"
    + "".join(f"X-{i}: y\r\n" for i in range(MOST_HEADERS // 4)),
}


@pytest.mark.parametrize("text", LARGE.values(), ids=LARGE)
def test_large_headers(server: serving.Server, text: str) -> None:
    with raw(server.socket.getsockname()[1]) as connection:
        with contextlib.suppress(ConnectionError):  # it may close before all is there
            connection.sendall(text.encode())
        assert ended(connection).startswith(b"HTTP/1.1 431 ")


SLOW = {"nothing": "", "half a head": HEAD[:40], "half a body": HEAD + "Content-Length: 100\r\n\r\n{"}


@pytest.mark.parametrize("text", SLOW.values(), ids=SLOW)
def test_slow_requests_end_while_others_are_served(server: serving.Server, text: str) -> None:
    port, interface = server.socket.getsockname()[1], server.cloud.interface
    slow = [raw(port) for _ in range(20)]
    for connection in slow:
        connection.sendall(text.encode())
    for layer in range(6):
        assert ask(port, *good(interface, layer))[0] == 200
    for connection in slow:
        assert ended(connection).startswith(b"HTTP/1.1 408 ")
        connection.close()
    serving.wait_for(lambda: server.cloud.open_bytes == 0)


def test_a_client_that_gives_a_byte_now_and_then_does_not_gain_time(server: serving.Server) -> None:
    with raw(server.socket.getsockname()[1]) as connection:
        began = time.monotonic()
        connection.sendall((HEAD + "Content-Length: 100000\r\n\r\n").encode())
        with contextlib.suppress(ConnectionError):
            while time.monotonic() < began + 30:
                connection.sendall(b" ")
                time.sleep(0.05)
        assert time.monotonic() < began + 30


@pytest.mark.parametrize(
    "text",
    ["GET / HTTP/9.9\r\n\r\n", "\x00\x01\x02\r\n\r\n", "POST\r\n\r\n", "GET / HTTP/1.1\r\nA b\r\n\r\n"],
)
def test_what_is_no_http(server: serving.Server, text: str) -> None:
    with raw(server.socket.getsockname()[1]) as connection:
        connection.sendall(text.encode())
        answer = ended(connection)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert "error" in json.loads(answer.partition(b"\r\n\r\n")[2])


def test_clients_that_go_before_their_answer(server: serving.Server) -> None:
    port, interface = server.socket.getsockname()[1], server.cloud.interface
    for layer in range(6):
        headers, body = good(interface, layer, rows=8)
        connection = HTTPConnection("127.0.0.1", port)
        connection.request("POST", PATH, body, headers)
        connection.close()
    assert ask(port, *good(interface, 1))[0] == 200
    serving.wait_for(lambda: server.cloud.open_bytes == 0)


def test_bodies_that_are_open_together_are_bounded() -> None:
    limits = Limits(rows=8, open_bytes=2**20)
    with serving.serving(NAME, limits=limits) as server:
        port, size = server.socket.getsockname()[1], 2**19
        head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n".encode()
        held = [raw(port) for _ in range(2)]
        for connection in held:
            connection.sendall(head + b" " * (size - 1))
        serving.wait_for(lambda: server.cloud.open_bytes == 2 * (size - 1))
        with raw(port) as connection:
            connection.sendall(head + b" " * 9)
            assert ended(connection).startswith(b"HTTP/1.1 503 ")
        for connection in held:
            connection.close()
        serving.wait_for(lambda: server.cloud.open_bytes == 0)
        headers, body = good(server.cloud.interface, 0)
        assert ask(port, headers, body)[0] == 200


@pytest.mark.slow
def test_a_thousand_attacks_on_a_process(tmp_path: Path) -> None:
    """Mutated bodies, large headers, slow bodies and floods at once; others are served; less than 1 GB."""
    (tmp_path / "token").write_text(TOKEN)
    options = ("--token-file", tmp_path / "token", "--body-seconds", 2, "--log-level", "warning")
    with serving.process(tmp_path, NAME, *options) as running:
        interface, port = running.interface(TOKEN), int(running.url.rpartition(":")[2])
        stop, served, threads, seen = threading.Event(), [], [], set()

        def other() -> None:
            while not stop.is_set():
                served.append(ask(port, *good(interface, len(served) % 6))[0])

        def mutate(seed: int) -> None:
            seen.update(attack(port, interface, 250, seed))

        def flood() -> None:
            body = b" " * 2**26
            for _ in range(20):
                with contextlib.suppress(OSError, HTTPException):
                    ask(port, {"Authorization": f"Bearer {TOKEN}"}, body)
                with raw(port) as connection, contextlib.suppress(OSError):
                    connection.sendall((HEAD + "Transfer-Encoding: chunked\r\n\r\n").encode())
                    for _ in range(40):
                        connection.sendall(b"100000\r\n" + b" " * 2**20 + b"\r\n")

        def headers() -> None:
            for text in list(LARGE.values()) * 10:
                with raw(port) as connection, contextlib.suppress(OSError):
                    connection.sendall(text.encode())
                    ended(connection)

        slow = [raw(port) for _ in range(100)]
        for connection in slow:
            connection.sendall((HEAD + "Content-Length: 100000\r\n\r\n" + " " * 50_000).encode())
        jobs = [*(lambda seed=seed: mutate(seed) for seed in range(4)), flood, flood, headers]
        watcher = threading.Thread(target=other)
        watcher.start()
        for job in jobs:
            threads.append(threading.Thread(target=job))
            threads[-1].start()
        for thread in threads:
            thread.join()
        for connection in slow:
            assert ended(connection).startswith(b"HTTP/1.1 408 ")
            connection.close()
        stop.set()
        watcher.join()
        assert {400, 401} <= seen <= {200, 400, 401, 409, 413}
        assert len(served) > 20
        assert set(served) == {200}
        assert ask(port, *good(interface, 3))[0] == 200
        print(
            f"at most {running.memory() / 1e6:.0f} MB; {len(served)} requests of another client were answered"
        )
        assert running.memory() < 10**9
        assert not [line for line in running.lines() if "Traceback" in line.get("error", "")]
        assert running.stop() == 0


@pytest.mark.slow
def test_the_largest_images_on_a_process(tmp_path: Path) -> None:
    """Small files of nearly 50 million transparent pixels, several at once: decoded one after the other."""
    model, file = photos.resnet(tmp_path / "model"), io.BytesIO()
    Image.new("RGBA", (7000, 7000), (9, 99, 199, 128)).save(file, "PNG")
    large = file.getvalue()
    assert len(large) < 10**6
    with serving.process(tmp_path, model, "--log-level", "warning") as running:
        interface, port = running.interface(), int(running.url.rpartition(":")[2])
        before, seen = running.memory(), []

        def post(files: list[bytes]) -> None:
            headers, body = protocol.write_request(interface.files_request(files))
            seen.append(ask(port, headers, body, "/v2/models/model/infer")[0])

        threads = [threading.Thread(target=post, args=([large] * 3,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert seen == [200] * 4
        print(f"{before / 1e6:.0f} MB before, at most {running.memory() / 1e6:.0f} MB")
        assert running.memory() < 2 * 10**9
        assert running.stop() == 0
