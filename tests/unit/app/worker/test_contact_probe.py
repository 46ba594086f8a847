"""Answers to a consumer's own requests are noted as contact with Kafka; errors and late answers are not."""

from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.group import HeartbeatRequest, LeaveGroupRequest, SyncGroupRequest
from aiokafka.protocol.offset import OffsetRequest

from app.worker.contact import Contact
from app.worker.contact_probe import observe
from events.topics import JOURNAL

FETCH = FetchRequest(500, 1, 1_000, 1, [])
BEAT = HeartbeatRequest("group", 1, "member")
SYNC = SyncGroupRequest("group", 1, "member", None, [])
OFFSETS = OffsetRequest(-1, 1, [])
LEAVE = LeaveGroupRequest("group", "member")
STARTED, SENT, ANSWERED = 0, 1_000, 1_300


class Kafka:
    """A consumer whose requests are sent at SENT and answered at ``answered_ms``."""

    def __init__(self) -> None:
        self.contact = Contact(STARTED)
        self.answer: Any = None
        self.answered_ms = ANSWERED
        self.times = [SENT]
        self.consumer: Any = SimpleNamespace(_client=self, _fetcher=None)
        self.send: Any = self._send
        observe(self.consumer, self.contact, 500, lambda: self.times[-1])

    async def _send(self, node: int, request: Any, **options: Any) -> Any:
        self.times.append(self.answered_ms)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def ask(self, request: Any, answer: Any) -> Any:
        self.times, self.answer = [SENT], answer
        return await self.send(1, request, group="coordination")


def error(code: int) -> Any:
    return SimpleNamespace(error_code=code)


def of_partition(code: int, high_watermark: int = 40, stable: int = 40) -> Any:
    return SimpleNamespace(topics=[(JOURNAL, [(3, code, high_watermark, stable, "more")])])


@pytest.mark.parametrize(
    ("request_", "answer", "age_ms"),
    [
        (BEAT, error(0), 2_000 - SENT),
        (BEAT, error(27), 2_000 - SENT),
        (BEAT, error(25), 2_000),
        (BEAT, error(22), 2_000),
        (SYNC, error(0), 2_000 - SENT),
        (SYNC, error(27), 2_000),
        (LEAVE, error(0), 2_000),
    ],
)
async def test_accepted_request_of_the_group_is_contact_from_when_it_was_sent(
    request_: Any, answer: Any, age_ms: int
) -> None:
    kafka = Kafka()
    assert await kafka.ask(request_, answer) is answer
    assert kafka.contact.age_ms(2_000, [3]) == age_ms


@pytest.mark.parametrize(
    ("request_", "code", "answered_ms", "age_ms"),
    [
        (FETCH, 0, ANSWERED, 10_000 - ANSWERED),
        (FETCH, 0, 9_000, 10_000 - SENT - 500),
        (FETCH, 6, ANSWERED, 10_000 - 100),
        (OFFSETS, 0, ANSWERED, 10_000 - SENT),
        (OFFSETS, 6, ANSWERED, 10_000 - 100),
    ],
)
async def test_answer_of_a_leader_is_contact_of_its_partition(
    request_: Any, code: int, answered_ms: int, age_ms: int
) -> None:
    kafka = Kafka()
    kafka.contact.heard_group(10_000)
    kafka.contact.heard_leader(JOURNAL, 3, 100)
    kafka.answered_ms = answered_ms
    await kafka.ask(request_, of_partition(code))
    assert kafka.contact.age_ms(10_000, [3]) == age_ms


async def test_request_without_an_answer_is_no_contact() -> None:
    kafka = Kafka()
    with pytest.raises(KafkaConnectionError):
        await kafka.ask(BEAT, KafkaConnectionError())
    assert kafka.contact.age_ms(2_000, []) == 2_000


async def test_records_that_wait_in_the_fetcher_are_known() -> None:
    kafka = Kafka()
    assert not kafka.contact.waits((JOURNAL, 3))
    kafka.consumer._fetcher = SimpleNamespace(_records={(JOURNAL, 3): "records"})
    assert kafka.contact.waits((JOURNAL, 3))
    assert not kafka.contact.waits((JOURNAL, 4))


async def test_fetch_answer_shows_what_is_hidden_and_one_with_an_error_does_not() -> None:
    kafka = Kafka()
    kafka.contact.visibility.folded = lambda _topic, _partition: 40
    await kafka.ask(FETCH, of_partition(0))
    await kafka.ask(FETCH, of_partition(0, high_watermark=41))
    assert kafka.contact.visibility.behind_ms(10_000, 3) == 10_000 - ANSWERED
    await kafka.ask(FETCH, of_partition(6, high_watermark=-1, stable=-1))
    assert kafka.contact.visibility.behind_ms(10_000, 3) == 10_000 - ANSWERED
