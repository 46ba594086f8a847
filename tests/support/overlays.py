"""Overlays of partitions without Kafka: events change them, and a test delivers the transfers of logins by hand."""

import random
from collections import Counter, defaultdict, deque
from typing import Any

import msgspec

from agents.overlay import Overlay
from events.model import EventBase, user_key
from events.partitions import partition_of
from tables.ctr.panes import Pane
from tables.ctr.window_keys import SCENARIO, UNKNOWN_SCENARIO, WindowKey
from tables.fold.fold_event import fold
from tables.fold.fold_identity import fold_transfer
from tables.transfers import decode as decode_transfer
from tables.transfers import encode
from tables.user import impression_buckets, impressions, rendered
from tables.user.identity import Transfer
from tables.user.impression_buckets import bucket_key, unmerged_entries
from tables.user.shown_bytes import Shown
from tests.support.builders import CUSTOMER, MINUTE_MS, NOW_MS
from tests.support.memory_store import MemoryStore

T0 = NOW_MS - NOW_MS % MINUTE_MS
"""The start of a minute."""


class SpiedOverlay(Overlay):
    """An overlay that also keeps the transfers it sent, as they were when sent."""

    def __init__(
        self, store: MemoryStore | None = None, number: int = 0, partitions: int = 1, **options: Any
    ) -> None:
        super().__init__(MemoryStore() if store is None else store, number, partitions, **options)
        self.sent: list[Transfer] = []

    def transfer(self, transfer: Transfer) -> None:
        self.sent.append(decode_transfer(encode(transfer)))
        super().transfer(transfer)

    def changed_tables(self) -> set[str]:
        return {name for name, rows in self.tables.items() if rows.changed}


def fold_all(overlay: Overlay, *events: Any) -> list[bool]:
    return [fold(overlay, user_key(event.customer, event.user), event) for event in events]


def shown_items(overlay: Overlay, key: bytes, scenario: str | None = None) -> dict[str, Shown]:
    """Return the items that a user was shown, as lookups see them: those of the row and of the log that it lacks."""
    state = overlay.rows[rendered.TABLE].get(key) or rendered.RenderedState()
    log = overlay.rows[impressions.TABLE].get(key)
    buckets = overlay.rows[impression_buckets.TABLE]
    since = (
        []
        if log is None
        else unmerged_entries(log, state.merged, lambda number: buckets.get_once(bucket_key(key, number)))
    )
    return dict(rendered.ShownItems(state, scenario, since))


def tallied(overlay: Overlay, dimension: str = SCENARIO) -> dict[tuple[Any, ...], dict[str, Any]]:
    """Return the non-zero counters since the last call: (minute after T0, scenario[, variant, row, rank]) -> counters."""
    found = {}
    for key, pane in drained_panes(overlay, lambda _: None, NOW_MS).items():
        if key.dimension == dimension:
            place: tuple[Any, ...] = ((key.start_ms - T0) // MINUTE_MS, key.scenario)
            if dimension != SCENARIO:
                place += (key.variant, key.row, key.rank)
            counts = msgspec.structs.asdict(pane.counts)
            found[place] = {name: count for name, count in counts.items() if count}
    return found


class Cluster:
    """Overlays of several partitions. A transfer waits for its delivery; transfers between two partitions keep their order."""

    def __init__(self, partitions: int, **options: Any) -> None:
        self.partitions = partitions
        self.overlays = [SpiedOverlay(None, number, partitions, **options) for number in range(partitions)]
        self._waiting: defaultdict[tuple[int, int], deque[Transfer]] = defaultdict(deque)

    def home(self, user: str) -> int:
        return partition_of(user_key(CUSTOMER, user), self.partitions)

    def fold(self, event: EventBase) -> None:
        overlay = self.overlays[self.home(event.user)]
        fold_all(overlay, event)
        self._collect(overlay)

    def _collect(self, overlay: SpiedOverlay) -> None:
        source = self.overlays.index(overlay)
        for transfer in overlay.sent:
            self._waiting[source, self.home(transfer.target)].append(transfer)
        overlay.sent.clear()

    def deliver(self, chooser: random.Random) -> bool:
        """Fold the next transfer between two randomly chosen partitions; return False if no transfer waits."""
        ways = sorted(way for way, waiting in self._waiting.items() if waiting)
        if not ways:
            return False
        way = chooser.choice(ways)
        overlay = self.overlays[way[1]]
        assert fold_transfer(overlay, self._waiting[way].popleft())
        self._collect(overlay)
        return True

    def settle(self, chooser: random.Random | None = None) -> None:
        chooser = random.Random(0) if chooser is None else chooser
        for _ in range(10_000):
            if not self.deliver(chooser):
                return
        raise AssertionError("transfers go round for ever")

    def state(self, table: str, user: str, suffix: bytes = b"") -> Any:
        overlay = self.overlays[self.home(user)]
        return overlay.tables[table].get(user_key(CUSTOMER, user) + suffix)

    def items(self, table: str, user: str, suffix: bytes = b"") -> dict[str, Any]:
        if table == rendered.TABLE.name:
            overlay = self.overlays[self.home(user)]
            return shown_items(overlay, user_key(CUSTOMER, user) + suffix)
        state = self.state(table, user, suffix)
        return {} if state is None else state.items

    def totals(self, table: str, field: str, users: str) -> Counter[str]:
        """Return the sum of a number per item, over the users' own rows."""
        total: Counter[str] = Counter()
        for user in users:
            for item, state in self.items(table, user).items():
                total[item] += getattr(state, field)
        return +total


def drained_panes(overlay: Overlay, *arguments: Any) -> dict[WindowKey, Pane]:
    """Return the panes that changed, as a flush takes them: with the places of the lists. ``arguments`` are those of Tally.drain."""
    overlay.items.count_places()
    overlay.items.drain(lambda _, scenario: scenario or UNKNOWN_SCENARIO)
    return overlay.tally.drain(*arguments)


def forget_rows(overlay: Overlay) -> None:
    """Evict all rows of an overlay that may be evicted. Call it only when all changes that were encoded are in the store."""
    for rows in overlay.tables.values():
        rows.turn()
        rows.evict(rows.memory)
