"""Building blocks for tests of lookups: users with a past, and a worker that answers from memory."""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from aiohttp.test_utils import TestClient

from app.customers.customer import Customer
from app.lookup.service import OutOfTouchError, PartitionNotReady
from app.lookup.user_view import UserView
from events.model import (
    Basket,
    Blacklist,
    Buy,
    Click,
    Consume,
    DeleteFromBlacklist,
    Owns,
    Rate,
    Rendered,
    Wishlist,
    user_key,
)
from events.rules import Rules
from tables.base.table_spec import Stretch
from tables.ctr.additions import Seen
from tables.ctr.item_sums import ItemSums, SeenSums, StepOf
from tables.ctr.item_windows import ItemWindow
from tables.ctr.window_keys import WindowKey
from tables.ctr.window_sums import StoredSpan, WindowRow
from tables.user import basket, clicked, consumed, preferences, purchases, rendered
from tests.support.showings import show

NOW = 1_700_000_000_000
MINUTE = 60_000
DAY = 86_400_000

CUSTOMER = Customer(Rules("00000", "k1", b"s" * 32))
OTHER = Customer(Rules("shop 2", "k1", b"t" * 32))
BASE: dict[str, Any] = {"customer": "00000", "user": "k1.u", "received_ms": NOW}


def shown(stretch: Stretch, *items: str, at: int, itemtype: int = 1, scenario: str | None = None) -> None:
    event = Rendered(**BASE, items=items, itemtype=itemtype, time_ms=at)
    stretch[rendered.TABLE] = show(stretch[rendered.TABLE], event, scenario)


def clicked_on(stretch: Stretch, item: str, at: int) -> None:
    stretch[clicked.TABLE] = clicked.click(stretch[clicked.TABLE], Click(**BASE, item=item, time_ms=at))


def consumed_to(stretch: Stretch, item: str, percentage: int, at: int) -> None:
    event = Consume(**BASE, item=item, percentage=percentage, time_ms=at)
    stretch[consumed.TABLE] = consumed.consume(stretch[consumed.TABLE], event)


def bought(stretch: Stretch, item: str, at: int, **facts: Any) -> None:
    stretch[purchases.TABLE] = purchases.buy(
        stretch[purchases.TABLE], Buy(**BASE, item=item, time_ms=at, **facts)
    )


def owned(stretch: Stretch, item: str, at: int) -> None:
    stretch[purchases.TABLE] = purchases.own(stretch[purchases.TABLE], Owns(**BASE, item=item, time_ms=at))


def put_in_basket(stretch: Stretch, item: str, at: int, **facts: Any) -> None:
    stretch[basket.TABLE] = basket.put(stretch[basket.TABLE], Basket(**BASE, item=item, time_ms=at, **facts))


def took_out(stretch: Stretch, item: str, at: int) -> None:
    stretch[basket.TABLE] = basket.take(stretch[basket.TABLE], f"1/{item}", at, NOW)


def blacklisted(stretch: Stretch, item: str, at: int) -> None:
    event = Blacklist(**BASE, item=item, time_ms=at)
    stretch[preferences.TABLE] = preferences.blacklist(stretch[preferences.TABLE], event)


def taken_off_blacklist(stretch: Stretch, item: str, at: int) -> None:
    event = DeleteFromBlacklist(**BASE, item=item, time_ms=at)
    stretch[preferences.TABLE] = preferences.unblacklist(stretch[preferences.TABLE], event)


def rated(stretch: Stretch, item: str, rating: int, at: int) -> None:
    event = Rate(**BASE, item=item, rating=rating, time_ms=at)
    stretch[preferences.TABLE] = preferences.rate(stretch[preferences.TABLE], event)


def wished(stretch: Stretch, item: str, at: int) -> None:
    event = Wishlist(**BASE, item=item, time_ms=at)
    stretch[preferences.TABLE] = preferences.wish(stretch[preferences.TABLE], event)


class FixedClock:
    """A clock that always shows the same time."""

    def now_ms(self) -> int:
        return NOW


