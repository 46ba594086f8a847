"""A user's recent impressions and recommended clicks: a click finds its impression here, and a conversion its click.

Key: user. Value: the last 100 impressions (5,000 items in all) and the last 100 recommended clicks, in log order. Expires:
impressions after 24 h 30 min, clicks after 25 h, by ``received_ms``. An event's time is at most 24 h before its receipt; a click joins
at most 30 min back, a conversion at most 60 min. A repeated event is kept again, which changes no answer. A login never moves the row.
"""

import struct
from typing import Any, Final

import msgspec

from events.model import ItemsEvent
from tables.base.table_spec import PACKED_PER_ENCODED_BYTE, TableSpec
from tables.user.items import split_item_key
from tables.user.shown_bytes import KEY_END, START, opening_of

MAX_IMPRESSIONS: Final = 100
MAX_CLICKS: Final = 100
MAX_CALLS: Final = 100
MAX_SHOWN_ITEMS: Final = 5_000
"""Items in all kept impressions together. Without this bound, endless lists would make a value of megabytes."""
JOIN_MS: Final = 30 * 60_000
CONVERSION_MS: Final = 60 * 60_000
KEEP_IMPRESSIONS_MS: Final = 24 * 3_600_000 + JOIN_MS
KEEP_CLICKS_MS: Final = 24 * 3_600_000 + CONVERSION_MS


class Impression(msgspec.Struct, array_like=True, gc=False):
    """One list of items as it was shown. ``rank`` is the rank of the first item; the next items follow it."""

    time_ms: int
    received_ms: int
    itemtype: int
    items: list[str]
    scenario: str | None = None
    variant: str | None = None
    experiment: str | None = None
    row: int | None = None
    rank: int | None = None
    request_id: str | None = None


class RecommendedClick(msgspec.Struct, array_like=True, gc=False):
    """A click on a recommendation, with the pane and the dimensions in which it was counted."""

    time_ms: int
    received_ms: int
    item_key: str
    pane_time_ms: int
    scenario: str | None = None
    variant: str | None = None
    row: int | None = None
    rank: int | None = None
    converted: list[str] = msgspec.field(default_factory=list)
    """The counters in which this click has already counted: progress events of one consumption are one conversion."""


class ImpressionsState(msgspec.Struct, array_like=True, gc=False, eq=False):
    """A user's recent impressions and recommended clicks, in log order, and the recommendation calls behind the impressions.

    ``impressions`` is one run of bytes with ``kept`` impressions, which ``impressions_of`` reads. Each has a header (its length, and when
    it was received) and a msgpack array. So adding one and dropping the oldest reads no others (docs/decisions/0010). ``calls`` holds
    the last distinct calls (``call_of``) that impressions reported, each between 0xC1 and 0xFF. Rows of the former format have
    lists in both fields.
    """

    impressions: bytearray | list[Impression] = msgspec.field(default_factory=bytearray)
    clicks: list[RecommendedClick] = msgspec.field(default_factory=list)
    calls: bytearray | list[str] = msgspec.field(default_factory=bytearray)
    kept: int = 0

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        """Tell whether both states hold the same."""
        if not isinstance(other, ImpressionsState):
            return NotImplemented
        return (_log_of(self), self.clicks, _calls_of(self)) == (
            _log_of(other),
            other.clicks,
            _calls_of(other),
        )


_decode: Final = msgspec.msgpack.Decoder(Impression).decode
_encode: Final = msgspec.msgpack.Encoder().encode
_HEADER: Final = struct.Struct(">IQ")
"""The header of each impression: the length of its msgpack array, and when it was received."""
_pack_header: Final = _HEADER.pack
_read_header: Final = _HEADER.unpack_from


def _packed(impression: Impression) -> bytes:
    body = _encode(impression)
    return _pack_header(len(body), impression.received_ms) + body


def _log_of(state: ImpressionsState) -> bytearray:
    """Return the impressions of a state as one run of bytes, which the caller may change in place."""
    log = state.impressions
    if type(log) is not bytearray:
        state.kept = len(log)
        log = state.impressions = bytearray(b"".join(map(_packed, log)))  # type: ignore[arg-type]
    return log


def _calls_of(state: ImpressionsState) -> bytearray:
    calls = state.calls
    if type(calls) is not bytearray:
        former: Any = calls
        calls = state.calls = bytearray(b"".join([opening_of(call.encode()) for call in former]))
    return calls


def _bodies(state: ImpressionsState) -> list[bytes]:
    """Return the encoded impressions in log order."""
    log = bytes(_log_of(state))
    bodies: list[bytes] = []
    at = 0
    while at < len(log):
        length, _ = _read_header(log, at)
        at += _HEADER.size + length
        bodies.append(log[at - length : at])
    return bodies


