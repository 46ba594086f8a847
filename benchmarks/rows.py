"""Changelog rows of many users: the transitions fold a shop's events, and the rows are repeated under any number of keys."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from zlib import crc32

from benchmarks.shop import MIX, Shop
from benchmarks.traffic import CUSTOMER, Record, user_name
from benchmarks.transitions import MemoryTables
from events.codec import decode
from events.model import user_key
from events.partitions import partition_of
from tables.declare import BY_NAME
from tables.fold.fold_event import fold

VISITORS: Final = 2_000
"""How many users are folded; the others get the rows of these, in turn."""

Rows = Mapping[tuple[str, bytes], bytes]
"""Table and end of the key -> encoded row, of one user. The end is empty where a table has one row a user."""


def rows_of_visitors(events_per_user: int, seed: int, start_ms: int, visitors: int = VISITORS) -> list[Rows]:
    """Return the rows of each visitor after ``events_per_user`` events on average, without logins, which would empty them."""
    mix = {kind: share for kind, share in MIX.items() if kind != "login"}
    shop = Shop(visitors * events_per_user, visitors, 1, seed, start_ms, mix=mix)
    tables = MemoryTables()
    for record in shop.records():
        fold(tables, record.key, decode(record.value))
    rows: dict[bytes, dict[tuple[str, bytes], bytes]] = {}
    for table, memory in tables.all().items():
        encode = BY_NAME[table].encode
        for key, state in memory.items():
            user, zero, rest = key.partition(b"\0")
            rows.setdefault(user, {})[table, zero + rest] = encode(state)
    return [rows[key] for key in sorted(rows)]


@dataclass
class Digest:
    """The number and size of rows, and the sum of the checksums of keys and values, which does not depend on their order."""

    rows: int = 0
    checksum: int = 0
    size_bytes: int = 0

    def add(self, key: bytes, value: bytes) -> None:
        self.rows += 1
        self.checksum = (self.checksum + crc32(value, crc32(key))) & 0xFFFFFFFFFFFFFFFF
        self.size_bytes += len(key) + len(value)


def digest_of(rows: Iterable[tuple[bytes, bytes]]) -> Digest:
    """Return the digest of rows."""
    digest = Digest()
    for key, value in rows:
        digest.add(key, value)
    return digest


class Population:
    """Many users with rows. ``limit`` bounds the number of rows over all tables; ``name`` returns the pseudonym of a number."""

    def __init__(
        self,
        visitors: Sequence[Rows],
        users: int,
        partitions: int,
        limit: int | None = None,
        name: Callable[[int], str] = user_name,
    ) -> None:
        self._visitors, self._keys = visitors, []
        left = limit
        for number in range(users):
            rows = len(visitors[number % len(visitors)])
            if left is not None and left < rows:
                break
            left = None if left is None else left - rows
            key = user_key(CUSTOMER, name(number))
            self._keys.append((key, partition_of(key, partitions)))
        self.tables = sorted({table for rows in visitors for table, _ in rows})
        self.digests = {table: Digest() for table in self.tables}
        """Table -> digest of the rows that ``records`` yielded last."""

    @property
    def users(self) -> int:
        return len(self._keys)

    @property
    def rows(self) -> int:
        return sum(len(self._visitors[number % len(self._visitors)]) for number in range(len(self._keys)))

    def records(self, table: str, time_ms: int) -> Iterator[Record]:
        """Yield the changelog of a table, and compute its digest."""
        digest = self.digests[table] = Digest()
        visitors = self._visitors
        count = len(visitors)
        for number, (key, partition) in enumerate(self._keys):
            for (name, end), value in visitors[number % count].items():
                if name == table:
                    digest.add(key + end, value)
                    yield Record(partition, key + end, value, time_ms)
