"""Checkpoint of an import: a file next to the data from which the import resumes, also after kill -9.

It says before which row all rows are decided, and before which row some may have been sent. Rows between the two are sent again
with the same ``eid``. Workers remember an ``eid`` for 24 hours, so within that time such a row counts once.
"""

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Final

import msgspec

from app.base.durable_files import replace_file
from app.base.errors import UptakeError
from app.importer.ledger import RejectedRow, RowCounts
from app.importer.mapping import RowMapping

_VERSION: Final = 1
_PART_BYTES: Final = 65_536


class Identity(msgspec.Struct, frozen=True):
    """Identity of an import: customer, file and mapping.

    ``content`` is a SHA-256 of the first and the last 64 KiB of the file, ``mapping`` one of the mapping. The path is no part of it.
    """

    customer: str
    size_bytes: int
    content: str
    mapping: str

    @property
    def import_id(self) -> str:
        """The prefix of the ``eid`` of each row of the import."""
        text = f"{self.customer}\n{self.size_bytes}\n{self.content}\n{self.mapping}"
        return "imp-" + hashlib.sha256(text.encode()).hexdigest()[:24]


class Checkpoint(msgspec.Struct):
    """Content of the checkpoint file. Rows are numbered from 1.

    Rows before ``next_row`` are decided. Rows from ``may_be_sent`` on were not sent; those between the two may have been.
    """

    identity: Identity
    next_row: int = 1
    may_be_sent: int = 1
    accepted: int = 0
    rejected: int = 0
    skipped: int = 0
    unknown: int = 0
    rejects_bytes: int = 0
    written_ms: int = 0
    is_finished: bool = False
    v: int = _VERSION

    def counts(self) -> RowCounts:
        """Return the counts of the rows before ``next_row``."""
        return RowCounts(self.accepted, self.rejected, self.skipped, self.unknown)


def identify(path: Path, mapping: RowMapping, customer: str) -> Identity:
    """Return the identity of an import; raise UptakeError if the file cannot be read."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            digest = hashlib.sha256(file.read(_PART_BYTES))
            file.seek(max(0, size - _PART_BYTES))
            digest.update(file.read(_PART_BYTES))
    except OSError as error:
        raise UptakeError(f"{path}: cannot be read: {error.strerror}") from None
    mapped = hashlib.sha256(mapping.digest_text()).hexdigest()
    return Identity(customer, size, digest.hexdigest(), mapped)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Lock a file for one import; raise UptakeError if another import of it is running."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UptakeError(f"{path}: another `uptake import` of this file is running") from None
        except OSError:  # a file system without locks
            pass
        yield


class Bookkeeper:
    """Reads and writes the checkpoint file and the rejects file of one import.

    The checkpoint holds the length of the rejects file. On open, lines beyond that length are cut off: their rows are decided again.
    """

    def __init__(self, checkpoint: Path, rejects: Path, identity: Identity) -> None:
        self.path, self.rejects_path = checkpoint, rejects
        self.state = self._load(identity)
        self._rejects: IO[bytes] | None = None

    def open(self) -> None:
        """Cut the rejects file to the length in the checkpoint; raise UptakeError if it cannot be written."""
        state = self.state
        try:
            if state.rejects_bytes or self.rejects_path.exists():
                self._open_rejects().truncate(state.rejects_bytes)
        except OSError as error:
            raise UptakeError(f"{self.rejects_path}: cannot be written: {error.strerror}") from None

    def save(
        self,
        next_row: int,
        may_be_sent: int,
        counts: RowCounts,
        rejects: Sequence[RejectedRow],
        now_ms: int,
        *,
        is_finished: bool = False,
    ) -> None:
        """Make the rejects durable, then the checkpoint. Blocks for two fsyncs; raises OSError if one fails."""
        if rejects:
            file = self._open_rejects()
            file.seek(0, os.SEEK_END)
            file.write(b"".join(msgspec.json.encode(reject) + b"\n" for reject in rejects))
            file.flush()
            os.fsync(file.fileno())
            self.state.rejects_bytes = file.tell()
        state = self.state
        state.next_row, state.may_be_sent, state.written_ms = next_row, may_be_sent, now_ms
        state.accepted, state.rejected = counts.accepted, counts.rejected
        state.skipped, state.unknown = counts.skipped, counts.unknown
        state.is_finished = is_finished
        replace_file(self.path, msgspec.json.format(msgspec.json.encode(state), indent=2) + b"\n")

    def close(self) -> None:
        """Close the rejects file."""
        if self._rejects is not None:
            self._rejects.close()
            self._rejects = None

    def _open_rejects(self) -> IO[bytes]:
        if self._rejects is None:
            handle = os.open(self.rejects_path, os.O_RDWR | os.O_CREAT, 0o600)
            os.fchmod(handle, 0o600)  # it holds user ids
            self._rejects = os.fdopen(handle, "r+b")
        return self._rejects

    def _load(self, identity: Identity) -> Checkpoint:
        try:
            found = msgspec.json.decode(self.path.read_bytes(), type=Checkpoint)
        except FileNotFoundError:
            return Checkpoint(identity)
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise UptakeError(f"{self.path}: not a checkpoint of an import: {error}") from None
        if found.v != _VERSION:
            raise UptakeError(
                f"{self.path}: another version of Uptake wrote it (format {found.v}); finish the import with that version"
            )
        for field, what in (
            ("customer", "was for another customer"),
            ("size_bytes", "was of a file of another size"),
            ("content", "was of a file with other content"),
            ("mapping", "gave the rows another meaning"),
        ):
            if getattr(found.identity, field) != getattr(identity, field):
                raise UptakeError(
                    f"{self.path}: the import that stopped at row {found.next_row:,} {what}. Resume it with the same options and "
                    f"file, or delete the checkpoint to start again: then rows that were already sent count twice"
                )
        return found
