"""Damaged files are reported as damage, at the opening or at a read, and never as rows that are not there."""

import contextlib
import random
import shutil
from itertools import chain, combinations
from pathlib import Path

import pytest

from tables.store import OFFSETS, RocksStore, StoreDamageError, StoreDiskError
from tests.support.damage import KINDS, MEMORY, largest_sst, settle_on_disk, zero_block

_RANDOM = random.Random(1)
ROWS = {b"user %05d" % number: _RANDOM.randbytes(120) for number in range(3_000)}
TABLES = ("rendered", "panes")


def a_store(path: Path) -> RocksStore:
    """Return an open store with all rows in table files of several blocks."""
    store = RocksStore(path, TABLES, MEMORY)
    store.write({"rendered": list(ROWS.items())[:1_000]}, {"t": 1})
    settle_on_disk(store)
    store.write({"rendered": list(ROWS.items())[1_000:]}, {"t": 2})
    settle_on_disk(store)
    assert len(list(path.glob("*.sst"))) > 2
    return store


def contents(path: Path) -> dict[str, bytes]:
    """Return all files of a store except RocksDB's text log."""
    return {file.name: file.read_bytes() for file in path.iterdir() if not file.name.startswith("LOG")}


def read_all(path: Path) -> dict[bytes, bytes]:
    store = RocksStore(path, TABLES, MEMORY)
    try:
        return dict(store.scan("rendered", b"", b"\xff"))
    finally:
        store.close()


def write_many_files(store: RocksStore) -> None:
    """Write table files over the whole range of keys: RocksDB compacts them with the others in the background."""
    for number in range(100):
        store.write({"rendered": [(b"user 00000", b"%d" % number), (b"user 02999", b"")]}, {"t": 3 + number})
        with contextlib.suppress(Exception):  # after the compaction failed; only the write must tell
            settle_on_disk(store)


def test_intact_files_give_all_rows(tmp_path: Path) -> None:
    a_store(tmp_path).close()
    assert read_all(tmp_path) == ROWS


@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_told_by_the_opening_or_the_scan(kind: str, tmp_path: Path) -> None:
    a_store(tmp_path).close()
    KINDS[kind](tmp_path)
    with pytest.raises(StoreDamageError) as raised:
        read_all(tmp_path)
    assert raised.value.path == tmp_path
    aside = tmp_path.with_name(f"{tmp_path.name} aside")
    tmp_path.rename(aside)  # nothing keeps the lock: an empty store opens in its place
    assert read_all(tmp_path) == {}


def test_missing_current_is_damage_without_a_log_too(tmp_path: Path) -> None:
    a_store(tmp_path).close()
    for file in (tmp_path / "CURRENT", *tmp_path.glob("*.log")):
        file.unlink()
    with pytest.raises(StoreDamageError, match="CURRENT is missing"):  # RocksDB would start a new database
        read_all(tmp_path)


def test_damaged_block_is_told_by_the_reads_of_its_rows_only(tmp_path: Path) -> None:
    a_store(tmp_path).close()
    zero_block(largest_sst(tmp_path))
    store = RocksStore(tmp_path, TABLES, MEMORY)
    assert store.damage is None
    failed = 0
    for key, value in ROWS.items():
        try:
            assert store.get("rendered", key) == value
        except StoreDamageError:
            failed += 1
    assert store.damage is not None
    store.close()
    assert 0 < failed < len(ROWS) / 2


def test_file_in_place_of_the_directory_is_damage(tmp_path: Path) -> None:
    (tmp_path / "0").write_text("no directory")
    with pytest.raises(StoreDamageError, match="not a directory"):
        RocksStore(tmp_path / "0", TABLES, MEMORY)


def test_damage_that_a_compaction_finds_is_told_by_the_next_write(tmp_path: Path) -> None:
    a_store(tmp_path).close()
    zero_block(largest_sst(tmp_path))
    store = RocksStore(tmp_path, TABLES, MEMORY)
    with pytest.raises(StoreDamageError):
        write_many_files(store)
    assert store.damage is not None
    store.close()
    tmp_path.rename(tmp_path.with_name("aside"))
    assert read_all(tmp_path) == {}, "nothing keeps the lock"


