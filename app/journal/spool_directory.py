"""Whose is the spool: numbered directories, each with one process as its owner, and how far what lies in it was drained."""

import fcntl
import json
import os
from pathlib import Path
from typing import Final

from app.base.durable_files import replace_file, sync, write_all
from app.journal.spool_format import SpoolRecord, SpoolTarget, encode, records

_CURSORS: Final = "cursors"
_CURSORS_MAX_BYTES: Final = 262_144
_MAX_DIRECTORIES: Final = 1_000
_CURSOR_PLACE: Final = SpoolTarget(_CURSORS, 0)


class Directory:
    """One numbered directory of the spool, locked until ``release`` or the end of the process.

    Its cursors say up to which record each partition was drained. They are written after the broker's acknowledgement, so what
    was acknowledged and not yet noted is sent again after a crash: that is what the ``eid`` of each event in the spool is for.
    """

    def __init__(self, path: Path, lock: int) -> None:
        self.path, self._lock = path, lock
        self.cursors: dict[SpoolTarget, int] = {}
        self.next_number = 1
        self._is_cursor_file_new = True

    @classmethod
    def take(cls, path: Path) -> "Directory | None":
        """Return the directory, made where it is missing; None when another process has it."""
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
        """Let another process have it."""
        os.close(self._lock)

    def read_cursors(self) -> None:
        """Read what was noted last. What cannot be read is as good as not noted: more is sent again, nothing is lost."""
        path = self.path / _CURSORS
        data = path.read_bytes() if path.exists() else b""
        for record in records(data):
            noted = json.loads(record.value)
            self.cursors = {
                SpoolTarget(name, int(partition)): number
                for name, partition, number in ((*key.rsplit("/", 1), value) for key, value in noted.items())
            }
        self.next_number = max([self.next_number, *(number + 1 for number in self.cursors.values())])

    def write_cursors(self) -> None:
        """Note how far the partitions are drained. The file is begun anew by each process, and when it has grown."""
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
            self._is_cursor_file_new = True  # half a line hides all that follows it
            raise
        finally:
            os.close(descriptor)


def claim(base: Path) -> list[Directory]:
    """Return the first free directory, and after it all others that are nobody's and hold something."""
    own: Directory | None = None
    for number in range(_MAX_DIRECTORIES):
        own = Directory.take(base / f"{number}")
        if own is not None:
            break
    if own is None:
        raise OSError(f"{_MAX_DIRECTORIES} collectors use {base} already")
    return [own, *left_over(base)]


def left_over(base: Path) -> list[Directory]:
    """Return the directories with segments that no living process has, locked."""
    found = []
    for path in sorted(base.iterdir()):
        if path.name.isdigit() and any(path.glob("*.seg")):
            directory = Directory.take(path)
            if directory is not None:
                found.append(directory)
    return found
