"""The process in which a policy file runs: it sees what a device sees, and answers a referee.

`splitee.bench.referee` starts `python -m splitee.bench.host FILE IN OUT`. Requests are pickled tuples on the
descriptor IN, answers one line of JSON each on OUT: the referee never unpickles what comes from here. No
label is in this process but those of the source's validation trace and of the half on which settings are
chosen. A policy file may read files beside it. One that opens others, uses the network or starts processes is
reported. That keeps comparisons honest. It is no sandbox: run files that you trust.
"""

from __future__ import annotations

import base64
import importlib.util
import inspect
import json
import os
import pickle
import signal
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from splitee.bench.times import state_bytes
from splitee.policies.base import Policy, check_policy, display_name
from splitee.policies.loop import METHODS, play_custom

MEMORY = 2**33  # bytes of address space
_LISTING = ("os.listdir", "os.scandir")
_FORBIDDEN = (
    "socket.connect",
    "socket.bind",
    "subprocess.Popen",
    "os.system",
    "os.exec",
    "os.fork",
    "os.forkpty",
    "os.posix_spawn",
    "os.kill",
    "shutil.rmtree",
)
_MODULES = (".py", ".pyc", ".so", ".pyd", ".dylib", ".nbi", ".nbc", ".pth", ".zip")
_SYSTEM = ("/proc/", "/sys/", "/dev/", "/etc/")
_peeked: list[str] = []
_read: set[str] = set()  # the policy file's own modules and data, beside it
_beside: list[str] = []  # the folder of the policy file


class CheatingError(Exception):
    """The policy asked for what a device does not see."""


def _watch(event: str, given: tuple[Any, ...]) -> None:
    """Refuse what no policy needs (an audit hook)."""
    if event == "open":
        path, mode = given[0], given[1] or ""
        if not isinstance(path, int) and not _may_open(os.fsdecode(path), mode):
            _refuse(f"opened {os.fsdecode(path)}")
    elif event in _LISTING and not _of_python(os.fsdecode(given[0] or ".")):
        _refuse(f"listed {given[0]}")
    elif event in _FORBIDDEN:
        _refuse(f"called {event}")
    elif event == "import" and str(given[0]).split(".")[0] == "pyarrow":
        _refuse("imported pyarrow, which reads traces")


def _may_open(path: str, mode: str) -> bool:
    if "__pycache__" in path or path == os.devnull:
        return True
    if any(letter in mode for letter in "wax+"):
        return path.startswith(tempfile.gettempdir())
    if _beside and os.path.abspath(path).startswith(_beside[0]):
        _read.add(os.path.abspath(path))
    return path.startswith(_SYSTEM) or path.endswith(_MODULES) or _of_python(path)


def _of_python(path: str) -> bool:
    """Whether a path belongs to Python or an installed package, and not to a package's data of traces."""
    place = os.path.abspath(path)
    places = [os.path.abspath(entry) for entry in (sys.prefix, sys.base_prefix, *sys.path) if entry]
    return (
        "parquet" not in place
        and os.path.join("splitee", "data") not in place
        and any(place == entry or place.startswith(entry + os.sep) for entry in places)
    )


def _refuse(what: str) -> None:
    _peeked.append(what)
    raise CheatingError(f"a device does not do this: it {what}")


def load(file: Path) -> Callable[[Any], Sequence[Any]]:
    """Return the function of a policy file that makes its policies for a task.

    Raises
    ------
    ValueError
        If the file has neither `policies` nor exactly one class of a policy.
    """
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[file.stem] = module
    spec.loader.exec_module(module)
    if callable(given := getattr(module, "policies", None)):

        def made(task: Any) -> Sequence[Any]:
            found = given(task)
            return list(found) if isinstance(found, (list, tuple)) else [found]

        return made
    classes = [
        one
        for one in vars(module).values()
        if inspect.isclass(one)
        and one.__module__ == module.__name__
        and all(hasattr(one, method) for method in METHODS)
    ]
    if len(classes) != 1:
        what = f"{len(classes)} of its classes are policies" if classes else _lacking(module)
        raise ValueError(f"{what}: define one, or policies(task), which returns policies")
    build: Any = classes[0]
    takes = inspect.signature(build).parameters.values()
    if sum(one.default is one.empty and one.kind not in (2, 4) for one in takes) > 1:
        raise ValueError(
            f"{build.__name__} is made of nothing or of α alone: give its other arguments defaults, or "
            "define policies(task)"
        )
    return lambda task: [build(task.threshold) if takes else build()]


def _lacking(module: Any) -> str:
    """Return what the class that comes nearest to a policy lacks."""
    own = [one for one in vars(module).values() if inspect.isclass(one) and one.__module__ == module.__name__]
    for one in own:
        lacks = [method for method in METHODS if not hasattr(one, method)]
        if len(lacks) < len(METHODS):
            return f"class {one.__name__} has no {' and no '.join(lacks)}"
    return "it has no class with start, begin, decide and learn"


