"""Which items has a user been shown, how often and when: what decides that an item was shown enough.

Key: user. Value: item -> number of showings, the first, the last 16 show times, and apart from them the ``viewed`` events
(half visible for one second). Expires: beyond 2,000 items those longest untouched in log order go; nothing goes by age.
A repeated event counts again: what may come twice carries an eid and is stopped before (seen.py).
"""

from bisect import bisect_right, insort
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, cast

import msgspec

from events.model import Rendered, Viewed
from tables.items import MAX_ITEMS, drop_oldest

MAX_TIMES: Final = 16
SILENCE_MS: Final = 30 * 60_000
"""A user's session ends when nothing was shown for this long."""


class Shown(msgspec.Struct, array_like=True, gc=False):
    """How one item was shown. ``first_ms`` means something only when ``total`` is not 0 (an item may only have been viewed)."""

    total: int = 0
    first_ms: int = 0
    times: list[int] = msgspec.field(default_factory=list)
    """The greatest ``MAX_TIMES`` show times, ascending; two showings at one time are two entries."""
    viewed: int = 0
    viewed_last_ms: int = 0


class RenderedState(msgspec.Struct, array_like=True, gc=False, eq=False):
    """What a user was shown: item key -> Shown, in touch order, the latest last.

    A loaded row keeps each item as the bytes it was read from until an event touches it: of the hundreds of items of a busy user a
    visit touches a few, and this loads a row in a quarter of the time and holds it in a quarter of the memory (decisions/0008).
    ``shown_of`` and ``ShownItems`` read either form.
    """

    items: dict[str, msgspec.Raw] = msgspec.field(default_factory=dict)

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        """Whether both hold the same, decoded or not."""
        if not isinstance(other, RenderedState):
            return NotImplemented
        return dict(ShownItems(self)) == dict(ShownItems(other))


_decode_shown: Final = msgspec.msgpack.Decoder(Shown).decode


def shown_of(entry: Shown | msgspec.Raw) -> Shown:
    """Return an item's entry, decoded when it was not."""
    return entry if type(entry) is Shown else _decode_shown(cast(msgspec.Raw, entry))


class ShownItems(Mapping[str, Shown]):
    """The items of a state as a mapping of item key -> Shown, each decoded when it is asked for. The state is left as it is."""

    def __init__(self, state: RenderedState) -> None:
        self._items = _entries(state)

    def __getitem__(self, key: str) -> Shown:
        return shown_of(self._items[key])

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)


def show(state: RenderedState | None, event: Rendered) -> RenderedState:
    """Count each item of the list as shown, in the order sent; an item listed twice counts twice."""
    if state is None:
        state = RenderedState()
    items: dict[str, Any] = state.items  # Shown or Raw
    time_ms = event.time_ms
    prefix = f"{event.itemtype}/"
    for item in event.items:
        key = prefix + item
        entry = items.pop(key, None)
        if entry is None:
            items[key] = Shown(1, time_ms, [time_ms])
            continue
        shown = items[key] = entry if type(entry) is Shown else _decode_shown(entry)
        times = shown.times
        if not times:
            shown.first_ms = time_ms
            times.append(time_ms)
        elif time_ms >= times[-1]:
            times.append(time_ms)
        else:
            insort(times, time_ms)
            if time_ms < shown.first_ms:
                shown.first_ms = time_ms
        if len(times) > MAX_TIMES:
            del times[0]
        shown.total += 1
    if len(items) > MAX_ITEMS:
        drop_oldest(items)
    return state


def view(state: RenderedState | None, event: Viewed) -> RenderedState:
    """Count each item of the list as viewed. A viewing is no showing: thresholds count showings."""
    if state is None:
        state = RenderedState()
    items: dict[str, Any] = state.items  # Shown or Raw
    time_ms = event.time_ms
    prefix = f"{event.itemtype}/"
    for item in event.items:
        key = prefix + item
        entry = items.pop(key, None)
        shown = items[key] = Shown() if entry is None else shown_of(entry)
        shown.viewed += 1
        if time_ms > shown.viewed_last_ms:
            shown.viewed_last_ms = time_ms
    if len(items) > MAX_ITEMS:
        drop_oldest(items)
    return state


def merge(into: RenderedState | None, other: RenderedState) -> RenderedState:
    """Add what a login moved: counts summed, times united. ``other`` is used up; what it holds counts as just touched."""
    if into is None:
        return other
    items = _entries(into)
    for key, moved in _entries(other).items():
        own = items.pop(key, None)
        items[key] = moved if own is None else _merge_shown(shown_of(own), shown_of(moved))
    drop_oldest(items)
    return into


def _entries(state: RenderedState) -> dict[str, Shown | msgspec.Raw]:
    """Return the items as they are; msgspec cannot decode into a union with Raw, so the field's type names only that."""
    return cast(dict[str, Shown | msgspec.Raw], state.items)


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

    Exact while the answer needs no time older than the last 16; beyond them a limited span saturates at 16, so a threshold
    above 16 can be met only from the beginning.
    """
    times = shown.times
    if not times or as_of_ms < shown.first_ms:
        return 0
    up_to = bisect_right(times, as_of_ms)
    if since_ms is None or since_ms < shown.first_ms:
        return shown.total - (len(times) - up_to)
    return max(0, up_to - bisect_right(times, since_ms))


def session_start_ms(times_ms: Iterable[int], as_of_ms: int, silence_ms: int = SILENCE_MS) -> int | None:
    """Return when the session that contains ``as_of_ms`` began, given a user's show times: its first; None when there is none.

    A session is a run of showings of any item with less than ``silence_ms`` between neighbours; it contains ``as_of_ms`` when
    its last showing up to then is less than ``silence_ms`` ago. Only kept times count (the last 16 of an item).
    """
    start_ms: int | None = None
    reached_ms = as_of_ms
    for time_ms in sorted((time_ms for time_ms in times_ms if time_ms <= as_of_ms), reverse=True):
        if reached_ms - time_ms >= silence_ms:
            break
        start_ms = reached_ms = time_ms
    return start_ms


def show_times(items: Mapping[str, Shown]) -> Iterator[int]:
    """Yield every show time that is kept of the items."""
    for shown in items.values():
        yield from shown.times
