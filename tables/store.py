"""Keeps a partition's rows on disk: one RocksDB per partition, one column family per table.

A worker writes to the store only after a changelog transaction was committed. Rows, changelog offsets and source positions are one
batch. So the store is always a prefix of the committed changelogs, and recovery reads on from the offsets in it. All stores of a
worker share their memory budgets.
"""

import fcntl
import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

import rocksdict

FORMAT_VERSION: Final = 2
_ALSO_READ: Final = 1  # this version reads its rows in place; workers of that version cannot read ours
OFFSETS: Final = "offsets"  # the column family of the changelog offsets that the rows include
FORMAT: Final = "format"
_TOPIC_IDS: Final = "topic ids"
_LAST_KEY: Final = b"\xff"  # greater than every key of OFFSETS
# RocksDB's default is 90 % of the ulimit for each database, so a few partitions would exhaust it.
_OPEN_FILES_PER_DATABASE: Final = 64
_UNREADABLE: Final = ("No such file or directory", "While pread", "While reading file")
"""What an IO error of RocksDB says of a file that is missing, or on a broken part of the disk."""
_MEMTABLE_BYTES: Final = 8 * 1_048_576
"""Size at which RocksDB flushes one table's memtable. The shared write-buffer manager bounds the sum of all."""

# RocksDB notes each closed log file and its size in the manifest, and an opening finds one that is gone or cut off. Otherwise rows
# that were only in it would be missing, with offsets that include them. rocksdict can set this in a file only.
_TRACKED_LOGS: Final = """[Version]
  rocksdb_version=9.8.4
  options_file_version=1.1
[DBOptions]
  track_and_verify_wals_in_manifest=true
[CFOptions "default"]
"""

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