class Host:
    """Answers the requests of a referee.

    Parameters
    ----------
    make : callable
        Returns the policies of the file for a task.
    """

    def __init__(self, make: Callable[[Any], Sequence[Any]]) -> None:
        self.make = make
        self.policies: list[Any] = []
        self.loop: Any = None
        self.seconds, self.rounds = 0.0, 0

    def answer(self, kind: str, *given: Any) -> Any:
        """Return the answer to a request in plain types."""
        answer: Any = getattr(self, f"on_{kind}")(*given)
        return answer

    def on_make(self, task: Any) -> list[dict[str, Any]]:
        """Make the policies for a task, and describe them."""
        self.policies = list(self.make(task))
        described = []
        for place, policy in enumerate(self.policies):
            check_policy(f"{place + 1} of the file", policy)
            described.append(
                {
                    "label": str(display_name(policy)),
                    "deepest": int(policy.deepest(task.layers, task.arms))
                    if isinstance(policy, Policy)
                    else 0,
                    "bound": bool(
                        getattr(policy, "sees_final", False) or getattr(policy, "hindsight", False)
                    ),
                    **{
                        name: _plain(getattr(policy, name, None))
                        for name in (
                            "threshold",
                            "needs_entropy",
                            "send_input",
                            "max_disagreement",
                            "in_time",
                        )
                    },
                }
            )
        return described

    def on_start(self, place: int, problem: Any, rng: Any) -> None:
        """Begin a stream of a device loop."""
        policy = self.policies[place]
        self.loop = policy.live() if isinstance(policy, Policy) else policy
        self.loop.start(problem, rng)

    def on_round(self, learned: Sequence[tuple[int, Any]], t: int, context: Any) -> Any:
        """Learn what has arrived, and begin a round."""
        began = time.perf_counter()
        for when, feedback in learned:
            self.loop.learn(when, feedback)
        first = self.loop.begin(t, context)
        self.seconds += time.perf_counter() - began
        self.rounds += 1
        return _whole(first)

    def on_decide(self, *seen: Any) -> Any:
        """Decide after an exit."""
        began = time.perf_counter()
        decided = self.loop.decide(*seen)
        self.seconds += time.perf_counter() - began
        return _whole(decided)

    def on_end(self, learned: Sequence[tuple[int, Any]]) -> None:
        """Learn what arrives after the last round."""
        for when, feedback in learned:
            self.loop.learn(when, feedback)

    def on_play(self, place: int, table: Any, order: Any, rngs: Any, world: Any) -> dict[str, Any]:
        """Let a policy play a table, an order, generators and a world."""
        policy = self.policies[place]
        if isinstance(policy, Policy):
            played = policy.play(table, order, rngs, world)
        else:
            played = play_custom(policy, table, order, rngs, world, str(display_name(policy)))
        actions = played.actions
        arrays = {
            "action": played.action,
            "layer": actions.layer,
            "offloaded": actions.offloaded,
            "evaluated": actions.evaluated,
            **({} if played.measured is None else {"measured": played.measured, "lost": played.lost}),
        }
        return {"exits": actions.exits} | {name: _array(values) for name, values in arrays.items()}

    def on_cost(self) -> dict[str, Any]:
        """Return seconds per decision of the device loop, and the bytes of its state."""
        return {"seconds": self.seconds / max(1, self.rounds), "bytes": state_bytes(self.loop)}

    def on_spent(self) -> dict[str, Any]:
        """Return the processor's seconds that this process has taken, and the files that it has read."""
        return {"seconds": time.process_time(), "read": sorted(_read)}


def _whole(value: Any) -> Any:
    """Return a number that JSON can hold; others as texts, which the loop refuses by name."""
    return int(value) if hasattr(value, "__index__") and not isinstance(value, bool) else repr(value)


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    if hasattr(value, "item"):
        value = value.item()
    return value if isinstance(value, (bool, int, float, str, type(None))) else None


def _array(values: Any) -> dict[str, Any]:
    flat = np.ascontiguousarray(values)
    return {"type": flat.dtype.str, "shape": flat.shape, "data": base64.b64encode(flat.tobytes()).decode()}


def read_exactly(descriptor: int, size: int) -> bytes:
    """Return so many bytes; EOFError if the other side has gone."""
    parts = []
    while size:
        part = os.read(descriptor, size)
        if not part:
            raise EOFError
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def main() -> None:
    """Serve until the referee closes its side."""
    import resource

    file, requests, answers = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the referee ends this process
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what the policy prints would hide what is reported
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    host: Host | None = None

    def say(document: dict[str, Any]) -> None:
        data = json.dumps(document).encode() + b"\n"
        while data:
            data = data[os.write(answers, data) :]

    sys.path.insert(0, str(file.parent))
    _beside.append(str(file.parent.resolve()) + os.sep)
    sys.addaudithook(_watch)
    while True:
        try:
            size = struct.unpack("<I", read_exactly(requests, 4))[0]
        except EOFError:
            return
        request = pickle.loads(read_exactly(requests, size))
        try:
            if host is None:
                host = Host(load(file))
            answer = {"is": host.answer(*request)}
        except BaseException as error:
            answer = {"failed": _shown(error, file)}
        say({"cheated": _peeked[0]} if _peeked else answer)


def _shown(error: BaseException, file: Path) -> str:
    """Return an error of the policy in one line, with the line of the file that raised it."""
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(file):
            line = trace.tb_lineno
        trace = trace.tb_next
    if isinstance(error, SyntaxError) and error.filename == str(file):
        line = error.lineno
    where = f"line {line}: " if line else ""
    said = error.msg if isinstance(error, SyntaxError) else error
    return where + " ".join(f"{type(error).__name__}: {said}".split())[:300]


if __name__ == "__main__":
    main()
