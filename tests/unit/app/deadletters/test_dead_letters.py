"""The content of dead letters, which of them may be replayed, and to which topic."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.deadletters.dead_letters import (
    REPLAYED,
    Choice,
    FoundLetters,
    Letter,
    RecordAddress,
    batches,
    parse_since_ms,
    printable,
    read_letter,
    read_mark,
    utc,
    write_mark,
)
from events.codec import UndecodableError
from events.partitions import partition_of
from events.topics import DEADLETTERS, HISTORY, JOURNAL, PARTIALS, TRANSFERS
from tests.support.partitions import World

PARTITIONS = 4


@dataclass
class Stored:
    """A record of the dead letter topic."""

    partition: int = 1
    offset: int = 7
    timestamp: int = 1_700_000_000_000
    key: bytes | None = b"00000|k1.abc"
    value: bytes | None = b"{"
    headers: Any = field(default_factory=tuple)


def a_record(topic: str = JOURNAL, reason: str = "malformed", **fields: Any) -> Stored:
    extra = fields.pop("extra", ())
    headers = (
        ("topic", topic.encode()),
        ("partition", b"%d" % fields.pop("source_partition", 1)),
        ("offset", b"%d" % fields.pop("source_offset", 40)),
        ("timestamp", b"1699999999000"),
        ("reason", reason.encode()),
        ("detail", b"not JSON"),
        *extra,
    )
    return Stored(headers=headers, **fields)


def a_letter(**fields: Any) -> Letter:
    return read_letter(a_record(**fields), PARTITIONS)


def test_letter_says_where_its_record_stood_and_why_it_is_dead() -> None:
    letter = a_letter()
    assert (str(letter.place), str(letter.source)) == (f"{DEADLETTERS}/1/7", f"{JOURNAL}/1/40")
    assert (letter.reason, letter.detail, letter.source_ms) == ("malformed", "not JSON", 1_699_999_999_000)
    assert letter.refusal is None


async def test_what_a_worker_writes_is_read_back() -> None:
    """The headers are those that Partition.dead_letter writes."""
    world = World(partitions=4)
    partition = world.open(3)
    record: Any = Stored(partition=3, offset=12, timestamp=55, value=b"x" * 600_000)
    partition.dead_letter(HISTORY, record, UndecodableError("too_large", "600,000 bytes"))
    world.end()
    (output,) = partition.outputs
    stored = Stored(3, 0, 99, output.key, output.value, output.headers)
    letter = read_letter(stored, PARTITIONS)
    assert letter.source == RecordAddress(HISTORY, 3, 12)
    assert (letter.source_ms, letter.written_ms, letter.reason) == (55, 99, "too_large")
    assert (letter.value_bytes, letter.key_bytes) == (600_000, None)
    assert read_mark(stored) is None


@pytest.mark.parametrize(
    ("record", "refusal"),
    [
        (a_record(extra=(("value_bytes", b"600000"),)), "cut"),
        (a_record(extra=(("key_bytes", b"60000"),)), "cut"),
        (a_record("uptake.positions"), "uptake.positions is not a topic that workers read"),
        (a_record("__consumer_offsets"), "not a topic that workers read"),
        (a_record(DEADLETTERS), "not a topic that workers read"),
        (a_record(TRANSFERS, source_partition=PARTITIONS), f"no partition {PARTITIONS}"),
        (a_record(key=None, source_partition=99), "no partition 99"),
        (Stored(), "headers"),
        (Stored(headers=(("topic", b"uptake.events"), ("partition", b"x"), ("offset", b"1"))), "headers"),
        (Stored(headers=(("topic", b"uptake.events"), ("partition", b"1"), ("offset", b"-1"))), "headers"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_letter_that_cannot_be_made_whole_is_refused(record: Stored, refusal: str) -> None:
    letter = read_letter(record, PARTITIONS)
    assert refusal in str(letter.refusal)
    found = FoundLetters([letter])
    assert (found.waiting(), found.refused()) == ([], [letter])


@given(key=st.binary(max_size=40), topic=st.sampled_from([JOURNAL, HISTORY]), stood=st.integers(0, 3))
def test_events_go_where_their_key_belongs(key: bytes, topic: str, stood: int) -> None:
    assert a_letter(topic=topic, key=key, source_partition=stood).home == partition_of(key, PARTITIONS)


@pytest.mark.parametrize("topic", [TRANSFERS, PARTIALS])
def test_transfers_and_partials_go_where_they_stood(topic: str) -> None:
    homes = {a_letter(topic=topic, source_partition=number).home for number in range(PARTITIONS)}
    assert homes == set(range(PARTITIONS))


def test_record_without_a_key_goes_where_it_stood() -> None:
    assert a_letter(key=None, source_partition=2).home == 2


def test_mark_names_the_letters_that_were_replayed() -> None:
    value, headers = write_mark([9, 3])
    assert read_mark(Stored(key=None, value=value, headers=headers)) == [3, 9]
    assert read_mark(a_record()) is None


@pytest.mark.parametrize("value", [None, b"", b"{", b'["3"]', b'{"3": 9}'])
def test_what_is_not_a_mark_replays_nothing(value: bytes | None) -> None:
    assert read_mark(Stored(value=value, headers=((REPLAYED, b"1"),))) is None


def test_letter_cannot_pass_for_a_mark() -> None:
    assert read_mark(a_record(value=b"[1, 2]", extra=((REPLAYED, b"2"),))) is None


def test_replayed_letters_wait_no_more() -> None:
    letters = [a_letter(offset=offset) for offset in (1, 2, 3)]
    found = FoundLetters(letters, {(1, 2), (0, 3)})
    assert [letter.place.offset for letter in found.waiting()] == [1, 3]
    assert found.refused() == []


def test_groups_count_and_name_the_first_and_the_last() -> None:
    letters = [
        a_letter(offset=1, timestamp=300, source_offset=10),
        a_letter(offset=2, timestamp=100, source_offset=11),
        a_letter(offset=3, timestamp=200, source_offset=12, extra=(("value_bytes", b"9"),)),
        a_letter(offset=4, timestamp=50, reason="null"),
        a_letter(offset=5, timestamp=60, topic=HISTORY, reason="null"),
    ]
    first, second, third = FoundLetters(letters, {(1, 1)}).groups()
    assert (first.topic, first.reason, first.letters, first.replayed, first.cut) == (
        JOURNAL,
        "malformed",
        3,
        1,
        1,
    )
    assert (first.first.source.offset, first.last.source.offset) == (11, 10)
    assert [(group.topic, group.reason) for group in (second, third)] == [
        (JOURNAL, "null"),
        (HISTORY, "null"),
    ]
    assert first.as_dict()["first"]["source"] == f"{JOURNAL}/1/11"


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (Choice(), True),
        (Choice(reasons=frozenset({"null"})), False),
        (Choice(reasons=frozenset({"null", "malformed"})), True),
        (Choice(topics=frozenset({HISTORY})), False),
        (Choice(topics=frozenset({JOURNAL}), since_ms=1_000), True),
        (Choice(since_ms=1_001), False),
    ],
)
def test_choice(choice: Choice, expected: bool) -> None:
    assert choice.has(a_letter(timestamp=1_000)) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("PT2H", 10_000_000_000 - 7_200_000),
        ("1970-04-26T17:46:40", 10_000_000_000),
        ("1970-04-26T19:46:40+02:00", 10_000_000_000),
        ("1970-04-26", 9_936_000_000),
        ("yesterday", None),
        ("", None),
        ("P1M", None),
    ],
)
def test_since(text: str, expected: int | None) -> None:
    assert parse_since_ms(text, now_ms=10_000_000_000) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{JOURNAL}/3/17", RecordAddress(JOURNAL, 3, 17)),
        ("3/17", None),
        (f"{JOURNAL}/3", None),
        (f"{JOURNAL}/a/1", None),
        (f"{JOURNAL}/-1/1", None),
        ("", None),
    ],
)
def test_place(text: str, expected: RecordAddress | None) -> None:
    assert RecordAddress.parse(text) == expected


@given(st.binary(max_size=200))
def test_what_is_shown_commands_no_terminal(data: bytes) -> None:
    assert printable(data, None).isprintable()
    assert len(printable(data, 20)) < 60


def test_long_value_is_cut_and_says_how_long_it_was() -> None:
    assert printable(b"a" * 1_000, 10) == "aaaaaaaaaa... (1,000 bytes in all)"
    assert printable(None) == "(null)"
    assert printable(b'{"item":"\xc3\xa9\xff\x1b[2J"}') == '{"item":"é\\xff\\x1b[2J"}'


@given(
    sizes=st.lists(st.integers(0, 50), max_size=30),
    max_letters=st.integers(1, 6),
    max_bytes=st.integers(1, 60),
)
def test_batches_hold_every_letter_once_in_order_and_stay_small(
    sizes: list[int], max_letters: int, max_bytes: int
) -> None:
    letters = [a_letter(offset=number, key=b"", value=b"x" * size) for number, size in enumerate(sizes)]
    runs = batches(letters, max_letters, max_bytes)
    assert [letter for run in runs for letter in run] == letters
    assert all(len(run) <= max_letters for run in runs)
    assert all(len(run) == 1 or sum(letter.size_bytes for letter in run) <= max_bytes for run in runs)


def test_times_are_utc() -> None:
    at = datetime(2026, 5, 1, 10, tzinfo=UTC)
    assert utc(int(at.timestamp() * 1000)) == "2026-05-01 10:00:00"
