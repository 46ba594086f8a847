"""A record is queued, then pending, then drained, and counted in exactly one of these; order is kept throughout."""

from collections import Counter
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from app.journal.spool_format import SpoolRecord, SpoolTarget, encode, record_at
from app.journal.spool_queue import QueuedRecord, SpoolQueue
from app.journal.spool_segments import SpoolBatch, SpoolSegment

PLACES = [SpoolTarget("uptake.events", number) for number in range(3)]
HERE, THERE, ELSEWHERE = PLACES


def ignore(_error: OSError | None) -> None: ...


def add(queue: SpoolQueue, place: SpoolTarget = HERE, value: bytes = b"{}") -> None:
    queue.add(place, 7, b"key", value, ignore)


def a_batch(place: SpoolTarget, records: list[QueuedRecord], count: int) -> SpoolBatch:
    return SpoolBatch(SpoolSegment(Path("1.seg")), place, [each.record for each in records], count)


def test_records_are_taken_once_in_their_order_and_encoded() -> None:
    queue = SpoolQueue()
    queue.next_number = 41
    add(queue, HERE, b"one")
    add(queue, THERE, b"two")
    group = queue.take_queued()
    assert queue.take_queued() == []
    assert [(each.record.number, each.record.place, each.record.value) for each in group] == [
        (41, HERE, b"one"),
        (42, THERE, b"two"),
    ]
    assert [record_at(each.data) for each in group] == [each.record for each in group]
    assert queue.next_number == 43


def test_record_is_held_from_the_moment_it_is_queued_until_it_is_drained() -> None:
    queue = SpoolQueue()
    count = queue.partition(HERE)
    add(queue)
    group = queue.take_queued()
    assert (count.held, count.pending, queue.places()) == (1, 0, [])
    queue.written(group)
    assert (count.held, count.pending, queue.places()) == (1, 1, [HERE])
    queue.drained(a_batch(HERE, group, 1))
    assert (count.held, count.pending, queue.places()) == (0, 0, [])
    assert queue.partition(HERE) is count


def test_record_that_the_disk_refuses_is_held_no_more() -> None:
    queue = SpoolQueue()
    add(queue)
    add(queue, THERE)
    queue.refused(queue.take_queued())
    assert (queue.partition(HERE).held, queue.partition(THERE).held, queue.queued_bytes) == (0, 0, 0)
    assert (queue.counts.spooled, queue.counts.events) == (0, 0)


def test_damaged_records_are_passed_over_and_not_counted_as_sent() -> None:
    queue = SpoolQueue()
    add(queue)
    add(queue)
    group = queue.take_queued()
    queue.written(group)
    queue.drained(a_batch(HERE, group[:1], 2))
    assert (queue.counts.events, queue.counts.drained) == (0, 1)


def test_disk_has_work_until_all_is_written_and_noted() -> None:
    queue = SpoolQueue()
    assert queue.is_idle
    add(queue)
    assert not queue.is_idle
    group = queue.take_queued()
    assert queue.is_idle
    queue.written(group)
    batch = a_batch(HERE, group, 1)
    queue.drained(batch)
    assert not queue.is_idle
    assert queue.take_drained() == [batch]
    assert queue.take_drained() == []
    assert queue.is_idle


def test_recount_keeps_what_is_queued_and_leaves_out_what_was_drained_meanwhile() -> None:
    queue = SpoolQueue()
    for place in (HERE, HERE, HERE, ELSEWHERE):
        add(queue, place)
    group = queue.take_queued()
    queue.written(group)
    queue.drained(a_batch(HERE, group[:1], 1))
    add(queue)
    queue.begin_count()
    queue.drained(a_batch(HERE, group[1:2], 1))
    queue.end_count({HERE: 2, THERE: 5})
    assert (queue.partition(HERE).pending, queue.partition(HERE).held) == (1, 2)
    assert (queue.partition(THERE).pending, queue.partition(THERE).held) == (5, 5)
    assert (queue.partition(ELSEWHERE).pending, queue.partition(ELSEWHERE).held) == (0, 0)
    assert queue.counts.events == 6


STEPS = st.one_of(
    st.tuples(st.just("add"), st.tuples(st.sampled_from(PLACES), st.binary(max_size=4))),
    st.tuples(st.sampled_from(["take", "written", "refused", "count"]), st.none()),
    st.tuples(st.just("drained"), st.tuples(st.sampled_from(PLACES), st.integers(1, 3))),
)


@given(st.lists(STEPS, max_size=60))
def test_counts_are_those_of_the_records(steps: list[tuple[str, object]]) -> None:
    queue = SpoolQueue()
    queued: list[tuple[SpoolTarget, bytes]] = []
    group: list[QueuedRecord] = []
    disk: list[QueuedRecord] = []
    spooled = drained = 0
    for name, argument in steps:
        if name == "add":
            place, value = argument  # type: ignore[misc]
            add(queue, place, value)
            queued.append((place, value))
        elif name == "take" and not group:
            group = queue.take_queued()
            assert [(each.record.place, each.record.value) for each in group] == queued
            queued = []
        elif name == "written":
            queue.written(group)
            disk += group
            spooled, group = spooled + len(group), []
        elif name == "refused":
            queue.refused(group)
            group = []
        elif name == "count":
            queue.begin_count()
            queue.end_count(Counter(each.record.place for each in disk))
        elif name == "drained":
            place, most = argument  # type: ignore[misc]
            batch = [each for each in disk if each.record.place == place][:most]
            disk = [each for each in disk if each not in batch]
            queue.drained(a_batch(place, batch, len(batch)))
            drained += len(batch)
        pending = Counter(each.record.place for each in disk)
        coming = Counter([place for place, _ in queued] + [each.record.place for each in group])
        for place in PLACES:
            assert queue.partition(place).pending == pending[place]
            assert queue.partition(place).held == pending[place] + coming[place]
        assert set(queue.places()) == set(pending)
        sizes = [len(each.data) for each in group] + [
            len(encode(a_record(place, value))) for place, value in queued
        ]
        assert queue.queued_bytes == sum(sizes)
        assert (queue.counts.spooled, queue.counts.drained, queue.counts.events) == (
            spooled,
            drained,
            len(disk),
        )
    numbers = [each.record.number for each in disk]
    assert numbers == sorted(set(numbers))


def a_record(place: SpoolTarget, value: bytes) -> SpoolRecord:
    return SpoolRecord(0, place, 7, b"key", value)
