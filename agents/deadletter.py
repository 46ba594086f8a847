"""Dead letters: the bytes of records that could not be folded, with origin and reason in the headers (docs/operations.md)."""

from typing import Final

from agents.ports import Output, SourceRecord
from agents.record_times import first_appended_ms
from events.codec import UndecodableError
from events.topics import DEADLETTERS

MAX_DEAD_BYTES: Final = 500_000
"""Largest value of a dead letter; a key may have a tenth of it. A record above the topic's limit would fail every flush."""


def dead_letter(partition: int, topic: str, record: SourceRecord, error: UndecodableError) -> Output:
    """Return the dead letter of a record.

    A key or value that is too long is cut, and the header ``key_bytes`` or ``value_bytes`` has its full length.
    """
    cut: list[tuple[str, bytes]] = []
    key, value = record.key, record.value
    if key is not None and len(key) > MAX_DEAD_BYTES // 10:
        cut.append(("key_bytes", b"%d" % len(key)))
        key = key[: MAX_DEAD_BYTES // 10]
    if value is not None and len(value) > MAX_DEAD_BYTES:
        cut.append(("value_bytes", b"%d" % len(value)))
        value = value[:MAX_DEAD_BYTES]
    headers = (
        ("topic", topic.encode()),
        ("partition", b"%d" % partition),
        ("offset", b"%d" % record.offset),
        ("timestamp", b"%d" % first_appended_ms(record)),
        ("reason", error.reason.encode()),
        ("detail", error.detail.encode(errors="replace")[:1_000]),
        *cut,
    )
    return Output(DEADLETTERS, partition, key, value, headers)
