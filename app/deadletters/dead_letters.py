"""Dead letters as values: which records could not be folded, why, where a replay sends them, and which were replayed.

Pure. A *letter* is a record of ``uptake.deadletters`` with the headers of ``agents/partition.py::Partition.dead_letter``.
A *mark* is a record of the same topic that names the replayed letters of its partition.
The transaction that replays the letters also writes their mark, so the mark exists exactly if they were replayed.
It comes after them in the topic, so it does not expire before them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import msgspec

from agents.record_times import FIRST_APPENDED
from events.duration import parse_duration_ms
from events.partitions import partition_of
from events.topics import DEADLETTERS, HISTORY, JOURNAL, SOURCES

REPLAYED: Final = "replayed"
"""Header. Of a replayed record: ``uptake.deadletters/{partition}/{offset}``. Of a mark: how many letters it names."""
_UNKNOWN: Final = "?"  # topic and reason of a record without our headers


class LetterRecord(Protocol):
    """A record of ``uptake.deadletters``, as aiokafka returns it."""

    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class RecordAddress:
    """Address of a record, written ``topic/partition/offset``."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"

    @classmethod
    def parse(cls, text: str) -> "RecordAddress | None":
        """Return the address written ``topic/partition/offset``; None if the text is not one."""
        topic, _, rest = text.partition("/")
        partition, _, offset = rest.partition("/")
        if not (topic and partition.isdecimal() and offset.isdecimal()):
            return None
        return cls(topic, int(partition), int(offset))


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter, without its key and value."""

    place: RecordAddress
    """Address of the letter itself."""
    source: RecordAddress
    """Address of the record that could not be folded."""
    written_ms: int
    """When it became a dead letter, by the broker's clock."""
    source_ms: int
    """Timestamp of the record that could not be folded."""
    reason: str
    detail: str
    key_bytes: int | None
    value_bytes: int | None
    """Original length of the key and of the value if it was cut; else None."""
    home: int
    """Partition of its source topic that a replay sends it to; -1 if that does not exist."""
    size_bytes: int

    @property
    def is_cut(self) -> bool:
        """Part of the key or the value is missing."""
        return self.key_bytes is not None or self.value_bytes is not None

    @property
    def refusal(self) -> str | None:
        """Why it cannot be replayed; None if it can."""
        if self.source.topic == _UNKNOWN:
            return "it lacks the headers of a dead letter"
        if self.source.topic not in SOURCES:
            return f"{self.source.topic} is not a topic that workers read"
        if self.is_cut:
            return "it was cut: the rest of its key or value is not kept"
        if self.home < 0:
            return f"{self.source.topic} has no partition {self.source.partition}"
        return None


def read_mark(record: LetterRecord) -> list[int] | None:
    """Return the offsets, in its own partition, of the letters that a mark names; None if the record is a letter."""
    names = {name for name, _ in record.headers}
    if REPLAYED not in names or "topic" in names or record.value is None:
        return None
    try:
        return msgspec.json.decode(record.value, type=list[int])
    except msgspec.DecodeError:
        return None


def write_mark(offsets: Sequence[int]) -> tuple[bytes, list[tuple[str, bytes]]]:
    """Return the value and headers of the mark for letters at these offsets of its partition."""
    return msgspec.json.encode(sorted(offsets)), [(REPLAYED, b"%d" % len(offsets))]


def read_letter(record: LetterRecord, partitions: int) -> Letter:
    """Return a record of the dead letters as a letter; ``partitions`` is the partition count of the source topics."""
    headers = {name: value.decode(errors="replace") for name, value in record.headers}
    partition, offset = _number(headers, "partition"), _number(headers, "offset")
    place = RecordAddress(DEADLETTERS, record.partition, record.offset)
    if "topic" not in headers or partition is None or offset is None:
        source = RecordAddress(_UNKNOWN, -1, -1)
    else:
        source = RecordAddress(headers["topic"], partition, offset)
    return Letter(
        place,
        source,
        record.timestamp,
        _number(headers, FIRST_APPENDED) or 0,
        headers.get("reason", _UNKNOWN),
        headers.get("detail", ""),
        _number(headers, "key_bytes"),
        _number(headers, "value_bytes"),
        _home_of(source, record.key, partitions),
        len(record.key or b"") + len(record.value or b""),
    )


def _number(headers: dict[str, str], name: str) -> int | None:
    text = headers.get(name, "")
    return int(text) if text.isdecimal() and len(text) < 20 else None


