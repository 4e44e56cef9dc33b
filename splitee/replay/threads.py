"""Threads that wait for work: to start and end one takes as long as to play ten thousand rounds."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import cache
from typing import Any, Generic, TypeVar

Told = TypeVar("Told")


@dataclass(frozen=True)
class Task(Generic[Told]):
    """Work that a thread may begin; whoever asks for its result does it, if none has.

    So nobody waits for what has not begun: works may have tasks of their own, and share threads with others'.
    """

    work: Callable[[], Told]
    taken: Future[Told] | None

    def result(self) -> Told:
        """Return what the work returns."""
        if self.taken is None or self.taken.cancel():
            return self.work()
        return self.taken.result()


def begin(threads: int, work: Callable[[], Told]) -> Task[Told]:
    """Let another of so many threads begin a work: of one thread, there is none."""
    return Task(work, _pool(threads - 1).submit(work) if threads > 1 else None)


def give_up(tasks: Iterable[Task[Any]]) -> None:
    """Have no task begin any more, and wait for those that have."""
    wait([task.taken for task in tasks if task.taken is not None and not task.taken.cancel()])


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, "splitee")  # which starts none before there is work


if hasattr(os, "register_at_fork"):  # a forked process has none of these threads
    os.register_at_fork(after_in_child=_pool.cache_clear)
