"""Prometheus metrics of a worker: contact with Kafka, damaged stores, event time, corrected windows, rows in memory."""

from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from agents.registry import Partitions
from agents.row_budget import RowBudget
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


class CacheMetrics(Collector):
    """Reads what the rows in memory take, and how often a row was not there, when Prometheus asks."""

    def __init__(self, budget: RowBudget) -> None:
        self._budget = budget

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """Yield the metrics. Rows that were in memory are not counted, because that would cost each event."""
        budget = self._budget
        for name, what, value in (
            ("max", "Bytes that rows may take; as many again may wait for a flush", budget.max_memory),
            (
                "held",
                "Bytes that rows, and records that wait for a flush, are estimated to take",
                budget.memory,
            ),
            ("waiting", "The part of these bytes that waits for a flush", budget.waiting),
        ):
            yield GaugeMetricFamily(f"uptake_worker_cache_{name}_bytes", what, value=value)
        loads = CounterMetricFamily(
            "uptake_worker_cache_loads", "Rows that were read from the store", labels=["table", "by"]
        )
        absent = CounterMetricFamily(
            "uptake_worker_cache_absent", "Keys that were looked up in vain in the store", labels=["table"]
        )
        evicted = CounterMetricFamily(
            "uptake_worker_cache_evicted", "Rows that were evicted from memory", labels=["table"]
        )
        for table, counts in budget:
            loads.add_metric([table, "fold"], counts.fold_loads)
            loads.add_metric([table, "lookup"], counts.lookup_loads)
            absent.add_metric([table], counts.absent)
            evicted.add_metric([table], counts.evicted)
        yield loads
        yield absent
        yield evicted