def test_read_only_store_reads_all_and_writes_nothing(tmp_path: Path) -> None:
    a_store(tmp_path).close()
    before = contents(tmp_path)
    store = RocksStore(tmp_path, TABLES, MEMORY, is_read_only=True)
    assert set(store.tables) == {*TABLES, "offsets"}
    assert dict(store.scan("rendered", b"", b"\xff")) == ROWS
    with pytest.raises(Exception, match="read only"):
        store.write({"rendered": [(b"a", b"1")]}, {})
    store.close()
    assert contents(tmp_path) == before


def test_lock_of_another_owner_is_no_damage(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    with pytest.raises(StoreDiskError, match="lock"):
        RocksStore(tmp_path, TABLES, MEMORY)
    store.close()
    assert read_all(tmp_path) == ROWS


def a_killed_store(path: Path, seed: int) -> list[dict[str, dict[bytes, bytes]]]:
    """Write what a worker leaves that is killed with -9: its rows are in several log files. Return the rows as of each offset."""
    chosen = random.Random(seed)
    store = RocksStore(path / "live", TABLES, MEMORY)
    states: list[dict[str, dict[bytes, bytes]]] = [{table: {} for table in TABLES}]
    for offset in range(1, 13):
        table = chosen.choice(TABLES)
        key, value = b"user %d" % chosen.randrange(4), b"%d" % offset
        store.write({table: [(key, value)]}, {"t": offset})
        states.append({**states[-1], table: {**states[-1][table], key: value}})
        if chosen.random() < 0.3:  # RocksDB flushes one table at a time, and keeps the logs that others need
            store._families[chosen.choice((*TABLES, OFFSETS))].flush()
    shutil.copytree(path / "live", path / "killed")
    store.close()
    return states


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("damage", ["missing", "empty"])
def test_store_without_some_logs_is_damaged_or_a_true_prefix(damage: str, seed: int, tmp_path: Path) -> None:
    states = a_killed_store(tmp_path, seed)
    logs = sorted(file.name for file in (tmp_path / "killed").glob("*.log"))
    subsets = chain.from_iterable(combinations(logs, size) for size in range(len(logs) + 1))
    for number, subset in enumerate(subsets):
        path = tmp_path / str(number)
        shutil.copytree(tmp_path / "killed", path)
        for name in subset:
            if damage == "missing":
                (path / name).unlink()
            else:
                (path / name).write_bytes(b"")
        try:
            store = RocksStore(path, TABLES, MEMORY)
        except StoreDamageError:
            assert subset, "intact"
            continue
        found = {table: dict(store.scan(table, b"", b"\xff")) for table in TABLES}
        assert found == states[store.offsets().get("t", 0)], (subset, logs)
        store.close()


def test_state_without_any_log_is_damage_because_its_age_is_unknown(tmp_path: Path) -> None:
    a_store(tmp_path).close()
    for file in tmp_path.glob("*.log"):
        file.unlink()
    with pytest.raises(StoreDamageError, match="its log file is missing"):
        read_all(tmp_path)


def test_file_that_cannot_be_read_is_damage(tmp_path: Path) -> None:
    a_store(tmp_path).close()
    file = largest_sst(tmp_path)
    file.unlink()
    file.mkdir()  # RocksDB reports an error of the read, as it does of a broken sector
    with pytest.raises(StoreDamageError, match="While pread"):
        read_all(tmp_path)


def test_reason_of_damage_is_one_line(tmp_path: Path) -> None:
    a_store(tmp_path).close()
    KINDS["SST truncated"](tmp_path)
    with pytest.raises(StoreDamageError, match="mismatch") as raised:
        read_all(tmp_path)
    assert "\n" not in str(raised.value)


def test_store_closes_when_its_directory_is_gone(tmp_path: Path) -> None:
    store = a_store(tmp_path / "0")
    store.write({"rendered": [(b"user", b"1")]}, {"t": 3})
    shutil.rmtree(tmp_path / "0")
    store.close()
    assert store.damage is not None
