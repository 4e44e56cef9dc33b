"""Waiting requests are run together: while one batch runs, the next one gathers.

There is one thread that computes. A batch takes requests in the order in which they came, whatever their
layer, up to a number of samples and of tokens, padding included. The queue is bounded as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from splitee.runtime.interface import Work
from splitee.runtime.protocol import ProtocolError

_log = logging.getLogger("splitee.serve")
_BUSY, _BROKEN = 503, 500


@dataclass(frozen=True)
class Done:
    """The answer to a request, ms that it waited and was computed, and samples of its batch."""

    answer: Any
    waited_ms: float
    computed_ms: float
    batch: int


@dataclass
class _Waiting:
    work: Work
    future: asyncio.Future[Done]
    since: float = field(default_factory=perf_counter)

    @property
    def rows(self) -> int:
        return self.work.rows


class Batcher:
    """Gathers requests into batches.

    Parameters
    ----------
    run : callable
        Computes the answers to a list of `Work`, in its order; an exception is the answer to what it refuses.
        It is called in one thread.
    most_rows : int
        Samples of a batch.
    most_tokens : int
        Tokens of a batch, padding included: samples times the longest. A request alone may have more.
    most_waiting : int
        Samples that may wait.
    linger : float
        Seconds that a batch waits, at most, for as many requests as were open when the last batch ended. A
        client that waits for each answer is then in every batch, and a client alone never waits.
    """

    def __init__(
        self,
        run: Callable[[list[Work]], Sequence[Any]],
        *,
        most_rows: int = 32,
        most_tokens: int = 4096,
        most_waiting: int = 512,
        linger: float = 0.002,
    ) -> None:
        self._run, self._linger = run, linger
        self.most_rows, self.most_tokens, self.most_waiting = most_rows, most_tokens, most_waiting
        self._queue: deque[_Waiting] = deque()
        self._more = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, "splitee-model")
        self._task: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """Number of samples that wait."""
        return sum(one.rows for one in self._queue)

    async def submit(self, work: Work) -> Done:
        """Return the answer to a request, once its batch has run.

        Raises
        ------
        ProtocolError
            If too many samples wait (503), or the model fails on this request (500).
        """
        if self._queue and self.waiting + work.rows > self.most_waiting:
            raise ProtocolError(f"{self.waiting} samples wait already: try again later", _BUSY)
        if self._task is None:
            self._task = asyncio.create_task(self._work())
        one = _Waiting(work, asyncio.get_running_loop().create_future())
        self._queue.append(one)
        self._more.set()
        return await one.future

    async def close(self) -> None:
        """Stop; requests that wait are refused."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        for one in self._queue:
            if not one.future.done():
                one.future.set_exception(ProtocolError("the server stops", _BUSY))
        self._queue.clear()
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        expected = 1
        while True:
            await self._gather(1)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._linger):
                    await self._gather(expected)
            batch = self._take()
            if not batch:  # their clients have gone
                continue
            began = perf_counter()
            answers = await loop.run_in_executor(self._thread, self._answers, [one.work for one in batch])
            computed = 1000 * (perf_counter() - began)
            expected = len(batch) + len(self._queue)
            rows = sum(one.rows for one in batch)
            for one, answer in zip(batch, answers, strict=True):
                if one.future.done():  # the client has gone
                    continue
                if isinstance(answer, Exception):
                    one.future.set_exception(answer)
                else:
                    one.future.set_result(Done(answer, 1000 * (began - one.since), computed, rows))

    async def _gather(self, count: int) -> None:
        """Return when this many requests wait."""
        while len(self._queue) < count:
            self._more.clear()
            await self._more.wait()

    def _take(self) -> list[_Waiting]:
        """Remove and return the next batch, without requests whose clients have gone."""
        batch: list[_Waiting] = []
        rows = longest = 0
        while self._queue:
            one = self._queue[0]
            if not one.future.done():
                most = max(longest, one.work.tokens)
                many = rows + one.rows
                if batch and (many > self.most_rows or many * most > self.most_tokens):
                    break
                batch.append(one)
                rows, longest = many, most
            self._queue.popleft()
        return batch

    def _answers(self, works: list[Work]) -> Sequence[Any]:
        """Run a batch; if it fails, run each request alone, so that one does not spoil the others."""
        try:
            return self._run(works)
        except Exception as error:  # the server goes on whatever the model does
            if len(works) > 1:
                return [answer for work in works for answer in self._answers([work])]
            _log.error("the model fails on a request", exc_info=error)
            return [ProtocolError(f"the model fails on this request: {error}", _BROKEN)]
