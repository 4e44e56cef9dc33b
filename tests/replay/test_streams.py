"""Streams: shuffles are the same whatever part is asked for, and given orders are copied."""

import numpy as np
import pytest

import splitee
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
