"""Windows, merged from the panes of all partitions, and their stored granularities.

Table ``windows``. Key: WindowKey bytes. Value: WindowState. Expires, by received time: minutes after 8 days (a day later than panes),
hours after 400 days, days after 2 years. A partial that comes twice, or after a newer one, changes nothing.
"""

from decimal import Decimal
from typing import Final

import msgspec

from events.topics import DAY_MS
from tables.base.table_spec import TableSpec
from tables.ctr.panes import Counts, add, is_zero, subtract
from tables.ctr.partials import Partial
from tables.ctr.rates import ClickRate, rates
from tables.ctr.user_totals import UserTotals
from tables.ctr.window_keys import HOUR_MS, PANE_GRANULARITY, WindowKey

MINUTE_MS: Final = 60_000

GRANULARITY_MS: Final = {PANE_GRANULARITY: MINUTE_MS, "hour": HOUR_MS, "day": DAY_MS}
"""The stored granularities and their sizes, the finest first."""

WINDOW_KEEP_MS: Final = {PANE_GRANULARITY: 8 * DAY_MS, "hour": 400 * DAY_MS, "day": 730 * DAY_MS}
"""How long a row is kept after its last event was received. Minutes outlive their panes by a day. Otherwise the old counts of a pane
could be merged a second time, into a new window. Days of a time zone are sums of hours: 400 days hold a year and the month before."""


LIVE_LANE: Final = 1
HISTORY_LANE: Final = 2


class SourceCounts(msgspec.Struct, array_like=True, gc=False):
    """The latest partial of one source partition for a minute."""

    epoch_ms: int
    version: int
    counts: Counts


class WindowState(msgspec.Struct, array_like=True, gc=False):
    """One window, summed over partitions. ``sources`` (partition -> latest partial) is kept for minutes only.

    ``revision`` counts the corrections since the window was first final. ``received_ms`` is when its newest event was received.
    ``lane`` says what the window waits for until it is final:

    - LIVE_LANE: the watermark;
    - HISTORY_LANE: the end of the history lane, because all its events are from there;
    - 0: not known, because an earlier version stored it.
    """

    counts: Counts = msgspec.field(default_factory=Counts)
    revision: int = 0
    is_final: bool = False
    received_ms: int = 0
    sources: dict[int, SourceCounts] = msgspec.field(default_factory=dict)
    lane: int = 0


def floor(time_ms: int, granularity: str) -> int:
    """Return the start of the stored window that holds a time."""
    return time_ms - time_ms % GRANULARITY_MS[granularity]


def at(key: WindowKey, granularity: str) -> WindowKey:
    """Return the key of the larger window (``hour``, ``day``) that a minute counts in."""
    return msgspec.structs.replace(key, granularity=granularity, start_ms=floor(key.start_ms, granularity))


def end_ms(key: WindowKey) -> int:
    """Return the end (exclusive) of the window of a key."""
    return key.start_ms + GRANULARITY_MS[key.granularity]


def merge_partial(state: WindowState | None, partition: int, partial: Partial) -> tuple[WindowState, Counts]:
    """Return the next state of a minute window, and the delta that the partial adds to it (zero if it is not newer).

    The caller adds the delta to the hour and the day with ``add_delta``.
    """
    state = WindowState() if state is None else state
    known = state.sources.get(partition)
    if known is not None and (partial.epoch_ms, partial.version) <= (known.epoch_ms, known.version):
        return state, Counts()
    is_new_pane = known is None or partial.epoch_ms != known.epoch_ms  # it starts from zero
    delta = partial.counts if known is None or is_new_pane else subtract(partial.counts, known.counts)
    state.sources[partition] = SourceCounts(partial.epoch_ms, partial.version, partial.counts)
    return add_delta(state, delta, partial.received_ms), delta


