"""The numbers of bots reach the journal in few records, and never twice."""

import asyncio
from collections import Counter
from typing import Any

import prometheus_client
import pytest

from app.collector import bot_tally
from app.collector.bot_tally import BotTally
from events.codec import MAX_RECORD_BYTES, decode
from events.model import NO_PROFILE_USER, BotEvents
from events.topics import JOURNAL
from tests.support.builders import (
    MINUTE_MS,
    NOW_MS,
    a_buy,
    a_click,
    a_clickrecommended,
    a_login,
    a_rendered,
    a_viewed,
)
from tests.support.memory_sink import MemorySink

START = NOW_MS - NOW_MS % MINUTE_MS


class Tallying:
    """A tally in front of a sink in memory."""

    def __init__(self) -> None:
        self.sink = MemorySink()
        self._lost = prometheus_client.Counter("lost", "lost", registry=None)
        self.tally = BotTally(self.sink, self._lost)

    @property
    def lost(self) -> float:
        (metric,) = self._lost.collect()
        return next(sample.value for sample in metric.samples if sample.name == "lost_total")

    def records(self) -> list[BotEvents]:
        found: list[Any] = [decode(value) for _, _, value, _ in self.sink.records]
        return found

    def numbers(self) -> Counter[tuple[str, int, str | None, str | None]]:
        """Return the numbers in the journal: (customer, minute after START, scenario, variant) -> events."""
        numbers: Counter[tuple[str, int, str | None, str | None]] = Counter()
        for record in self.records():
            minute = (record.time_ms - START) // MINUTE_MS
            for each in record.counts:
                numbers[record.customer, minute, each.scenario, each.variant] += each.events
        return numbers


@pytest.fixture
async def tallying() -> Tallying:
    made = Tallying()
    await made.sink.start()
    return made


async def test_events_of_a_customer_and_minute_become_one_record(tallying: Tallying) -> None:
    for number in range(50):
        at = START + number
        tallying.tally.add(a_rendered(scenario="home", variant="a", received_ms=at, time_ms=at - MINUTE_MS))
        tallying.tally.add(a_viewed(scenario="home", received_ms=at))
        tallying.tally.add(a_clickrecommended(scenario=None, received_ms=at))
        tallying.tally.add(a_rendered(scenario="home", variant="a", customer="other", received_ms=at))
    tallying.tally.add(a_rendered(scenario="home", received_ms=START + MINUTE_MS + 5))
    await tallying.tally.write()
    assert tallying.numbers() == {
        ("00000", 0, "home", "a"): 50,
        ("00000", 0, "home", None): 50,
        ("00000", 0, None, None): 50,
        ("other", 0, "home", "a"): 50,
        ("00000", 1, "home", None): 1,
    }
    assert len(tallying.records()) == 3
    assert {topic for topic, _, _, _ in tallying.sink.records} == {JOURNAL}
    await tallying.tally.write()
    assert len(tallying.records()) == 3


async def test_record_holds_nothing_of_who_sent_the_events(tallying: Tallying) -> None:
    event = a_rendered(
        eid="the-eid",
        lang="de",
        segments="s",
        properties={"title": "secret"},
        items=("item-1",),
        row=3,
        rank=4,
    )
    tallying.tally.add(event)
    await tallying.tally.write()
    (record,) = tallying.records()
    assert (record.user, record.eid, record.previous_user) == (NO_PROFILE_USER, None, None)
    ((_, key, value, _),) = tallying.sink.records
    assert key.startswith(b"00000|~")
    for told in (event.user, "the-eid", "secret", "item-1", '"row"', '"rank"', '"lang"', "segments"):
        assert told.encode() not in value


async def test_events_that_count_in_no_window_by_themselves_write_nothing(tallying: Tallying) -> None:
    for event in (a_click(), a_buy(), a_login()):
        tallying.tally.add(event)
    await tallying.tally.write()
    assert tallying.records() == []


async def test_what_the_sink_does_not_take_is_written_later(tallying: Tallying) -> None:
    tallying.sink.refuses = lambda _event: "Kafka is away"
    for minute in range(3):
        tallying.tally.add(a_rendered(received_ms=START + minute * MINUTE_MS + 7))
        await tallying.tally.write()
    assert tallying.records() == []
    tallying.tally.add(a_rendered(received_ms=START + 8))
    tallying.sink.refuses = lambda _event: None
    await tallying.tally.write()
    assert tallying.numbers() == {
        ("00000", 0, "home", None): 2,
        ("00000", 1, "home", None): 1,
        ("00000", 2, "home", None): 1,
    }
    assert tallying.lost == 0


async def test_what_may_be_in_the_journal_is_not_written_again(tallying: Tallying) -> None:
    tallying.sink.loses_acknowledgements = True
    tallying.tally.add(a_rendered())
    tallying.tally.add(a_rendered())
    await tallying.tally.write()
    tallying.sink.loses_acknowledgements = False
    await tallying.tally.write()
    assert sum(tallying.numbers().values()) == 2
    assert tallying.lost == 2


async def test_many_names_become_several_records_that_a_worker_takes(tallying: Tallying) -> None:
    for number in range(450):
        names = {"scenario": f"{number:04}".ljust(256, "\U0001f600"), "variant": "\U0001f600" * 256}
        tallying.tally.add(a_rendered(**names))
    await tallying.tally.write()
    assert [len(record.counts) for record in tallying.records()] == [200, 200, 50]
    assert all(len(value) < MAX_RECORD_BYTES for _, _, value, _ in tallying.sink.records)


async def test_made_up_names_do_not_fill_the_memory(
    tallying: Tallying, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bot_tally, "_MAX_CELLS", 3)
    for number in range(5):
        tallying.tally.add(a_rendered(scenario=f"s{number}"))
    tallying.tally.add(a_rendered(scenario="s0"))
    await tallying.tally.write()
    assert {scenario: number for (_, _, scenario, _), number in tallying.numbers().items()} == {
        "s0": 2,
        "s1": 1,
        "s2": 1,
    }
    assert tallying.lost == 2
    tallying.tally.add(a_rendered(scenario="s4"))
    await tallying.tally.write()
    assert tallying.lost == 2


async def test_numbers_are_written_again_and_again(tallying: Tallying) -> None:
    running = asyncio.create_task(tallying.tally.run(interval_s=0))
    for number in range(1, 4):
        tallying.tally.add(a_rendered())
        async with asyncio.timeout(10):
            while len(tallying.records()) < number:
                await asyncio.sleep(0)
    running.cancel()
    assert tallying.numbers().total() == 3


async def test_a_sink_that_acknowledges_nothing_does_not_keep_the_collector_from_stopping(
    tallying: Tallying, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bot_tally, "_LAST_WRITE_S", 0.01)
    tallying.sink.may_acknowledge.clear()
    tallying.tally.add(a_rendered())
    async with asyncio.timeout(10):
        await tallying.tally.close()
