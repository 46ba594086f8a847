"""Keeps a partition's rows on disk: one RocksDB per partition, one column family per table.

A worker writes to the store only after a changelog transaction was committed. Rows, changelog offsets and source positions are one
batch. So the store is always a prefix of the committed changelogs, and recovery reads on from the offsets in it. All stores of a
worker share their memory budgets.
"""

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

import rocksdict

FORMAT_VERSION: Final = 1
OFFSETS: Final = "offsets"  # the column family of the changelog offsets that the rows include
FORMAT: Final = "format"
_TOPIC_IDS: Final = "topic ids"
# RocksDB's default is 90 % of the ulimit for each database, so a few partitions would exhaust it.
_OPEN_FILES_PER_DATABASE: Final = 64
_MEMTABLE_BYTES: Final = 8 * 1_048_576
"""Size at which RocksDB flushes one table's memtable. The shared write-buffer manager bounds the sum of all."""

Change = tuple[bytes, bytes | None]
"""A row's key and its encoded value; None deletes the row."""


class StoreError(RuntimeError):
    """The store cannot be used; the message says why, and what to do."""


class StoreDiskError(StoreError):
    """RocksDB could not write. The store is still a prefix of the changelogs, so a restarted worker resumes from it."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"the state in {path} cannot be written ({reason}): make room on its disk, or choose another --data-dir, and restart "
            f"the worker. Nothing is lost: the worker resumes from its position"
        )
        self.path, self.reason = path, reason


class StoreFormatError(StoreError):
    """The directory ``path`` has the store format ``found``, not ``expected``. Delete it to rebuild the store."""

    def __init__(self, path: Path, found: int, expected: int) -> None:
        super().__init__(
            f"{path} has store format {found}, this version reads {expected}: "
            "delete the directory and the worker rebuilds it from the changelogs"
        )
        self.path, self.found, self.expected = path, found, expected


class StoreMemory:
    """The block cache and the memtable budget that all databases of one worker share (docs/decisions/0007).

    The defaults are 2 GiB of cache, and three memtables of 64 MiB for each table and partition.
    """

    def __init__(self, block_cache_bytes: int, memtable_bytes: int) -> None:
        self.cache = rocksdict.Cache(block_cache_bytes)
        self.write_buffers = rocksdict.WriteBufferManager(memtable_bytes, False)

    def options(self) -> rocksdict.Options:
        """Return new options that use the shared budgets. Column families must not share one options object."""
        table = rocksdict.BlockBasedOptions()
        table.set_block_cache(self.cache)
        table.set_bloom_filter(10, False)
        table.set_cache_index_and_filter_blocks(True)
        options = rocksdict.Options(raw_mode=True)
        options.create_if_missing(True)
        options.create_missing_column_families(True)
        options.set_block_based_table_factory(table)
        options.set_write_buffer_manager(self.write_buffers)
        options.set_write_buffer_size(_MEMTABLE_BYTES)
        # Every table with a row takes at least one block; the default is 1 MiB.
        options.set_arena_block_size(64 * 1024)
        options.set_max_write_buffer_number(2)
        options.set_max_open_files(_OPEN_FILES_PER_DATABASE)
        options.set_max_total_wal_size(32 * 1_048_576)
        options.set_max_background_jobs(2)
        options.set_keep_log_file_num(2)
        options.set_compression_type(rocksdict.DBCompressionType.lz4())
        return options


class RocksStore:
    """The rows of one partition on disk. It is not thread-safe; its one owner is the partition."""

    def __init__(self, path: Path, tables: Iterable[str], memory: StoreMemory) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self.path = path
        names = [*tables, OFFSETS]
        families = {name: memory.options() for name in names}
        on_disk = path / "CURRENT"
        if on_disk.exists():  # RocksDB opens a database only if all of its families are named
            for name in rocksdict.Rdict.list_cf(str(path), memory.options()):
                families.setdefault(name, memory.options())
        families.pop("default", None)
        self._is_broken = False
        try:
            self._database = rocksdict.Rdict(str(path), memory.options(), column_families=families)
        except Exception as error:
            raise _disk_error(path, error) from error
        self._families = {name: self._database.get_column_family(name) for name in names}
        self._handles = {name: self._database.get_column_family_handle(name) for name in names}
        self._getters = {name: family.get for name, family in self._families.items()}
        self._check_format()

    def _check_format(self) -> None:
        offsets = self._families[OFFSETS]
        found = offsets.get(FORMAT.encode())
        if found is None:
            offsets.put(FORMAT.encode(), b"%d" % FORMAT_VERSION)
        elif int(found) != FORMAT_VERSION:
            self.close()
            raise StoreFormatError(self.path, int(found), FORMAT_VERSION)

    def get(self, table: str, key: bytes) -> bytes | None:
        """Return the stored value of a row, or None if there is no row."""
        value: bytes | None = self._getters[table](key)
        return value

    def scan(self, table: str, start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield the rows with ``start <= key < end`` in key order, as they are on disk now."""
        options = rocksdict.ReadOptions()
        options.set_iterate_upper_bound(end)
        rows = self._families[table].iter(options)
        rows.seek(start)
        while rows.valid():
            yield rows.key(), rows.value()
            rows.next()

    def offsets(self) -> dict[str, int]:
        """Return, per changelog topic, the offset after the last record that the rows include."""
        return {
            bytes(key).decode(): int(value)  # type: ignore[arg-type]  # raw mode: keys are bytes
            for key, value in self._families[OFFSETS].items()
            if key not in (FORMAT.encode(), _TOPIC_IDS.encode())
        }

    def topic_ids(self) -> dict[str, str]:
        """Return, per changelog topic, the id of the topic that the rows came from, if known."""
        found = self._families[OFFSETS].get(_TOPIC_IDS.encode())
        return {} if found is None else json.loads(found)

    def write_topic_ids(self, ids: Mapping[str, str]) -> None:
        """Store the ids of the topics that the rows come from."""
        self._families[OFFSETS].put(_TOPIC_IDS.encode(), json.dumps(ids).encode())

    def write(self, changes: Mapping[str, Iterable[Change]], offsets: Mapping[str, int]) -> None:
        """Write changed rows and the changelog offsets that include them, all or nothing. Raise StoreDiskError if the disk fails."""
        batch = rocksdict.WriteBatch(raw_mode=True)
        for table, rows in changes.items():
            handle = self._handles[table]
            put, delete = batch.put, batch.delete
            for key, value in rows:
                if value is None:
                    delete(key, handle)
                else:
                    put(key, value, handle)
        handle = self._handles[OFFSETS]
        for topic, offset in offsets.items():
            batch.put(topic.encode(), b"%d" % offset, handle)
        try:
            self._database.write(batch)
        except Exception as error:
            self._is_broken = True
            raise _disk_error(self.path, error) from error

    @property
    def is_open(self) -> bool:
        """Whether the rows can be read; False after ``close``."""
        return bool(self._families)

    def close(self) -> None:
        """Release the database and its lock. A second call does nothing."""
        if not self._families:
            return
        self._getters.clear()  # another reference to a family would keep the lock
        for family in self._families.values():
            family.close()
        self._families.clear()
        self._handles.clear()
        try:
            self._database.close()
        except Exception:
            if not self._is_broken:  # otherwise it only repeats the error of the write
                raise


def _disk_error(path: Path, error: Exception) -> Exception:
    """Return a StoreDiskError for a fault of the disk, and any other error unchanged. Only RocksDB's text tells them apart."""
    reason = str(error)
    return (
        StoreDiskError(path, reason) if "No space left" in reason or reason.startswith("IO error") else error
    )


def wipe(path: Path) -> None:
    """Delete a partition's directory, so that the worker rebuilds it from the changelogs."""
    shutil.rmtree(path, ignore_errors=True)


def last_written_ms(path: Path) -> int | None:
    """Return when a partition's directory was last written, in ms by this machine's clock; None if it was never written."""
    newest = max((file.stat().st_mtime_ns for file in path.glob("*.log")), default=None)
    return None if newest is None else newest // 1_000_000
