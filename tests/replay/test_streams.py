"""Streams: shuffles are the same whatever part is asked for, and given orders are copied."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import splitee
from splitee.replay import streams as module
from splitee.replay.streams import Given, Shuffles


def test_any_part_of_the_shuffles_is_the_same() -> None:
    whole = Shuffles(30, 9, 5).block(0, 9).copy()
    assert all(sorted(order) == list(range(30)) for order in whole.T)
    for first, end in [(2, 5), (0, 9), (8, 9), (0, 1)]:
        for other in (Shuffles(31, 9, 5), Shuffles(30, 9, 6), Shuffles(30, 9, 5)):
            part = other.block(first, end)
            assert (part.shape, part.dtype, part.flags.writeable) == (
                (other.samples, end - first),
                np.int32,
                False,
            )
        assert part.tolist() == whole[:, first:end].tolist()


def test_given_orders() -> None:
    orders = np.array([[0, 1, 2], [2, 1, 0]])
    streams = Given(orders, 3, 0)
    assert streams.shuffled
    assert streams.block(1, 2).T.tolist() == [[2, 1, 0]]
    orders[:] = 0
    assert streams.block(0, 1).T.tolist() == [[0, 1, 2]]
    assert not Given([[0, 0, 1]], 3, 0).shuffled
    assert not Given([[0, 1]], 3, 0).shuffled
    assert streams.description.startswith("given, SHA-256 ")
    with pytest.raises(splitee.InputError, match="orders name sample 3"):
        Given([[3]], 3, 0)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The blocks of repeats whose shuffles are made from now on."""
    blocks: list[tuple[int, int]] = []
    make = module._shuffles

    def noted(samples: int, seed: int, first: int, end: int) -> object:
        blocks.append((first, end))
        return make(samples, seed, first, end)

    monkeypatch.setattr(module, "_shuffles", noted)
    monkeypatch.setattr(module, "_KEPT", {})
    return blocks


def test_all_policies_and_measures_meet_shuffles_that_were_made_once(made: list[tuple[int, int]]) -> None:
    trace = splitee.Trace([[0.6, 0.9], [0.8, 0.7]], [[0, 1], [1, 1]], [0, 1])
    policies = [splitee.SplitEE(alpha) for alpha in (0.6, 0.7, 0.8)]
    results = splitee.replay(trace, policies, repeats=200, seed=3)
    results.summary()
    assert made == [(0, 50), (50, 100), (100, 150), (150, 200)]


def test_threads_that_ask_for_one_block_make_it_once(made: list[tuple[int, int]]) -> None:
    with ThreadPoolExecutor(4) as pool:
        blocks = list(pool.map(lambda _: Shuffles(100_000, 4, 11).block(0, 4), range(4)))
    assert made == [(0, 4)]
    assert all((block == blocks[0]).all() for block in blocks)


def test_what_is_kept_is_bounded(made: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT_ROUNDS", 100)
    for seed in range(5):
        Shuffles(30, 9, seed).block(0, 2)
    assert sum(orders.size for orders in module._KEPT.values()) <= 100
    monkeypatch.setattr(module, "KEPT_ROUNDS", 10**9)
    for seed in range(50):
        Shuffles(3, 9, seed).block(0, 2)
    assert len(module._KEPT) == 16
