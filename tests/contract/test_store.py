"""The contract of a store: rows on disk and their in-memory double pass the same tests."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents.ports import Change, Store
from tables.store import FORMAT_VERSION, RocksStore, StoreFormatError, StoreMemory, last_written_ms, wipe
from tests.support.memory_store import Disk, MemoryStore

TABLES = ("rendered", "panes")
MEMORY = StoreMemory(1_048_576, 4 * 1_048_576)

Open = Callable[[], Store]


@pytest.fixture(params=["rocks", "memory"])
def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Return a function that closes the open store and opens another one on the same disk."""
    opened: list[Store] = []
    disk = Disk()

    def open_store() -> Store:
        for store in opened:
            store.close()
        opened.append(
            RocksStore(tmp_path / "state" / "0", TABLES, MEMORY)
            if request.param == "rocks"
            else MemoryStore(disk, TABLES)
        )
        return opened[-1]

    yield open_store
    for store in opened:
        store.close()


@pytest.fixture
def store(reopen: Open) -> Store:
    return reopen()


def rows(store: Store, table: str = "rendered") -> list[tuple[bytes, bytes]]:
    return list(store.scan(table, b"", b"\xff" * 8))


def test_fresh_store_holds_nothing(store: Store) -> None:
    assert store.get("rendered", b"a") is None
    assert rows(store) == []
    assert store.offsets() == {}


def test_rows_of_one_write_are_there_with_their_offsets(store: Store) -> None:
    store.write({"rendered": [(b"a", b"1"), (b"b", b"")], "panes": [(b"a", b"2")]}, {"t.rendered": 5})
    assert (store.get("rendered", b"a"), store.get("panes", b"a")) == (b"1", b"2")
    assert store.get("rendered", b"b") == b""
    assert store.offsets() == {"t.rendered": 5}


def test_later_value_replaces_and_none_deletes(store: Store) -> None:
    store.write({"rendered": [(b"a", b"1"), (b"b", b"1")]}, {})
    store.write({"rendered": [(b"a", b"2"), (b"b", None), (b"never there", None)]}, {"t": 7, "u": 1})
    store.write({}, {"t": 9})
    assert rows(store) == [(b"a", b"2")]
    assert store.offsets() == {"t": 9, "u": 1}


def test_last_of_several_changes_of_a_row_counts(store: Store) -> None:
    store.write({"rendered": [(b"a", b"1"), (b"a", None), (b"a", b"3"), (b"b", b"1"), (b"b", None)]}, {})
    assert rows(store) == [(b"a", b"3")]


def test_failed_write_changes_nothing(store: Store) -> None:
    store.write({"rendered": [(b"a", b"1")]}, {"t": 1})

    def changes() -> Iterator[Change]:
        yield b"a", b"2"
        raise ValueError("cannot be encoded")

    with pytest.raises(ValueError, match="encoded"):
        store.write({"panes": [(b"p", b"1")], "rendered": changes()}, {"t": 2})
    assert (rows(store), rows(store, "panes"), store.offsets()) == ([(b"a", b"1")], [], {"t": 1})


def test_table_that_was_not_declared_is_an_error(store: Store) -> None:
    with pytest.raises(KeyError):
        store.get("clicked", b"a")
    with pytest.raises(KeyError):
        store.write({"clicked": [(b"a", b"1")]}, {"t": 1})
    assert store.offsets() == {}


def test_scan_gives_a_half_open_range_in_the_order_of_bytes(store: Store) -> None:
    keys = [b"a", b"a\x00", b"a\x1f1", b"a\xff", b"b", b"b\x00"]
    store.write({"rendered": [(key, key) for key in reversed(keys)], "panes": [(b"aa", b"")]}, {})
    assert [key for key, _ in store.scan("rendered", b"a\x00", b"b")] == [b"a\x00", b"a\x1f1", b"a\xff"]
    assert list(store.scan("rendered", b"c", b"d")) == []
    assert list(store.scan("rendered", b"b", b"a")) == []


def test_scan_sees_nothing_that_is_written_after_it_began(store: Store) -> None:
    store.write({"rendered": [(b"a", b"1"), (b"b", b"1")]}, {})
    scan = store.scan("rendered", b"", b"z")
    assert next(scan) == (b"a", b"1")
    store.write({"rendered": [(b"b", b"2"), (b"c", b"2")]}, {})
    assert list(scan) == [(b"b", b"1")]


def test_rows_and_offsets_outlive_the_store(reopen: Open) -> None:
    reopen().write({"rendered": [(b"a", b"1")]}, {"t": 5})
    again = reopen()
    assert (rows(again), again.offsets()) == ([(b"a", b"1")], {"t": 5})


def test_abandoned_scan_does_not_keep_the_disk_locked(reopen: Open) -> None:
    first = reopen()
    first.write({"rendered": [(b"a", b"1"), (b"b", b"1")]}, {})
    for _ in first.scan("rendered", b"", b"z"):
        break  # as Overlay.first_stored does; RocksDB keeps its lock as long as an iterator lives
    assert rows(reopen()) == [(b"a", b"1"), (b"b", b"1")]


def test_closed_store_is_not_read_or_written_and_closes_twice(store: Store) -> None:
    store.close()
    store.close()
    for use in (
        lambda: store.get("rendered", b"a"),
        lambda: store.offsets(),
        lambda: list(store.scan("rendered", b"", b"z")),
        lambda: store.write({"rendered": [(b"a", b"1")]}, {}),
    ):
        with pytest.raises(KeyError):
            use()


