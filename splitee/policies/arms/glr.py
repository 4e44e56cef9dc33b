"""A test for a change of the mean of numbers in [0, 1]: the generalised likelihood ratio of Bernoulli means.

After x_1..x_n there is an alarm if, for a cut s,

    s·kl(x̄_1..s, x̄) + (n − s)·kl(x̄_s+1..n, x̄)  ≥  ln(3·n·sqrt(n)/δ).

Cuts lie on a geometric grid, so that a test takes O(log n): numbers are kept as sums of blocks, at most
`BLOCKS` of each size 16, 32, 64, …; the two oldest of a size are joined if there are more. A test is made
after every 16 numbers.

References
----------
Besson, Kaufmann, Maillard, Seznec (2022): Efficient Change-Point Detection for Tackling Piecewise-Stationary
Bandits. The paper was not read in full: the statistic is [memory], as is this form of the threshold. The grid
is ours.
"""

from __future__ import annotations

import math

import numpy as np

from splitee._internal.jit import inlined, kernel
from splitee.policies.problem import Floats

BLOCK, BLOCKS, SIZES = 16, 8, 24  # numbers of the smallest block, blocks of a size, sizes
NEW = SIZES  # row of the numbers that do not fill a block yet: how many, and their sum


def begin_glr(streams: int) -> Floats:
    """Return the state of so many tests before the first number.

    By test and size of block: how many there are, then their sums, the oldest first.
    """
    return np.zeros((streams, SIZES + 1, BLOCKS + 2))


@inlined
def negative_entropy(p):  # type: ignore[no-untyped-def]
    """Return p·ln p + (1 − p)·ln(1 − p); the likelihood ratio is a sum of these."""
    known = p * math.log(p) if p > 0.0 else 0.0
    return known + ((1.0 - p) * math.log(1.0 - p) if p < 1.0 else 0.0)


@inlined
def log_likelihood(n, total):  # type: ignore[no-untyped-def]
    """Return the greatest log-likelihood of n numbers with this sum."""
    return n * negative_entropy(min(1.0, max(0.0, total / n)))


@inlined
def changed(state, j, delta):  # type: ignore[no-untyped-def]
    """Return whether test j has an alarm."""
    n, total = 0.0, 0.0
    for size in range(SIZES):
        for b in range(np.int64(state[j, size, 0]), 0, -1):
            n += BLOCK * 2.0**size
            total += state[j, size, b]
    level = math.log(3.0 * n * math.sqrt(n) / delta) + log_likelihood(n, total)
    late, after = 0.0, 0.0
    for size in range(SIZES):
        for b in range(np.int64(state[j, size, 0]), 0, -1):
            late += BLOCK * 2.0**size
            after += state[j, size, b]
            if late < n and log_likelihood(n - late, total - after) + log_likelihood(late, after) >= level:
                return True
    return False


@kernel
def push(state, j, x, delta):  # type: ignore[no-untyped-def]
    """Give test j a number; return whether there is an alarm at level δ."""
    state[j, NEW, 0] += 1.0
    state[j, NEW, 1] += x
    if state[j, NEW, 0] < BLOCK:
        return False
    carried = state[j, NEW, 1]
    state[j, NEW, 0], state[j, NEW, 1] = 0.0, 0.0
    for size in range(SIZES):
        n = np.int64(state[j, size, 0]) + 1
        state[j, size, n] = carried
        if n <= BLOCKS:
            state[j, size, 0] = n
            break
        carried = state[j, size, 1] + state[j, size, 2]
        for b in range(3, n + 1):
            state[j, size, b - 2] = state[j, size, b]
        state[j, size, 0] = n - 2
    return changed(state, j, delta)
