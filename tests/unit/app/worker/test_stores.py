"""Each directory is open once at most; an unusable one is wiped and no longer counts as a copy."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.kafka.topic_ids import TopicRecreatedError
from app.worker.freshness import Freshness
from app.worker.stores import Stores
from events.topics import DELETE_RETENTION_MS, POSITIONS, changelog
from tables.declare import CHANGELOGS, STORED
from tables.store import RocksStore, StoreMemory
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
