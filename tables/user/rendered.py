"""Items that a user was shown, how often and when, which decides whether an item was shown often enough.

Key: user. Value: item -> number of showings, the first, the last 16 show times, and the ``viewed`` events (half visible for one
second); for some customers, the same by scenario and item (docs/decisions/0019). The newest events of a user are not in it but in the
user's log (tables/user/impressions.py), from which ``take_in`` adds them some at a time. Expires: beyond 2,000 items, the items that
the log touched longest ago, and beyond as many pairs of scenario and item; none by age. A repeated event counts again; if it carries
an eid, the table ``seen`` stops it before.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec

from tables.base.table_spec import PACKED_PER_ENCODED_BYTE, Stretch, TableSpec
from tables.user.items import MAX_ITEMS
from tables.user.log_entries import is_view, scenario_of
from tables.user.shown_bytes import (
    KEY_END,
    MAX_STAMP_MS,
    MAX_TIMES,
    STAMP_BYTES,
    Shown,
    body_of,
    entries_in,
    pack,
    read,
    scope_of,
)
from tables.user.shown_merge import count_entries, parts_in, run_of


class RenderedState(msgspec.Struct, array_like=True, gc=False, eq=False):
    """The items that a user was shown, in touch order, the latest last.

    ``items`` is one run of bytes (tables/user/shown_bytes.py), which ``ShownItems`` reads. In rows and transfers of the former
    format it is a map, item key -> Shown, which the first function that reads the state packs.
    """

    items: bytearray | dict[str, Shown] = msgspec.field(default_factory=bytearray)
    by_scenario: bytearray | None = None
    """Showings that were remembered with their scenario, in the same form. An item key follows the 8 characters of ``scope_of``."""

    merged: int = 0
    """How many entries of the user's log (``ImpressionsState.appended``) the items include."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        """Tell whether both states hold the same items in the same order."""
        return (
            isinstance(other, RenderedState)
            and packed_of(self) == packed_of(other)
            and self.by_scenario == other.by_scenario
            and self.merged == other.merged
        )


def packed_of(state: RenderedState) -> bytearray:
    """Return the run of bytes of a state, which the caller may change in place."""
    items = state.items
    if type(items) is not bytearray:
        items = state.items = pack(items)  # type: ignore[arg-type]
    return items


class ShownItems(Mapping[str, Shown]):
    """The items of a state as a read-only mapping, item key -> Shown. Each item is decoded on access.

    ``log`` are the entries of the user's log that the state lacks. With a ``scenario``: only the showings that were remembered with it.
    """

    def __init__(self, state: RenderedState, scenario: str | None = None, log: Sequence[bytes] = ()) -> None:
        if scenario is None:
            found = parts_in(packed_of(state))
        else:
            scope = scope_of(scenario)
            found = {
                key[len(scope) :]: part[len(scope) :]
                for key, part in parts_in(state.by_scenario or b"").items()
                if key.startswith(scope)
            }
            log = [each for each in log if not is_view(each) and scenario_of(each) == scenario]
        if log:
            count_entries(found, log, b"")
        self._parts = {key.decode(): part for key, part in found.items()}

    def __getitem__(self, key: str) -> Shown:
        return read(self._parts[key].partition(KEY_END)[2])

    def total(self, key: str) -> int:
        """Return how often an item was shown in all, without decoding its times; 0 if it was not."""
        part = self._parts.get(key)
        if part is None:
            return 0
        body = part.index(KEY_END) + 1
        end = part.find(b";", body)
        return (len(part) - body) // STAMP_BYTES if end < 0 else int(part[body : part.index(b",", body)])

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)


def take_in(state: RenderedState, entries: Sequence[bytes], *, by_scenario: bool = False) -> None:
    """Count what entries of a user's log show or view, in log order (tables/user/log_entries.py).

    An item that an entry lists twice is one showing. A view is not a showing; thresholds count showings. ``by_scenario``: count the
    showings of each scenario, too.
    """
    parts = parts_in(packed_of(state))
    count_entries(parts, entries, b"")
    state.items = _newest(parts)
    if by_scenario:
        parts = parts_in(state.by_scenario or b"")
        for entry in entries:
            scenario = None if is_view(entry) else scenario_of(entry)
            if scenario is not None:
                count_entries(parts, [entry], scope_of(scenario))
        state.by_scenario = _newest(parts) if parts else state.by_scenario


def _newest(parts: dict[bytes, bytes]) -> bytearray:
    """Return items as one run of bytes, without those that the log touched longest ago if there are too many."""
    newest = list(parts.values())
    return run_of(newest[-MAX_ITEMS:])


def leave(stretch: Stretch) -> RenderedState | None:
    """Prepare a user's row for a login that takes it away. Return the row that stays: it has the entries of the log, but no items."""
    state = stretch[TABLE]
    if state is None or not state.merged:
        return None
    left = RenderedState(merged=state.merged)
    state.merged = 0
    if not packed_of(state) and state.by_scenario is None:
        del stretch.rows[TABLE.name]
    return left


def merge(into: RenderedState | None, other: RenderedState) -> RenderedState:
    """Merge a row that a login moved: sum the counts, unite the times. ``other`` is used up; its items count as just touched."""
    if into is None:
        other.merged = 0  # that was of another user's log
        return other
    into.items = _merged(packed_of(into), packed_of(other))
    if into.by_scenario is None:
        into.by_scenario = other.by_scenario
    elif other.by_scenario is not None:
        into.by_scenario = _merged(into.by_scenario, other.by_scenario)
    return into


def _merged(own: bytearray, moved: bytearray) -> bytearray:
    parts = parts_in(own)
    for key, part in parts_in(moved).items():
        known, body = parts.pop(key, None), len(key) + 1
        if known is None:
            parts[key] = part
        else:
            parts[key] = part[:body] + body_of(_merge_shown(read(known[body:]), read(part[body:])))
    return _newest(parts)


def check(state: RenderedState, max_number: int) -> None:
    """Raise ValueError if the state, which any producer may have written, is invalid or has a number beyond ``max_number``."""
    _check_packed(packed_of(state), max_number)
    if state.by_scenario is not None:
        _check_packed(state.by_scenario, max_number)


def _check_packed(packed: bytearray, max_number: int) -> None:
    keys: set[bytes] = set()
    for key, body in entries_in(packed):
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


def _merge_shown(own: Shown, moved: Shown) -> Shown:
    if moved.total:
        own.first_ms = min(own.first_ms, moved.first_ms) if own.total else moved.first_ms
        own.times = sorted(own.times + moved.times)[-MAX_TIMES:]
        own.total += moved.total
    own.viewed += moved.viewed
    own.viewed_last_ms = max(own.viewed_last_ms, moved.viewed_last_ms)
    return own


TABLE: Final = TableSpec(
    "rendered",
    RenderedState,
    key="user",
    value="item -> number of showings, the first, the last 16 times, and the views; by scenario and item for some customers",
    expiry="beyond 2,000 items (or pairs of scenario and item) those longest untouched",
    merge=merge,
    memory_per_byte=PACKED_PER_ENCODED_BYTE,
    stays_in_memory=False,
)
