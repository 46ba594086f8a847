"""The records left in the segments: each partition's records in order, and which segments may go."""

from collections import Counter
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from app.journal.spool_format import SpoolRecord, SpoolTarget, encode
from app.journal.spool_segments import SpoolSegment, SpoolSegments

PLACES = [SpoolTarget("uptake.events", number) for number in range(3)]
HERE, THERE, _ = PLACES


def a_segment(number: int = 0, size_bytes: int = 16) -> SpoolSegment:
    return SpoolSegment(Path(f"{number}.seg"), size_bytes)


def encoded(number: int, place: SpoolTarget = HERE, received_ms: int = 0) -> tuple[SpoolRecord, bytes]:
    record = SpoolRecord(number, place, received_ms, b"key", b"v" * number)
    return record, encode(record)


def test_records_lie_one_after_another_behind_what_the_segment_has() -> None:
    segment = a_segment(size_bytes=16)
    first, second, third = encoded(5), encoded(6, THERE), encoded(7)
    segment.extend([first])
    segment.extend([second, third])
    here = 16 + len(first[1]) + len(second[1])
    assert {place: list(offsets) for place, offsets in segment.offsets.items()} == {
        HERE: [16, here],
        THERE: [16 + len(first[1])],
    }
    assert segment.size_bytes == here + len(third[1])
    assert segment.events == 3


def test_oldest_record_is_the_oldest_that_is_left_in_any_partition() -> None:
    segment, later = a_segment(), a_segment(1)
    segment.extend([encoded(1, HERE, 20), encoded(2, HERE, 60), encoded(3, THERE, 40)])
    later.extend([encoded(4, HERE, 50)])
    segments = SpoolSegments()
    segments.add([segment, later])
    assert segments.oldest_ms() == 20
    segment.forget(HERE, 1)
    assert segments.oldest_ms() == 40
    segment.forget(THERE, 1)
    assert segments.oldest_ms() == 50
    later.forget(HERE, 1)
    segment.forget(HERE, 1)
    assert segments.oldest_ms() is None


def test_segment_may_go_when_it_is_drained_and_grows_no_more() -> None:
    segments, left, active = SpoolSegments(), a_segment(0), a_segment(1)
    left.extend([encoded(1)])
    segments.add([left])
    segments.begin(active)
    assert segments.removable([left, active]) == []
    left.forget(HERE, 1)
    assert segments.removable([left, active]) == [left]
    assert segments.end() is active
    assert segments.active is None
    assert segments.removable([left, active]) == [left, active]
    segments.remove(left)
    assert segments.removable([left, active]) == [active]


def test_damaged_segments_are_counted_until_they_are_removed() -> None:
    segments, good, damaged = SpoolSegments(), a_segment(0), a_segment(1)
    damaged.damage = "the record at byte 16 is damaged"
    segments.add([good, damaged])
    assert (segments.damaged, segments.size_bytes) == (1, 32)
    segments.remove(damaged)
    assert (segments.damaged, segments.size_bytes) == (0, 16)


STEPS = st.one_of(
    st.tuples(st.just("append"), st.lists(st.sampled_from(PLACES), min_size=1, max_size=5)),
    st.tuples(st.just("end"), st.none()),
    st.tuples(st.just("drain"), st.tuples(st.sampled_from(PLACES), st.integers(1, 4))),
)


@given(st.lists(STEPS, max_size=40))
def test_every_partition_is_drained_in_order_over_all_segments(steps: list[tuple[str, object]]) -> None:
    segments = SpoolSegments()
    numbers: dict[tuple[Path, int], int] = {}
    left: dict[SpoolTarget, list[int]] = {place: [] for place in PLACES}
    written = begun = 0
    for name, argument in steps:
        if name == "append":
            if segments.active is None:
                begun += 1
                segments.begin(a_segment(begun))
            segment = segments.active
            assert segment is not None
            group = [encoded(written + index, place, written + index) for index, place in enumerate(argument)]  # type: ignore[call-overload]
            for record, _ in group:
                left[record.place].append(record.number)
            known = {place: len(offsets) for place, offsets in segment.offsets.items()}
            segment.extend(group)
            fresh = [
                (offset, place)
                for place, offsets in segment.offsets.items()
                for offset in list(offsets)[known.get(place, 0) :]
            ]
            for (offset, _), (record, _) in zip(sorted(fresh), group, strict=True):
                numbers[segment.path, offset] = record.number
            written += len(group)
        elif name == "end" and segments.active is not None:
            segments.end()
        elif name == "drain":
            place, count = argument  # type: ignore[misc]
            found = segments.next_of(place)
            assert (found is not None) == bool(left[place])
            if found is not None:
                offsets = list(found.offsets[place])[:count]
                assert [numbers[found.path, offset] for offset in offsets] == left[place][: len(offsets)]
                found.forget(place, len(offsets))
                del left[place][: len(offsets)]
                for each in segments.removable([found]):
                    segments.remove(each)
        assert segments.pending() == {place: len(each) for place, each in left.items() if each}
        assert segments.oldest_ms() == min((each[0] for each in left.values() if each), default=None)
    assert Counter(segments.pending()).total() == sum(map(len, left.values()))
