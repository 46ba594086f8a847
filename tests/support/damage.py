"""Kinds of damage to the files of a store that is closed, as a bad disk or a wrong `rm` causes them."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from tables.store import OFFSETS, RocksStore, StoreMemory

BLOCK_BYTES: Final = 4_096
MEMORY: Final = StoreMemory(1_048_576, 4 * 1_048_576)


def _manifest(path: Path) -> Path:
    return next(iter(path.glob("MANIFEST-*")))


def largest_sst(path: Path) -> Path:
    """Return the largest table file: it has several blocks."""
    return max(path.glob("*.sst"), key=lambda file: file.stat().st_size)


def zero_block(file: Path) -> None:
    """Fill one block in the data of a table file with zeros."""
    size = file.stat().st_size
    assert size > 4 * BLOCK_BYTES, "too small to have a block in the middle"
    with file.open("r+b") as damaged:
        damaged.seek(size // 4)
        damaged.write(bytes(BLOCK_BYTES))


def overwrite(directory: Path) -> None:
    """Fill the table files of an open store with zeros."""
    for file in directory.glob("*.sst"):
        with file.open("r+b") as damaged:
            damaged.write(bytes(file.stat().st_size))


def _truncate(file: Path) -> None:
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])


KINDS: Final[dict[str, Callable[[Path], None]]] = {
    "CURRENT garbage": lambda path: (path / "CURRENT").write_bytes(b"garbage\n") and None,
    "CURRENT empty": lambda path: (path / "CURRENT").write_bytes(b"") and None,
    "CURRENT missing": lambda path: (path / "CURRENT").unlink(),
    "MANIFEST garbage": lambda path: _manifest(path).write_bytes(b"\xa5garbage" * 500) and None,
    "MANIFEST empty": lambda path: _manifest(path).write_bytes(b"") and None,
    "MANIFEST missing": lambda path: _manifest(path).unlink(),
    "SST missing": lambda path: largest_sst(path).unlink(),
    "SST truncated": lambda path: _truncate(largest_sst(path)),
    "SST with a zeroed block": lambda path: zero_block(largest_sst(path)),
}


def settle_on_disk(store: RocksStore) -> None:
    """Write all rows into table files. Otherwise they may be in the log only."""
    for table in (*store.tables, OFFSETS):
        store._families[table].flush()
