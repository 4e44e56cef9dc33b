"""What a running device shows of itself: latencies, exits, offloads, agreement."""

from __future__ import annotations

from collections import Counter, deque
from typing import Any

import numpy as np

from splitee.runtime.records import CLOUD, Record

LAST = 1000  # samples whose latencies are kept


class View:
    """Counts of a stream, and the latencies of its last samples.

    Examples
    --------
    >>> view = View()
    >>> view.add(Record(1, "0", 7, 0.0, 0.0, 0, (2,), (0.9,), (1,), by="device", latency=3.0))
    >>> view.line()
    '1 answered, p50 3.0 ms, p95 3.0 ms, 0 % offloaded, 0 lost, exits 2: 1'
    """

    def __init__(self) -> None:
        self.answered = self.offloaded = self.lost = self.agreed = self.compared = 0
        self.exits: Counter[int] = Counter()
        self.latencies: deque[float] = deque(maxlen=LAST)

    def add(self, record: Record) -> None:
        """Count a sample that was answered."""
        self.answered += 1
        self.latencies.append(record.latency)
        self.offloaded += record.offloaded
        self.lost += bool(record.lost)
        if record.by == CLOUD and record.predictions:
            self.compared += 1
            self.agreed += record.predictions[-1] == record.prediction
        elif record.by != CLOUD:
            self.exits[record.late[0] if record.late else record.layer] += 1

    def to_dict(self) -> dict[str, Any]:
        """As JSON values; agreement is that of the device's exit with the cloud, where both answered."""
        p50, p95 = np.percentile(list(self.latencies) or [0.0], [50, 95]).tolist()
        return {
            "answered": self.answered,
            "latency_p50": round(p50, 3),
            "latency_p95": round(p95, 3),
            "offloaded": self.offloaded,
            "lost": self.lost,
            "exits": {str(exit_): count for exit_, count in sorted(dict(self.exits).items())},
            "agreement": self.agreed / self.compared if self.compared else None,
        }

    def line(self) -> str:
        """As one line."""
        found = self.to_dict()
        exits = " ".join(f"{exit_}: {count}" for exit_, count in found["exits"].items())
        shares = f"{self.offloaded / max(1, self.answered):.0%}".replace("%", " %")
        agreement = "" if found["agreement"] is None else f", agreement {found['agreement']:.3f}"
        p50, p95 = found["latency_p50"], found["latency_p95"]
        return (
            f"{self.answered} answered, p50 {p50:.1f} ms, p95 {p95:.1f} ms, "
            f"{shares} offloaded, {self.lost} lost{agreement}, exits {exits or 'none'}"
        )
