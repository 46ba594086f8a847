"""Numbered directories of the spool: each is locked by one process, and has cursors that say how far it is drained."""

import fcntl
import json
import logging
import os
from pathlib import Path
from typing import Final

from app.base.durable_files import replace_file, sync, write_all
from app.journal.spool_format import SpoolRecord, SpoolTarget, encode, records

log = logging.getLogger(__name__)

_CURSORS: Final = "cursors"
_CURSORS_MAX_BYTES: Final = 262_144
_MAX_DIRECTORIES: Final = 1_000
_CURSOR_PLACE: Final = SpoolTarget(_CURSORS, 0)


class Directory:
    """One numbered directory of the spool, locked until ``release`` or the end of the process.

    Its cursors hold the number of the last drained record of each partition. They are written after the broker's acknowledgement.
    After a crash between the two, a record is sent again; each event in the spool has an ``eid``, so it still counts once.
    """

    def __init__(self, path: Path, lock: int) -> None:
        self.path, self._lock = path, lock
        self.cursors: dict[SpoolTarget, int] = {}
        self.next_number = 1
        self._is_cursor_file_new = True

    @classmethod
    def take(cls, path: Path) -> "Directory | None":
        """Lock and return the directory, and create it if it is missing; None if another process has it."""
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return None
        except BaseException:
            os.close(lock)
            raise
        return cls(path, lock)

    def release(self) -> None:
        """Unlock the directory for other processes."""
        os.close(self._lock)

    def read_cursors(self) -> None:
        """Read the last intact cursors. If later ones are damaged, more events are sent again, but none is lost."""
        path = self.path / _CURSORS
        try:
            data = path.read_bytes()
        except OSError as error:
            data = b""
            if not isinstance(error, FileNotFoundError):
                log.error("%s cannot be read (%s): what was sent already is sent again", path, error.strerror)
        for record in records(data):
            noted = json.loads(record.value)
            self.cursors = {
                SpoolTarget(name, int(partition)): number
                for name, partition, number in ((*key.rsplit("/", 1), value) for key, value in noted.items())
            }
        self.next_number = max([self.next_number, *(number + 1 for number in self.cursors.values())])

    def write_cursors(self) -> None:
        """Append the cursors to their file. The first write of a process, and one over 256 KiB, replace the file."""
        noted = {f"{place.topic}/{place.partition}": number for place, number in self.cursors.items()}
        line = encode(SpoolRecord(0, _CURSOR_PLACE, 0, b"", json.dumps(noted).encode()))
        path = self.path / _CURSORS
        if self._is_cursor_file_new or path.stat().st_size > _CURSORS_MAX_BYTES:
            replace_file(path, line)
            self._is_cursor_file_new = False
            return
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
        try:
            write_all(descriptor, line)
            sync(descriptor)
        except OSError:
            self._is_cursor_file_new = True  # an incomplete line hides the lines after it
            raise
        finally:
            os.close(descriptor)


def segment_paths(directory: Path) -> list[Path]:
    """Return the segments in a directory, oldest first. It leaves out other files, such as a copy of one."""
    return sorted(path for path in directory.glob("*.seg") if path.stem.isdecimal())


def claim(base: Path) -> list[Directory]:
    """Lock and return the first free directory, then all other free directories that have segments."""
    own: Directory | None = None
    for number in range(_MAX_DIRECTORIES):
        own = Directory.take(base / f"{number}")
        if own is not None:
            break
    if own is None:
        raise OSError(f"{_MAX_DIRECTORIES} collectors use {base} already")
    return [own, *left_over(base)]


def left_over(base: Path) -> list[Directory]:
    """Lock and return the directories that have segments and no living owner."""
    found = []
    for path in sorted(base.iterdir()):
        if path.name.isdigit() and segment_paths(path):
            directory = Directory.take(path)
            if directory is not None:
                found.append(directory)
    return found
