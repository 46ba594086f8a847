"""Cached rows lose no change and are never stale, whatever is evicted and however long a flush takes."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from agents.row_cache import ABSENT_MEMORY, CacheRoom, RowCache

KEYS = [b"a", b"b", b"c", b"d"]
keys = st.sampled_from(KEYS)
ACTIONS = st.one_of(
    st.tuples(st.just("add"), keys, st.integers(1, 9)),
    st.tuples(st.just("put"), keys, st.none() | st.integers(0, 9).map(lambda number: [number])),
    st.tuples(st.just("get"), keys),
    st.tuples(st.just("read"), keys),
    st.tuples(st.just("make_room"), st.sampled_from([0, 450, 2_000, 10**9])),
    st.tuples(st.just("send")),
    st.tuples(st.just("commit")),
    st.tuples(st.just("turn")),
    st.tuples(st.just("evict"), st.sampled_from([0, 1, 1_000, 10**9])),
    st.tuples(st.just("restart")),
)


def encode(state: list[int]) -> bytes:
    return ",".join(map(str, state)).encode()


def decode(raw: bytes) -> list[int]:
    return [int(number) for number in raw.split(b",")]


class Disk:
    """Rows over a store, with a flush that may be in progress, and what the rows must hold."""

    def __init__(self) -> None:
        self.stored: dict[bytes, bytes] = {}
        self.expected: dict[bytes, list[int] | None] = {}
        self.committed: dict[bytes, list[int] | None] = {}
        self.sending: list[tuple[bytes, bytes | None]] | None = None
        self.sent: dict[bytes, list[int] | None] = {}
        self.rows = self._open()

    def _open(self) -> RowCache[list[int]]:
        self.room = CacheRoom()
        return RowCache(self.stored.get, decode, encode, room=self.room)

    def make_room(self, memory: int) -> None:
        self.room.set(memory)

    def add(self, key: bytes, number: int) -> None:
        """Change a state in place, as folds do."""
        state = self.rows.get(key)
        if state is None:
            state = []
        state.append(number)
        self.rows.put(key, state)
        self.expected[key] = [*(self.expected.get(key) or []), number]

    def put(self, key: bytes, state: list[int] | None) -> None:
        self.rows.put(key, None if state is None else list(state))
        self.expected[key] = state

    def get(self, key: bytes) -> None:
        assert self.rows.get(key) == self.expected.get(key)

    def read(self, key: bytes) -> None:
        held = len(self.rows)
        taken = self.room.taken
        assert self.rows.read(key) == self.expected.get(key)
        assert (len(self.rows) > held) == (self.room.taken > taken)
        assert self.room.memory >= 0

    def send(self) -> None:
        if self.sending is None:
            self.sending = self.rows.encode_changes()
            self.sent = dict(self.expected)

    def commit(self) -> None:
        """End a flush: the store has the changes, and rows may be evicted from now on."""
        if self.sending is not None:
            for key, value in self.sending:
                if value is None:
                    self.stored.pop(key, None)
                else:
                    self.stored[key] = value
            self.sending, self.committed = None, dict(self.sent)

    def turn(self) -> None:
        if self.sending is None:
            self.rows.turn()

    def evict(self, memory: int) -> None:
        if self.sending is None:
            self.rows.evict(memory)

    def restart(self) -> None:
        """Lose the memory."""
        self.sending, self.rows = None, self._open()
        self.expected = dict(self.committed)


@given(st.lists(ACTIONS, max_size=60))
def test_rows_say_what_a_dictionary_would(actions: list[tuple[Any, ...]]) -> None:
    disk = Disk()
    for name, *arguments in actions:
        getattr(disk, name)(*arguments)
        fresh = dict(disk.rows.among(disk.rows.keys_in_memory(), b"b", b"d"))
        assert set(fresh) <= {b"b", b"c"}
        assert all(disk.expected.get(key) == state for key, state in fresh.items())
    for key in KEYS:
        disk.get(key)
    disk.commit()
    disk.send()
    disk.commit()
    left = {key: decode(raw) for key, raw in disk.stored.items()}
    assert left == {key: state for key, state in disk.expected.items() if state is not None}


def test_row_changed_during_a_flush_is_not_evicted_after_it() -> None:
    stored: dict[bytes, bytes] = {}
    rows: RowCache[list[int]] = RowCache(stored.get, decode, encode)
    rows.put(b"a", [1])
    (change,) = rows.encode_changes()
    rows.put(b"a", [2])
    stored[b"a"] = change[1] or b""
    rows.turn()
    rows.evict(10**9)
    assert rows.get(b"a") == [2]
    assert rows.encode_changes() == [(b"a", b"2")]


def test_row_read_again_and_again_stays_and_others_go() -> None:
    loads: list[bytes] = []

    def load(key: bytes) -> bytes:
        loads.append(key)
        return b"1"

    rows: RowCache[list[int]] = RowCache(load, decode, encode)
    rows.get(b"cold")
    for _ in range(5):
        rows.get(b"hot")
        rows.evict(1)
        rows.turn()
    assert loads == [b"cold", b"hot"]
    assert len(rows) == 1
    rows.evict(10**9)
    assert len(rows) == 0


def test_eviction_drops_first_what_came_first_and_keeps_what_was_used_again() -> None:
    rows: RowCache[list[int]] = RowCache(
        {b"%03d" % number: b"1" for number in range(100)}.get, decode, encode
    )
    for number in range(100):
        rows.get(b"%03d" % number)
    rows.turn()
    for number in range(0, 100, 10):
        assert rows.get(b"%03d" % number) == [1]
    before = rows.memory
    rows.evict(before / 8)
    rows.evict(before / 8)
    kept = len(rows)
    assert kept in (74, 75)
    evicted = [number for number in range(100) if number % 10][: 100 - kept]
    assert set(rows.keys_in_memory()) == {b"%03d" % number for number in range(100) if number not in evicted}
    assert rows.memory <= before * 3 / 4


def test_memory_follows_the_mean_of_the_rows_in_memory() -> None:
    stored = {b"%04d" % number: b"1," * (number // 10) + b"1" for number in range(1_000)}
    rows: RowCache[list[int]] = RowCache(stored.get, decode, encode, 400, 8)
    for key in stored:
        rows.get(key)
    exact = sum(400 + 8 * len(raw) for raw in stored.values())
    assert abs(rows.memory - exact) < 1
    for _ in range(50):  # the largest rows change again and again, and must not pass for the mean
        for key in list(stored)[-100:]:
            rows.put(key, [1] * 100)
        rows.encode_changes()
    for _ in range(5):
        rows.turn()
    assert abs(rows.memory - exact) < 0.1 * exact


def test_a_key_without_a_row_takes_less_memory_than_a_row() -> None:
    rows: RowCache[list[int]] = RowCache({}.get, decode, encode)
    for number in range(100):
        rows.get(b"%d" % number)
    assert rows.memory == 100 * ABSENT_MEMORY
    assert (rows.counts.absent, rows.counts.fold_loads) == (100, 0)


def test_counts_tell_what_was_loaded_and_evicted_and_nothing_of_what_was_in_memory() -> None:
    rows: RowCache[list[int]] = RowCache({b"a": b"1", b"b": b"1"}.get, decode, encode)
    for _ in range(3):
        rows.get(b"a")
        rows.read(b"b")  # there is no room, so it does not stay
    rows.turn()
    rows.evict(1)
    counts = rows.counts
    assert (counts.fold_loads, counts.lookup_loads, counts.absent, counts.evicted) == (1, 3, 0, 1)
    assert counts.evicted_memory > 0


def test_changed_rows_are_never_forgotten_for_lack_of_room() -> None:
    rows: RowCache[list[int]] = RowCache({}.get, decode, encode)
    for number in range(10):
        rows.put(b"%d" % number, [number])
    rows.turn()
    rows.evict(10**9)
    assert len(rows.encode_changes()) == 10
    assert rows.get(b"7") == [7]
