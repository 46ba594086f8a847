"""Folds the partial counts of one source partition into the windows that this partition merges."""

from typing import Any

import msgspec

from agents.partition import Partition
from events.codec import UndecodableError
from tables.ctr import additions, open_windows, partials, watermarks, windows
from tables.ctr.open_windows import track
from tables.ctr.panes import Counts, add, is_zero
from tables.ctr.watermarks import SourceState
from tables.ctr.window_keys import PANE_GRANULARITY, WindowKey
from tables.ctr.windows import GRANULARITY_MS, HISTORY_LANE, WindowState, add_delta, at, merge_partial

_LARGER = tuple(name for name in GRANULARITY_MS if name != PANE_GRANULARITY)


def fold_partials(partition: Partition, record: Any) -> None:
    """Fold a record of ``uptake.ctr.partials`` into the minutes, and what is new in it into the hours and days."""
    if record.value is None:
        raise UndecodableError("null", "the record has no value")
    try:
        if additions.is_addition(record.value):
            _fold_additions(partition, additions.decode(record.value))
            return
        received = partials.decode(record.value)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UndecodableError("malformed", str(error)) from None
    if received.lanes is not msgspec.UNSET:
        _fold_announcement(
            partition, received.partition, received.watermark_ms, received.lanes, record.timestamp
        )
        return
    overlay = partition.overlay
    rows = overlay.rows[windows.TABLE]
    larger: dict[tuple[WindowKey, bool], Counts] = {}
    for partial in received.panes:
        minute = received.key_of(partial)
        row = minute.encode()
        overlay.newest_received_ms = max(overlay.newest_received_ms, partial.received_ms)
        state, delta = merge_partial(rows.get(row), received.partition, partial)
        if is_zero(delta):
            continue
        _put(partition, row, minute, state, partial.is_history)
        for granularity in _LARGER:
            add(larger.setdefault((at(minute, granularity), partial.is_history), Counts()), delta)
    received_ms = max((partial.received_ms for partial in received.panes), default=0)
    for (key, is_history), delta in larger.items():  # once per record, however many minutes changed
        row = key.encode()
        _put(partition, row, key, add_delta(rows.get(row), delta, received_ms), is_history)


def _fold_additions(partition: Partition, received: additions.Additions) -> None:
    """Keep what a flush of a source added to the items and users of a scenario."""
    overlay = partition.overlay
    for addition in received.hours:
        overlay.newest_received_ms = max(overlay.newest_received_ms, addition.received_ms)
        partition.merger.keep(received.customer, received.scenario, addition)


def _put(partition: Partition, row: bytes, key: WindowKey, state: WindowState, is_history: bool) -> None:
    """Set a changed window, and index what it waits for. A change of a final window counts as late."""
    overlay, rules = partition.overlay, partition.rules
    for open_row, value in track(state, key, is_history, partition.watermark_ms, rules.grace_ms).items():
        overlay.rows[open_windows.TABLE].put(open_row, value)
        if state.lane == HISTORY_LANE:
            partition.closer.expect_history()
    partition.stats.late += state.is_final
    overlay.rows[windows.TABLE].put(row, state)


def _fold_announcement(
    partition: Partition, source: int, newest_ms: int, lanes: partials.DrainedLanes, appended_ms: int
) -> None:
    """Fold an announcement of a source partition. ``appended_ms`` is the broker's time of its record."""
    if not 0 <= source < partition.rules.partitions:
        raise UndecodableError("malformed", f"there is no partition {source}")
    rows, row = partition.overlay.rows[watermarks.TABLE], watermarks.row_key(partition.number)
    said = SourceState(newest_ms, appended_ms, lanes.live, lanes.history)
    rows.put(row, watermarks.announce(rows.get(row), source, said, partition.rules))
