"""The agents' third question: what do the partial counts of one source partition add to the windows that are merged here?"""

from typing import Any

import msgspec

from agents.partition import Partition
from events.codec import UndecodableError
from tables import partials
from tables.panes import Counts, add, is_zero
from tables.window_keys import PANE_GRANULARITY, WindowKey
from tables.windows import GRANULARITY_MS, add_delta, at, merge_partial

LARGER = tuple(name for name in GRANULARITY_MS if name != PANE_GRANULARITY)


def fold_partials(partition: Partition, record: Any) -> None:
    """Fold a record of ``uptake.ctr.partials``: into its minute, and what is new of it into the hour and the day."""
    if record.value is None:
        raise UndecodableError("null", "the record has no value")
    try:
        received = partials.decode(record.value)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UndecodableError("malformed", str(error)) from None
    overlay = partition.overlay
    windows = overlay.windows
    larger: dict[WindowKey, Counts] = {}
    for partial in received.panes:
        minute = received.key_of(partial)
        row = minute.encode()
        overlay.newest_received_ms = max(overlay.newest_received_ms, partial.received_ms)
        state, delta = merge_partial(windows.get(row), received.partition, partial)
        if is_zero(delta):
            continue
        windows.put(row, state)
        for granularity in LARGER:
            add(larger.setdefault(at(minute, granularity), Counts()), delta)
    received_ms = max((partial.received_ms for partial in received.panes), default=0)
    for key, delta in larger.items():  # each once a record, however many of its minutes changed
        row = key.encode()
        windows.put(row, add_delta(windows.get(row), delta, received_ms))
