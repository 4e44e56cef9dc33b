"""The orders in which the samples of a trace come, repeat by repeat: shuffles, or one's own."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property, lru_cache
from threading import Lock

import numpy as np
from numpy.typing import ArrayLike, NDArray

from splitee._internal.errors import InputError
from splitee._internal.jit import compiled
from splitee._internal.processor import EIGHT, LANES
from splitee.costs import Floats
from splitee.policies.base import Orders

LANE_ROUNDS = 2**24  # rounds, all lanes together, whose orders are held at a time: some 64 MB


class Given:
    """Orders of one's own: of each repeat checked and copied when it is first asked for, by whoever asks.

    Parameters
    ----------
    theirs : array of int, shape (repeats, m)
        Must not change before all have been asked for.
    samples : int
        n: they may name 0..n − 1.

    Raises
    ------
    InputError
        Where they are no such array; and, by `block`, where they name other samples.
    """

    def __init__(self, theirs: ArrayLike, samples: int) -> None:
        try:
            given = np.asarray(theirs)
        except ValueError as error:  # lists of different lengths, of which NumPy makes no array
            raise InputError(
                "orders are no table: give whole numbers, shape (repeats, m), as many rounds to each repeat"
            ) from error
        if given.ndim != 2 or given.dtype.kind not in "iu" or 0 in given.shape:
            raise InputError(
                f"orders has shape {given.shape} and type {given.dtype}: "
                "give whole numbers, shape (repeats, m)"
            )
        self.shape = given.shape
        self._samples = samples
        self._theirs: NDArray[np.integer] | None = given.astype(given.dtype.newbyteorder("="), copy=False)
        self._copied: Orders = np.empty(given.shape, dtype=np.int32)
        self._has = np.zeros(len(given), dtype=np.bool_)

    def block(self, first: int, end: int) -> Orders:
        """Return those of repeats first..end − 1 (from 0), shape (repeats, m)."""
        theirs = self._theirs  # where two threads copy one repeat, they write the same numbers
        if theirs is not None and not self._has[first:end].all():
            if _copy(theirs, self._has, self._samples, self._copied, first, end) >= 0:
                outside = _copy(theirs, self._has, self._samples, self._copied, 0, len(theirs))
                raise InputError(
                    f"orders name sample {theirs.flat[outside]}: "
                    f"the trace has samples 0 to {self._samples - 1}"
                )
            self._has[first:end] = True  # only now may others play them
            if self._has.all():
                self._theirs = None
        block = self._copied[first:end]
        block.flags.writeable = False
        return block


@dataclass(frozen=True, eq=False)
class Arrivals:
    """In which order samples come.

    Attributes
    ----------
    samples : int
        n, of the trace.
    repeats : int
    seed : int
        Of the shuffles, where there are no `given` orders.
    given : Given, or None
        Orders of one's own.
    """

    samples: int
    repeats: int
    seed: int
    given: Given | None = None

    @classmethod
    def of(cls, orders: ArrayLike, samples: int, seed: int) -> Arrivals:
        """Take orders of one's own, shape (repeats, m), of the samples 0..n − 1; see `Given`."""
        given = Given(orders, samples)
        return cls(samples, given.shape[0], seed, given)

    @property
    def rounds(self) -> int:
        """How many samples a repeat has, m."""
        return self.samples if self.given is None else self.given.shape[1]

    @cached_property
    def shuffles(self) -> NDArray[np.bool_]:
        """Whether each repeat shows every sample exactly once, shape (repeats,)."""
        if self.given is None:
            return np.ones(self.repeats, dtype=np.bool_)
        shuffles: NDArray[np.bool_] = _shuffled(self.block(0, self.repeats), self.samples)
        return shuffles

    @cached_property
    def all_shuffled(self) -> bool:
        """Whether every repeat does."""
        return bool(self.shuffles.all())

    @cached_property
    def shown(self) -> Floats:
        """How often each sample comes in all repeats, shape (n,)."""
        if self.given is None or self.all_shuffled:
            return np.full(self.samples, float(self.repeats))
        return np.bincount(self.block(0, self.repeats).ravel(), minlength=self.samples).astype(np.float64)

    def order(self, repeat: int) -> Orders:
        """Return the samples of one repeat, in order, shape (m,)."""
        order: Orders = self.block(repeat, repeat + 1)[0]
        return order

    def block(self, first: int, end: int) -> Orders:
        """Return the orders of repeats first..end - 1 (from 0), shape (repeats, m)."""
        if self.given is not None:
            return self.given.block(first, end)
        return _shuffles(self.samples, self.seed, first, end).made

    def blocks(self, shares: int = 1) -> list[range]:
        """Cut the repeats into blocks of like size, each to be played side by side.

        There are as few as there can be, and a multiple of `shares`; of one share, they fill whole vectors.
        """
        vectors = max(1, round(min(LANES, LANE_ROUNDS // self.rounds) / EIGHT))
        count = -(-self.repeats // (vectors * EIGHT * shares)) * shares
        return shared_out(range(self.repeats), count, EIGHT if shares == 1 else 1)

    @property
    def told(self) -> str:
        """What a manifest tells of them."""
        if self.given is None:
            return "permutations"
        every = self.block(0, self.repeats)
        return f"given, SHA-256 {hashlib.sha256(every.astype('<i8').tobytes()).hexdigest()}"


def shared_out(repeats: range, shares: int, whole: int = 1) -> list[range]:
    """Cut repeats into so many consecutive parts, of like size; all but the last are multiples of `whole`."""
    wholes = -(-len(repeats) // whole)
    return [repeats[wholes * k // shares * whole : wholes * (k + 1) // shares * whole] for k in range(shares)]


@lru_cache(maxsize=2)
def in_order(samples: int) -> Orders:
    """Return 0..n − 1, shape (n,): of what is the same in any order."""
    every = np.arange(samples, dtype=np.int32)
    every.flags.writeable = False
    return every


class _Shuffles:
    """Some repeats' shuffles, made once, by whichever thread first asks for them."""

    def __init__(self, samples: int, seed: int, first: int, end: int) -> None:
        self._given, self._lock = (samples, seed, first, end), Lock()
        self._made: Orders | None = None

    @property
    def made(self) -> Orders:
        """The orders, shape (repeats, n)."""
        with self._lock:
            if self._made is None:
                self._made = self._make()
            return self._made

    def _make(self) -> Orders:
        samples, seed, first, end = self._given
        orders: Orders = np.empty((end - first, samples), dtype=np.int32)
        for repeat, order in enumerate(orders, start=first):
            children = np.random.SeedSequence(seed, spawn_key=(0, repeat))
            order[:] = np.random.default_rng(children).permutation(samples)
        orders.flags.writeable = False
        return orders


# policies of a call, and prices of a trace, meet the same
_KEPT: dict[tuple[int, int, int, int], _Shuffles] = {}
_ASKING = Lock()


def _shuffles(samples: int, seed: int, first: int, end: int) -> _Shuffles:
    """Return some repeats' shuffles; those last asked for are kept, as many as two large blocks have."""
    key = samples, seed, first, end
    with _ASKING:
        _KEPT[key] = asked = _KEPT.pop(key, None) or _Shuffles(*key)
        while len(_KEPT) > 2 and sum(n * (b - a) for n, _, a, b in _KEPT) > 2 * LANE_ROUNDS:
            del _KEPT[next(iter(_KEPT))]
    return asked


@compiled
def _copy(given, has, samples, copied, first, end):  # type: ignore[no-untyped-def]
    """Copy those of some repeats that it `has` not; return the place of a sample there is not, or −1.

    Whatever `given` holds, and should it change meanwhile, what is copied are samples.
    """
    rounds = given.shape[1]
    for repeat in range(np.uintp(first), np.uintp(end)):  # unsigned, for speed
        if has[repeat]:
            continue
        outside = rounds
        for position in range(rounds):
            sample = given[repeat, position]
            inside = (sample >= 0) & (sample < samples)
            copied[repeat, position] = sample if inside else 0
            outside = min(outside, rounds if inside else position)
        if outside < rounds:
            return np.int64(repeat) * rounds + outside
    return -1


@compiled
def _shuffled(given, samples):  # type: ignore[no-untyped-def]
    """Return whether each repeat shows every sample exactly once."""
    repeats, rounds = given.shape
    shuffles = np.zeros(repeats, dtype=np.bool_)
    seen = np.empty(samples, dtype=np.uint8)
    for repeat in range(repeats if rounds == samples else 0):
        seen[:] = 0
        for position in range(rounds):
            seen[np.uintp(given[repeat, position])] = 1
        shuffles[repeat] = seen.min() == 1
    return shuffles
