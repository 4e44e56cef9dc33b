"""The server under load against the bare model in batches.

python benchmarks/serving.py [--clients 8] [--model sst2_slender] [--threads 1] [--turns 5] [--linger 2]

Texts are as long as those of the bundled trace sst2_validation, their tokens are random. Bare: a process runs
the model's layers and last exit on batches of as many texts as there are clients, in their order. Served:
that many clients of `splitee serve`, each with one connection and one request at a time, one text per
request; clients are threads of this process, and their requests are written beforehand. Three loads: tokens
(every layer is run), the state after layer 2 in float16, and all layers mixed. Bare and served are timed in
turns. Printed are the medians over the turns of samples per second, of their ratio, and of the ratio of CPU
seconds (bare / served, clients left out), which other work on the machine disturbs less; and the mean batch.
"""

import argparse
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path
from statistics import median

import numpy as np
import torch

import splitee
from splitee.models.multi_exit import load_checkpoint
from splitee.models.resuming import Part
from splitee.runtime import protocol
from splitee.runtime.interfaces import reported
from splitee.runtime.protocol import HEAD_LENGTH

TEXTS = 256
LOADS = ("tokens", "state after 2", "mixed")


def texts(count: int = TEXTS) -> list[np.ndarray]:
    """Token ids, one array of shape (1, t) per text."""
    rng = np.random.default_rng(0)
    lengths = splitee.load_trace("sst2_validation").length[:count]
    return [np.concatenate([[101], rng.integers(1000, 30_000, max(1, n - 2)), [102]])[None] for n in lengths]


def layer_of(load: str, row: int) -> int:
    return {"tokens": 0, "state after 2": 2, "mixed": row % 6}[load]


@torch.inference_mode()
def part(model, load: str, row: int, ids: np.ndarray) -> Part:
    layer, mask = layer_of(load, row), np.ones_like(ids)
    if not layer:
        return Part(0, mask, ids=ids)
    return Part(layer, mask, state=model.run_layers(model.start(torch.tensor(ids)), layer).hidden.numpy())


@torch.inference_mode()
def batched(model, load: str, ids: list[np.ndarray], first: int) -> list:
    """What the bare model runs for a batch: a callable per layer at which texts of it begin."""
    jobs = []
    layers = [layer_of(load, first + i) for i in range(len(ids))]
    for layer in sorted(set(layers)):
        chosen = [one for one, at in zip(ids, layers, strict=True) if at == layer]
        longest = max(one.shape[1] for one in chosen)
        padded = torch.tensor(
            np.concatenate([np.pad(one, ((0, 0), (0, longest - one.shape[1]))) for one in chosen])
        )
        mask = torch.tensor([[1] * one.shape[1] + [0] * (longest - one.shape[1]) for one in chosen])
        if layer:
            cut = model.run_layers(model.start(padded, mask), layer)
            jobs.append(lambda cut=cut: model.exit_logits(model.run_layers(cut, model.exits[-1])))
        else:
            jobs.append(
                lambda a=padded, b=mask: model.exit_logits(
                    model.run_layers(model.start(a, b), model.exits[-1])
                )
            )
    return jobs


def bare(name: str, clients: int, threads: int) -> None:
    """The worker: for each line, a load, print wall and CPU seconds of all texts."""
    torch.set_num_threads(threads)
    model, ids = load_checkpoint(name), texts()
    jobs = {
        load: [
            job
            for at in range(0, len(ids), clients)
            for job in batched(model, load, ids[at : at + clients], at)
        ]
        for load in LOADS
    }
    print("ready", flush=True)
    for line in sys.stdin:
        began, cpu = time.perf_counter(), time.process_time()
        with torch.inference_mode():
            for job in jobs[line.strip()]:
                job()
        print(time.perf_counter() - began, time.process_time() - cpu, flush=True)


class Bare:
    def __init__(self, name: str, clients: int, threads: int) -> None:
        words = [sys.executable, __file__, "--bare", "--model", name]
        words += ["--clients", str(clients), "--threads", str(threads)]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"

    def run(self, load: str) -> tuple[float, float]:
        self.process.stdin.write(load + "\n")
        self.process.stdin.flush()
        wall, cpu = map(float, self.process.stdout.readline().split())
        return wall, cpu


