"""The referee of a policy file, which runs in another process and never has a label of what is judged.

To be quick, whole streams are played there: the process is given a `Table`, and its actions are counted here.
A table holds every exit, and so more than a device sees. In some cells the policy is therefore also played as
a device loop that is asked for one decision at a time, and shown one exit at a time. Both must decide alike.
"""

from __future__ import annotations

import base64
import json
import os
import pickle
import select
import struct
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from splitee._internal.errors import InputError
from splitee.bench.suite import Task
from splitee.policies.base import Policy
from splitee.policies.loop import Context, Feedback
from splitee.policies.played import Actions, Played
from splitee.policies.problem import Orders, Problem, Table
from splitee.system.world import World

TIMEOUT = 60.0  # s for one answer; a compiled policy may have to be compiled first
_LONGEST = 2**28  # bytes of an answer


class PolicyError(Exception):
    """A policy file crashed, cheated or did not return."""


class Referee:
    """A policy file in a process of its own.

    Parameters
    ----------
    file : Path
    timeout : float
        Seconds to wait for one answer.
    """

    def __init__(self, file: Path, timeout: float = TIMEOUT) -> None:
        if not file.is_file():
            raise InputError(f"{file}: no such file: give a Python file with a policy")
        self.file, self.timeout = file.resolve(), timeout
        here, there = os.pipe()
        back, forth = os.pipe()
        command = [sys.executable, "-m", "splitee.bench.host", str(self.file), str(here), str(forth)]
        self.process = subprocess.Popen(command, pass_fds=(here, forth), stdin=subprocess.DEVNULL)
        os.close(here)
        os.close(forth)
        self.requests, self.answers = there, back
        self.waiting = select.poll()
        self.waiting.register(back, select.POLLIN | select.POLLHUP)
        self.rest = b""

    def close(self) -> None:
        """End the process."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for descriptor in (self.requests, self.answers):
            os.close(descriptor)

    def ask(self, *request: Any) -> Any:
        """Return the answer to a request.

        Raises
        ------
        PolicyError
            If the policy raises, does not answer in time, ends its process, or asks for what it may not see.
        """
        data = pickle.dumps(request, protocol=5)
        data = struct.pack("<I", len(data)) + data
        try:
            while data:
                data = data[os.write(self.requests, data) :]
        except BrokenPipeError:
            raise PolicyError("ended its process") from None
        answer = json.loads(self._line())
        if "cheated" in answer:
            raise PolicyError(f"asked for what no device sees: it {answer['cheated']}")
        if "failed" in answer:
            raise PolicyError(answer["failed"])
        return answer["is"]

    def _line(self) -> bytes:
        until = time.monotonic() + self.timeout
        parts = [self.rest]
        while b"\n" not in parts[-1]:
            left = until - time.monotonic()
            if left <= 0 or not self.waiting.poll(1000 * left):
                raise PolicyError(f"did not answer within {self.timeout:g} s")
            part = os.read(self.answers, 2**20)
            if not part:
                raise PolicyError(f"ended its process (status {self.process.wait()})")
            parts.append(part)
            if sum(map(len, parts)) > _LONGEST:
                raise PolicyError("answered with more than 256 MB")
        line, _, self.rest = b"".join(parts).partition(b"\n")
        return line

    def policies(self, task: Task) -> list[Remote]:
        """Return the policies that the file makes for a task; PolicyError for what no device could run."""
        described = self.ask("make", task)
        if not isinstance(described, list) or not described:
            raise PolicyError("makes no policy: policies(task) returns one, or a list")
        found: list[Remote] = []
        for place, facts in enumerate(described):
            if facts["bound"]:
                raise PolicyError(f"{facts['label']} says that it reads what no device sees: it is a bound")
            found.append(Remote(self, place, facts))
        return found


class Loop:
    """A policy of the file as a device loop, asked over the pipe."""

    def __init__(self, referee: Referee, place: int, facts: dict[str, Any]) -> None:
        self.referee, self.place, self.name = referee, place, facts["label"]
        for name in ("threshold", "needs_entropy", "send_input", "max_disagreement"):
            if facts[name] is not None and not (name == "threshold" and isinstance(facts[name], list)):
                setattr(self, name, facts[name])
        self._learned: list[tuple[int, Feedback]] = []

    def start(self, problem: Problem, rng: np.random.Generator) -> None:
        """Begin a stream; feedback of the one before is delivered first."""
        self.end()
        self.referee.ask("start", self.place, problem, rng)

    def begin(self, t: int, context: Context) -> int:
        """Begin a round, once it has learned what has arrived."""
        learned, self._learned = self._learned, []
        first: int = self.referee.ask("round", learned, t, context)
        return first

    def decide(self, *seen: Any) -> int:
        """Decide after an exit."""
        decided: int = self.referee.ask("decide", *seen)
        return decided

    def learn(self, t: int, feedback: Feedback) -> None:
        """Keep feedback for the next round: it needs no answer."""
        self._learned.append((t, feedback))

    def end(self) -> None:
        """Deliver what arrived after the last round."""
        if self._learned:
            learned, self._learned = self._learned, []
            self.referee.ask("end", learned)


class Remote(Policy):
    """A policy of the file, which plays whole streams in its process."""

    learns: ClassVar[bool] = True

    def __init__(self, referee: Referee, place: int, facts: dict[str, Any]) -> None:
        given = {
            "referee": referee,
            "place": place,
            "facts": facts,
            "in_time": facts["in_time"] is not False,
            **{
                name: tuple(facts[name]) if isinstance(facts[name], list) else facts[name]
                for name in ("threshold", "send_input", "max_disagreement")
            },
        }
        for name, value in given.items():
            object.__setattr__(self, name, value)

    @property
    def label(self) -> str:
        """The name in tables."""
        named: str = self.facts["label"]  # type: ignore[attr-defined]
        return named

    def deepest(self, layers: int, arms: int) -> int:
        """Return the deepest layer that the device must hold."""
        return max(arms, int(self.facts["deepest"]))  # type: ignore[attr-defined]

    def to_dict(self) -> dict[str, Any]:
        """Return its name."""
        return {"policy": self.label}

    def live(self) -> Loop:
        """Return the policy as a device loop, which sees one exit at a time."""
        return Loop(self.referee, self.place, self.facts)  # type: ignore[attr-defined]

    def play(
        self, table: Table, order: Orders, rngs: Sequence[np.random.Generator], world: World | None
    ) -> Played:
        """Send the table without labels, the order and the world, and return what the policy plays."""
        entropy = table.entropies()
        alone = replace(table, entropies=partial(_given, entropy), system=None, labels=None)
        answer = self.referee.ask("play", self.place, alone, np.asarray(order), list(rngs), world)  # type: ignore[attr-defined]
        return _played(answer, order.shape, table.problem)


def _given(values: Any) -> Any:
    return values


def _played(answer: dict[str, Any], shape: tuple[int, ...], problem: Problem) -> Played:
    """Return what a compiled policy has played, if it is possible."""
    try:
        layer, offloaded, evaluated = (_array(answer[name]) for name in ("layer", "offloaded", "evaluated"))
        action = _array(answer["action"])
        actions = Actions(layer, offloaded.astype(bool), evaluated, answer["exits"])
        measured, lost = (_array(answer[name]) if name in answer else None for name in ("measured", "lost"))
        good = (
            action.shape == shape
            and action.dtype.kind == "u"
            and len(layer) == len(offloaded) == len(evaluated) > int(action.max(initial=0))
            and bool(((layer >= 0) & (layer <= problem.exits)).all())
            and bool((evaluated <= layer).all())
        )
    except (KeyError, TypeError, ValueError) as error:
        raise PolicyError(f"returned no rounds: {error}") from None
    if not good:
        raise PolicyError("returned other rounds than it was given, or actions that are not possible")
    return Played(np.ascontiguousarray(action.astype(actions.dtype)), actions, measured, lost)


def _array(given: dict[str, Any]) -> NDArray[Any]:
    dtype = np.dtype(given["type"])
    if dtype.hasobject:
        raise ValueError("an array of objects")
    return np.frombuffer(base64.b64decode(given["data"]), dtype).reshape(given["shape"]).copy()
