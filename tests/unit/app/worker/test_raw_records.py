"""A consumer that asks for it gets records as they were parsed; any other one gets those of aiokafka."""

from typing import Any

from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.consumer.fetcher import READ_COMMITTED, PartitionRecords
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords

from app.worker.raw_records import keep_raw

TP = TopicPartition("t", 3)


def fetched(deserializer: Any) -> list[Any]:
    batch = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 10_000)
    batch.append(0, 1_700_000_000_000, b"key", b"value", [("origin", b"t/3/7")])
    batch.append(1, 1_700_000_000_001, None, None, [])
    records = MemoryRecords(bytes(batch.build()))
    return list(PartitionRecords(TP, records, [], 0, deserializer, None, True, READ_COMMITTED))


def facts(record: Any) -> tuple[Any, ...]:
    return (
        record.offset,
        record.timestamp,
        record.timestamp_type,
        record.key,
        record.value,
        list(record.headers),
    )


def test_parsed_record_has_all_that_a_chunk_needs() -> None:
    parsed, built = fetched(keep_raw), fetched(None)
    assert list(map(facts, parsed)) == list(map(facts, built))
    assert not any(isinstance(record, ConsumerRecord) for record in parsed)
    assert all(isinstance(record, ConsumerRecord) for record in built)
