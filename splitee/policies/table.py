"""What a learner may read of a round: the confidence of whoever answered, and whether the sample was sent.

Both are known of every sample at every layer before a replay begins. They lie in a table of shape (layers,
samples), side by side in words of 64 bits, so that one read of memory tells them: the confidence, a float32,
is the upper half, and SENT the lowest bit. The other bits, whether the answer is right among them, are for
whoever counts rounds (`splitee.results.outcomes`): a learner reads by `says` and `sends` alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from splitee._internal.jit import inlined
from splitee._internal.processor import float_of
from splitee.costs import Floats

Table = NDArray[np.uint64]
SENT = np.uint64(1)
HALF = np.uint64(32)  # the bits below the confidence


def table_of(said: Floats, sent: NDArray[np.bool_]) -> Table:
    """Return the table of one sample, from what comes of it at each layer; confidences become float32."""
    words = said.astype(np.float32).view(np.uint32).astype(np.uint64) << HALF
    words[sent] |= SENT
    return words[:, None]


@inlined
def says(word):  # type: ignore[no-untyped-def]
    """Return the confidence of whoever answers."""
    return np.float64(float_of(word >> HALF))


@inlined
def sends(word):  # type: ignore[no-untyped-def]
    """Return whether the sample is sent."""
    return (word & SENT) > 0
