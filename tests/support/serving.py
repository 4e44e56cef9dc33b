"""A cloud half for tests: in a thread of this process, or as a process that can be killed."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from commands import environment

from splitee.runtime.cloud import Cloud, open_cloud
from splitee.runtime.interface import Interface
from splitee.runtime.interfaces import reported
from splitee.runtime.serving import Listening, Server

PATIENCE = 60.0  # seconds until a server must be ready


@contextmanager
def serving(
    model: str | Path | Cloud = "sst2_slender", listening: Listening | None = None, **options
) -> Iterator[Server]:
    """A server on a free port in a thread; `options` are those of `open_cloud`, such as a token or limits.

    ``server.url`` is its address, ``server.cloud.interface`` what it takes.
    """
    cloud = model if isinstance(model, Cloud) else open_cloud(model, **options)
    server = Server(cloud, listening or Listening(port=0))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_for(lambda: server.started or not thread.is_alive())
    try:
        yield server
    finally:
        server.should_exit = True
        thread.join(PATIENCE)


@dataclass
class Process:
    """A running `splitee serve`; its log is in `log`."""

    popen: subprocess.Popen
    log: Path
    url: str = ""
    model: str = ""

    def interface(self, token: str = "") -> Interface:
        """What it takes."""
        address = f"{self.url}/v2/models/{self.model}"
        asked = urllib.request.Request(address, headers={"Authorization": f"Bearer {token}"})
        with urllib.request.urlopen(asked, timeout=PATIENCE) as found:
            return reported(json.load(found))

    def lines(self) -> list[dict]:
        """The events of the log so far."""
        return [json.loads(line) for line in self.log.read_text("utf-8").splitlines() if line.startswith("{")]

    def memory(self) -> int:
        """Bytes of memory that the process has taken at most."""
        status = Path(f"/proc/{self.popen.pid}/status").read_text("utf-8")
        return 1024 * int(status.partition("VmHWM:")[2].split()[0])

    def kill(self) -> None:
        """As by the kernel: nothing can be answered or written any more."""
        self.popen.kill()
        self.popen.wait()

    def stop(self) -> int:
        """Ask it to stop, and return its exit code."""
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGTERM)
        return self.popen.wait(PATIENCE)


@contextmanager
def process(
    folder: Path, model: str | Path = "sst2_slender", *options: object, port: int = 0
) -> Iterator[Process]:
    """`splitee serve MODEL` as a process that is ready; a given port can be served again after a kill."""
    log = folder / f"serve-{time.monotonic_ns()}.jsonl"
    words = [sys.executable, "-m", "splitee", "serve", str(model), "--port", str(port), *map(str, options)]
    with log.open("w") as out:
        popen = subprocess.Popen(words, stderr=out, env=environment() | {"TOKENIZERS_PARALLELISM": "false"})
    made = Process(popen, log)
    try:
        wait_for(lambda: popen.poll() is not None or any(line["event"] == "ready" for line in made.lines()))
        assert popen.poll() is None, log.read_text("utf-8")
        ready = next(line for line in made.lines() if line["event"] == "ready")
        made.url, made.model = ready["url"], ready["model"]
        yield made
    finally:
        if popen.poll() is None:
            os.kill(popen.pid, signal.SIGKILL)
        popen.wait()


def wait_for(ready, seconds: float = PATIENCE) -> None:
    until = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < until, "it took too long"
        time.sleep(0.01)
