"""What comes of each sample at each layer, and in how many rounds it came: one table, met at random.

Where a sample stopped says, with its exits' confidences, whether it was sent, what was answered and what that
cost. So a round is one count, and counts can be added up in any order, by any number of threads.
"""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from splitee._internal.jit import compiled, inlined
from splitee.costs import Floats
from splitee.policies.base import Layers
from splitee.policies.rewards import by_exit, exit_of
from splitee.policies.table import HALF, SENT
from splitee.trace import Trace

RIGHT, AGREES = np.uint64(2), np.uint64(4)  # what, beside SENT, can be said of an answer
ROUND = np.uint64(8)
_COUNT = np.uint64((1 << 32) - 8)  # the bits of a word that count
MOST = 2**29 - 1  # rounds that can be counted


@dataclass(frozen=True, eq=False)
class Answers:
    """What each exit, and whoever answers offloaded samples, says of the samples of a trace.

    Attributes
    ----------
    confidence : ndarray of float32, shape (L, n)
    far : ndarray of float32, shape (n,)
        Confidence of whoever answers offloaded samples.
    marks : ndarray of uint8, shape (L + 1, n)
        Whether exit i's answer is RIGHT and AGREES with the last exit's, as bits; row 0: the far answer's.
    labelled : bool
        Without labels nothing is marked as right.
    """

    confidence: NDArray[np.float32]
    far: NDArray[np.float32]
    marks: NDArray[np.uint8]
    labelled: bool


_KNOWN: WeakKeyDictionary[Trace, Answers] = WeakKeyDictionary()  # replays of a trace share them


def answers_of(trace: Trace) -> Answers:
    """Return what a trace says, ready to be counted."""
    if trace not in _KNOWN:
        last = trace.prediction[:, -1]
        far_answer = last if trace.cloud_prediction is None else trace.cloud_prediction
        far = trace.confidence[:, -1] if trace.cloud_confidence is None else trace.cloud_confidence
        marks = np.zeros((trace.layers + 1, trace.samples), dtype=np.uint8)
        for row, answer in zip(marks, [far_answer, *by_exit(trace.prediction)], strict=True):
            row[answer == last] = AGREES
            if trace.label is not None:
                row[answer == trace.label] |= np.uint8(RIGHT)
        confidence = by_exit(trace.confidence)
        _KNOWN[trace] = Answers(confidence, np.ascontiguousarray(far), marks, trace.has_labels)
    return _KNOWN[trace]


@dataclass(frozen=True, eq=False)
class Outcomes:
    """What comes of each sample at each layer, and in how many rounds it came.

    Attributes
    ----------
    table : ndarray of uint64, shape (kinds, rows, n)
        By kind of round and layer, 0 (the input is sent) to L; or one row, of what comes at the layer where
        each sample always stops. Words are those of `splitee.policies.table`; two more bits say whether the
        answer is right and agrees with the last exit's, and 29 are the rounds: one read of memory tells all,
        and one write counts.
    stops : ndarray of int, shape (n,), or None
        The layer where each sample always stops.
    """

    table: NDArray[np.uint64]
    stops: Layers | None = None

    @classmethod
    def of(cls, answers: Answers, below: Floats, kinds: int, stops: Layers | None = None) -> Outcomes:
        """Work out what comes of samples; layer i sends those of a confidence under ``below[i]``."""
        layers, samples = answers.marks.shape
        table = np.empty((kinds, layers if stops is None else 1, samples), dtype=np.uint64)
        bits = [array.view(np.uint32) for array in (answers.confidence, answers.far)]
        if stops is None:
            _at_all(answers.confidence, *bits, answers.marks, below, table[0])
        else:
            _at_one(answers.confidence, *bits, answers.marks, below, stops, table[0, 0])
        table[1:] = table[0]
        return cls(table, stops)

    @property
    def rounds(self) -> NDArray[np.int64]:
        """Rounds counted, shape (kinds, rows, n)."""
        return ((self.table & _COUNT) // ROUND).astype(np.int64)

    def add(self, other: Outcomes) -> None:
        """Count what another one of the same samples counted, too."""
        _add(self.table.ravel(), other.table.ravel())


@inlined
def counted(word):  # type: ignore[no-untyped-def]
    """Return the rounds that a word has counted."""
    return (word & _COUNT) // ROUND


@inlined
def _word(own, own_bits, far_bits, marks, far_marks, below):  # type: ignore[no-untyped-def]
    sent = np.float64(own) < below
    stayed = np.uint64(own_bits) << HALF | np.uint64(marks)
    gone = np.uint64(far_bits) << HALF | np.uint64(far_marks) | SENT
    return gone if sent else stayed


@compiled
def _at_all(confidence, bits, far, marks, below, table):  # type: ignore[no-untyped-def]
    for layer in range(table.shape[0]):
        row, least, theirs, gone = exit_of(layer), below[layer], marks[layer], marks[0]
        here, said, words = confidence[row], bits[row], table[layer]
        for sample in range(table.shape[1]):  # whole vectors of samples: nothing here is met at random
            words[sample] = _word(
                here[sample], said[sample], far[sample], theirs[sample], gone[sample], least
            )


@compiled
def _at_one(confidence, bits, far, marks, below, stops, words):  # type: ignore[no-untyped-def]
    for sample in range(words.shape[0]):
        layer = np.uintp(stops[sample])
        own, said = confidence[exit_of(layer), sample], bits[exit_of(layer), sample]
        words[sample] = _word(own, said, far[sample], marks[layer, sample], marks[0, sample], below[layer])


@compiled
def _add(table, other):  # type: ignore[no-untyped-def]
    for at in range(table.shape[0]):
        table[at] += other[at] & _COUNT
