"""Opens the state directories of partitions, and wipes state that is too old or belongs to former changelogs.

State is usable if it is no older than tombstones are kept, has the current format, and comes from the current changelogs.
Damaged state is not wiped but set aside, so that an operator can find out what happened to the disk.
Owners (app/worker/restore.py) and standbys (app/worker/standby.py) open partitions through this module.
"""

import contextlib
import gc
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from app.base.clock import Clock
from app.kafka.topic_ids import TopicRecreatedError, recreated
from app.worker.freshness import Freshness
from events.topics import DELETE_RETENTION_MS, POSITIONS
from tables.declare import CHANGELOGS, STORED
from tables.store import (
    RocksStore,
    StoreDamageError,
    StoreFormatError,
    StoreMemory,
    last_written_ms,
    wipe,
)

log = logging.getLogger(__name__)

_DAMAGED: Final = ".damaged-"
"""Between the number of a partition and the time at which its damaged directory was set aside."""


@dataclass(frozen=True, slots=True)
class DamagedStore:
    """A damaged state that was set aside, and whether its partition is still being rebuilt."""

    partition: int
    directory: Path
    is_rebuilding: bool

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "partition": self.partition,
            "directory": str(self.directory),
            "rebuilding": self.is_rebuilding,
        }


@dataclass(slots=True)
class Stores:
    """The state directories of a worker. A partition is open at most once: opening it again closes the former store."""

    state_dir: Path
    memory: StoreMemory
    clock: Clock
    freshness: dict[int, Freshness] = field(default_factory=dict)
    """By partition, as of when its copy is complete. A wiped partition is no longer a copy."""
    _opened: dict[int, RocksStore] = field(default_factory=dict)
    _aside: dict[int, Path] = field(default_factory=dict)
    """By partition, the damaged directory that was set aside."""
    _rebuilding: set[int] = field(default_factory=set)
    set_aside_count: int = 0
    """How often damaged state was set aside since the process started."""

    def __post_init__(self) -> None:
        for path in sorted(self.state_dir.glob(f"*{_DAMAGED}*")):
            number = path.name.partition(_DAMAGED)[0]
            if number.isdecimal():
                self._aside[int(number)] = path

    def on_disk(self) -> set[int]:
        """Return the partitions whose state on disk is recent enough to use."""
        if not self.state_dir.is_dir():
            return set()
        numbers = {int(path.name) for path in self.state_dir.iterdir() if path.name.isdecimal()}
        return {
            number
            for number in numbers
            if last_written_ms(self._path(number)) is not None and not self._is_old(number)
        }

    def open(self, number: int, ids: Mapping[str, str]) -> RocksStore:
        """Return the store of a partition; unusable state is wiped first. ``ids`` are the current ids of the changelogs.

        Damaged state is set aside first.

        Raise StoreFormatError if a newer version wrote the state.
        Raise TopicRecreatedError if ``uptake.positions`` was recreated and another changelog was not.
        """
        is_old = self._is_old(number)  # asked before close(), which writes
        self.close(number)
        if is_old:
            log.warning(
                "the state of partition %d is older than the changelogs keep tombstones: it is rebuilt",
                number,
            )
            self._wipe(number)
        try:
            return self._open(number, ids)
        except StoreDamageError as error:
            self.close(number)
            self._set_aside(number, error)
        return self._open(number, ids)

    def _open(self, number: int, ids: Mapping[str, str]) -> RocksStore:
        try:
            store = RocksStore(self._path(number), STORED, self.memory)
        except StoreFormatError as error:
            if error.found > error.expected:
                raise  # this version is older than the one that wrote it, and may not read the changelogs either
            log.warning("the state of partition %d is rebuilt: %s", number, error)
            self._wipe(number)
            store = RocksStore(self._path(number), STORED, self.memory)
        self._opened[number] = store  # closed with the others if it turns out to be damaged
        changelogs = {topic: ids[topic] for topic in CHANGELOGS.values() if topic in ids}
        known = store.topic_ids()
        gone = recreated(known, changelogs, CHANGELOGS.values())
        if POSITIONS in gone and len(gone) < len(known):
            # Without the position, all records in the journal would count again. If all changelogs are new, that is right.
            self.close(number)
            raise TopicRecreatedError(number, gone, "No position says what the other tables have counted.")
        if gone:
            log.warning(
                "the state of partition %d came from a former %s, which was recreated: it is rebuilt",
                number,
                ", ".join(gone),
            )
            self.close(number)
            self._wipe(number)
            store, known = RocksStore(self._path(number), STORED, self.memory), {}
        if known != known | changelogs:
            store.write_topic_ids(known | changelogs)
        self._opened[number] = store
        return store

    def rebuild(self, number: int) -> RocksStore:
        """Replace an open store that is unusable by an empty one, and return it."""
        ids = self._opened[number].topic_ids()
        self.close(number)
        self._wipe(number)
        store = self._opened[number] = RocksStore(self._path(number), STORED, self.memory)
        store.write_topic_ids(ids)
        return store

    def opened(self, number: int) -> RocksStore | None:
        """Return the store of a partition; None if it is not open here."""
        store = self._opened.get(number)
        return store if store is not None and store.is_open else None

    def close(self, number: int) -> None:
        """Close the store of a partition, if it is open. If damage was found in it, set it aside."""
        store = self._opened.pop(number, None)
        if store is not None:
            store.close()
            if store.damage is not None:
                self._set_aside(number, store.damage)

    def is_rebuilding(self, number: int) -> bool:
        """Tell whether the damaged state of a partition was set aside, and the partition has not been opened since."""
        return number in self._rebuilding

    @property
    def rebuilding_count(self) -> int:
        """How many partitions are being rebuilt after damage."""
        return len(self._rebuilding)

    def rebuilt(self, number: int) -> None:
        """Note that a partition is open, and so complete."""
        self._rebuilding.discard(number)

    def damaged(self) -> list[DamagedStore]:
        """Return each damaged state that was set aside and still exists."""
        return [
            DamagedStore(number, path, number in self._rebuilding)
            for number, path in sorted(self._aside.items())
            if path.exists()
        ]

    def warnings(self) -> list[str]:
        """Return a sentence for each damaged state that was set aside and still exists."""
        return [
            f"the state of partition {each.partition} was damaged and is rebuilt from the changelogs: find out what happened to "
            f"its disk, then delete {each.directory}"
            for each in self.damaged()
        ]

    def _set_aside(self, number: int, error: StoreDamageError) -> None:
        """Rename the directory of a damaged store. Only the newest one of a partition is kept."""
        # A reader that the damage interrupted may be in a cycle with its error. It would keep the lock of the database.
        gc.collect()
        path = self._path(number)
        for former in self.state_dir.glob(f"{number}{_DAMAGED}*"):
            wipe(former)
        date = datetime.fromtimestamp(self.clock.now_ms() / 1000, UTC)
        aside = path.with_name(f"{number}{_DAMAGED}{date:%Y-%m-%d-%H%M%S}")
        self.freshness.pop(number, None)
        with contextlib.suppress(FileNotFoundError):  # somebody deleted the whole directory
            path.rename(aside)
        self._aside[number] = aside
        self._rebuilding.add(number)
        self.set_aside_count += 1
        log.error(
            "the state of partition %d is damaged (%s): it is kept as %s and rebuilt from the changelogs",
            number,
            error.reason,
            aside,
        )

    def _path(self, number: int) -> Path:
        return self.state_dir / str(number)

    def _is_old(self, number: int) -> bool:
        written_ms = last_written_ms(self._path(number))
        return written_ms is not None and self.clock.now_ms() - written_ms > DELETE_RETENTION_MS

    def _wipe(self, number: int) -> None:
        self.freshness.pop(number, None)
        wipe(self._path(number))
