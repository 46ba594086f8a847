"""A user's recent impressions, recommended clicks and conversions, from which attribution follows (tables/user/attribution.py).

Key: user. Value: the newest impressions and views, clicks and conversions, in log order, and where older impressions are. Expires:
after 25 h by ``received_ms``, in whole groups of what belongs together. An event's time is at most 24 h before its receipt; a click
joins at most 30 min back, a conversion at most 60 min. A login sends all of it to its target by a route of its own.

Older impressions are in rows of their own (tables/user/impression_buckets.py), so that an event rewrites a small row.
"""

from collections.abc import Collection, Iterable
from typing import Any, Final

import msgspec

from events.model import ItemsEvent
from tables.base.table_spec import TableSpec
from tables.user.belonging import CONVERSION_MS
from tables.user.call_places import named_places
from tables.user.elements import PURCHASES, Conversion, ConversionCounter, Impression, JoiningClick
from tables.user.log_entries import (
    decode_impression,
    is_view,
    pack_impression,
    pack_view,
    received_ms_of,
    renewed,
    split_log,
)
from tables.user.shown_bytes import opening_of

MAX_IMPRESSIONS: Final = 100
"""Impressions that a row keeps at least. The oldest are dropped some at a time, so it may keep up to ``MOST_IMPRESSIONS``."""
MOST_IMPRESSIONS: Final = MAX_IMPRESSIONS + 32
MAX_CLICKS: Final = 100
MAX_SHOWN_ITEMS: Final = 5_000
"""Items in all kept impressions together. Without this bound, endless lists would make a value of megabytes."""
MANY_ITEMS: Final = MAX_SHOWN_ITEMS // MAX_IMPRESSIONS
"""Only lists that are longer than this can bring all lists together above the limit."""
KEEP_MS: Final = 24 * 3_600_000 + CONVERSION_MS
"""A group of elements goes when all of it was received this long before the newest element."""
MAX_LOGINS: Final = 16


class RecommendedClick(msgspec.Struct, array_like=True, gc=False):
    """A recommended click in rows of the former format, with the pane and the dimensions in which it was counted."""

    time_ms: int
    received_ms: int
    item_key: str
    pane_time_ms: int
    scenario: str | None = None
    variant: str | None = None
    row: int | None = None
    rank: int | None = None
    converted: list[ConversionCounter] = msgspec.field(default_factory=list)
    """The counters in which this click has already counted: progress events of one consumption are one conversion."""


class PastLogin(msgspec.Struct, array_like=True, gc=False):
    """A login of the user, for the routes of what other logins bring."""

    time_ms: int
    received_ms: int
    target: str


class ImpressionsState(msgspec.Struct, array_like=True, gc=False, eq=False):
    """A user's newest impressions, its recommended clicks and conversions, in log order, and the calls behind the impressions.

    ``impressions`` is one run of entries (tables/user/log_entries.py): ``kept`` impressions and ``views``. ``calls`` holds the calls
    that these reported (tables/user/call_places.py). Older ones are in buckets. Rows of former formats have lists in both fields, or
    a log of the former format, and clicks in ``former_clicks``. Most rows have none of the rest. So these are tuples: an empty one
    costs no memory and no work of the garbage collector.
    """

    impressions: bytearray | list[Impression] = msgspec.field(default_factory=bytearray)
    former_clicks: tuple[RecommendedClick, ...] = ()
    calls: bytearray | list[str] = msgspec.field(default_factory=bytearray)
    kept: int = 0
    clicks: tuple[JoiningClick, ...] = ()
    conversions: tuple[Conversion, ...] = ()
    numbered: int = 0
    """The number of the user's next element."""
    logins: tuple[PastLogin, ...] = ()
    """The user's logins that are later than all before them in the log."""
    last_login: PastLogin | None = None
    """The last login in the log."""
    settled_calls: tuple[str, ...] = ()
    """Calls that counted as clicked and whose impression was dropped: they never count again."""
    layout: int = 0
    """0: the log may be of a former format."""
    views: int = 0
    """``viewed`` events in the log."""
    appended: int = 0
    """Entries that were ever appended to the log."""
    merged: int = 0
    """How many of these the row of ``rendered`` includes. The others are the last ones of buckets and log."""
    first_bucket: int = 0
    """The number of the oldest bucket. The numbers of buckets ascend without a gap."""
    buckets: bytes = b""
    """What is known of each bucket (tables/user/impression_buckets.py)."""
    call_marks: bytes = b""
    """A mark of each call in the buckets, in their order."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        """Tell whether both states hold the same."""
        if not isinstance(other, ImpressionsState):
            return NotImplemented
        return _comparable(self) == _comparable(other)

    def next_number(self) -> int:
        """Return the number of the user's next element, and count it."""
        self.numbered += 1
        return self.numbered


