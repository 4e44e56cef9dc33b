"""A change test on unlabelled evidence: a conformal e-CUSUM on the confidence of the first exit.

The learner ranks each confidence among all since the exit came into use, itself included. As long as samples
are exchangeable, the ranks p_1, p_2, …, ties broken at random, are independent and uniform (Vovk et al.
2005). The test bets against uniform: with n_c the ranks among the last W = 200 that fell into cell c of 8, a
new one in cell c multiplies the statistic S by 8·(n_c + 2)/(W + 16), a density. S ← max(S, 1)·factor is an
e-detector (Shin, Ramdas, Rinaldo 2024): if nothing changes, S − t is a supermartingale, so the mean time to
an alarm at S ≥ A is at least A.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from splitee._internal.jit import inlined, kernel
from splitee.policies.problem import Floats

Whole = NDArray[np.int64]
CELLS, WINDOW, ALARM = 8, 200, 1e6
EXIT, TOTAL, FILLED, AT = range(4)


class Watch(NamedTuple):
    """The state of the test.

    Attributes
    ----------
    bag : ndarray of int, shape (G + 1,)
        Confidences seen by their rank on the grid, plus 1.
    recent, counts : ndarray of int, shapes (WINDOW,) and (CELLS,)
        The cells of the last ranks, a ring, and how many are in each cell.
    whole : ndarray of int, shape (4,)
        EXIT: the exit that is watched; TOTAL: confidences in the bag; FILLED and AT: of the ring.
    statistic : ndarray, shape (1,)
        S.
    """

    bag: Whole
    recent: Whole
    counts: Whole
    whole: Whole
    statistic: Floats


def begin_watch(rules: int) -> Watch:
    """Return the state before the first confidence, for a grid of so many thresholds."""
    bag, recent, counts, whole = (np.zeros(n, dtype=np.int64) for n in (rules + 1, WINDOW, CELLS, 4))
    return Watch(bag, recent, counts, whole, np.ones(1))


@kernel
def forget(watch):  # type: ignore[no-untyped-def]
    """Begin anew."""
    for b in range(len(watch.bag)):
        watch.bag[b] = 0
    for c in range(len(watch.counts)):
        watch.counts[c] = 0
    for w in range(len(watch.whole)):
        watch.whole[w] = 0
    watch.statistic[0] = 1.0


@inlined
def alarmed(watch, alarm, at_exit, place, coin):  # type: ignore[no-untyped-def]
    """Watch one confidence; return whether S has reached the alarm.

    Parameters
    ----------
    watch : Watch
    alarm : float
        A.
    at_exit : int
        The exit; if it is another than before, the test begins anew.
    place : int
        The rank of its confidence on the grid, from −1.
    coin : float
        Uniform on [0, 1): breaks ties.
    """
    if at_exit != watch.whole[EXIT]:
        forget(watch)
        watch.whole[EXIT] = at_exit
    bag, counts, recent, whole = watch.bag, watch.counts, watch.recent, watch.whole
    at, cells = np.uintp(place + 1), np.uintp(len(counts))  # unsigned: no index counts from the end
    bag[at] += 1
    whole[TOTAL] += 1
    above = 0
    for b in range(at + np.uintp(1), np.uintp(len(bag))):
        above += bag[b]
    p = (above + coin * bag[at]) / whole[TOTAL]
    cell = min(cells - np.uintp(1), np.uintp(p * cells))
    filled, oldest = whole[FILLED], np.uintp(whole[AT])
    density = cells * (counts[cell] + 2) / (filled + 2 * cells)
    watch.statistic[0] = max(watch.statistic[0], 1.0) * density
    if filled == len(recent):
        counts[np.uintp(recent[oldest])] -= 1
    else:
        whole[FILLED] = filled + 1
    recent[oldest] = cell
    counts[cell] += 1
    whole[AT] = oldest + 1 if oldest + 1 < len(recent) else 0
    return watch.statistic[0] >= alarm
