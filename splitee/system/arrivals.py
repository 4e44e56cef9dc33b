"""When samples arrive: one at a time, every so many ms, Poisson, or at given times."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitee._internal.errors import InputError

Floats = NDArray[np.float64]
_RATE = re.compile(r"\s*([0-9.]{1,20}(?:e[+-]?\d{1,2})?)\s*/\s*s\s*")


@dataclass(frozen=True, eq=False)
class Arrivals:
    """When samples arrive.

    Attributes
    ----------
    every : float or None
        ms between two samples.
    rate : float or None
        Samples per second on average, Poisson.
    given : ndarray or None
        Times in ms, ascending.
    """

    every: float | None = None
    rate: float | None = None
    given: Floats | None = None

    @classmethod
    def of(cls, value: Any) -> Arrivals:
        """Read arrivals: None, a number of ms, "10/s", or times in ms.

        Examples
        --------
        >>> Arrivals.of("10/s").rate, Arrivals.of(250).every
        (10.0, 250.0)
        """
        if value is None or isinstance(value, Arrivals):
            return value or cls()
        if isinstance(value, str):
            found = _RATE.fullmatch(value)
            rate = float(found[1]) if found and found[1].count(".") < 2 and found[1] != "." else 0.0
            if not 1e-9 <= rate <= 1e9:
                raise InputError(
                    f"arrivals is {value!r}: give a rate above 0 such as 10/s, or ms between samples"
                )
            return cls(rate=rate)
        if isinstance(value, int | float) and not isinstance(value, bool):
            if not 0 < value <= 1e12:
                raise InputError(f"arrivals is {value!r}: give a number of ms above 0")
            return cls(every=float(value))
        try:
            times = np.array(value, dtype=np.float64)
        except (TypeError, ValueError):
            times = np.empty(0)
        if times.ndim != 1 or not len(times) or not (times >= 0).all() or not (np.diff(times) >= 0).all():
            raise InputError("arrivals are times in ms from 0, ascending, one per round")
        if times[-1] > 1e15:
            raise InputError("arrivals are times in ms of at most 1e15")
        return cls(given=times)

    @property
    def one_at_a_time(self) -> bool:
        """Whether a sample comes when the one before it is answered."""
        return self.every is None and self.rate is None and self.given is None

    @property
    def description(self) -> Any:
        """In plain types, for a manifest."""
        if self.given is not None:
            return self.given.tolist()
        return f"{self.rate:g}/s" if self.rate is not None else self.every

    def times(self, rounds: int, first: int, end: int, seed: int) -> Floats:
        """Return times in ms of repeats first..end − 1, shape (rounds, repeats), (rounds, 1) or (0, 0)."""
        if self.given is not None:
            if len(self.given) != rounds:
                raise InputError(f"arrivals has {len(self.given)} times, a stream has {rounds} rounds")
            return np.ascontiguousarray(self.given[:, None])
        if self.every is not None:
            return np.ascontiguousarray((self.every * np.arange(rounds))[:, None])
        if self.rate is None:
            return np.zeros((0, 0))
        drawn = np.empty((rounds, end - first))
        for column, repeat in enumerate(range(first, end)):
            rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(3, repeat)))
            drawn[:, column] = np.cumsum(rng.exponential(1e3 / self.rate, rounds))
        return drawn
