"""Links: the rate between a device and the cloud over time, its round-trip time and its outages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from splitee._internal.errors import InputError, shown

Floats = NDArray[np.float64]

MOST_ROWS = 10**6  # of a trace: eleven days in seconds
_BITS = 1000.0  # bits per ms in 1 Mbit/s
_LEAST, _MOST = 1e-6, 1e9  # Mbit/s: one bit per second, a petabit per second
_MOST_MS, _MOST_S = 1e9, 1e12
_LEAST_S = 1e-6  # between two rows
_FADE = 0.25  # of the mean rate


@dataclass(frozen=True, eq=False)
class Link:
    """The uplink from a device to the cloud.

    Parameters
    ----------
    uplink : float
        Constant rate in Mbit/s. With a trace it is the mean rate, and may be left out.
    rtt : float
        Round-trip time in ms: from the end of a transfer until the answer is back, without computing.
    outages : sequence of (start, end)
        Seconds from the start of the replay during which the link is down, in ascending order, disjoint. They
        are not repeated with the trace.
    time_s, mbit_s : array, shape (k,), optional
        A trace: from each time on (seconds, ascending, counted from the first) the rate in Mbit/s. The last
        rate holds for the median of the intervals; then the trace is repeated.
    name : str
        Name of the link.

    Raises
    ------
    InputError
        If a number is negative, not finite or too large, times do not ascend, outages overlap, all rates are
        0, or the trace has more than a million rows.

    Examples
    --------
    >>> Link(uplink=8.0).bits_per_ms.tolist(), Link().constant
    ([8000.0], True)
    >>> link = Link(time_s=[0, 2, 3], mbit_s=[6.0, 0.0, 3.0])
    >>> link.edges_ms.tolist(), link.mean
    ([0.0, 2000.0, 3000.0, 4500.0], 3.6666666666666665)
    """

    uplink: float = 5.0
    rtt: float = 40.0
    outages: Sequence[tuple[float, float]] = ()
    _: KW_ONLY
    time_s: ArrayLike | None = None
    mbit_s: ArrayLike | None = None
    name: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise InputError(f"name is {shown(self.name)}: give a text")
        self._set("rtt", _number("rtt", self.rtt, 0, _MOST_MS, "ms"))
        self._set("uplink", _number("uplink", self.uplink, _LEAST, _MOST, "Mbit/s"))
        self._set("outages", _outages(self.outages))
        if (self.time_s is None) != (self.mbit_s is None):
            raise InputError("a trace has two columns: give both time_s and mbit_s")
        if self.time_s is None:
            return
        times, rates = _trace(self.time_s, self.mbit_s)
        self._set("time_s", times)
        self._set("mbit_s", rates)
        mean = self.mean
        if self.uplink not in (type(self).uplink, mean):
            raise InputError("give either uplink, a constant rate, or a trace (time_s, mbit_s), not both")
        self._set("uplink", mean)

    @property
    def constant(self) -> bool:
        """Whether the rate is always the same."""
        return self.time_s is None or len(self.bits_per_ms) == 1

    @property
    def edges_ms(self) -> Floats:
        """Where the intervals of one rate begin and the last one ends, in ms from 0, shape (k + 1,).

        If the rate is constant, the end is infinite.
        """
        if self.constant:
            return np.array([0.0, np.inf])
        starts = (self._times - self._times[0]) * 1000.0
        return np.append(starts, starts[-1] + np.median(np.diff(starts)))

    @property
    def bits_per_ms(self) -> Floats:
        """The rate of every interval in bits per ms, shape (k,)."""
        rates = [self.uplink] if self.mbit_s is None else self.mbit_s
        return np.asarray(rates, dtype=np.float64) * _BITS

    @property
    def period_ms(self) -> float:
        """After how many ms the trace is repeated; infinite if the rate is constant."""
        return float(self.edges_ms[-1])

    @property
    def mean(self) -> float:
        """The mean rate over time, in Mbit/s."""
        if self.constant:
            return float(self.bits_per_ms[0] / _BITS)
        return float(np.average(self._rates, weights=np.diff(self.edges_ms)))

    @property
    def outages_ms(self) -> Floats:
        """Start and end of every outage, in ms from the start of the replay, shape (o, 2)."""
        return np.array(self.outages, dtype=np.float64).reshape(-1, 2) * 1000.0

    def percentile(self, share: float) -> float:
        """Return the rate (Mbit/s) that is not exceeded for this percentage of the time.

        Examples
        --------
        >>> Link(time_s=[0, 9, 10], mbit_s=[8.0, 1.0, 4.0]).percentile(50)
        8.0
        """
        if self.constant:
            return self.mean
        order = np.argsort(self._rates, kind="stable")
        until = np.cumsum(np.diff(self.edges_ms)[order])
        at = np.searchsorted(until, share / 100 * until[-1] * (1 - 1e-12))
        return float(self._rates[order][min(int(at), len(order) - 1)])

    def transfer_ms(self, begin: float, size: float) -> float:
        """Return how long (ms) a transfer of `size` bytes takes that begins `begin` ms after the start.

        Outages, which interrupt a transfer, are left out.

        Examples
        --------
        >>> link = Link(time_s=[0, 2, 3], mbit_s=[8.0, 0.0, 4.0])
        >>> link.transfer_ms(1000.0, 1_000_000), link.transfer_ms(1500.0, 1_000_000)
        (1000.0, 2500.0)
        """
        rates, edges, left = self.bits_per_ms, self.edges_ms, 8.0 * size
        if self.constant:
            return float(left / rates[0])
        period = float(edges[-1])
        at = begin - np.floor(begin / period) * period
        place = int(np.clip(np.searchsorted(edges, at, side="right") - 1, 0, len(rates) - 1))
        took = 0.0
        while left > rates[place] * (edges[place + 1] - at):
            left -= rates[place] * (edges[place + 1] - at)
            took += edges[place + 1] - at
            place = (place + 1) % len(rates)
            at = edges[place]
        return float(took + (left / rates[place] if left > 0.0 else 0.0))

    def fades(self, below: float = _FADE) -> Floats:
        """Return start and end (s) of every fade, shape (f, 2): runs of rates below a share of the mean."""
        return self._runs(self._rates < below * self.mean) if not self.constant else np.empty((0, 2))

    def dead(self) -> Floats:
        """Return start and end (s) of every outage, shape (d, 2): those given, and the trace's runs of 0."""
        zero = self._runs(self._rates == 0) if not self.constant else np.empty((0, 2))
        return np.concatenate([zero, self.outages_ms / 1000.0])

    def describe(self) -> dict[str, Any]:
        """Return the link's statistics: rates in Mbit/s, spans in seconds.

        Examples
        --------
        >>> Link(time_s=[0, 1, 2, 3], mbit_s=[9.0, 1.0, 0.0, 6.0]).describe()["fades"]
        1
        """
        fades, dead = self.fades(), self.dead()
        return {
            "name": self.name,
            "constant": self.constant,
            "seconds": None if self.constant else self.period_ms / 1000.0,
            "rows": len(self.bits_per_ms),
            "mean": self.mean,
            "highest": float(self.bits_per_ms.max() / _BITS),
            "p5": self.percentile(5),
            "p50": self.percentile(50),
            "fades": len(fades),
            "longest_fade": float(np.diff(fades).max()) if len(fades) else 0.0,
            "outages": len(dead),
            "longest_outage": float(np.diff(dead).max()) if len(dead) else 0.0,
            "rtt": self.rtt,
        }

    def to_dict(self) -> dict[str, Any]:
        """As plain types, for a manifest: ``Link(**link.to_dict())`` is the same link."""
        traced = self.time_s is not None
        return {
            "uplink": self.uplink,
            "rtt": self.rtt,
            "outages": [list(outage) for outage in self.outages],
            "time_s": self._times.tolist() if traced else None,
            "mbit_s": self._rates.tolist() if traced else None,
            "name": self.name,
        }

    def _runs(self, low: NDArray[np.bool_]) -> Floats:
        """Return start and end (s) of the runs of intervals that are low."""
        turns = np.flatnonzero(np.diff(np.concatenate([[False], low, [False]]).astype(np.int8)))
        spans: Floats = self.edges_ms[turns].reshape(-1, 2) / 1000.0
        return spans

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)  # the class is frozen

    @property
    def _times(self) -> Floats:
        return np.asarray(self.time_s, dtype=np.float64)

    @property
    def _rates(self) -> Floats:
        return np.asarray(self.mbit_s, dtype=np.float64)


