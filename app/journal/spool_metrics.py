"""Counts of the spool for monitoring: Prometheus metrics, and a part of the readiness page."""

from collections.abc import Iterator

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from app.journal.sink import EventSink, SpoolCounts


class SpoolMetrics(Collector):
    """Metrics of a sink's spool; all are zero without a spool."""

    def __init__(self, sink: EventSink) -> None:
        self._sink = sink

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """Yield the metrics."""
        counts = self._sink.spool_counts() or SpoolCounts()
        for name, words, value in (
            ("bytes", "Size of the spool on disk", counts.bytes),
            ("events", "Events in the spool", counts.events),
            ("oldest_seconds", "Age of the oldest event in the spool", counts.oldest_seconds),
            ("quarantined", "Damaged files in the spool", counts.quarantined),
        ):
            yield GaugeMetricFamily(f"uptake_collector_spool_{name}", words, value=value)
        for name, words, value in (
            ("spooled", "Events written to the spool", counts.spooled),
            ("drained", "Events sent from the spool and acknowledged by Kafka", counts.drained),
            ("damaged", "Spool files that were found damaged", counts.damaged),
            (
                "torn_bytes",
                "Bytes cut off because a collector ended while it wrote them",
                counts.torn_bytes,
            ),
            ("failures", "Failed writes to the spool", counts.failures),
        ):
            yield CounterMetricFamily(f"uptake_collector_spool_{name}", words, value=value)


def page_of(sink: EventSink) -> dict[str, object] | None:
    """Return the part of the readiness page about the spool; None without a spool."""
    counts = sink.spool_counts()
    if counts is None:
        return None
    return {
        "spooling": counts.events > 0,
        "events": counts.events,
        "bytes": counts.bytes,
        "oldest_seconds": round(counts.oldest_seconds, 1),
        "quarantined": counts.quarantined,
    }