def impressions_of(state: ImpressionsState) -> list[Impression]:
    """Return the decoded impressions in log order."""
    return [_decode(body) for body in _bodies(state)]


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


def remember(
    state: ImpressionsState | None, impression: Impression, now_received_ms: int
) -> ImpressionsState:
    """Keep an impression, and drop the oldest that are too many or too old."""
    if state is None:
        state = ImpressionsState()
    log = _log_of(state)
    log += _packed(impression)
    kept = state.kept + 1
    before_ms = now_received_ms - KEEP_IMPRESSIONS_MS
    drop_bytes = 0
    while kept:
        length, received_ms = _read_header(log, drop_bytes)
        if kept <= MAX_IMPRESSIONS and received_ms >= before_ms:
            break
        drop_bytes += _HEADER.size + length
        kept -= 1
    if drop_bytes:
        del log[:drop_bytes]
    state.kept = kept
    # Only a list that is longer than this can bring the sum above the limit.
    if len(impression.items) > MAX_SHOWN_ITEMS // MAX_IMPRESSIONS:
        _drop_listed(state)
    return state


def remember_click(
    state: ImpressionsState | None, click: RecommendedClick, now_received_ms: int
) -> ImpressionsState:
    """Keep a recommended click, and drop the oldest that are too many or too old."""
    if state is None:
        return ImpressionsState(clicks=[click])
    clicks = state.clicks
    clicks.append(click)
    before_ms = now_received_ms - KEEP_CLICKS_MS
    drop = max(0, len(clicks) - MAX_CLICKS)
    while drop < len(clicks) and clicks[drop].received_ms < before_ms:
        drop += 1
    if drop:
        del clicks[:drop]
    return state


def call_of(request_id: str, scenario: str | None) -> str:
    """Return the name of a recommendation call. Each scenario that answered a request is a call of its own."""
    return f"{request_id}\x1f{scenario or ''}"


def is_new_call(state: ImpressionsState, call: str) -> bool:
    """Record that an impression reported this call; return True if no earlier one did."""
    calls, entry = _calls_of(state), opening_of(call.encode())
    if entry in calls:
        return False
    calls += entry
    if calls.count(START) > MAX_CALLS:
        del calls[: calls.index(KEY_END) + 1]
    return True


def is_reported(state: ImpressionsState, call: str) -> bool:
    """Tell whether an impression has reported this call."""
    return opening_of(call.encode()) in _calls_of(state)


def _drop_listed(state: ImpressionsState) -> None:
    """Drop the oldest impressions while all lists together have too many items. The latest always stays."""
    impressions = impressions_of(state)
    drop, listed = 0, sum(len(impression.items) for impression in impressions)
    while listed > MAX_SHOWN_ITEMS and drop < len(impressions) - 1:
        listed -= len(impressions[drop].items)
        drop += 1
    state.impressions = bytearray(b"".join(map(_packed, impressions[drop:])))
    state.kept = len(impressions) - drop


def join(
    state: ImpressionsState, item_key: str, request_id: str | None, time_ms: int
) -> tuple[Impression, int] | None:
    """Return the impression that a click at ``time_ms`` joins, and the place of the item in its list, or None.

    It shows the item, at most 30 min before the click and not after it. If the click has a request id, it has the same one. Of several,
    it is the latest by event time, and at equal times the later in the log.
    """
    itemtype, item = split_item_key(item_key)
    best: Impression | None = None
    best_ms = time_ms - JOIN_MS - 1
    wanted = item.encode()
    for body in reversed(_bodies(state)):
        if wanted not in body:
            continue
        impression = _decode(body)
        if (
            best_ms < impression.time_ms <= time_ms
            and (request_id is None or impression.request_id == request_id)
            and impression.itemtype == itemtype
            and item in impression.items
        ):
            best, best_ms = impression, impression.time_ms
    return None if best is None else (best, best.items.index(item))


def converts(state: ImpressionsState, item_key: str, time_ms: int) -> RecommendedClick | None:
    """Return the recommended click that a consume, basket or buy at ``time_ms`` follows, or None.

    It is a click on the item, at most 60 min before and not after. Of several, it is the latest by event time, and at equal times the
    later in the log.
    """
    best: RecommendedClick | None = None
    best_ms = time_ms - CONVERSION_MS - 1
    for click in reversed(state.clicks):
        if click.item_key == item_key and best_ms < click.time_ms <= time_ms:
            best, best_ms = click, click.time_ms
    return best


TABLE: Final = TableSpec(
    "impressions",
    ImpressionsState,
    key="user",
    value="the last 100 impressions (5,000 items in all), recommended clicks and recommendation calls",
    expiry="impressions after 24 h 30 min, clicks after 25 h",
    memory_per_byte=PACKED_PER_ENCODED_BYTE,
)
