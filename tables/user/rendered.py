"""Items that a user was shown, how often and when, which decides whether an item was shown often enough.

Key: user. Value: item -> number of showings, the first, the last 16 show times, and the ``viewed`` events (half visible for one
second); for some customers, the same by scenario and item (docs/decisions/0019). Expires: beyond 2,000 items, the items that the log
touched longest ago, and beyond as many pairs of scenario and item; none by age. A repeated event counts again; if it carries an eid,
the table ``seen`` stops it before.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import msgspec

from events.model import Rendered, Viewed
from tables.base.table_spec import PACKED_PER_ENCODED_BYTE, TableSpec
from tables.user.items import MAX_ITEMS
from tables.user.shown_bytes import (
    KEY_END,
    MAX_STAMP_MS,
    MAX_TIMES,
    STAMP_BYTES,
    START,
    TIMES_BYTES,
    Shown,
    body_of,
    body_shown_again,
    body_viewed,
    entries,
    opening_of,
    pack,
    read,
    scope_of,
    stamp_of,
)

SILENCE_MS: Final = 30 * 60_000
"""A user's session ends after this long without a showing."""
_MIN_ENTRY_BYTES: Final = len(opening_of(b"1/")) + STAMP_BYTES
_LONG_LIST: Final = 20
"""For a list with more items, it is faster to split the whole row than to search it for each item."""


class RenderedState(msgspec.Struct, array_like=True, gc=False, eq=False):
    """The items that a user was shown, in touch order, the latest last.

    ``items`` is one run of bytes (tables/user/shown_bytes.py), which ``ShownItems`` reads. In rows and transfers of the former
    format it is a map, item key -> Shown, which the first function that reads the state packs.
    """

    items: bytearray | dict[str, Shown] = msgspec.field(default_factory=bytearray)
    by_scenario: bytearray | None = None
    """Showings that were remembered with their scenario, in the same form. An item key follows the 8 characters of ``scope_of``."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        """Tell whether both states hold the same items in the same order."""
        return (
            isinstance(other, RenderedState)
            and packed_of(self) == packed_of(other)
            and self.by_scenario == other.by_scenario
        )


def packed_of(state: RenderedState) -> bytearray:
    """Return the run of bytes of a state, which the caller may change in place."""
    items = state.items
    if type(items) is not bytearray:
        items = state.items = pack(items)  # type: ignore[arg-type]
    return items


class ShownItems(Mapping[str, Shown]):
    """The items of a state as a read-only mapping, item key -> Shown. Each item is decoded on access.

    With a ``scenario``: only the showings that were remembered with it.
    """

    def __init__(self, state: RenderedState, scenario: str | None = None) -> None:
        if scenario is None:
            self._bodies = {key.decode(): body for key, body in entries(packed_of(state))}
            return
        scope = scope_of(scenario)
        self._bodies = {
            key[len(scope) :].decode(): body
            for key, body in entries(state.by_scenario or b"")
            if key.startswith(scope)
        }

    def __getitem__(self, key: str) -> Shown:
        return read(self._bodies[key])

    def __iter__(self) -> Iterator[str]:
        return iter(self._bodies)

    def __len__(self) -> int:
        return len(self._bodies)


def show(state: RenderedState | None, event: Rendered, scenario: str | None = None) -> RenderedState:
    """Count each item of the list as shown, in the order sent. An item that is listed twice is one showing.

    With a ``scenario``, count the showings of that scenario instead.
    """
    if state is None:
        state = RenderedState()
    scope, packed = b"", packed_of(state)
    if scenario is not None:
        if state.by_scenario is None:
            state.by_scenario = bytearray()
        scope, packed = scope_of(scenario), state.by_scenario
    find = packed.find
    time_ms = event.time_ms
    stamp = stamp_of(time_ms)
    if len(event.items) > _LONG_LIST:
        _show_many(packed, event, stamp, scope)
        return state
    prefix = b"%b%b%d/" % (START, scope, event.itemtype)
    is_new = False
    before = len(packed)  # what follows was touched by this list; so an item there is listed twice
    for item in event.items:
        opening = prefix + item.encode() + KEY_END
        at = find(opening)
        if at < 0:
            is_new = True
            packed += opening
            packed += stamp
            continue
        if at >= before:
            continue
        end = find(START, at + 1)  # _take() inlined, with one copy less: this is the hottest loop of all
        if end < 0:
            end = len(packed)
        entry = packed[at:end]
        del packed[at:end]
        before -= end - at
        if b";" not in entry and entry[-STAMP_BYTES:] <= stamp and len(entry) - len(opening) < TIMES_BYTES:
            entry += stamp
            packed += entry
        else:
            packed += opening
            packed += body_shown_again(entry[len(opening) :], time_ms, stamp)
    if is_new:
        _drop_oldest(packed)
    return state


def _show_many(packed: bytearray, event: Rendered, stamp: bytes, scope: bytes) -> None:
    bodies = dict(entries(packed))
    time_ms = event.time_ms
    for item in dict.fromkeys(event.items):
        key = b"%b%d/%b" % (scope, event.itemtype, item.encode())
        body = bodies.pop(key, None)
        bodies[key] = stamp if body is None else body_shown_again(body, time_ms, stamp)
    packed[:] = b"".join([opening_of(key) + body for key, body in bodies.items()])
    _drop_oldest(packed)


def view(state: RenderedState | None, event: Viewed) -> RenderedState:
    """Count each item of the list as viewed, once. A view is not a showing; thresholds count showings."""
    if state is None:
        state = RenderedState()
    packed = packed_of(state)
    time_ms = event.time_ms
    for item in dict.fromkeys(event.items):
        opening = opening_of(b"%d/%b" % (event.itemtype, item.encode()))
        body = body_viewed(_take(packed, opening), time_ms)
        packed += opening
        packed += body
    _drop_oldest(packed)
    return state


def merge(into: RenderedState | None, other: RenderedState) -> RenderedState:
    """Merge a row that a login moved: sum the counts, unite the times. ``other`` is used up; its items count as just touched."""
    if into is None:
        return other
    _merge_packed(packed_of(into), packed_of(other))
    if into.by_scenario is None:
        into.by_scenario = other.by_scenario
    elif other.by_scenario is not None:
        _merge_packed(into.by_scenario, other.by_scenario)
    return into


def _merge_packed(packed: bytearray, others: bytearray) -> None:
    for key, moved in entries(others):
        opening = opening_of(key)
        own = _take(packed, opening)
        packed += opening + (moved if own is None else body_of(_merge_shown(read(own), read(moved))))
    _drop_oldest(packed)


def check(state: RenderedState, max_number: int) -> None:
    """Raise ValueError if the state, which any producer may have written, is invalid or has a number beyond ``max_number``."""
    _check_packed(packed_of(state), max_number)
    if state.by_scenario is not None:
        _check_packed(state.by_scenario, max_number)


def _check_packed(packed: bytearray, max_number: int) -> None:
    keys: set[bytes] = set()
    for key, body in entries(packed):
        key.decode()
        if key in keys:
            raise ValueError(f"an item has two entries: {key!r}")
        keys.add(key)
        shown = read(body)
        times = shown.times
        numbers = (shown.total, shown.first_ms, shown.viewed, shown.viewed_last_ms, *times)
        is_countable = all(0 <= number <= min(max_number, MAX_STAMP_MS) for number in numbers)
        if not is_countable or len(times) > MAX_TIMES or times != sorted(times) or shown.total < len(times):
            raise ValueError(f"invalid showings of an item: {shown}")


def _take(packed: bytearray, opening: bytes) -> bytearray | None:
    """Take an item's entry out. Return what followed its opening, or None if there is no entry."""
    at = packed.find(opening)
    if at < 0:
        return None
    end = packed.find(START, at + 1)
    body = packed[at + len(opening) :] if end < 0 else packed[at + len(opening) : end]
    del packed[at : at + len(opening) + len(body)]
    return body


