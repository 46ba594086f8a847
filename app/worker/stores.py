"""How is a partition's directory opened: no older than tombstones are kept, of this format, and from the changelogs of today.

Used by whoever owns a partition (app/worker/restore.py) and by whoever keeps a copy of it (app/worker/standby.py).
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from app.base.clock import Clock
from app.kafka.topic_ids import TopicRecreatedError, recreated
from app.worker.freshness import Freshness
from events.topics import DELETE_RETENTION_MS, POSITIONS
from tables.declare import CHANGELOGS, STORED
from tables.store import RocksStore, StoreFormatError, StoreMemory, last_written_ms, wipe

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Stores:
    """The directories of a worker. A partition is open once at most: opening it again closes what was open."""

    state_dir: Path
    memory: StoreMemory
    clock: Clock
    freshness: dict[int, Freshness] = field(default_factory=dict)
    """Of the partitions that are copies here: how old what they lack may be. What is wiped is no copy any more."""
    _opened: dict[int, RocksStore] = field(default_factory=dict)

    def on_disk(self) -> set[int]:
        """Return the partitions with a state that is recent enough to go on from."""
        if not self.state_dir.is_dir():
            return set()
        numbers = {int(path.name) for path in self.state_dir.iterdir() if path.name.isdecimal()}
        return {
            number
            for number in numbers
            if last_written_ms(self._path(number)) is not None and not self._is_old(number)
        }

    def open(self, number: int, ids: Mapping[str, str]) -> RocksStore:
        """Return the store of a partition; ``ids`` are those that the changelogs have now. What is of no use is wiped first.

        StoreFormatError when a newer version wrote it, TopicRecreatedError when only ``uptake.positions`` is another.
        """
        is_old = self._is_old(number)  # before the close, which writes
        self.close(number)
        if is_old:
            log.warning(
                "the state of partition %d is older than the changelogs keep tombstones: it is rebuilt",
                number,
            )
            self._wipe(number)
        try:
            store = RocksStore(self._path(number), STORED, self.memory)
        except StoreFormatError as error:
            if error.found > error.expected:
                raise  # somebody went back to an older version, which may not read the changelogs either
            log.warning("the state of partition %d is rebuilt: %s", number, error)
            self._wipe(number)
            store = RocksStore(self._path(number), STORED, self.memory)
        changelogs = {topic: ids[topic] for topic in CHANGELOGS.values() if topic in ids}
        known = store.topic_ids()
        gone = recreated(known, changelogs, CHANGELOGS.values())
        if POSITIONS in gone and len(gone) < len(known):
            # without its position, whatever the journal still holds would count again; where all are new, so it must
            store.close()
            raise TopicRecreatedError(number, gone, "Nobody would know what the other tables have counted.")
        if gone:
            log.warning(
                "the state of partition %d came from a former %s, which was recreated: it is rebuilt",
                number,
                ", ".join(gone),
            )
            store.close()
            self._wipe(number)
            store, known = RocksStore(self._path(number), STORED, self.memory), {}
        if known != known | changelogs:
            store.write_topic_ids(known | changelogs)
        self._opened[number] = store
        return store

    def rebuild(self, number: int) -> RocksStore:
        """Return an empty store in place of one that is open and of no use."""
        ids = self._opened[number].topic_ids()
        self.close(number)
        self._wipe(number)
        store = self._opened[number] = RocksStore(self._path(number), STORED, self.memory)
        store.write_topic_ids(ids)
        return store

    def opened(self, number: int) -> RocksStore | None:
        """Return the store of a partition when it is open here."""
        store = self._opened.get(number)
        return store if store is not None and store.is_open else None

    def close(self, number: int) -> None:
        """Release a partition; nothing happens when it is not open."""
        store = self._opened.pop(number, None)
        if store is not None:
            store.close()

    def _path(self, number: int) -> Path:
        return self.state_dir / str(number)

    def _is_old(self, number: int) -> bool:
        written_ms = last_written_ms(self._path(number))
        return written_ms is not None and self.clock.now_ms() - written_ms > DELETE_RETENTION_MS

    def _wipe(self, number: int) -> None:
        self.freshness.pop(number, None)
        wipe(self._path(number))