@pytest.mark.parametrize("kind", ["rocks", "memory"])
def test_disk_has_one_owner(kind: str, tmp_path: Path) -> None:
    disk = Disk()
    make: dict[str, Callable[[], Any]] = {
        "rocks": lambda: RocksStore(tmp_path, TABLES, MEMORY),
        "memory": lambda: MemoryStore(disk, TABLES),
    }
    store = make[kind]()
    with pytest.raises(Exception, match="lock"):
        make[kind]()
    store.close()


def test_table_of_a_later_version_does_not_keep_the_directory_from_opening(tmp_path: Path) -> None:
    newer = RocksStore(tmp_path, (*TABLES, "newer"), MEMORY)
    newer.write({"newer": [(b"a", b"1")], "rendered": [(b"a", b"1")]}, {"t": 1})
    newer.close()
    older = RocksStore(tmp_path, TABLES, MEMORY)
    assert rows(older) == [(b"a", b"1")]
    older.close()


def test_directory_of_a_former_version_gets_the_tables_it_lacks(tmp_path: Path) -> None:
    former = RocksStore(tmp_path, TABLES, MEMORY)
    former.write({"rendered": [(b"a", b"1")]}, {"t": 1})
    former.close()
    for _ in range(2):
        today = RocksStore(tmp_path, (*TABLES, "playback"), MEMORY)
        assert rows(today) == [(b"a", b"1")]
        assert today.offsets() == {"t": 1}
        today.write({"playback": [(b"a", b"2")]}, {})
        assert today.get("playback", b"a") == b"2"
        today.close()


def test_directory_in_another_format_is_refused_with_what_to_do(tmp_path: Path, monkeypatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("tables.store.FORMAT_VERSION", 7)
        RocksStore(tmp_path, TABLES, MEMORY).close()
    with pytest.raises(StoreFormatError, match="delete the directory") as raised:
        RocksStore(tmp_path, TABLES, MEMORY)
    assert (raised.value.path, raised.value.found, raised.value.expected) == (tmp_path, 7, FORMAT_VERSION)
    with pytest.raises(StoreFormatError):  # the refused attempt released the lock
        RocksStore(tmp_path, TABLES, MEMORY)


def test_directory_of_the_former_format_is_read_and_refused_by_the_former_version(
    tmp_path: Path, monkeypatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("tables.store.FORMAT_VERSION", 1)
        former = RocksStore(tmp_path, TABLES, MEMORY)
        former.write({"rendered": [(b"a", b"1")]}, {"t": 1})
        former.close()
    for _ in range(2):
        today = RocksStore(tmp_path, TABLES, MEMORY)
        assert rows(today) == [(b"a", b"1")]
        today.close()
    with monkeypatch.context() as patched:
        patched.setattr("tables.store.FORMAT_VERSION", 1)
        with pytest.raises(StoreFormatError) as raised:
            RocksStore(tmp_path, TABLES, MEMORY)
    assert raised.value.found > raised.value.expected, "the worker ends, and rebuilds nothing"


def test_wiped_directory_starts_empty_and_tells_when_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "0"
    assert last_written_ms(path) is None
    store = RocksStore(path, TABLES, MEMORY)
    store.write({"rendered": [(b"a", b"1")]}, {"t": 1})
    store.close()
    written_ms = last_written_ms(path)
    assert written_ms is not None
    assert abs(written_ms - path.stat().st_mtime * 1000) < 60_000
    wipe(path)
    wipe(path)
    assert last_written_ms(path) is None
    store = RocksStore(path, TABLES, MEMORY)
    assert (rows(store), store.offsets()) == ([], {})
    store.close()


KEYS = st.binary(min_size=1, max_size=3)
WRITES = st.lists(
    st.tuples(
        st.lists(st.tuples(KEYS, st.none() | st.binary(max_size=5)), max_size=6),
        st.dictionaries(st.sampled_from(["t", "u"]), st.integers(0, 9), max_size=2),
        st.booleans(),
    ),
    max_size=8,
)


# Each example has a directory of its own.
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(writes=WRITES, start=KEYS, end=KEYS)
def test_both_hold_the_same_after_any_writes_and_reopenings(
    tmp_path_factory: pytest.TempPathFactory, writes, start: bytes, end: bytes
) -> None:
    path, disk = tmp_path_factory.mktemp("store"), Disk()
    rocks: Any = RocksStore(path, TABLES, MEMORY)
    memory: Any = MemoryStore(disk, TABLES)
    for changes, offsets, is_reopened in writes:
        for store in (rocks, memory):
            store.write({"rendered": changes}, offsets)
        if is_reopened:
            rocks.close()
            memory.close()
            rocks, memory = RocksStore(path, TABLES, MEMORY), MemoryStore(disk, TABLES)
    assert rows(rocks) == rows(memory)
    assert list(rocks.scan("rendered", start, end)) == list(memory.scan("rendered", start, end))
    assert rocks.offsets() == memory.offsets()
    rocks.close()
    wipe(path)


def test_ids_of_topics_are_kept_beside_the_offsets_and_are_none(tmp_path: Path) -> None:
    store = RocksStore(tmp_path / "0", TABLES, MEMORY)
    assert store.topic_ids() == {}
    store.write({}, {"t.rendered": 5})
    store.write_topic_ids({"t.rendered": "a"})
    store.close()
    store = RocksStore(tmp_path / "0", TABLES, MEMORY)
    assert (store.topic_ids(), store.offsets()) == ({"t.rendered": "a"}, {"t.rendered": 5})
    store.close()
