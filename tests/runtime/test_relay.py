"""The relay: bytes arrive when the link's clock says, unchanged; in outages nothing does."""

import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import commands
import naive_system
import numpy as np
import pytest
from commands import environment
from hypothesis import given
from hypothesis import strategies as st

from splitee._internal.errors import InputError
from splitee.runtime.relay import Relay, Uplink, relaying
from splitee.system.link import Link


@given(
    st.lists(st.tuples(st.floats(0, 40), st.integers(1, 9000)), min_size=1, max_size=12),
    st.lists(st.integers(0, 8), min_size=2, max_size=6).filter(any),
)
def test_transfers_are_fifo_and_take_what_the_system_says(jobs: list, rates: list[int]) -> None:
    link = Link(time_s=np.arange(len(rates)) * 0.01, mbit_s=[float(rate) for rate in rates], rtt=20.0)
    intervals = list(zip(link.edges_ms.tolist(), link.bits_per_ms.tolist(), strict=False))
    twin = SimpleNamespace(physics=SimpleNamespace(rates=intervals, period=link.period_ms))
    uplink, now, free = Uplink(link), 0.0, 0.0
    for wait, size in jobs:
        now += wait
        begin = max(now, free)
        free = begin + naive_system.Simulation.transfer(twin, begin, 8.0 * size)
        assert uplink.across(now, size) == pytest.approx(free + 10.0, abs=1e-6)


def test_losses_cost_their_bytes_again_and_a_round_trip() -> None:
    link = Link(uplink=12.0, rtt=100.0)  # a packet of 1,500 bytes per ms
    clean, lossy = Uplink(link), Uplink(link, loss=0.5, seed=1)
    plain = [clean.across(0.0, 1500) for _ in range(400)]
    found = [lossy.across(0.0, 1500) for _ in range(400)]
    assert plain == [50.0 + packet for packet in range(1, 401)]
    assert 700 < lossy._free < 900  # twice as many packets
    tries = np.diff([0.0, *found])  # of a packet alone: t ms for t tries, and t − 1 round trips
    first = Uplink(link, loss=0.5, seed=1)
    own = np.random.default_rng(1).geometric(0.5, 1)[0]
    assert first.across(0.0, 1500) == own + (own - 0.5) * 100
    assert (tries < 0).any()  # what was lost arrives after what came later
    assert Uplink(link, 0.5, 1).across(0.0, 9000) == Uplink(link, 0.5, 1).across(0.0, 9000) > 59.0


@pytest.mark.parametrize("to", ["127.0.0.1:80", "ftp://x", "http://", "http://x:y", "http://x:99999"])
def test_what_is_no_address(to: str) -> None:
    with pytest.raises(InputError, match="http://host:port"):
        Relay(to, Link())


def test_what_is_no_share() -> None:
    with pytest.raises(InputError, match="loss is 1"):
        Relay("http://x", Link(), loss=1.0)


@contextmanager
def echo(address: str = "127.0.0.1") -> Iterator[int]:
    """A server that answers with the number of bytes of each message, which ends with a zero byte."""
    listener = socket.create_server((address, 0))

    def serve(connection: socket.socket) -> None:
        with connection:
            count = 0
            while part := connection.recv(2**16):
                count += len(part)
                if part.endswith(b"\0"):
                    connection.sendall(b"%d\n" % count)
                    count = 0

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield listener.getsockname()[1]
    listener.close()


def exchange(connection: socket.socket, size: int) -> float:
    """Seconds of a message of this size with its answer."""
    began = time.monotonic()
    connection.sendall(b"x" * (size - 1) + b"\0")
    answer = b""
    while not answer.endswith(b"\n"):
        part = connection.recv(100)
        if not part:
            raise ConnectionResetError("it ended")
        answer += part
    assert int(answer) == size
    return time.monotonic() - began


def connect(address: str) -> socket.socket:
    host, _, port = address.removeprefix("http://").rpartition(":")
    return socket.create_connection((host, int(port)), timeout=60)


def test_a_message_takes_its_transfer_and_the_round_trip_at_least() -> None:
    link = Link(uplink=8.0, rtt=60.0)
    with (
        echo() as port,
        relaying(f"http://127.0.0.1:{port}", link) as address,
        connect(address) as connection,
    ):
        assert exchange(connection, 1000) >= 0.001 + 0.120 - 0.005  # with the connection's own round trip
        for size in (1000, 100_000):
            assert exchange(connection, size) >= size / 1e6 + 0.060 - 0.005


