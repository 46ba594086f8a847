"""Each directory is open once at most; an unusable one is wiped and no longer counts as a copy."""

import contextlib
import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.kafka.topic_ids import TopicRecreatedError
from app.worker.freshness import Freshness
from app.worker.stores import Stores
from events.topics import DELETE_RETENTION_MS, POSITIONS, changelog
from tables.declare import CHANGELOGS, STORED
from tables.store import RocksStore, StoreDamageError, StoreMemory, wipe
from tests.support.damage import KINDS, settle_on_disk
from tests.support.lookups import NOW, FixedClock

MEMORY = StoreMemory(1_048_576, 4 * 1_048_576)
IDS = {topic: f"first {topic}" for topic in CHANGELOGS.values()}


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[Stores]:
    stores = Stores(tmp_path / "state", MEMORY, FixedClock())
    yield stores
    for number in range(2):
        stores.close(number)


def a_copy(stores: Stores, number: int = 0) -> RocksStore:
    """Return a store with one row and a known freshness."""
    store = stores.open(number, IDS)
    store.write({"clicked": [(b"u", b"1")]}, {changelog("clicked"): 5})
    stores.freshness[number] = Freshness()
    written(stores, number, NOW)
    return store


def written(stores: Stores, number: int, at_ms: int) -> None:
    for file in (stores.state_dir / str(number)).glob("*.log"):
        os.utime(file, ns=(at_ms * 1_000_000, at_ms * 1_000_000))


def test_opening_again_takes_the_store_from_whoever_had_it(stores: Stores) -> None:
    former = a_copy(stores)
    store = stores.open(0, IDS)
    assert (former.is_open, store.is_open) == (False, True)
    assert stores.opened(0) is store
    assert (store.get("clicked", b"u"), store.offsets()) == (b"1", {changelog("clicked"): 5})
    assert 0 in stores.freshness
    store.close()
    assert stores.opened(0) is None


def test_state_of_a_version_without_a_table_is_kept_and_gets_it(stores: Stores) -> None:
    former = {topic: number for topic, number in IDS.items() if topic != changelog("playback")}
    RocksStore(stores.state_dir / "0", [t for t in STORED if t != "playback"], MEMORY).close()
    store = stores.open(0, former)
    store.write({"clicked": [(b"u", b"1")]}, {changelog("clicked"): 5})
    written(stores, 0, NOW)
    store = stores.open(0, IDS)
    assert store.get("clicked", b"u") == b"1"
    assert store.get("playback", b"u") is None
    assert store.topic_ids() == IDS
    assert store.offsets() == {changelog("clicked"): 5}


def test_state_that_is_older_than_tombstones_is_wiped_and_no_copy_any_more(stores: Stores) -> None:
    a_copy(stores)
    written(stores, 0, NOW - DELETE_RETENTION_MS - 1)
    assert stores.open(0, IDS).get("clicked", b"u") is None
    assert stores.freshness == {}


def test_state_of_a_former_changelog_is_wiped_and_no_copy_any_more(stores: Stores) -> None:
    a_copy(stores)
    store = stores.open(0, {**IDS, changelog("clicked"): "second"})
    assert store.get("clicked", b"u") is None
    assert store.topic_ids()[changelog("clicked")] == "second"
    assert stores.freshness == {}


def test_rows_without_their_positions_are_refused_and_kept(stores: Stores) -> None:
    a_copy(stores)
    with pytest.raises(TopicRecreatedError):
        stores.open(0, {**IDS, POSITIONS: "second"})
    assert stores.opened(0) is None
    assert stores.open(0, IDS).get("clicked", b"u") == b"1"


def test_a_rebuilt_store_is_empty_and_remembers_the_topics(stores: Stores) -> None:
    a_copy(stores)
    store = stores.rebuild(0)
    assert (store.get("clicked", b"u"), store.topic_ids()) == (None, IDS)
    assert stores.opened(0) is store
    assert stores.freshness == {}


def test_only_recent_state_is_offered_to_the_group(stores: Stores) -> None:
    assert stores.on_disk() == set()
    a_copy(stores, 0)
    a_copy(stores, 1)
    written(stores, 1, NOW - DELETE_RETENTION_MS - 1)
    (stores.state_dir / "notes").mkdir()
    (stores.state_dir / "7").mkdir()
    assert stores.on_disk() == {0}


