"""A store whose disk is full reports it with the cure; other errors pass unchanged."""

from pathlib import Path

import pytest

from tables.store import RocksStore, StoreDamageError, StoreDiskError, StoreMemory


class Failing:
    """RocksDB with a failing write."""

    def __init__(self, message: str) -> None:
        self._message = message

    def write(self, _batch: object) -> None:
        raise Exception(self._message)  # rocksdict raises no other kind

    def close(self) -> None:
        raise Exception("IO error: Writer has previous error.")


def a_store(path: Path, failure: str) -> RocksStore:
    store = RocksStore(path, ["clicked"], StoreMemory(1 << 20, 1 << 20))
    database = store._database
    store._database = Failing(failure)  # type: ignore[assignment]
    database.close()
    return store


def test_full_disk_is_told_with_its_cure_and_the_store_still_closes(tmp_path: Path) -> None:
    store = a_store(tmp_path, "IO error: No space left on device: While appending to file")
    with pytest.raises(StoreDiskError, match=r"cannot be written .*No space left.* make room") as caught:
        store.write({"clicked": [(b"k", b"v")]}, {"t": 1})
    assert caught.value.path == tmp_path
    store.close()


def test_another_error_stays_what_it_is(tmp_path: Path) -> None:
    store = a_store(tmp_path, "Invalid argument: bad family")
    with pytest.raises(Exception, match=r"^Invalid argument: bad family$"):
        store.write({"clicked": [(b"k", b"v")]}, {"t": 1})


@pytest.mark.parametrize(
    "failure", ["Corruption: bad block", "IO error: No such file or directory: While open a file: 7.sst"]
)
def test_damage_is_told_apart_from_a_full_disk_and_the_store_still_closes(
    tmp_path: Path, failure: str
) -> None:
    store = a_store(tmp_path, failure)
    with pytest.raises(StoreDamageError, match="is damaged"):
        store.write({"clicked": [(b"k", b"v")]}, {"t": 1})
    assert store.damage is not None
    store.close()


@pytest.mark.parametrize("failure", ["IO error: Permission denied: 7.sst", "IO error: Input/output error"])
def test_disk_that_refuses_is_no_damage(tmp_path: Path, failure: str) -> None:
    store = a_store(tmp_path, failure)
    with pytest.raises(StoreDiskError):
        store.write({"clicked": [(b"k", b"v")]}, {"t": 1})
    assert store.damage is None
    store.close()
