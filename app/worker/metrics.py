"""Prometheus metrics of a worker: its contact with Kafka, its damaged stores, how far event time has come, corrected windows."""

from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from agents.registry import Partitions
from app.worker.stores import Stores


class WindowMetrics(Collector):
    """Reads the open partitions when Prometheus asks. A count starts from zero when its partition is opened."""

    def __init__(self, partitions: Partitions) -> None:
        self._partitions = partitions

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """Yield the metrics, one sample per partition."""
        late = CounterMetricFamily("uptake_late", "Final windows that were corrected", labels=["partition"])
        watermark = GaugeMetricFamily(
            "uptake_watermark_seconds", "Event time up to which windows are complete", labels=["partition"]
        )
        for partition in self._partitions:
            late.add_metric([str(partition.number)], partition.stats.late)
            watermark.add_metric([str(partition.number)], partition.watermark_ms / 1000)
        yield late
        yield watermark


class ContactMetrics(Collector):
    """Reads the age of the contact with Kafka when Prometheus asks."""

    def __init__(self, age_ms: Callable[[], int]) -> None:
        self._age_ms = age_ms

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the seconds since Kafka last answered."""
        yield GaugeMetricFamily(
            "uptake_worker_kafka_contact_seconds",
            "Seconds since Kafka last answered this worker",
            value=self._age_ms() / 1000,
        )


class StoreMetrics(Collector):
    """Reads how many stores were damaged when Prometheus asks."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """Yield the number of damaged directories that are kept, of partitions that are rebuilt, and of all since the start."""
        damaged = self._stores.damaged()
        yield GaugeMetricFamily(
            "uptake_worker_damaged_stores",
            "Damaged state directories that were set aside and still exist",
            value=len(damaged),
        )
        yield GaugeMetricFamily(
            "uptake_worker_rebuilding_partitions",
            "Partitions whose damaged state is being rebuilt from the changelogs",
            value=self._stores.rebuilding_count,
        )
        yield CounterMetricFamily(
            "uptake_worker_stores_set_aside",
            "Damaged state directories that were set aside since the start",
            value=self._stores.set_aside_count,
        )