def _home_of(source: RecordAddress, key: bytes | None, partitions: int) -> int:
    """Return the partition that a replayed record goes to; -1 if that does not exist.

    Events go to the partition of their key, as from every producer. Transfers and partial counts go back to their own partition:
    their producer chose it, by a key of its own.
    """
    if key is not None and source.topic in (JOURNAL, HISTORY):
        return partition_of(key, partitions)
    return source.partition if 0 <= source.partition < partitions else -1


# --- choosing ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Choice:
    """The letters that a command selects: by reason, by source topic, and by the time since which they are dead.

    An empty set selects all reasons or topics.
    """

    reasons: frozenset[str] = frozenset()
    topics: frozenset[str] = frozenset()
    since_ms: int = 0

    def has(self, letter: Letter) -> bool:
        """Return whether the letter is selected."""
        return (
            letter.written_ms >= self.since_ms
            and (not self.reasons or letter.reason in self.reasons)
            and (not self.topics or letter.source.topic in self.topics)
        )


def parse_since_ms(text: str, now_ms: int) -> int | None:
    """Return the time of ``PT2H`` (two hours ago) or ``2026-05-01T10:00`` (UTC unless it has an offset); None for other texts."""
    ago_ms = parse_duration_ms(text)
    if ago_ms is not None:
        return now_ms - ago_ms
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return int((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1000)


@dataclass(slots=True)
class LetterGroup:
    """Letters of one source topic and reason: how many there are, were replayed and are cut; the first and the last."""

    topic: str
    reason: str
    first: Letter
    last: Letter
    letters: int = 0
    replayed: int = 0
    cut: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return the group for JSON."""
        return {
            "topic": self.topic,
            "reason": self.reason,
            "letters": self.letters,
            "replayed": self.replayed,
            "cut": self.cut,
            "first": as_dict(self.first),
            "last": as_dict(self.last),
        }


@dataclass(slots=True)
class FoundLetters:
    """The letters of a choice, in the order of partition and offset, and the offsets of all letters that were replayed."""

    letters: list[Letter] = field(default_factory=list)
    replayed: set[tuple[int, int]] = field(default_factory=set)
    """(partition, offset) of each letter."""

    def is_replayed(self, letter: Letter) -> bool:
        """Return whether the letter was replayed."""
        return (letter.place.partition, letter.place.offset) in self.replayed

    def groups(self) -> list[LetterGroup]:
        """Return the letters by source topic and reason, the largest group first."""
        groups: dict[tuple[str, str], LetterGroup] = {}
        for letter in self.letters:
            key = (letter.source.topic, letter.reason)
            group = groups.setdefault(key, LetterGroup(*key, letter, letter))
            group.letters += 1
            group.replayed += self.is_replayed(letter)
            group.cut += letter.is_cut
            if letter.written_ms < group.first.written_ms:
                group.first = letter
            if letter.written_ms >= group.last.written_ms:
                group.last = letter
        return sorted(groups.values(), key=lambda group: (-group.letters, group.topic, group.reason))

    def waiting(self) -> list[Letter]:
        """Return the letters that can be replayed and were not."""
        return [letter for letter in self.letters if letter.refusal is None and not self.is_replayed(letter)]

    def refused(self) -> list[Letter]:
        """Return the letters that cannot be replayed."""
        return [letter for letter in self.letters if letter.refusal is not None]


def as_dict(letter: Letter) -> dict[str, Any]:
    """Return a letter for JSON, without its key and value."""
    return {
        "letter": str(letter.place),
        "source": str(letter.source),
        "written_ms": letter.written_ms,
        "source_ms": letter.source_ms,
        "reason": letter.reason,
        "detail": letter.detail,
        "key_bytes": letter.key_bytes,
        "value_bytes": letter.value_bytes,
    }


# --- for people -------------------------------------------------------------------------------------------------------------------


def printable(data: bytes | None, limit: int | None = 400) -> str:
    """Return bytes as one line without control characters for a terminal, cut at ``limit`` characters."""
    if data is None:
        return "(null)"
    shown = data if limit is None else data[: 4 * limit]
    text = "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in shown.decode(errors="backslashreplace")
    )
    if limit is None or (len(text) <= limit and len(shown) == len(data)):
        return text
    return f"{text[:limit]}... ({len(data):,} bytes in all)"


def utc(time_ms: int) -> str:
    """Return a time for people, in UTC."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def batches(letters: Iterable[Letter], max_letters: int, max_bytes: int) -> list[list[Letter]]:
    """Return the letters in batches that each fit into one transaction."""
    runs: list[list[Letter]] = []
    size_bytes = 0
    for letter in letters:
        if not runs or len(runs[-1]) >= max_letters or size_bytes + letter.size_bytes > max_bytes:
            runs.append([])
            size_bytes = 0
        runs[-1].append(letter)
        size_bytes += letter.size_bytes
    return runs
