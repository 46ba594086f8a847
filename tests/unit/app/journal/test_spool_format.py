"""A segment returns the records written to it; if its end is missing, the first ones; never any others."""

import zlib

from hypothesis import given, settings
from hypothesis import strategies as st

from app.journal.spool_format import (
    RECORD_HEAD_BYTES,
    SEGMENT_HEAD_BYTES,
    SpoolRecord,
    SpoolTarget,
    encode,
    record_at,
    records,
    scan,
    segment_head,
)

PLACES = st.builds(
    SpoolTarget, st.sampled_from(["uptake.events", "uptake.events.history"]), st.integers(0, 2**32 - 1)
)
RECORDS = st.builds(
    SpoolRecord,
    st.integers(0, 2**64 - 1),
    PLACES,
    st.integers(0, 9_999_999_999_999),
    st.binary(max_size=40),
    st.binary(max_size=60),
)
A_RECORD = SpoolRecord(1, SpoolTarget("t", 0), 5, b"k", b"v")
LISTS = st.lists(RECORDS, max_size=6)


def a_segment(written: list[SpoolRecord]) -> bytes:
    return segment_head() + b"".join(map(encode, written))


def ends(written: list[SpoolRecord]) -> list[int]:
    """Return the offset after each record."""
    found, offset = [], SEGMENT_HEAD_BYTES
    for record in written:
        offset += len(encode(record))
        found.append(offset)
    return found


@given(LISTS)
def test_what_was_written_is_read(written: list[SpoolRecord]) -> None:
    data = a_segment(written)
    found = scan(data)
    assert [each.record for each in found.found] == written
    assert (found.good_bytes, found.torn_bytes, found.damage) == (len(data), 0, None)
    assert [record_at(data, each.offset) for each in found.found] == written
    assert list(records(data[SEGMENT_HEAD_BYTES:])) == written


@given(LISTS, st.data())
def test_any_cut_leaves_exactly_the_records_before_it(
    written: list[SpoolRecord], data: st.DataObject
) -> None:
    whole = a_segment(written)
    cut = data.draw(st.integers(0, len(whole)))
    found = scan(whole[:cut])
    assert found.damage is None
    assert [each.record for each in found.found] == [
        record for record, end in zip(written, ends(written), strict=True) if end <= cut
    ]
    assert found.good_bytes + found.torn_bytes == cut


@given(LISTS, st.integers(0, 6), st.integers(0, 100))
def test_end_that_was_never_written_is_torn(written: list[SpoolRecord], kept: int, zeros: int) -> None:
    data = a_segment(written[:kept])
    found = scan(data + bytes(zeros))
    assert [each.record for each in found.found] == written[:kept]
    assert (found.good_bytes, found.torn_bytes, found.damage) == (len(data), zeros, None)


@settings(max_examples=400)
@given(st.lists(RECORDS, min_size=1, max_size=6), st.data())
def test_any_flipped_bit_is_damage_and_no_wrong_record_is_read(
    written: list[SpoolRecord], data: st.DataObject
) -> None:
    whole = bytearray(a_segment(written))
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] ^= 1 << data.draw(st.integers(0, 7))
    found = scan(bytes(whole))
    assert found.damage is not None
    hit = sum(end <= place for end in ends(written))
    read = [each.record for each in found.found]
    assert all(record in written for record in read)
    if place >= SEGMENT_HEAD_BYTES:
        assert read[:hit] == written[:hit]
        assert written[hit] not in read[hit : hit + 1] or written.count(written[hit]) > 1


def test_records_behind_a_damaged_body_are_read() -> None:
    written = [SpoolRecord(number, SpoolTarget("t", 0), 5, b"k", b"value-%d" % number) for number in range(3)]
    data = bytearray(a_segment(written))
    data[ends(written)[1] - 1] ^= 0xFF
    found = scan(bytes(data))
    assert [each.record for each in found.found] == [written[0], written[2]]
    assert found.damage == f"the record at byte {ends(written)[0]} is damaged"


@settings(max_examples=200)
@given(st.lists(RECORDS, min_size=1, max_size=6), st.data())
def test_every_intact_record_is_read_wherever_the_damage_is(
    written: list[SpoolRecord], data: st.DataObject
) -> None:
    """A run of bytes is overwritten, in the segment's head, in heads of records or in bodies."""
    whole = bytearray(a_segment(written))
    start = data.draw(st.integers(0, len(whole) - 1))
    length = data.draw(st.integers(1, 60))
    length = min(length, len(whole) - start)
    whole[start : start + length] = bytes(byte ^ 0xA5 for byte in whole[start : start + length])
    places = list(zip([SEGMENT_HEAD_BYTES, *ends(written)], ends(written), strict=False))
    intact = [
        record
        for record, (begin, end) in zip(written, places, strict=True)
        if end <= start or begin >= start + length
    ]
    found = scan(bytes(whole))
    assert [each.record for each in found.found] == intact
    assert found.damage is not None or found.torn_bytes


def test_segment_of_another_version_is_not_read() -> None:
    head = b"UPTSPOOL" + (2).to_bytes(4, "little")
    data = head + zlib.crc32(head).to_bytes(4, "little") + a_segment([A_RECORD])[SEGMENT_HEAD_BYTES:]
    found = scan(data)
    assert (found.found, found.damage) == ([], "its head is damaged, or of another version")


def test_format_is_the_documented_one() -> None:
    record = SpoolRecord(7, SpoolTarget("uptake.events", 3), 1_700_000_000_000, b"c|k1.u", b"{}")
    body = (
        (1_700_000_000_000).to_bytes(8, "little")
        + (3).to_bytes(4, "little")
        + (13).to_bytes(2, "little")
        + (6).to_bytes(2, "little")
        + b"uptake.eventsc|k1.u{}"
    )
    head = (
        len(body).to_bytes(4, "little") + zlib.crc32(body).to_bytes(4, "little") + (7).to_bytes(8, "little")
    )
    assert encode(record) == head + zlib.crc32(head).to_bytes(4, "little") + body
    assert len(head) + 4 == RECORD_HEAD_BYTES
    assert segment_head() == b"UPTSPOOL" + (1).to_bytes(4, "little") + zlib.crc32(
        b"UPTSPOOL" + (1).to_bytes(4, "little")
    ).to_bytes(4, "little")