def add_delta(state: WindowState | None, delta: Counts, received_ms: int) -> WindowState:
    """Return the next state of a window after a delta. A final window gets a new revision."""
    state = WindowState() if state is None else state
    if not is_zero(delta):
        add(state.counts, delta)
        state.revision += state.is_final
    state.received_ms = max(state.received_ms, received_ms)
    return state


def is_over(key: WindowKey, watermark_ms: int, grace_ms: int) -> bool:
    """Tell whether the watermark has passed the end of a window by the grace."""
    return watermark_ms >= end_ms(key) + grace_ms


def close(state: WindowState) -> bool:
    """Mark a window final. Return True if it was not final before."""
    was_final, state.is_final = state.is_final, True
    return not was_final


def has_expired(state: WindowState, granularity: str, received_ms: int) -> bool:
    """Tell whether the row has expired when events received at ``received_ms`` are folded."""
    return received_ms - state.received_ms > WINDOW_KEEP_MS[granularity]


class WindowRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=False, gc=False):
    """The value of a record of ``uptake.ctr.windows``: one window with absolute counts.

    The record's key is the bytes of the WindowKey. Reading a record twice does no harm. Fields are only ever added.
    """

    customer: str
    dimension: str
    granularity: str
    scenario: str
    variant: str | None
    row: int | None
    rank: int | None
    start_ms: int
    end_ms: int
    calls: int
    rendered: int
    viewed: int
    clicks: int
    attributed_clicks: int
    consumed: int
    basket: int
    purchases: int
    revenue: dict[str, Decimal]
    ctr_rendered: ClickRate
    ctr_calls: ClickRate
    revision: int
    final: bool
    v: int = 1
    clicked_calls: int = 0
    unlabelled_impressions: int = 0
    clicks_per_call: ClickRate | None = None
    bots: int = 0
    user_totals: UserTotals | msgspec.UnsetType = msgspec.UNSET


_encoder: Final = msgspec.json.Encoder(decimal_format="string")
_decoder: Final = msgspec.json.Decoder(WindowRecord)


def _record(key: WindowKey, state: WindowState) -> WindowRecord:
    """Return the published record of a window."""
    counts = state.counts
    shares = rates(counts)
    return WindowRecord(  # by name, because ** is slower: every flush makes one for each changed window
        customer=key.customer,
        dimension=key.dimension,
        granularity=key.granularity,
        scenario=key.scenario,
        variant=key.variant,
        row=key.row,
        rank=key.rank,
        start_ms=key.start_ms,
        end_ms=end_ms(key),
        calls=counts.calls,
        rendered=counts.rendered,
        viewed=counts.viewed,
        clicks=counts.clicks,
        attributed_clicks=counts.attributed_clicks,
        consumed=counts.consumed,
        basket=counts.basket,
        purchases=counts.purchases,
        revenue=counts.revenue,
        ctr_rendered=shares["ctr_rendered"],
        ctr_calls=shares["ctr_calls"],
        revision=state.revision,
        final=state.is_final,
        clicked_calls=counts.clicked_calls,
        unlabelled_impressions=counts.unlabelled_impressions,
        clicks_per_call=shares["clicks_per_call"],
        bots=counts.bots,
        user_totals=msgspec.UNSET if counts.user_totals is None else counts.user_totals,
    )


def encode_record(key: WindowKey, state: WindowState) -> bytes:
    """Return the value, as JSON, of the window's record in ``uptake.ctr.windows``. The record's key is ``key.encode()``."""
    return _encoder.encode(_record(key, state))


def decode_record(raw: bytes) -> WindowRecord:
    """Return the window of a record. Raise msgspec.DecodeError (a ValueError) if the value is invalid."""
    return _decoder.decode(raw)


TABLE: Final = TableSpec(
    "windows",
    WindowState,
    key="a window",
    value="merged counts; of minutes also the latest of each source partition; revision, and whether it is final",
    expiry="minutes after 8 days, hours after 400, days after 730",
    is_user_table=False,
    has_expired=lambda key, state, now_ms: has_expired(state, WindowKey.decode(key).granularity, now_ms),
)
