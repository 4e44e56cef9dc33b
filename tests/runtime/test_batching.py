"""Batches: requests keep their order and get their own answers; every bound holds."""

import asyncio
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitee.runtime.batching import Batcher
from splitee.runtime.interface import Work
from splitee.runtime.protocol import ProtocolError


def work(rows: int, tokens: int, mark: int = 0) -> Work:
    return Work(mark, np.ones((rows, tokens), np.int64))


SIZES = st.lists(st.tuples(st.integers(1, 5), st.integers(1, 9)), min_size=1, max_size=20)


@given(SIZES, st.integers(1, 8), st.integers(1, 40))
def test_every_request_is_run_once_in_order_within_the_bounds(
    sizes: list, most_rows: int, most_tokens: int
) -> None:
    batches: list[list[Work]] = []

    def run(works: list[Work]) -> list[int]:
        batches.append(works)
        return [one.layer for one in works]

    async def main() -> list[int]:
        batcher = Batcher(run, most_rows=most_rows, most_tokens=most_tokens, most_waiting=10**6)
        works = [work(*size, mark) for mark, size in enumerate(sizes)]
        done = await asyncio.gather(*map(batcher.submit, works))
        assert batcher.waiting == 0
        await batcher.close()
        return [one.answer for one in done]

    assert asyncio.run(main()) == list(range(len(sizes)))
    assert [one.layer for batch in batches for one in batch] == list(range(len(sizes)))
    for batch in batches:
        rows, longest = sum(len(one.mask) for one in batch), max(one.mask.shape[1] for one in batch)
        assert len(batch) == 1 or (rows <= most_rows and rows * longest <= most_tokens)


def test_what_comes_while_a_batch_runs_is_the_next_batch() -> None:
    begun, go, sizes = threading.Event(), threading.Event(), []

    def run(works: list[Work]) -> list[None]:
        sizes.append(len(works))
        begun.set()
        go.wait(60)
        return [None] * len(works)

    async def main() -> list:
        batcher = Batcher(run)
        first = asyncio.create_task(batcher.submit(work(1, 1)))
        while not begun.is_set():
            await asyncio.sleep(0.001)
        rest = [asyncio.create_task(batcher.submit(work(1, 1))) for _ in range(5)]
        gone = asyncio.create_task(batcher.submit(work(1, 1)))
        await asyncio.sleep(0)
        gone.cancel()  # its client has gone: it is not run
        await asyncio.sleep(0)
        go.set()
        done = await asyncio.gather(first, *rest)
        await batcher.close()
        return done

    done = asyncio.run(main())
    assert sizes == [1, 5]
    assert [one.batch for one in done] == [1, 5, 5, 5, 5, 5]
    assert all(one.waited_ms >= 0 and one.computed_ms > 0 for one in done)


def test_a_batch_waits_for_the_clients_of_the_last_one_and_a_client_alone_never_waits() -> None:
    sizes = []

    async def main() -> None:
        batcher = Batcher(lambda works: sizes.append(len(works)) or [None] * len(works), linger=60.0)
        await batcher.submit(work(1, 1))  # alone: it would take a minute
        await asyncio.gather(*(batcher.submit(work(1, 1)) for _ in range(3)))
        first = asyncio.create_task(batcher.submit(work(1, 1)))
        await asyncio.sleep(0.01)
        await asyncio.gather(first, batcher.submit(work(1, 1)), batcher.submit(work(1, 1)))
        await batcher.close()

    asyncio.run(main())
    assert sizes == [1, 3, 3]


def test_a_client_that_does_not_come_back_is_not_waited_for_forever() -> None:
    async def main() -> list[int]:
        batcher = Batcher(lambda works: [None] * len(works), linger=0.05)
        await asyncio.gather(*(batcher.submit(work(1, 1)) for _ in range(2)))
        done = [await batcher.submit(work(1, 1)) for _ in range(2)]
        await batcher.close()
        return [one.batch for one in done]

    assert asyncio.run(main()) == [1, 1]


def test_a_failing_request_fails_alone_and_the_next_ones_run() -> None:
    def run(works: list[Work]) -> list[int]:
        if any(one.layer == 3 for one in works):
            raise ValueError("no")
        return [one.layer for one in works]

    async def main() -> list:
        batcher = Batcher(run)
        found = await asyncio.gather(
            *(batcher.submit(work(1, 1, i)) for i in range(6)), return_exceptions=True
        )
        found.append(await batcher.submit(work(1, 1, 9)))
        await batcher.close()
        return found

    found = asyncio.run(main())
    assert isinstance(found[3], ProtocolError)
    assert (found[3].status, str(found[3])) == (500, "the model fails on this request: no")
    assert [one.answer for i, one in enumerate(found) if i != 3] == [0, 1, 2, 4, 5, 9]


def test_what_waits_at_the_end_is_refused() -> None:
    go = threading.Event()

    async def main() -> list:
        batcher = Batcher(lambda works: go.wait(60) and [None] * len(works), most_rows=1)
        tasks = [asyncio.create_task(batcher.submit(work(1, 1))) for _ in range(3)]
        await asyncio.sleep(0.02)
        closing = asyncio.create_task(batcher.close())
        await asyncio.sleep(0)
        go.set()
        await closing
        return await asyncio.gather(*tasks[1:], return_exceptions=True)

    found = asyncio.run(main())
    assert {getattr(one, "status", None) for one in found} == {503}
    with pytest.raises(ProtocolError, match="the server stops"):
        raise found[-1]
