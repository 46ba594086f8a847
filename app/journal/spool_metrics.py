"""What does monitoring see of the spool: its counts as Prometheus metrics and for the readiness page."""

from collections.abc import Iterator

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from app.journal.sink import EventSink
from app.journal.spool import SpoolCounts


class SpoolMetrics(Collector):
    """The spool of a sink; all zero where there is none."""

    def __init__(self, sink: EventSink) -> None:
        self._sink = sink

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """Yield the metrics."""
        counts = self._sink.spool_counts() or SpoolCounts()
        for name, words, value in (
            ("bytes", "What the spool takes on the disk", counts.bytes),
            ("events", "Events in the spool", counts.events),
            ("oldest_seconds", "Age of the oldest event in the spool", counts.oldest_seconds),
            ("quarantined", "Damaged files that lie in the spool", counts.quarantined),
        ):
            yield GaugeMetricFamily(f"uptake_collector_spool_{name}", words, value=value)
        for name, words, value in (
            ("spooled", "Events written into the spool", counts.spooled),
            ("drained", "Events sent from the spool and acknowledged by Kafka", counts.drained),
            ("damaged", "Files of the spool found damaged", counts.damaged),
            (
                "torn_bytes",
                "Bytes that were being written when a collector ended, cut off",
                counts.torn_bytes,
            ),
            ("failures", "Writes into the spool that failed", counts.failures),
        ):
            yield CounterMetricFamily(f"uptake_collector_spool_{name}", words, value=value)


def page_of(sink: EventSink) -> dict[str, object] | None:
    """Return what the readiness page says of the spool; None where there is none."""
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
