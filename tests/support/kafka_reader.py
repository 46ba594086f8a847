"""Reads committed records of a topic with confluent-kafka, which shares no code with ours."""

import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

TIMEOUT_S = 30.0

_MARKED_WITHIN_S = 2.0


def end_of(kafka: str, topic: str, partition: int) -> int:
    """Return the offset after the last committed record or marker."""
    deadline = time.monotonic() + TIMEOUT_S
    with _Reader(kafka) as reader:
        while True:
            try:
                return reader.get_watermark_offsets(TopicPartition(topic, partition), TIMEOUT_S)[1]
            except KafkaException as refused:
                # A topic has no leader for a moment after its creation.
                if (
                    refused.args[0].code() != KafkaError.NOT_LEADER_FOR_PARTITION
                    or time.monotonic() > deadline
                ):
                    raise
                time.sleep(0.1)


def read_committed(kafka: str, topic: str, partition: int, start: int = OFFSET_BEGINNING) -> list[Message]:
    """Return the committed records from an offset to the end of the partition.

    A broker confirms a commit before it has marked it in each partition, and until then hides what was committed. So this waits for a
    moment while something is hidden. What is then still hidden is an open transaction.
    """
    read: list[Message] = []
    place = TopicPartition(topic, partition, start)
    with _Reader(kafka) as reader, _Reader(kafka, "read_uncommitted") as whole:
        end = whole.get_watermark_offsets(place, TIMEOUT_S)[1]
        patience = time.monotonic() + _MARKED_WITHIN_S
        reader.assign([place])
        while True:
            message = reader.poll(TIMEOUT_S)
            assert message is not None, f"{topic} partition {partition} could not be read to its end"
            error = message.error()
            if error is None:
                read.append(message)
            elif error.name() == "_PARTITION_EOF":
                if message.offset() >= end or time.monotonic() > patience:
                    return read
                reader.seek(
                    TopicPartition(topic, partition, message.offset())
                )  # else no other end would be told
            else:
                raise AssertionError(error)


class _Reader(Consumer):
    def __init__(self, kafka: str, isolation_level: str = "read_committed") -> None:
        super().__init__(
            {
                "bootstrap.servers": kafka,
                "group.id": "unused",
                "enable.auto.commit": False,
                "isolation.level": isolation_level,
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 50,
            }
        )

    def __enter__(self) -> "_Reader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