def _number(name: str, value: Any, least: float, most: float, unit: str) -> float:
    plain = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not plain or not least <= value <= most:
        raise InputError(f"{name} is {shown(value)}: give a number of {unit} from {least:g} to {most:g}")
    return float(value)


def _outages(given: Any) -> tuple[tuple[float, float], ...]:
    try:
        spans = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"outages is {shown(given)}: give (start, end) pairs in seconds") from error
    if spans.size == 0:
        return ()
    if spans.ndim != 2 or spans.shape[1] != 2 or len(spans) > MOST_ROWS:
        raise InputError(f"outages is {shown(given)}: give (start, end) pairs in seconds")
    if not ((spans >= 0) & (spans <= _MOST_S)).all():
        raise InputError(f"outages must lie between 0 and {_MOST_S:g} seconds")
    for row, (start, end) in enumerate(spans.tolist()):
        if not start < end:
            raise InputError(f"outage {row}: it ends at {end:g} s, not after its start at {start:g} s")
        if row and start < spans[row - 1, 1]:
            raise InputError(
                f"outage {row} starts at {start:g} s, before the one above ends ({spans[row - 1, 1]:g} s): "
                "give disjoint outages in ascending order"
            )
    return tuple((float(start), float(end)) for start, end in spans)


def _trace(time_s: Any, mbit_s: Any) -> tuple[Floats, Floats]:
    times, rates = _column("time_s", time_s), _column("mbit_s", mbit_s)
    if len(times) != len(rates):
        raise InputError(f"time_s has {len(times):,} rows, mbit_s has {len(rates):,}: give as many")
    for name, values, most in (("time_s", times, _MOST_S), ("mbit_s", rates, _MOST)):
        wrong = ~((values >= (-most if name == "time_s" else 0)) & (values <= most))
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            what = "a time in seconds" if name == "time_s" else "a rate from 0 Mbit/s on"
            raise InputError(f"{name}, row {row} (from 0) is {values[row]:g}: give {what}")
    falling = np.flatnonzero(np.diff(times) < _LEAST_S)
    if falling.size:
        row = int(falling[0]) + 1
        raise InputError(
            f"time_s, row {row} (from 0) is {times[row]:g}, not after {times[row - 1]:g}: sort the rows by "
            "time, one row per time, a microsecond apart or more"
        )
    if not (rates >= _LEAST).any():
        raise InputError("all rates are 0, so no transfer would ever end: give a rate above 0")
    return times, rates


def _column(name: str, given: Any) -> Floats:
    try:
        values = np.asarray(given)
    except ValueError:  # lists of different lengths
        values = np.empty((0, 0))
    if (values.ndim != 1 or values.dtype.kind not in "iuf") and values.shape != (0,):
        raise InputError(f"{name} is {shown(given)}: give one number per row")
    if not len(values):
        raise InputError(f"{name} is empty: a link needs at least one row")
    if len(values) > MOST_ROWS:
        raise InputError(
            f"{name} has {len(values):,} rows: at most {MOST_ROWS:,} (average over longer times)"
        )
    column = values.astype(np.float64)
    column.flags.writeable = False
    return column
