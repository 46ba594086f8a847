"""Requests of a worker to others for sums of what their partitions store: items, and unique users."""

from app.lookup.ctr_query import CtrQuery, Sort
from app.lookup.owners import PartRequest
from events.rejections import RefusedError
from events.topics import DAY_MS
from tables.ctr.item_sums import StepOf
from tables.ctr.item_windows import ITEM_KEEP_MS
from tables.ctr.local_days import LocalSteps
from tables.ctr.local_windows import LocalReading, window_at
from tables.ctr.window_keys import HOUR_MS
from tables.ctr.window_sums import StoredSpan, segments, step_start


class SumsRequest(PartRequest, frozen=True, forbid_unknown_fields=True):
    """A worker's request to another: sums of what these partitions store. With ``bounds``, a window lasts from one to the next."""

    from_ms: int
    to_ms: int
    step_ms: int | None
    sort: Sort = "top"
    limit: int = 100
    by_image: bool = False
    by_variant: bool = False
    bounds: tuple[int, ...] = ()

    def end_of(self, start_ms: int) -> int:
        """Return the end of the window that starts at a time."""
        if self.bounds:
            return window_at(self.bounds, start_ms)[1]
        return self.to_ms if self.step_ms is None else start_ms + self.step_ms


def spans_of(asked: SumsRequest) -> tuple[list[StoredSpan], StepOf]:
    """Return the stored spans of a request, of whole hours, and the function from their starts to steps."""
    step_ms, from_ms, bounds = asked.step_ms, asked.from_ms, asked.bounds
    if bounds:
        return LocalReading(LocalSteps(bounds, 0)).segments, lambda time_ms: window_at(bounds, time_ms)[0]
    spans = segments(from_ms, asked.to_ms, step_ms)
    if step_ms is None:
        return spans, lambda _: from_ms
    return spans, lambda start_ms: step_start(start_ms, step_ms)


def bounds_of(query: CtrQuery) -> tuple[int, ...]:
    """Return the bounds of days of a time zone, if the query is by such; raise RefusedError if what they need is not stored."""
    if query.local is None:
        return ()
    bounds, now_ms = query.local
    if any(bound % HOUR_MS for bound in bounds):
        sentence = f"items and users are kept by hour, and a day of {query.zone} begins within one; take time_zone=UTC"
        raise RefusedError("bad_parameter", sentence, "time_zone")
    oldest_ms = now_ms - ITEM_KEEP_MS["hour"] + DAY_MS
    if query.is_of_items and any(bound % DAY_MS and bound < oldest_ms for bound in bounds):
        sentence = "items of so long ago are kept by days of UTC; take time_zone=UTC, or a later span"
        raise RefusedError("bad_parameter", sentence, "time_zone")
    return bounds