def _comparable(state: ImpressionsState) -> tuple[Any, ...]:
    renew(state)
    return (
        bytes(log_of(state)),
        named_places(calls_of(state)),
        *(getattr(state, name) for name in ImpressionsState.__struct_fields__[3:]),
    )


def renew(state: ImpressionsState) -> None:
    """Turn the clicks of the former format into clicks and conversions that count the same."""
    if not state.former_clicks:
        return
    for former in state.former_clicks:
        state.clicks += (
            JoiningClick(
                former.time_ms,
                former.received_ms,
                former.item_key,
                None,
                former.scenario,
                former.variant,
                former.row,
                former.rank,
                number=state.next_number(),
            ),
        )
        # Purchases of former rows count once each and are not kept, so no later one can be taken for them.
        state.conversions += tuple(
            Conversion(
                former.time_ms, former.received_ms, former.item_key, counter, number=state.next_number()
            )
            for counter in former.converted
            if counter != PURCHASES
        )
    state.former_clicks = ()


def log_of(state: ImpressionsState) -> bytearray:
    """Return the log of a state, which the caller may change in place. A log of a former format is turned into entries."""
    log = state.impressions
    if state.layout == 0:
        if type(log) is not bytearray:
            former: Any = log
            state.kept = len(former)
            log = bytearray(b"".join(map(pack_impression, former)))
        elif log:
            log = bytearray(renewed(log))
        state.impressions, state.layout = log, 1
    return log  # type: ignore[return-value]


def calls_of(state: ImpressionsState) -> bytearray:
    """Return the calls of a state as one run of bytes (tables/user/call_places.py), which the caller may change in place."""
    calls = state.calls
    if type(calls) is not bytearray:
        former: Any = calls
        calls = state.calls = bytearray(b"".join([opening_of(call.encode()) for call in former]))
    return calls


def entries_of(state: ImpressionsState) -> list[bytes]:
    """Return the entries of the impressions in log order."""
    log = log_of(state)
    if state.views:
        return [entry for entry in split_log(log) if not is_view(entry)]
    return list(split_log(log))


def impressions_of(state: ImpressionsState) -> list[Impression]:
    """Return the decoded impressions in log order."""
    return [decode_impression(entry) for entry in entries_of(state)]


def impression_of(event: ItemsEvent) -> Impression:
    """Return the impression of a ``rendered`` (or ``viewed``) event, as sent."""
    return Impression(
        event.time_ms,
        event.received_ms,
        event.itemtype,
        list(event.items),
        event.scenario,
        event.variant,
        event.experiment,
        event.row,
        event.rank,
        event.request_id,
    )


def append(state: ImpressionsState, impression: Impression) -> None:
    """Add an impression to the end of the log."""
    log = log_of(state)
    log += pack_impression(impression)
    state.kept += 1
    state.appended += 1


def append_view(state: ImpressionsState, event: ItemsEvent) -> None:
    """Add a ``viewed`` event to the end of the log."""
    log = log_of(state)
    log += pack_view(event.itemtype, event.items, event.time_ms, event.received_ms)
    state.views += 1
    state.appended += 1


def impression_at(state: ImpressionsState, position: int) -> Impression:
    """Return the impression at a position of the log."""
    return decode_impression(entries_of(state)[position])


def oldest_received_ms(state: ImpressionsState) -> int | None:
    """Return when the oldest entry of the log was received; None without entries."""
    log = log_of(state)
    return received_ms_of(log) if log else None


def drop_impressions(state: ImpressionsState, positions: Collection[int]) -> None:
    """Drop the impressions at these positions of the log."""
    if not positions:
        return
    left: list[bytes] = []
    position = 0
    for entry in split_log(log_of(state)):
        if not is_view(entry):
            position += 1
            if position - 1 in positions:
                continue
        left.append(entry)
    state.impressions = bytearray(b"".join(left))
    state.kept -= len(positions)


def drop_views(state: ImpressionsState) -> None:
    """Drop the ``viewed`` events of the log, which are of no use once the row of ``rendered`` includes them."""
    if state.views:
        state.impressions = bytearray(b"".join(entries_of(state)))
        state.views = 0


def replace(state: ImpressionsState, impressions: Iterable[Impression]) -> None:
    """Keep these impressions instead of the log."""
    entries = [pack_impression(each) for each in impressions]
    state.impressions, state.layout = bytearray(b"".join(entries)), 1
    state.kept, state.views = len(entries), 0


TABLE: Final = TableSpec(
    "impressions",
    ImpressionsState,
    key="user",
    value="the newest of the last 100 impressions (5,000 items in all), recommended clicks, conversions and recommendation calls",
    expiry="after 25 h, in whole groups",
    memory_per_row=250,
    memory_per_byte=2.2,
)
