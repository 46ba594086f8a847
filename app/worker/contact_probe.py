"""Observes what Kafka answers to a consumer of aiokafka, and notes it as contact. It sends no request of its own."""

from collections.abc import Callable
from typing import Any, Final

from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.group import HeartbeatRequest, SyncGroupRequest
from aiokafka.protocol.offset import OffsetRequest

from app.base.clock import elapsed_ms
from app.worker.contact import Contact

_NO_ERROR: Final = 0
_REBALANCING: Final = 27
"""The answer to a heartbeat of a member that must join again: until it does, it stays a member."""


def observe(
    consumer: Any, contact: Contact, max_wait_ms: int, now_ms: Callable[[], int] = elapsed_ms
) -> None:
    """Note the answers to the consumer's heartbeats, joins, fetches and requests for offsets.

    ``max_wait_ms`` is how long a broker holds a fetch back when there is nothing to read. A request counts from when it was sent: a
    process that was stopped may read its answer much later.
    """
    client = consumer._client
    send = client.send

    async def observed(node: Any, request: Any, **options: Any) -> Any:
        sent_ms = now_ms()
        answer = await send(node, request, **options)
        if isinstance(request, FetchRequest):
            _note_ends(contact, answer, min(now_ms(), sent_ms + max_wait_ms))
        elif isinstance(request, HeartbeatRequest):
            if answer.error_code in (_NO_ERROR, _REBALANCING):
                contact.heard_group(sent_ms)
        elif isinstance(request, SyncGroupRequest):
            if answer.error_code == _NO_ERROR:
                contact.joined(sent_ms)
        elif isinstance(request, OffsetRequest):
            _note(contact, answer, sent_ms)
        return answer

    def waits(place: tuple[str, int]) -> bool:
        fetcher = consumer._fetcher
        return fetcher is not None and place in fetcher._records

    client.send = observed
    contact.waits = waits


def _note_ends(contact: Contact, answer: Any, seen_ms: int) -> None:
    """Note a fetch answer. From version 4 on it holds the high watermark and the last stable offset of each partition."""
    for topic, partitions in answer.topics:
        for partition, error_code, high_watermark, stable, *_ in partitions:
            if error_code == _NO_ERROR:
                contact.heard_leader(topic, partition, seen_ms)
                if stable >= 0:
                    contact.visibility.heard(topic, partition, seen_ms, stable, high_watermark)


def _note(contact: Contact, answer: Any, seen_ms: int) -> None:
    for topic, partitions in answer.topics:
        for partition, error_code, *_ in partitions:
            if error_code == _NO_ERROR:
                contact.heard_leader(topic, partition, seen_ms)
