"""Reads committed records of a topic with confluent-kafka, which shares no code with ours."""

import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

TIMEOUT_S = 30.0


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
    """Return the committed records from an offset to the end of the partition."""
    read: list[Message] = []
    with _Reader(kafka) as reader:
        reader.assign([TopicPartition(topic, partition, start)])
        while True:
            message = reader.poll(TIMEOUT_S)
            assert message is not None, f"{topic} partition {partition} could not be read to its end"
            error = message.error()
            if error is None:
                read.append(message)
            elif error.name() == "_PARTITION_EOF":
                return read
            else:
                raise AssertionError(error)


class _Reader(Consumer):
    def __init__(self, kafka: str) -> None:
        super().__init__(
            {
                "bootstrap.servers": kafka,
                "group.id": "unused",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 50,
            }
        )

    def __enter__(self) -> "_Reader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