class MemoryWorker:
    """A LookupService over dictionaries. It owns the ``local`` partitions; ``owners`` says who owns the others.

    ``copies`` maps the partitions it keeps copies of to their age in ms; ``standbys`` lists the other workers with copies.
    ``stale`` maps the partitions without contact with Kafka to their age in ms; those of ``refusing`` have had none for too long.
    """

    def __init__(self, partition_count: int = 4, local: set[int] | None = None) -> None:
        self.customers: Mapping[str, Customer] = {"00000": CUSTOMER, "shop 2": OTHER}
        self.partition_count = partition_count
        self.local = set(range(partition_count)) if local is None else local
        self.owners: dict[int, str] = {}
        self.restoring: dict[int, float | None] = {}
        self.views: dict[bytes, UserView] = {}
        self.rows: dict[int, list[WindowRow]] = {}
        self.items: dict[int, list[tuple[WindowKey, ItemWindow]]] = {}
        self.seen: dict[int, list[tuple[WindowKey, Mapping[str, Seen]]]] = {}
        self.is_ready = True
        self.reads = 0
        self.copies: dict[int, int] = {}
        self.standbys: dict[int, list[str]] = {}
        self.stale: dict[int, int] = {}
        self.refusing: set[int] = set()

    def know(self, raw_user: str, view: UserView) -> int:
        """Store a user's view; return the user's partition."""
        key = user_key("00000", CUSTOMER.rules.user(raw_user))
        self.views[key] = view
        return self.partition_of(key)

    def partition_of(self, key: bytes) -> int:
        return sum(key) % self.partition_count

    def owner_of(self, partition: int) -> str | None:
        return self.owners.get(partition)

    def is_local(self, partition: int) -> bool:
        return partition in self.local

    def user_view(self, partition: int, key: bytes) -> UserView:
        self._must_be_ready(partition)
        self.reads += 1
        return replace(self.views.get(key, UserView()), stale_ms=self.stale_ms(partition))

    def stale_ms(self, partition: int) -> int | None:
        if partition in self.refusing:
            raise OutOfTouchError(partition, 301_000, 2)
        return self.stale.get(partition)

    def standbys_of(self, partition: int) -> Sequence[str]:
        return self.standbys.get(partition, [])

    def stale_view(self, partition: int, key: bytes, max_stale_ms: int) -> UserView | None:
        stale_ms = self.copies.get(partition)
        if stale_ms is None or stale_ms > max_stale_ms:
            return None
        return replace(self.views.get(key, UserView()), stale_ms=stale_ms)

    def windows(
        self,
        partition: int,
        customer: str,
        scenario: str | None,
        dimension: str,
        segments: Sequence[StoredSpan],
    ) -> list[list[WindowRow]]:
        self._must_be_ready(partition)
        return [
            [row]
            for row in self.rows.get(partition, [])
            if row.key.customer == customer
            and scenario in (None, row.key.scenario)
            and row.key.dimension == dimension
            and any(
                row.key.granularity == span.granularity and span.from_ms <= row.key.start_ms < span.to_ms
                for span in segments
            )
        ]

    def item_sums(
        self,
        partition: int,
        customer: str,
        scenario: str | None,
        dimension: str,
        segments: Sequence[StoredSpan],
        step_of: StepOf,
    ) -> Iterator[ItemSums | None]:
        self._must_be_ready(partition)
        found: dict[str, ItemSums] = {}
        for key, window in self._within(self.items.get(partition, []), customer, scenario, segments):
            if key.dimension == dimension:
                sums = found.setdefault(key.scenario, ItemSums(key.scenario, step_of))
                yield from sums.add(key.start_ms, window.items)
                if window.rest is not None:
                    sums.add_rest(key.start_ms, window.rest)
                yield None
        yield from found.values()

    def seen_sums(
        self,
        partition: int,
        customer: str,
        scenario: str | None,
        segments: Sequence[StoredSpan],
        step_of: StepOf,
        *,
        by_variant: bool,
    ) -> Iterator[SeenSums | None]:
        self._must_be_ready(partition)
        found: dict[str, SeenSums] = {}
        for key, seen in self._within(self.seen.get(partition, []), customer, scenario, segments):
            found.setdefault(key.scenario, SeenSums(key.scenario, step_of, by_variant=by_variant)).add_marks(
                key.start_ms, seen
            )
            yield None
        yield from found.values()

    @staticmethod
    def _within(
        rows: Sequence[tuple[WindowKey, Any]],
        customer: str,
        scenario: str | None,
        segments: Sequence[StoredSpan],
    ) -> Iterator[tuple[WindowKey, Any]]:
        for key, row in rows:
            if (
                key.customer == customer
                and scenario in (None, key.scenario)
                and any(
                    key.granularity == span.granularity and span.from_ms <= key.start_ms < span.to_ms
                    for span in segments
                )
            ):
                yield key, row

    def status(self) -> Mapping[str, Any]:
        return {"ready": self.is_ready, "partitions": {number: {} for number in sorted(self.local)}}

    def _must_be_ready(self, partition: int) -> None:
        assert partition in self.local, "asked for a partition of another worker"
        if partition in self.restoring:
            raise PartitionNotReady(partition, 2, self.restoring[partition])


Client = TestClient[Any, Any]
Start = Callable[..., Awaitable[Client]]
"""``start(worker, **options) -> client``: a fixture that serves a worker over HTTP."""


def url_of(client: Client) -> str:
    return str(client.make_url("")).rstrip("/")


def a_shopper(item: str = "7") -> UserView:
    own = Stretch()
    shown(own, item, at=NOW - MINUTE)
    shown(own, item, at=NOW)
    bought(own, "9", NOW)
    return UserView(own)


async def two_workers(start: Start, **options: Any) -> tuple[MemoryWorker, Client, MemoryWorker, Client]:
    """Return two workers that share four partitions and know each other's address."""
    one, other = MemoryWorker(local={0, 1}), MemoryWorker(local={2, 3})
    here, there = await start(one, **options), await start(other, **options)
    one.owners = dict.fromkeys((2, 3), url_of(there))
    other.owners = dict.fromkeys((0, 1), url_of(here))
    return one, here, other, there
