"""Prometheus metrics of a worker: watermarks and late events of each partition, contact with Kafka, damaged stores, rows in memory."""

import shutil
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest

from agents.registry import Partitions
from agents.row_budget import RowBudget
from app.worker.metrics import CacheMetrics, ContactMetrics, StoreMetrics, WindowMetrics
from app.worker.stores import Stores
from events.topics import JOURNAL
from tables.ctr.watermarks import WatermarkState
from tests.support.builders import a_click
from tests.support.damage import MEMORY
from tests.support.lookups import FixedClock
from tests.support.overlays import T0, forget_rows
from tests.support.partitions import World, a_record, fold_records


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


def test_damaged_stores_are_counted_while_they_exist_and_since_the_start(tmp_path: Path) -> None:
    stores, registry = Stores(tmp_path, MEMORY, FixedClock()), CollectorRegistry()
    registry.register(StoreMetrics(stores))

    def measured() -> list[float | None]:
        names = ("damaged_stores", "rebuilding_partitions", "stores_set_aside_total")
        return [registry.get_sample_value(f"uptake_worker_{name}") for name in names]

    assert measured() == [0, 0, 0]
    (tmp_path / "3").mkdir()
    (tmp_path / "3" / "MANIFEST-000005").touch()
    stores.open(3, {})
    assert measured() == [1, 1, 1]
    stores.rebuilt(3)
    assert measured() == [1, 0, 1]
    for aside in tmp_path.glob("3.damaged-*"):
        shutil.rmtree(aside)
    assert measured() == [0, 0, 1]
    stores.close(3)


async def test_rows_in_memory_are_measured_and_counted() -> None:
    budget, registry = RowBudget(100_000_000), CollectorRegistry()
    registry.register(CacheMetrics(budget))
    world = World(budget=budget)
    partition = world.open()
    await fold_records(partition, JOURNAL, [a_record(a_click())])
    partition.overlay.held()

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"uptake_worker_cache_{name}", labels)

    assert value("max_bytes") == 100_000_000
    assert 0 < (value("waiting_bytes") or 0) < (value("held_bytes") or 0) < 20_000
    assert await partition.flush()
    forget_rows(partition.overlay)
    await fold_records(partition, JOURNAL, [a_record(a_click(), 1)])
    partition.overlay.tables["basket"].read(b"nobody")
    assert value("evicted_total", table="clicked") == 1
    assert value("loads_total", table="clicked", by="fold") == 1
    assert value("loads_total", table="clicked", by="lookup") == 0
    assert value("absent_total", table="basket") == 1
    world.end()