class StoreDamageError(StoreError):
    """Files of the store are missing, or hold other bytes than were written. The worker sets them aside and rebuilds the store."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"the state in {path} is damaged ({reason})")
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
    """The block cache and the memtable budget that all databases of one worker share (docs/decisions/0007)."""

    def __init__(self, block_cache_bytes: int, memtable_bytes: int) -> None:
        self.cache = rocksdict.Cache(block_cache_bytes)
        self.write_buffers = rocksdict.WriteBufferManager(memtable_bytes, False)

    def database_options(self) -> rocksdict.Options:
        """Return new options for a database, which finds missing log files when it is opened."""
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "OPTIONS-000001").write_text(_TRACKED_LOGS)
            Path(folder, "rocksdict-config.json").write_text('{"raw_mode":true,"prefix_extractors":{}}')
            options, _ = rocksdict.Options.load_latest(folder)
        return self._filled(options)

    def options(self) -> rocksdict.Options:
        """Return new options that use the shared budgets. Column families must not share one options object."""
        return self._filled(rocksdict.Options(raw_mode=True))

    def _filled(self, options: rocksdict.Options) -> rocksdict.Options:
        table = rocksdict.BlockBasedOptions()
        table.set_block_cache(self.cache)
        table.set_bloom_filter(10, False)
        table.set_cache_index_and_filter_blocks(True)
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

    def __init__(
        self, path: Path, tables: Iterable[str], memory: StoreMemory, *, is_read_only: bool = False
    ) -> None:
        """Open the store. ``is_read_only`` changes nothing on disk, and opens only tables that are there.

        Raise StoreDamageError if files are damaged, StoreDiskError for a fault of the disk, StoreFormatError for another format.
        """
        self.path = path
        self.damage: StoreDamageError | None = None
        """The first damage that was found, or None. A damaged store must be rebuilt."""
        self._is_broken = False
        self._families: dict[str, rocksdict.Rdict] = {}
        names = [*tables, OFFSETS]
        try:
            self._database, names = self._opened(names, memory, is_read_only=is_read_only)
        except Exception as error:
            raise self._fault(error) from error
        self.tables: Final = tuple(names)
        self._families = {name: self._database.get_column_family(name) for name in names}
        self._handles = {name: self._database.get_column_family_handle(name) for name in names}
        self._getters = {name: family.get for name, family in self._families.items()}
        try:
            self._check_format(is_read_only=is_read_only)
        except BaseException:
            self.close()
            raise

    def _opened(
        self, names: list[str], memory: StoreMemory, *, is_read_only: bool
    ) -> tuple[rocksdict.Rdict, list[str]]:
        """Return the opened database, and the names of the column families to use."""
        path, access = self.path, rocksdict.AccessType.read_write()
        if path.exists() and not path.is_dir():
            raise StoreDamageError(path, "it is not a directory")
        is_new = not (path / "CURRENT").exists()
        if is_new and any(next(path.glob(pattern), None) for pattern in ("*.sst", "*.log", "MANIFEST-*")):
            raise StoreDamageError(path, "the file CURRENT is missing")  # RocksDB would start a new database
        if next(path.glob("*.sst"), None) is not None and last_written_ms(path) is None:
            raise StoreDamageError(path, "its log file is missing")  # so its age is unknown
        # RocksDB opens a database only if all of its families are named.
        on_disk = [] if is_new else rocksdict.Rdict.list_cf(str(path), memory.options())
        on_disk = [name for name in on_disk if name != "default"]
        if is_read_only:
            names, access = on_disk, rocksdict.AccessType.read_only()
        else:
            path.mkdir(parents=True, exist_ok=True)
        families = {name: memory.options() for name in dict.fromkeys((*names, *on_disk))}
        database = rocksdict.Rdict(
            str(path), memory.database_options(), column_families=families, access_type=access
        )
        return database, names

    def _check_format(self, *, is_read_only: bool) -> None:
        found = self.get(OFFSETS, FORMAT.encode()) if OFFSETS in self.tables else None
        if found is None or int(found) == _ALSO_READ:
            if not is_read_only:
                self._families[OFFSETS].put(FORMAT.encode(), b"%d" % FORMAT_VERSION)
        elif int(found) != FORMAT_VERSION:
            raise StoreFormatError(self.path, int(found), FORMAT_VERSION)

    def _fault(self, error: Exception) -> Exception:
        """Return the StoreError for a fault of RocksDB, and any other error unchanged. Only RocksDB's text tells them apart."""
        reason = " ".join(str(error).split())
        if isinstance(error, StoreDamageError):
            return self._damaged(error.reason)
        if "No space left" in reason:
            return StoreDiskError(self.path, reason)
        if reason.startswith("Corruption") or any(words in reason for words in _UNREADABLE):
            return self._damaged(reason)
        return StoreDiskError(self.path, reason) if reason.startswith("IO error") else error

    def _damaged(self, reason: str) -> StoreDamageError:
        # Not the error that is raised: its traceback would keep the database open.
        self.damage = self.damage or StoreDamageError(self.path, reason)
        return StoreDamageError(self.path, reason)

    def get(self, table: str, key: bytes) -> bytes | None:
        """Return the stored value of a row, or None if there is no row. Raise StoreDamageError if its block is damaged."""
        try:
            value: bytes | None = self._getters[table](key)
        except Exception as error:
            raise self._fault(error) from error
        return value

    def scan(self, table: str, start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield the rows with ``start <= key < end`` in key order, as they are on disk now. Raise StoreDamageError at a damaged block."""
        options = rocksdict.ReadOptions()
        options.set_iterate_upper_bound(end)
        rows = self._families[table].iter(options)
        rows.seek(start)
        while rows.valid():
            yield rows.key(), rows.value()
            rows.next()
        try:
            rows.status()  # without it, a damaged block would look like the end of the rows
        except Exception as error:
            del rows  # the traceback would keep the iterator, and this the lock
            raise self._fault(error) from error

    def offsets(self) -> dict[str, int]:
        """Return, per changelog topic, the offset after the last record that the rows include."""
        return {
            key.decode(): int(value)
            for key, value in self.scan(OFFSETS, b"", _LAST_KEY)
            if key not in (FORMAT.encode(), _TOPIC_IDS.encode())
        }

    def topic_ids(self) -> dict[str, str]:
        """Return, per changelog topic, the id of the topic that the rows came from, if known."""
        found = self.get(OFFSETS, _TOPIC_IDS.encode())
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
            raise self._fault(error) from error

    @property
    def is_open(self) -> bool:
        """Whether the rows can be read; False after ``close``."""
        return bool(self._families)

    def close(self) -> None:
        """Release the database and its lock. A second call does nothing."""
        if not self._families:
            return
        self._getters.clear()  # another reference to a family would keep the lock
        failed: Exception | None = None
        for part in (*self._families.values(), self._database):
            try:
                part.close()
            except Exception as error:  # noqa: BLE001 - rocksdict raises no other kind; the other parts must be closed too
                failed = error
        self._families.clear()
        self._handles.clear()
        if failed is not None and not self._is_broken and not isinstance(self._fault(failed), StoreError):
            raise failed  # a StoreError costs nothing: the log file has the rows, or the next opening finds the damage


def wipe(path: Path) -> None:
    """Delete a partition's directory, so that the worker rebuilds it from the changelogs."""
    shutil.rmtree(path, ignore_errors=True)


def last_written_ms(path: Path) -> int | None:
    """Return when a partition's directory was last written, in ms by this machine's clock; None if it was never written."""
    newest = max((file.stat().st_mtime_ns for file in path.glob("*.log")), default=None)
    return None if newest is None else newest // 1_000_000


def is_locked(path: Path) -> bool:
    """Tell whether another process has the store in a directory open."""
    try:
        with (path / "LOCK").open("r+b") as lock:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False  # no store, or its files cannot be read; the opening says so
    return False
