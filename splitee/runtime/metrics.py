"""What a server counts, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.process_collector import ProcessCollector

from splitee.runtime.batching import Done

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_ROWS = (1, 2, 4, 8, 16, 32, 64)
TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Counters and histograms of one server.

    Parameters
    ----------
    waiting : callable
        Returns the number of samples that wait.
    """

    def __init__(self, waiting: Callable[[], int]) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Counter(
            "splitee_requests", "Requests for inference by status.", ["status"], registry=self.registry
        )
        self.samples = Counter(
            "splitee_samples",
            "Samples answered by the layer that they entered after.",
            ["layer"],
            registry=self.registry,
        )
        self.received = Counter(
            "splitee_received_bytes", "Bytes of bodies of inference requests.", registry=self.registry
        )
        self.waited = Histogram(
            "splitee_wait_seconds", "From a request to its batch.", buckets=_SECONDS, registry=self.registry
        )
        self.computed = Histogram(
            "splitee_compute_seconds", "Of a batch.", buckets=_SECONDS, registry=self.registry
        )
        self.batch = Histogram(
            "splitee_batch_samples",
            "Samples of the batch of a request.",
            buckets=_ROWS,
            registry=self.registry,
        )
        Gauge(
            "splitee_waiting_samples", "Samples that wait for a batch.", registry=self.registry
        ).set_function(waiting)

    def done(self, done: Done, layer: int, rows: int) -> None:
        """Count a request that was answered."""
        self.samples.labels(str(layer)).inc(rows)
        self.waited.observe(done.waited_ms / 1000)
        self.computed.observe(done.computed_ms / 1000)
        self.batch.observe(done.batch)

    def text(self) -> bytes:
        """Return all values in Prometheus' text format."""
        return generate_latest(self.registry)