def a_large_copy(stores: Stores, number: int) -> None:
    """Write a partition whose rows fill several blocks of a table file, and close it."""
    rows = [(b"user %05d" % user, os.urandom(100)) for user in range(1_000)]
    store = stores.open(number, IDS)
    store.write({"clicked": rows}, {changelog("clicked"): 5})
    settle_on_disk(store)
    stores.close(number)
    written(stores, number, NOW)


def opened_and_read(stores: Stores, number: int) -> RocksStore:
    """Open a partition and read all of its rows, as its owner does who opens it again after damage."""
    for _ in range(2):
        store = stores.open(number, IDS)
        with contextlib.suppress(StoreDamageError):
            list(store.scan("clicked", b"", b"\xff"))
            return store
    raise AssertionError("damaged again")


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_state_is_set_aside_and_told_and_no_other_is_touched(
    kind: str, stores: Stores, caplog: pytest.LogCaptureFixture
) -> None:
    a_large_copy(stores, 0)
    a_large_copy(stores, 1)
    KINDS[kind](stores.state_dir / "0")
    stores.freshness[0] = Freshness()
    store = opened_and_read(stores, 0)
    assert (list(store.scan("clicked", b"", b"\xff")), store.offsets(), store.topic_ids()) == ([], {}, IDS)
    assert stores.freshness == {}
    (aside,) = stores.state_dir.glob("0.damaged-*")
    assert len(list(aside.glob("*"))) > 3
    assert "the state of partition 0 is damaged" in caplog.text
    (warning,) = stores.warnings()
    assert str(aside) in warning
    other = stores.open(1, IDS)
    assert len(list(other.scan("clicked", b"", b"\xff"))) == 1_000
    assert stores.on_disk() == {0, 1}
    again = Stores(stores.state_dir, MEMORY, FixedClock())
    assert again.warnings() == [warning], "a restart does not forget it"
    wipe(aside)
    assert stores.warnings() == again.warnings() == []


def test_one_damaged_directory_is_kept_per_partition(stores: Stores) -> None:
    for number in (0, 1, 0):
        a_large_copy(stores, number)
        (stores.state_dir / str(number) / "CURRENT").unlink()
        (stores.state_dir / str(number) / f"mark {len(stores.warnings())}").touch()
        stores.open(number, IDS)
        stores.close(number)
    asides = sorted(path.name.partition(".")[0] for path in stores.state_dir.glob("*.damaged-*"))
    assert asides == ["0", "1"]
    assert list(stores.state_dir.glob("0.damaged-*/mark 2")), "the newest one"


def test_damage_of_a_read_is_cured_when_the_store_is_closed(stores: Stores) -> None:
    a_large_copy(stores, 0)
    KINDS["SST with a zeroed block"](stores.state_dir / "0")
    store = stores.open(0, IDS)
    with pytest.raises(StoreDamageError):
        list(store.scan("clicked", b"", b"\xff"))
    store.close()  # as the partition does
    stores.close(0)
    assert not (stores.state_dir / "0").exists()
    assert list(stores.state_dir.glob("0.damaged-*"))


def test_reader_in_a_cycle_does_not_keep_the_lock_of_a_damaged_store(stores: Stores) -> None:
    a_large_copy(stores, 0)
    KINDS["SST with a zeroed block"](stores.state_dir / "0")
    store = stores.open(0, IDS)
    cycle: list[object] = []
    cycle.append(cycle)
    gc.disable()
    try:
        reader = store.scan("clicked", b"", b"\xff")
        next(reader)
        cycle.append(reader)
        with pytest.raises(StoreDamageError):
            list(store.scan("clicked", b"", b"\xff"))
        del cycle, reader
        stores.close(0)
        assert stores.open(0, IDS).get("clicked", b"user 00000") is None
    finally:
        gc.enable()


def test_directory_that_was_deleted_under_its_store_is_rebuilt(stores: Stores) -> None:
    store = a_copy(stores)
    wipe(stores.state_dir / "0")
    with pytest.raises(Exception, match="No such file"):
        settle_on_disk(store)
    again = stores.open(0, IDS)
    assert (again.get("clicked", b"u"), again.offsets()) == (None, {})
    assert stores.is_rebuilding(0)
    assert stores.damaged() == [], "nothing is left to look at"
