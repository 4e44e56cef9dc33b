"""Counters of one server are its own, and are written as Prometheus reads them."""

from prometheus_client.parser import text_string_to_metric_families

from splitee.runtime.batching import Done
from splitee.runtime.metrics import Metrics


def values(metrics: Metrics) -> dict[str, float]:
    families = text_string_to_metric_families(metrics.text().decode())
    return {
        sample.name + "".join(sample.labels.values()): sample.value
        for one in families
        for sample in one.samples
    }


def test_what_is_counted() -> None:
    metrics, other = Metrics(lambda: 7), Metrics(lambda: 0)
    metrics.requests.labels("200").inc()
    metrics.done(Done(None, waited_ms=3.0, computed_ms=20.0, batch=5), layer=2, rows=4)
    found = values(metrics)
    assert found["splitee_requests_total200"] == 1
    assert found["splitee_samples_total2"] == 4
    assert found["splitee_waiting_samples"] == 7
    assert (found["splitee_wait_seconds_sum"], found["splitee_compute_seconds_sum"]) == (0.003, 0.02)
    assert (found["splitee_batch_samples_bucket4.0"], found["splitee_batch_samples_bucket8.0"]) == (0, 1)
    assert found["process_resident_memory_bytes"] > 0
    assert "splitee_samples_total2" not in values(other)
