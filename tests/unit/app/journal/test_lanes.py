"""Lanes of the sink: partitions do not disturb each other; order, counts and bounds hold while Kafka takes no events."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from app.journal import kafka_sink
from app.journal.broker_link import LostError
from app.journal.kafka_sink import KafkaSink
from app.journal.sink import FateUnknownError, NotTakenError
from app.journal.spool_disk import Disk
from app.journal.spool_format import SpoolTarget
from events.codec import decode
from events.model import Click
from events.partitions import partition_of
from events.topics import JOURNAL

PARTITIONS = 4


class Kafka:
    """A double of aiokafka's producer and its broker, with at most one batch in flight per partition.

    ``log`` holds what it acknowledged.
    """

    def __init__(self) -> None:
        self.log: dict[int, list[Click]] = {number: [] for number in range(PARTITIONS)}
        self.held: set[int] = set()
        self.leaderless: set[int] = set()
        self.on_their_way: dict[int, tuple[list[Click], asyncio.Future[None]]] = {}
        self.batches = 0

    def leader(self, place: SpoolTarget) -> int | None:
        return None if place.partition in self.leaderless else place.partition

    async def turn(self, place: SpoolTarget) -> None: ...

    async def hand_on(
        self, place: SpoolTarget, records: Any, timeout_ms: int
    ) -> tuple[int, "asyncio.Future[None]"]:
        number, ack = place.partition, asyncio.get_running_loop().create_future()
        assert number not in self.on_their_way, "a partition has one batch at a time"
        clicks = [decode(value) for _, _, value in records]
        assert all(isinstance(click, Click) for click in clicks)
        self.batches += 1
        self.on_their_way[number] = (clicks, ack)  # type: ignore[assignment]
        if number not in self.held:
            asyncio.get_running_loop().call_soon(self.acknowledge, number)
        return len(records), ack

    def acknowledge(self, number: int) -> None:
        clicks, ack = self.on_their_way.pop(number)
        self.log[number] += clicks
        if not ack.done():
            ack.set_result(None)

    def lose(self, number: int, *, is_written: bool) -> None:
        clicks, ack = self.on_their_way.pop(number)
        if is_written:
            self.log[number] += clicks
        ack.set_exception(LostError("gone"))

    def release(self, number: int) -> None:
        self.held.discard(number)
        if number in self.on_their_way:
            self.acknowledge(number)


class FakeConnection:
    """A double of BrokerLink: the part that lanes and sink use."""

    def __init__(self, kafka: Kafka, changed: Callable[[], None]) -> None:
        self.link: Any = kafka
        self.problems: list[str] = []
        self.is_misfit = False
        self.broken = 0
        self._changed = changed

    def refusal(self, topic: str) -> str | None:
        return self.problems[0] if self.problems else None

    def away(self, *problems: str) -> None:
        self.problems = list(problems)
        self._changed()

    def broke(self, link: Any) -> None:
        self.broken += 1

    def look(self) -> None: ...

    def start(self) -> None: ...

    async def stop(self) -> None: ...


class Running:
    def __init__(self, sink: KafkaSink, kafka: Kafka) -> None:
        self.sink, self.kafka = sink, kafka
        self.connection = FakeConnection(kafka, sink._changed)
        sink._connection = self.connection  # type: ignore[assignment]

    async def click(self, partition: int, item: str, eid: str | None = None) -> None:
        await self.sink.send(JOURNAL, a_click(partition, item, eid))

    def begin(self, partition: int, item: str, eid: str | None = None) -> "asyncio.Task[None]":
        return asyncio.create_task(self.click(partition, item, eid))

    def items(self, partition: int) -> list[str]:
        """The items of the log, each ``eid`` once, as the tables count them."""
        seen: set[str | None] = set()
        found = []
        for click in self.kafka.log[partition]:
            if click.eid is None or click.eid not in seen:
                found.append(click.item)
            seen.add(click.eid)
        return found


USERS = {partition_of(f"c|k1.{n}".encode(), PARTITIONS): f"k1.{n}" for n in range(60)}


def a_click(partition: int, item: str, eid: str | None = None) -> Click:
    return Click(customer="c", user=USERS[partition], item=item, received_ms=1_700_000_000_000, eid=eid)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.005)


@pytest.fixture
async def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[..., Any]]:
    """Return a function that starts sinks on one spool directory; they stop in the end."""
    monkeypatch.setattr(kafka_sink, "_TICK_SECONDS", 0.01)
    monkeypatch.setattr(kafka_sink, "_STOP_SECONDS", 0.2)
    async with AsyncExitStack() as stack:

        async def start(kafka: Kafka, spool_bytes: int = 10**6, **options: Any) -> Running:
            options = {"stall_ms": 60, "ack_timeout_ms": 400, "linger_ms": 0, **options}
            sink = KafkaSink(
                "nowhere:1",
                {JOURNAL: PARTITIONS},
                spool_dir=tmp_path / "spool",
                spool_bytes=spool_bytes,
                **options,
            )
            running = Running(sink, kafka)
            await sink.start()
            stack.push_async_callback(sink.stop)
            return running

        yield start


async def test_partition_that_acknowledges_nothing_holds_up_no_other(start: Callable[..., Any]) -> None:
    kafka = Kafka()
    kafka.held = {0}
    running = await start(kafka, spool_bytes=0)
    stuck = running.begin(0, "stuck")
    with pytest.raises(NotTakenError, match="acknowledged nothing of partition 0"):
        await until_refused(running, 0)
    for number in range(20):
        await running.click(1, f"{number}")
    with pytest.raises(FateUnknownError):
        await stuck
    assert running.items(1) == [f"{number}" for number in range(20)]
    kafka.release(0)
    await asyncio.sleep(0.05)
    await running.click(0, "again")
    assert running.items(0)[0] == "stuck"


async def until_refused(running: Running, partition: int) -> None:
    async with asyncio.timeout(10):
        while True:
            task = running.begin(partition, "probe")
            await asyncio.wait([task], timeout=0.3)
            if task.done():
                task.result()


async def test_partition_without_leader_is_spooled_and_the_others_go_on(start: Callable[..., Any]) -> None:
    kafka = Kafka()
    kafka.leaderless = {2}
    running = await start(kafka)
    for number in range(5):
        await running.click(2, f"{number}")
    await running.click(1, "other")
    assert (running.items(2), running.items(1)) == ([], ["other"])
    assert running.sink.problems() == []
    assert any("partition 2" in each for each in running.sink.warnings())
    kafka.leaderless = set()
    await until(lambda: len(running.items(2)) == 5)
    assert running.items(2) == ["0", "1", "2", "3", "4"]


async def test_what_comes_while_a_batch_is_on_its_way_goes_into_the_next(start: Callable[..., Any]) -> None:
    kafka = Kafka()
    kafka.held = {0}
    running = await start(kafka, stall_ms=5_000)
    first = running.begin(0, "first")
    await until(lambda: 0 in kafka.on_their_way)
    others = [running.begin(0, f"{number}") for number in range(30)]
    await asyncio.sleep(0.02)
    kafka.release(0)
    await asyncio.gather(first, *others)
    assert kafka.batches == 2
    assert running.items(0) == ["first", *(f"{number}" for number in range(30))]


async def test_order_is_kept_through_an_outage_and_back(start: Callable[..., Any]) -> None:
    kafka = Kafka()
    running = await start(kafka)
    await running.click(0, "0")
    kafka.held = {0}
    on_its_way = running.begin(0, "1", "e1")
    await asyncio.sleep(0)
    waiting = [running.begin(0, f"{number}") for number in range(2, 5)]
    await on_its_way  # spooled, because it carries an eid
    await asyncio.gather(*waiting)
    for number in range(5, 8):
        await running.click(0, f"{number}")
    assert running.items(0) == ["0"]
    kafka.release(0)
    after = [running.begin(0, f"{number}") for number in range(8, 11)]
    await asyncio.gather(*after)
    await until(lambda: running.sink.spool_counts().events == 0)
    assert running.items(0) == [f"{number}" for number in range(11)]
    assert len(kafka.log[0]) == 12, "the event that was on its way came twice, and counts once"


async def test_event_without_eid_that_was_handed_on_is_never_spooled(start: Callable[..., Any]) -> None:
    kafka = Kafka()
    kafka.held = {0}
    running = await start(kafka)
    handed = running.begin(0, "handed")
    with pytest.raises(FateUnknownError):
        await handed
    kafka.lose(0, is_written=True)
    kafka.held = set()
    await running.click(0, "next")
    await until(lambda: running.items(0) == ["handed", "next"])
    assert running.connection.broken == 1


async def test_event_with_eid_whose_batch_is_lost_goes_into_the_spool_first(
    start: Callable[..., Any],
) -> None:
    kafka = Kafka()
    kafka.held = {0}
    running = await start(kafka, stall_ms=5_000)
    handed = running.begin(0, "0", "e0")
    await until(lambda: 0 in kafka.on_their_way)
    behind = running.begin(0, "1")
    await asyncio.sleep(0.02)
    kafka.held = set()
    kafka.lose(0, is_written=False)
    await asyncio.gather(handed, behind)
    await until(lambda: len(running.items(0)) == 2)
    assert running.items(0) == ["0", "1"]


async def test_event_whose_batch_is_lost_and_whose_copy_fails_is_answered(
    start: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    kafka = Kafka()
    kafka.held = {0}
    running = await start(kafka, stall_ms=60_000, ack_timeout_ms=100)

    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    handed = running.begin(0, "0", "e0")
    await until(lambda: 0 in kafka.on_their_way)
    with monkeypatch.context() as patch:
        patch.setattr("app.journal.spool_disk.write_all", fail)
        patch.setattr("app.journal.spool_disk.write_file", fail)
        kafka.lose(0, is_written=False)
        async with asyncio.timeout(5):
            with pytest.raises(FateUnknownError):
                await handed


async def test_lane_under_load_leaves_the_spool(start: Callable[..., Any]) -> None:
    kafka = Kafka()
    running = await start(kafka)
    running.connection.away("Kafka is away")
    for number in range(50):
        await running.click(0, f"{number}")
    running.connection.away()
    numbers = iter(range(50, 10**6))
    while running.sink.spool_counts().drained < running.sink.spool_counts().spooled:
        await asyncio.gather(*(running.click(0, f"{next(numbers)}") for _ in range(5)))
    spooled = running.sink.spool_counts().spooled
    for _ in range(20):
        await running.click(0, f"{next(numbers)}")
    assert running.sink.spool_counts().spooled == spooled
    assert running.items(0) == [f"{number}" for number in range(next(numbers))]


async def test_full_spool_refuses_and_takes_again_when_it_is_drained(start: Callable[..., Any]) -> None:
    kafka = Kafka()
    running = await start(kafka, spool_bytes=2_000)
    running.connection.away("Kafka is away")
    taken = 0
    while running.sink._spool.refusal() is None:
        await running.click(0, f"{taken}")
        taken += 1
    with pytest.raises(NotTakenError, match="is full"):
        await running.click(0, "too much")
    assert taken > 5
    assert running.sink.spool_counts().bytes < 2_500
    assert "is full" in running.sink.problems()[0]
    running.connection.away()
    await until(lambda: running.sink.spool_counts().bytes == 0)
    assert running.items(0) == [f"{number}" for number in range(taken)]
    assert running.sink.problems() == []


async def test_disk_that_cannot_be_written_refuses_and_recovers_by_itself(
    start: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    kafka = Kafka()
    running = await start(kafka)
    monkeypatch.setattr("app.journal.spool._PROBE_SECONDS", 0.02)
    running.connection.away("Kafka is away")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("app.journal.spool_disk.write_all", fail)
        patch.setattr("app.journal.spool_disk.write_file", fail)
        with pytest.raises(NotTakenError, match="No space left"):
            await running.click(0, "0")
        assert "No space left" in running.sink.problems()[0]
    await until(lambda: not running.sink.problems())
    await running.click(0, "1")
    running.connection.away()
    await until(lambda: running.items(0) == ["1"])


async def test_crash_between_acknowledgement_and_note_sends_again_with_the_same_eid(
    start: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events that enter the spool get an eid for this reason: without one, they would count twice."""
    kafka = Kafka()
    first = await start(kafka)
    first.connection.away("Kafka is away")
    for number in range(5):
        await first.click(0, f"{number}")
    monkeypatch.setattr(Disk, "note", lambda *_: None)
    monkeypatch.setattr(Disk, "close", lambda disk: [each.release() for each in disk._directories])
    first.connection.away()
    await until(lambda: len(kafka.log[0]) == 5)
    await first.sink.stop()
    monkeypatch.undo()
    second = await start(kafka)
    await until(lambda: len(kafka.log[0]) == 10)
    assert second.items(0) == ["0", "1", "2", "3", "4"]
    assert len({click.eid for click in kafka.log[0]}) == 5


