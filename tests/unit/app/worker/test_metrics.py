"""Prometheus metrics of each open partition: its watermark and the number of late events."""

from prometheus_client import CollectorRegistry, generate_latest

from agents.registry import Partitions
from app.worker.metrics import ContactMetrics, WindowMetrics
from tables.ctr.watermarks import WatermarkState
from tests.support.overlays import T0
from tests.support.partitions import World


async def test_open_partitions_tell_watermark_and_late_windows() -> None:
    world, partitions, registry = World(partitions=2), Partitions(1), CollectorRegistry()
    registry.register(WindowMetrics(partitions))
    assert b"partition=" not in generate_latest(registry)
    partition = world.open(1)
    partitions.add(partition)
    partition.stats.late = 3
    partition.overlay.tables["watermarks"].put(b"1", WatermarkState(T0))
    text = generate_latest(registry).decode()
    assert 'uptake_late_total{partition="1"} 3.0' in text
    assert registry.get_sample_value("uptake_watermark_seconds", {"partition": "1"}) == T0 / 1000
    world.end()


def test_age_of_the_contact_with_kafka_is_measured_when_asked() -> None:
    registry, ages = CollectorRegistry(), iter([1_500, 2_500])
    registry.register(ContactMetrics(lambda: next(ages)))
    assert registry.get_sample_value("uptake_worker_kafka_contact_seconds") == 1.5
    assert registry.get_sample_value("uptake_worker_kafka_contact_seconds") == 2.5
