"""Index of the windows that are not final, in the order of their ends, so that closing windows reads no others.

Table ``open_windows``. Key: lane, end (13 digits), 0x1f, WindowKey bytes. Value: 0. Expires: when the window becomes final. A repeated
change of a window finds its row and changes nothing.
"""

from typing import Final

from tables.base.table_spec import TableSpec
from tables.ctr.window_keys import MAX_TIME_MS, SEPARATOR, WindowKey
from tables.ctr.windows import HISTORY_LANE, LIVE_LANE, WindowState, end_ms, is_over

_PREFIXES: Final = {LIVE_LANE: b"l", HISTORY_LANE: b"h"}


def row_key(lane: int, key: WindowKey) -> bytes:
    """Return the key of a window's row. A window whose end is too late for a key is last."""
    return b"%s%013d%s%s" % (_PREFIXES[lane], min(end_ms(key), MAX_TIME_MS), SEPARATOR, key.encode())


def window_row(row: bytes) -> bytes:
    """Return the key of a row's window in the table ``windows``."""
    return row.split(SEPARATOR, 1)[1]


def due_range(watermark_ms: int, grace_ms: int) -> tuple[bytes, bytes]:
    """Return the half-open range of the rows of windows that waited for the watermark and are due."""
    passed_ms = min(max(watermark_ms - grace_ms, -1), MAX_TIME_MS - 1)
    return _PREFIXES[LIVE_LANE], b"%s%013d" % (_PREFIXES[LIVE_LANE], passed_ms + 1)


def history_range() -> tuple[bytes, bytes]:
    """Return the half-open range of the rows of windows that wait for the end of the history lane."""
    return _PREFIXES[HISTORY_LANE], b"i"


def track(
    state: WindowState, key: WindowKey, is_history: bool, watermark_ms: int, grace_ms: int
) -> dict[bytes, int | None]:
    """Return the rows of the index that change (None: deleted) when an event changed a window. Also changes the state.

    A window that has only events of the history lane waits for the end of that lane. Its first live event makes it wait for the
    watermark. An event after the watermark has passed corrects the window, even if it was never published or was empty before.
    """
    if state.is_final:
        return {}
    former = state.lane
    lane = HISTORY_LANE if is_history and former != LIVE_LANE else LIVE_LANE
    if lane == LIVE_LANE and is_over(key, watermark_ms, grace_ms):
        state.lane, state.is_final = LIVE_LANE, True
        state.revision += 1
        return {row_key(former, key): None} if former else {}
    if lane == former:
        return {}
    state.lane = lane
    rows: dict[bytes, int | None] = {row_key(former, key): None} if former else {}
    return {**rows, row_key(lane, key): 0}


def adopt(state: WindowState, key: WindowKey, watermark_ms: int, grace_ms: int) -> dict[bytes, int | None]:
    """Return the rows of the index that change for a window that was stored before the index existed. Also changes the state.

    The window then waits for the watermark, or is final if the watermark has passed.
    """
    state.lane = LIVE_LANE
    if is_over(key, watermark_ms, grace_ms):
        state.is_final = True
        return {}
    return {row_key(LIVE_LANE, key): 0}


TABLE: Final = TableSpec(
    "open_windows",
    int,
    key="lane, end, a window",
    value="nothing: an index of the windows that are not final",
    expiry="when the window is final",
    is_user_table=False,
    memory_per_row=130,
    memory_per_byte=1,
)
