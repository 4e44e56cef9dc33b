"""A change test on unlabelled evidence: a conformal e-CUSUM on the confidence of the first exit.

The learner ranks each confidence among all since the exit came into use, itself included. As long as samples
are exchangeable, the ranks p_1, p_2, …, ties broken at random, are independent and uniform (Vovk et al.
2005). The test bets against uniform: with n_c the ranks among the last W = 200 that fell into cell c of 8, a
new one in cell c multiplies the statistic S by 8·(n_c + 2)/(W + 16), a density. S ← max(S, 1)·factor is an
e-detector (Shin, Ramdas, Rinaldo 2024): if nothing changes, S − t is a supermartingale, so the mean time to
an alarm at S ≥ A is at least A.
"""

from __future__ import annotations

import numpy as np

from splitee._internal.jit import inlined, kernel
from splitee.policies.problem import Floats

CELLS, WINDOW, ALARM = 8, 200, 1e6
EXIT, TOTAL, FILLED, AT, STATISTIC, COUNTS = range(6)  # of the state
RECENT = COUNTS + CELLS
BAG = RECENT + WINDOW


def begin_watch(rules: int) -> Floats:
    """Return the state before the first confidence, for a grid of so many thresholds.

    One array, for kernels with few compile faster: EXIT, the exit that is watched; TOTAL, confidences in the
    bag; FILLED and AT, of the ring; STATISTIC, S; COUNTS, recent ranks by cell; RECENT, the cells of the last
    ranks, a ring; BAG, confidences seen by their rank on the grid, plus 1.
    """
    return np.zeros(BAG + rules + 1)


@kernel
def forget(watch):  # type: ignore[no-untyped-def]
    """Begin anew."""
    for b in range(len(watch)):
        watch[b] = 0.0


@inlined
def alarmed(watch, alarm, at_exit, place, coin):  # type: ignore[no-untyped-def]
    """Watch one confidence; return whether S has reached the alarm.

    Parameters
    ----------
    watch : float64 array
        See `begin_watch`.
    alarm : float
        A.
    at_exit : int
        The exit; if it is another than before, the test begins anew.
    place : int
        The rank of its confidence on the grid, from −1.
    coin : float
        Uniform on [0, 1): breaks ties.
    """
    if at_exit != watch[EXIT]:
        forget(watch)
        watch[EXIT] = at_exit
    at = np.uintp(BAG + 1 + place)  # unsigned: no index counts from the end
    watch[at] += 1
    watch[TOTAL] += 1
    above = 0.0
    for b in range(at + np.uintp(1), np.uintp(len(watch))):
        above += watch[b]
    p = (above + coin * watch[at]) / watch[TOTAL]
    cell = min(CELLS - 1, int(p * CELLS))
    filled, oldest = watch[FILLED], int(watch[AT])
    density = CELLS * (watch[COUNTS + cell] + 2) / (filled + 2 * CELLS)
    watch[STATISTIC] = max(watch[STATISTIC], 1.0) * density
    if filled == WINDOW:
        watch[COUNTS + int(watch[RECENT + oldest])] -= 1
    else:
        watch[FILLED] += 1
    watch[RECENT + oldest] = cell
    watch[COUNTS + cell] += 1
    watch[AT] = oldest + 1 if oldest + 1 < WINDOW else 0
    return watch[STATISTIC] >= alarm
