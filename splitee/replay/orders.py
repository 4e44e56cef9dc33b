"""Orders in which samples come, for `splitee.replay(..., orders=)`; without any it shuffles.

A shuffled stream has no memory: what a learner meets first is like what it meets last. As it is, resampled,
or with changes, a stream shows more of a learner. `splitee.streams` is this module.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from splitee._internal.errors import InputError
from splitee._internal.numbers import check_whole
from splitee.trace import Trace

Orders = NDArray[np.int64]  # (repeats, m): 0-based sample indices


def as_is(samples: int) -> Orders:
    """Return the order of the trace itself, shape (1, samples).

    Examples
    --------
    >>> as_is(3).tolist()
    [[0, 1, 2]]
    """
    check_whole("samples", samples)
    return np.arange(samples, dtype=np.int64)[None]


def bootstrap(samples: int, repeats: int = 20, seed: int = 0) -> Orders:
    """Return streams that draw each sample anew, with replacement, shape (repeats, samples).

    Examples
    --------
    >>> bootstrap(4, repeats=2).shape
    (2, 4)
    """
    check_whole("samples", samples)
    check_whole("repeats", repeats)
    draws = [_generator(seed, 3, r).integers(samples, size=samples) for r in range(repeats)]
    return np.array(draws, dtype=np.int64)


def in_sequence(segments: Sequence[ArrayLike], repeats: int = 20, seed: int = 0) -> Orders:
    """Return streams of segments one after the other, each shuffled within itself.

    Parameters
    ----------
    segments : sequence of array_like of int
        The samples of each segment, such as those of a domain.
    repeats, seed : int
        How many streams, and the seed of the shuffles.

    Returns
    -------
    ndarray of int64, shape (repeats, sum of lengths)

    Examples
    --------
    >>> order = in_sequence([[0, 1], [2, 3, 4]], repeats=1)[0]
    >>> sorted(order[:2].tolist()), sorted(order[2:].tolist())
    ([0, 1], [2, 3, 4])
    """
    parts = _parts("in_sequence", segments, repeats)
    rows = []
    for repeat in range(repeats):
        rng = _generator(seed, 4, repeat)
        rows.append(np.concatenate([rng.permutation(part) for part in parts]))
    return np.array(rows, dtype=np.int64)


def sudden(parts: Sequence[ArrayLike], repeats: int = 20, seed: int = 0) -> Orders:
    """Return streams that change at once from each part to the next; the same as `in_sequence`.

    Examples
    --------
    >>> sudden([[0, 1], [2]], repeats=3).shape
    (3, 3)
    """
    return in_sequence(parts, repeats, seed)


def gradual(parts: Sequence[ArrayLike], repeats: int = 20, seed: int = 0) -> Orders:
    """Return streams that change slowly from each part to the next; every sample comes once.

    The samples of part k of p are spread over the stream with the density of Beta(k + 1, p − k), k from 0: of
    two parts, the share of the second rises linearly from 0 to 1.

    Parameters
    ----------
    parts : sequence of array_like of int
        The samples of each part.
    repeats, seed : int

    Examples
    --------
    >>> order = gradual([range(500), range(500, 1000)], repeats=1)[0]
    >>> bool((order[:300] < 500).mean() > 0.7), bool((order[-300:] < 500).mean() < 0.3)
    (True, True)
    """
    segments = _parts("gradual", parts, repeats)
    samples, rows = np.concatenate(segments), []
    for repeat in range(repeats):
        rng = _generator(seed, 5, repeat)
        when = [rng.beta(k + 1, len(segments) - k, len(part)) for k, part in enumerate(segments)]
        rows.append(samples[np.argsort(np.concatenate(when), kind="stable")])
    return np.array(rows, dtype=np.int64)


def recurring(parts: Sequence[ArrayLike], times: int = 3, repeats: int = 20, seed: int = 0) -> Orders:
    """Return streams in which the parts come in turn, each `times` times; every sample comes once.

    Parameters
    ----------
    parts : sequence of array_like of int
        The samples of each part.
    times : int
        How often each part comes, at most as often as it has samples.
    repeats, seed : int

    Examples
    --------
    >>> order = recurring([[0, 1, 2, 3], [4, 5]], times=2, repeats=1)[0]
    >>> [sample < 4 for sample in order.tolist()]
    [True, True, False, True, True, False]
    """
    segments = _parts("recurring", parts, repeats)
    check_whole("times", times)
    if times > min(len(part) for part in segments):
        raise InputError(f"recurring: times is {times}, and a part has fewer samples")
    rows = []
    for repeat in range(repeats):
        rng = _generator(seed, 6, repeat)
        pieces = [np.array_split(rng.permutation(part), times) for part in segments]
        rows.append(np.concatenate([piece[k] for k in range(times) for piece in pieces]))
    return np.array(rows, dtype=np.int64)


def label_shift(label: ArrayLike, repeats: int = 20, seed: int = 0) -> Orders:
    """Return streams in which the shares of the classes change linearly, the samples of a class do not.

    Parameters
    ----------
    label : array_like of int, shape (n,)
        The class of each sample. Of two classes, the first is all that comes in the beginning, the second all
        that comes in the end; see `gradual`.
    repeats, seed : int

    Examples
    --------
    >>> sorted(label_shift([0, 1, 1, 0], repeats=1)[0].tolist())
    [0, 1, 2, 3]
    """
    return gradual(_classes("label_shift", label), repeats, seed)


def bursts(label: ArrayLike, length: int = 50, repeats: int = 20, seed: int = 0) -> Orders:
    """Return streams in which samples of a kind come in bursts; every sample comes once.

    Parameters
    ----------
    label : array_like, shape (n,)
        The kind of each sample, such as its class or group.
    length : int
        Samples of a burst; the last one of a kind may be shorter.
    repeats, seed : int

    Examples
    --------
    >>> order = bursts(["a", "b"] * 4, length=4, repeats=1)[0]
    >>> {sample % 2 for sample in order[:4].tolist()} in ({0}, {1})
    True
    """
    kinds = _classes("bursts", label)
    check_whole("length", length)
    check_whole("repeats", repeats)
    rows = []
    for repeat in range(repeats):
        rng, pieces = _generator(seed, 7, repeat), []
        for samples in kinds:
            mixed = rng.permutation(samples)
            pieces += [mixed[at : at + length] for at in range(0, len(mixed), length)]
        rows.append(np.concatenate([pieces[k] for k in rng.permutation(len(pieces))]))
    return np.array(rows, dtype=np.int64)


def parts_of(trace: Trace) -> list[NDArray[np.int64]]:
    """Return the parts of a trace between which a stream may change: its groups, as they first occur.

    A trace of fewer than two groups is divided in two halves, of the samples of which its exits are more
    confident on average, and of the others.

    Examples
    --------
    >>> [part.tolist() for part in parts_of(Trace([[0.6, 0.7], [0.9, 0.9]], [[0, 0], [1, 1]]))]
    [[1], [0]]
    """
    if trace.group is not None and len(kinds := _classes("parts_of", trace.group)) > 1:
        return sorted(kinds, key=lambda samples: int(samples[0]))
    if trace.samples < 2:
        raise InputError(f"trace {trace.name} has one sample: a stream that changes needs two")
    easy = np.argsort(-trace.confidence.mean(axis=1, dtype=np.float64), kind="stable")
    return [np.sort(easy[: (trace.samples + 1) // 2]), np.sort(easy[(trace.samples + 1) // 2 :])]


STREAMS = ("shuffled", "own", "bootstrap", "sudden", "gradual", "recurring", "label-shift", "bursts")


def stream_of(name: str, trace: Trace, repeats: int = 20, seed: int = 0) -> Orders | None:
    """Return the streams of a name, as the command line's --stream has it, for `splitee.replay(orders=)`.

    Parameters
    ----------
    name : str
        One of `STREAMS`. "shuffled" is what `replay` makes itself: None. "own" is the trace's order, once.
        "sudden", "gradual" and "recurring" (3 times) change between the trace's parts, see `parts_of`.
        "label-shift" and "bursts" (of 50) need labels; without, they go by the class that exit L predicts.
    trace : Trace
    repeats, seed : int

    Examples
    --------
    >>> stream_of("own", Trace([[0.6, 0.7], [0.9, 0.9]], [[0, 0], [1, 1]]))
    array([[0, 1]])
    """
    if name not in STREAMS:
        raise InputError(f"stream is {name!r}: choose one of {', '.join(STREAMS)}")
    if name == "shuffled":
        return None
    if name == "own":
        return as_is(trace.samples)
    if name == "bootstrap":
        return bootstrap(trace.samples, repeats, seed)
    if name in ("label-shift", "bursts"):
        label = trace.prediction[:, -1] if trace.label is None else trace.label
        make = label_shift if name == "label-shift" else bursts
        return make(label, repeats=repeats, seed=seed)
    if name == "recurring":
        return recurring(parts_of(trace), repeats=repeats, seed=seed)
    return (sudden if name == "sudden" else gradual)(parts_of(trace), repeats, seed)


def _classes(name: str, label: ArrayLike) -> list[NDArray[np.int64]]:
    """Return the samples of each kind, by kind."""
    kinds = np.asarray(label)
    if kinds.ndim != 1 or not kinds.size:
        raise InputError(f"{name}: give one label per sample, not an array of shape {kinds.shape}")
    _, kind = np.unique(kinds, return_inverse=True)
    return [np.flatnonzero(kind == k) for k in range(kind.max() + 1)]


def _parts(name: str, parts: Sequence[ArrayLike], repeats: int) -> list[NDArray[np.integer]]:
    """Return the parts as arrays; InputError unless each is a list of samples."""
    check_whole("repeats", repeats)
    try:
        made = [np.asarray(part) for part in parts]
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: give parts, each a list of sample indices") from error
    if not made or any(part.ndim != 1 or part.dtype.kind not in "iu" or not part.size for part in made):
        raise InputError(f"{name}: give parts, each a list of sample indices, none empty")
    return made


def _generator(seed: int, kind: int, repeat: int) -> np.random.Generator:
    check_whole("seed", seed, least=0)
    # 0 to 2 are the shuffles, the policies' own and the bootstrap of the data intervals
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(kind, repeat)))
