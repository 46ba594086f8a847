"""The account of events on their way to Kafka: deadlines, bounds, and what becomes of those who wait."""

import asyncio

import pytest

from app.collector.pending import Pending
from app.collector.sink import FateUnknownError


def a_pending(*, ack_timeout_ms: int = 1_000, stall_ms: int = 200, limit: int = 3) -> Pending:
    return Pending(ack_timeout_ms=ack_timeout_ms, stall_ms=stall_ms, limit=limit)


def a_delivery() -> asyncio.Future[object]:
    return asyncio.get_running_loop().create_future()


def handed_on(pending: Pending, delivery: asyncio.Future[object], now_ms: int) -> asyncio.Future[None]:
    answer = pending.open(now_ms)
    delivery.add_done_callback(lambda done: pending.settle(answer, done))
    return answer


async def test_acknowledgement_ends_the_wait() -> None:
    pending, delivery = a_pending(), a_delivery()
    answer = handed_on(pending, delivery, 0)
    delivery.set_result("offset 7")
    await answer
    assert len(pending) == 0


async def test_failed_delivery_is_of_unknown_fate() -> None:
    pending, delivery = a_pending(), a_delivery()
    answer = handed_on(pending, delivery, 0)
    delivery.set_exception(OSError("gone"))
    with pytest.raises(FateUnknownError, match="OSError"):
        await answer


async def test_late_client_is_told_and_its_event_stays_on_its_way() -> None:
    pending, delivery = a_pending(), a_delivery()
    answer = handed_on(pending, delivery, 0)
    assert pending.give_up(999) == 0
    assert pending.give_up(1_000) == 1
    with pytest.raises(FateUnknownError):
        await answer
    assert pending.give_up(2_000) == 0
    assert len(pending) == 1
    delivery.set_result(None)  # it arrived after all: nothing breaks, and new events may come
    await asyncio.sleep(0)
    assert (len(pending), pending.refusal(2_000)) == (0, None)


async def test_stall_refuses_until_the_oldest_is_acknowledged() -> None:
    pending, first, second = a_pending(), a_delivery(), a_delivery()
    first_answer, second_answer = handed_on(pending, first, 0), handed_on(pending, second, 150)
    assert pending.refusal(200) is None
    assert pending.refusal(201) == "Kafka has acknowledged nothing for 0 s"
    first.set_result(None)
    await first_answer
    assert pending.refusal(201) is None
    second.set_result(None)
    await second_answer


async def test_no_more_than_the_limit_wait() -> None:
    pending, deliveries = a_pending(limit=2), [a_delivery(), a_delivery()]
    answers = [handed_on(pending, deliveries[0], 0)]
    assert pending.refusal(0) is None
    answers.append(handed_on(pending, deliveries[1], 0))
    assert pending.refusal(0) == "2 events wait for Kafka already"
    for delivery in deliveries:
        delivery.set_result(None)
    await asyncio.gather(*answers)


async def test_abandoned_events_are_of_unknown_fate_whatever_comes_later() -> None:
    pending, delivery = a_pending(), a_delivery()
    answer = handed_on(pending, delivery, 0)
    pending.abandon()
    with pytest.raises(FateUnknownError):
        await answer
    delivery.set_exception(OSError("the old producer gave up"))
    await asyncio.sleep(0)
    assert len(pending) == 0
    await asyncio.wait_for(pending.wait_idle(), 1)


async def test_idle_means_that_every_fate_is_known() -> None:
    pending, delivery = a_pending(), a_delivery()
    await asyncio.wait_for(pending.wait_idle(), 1)
    answer = handed_on(pending, delivery, 0)
    waiting = asyncio.create_task(pending.wait_idle())
    await asyncio.sleep(0)
    assert not waiting.done()
    delivery.set_result(None)
    await asyncio.gather(answer, waiting)


async def test_withdrawn_event_is_forgotten() -> None:
    pending = a_pending(limit=1)
    answer = pending.open(0)
    assert pending.refusal(0) is not None
    pending.withdraw(answer)
    assert (len(pending), pending.refusal(0)) == (0, None)
    await asyncio.wait_for(pending.wait_idle(), 1)


async def test_event_given_up_while_it_is_handed_on_can_be_withdrawn() -> None:
    pending = a_pending()
    answer = pending.open(0)
    pending.abandon()
    pending.withdraw(answer)
    assert len(pending) == 0
