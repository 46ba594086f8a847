"""Prometheus metrics of a worker's windows: how far event time has come, and how many final windows were corrected."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from agents.registry import Partitions


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