def test_connections_share_the_link() -> None:
    with echo() as port, relaying(f"http://127.0.0.1:{port}", Link(uplink=8.0, rtt=0.0)) as address:
        connections = [connect(address) for _ in range(4)]
        began = time.monotonic()
        threads = [threading.Thread(target=exchange, args=(one, 50_000)) for one in connections]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert time.monotonic() - began >= 0.2 - 0.005
        for one in connections:
            one.close()


def test_an_outage_resets_connections_and_afterwards_they_work() -> None:
    link = Link(uplink=100.0, rtt=0.0, outages=[(0.2, 0.5)])
    with echo() as port, relaying(f"http://127.0.0.1:{port}", link) as address:
        came, failed = [], 0
        until = time.monotonic() + 60
        while time.monotonic() < until and not (failed and came and came[-1]):
            try:
                with connect(address) as connection:
                    for _ in itertools.count():
                        exchange(connection, 100)
                        came.append(failed > 0)
                        if came[-1]:
                            break
                        time.sleep(0.01)
            except OSError:
                failed += 1
                time.sleep(0.01)
        assert failed
        assert came[-1]


def test_a_server_that_is_not_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with (
        relaying(f"http://127.0.0.1:{port}", Link()) as address,
        connect(address) as connection,
        pytest.raises(OSError),
    ):
        exchange(connection, 100)


# the kernel's own limit

SPACE, HERE, THERE = "splitee-test", "10.213.77.1", "10.213.77.2"


def ran(*words: str) -> subprocess.CompletedProcess:
    return subprocess.run(words, capture_output=True, text=True)


@pytest.fixture
def space() -> Iterator[str]:
    """A network namespace with a cable to this one, on which 8 Mbit/s pass towards here."""
    if sys.platform != "linux" or os.geteuid():
        pytest.skip("network namespaces need Linux and root")
    if shutil.which("ip") is None or shutil.which("tc") is None:
        pytest.skip("ip and tc are not installed (iproute2)")
    inside = ("ip", "netns", "exec", SPACE)
    ran("ip", "netns", "del", SPACE)
    try:
        for words in (
            ("ip", "netns", "add", SPACE),
            ("ip", "link", "add", "splt0", "type", "veth", "peer", "name", "splt1", "netns", SPACE),
            ("ip", "addr", "add", f"{HERE}/30", "dev", "splt0"),
            ("ip", "link", "set", "splt0", "up"),
            (*inside, "ip", "addr", "add", f"{THERE}/30", "dev", "splt1"),
            (*inside, "ip", "link", "set", "splt1", "up"),
            (
                *inside,
                *[
                    "tc",
                    "qdisc",
                    "add",
                    "dev",
                    "splt1",
                    "root",
                    "tbf",
                    "rate",
                    "8mbit",
                    "burst",
                    "16kb",
                    "latency",
                    "500ms",
                ],
            ),
        ):
            done = ran(*words)
            if done.returncode:
                pytest.skip(f"the kernel refuses {' '.join(words)}: {done.stderr.strip()}")
        yield SPACE
    finally:
        ran("ip", "netns", "del", SPACE)


CLIENT = """
import sys, time
sys.path[:0] = {paths!r}
import test_relay
with test_relay.connect("http://{address}:{port}") as connection:
    test_relay.exchange(connection, 1000)
    print(test_relay.exchange(connection, 500_000))
"""


def test_the_kernel_limits_the_rate(space: str) -> None:
    with echo(HERE) as port:
        code = CLIENT.format(paths=[*sys.path, str(Path(__file__).parent)], address=HERE, port=port)
        done = ran("ip", "netns", "exec", space, sys.executable, "-c", code)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) >= (500_000 - 16_384) * 8 / 8e6 - 0.01


def test_a_port_that_is_taken() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(OSError, match="in use"),
        relaying("http://x", Link(), port=taken.getsockname()[1]),
    ):
        pass


def test_the_command_passes_connections_on(tmp_path: Path) -> None:
    words = [
        sys.executable,
        "-m",
        "splitee",
        "link",
        "relay",
        "5g_walking_down",
        "--rtt",
        "2",
        "--json",
        "--to",
    ]
    with echo() as port:
        words.append(f"http://127.0.0.1:{port}")
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment()) as process:
            with connect(json.loads(process.stdout.readline())["url"]) as connection:
                exchange(connection, 20_000)
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (("--to", "nothing"), "no address"),
        (("--to", "http://x", "--packet-loss", "2"), "loss"),
        (("--to", "http://x", "--outage", "3"), "outage"),
    ],
)
def test_what_the_command_refuses(options: tuple, line: str) -> None:
    assert line in commands.splitee("link", "relay", "5g_walking_down", *options).complaint