async def test_events_of_a_former_process_come_before_new_ones(start: Callable[..., Any]) -> None:
    first = await start(Kafka())
    first.connection.away("Kafka is away")
    for number in range(5):
        await first.click(0, f"{number}")
    await first.sink.stop()
    kafka = Kafka()
    second = await start(kafka)
    await second.click(0, "5")
    await until(lambda: len(second.items(0)) == 6)
    assert second.items(0) == ["0", "1", "2", "3", "4", "5"]


async def test_misfit_topics_are_neither_written_nor_spooled(start: Callable[..., Any]) -> None:
    running = await start(Kafka())
    running.connection.is_misfit = True
    running.connection.away("topic has 5 partitions, expected 4")
    with pytest.raises(NotTakenError, match="expected 4"):
        await running.click(0, "0")
    assert running.sink.problems() == ["topic has 5 partitions, expected 4"]
    assert running.sink.spool_counts().spooled == 0


async def test_no_more_than_half_of_the_limit_waits_for_one_partition(start: Callable[..., Any]) -> None:
    kafka = Kafka()
    kafka.held = {0}
    running = await start(kafka, stall_ms=60_000, ack_timeout_ms=60_000, max_pending=20)
    tasks = [running.begin(0, f"{number}") for number in range(15)]
    await asyncio.sleep(0.05)
    tasks += [running.begin(0, f"{number}") for number in range(15, 19)]
    await asyncio.sleep(0.05)
    refused = [task for task in tasks if task.done()]
    assert refused
    assert all(isinstance(task.exception(), NotTakenError) for task in refused)
    await running.click(1, "other")
    kafka.release(0)
    await asyncio.wait(tasks)


async def test_event_behind_a_long_spool_goes_into_it_and_waits_for_no_drain(
    start: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.journal.lane_order._HANDOVER_RECORDS", 3)
    kafka = Kafka()
    kafka.held = {0}
    running = await start(kafka, stall_ms=60_000, ack_timeout_ms=60_000)
    running.connection.away("Kafka is away")
    for number in range(10):
        await running.click(0, f"{number}")
    running.connection.away()
    await until(lambda: 0 in kafka.on_their_way)
    async with asyncio.timeout(10):
        await running.click(0, "10")
    kafka.release(0)
    await until(lambda: running.items(0) == [f"{number}" for number in range(11)])