def _drop_oldest(packed: bytearray) -> None:
    """Drop the items that the log touched longest ago, until at most ``MAX_ITEMS`` are left."""
    if len(packed) <= MAX_ITEMS * _MIN_ENTRY_BYTES:
        return  # so many bytes cannot hold too many items
    excess = packed.count(START) - MAX_ITEMS
    if excess > 0:
        at = 0
        for _ in range(excess):
            at = packed.find(START, at + 1)
        del packed[:at]


def _merge_shown(own: Shown, moved: Shown) -> Shown:
    if moved.total:
        own.first_ms = min(own.first_ms, moved.first_ms) if own.total else moved.first_ms
        own.times = sorted(own.times + moved.times)[-MAX_TIMES:]
        own.total += moved.total
    own.viewed += moved.viewed
    own.viewed_last_ms = max(own.viewed_last_ms, moved.viewed_last_ms)
    return own


def shown_within(shown: Shown, since_ms: int | None, as_of_ms: int) -> int:
    """Return how often the item was shown in ``(since_ms, as_of_ms]``; ``since_ms=None`` means from the beginning.

    The result is exact if it needs no time older than the last 16. Otherwise a limited span saturates at 16, so only a span from the
    beginning can reach a threshold above 16.
    """
    times = shown.times
    if not times or as_of_ms < shown.first_ms:
        return 0
    up_to = bisect_right(times, as_of_ms)
    if since_ms is None or since_ms < shown.first_ms:
        return shown.total - (len(times) - up_to)
    return max(0, up_to - bisect_right(times, since_ms))


def session_start_ms(times_ms: Iterable[int], as_of_ms: int, silence_ms: int = SILENCE_MS) -> int | None:
    """Return the start of the session that contains ``as_of_ms``, given a user's show times, or None if there is no session.

    A session is a run of showings of any items with less than ``silence_ms`` between neighbours. It contains ``as_of_ms`` if its last
    showing up to then is less than ``silence_ms`` ago. Only kept times count, the last 16 of each item.
    """
    start_ms: int | None = None
    reached_ms = as_of_ms
    for time_ms in sorted((time_ms for time_ms in times_ms if time_ms <= as_of_ms), reverse=True):
        if reached_ms - time_ms >= silence_ms:
            break
        start_ms = reached_ms = time_ms
    return start_ms


def show_times(items: Mapping[str, Shown]) -> Iterator[int]:
    """Yield all kept show times of the items."""
    for shown in items.values():
        yield from shown.times


TABLE: Final = TableSpec(
    "rendered",
    RenderedState,
    key="user",
    value="item -> number of showings, the first, the last 16 times, and the views; by scenario and item for some customers",
    expiry="beyond 2,000 items (or pairs of scenario and item) those longest untouched",
    merge=merge,
    memory_per_byte=PACKED_PER_ENCODED_BYTE,
)
