"""A user's recent impressions, recommended clicks and conversions, from which attribution follows (tables/user/attribution.py).

Key: user. Value: the last 100 impressions (5,000 items in all), clicks and conversions, in log order. Expires: after 25 h by
``received_ms``, in whole groups of what belongs together. An event's time is at most 24 h before its receipt; a click joins at most
30 min back, a conversion at most 60 min. A login sends all of it to its target by a route of its own.
"""

import struct
from typing import Any, Final

import msgspec

from events.model import ItemsEvent
from tables.base.table_spec import PACKED_PER_ENCODED_BYTE, TableSpec
from tables.user.belonging import CONVERSION_MS
from tables.user.call_places import named_places
from tables.user.elements import PURCHASES, Conversion, ConversionCounter, Impression, JoiningClick
from tables.user.shown_bytes import opening_of

MAX_IMPRESSIONS: Final = 100
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
    """A user's recent impressions, recommended clicks and conversions, in log order, and the calls behind the impressions.

    ``impressions`` is one run of bytes with ``kept`` impressions, which ``impressions_of`` reads. Each has a header (its length, and when
    it was received) and a msgpack array. So adding one and dropping the oldest reads no others (docs/decisions/0010). ``calls`` holds
    the last distinct calls that impressions reported (tables/user/call_places.py). Rows of former formats have lists in both fields,
    and clicks in ``former_clicks``. Most rows have none of the rest. So these are tuples: an empty one costs no memory and no work of
    the garbage collector.
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
        impressions_of(state),
        named_places(calls_of(state)),
        state.clicks,
        state.conversions,
        state.numbered,
        state.logins,
        state.last_login,
        state.settled_calls,
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


_decode: Final = msgspec.msgpack.Decoder(Impression).decode
_encode: Final = msgspec.msgpack.Encoder().encode
_HEADER: Final = struct.Struct(">IQ")
"""The header of each impression: the length of its msgpack array, and when it was received."""
_pack_header: Final = _HEADER.pack
_read_header: Final = _HEADER.unpack_from


_ARRAY_OF_15: Final = b"\x9f"
_ARRAY_OF_16_BYTES: Final = 3


def _packed(impression: Impression) -> bytes:
    """Return the entry of an impression: header and body.

    The body leaves out what is long: when it was received, which the header has, and the time of a call before the showing. Of that
    call it has -1 - (ms from the call to the showing). It has no last field if there is no image: an array of 16 takes 3 bytes more.
    """
    received_ms, call_ms, time_ms = impression.received_ms, impression.call_ms, impression.time_ms
    impression.received_ms = 0
    if call_ms is not None and call_ms <= time_ms:
        impression.call_ms = call_ms - time_ms - 1
    body = _encode(impression)
    if impression.image is None:
        body = _ARRAY_OF_15 + body[_ARRAY_OF_16_BYTES:-1]
    impression.received_ms, impression.call_ms = received_ms, call_ms
    return _pack_header(len(body), received_ms) + body


def decode_impression(entry: bytes | bytearray) -> Impression:
    """Return the impression of an entry."""
    impression = _decode(memoryview(entry)[_HEADER.size :])
    if not impression.received_ms:
        impression.received_ms = _read_header(entry)[1]
    if impression.call_ms is not None and impression.call_ms < 0:
        impression.call_ms += impression.time_ms + 1
    return impression


def _log_of(state: ImpressionsState) -> bytearray:
    """Return the impressions of a state as one run of bytes, which the caller may change in place."""
    log = state.impressions
    if type(log) is not bytearray:
        state.kept = len(log)
        log = state.impressions = bytearray(b"".join(map(_packed, log)))  # type: ignore[arg-type]
    return log


def calls_of(state: ImpressionsState) -> bytearray:
    """Return the calls of a state as one run of bytes (tables/user/call_places.py), which the caller may change in place."""
    calls = state.calls
    if type(calls) is not bytearray:
        former: Any = calls
        calls = state.calls = bytearray(b"".join([opening_of(call.encode()) for call in former]))
    return calls


def entries_of(state: ImpressionsState) -> list[bytes]:
    """Return the encoded impressions in log order, each with its header."""
    log = bytes(_log_of(state))
    found: list[bytes] = []
    at = 0
    while at < len(log):
        end = at + _HEADER.size + _read_header(log, at)[0]
        found.append(log[at:end])
        at = end
    return found


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


def append(state: ImpressionsState, impression: Impression) -> bool:
    """Add an impression to the end of the log. Return whether the oldest one is then too old, or one too many."""
    log = _log_of(state)
    log += _packed(impression)
    kept = state.kept = state.kept + 1
    return kept > MAX_IMPRESSIONS or _read_header(log)[1] < impression.received_ms - KEEP_MS


def impression_at(state: ImpressionsState, position: int) -> Impression:
    """Return the impression at a position of the log."""
    log = _log_of(state)
    at = 0
    for _ in range(position):
        at += _HEADER.size + _read_header(log, at)[0]
    return decode_impression(log[at : at + _HEADER.size + _read_header(log, at)[0]])


def oldest_received_ms(state: ImpressionsState) -> int | None:
    """Return when the oldest impression was received; None without impressions."""
    log = _log_of(state)
    return _read_header(log)[1] if log else None


def drop_impressions(state: ImpressionsState, positions: list[int]) -> None:
    """Drop the impressions at these positions of the log, which ascend."""
    log = _log_of(state)
    at = place = 0
    for dropped, position in enumerate(positions):
        while place < position - dropped:
            at += _HEADER.size + _read_header(log, at)[0]
            place += 1
        del log[at : at + _HEADER.size + _read_header(log, at)[0]]
    state.kept -= len(positions)


def replace(state: ImpressionsState, impressions: list[Impression]) -> None:
    """Keep these impressions instead of the former ones."""
    state.impressions = bytearray(b"".join(map(_packed, impressions)))
    state.kept = len(impressions)


TABLE: Final = TableSpec(
    "impressions",
    ImpressionsState,
    key="user",
    value="the last 100 impressions (5,000 items in all), recommended clicks, conversions and recommendation calls",
    expiry="after 25 h, in whole groups",
    memory_per_byte=PACKED_PER_ENCODED_BYTE,
)
