"""Progress of a long command on standard error: a bar on a terminal, else a line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.progress import Progress


def say(line: str) -> None:
    """Print a line on standard error."""
    click.echo(line, err=True)


def announce_compiling(say: Callable[[str], None] = say) -> None:
    """On a terminal, print a line when code is compiled, which takes a while."""
    from splitee._internal.jit import when_compiling

    if sys.stderr.isatty():
        when_compiling(lambda: say("compiling, once on this machine: this takes up to half a minute"))


@contextmanager
def working(what: str) -> Iterator[None]:
    """Show on a terminal what is being done, and for how long it has been; nothing elsewhere."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        progress.add_task(what, total=None)
        yield


class Meter:
    """Shows how much of the work is done. Rate and time left count the work of this process only.

    Parameters
    ----------
    title : str
        Name of the result.
    rate : str
        Format of things per second, such as "{:.1f} texts/s".
    every : float
        Seconds between lines if there is no terminal.
    """

    def __init__(self, title: str, rate: str, every: float = 30.0) -> None:
        self.title, self.rate, self.every = title, rate, every
        self.total = self.done = self.computed = self.things = 0
        self.began = self.shown = 0.0
        self.bar: Progress | None = None

    def __enter__(self) -> Meter:
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.stop()

    def begin(self, work: int) -> None:
        """Set the total amount of work."""
        self.total = work
        self.began = self.shown = time.monotonic()
        if not sys.stderr.isatty():
            return
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[state]}")
        self.bar = Progress(*columns, console=Console(stderr=True))
        self.bar.add_task(self.title, total=work, state="")
        self.bar.start()

    def say(self, line: str) -> None:
        """Print a line, above the bar if there is one."""
        if self.bar is None:
            say(line)
        else:
            self.bar.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def advance(self, work: int, things: int) -> None:
        """Count finished work and the things just made; 0 things: the work was finished earlier."""
        self.done += work
        self.things += things
        self.computed += work if things else 0
        now = time.monotonic()
        if self.bar is not None:
            self.bar.update(self.bar.task_ids[0], completed=self.done, state=self._state(now))
        elif now >= self.shown + self.every:
            self.shown = now
            click.echo(f"{self.title}: {self._state(now)}", err=True)

    def _state(self, now: float) -> str:
        percent = f"{100 * self.done / self.total:.0f} %"
        if not self.computed or now <= self.began:
            return percent
        seconds = (now - self.began) / self.computed * (self.total - self.done)
        left = f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
        return f"{percent}, {self.rate.format(self.things / (now - self.began))}, {left} left"
