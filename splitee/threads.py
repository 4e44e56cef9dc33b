"""Threads that wait for work: to start and end one takes as long as to play ten thousand rounds."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cache

from numba import config

_HERE = threading.local()


def available() -> int:
    """Return how many threads share work: one within such a thread, which must not wait for the others."""
    return 1 if getattr(_HERE, "works", False) else int(config.NUMBA_NUM_THREADS)


@cache
def pool(threads: int) -> ThreadPoolExecutor:
    """Return so many threads, kept from call to call; it starts none before it is given work."""
    return ThreadPoolExecutor(threads, "splitee", initializer=_begin)


def _begin() -> None:
    _HERE.works = True


if hasattr(os, "register_at_fork"):  # a forked process has none of these threads
    os.register_at_fork(after_in_child=pool.cache_clear)