class Served:
    def __init__(self, name: str, clients: int, threads: int, linger: float) -> None:
        words = [sys.executable, "-m", "splitee", "serve", name, "--port", "0", "--threads", str(threads)]
        words += ["--linger", str(linger)]
        self.process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
        line = next(line for line in self.process.stderr if '"ready"' in line)
        threading.Thread(target=self.process.stderr.read, daemon=True).start()
        found = json.loads(line)
        self.port = int(found["url"].rpartition(":")[2])
        self.path = f"/v2/models/{found['model']}"
        with urllib.request.urlopen(found["url"] + self.path) as answer:
            self.interface = reported(json.load(answer))
        self.clients = clients

    def prepare(self, model, ids: list[np.ndarray]) -> None:
        self.requests = {
            load: [self.request(part(model, load, row, one)) for row, one in enumerate(ids)] for load in LOADS
        }

    def request(self, made: Part) -> bytes:
        if made.layer:
            request = self.interface.state_request(made.layer, made.state, made.mask, "float16")
        else:
            request = self.interface.tokens_request(made.ids, made.mask)
        headers, body = protocol.write_request(request)
        lines = [f"POST {self.path}/infer HTTP/1.1", "Host: x", f"Content-Length: {len(body)}"]
        lines += [f"{HEAD_LENGTH}: {headers[HEAD_LENGTH]}", "", ""]
        return "\r\n".join(lines).encode() + body

    def cpu(self) -> float:
        """CPU seconds of the server so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def batches(self) -> np.ndarray:
        """Sum and number of the batches of all requests so far."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics") as answer:
            text = answer.read().decode()
        found = [re.search(rf"splitee_batch_samples_{key} (\S+)", text)[1] for key in ("sum", "count")]
        return np.array(found, float)

    def run(self, load: str) -> tuple[float, float]:
        left = iter(self.requests[load])
        lock, failed = threading.Lock(), []

        def client() -> None:
            with socket.create_connection(("127.0.0.1", self.port)) as connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                while True:
                    with lock:
                        request = next(left, None)
                    if request is None:
                        return
                    connection.sendall(request)
                    answer = connection.recv(2**16)
                    head, _, body = answer.partition(b"\r\n\r\n")
                    length = int(re.search(rb"content-length: (\d+)", head)[1])
                    while len(body) < length:
                        body += connection.recv(2**16)
                    if not head.startswith(b"HTTP/1.1 200"):
                        failed.append(answer)

        threads = [threading.Thread(target=client) for _ in range(self.clients)]
        began, cpu = time.perf_counter(), self.cpu()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wall = time.perf_counter() - began
        assert not failed, failed[0]
        return wall, self.cpu() - cpu


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="sst2_slender")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--linger", type=float, default=2.0)
    parser.add_argument("--bare", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.bare:
        bare(given.model, given.clients, given.threads)
        return
    model, ids = load_checkpoint(given.model), texts()
    alone = Bare(given.model, given.clients, given.threads)
    served = Served(given.model, given.clients, given.threads, given.linger)
    try:
        served.prepare(model, ids)
        del model
        machine = f"{given.threads} threads of torch, {os.cpu_count()} cores, linger {given.linger:g} ms"
        print(f"{given.model}, {given.clients} clients, {machine}\n")
        print("| load | bare, samples/s | served, samples/s | ratio | ratio of CPU seconds | mean batch |")
        print("|---|---:|---:|---:|---:|---:|")
        for load in LOADS:
            alone.run(load), served.run(load)  # warm up
            before = served.batches()
            pairs = [(alone.run(load), served.run(load)) for _ in range(given.turns)]
            rates = [median(len(ids) / pair[i][0] for pair in pairs) for i in (0, 1)]
            wall = median(one[0] / other[0] for one, other in pairs)
            cpu = median(one[1] / other[1] for one, other in pairs)
            total, count = served.batches() - before
            row = (
                f"| {load} | {rates[0]:.0f} | {rates[1]:.0f} | {wall:.2f} | {cpu:.2f} | {total / count:.1f} |"
            )
            print(row, flush=True)
    finally:
        served.process.terminate()
        alone.process.kill()


if __name__ == "__main__":
    main()
