"""What the device knows of a round before it chooses an arm: the input's length, the link, the queue."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from splitee._internal.jit import inlined
from splitee.policies.loop import Context
from splitee.policies.problem import Table
from splitee.system.world import known_rate, waiting


@inlined
def seen_before(world, lane, t, r, start, taken):  # type: ignore[no-untyped-def]
    """Return the rate of the link over the rate assumed at first, and how many samples wait.

    In Mbit/s, as a device loop is shown it: both then round alike. Without a clock: 1 and 0.
    """
    return (known_rate(world, lane, taken) / 1e3) / (world.rate / 1e3), waiting(world, lane, t, r, start)


def lengths_of(table: Table) -> NDArray[np.int64]:
    """Return the tokens of each sample; 0 if the trace has no lengths."""
    if table.length is None:
        return np.zeros(table.samples, dtype=np.int64)
    return table.length.astype(np.int64)


class Before:
    """What a device loop is shown of a round: tokens, rate over that at first, and how many samples wait."""

    def __init__(self) -> None:
        self.first_link: float | None = None

    def of(self, context: Context) -> tuple[int, float, int]:
        """Return the three."""
        if self.first_link is None:
            self.first_link = context.link
        rate = 1.0 if context.link is None or self.first_link is None else context.link / self.first_link
        return context.tokens or 0, rate, context.queue or 0
