"""Call a reader with many mutated inputs; count exceptions that are not InputError, hangs, and memory.

Input number i of a format depends on the format's name, the seed and i only, so that every finding can be
made again: ``run(..., count=1, first=i)``. Inputs are read in child processes, block by block, so that a
crash of a compiled library ends a block and not the run.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import resource
import signal
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from typing import Any

from splitee._internal.errors import InputError

HANG_S = 5.0
BLOCK = 1000  # inputs per task of the child process

Make = Callable[[random.Random], Any]
Read = Callable[[Any], object]


class Hang(BaseException):
    """Raised in a reader that takes longer than `HANG_S`; no `except Exception` catches it."""


@dataclass
class Findings:
    """What a run found.

    Attributes
    ----------
    accepted, refused : int
        Inputs that were read, and inputs that raised InputError.
    wrong : dict of str to int
        Other exceptions, by the line that raised them; lines of an InputError with a line break count too.
    hangs, crashes : int
        Inputs that took longer than `HANG_S`, and blocks whose process died.
    examples : list of (int, str)
        The first inputs that went wrong: their numbers, and the traceback's last lines.
    peak_mb : float
        Largest memory of a child process, in MB.
    """

    format: str
    count: int
    seed: int
    accepted: int = 0
    refused: int = 0
    wrong: Counter[str] = field(default_factory=Counter)
    hangs: int = 0
    crashes: int = 0
    slowest_s: float = 0.0
    peak_mb: float = 0.0
    examples: list[tuple[int, str]] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether there were no other exceptions, hangs and crashes."""
        return not self.wrong and not self.hangs and not self.crashes

    def line(self) -> str:
        """Return a row of the table of results."""
        return (
            f"| {self.format} | {self.count:,} | {self.seed} | {self.accepted:,} | {self.refused:,} "
            f"| {sum(self.wrong.values())} | {self.hangs} | {self.crashes} | {self.slowest_s:.2f} "
            f"| {self.peak_mb:,.0f} |"
        )

    def add(self, other: Findings) -> None:
        """Add the findings of a block."""
        for name in ("accepted", "refused", "hangs", "crashes"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.wrong.update(other.wrong)
        self.slowest_s = max(self.slowest_s, other.slowest_s)
        self.peak_mb = max(self.peak_mb, other.peak_mb)
        self.examples = [*self.examples, *other.examples][:20]


HEADING = (
    "| format | inputs | seed | accepted | refused (InputError) | other exceptions | hangs > 5 s | crashes "
    "| slowest, s | peak memory, MB |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
)


def run(
    format_name: str, make: Make, read: Read, count: int, seed: int, first: int = 0, alone: bool = True
) -> Findings:
    """Read `count` inputs and return what was found.

    Parameters
    ----------
    format_name : str
        Name of the format; it is part of the seed.
    make : callable
        Makes an input from a `random.Random`, such as mutated bytes (`mutate`).
    read : callable
        Calls the real reader with it. `make` and `read` are functions at the top of a module.
    count, seed, first : int
        Number of inputs, seed, and number of the first input.
    alone : bool
        Whether to read in a child process; memory and crashes are counted only then.
    """
    found = Findings(format_name, count, seed)
    blocks = [(start, min(start + BLOCK, first + count)) for start in range(first, first + count, BLOCK)]
    if not alone:
        for start, end in blocks:
            found.add(_block(format_name, make, read, start, end, seed))
        return found
    context = multiprocessing.get_context("fork")
    pool = ProcessPoolExecutor(1, mp_context=context)
    for start, end in blocks:
        try:
            found.add(pool.submit(_block, format_name, make, read, start, end, seed).result())
        except BrokenProcessPool:
            found.crashes += 1
            found.examples.append((start, f"the process died in the block {start} to {end - 1}"))
            pool = ProcessPoolExecutor(1, mp_context=context)
    pool.shutdown()
    return found


def mutate(rng: random.Random, data: bytes, words: tuple[bytes, ...] = ()) -> bytes:
    """Return `data` with 1 to 8 random changes: bits, bytes, runs moved or doubled, words put in, cuts."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 5, 8))):
        at = rng.randrange(len(changed) + 1)
        end = min(len(changed), at + rng.choice((1, 2, 4, 8, 32, 200)))
        kind = rng.randrange(9 if words else 7)
        if kind == 0 and at < len(changed):
            changed[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            changed[at:end] = rng.randbytes(end - at)
        elif kind == 2:
            changed[at:at] = rng.randbytes(rng.choice((1, 2, 4, 16)))
        elif kind == 3:
            del changed[at:end]
        elif kind == 4:
            changed[at:at] = changed[at:end] * rng.choice((1, 1, 2, 50))
        elif kind == 5 and changed:
            other = rng.randrange(len(changed))
            changed[other:other] = changed[at:end]
        elif kind == 6 and rng.random() < 0.2:
            del changed[at:]
        elif kind >= 7:
            word = rng.choice(words)
            changed[at : end if kind == 8 else at] = word
    return bytes(changed)


def main(formats: Mapping[str, tuple[Make, Read]]) -> None:
    """Run the formats that the command line asks for; print a table; exit with code 1 if one is not clean."""
    parser = argparse.ArgumentParser(description="Fuzz the readers.")
    parser.add_argument("--format", action="append", choices=list(formats), help="default: all")
    parser.add_argument("--count", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--json", action="store_true", help="print all that was found")
    given = parser.parse_args()
    found = []
    print(HEADING)
    for name in given.format or formats:
        found.append(run(name, *formats[name], given.count, given.seed, given.first))
        print(found[-1].line(), flush=True)
        if given.json or not found[-1].clean:
            print(json.dumps(vars(found[-1]), indent=1))
    raise SystemExit(not all(one.clean for one in found))


def _block(name: str, make: Make, read: Read, start: int, end: int, seed: int) -> Findings:
    found = Findings(name, end - start, seed)
    previous = signal.signal(signal.SIGALRM, _alarm)
    for number in range(start, end):
        data = make(random.Random(f"{name}/{seed}/{number}"))
        began = time.perf_counter()
        signal.setitimer(signal.ITIMER_REAL, HANG_S)
        try:
            read(data)
            found.accepted += 1
        except InputError as error:
            found.refused += 1
            if "\n" in str(error) or len(str(error)) > 2000:
                _note(found, number, f"InputError of {len(str(error))} characters or several lines", error)
        except Hang:
            pass  # counted by its time
        except BaseException as error:  # the very thing that is counted
            place = traceback.extract_tb(error.__traceback__)[-1]
            _note(found, number, f"{type(error).__name__} at {place.filename}:{place.lineno}", error)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        took = time.perf_counter() - began
        found.slowest_s = max(found.slowest_s, took)
        if took >= HANG_S:
            found.hangs += 1
            found.examples.append((number, f"took {took:.1f} s"))
    signal.signal(signal.SIGALRM, previous)
    found.peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # Linux: KB
    return found


def _note(found: Findings, number: int, what: str, error: BaseException) -> None:
    if what not in found.wrong:
        lines = traceback.format_exception(error)
        found.examples.append((number, "".join(lines)[-1500:]))
    found.wrong[what] += 1


def _alarm(number: int, frame: object) -> None:
    raise Hang
