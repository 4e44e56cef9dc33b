"""The streams of a replay: shuffles of all samples, or orders that the caller gives."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from threading import Lock

import numpy as np
from numpy.typing import ArrayLike

from splitee._internal.errors import InputError
from splitee.policies.problem import Orders, frozen


@dataclass(frozen=True)
class Shuffles:
    """Every repeat shows every sample once, in a random order of its own.

    Attributes
    ----------
    samples, repeats, seed : int
    """

    samples: int
    repeats: int
    seed: int
    shuffled = True
    description = "permutations"

    @property
    def rounds(self) -> int:
        """The length of a stream."""
        return self.samples

    def block(self, first: int, end: int) -> Orders:
        """Return the samples of repeats first..end − 1, shape (m, end − first)."""
        stream = self.samples, self.seed
        with _LOCK:  # threads that ask for the same block make it once
            for (*whose, a, b), orders in _KEPT.items():
                if whose == [*stream] and a <= first and end <= b:
                    return frozen(orders[:, first - a : end - a])
            _KEPT[*stream, first, end] = orders = _shuffles(*stream, first, end)
            while len(_KEPT) > 16 or (len(_KEPT) > 1 and sum(map(np.size, _KEPT.values())) > KEPT_ROUNDS):
                del _KEPT[next(iter(_KEPT))]
        return frozen(orders)


# the policies of a call, and the costs of a study, play the same orders
KEPT_ROUNDS = 2**25  # rounds of all blocks that are kept, the last ones made: 128 MB
_KEPT: dict[tuple[int, int, int, int], Orders] = {}  # by samples, seed, first and end
_LOCK = Lock()


def _shuffles(samples: int, seed: int, first: int, end: int) -> Orders:
    orders = np.empty((samples, end - first), dtype=np.int32)
    for column, repeat in enumerate(range(first, end)):
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0, repeat)))
        orders[:, column] = rng.permutation(samples)
    return orders


class Given:
    """Orders that the caller gives; copied, so that later changes do not matter.

    Parameters
    ----------
    orders : array_like of int, shape (repeats, m)
        Samples from 0.
    samples : int
        n.
    seed : int
        Of random policies.

    Raises
    ------
    InputError
        If they are not such an array, or name samples that the trace does not have.
    """

    def __init__(self, orders: ArrayLike, samples: int, seed: int) -> None:
        try:
            given = np.asarray(orders)
        except ValueError as error:  # lists of different lengths
            raise InputError(
                "orders is not a table: give whole numbers, shape (repeats, m), the same m for each repeat"
            ) from error
        if given.ndim != 2 or given.dtype.kind not in "iu" or 0 in given.shape:
            raise InputError(
                f"orders has shape {given.shape} and type {given.dtype}: "
                "give whole numbers, shape (repeats, m)"
            )
        outside = (given < 0) | (given >= samples)
        if outside.any():
            raise InputError(
                f"orders name sample {given[outside][0]}: the trace has samples 0 to {samples - 1}"
            )
        self.samples, self.seed = samples, seed
        self.repeats, self.rounds = given.shape
        self._orders = np.array(given.T, dtype=np.int32, order="C", copy=True)
        self._orders.flags.writeable = False

    def block(self, first: int, end: int) -> Orders:
        """Return the samples of repeats first..end − 1, shape (m, end − first)."""
        return frozen(self._orders[:, first:end])

    @cached_property
    def shuffled(self) -> bool:
        """Whether every repeat shows every sample exactly once."""
        if self.rounds != self.samples:
            return False
        every = np.arange(self.samples)
        return all((np.sort(repeat) == every).all() for repeat in self._orders.T)

    @property
    def description(self) -> str:
        """What a manifest says of them."""
        orders = np.ascontiguousarray(self._orders.T, dtype="<i8")
        return f"given, SHA-256 {hashlib.sha256(orders.tobytes()).hexdigest()}"
