"""The agents' third question: what do the partial counts of one source partition add to the windows that are merged here?"""

from typing import Any

import msgspec

from agents.partition import Partition
from events.codec import UndecodableError
from tables import partials
from tables.panes import is_zero
from tables.window_keys import PANE_GRANULARITY
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
    windows = partition.overlay.windows
    for partial in received.panes:
        minute = received.key_of(partial)
        row = minute.encode()
        partition.overlay.newest_received_ms = max(partition.overlay.newest_received_ms, partial.received_ms)
        state, delta = merge_partial(windows.get(row), received.partition, partial)
        if is_zero(delta):
            continue
        windows.put(row, state)
        for granularity in LARGER:
            larger = at(minute, granularity).encode()
            windows.put(larger, add_delta(windows.get(larger), delta, partial.received_ms))
