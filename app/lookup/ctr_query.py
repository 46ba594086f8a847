"""Query parameters of CTR lookups, parsed and checked. An invalid one raises RefusedError with a sentence."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo
from typing import Final, Literal, get_args

from app.customers.time_zones import find_time_zone
from app.lookup.query_params import Params, bad_value, bounded, read_flag
from app.lookup.requests import read_as_of
from events.duration import parse_duration_ms
from events.event_time import in_ms
from events.rejections import RefusedError
from events.topics import DAY_MS
from tables.ctr.item_windows import ITEM_KEEP_MS
from tables.ctr.local_days import LocalSteps, bounds_before, day_bounds
from tables.ctr.window_keys import HOUR_MS, MAX_TIME_MS, PANE_MS
from tables.ctr.window_sums import step_end, step_start

Sort = Literal["top", "flop"]

_SORTED_LIMIT: Final = 100
"""Windows of a sorted answer that names no limit."""
_MAX_LIMIT: Final = 1_000
_DIMENSIONS: Final = tuple(
    frozenset(names)
    for names in (
        (),
        ("variant",),
        ("position",),
        ("variant", "position"),
        ("item",),
        ("item", "image"),
        ("customer",),
    )
)
_MAX_STEPS: Final = 10_000  # windows of one scenario in one answer: a week of minutes
_MAX_LOCAL_STEPS: Final = 1_000  # to find where as many days begin takes a few milliseconds


@dataclass(frozen=True, slots=True)
class CtrQuery:
    """A checked CTR lookup. ``step_ms`` None: one window over the whole span. ``by`` is one of _DIMENSIONS.

    ``sort`` None: by time. ``limit`` None: all windows. ``has_previous``: the span before of the same length is answered, too.
    ``has_users``: windows have the numbers of unique users.
    ``local`` are the windows of a granularity of whole days in another ``zone`` than UTC. None: all windows have ``step_ms``.
    """

    scenario: str | None
    from_ms: int
    to_ms: int
    step_ms: int | None
    by: frozenset[str]
    as_of_ms: int
    sort: Sort | None = None
    limit: int | None = None
    has_previous: bool = False
    has_users: bool = False
    zone: tzinfo = UTC
    local: LocalSteps | None = None

    @property
    def is_of_items(self) -> bool:
        """Whether each window is that of an item."""
        return "item" in self.by


def read_ctr(params: Params, now_ms: int, zone: tzinfo = UTC) -> CtrQuery:
    """Return the CTR lookup that the parameters describe. By default: the last 24 hours. No window begins after ``as_of_ms``.

    ``zone`` is that of the customer.
    """
    as_of_ms = read_as_of(params, now_ms)
    scenario = params.take("scenario")
    step_ms = _minutes(params, "granularity")
    zone = _zone(params) or zone
    from_ms, to_ms = _span(params, as_of_ms, zone, is_past=as_of_ms != now_ms)
    if step_ms is not None and (to_ms - from_ms) // step_ms > _MAX_STEPS:
        raise RefusedError(
            "bad_parameter",
            f"the span and granularity ask for more than {_MAX_STEPS} windows; take a shorter span or larger steps",
            "granularity",
        )
    by = frozenset((params.take("by") or "").split(",")) - {""}
    if by not in _DIMENSIONS:
        raise bad_value(
            "by",
            "takes variant, position, variant,position, item, item,image or customer",
            ",".join(sorted(by)),
        )
    if "customer" in by and scenario is not None:
        raise RefusedError(
            "bad_parameter", "by=customer is over all scenarios; leave scenario out", "scenario"
        )
    sort = _sort(params)
    limit = params.integer("limit", 1, _MAX_LIMIT)
    local = _local_steps(zone, step_ms, from_ms, to_ms, now_ms)
    if "item" in by:
        sort = sort or "top"
        if local is None:
            from_ms, to_ms = _whole_hours(from_ms, to_ms, step_ms, now_ms)
    if sort is not None and limit is None:
        limit = _SORTED_LIMIT
    has_previous = read_flag(params, "previous")
    has_users = read_flag(params, "users")
    if has_users and by & {"item", "position"}:
        raise RefusedError("bad_parameter", "users=1 takes no item and no position", "users")
    if has_users and step_ms is not None and step_ms % HOUR_MS:
        raise RefusedError(
            "bad_parameter", "unique users are kept by hour; take a granularity of whole hours", "granularity"
        )
    return CtrQuery(
        scenario, from_ms, to_ms, step_ms, by, as_of_ms, sort, limit, has_previous, has_users, zone, local
    )


def query_before(query: CtrQuery, from_ms: int, to_ms: int) -> CtrQuery:
    """Return the query of the span before ``[from_ms, to_ms)``, which is that of the windows of ``query``: as long, or as many days."""
    if query.local is None or query.step_ms is None:
        return replace(query, from_ms=max(0, 2 * from_ms - to_ms), to_ms=from_ms)
    bounds = bounds_before(query.zone, query.step_ms // DAY_MS, query.local.bounds)
    return replace(query, from_ms=bounds[0], to_ms=bounds[-1], local=query.local._replace(bounds=bounds))


def _local_steps(
    zone: tzinfo, step_ms: int | None, from_ms: int, to_ms: int, now_ms: int
) -> LocalSteps | None:
    """Return the windows of whole days of a zone; None if they have another length, or the zone is UTC."""
    if step_ms is None or step_ms % DAY_MS or zone is UTC:
        return None
    if (to_ms - from_ms) // step_ms > _MAX_LOCAL_STEPS:
        raise RefusedError(
            "bad_parameter",
            f"at most {_MAX_LOCAL_STEPS} windows are days of a time zone; take a shorter span, larger steps or time_zone=UTC",
            "granularity",
        )
    return LocalSteps(day_bounds(zone, step_ms // DAY_MS, from_ms, to_ms), now_ms)


def _zone(params: Params) -> tzinfo | None:
    """Return the time zone of the parameter ``time_zone``; None if it is absent."""
    name = params.take("time_zone")
    if name is None:
        return None
    zone = find_time_zone(name)
    if zone is None:
        raise bad_value("time_zone", "must be a zone of the IANA list, as in Europe/Berlin", name)
    return zone


def _whole_hours(from_ms: int, to_ms: int, step_ms: int | None, now_ms: int) -> tuple[int, int]:
    """Return the span of items, widened to what is stored: whole hours, and whole days where the hours have expired."""
    if step_ms is not None and step_ms % HOUR_MS:
        raise RefusedError(
            "bad_parameter", "items are kept by hour; take a granularity of whole hours", "granularity"
        )
    from_unit_ms, to_unit_ms = (
        HOUR_MS if now_ms - time_ms < ITEM_KEEP_MS["hour"] - DAY_MS else DAY_MS
        for time_ms in (from_ms, to_ms)
    )
    if step_ms is not None and step_ms % DAY_MS and from_unit_ms == DAY_MS:
        raise RefusedError(
            "bad_parameter",
            "items of so long ago are kept by day; take a granularity of whole days",
            "granularity",
        )
    return step_start(from_ms, from_unit_ms), step_end(to_ms, to_unit_ms)


def _sort(params: Params) -> Sort | None:
    text = params.take("sort")
    for sort in get_args(Sort):
        if text == sort:
            found: Sort = sort
            return found
    if text is not None:
        raise bad_value("sort", f"takes {' or '.join(get_args(Sort))}", text)
    return None


def _span(params: Params, as_of_ms: int, zone: tzinfo, *, is_past: bool) -> tuple[int, int]:
    """Return begin and end: those of ``from`` and ``to``, or of the ``span`` that ends now."""
    span_ms = _minutes(params, "span")
    to_ms, from_ms = read_time(params, "to", zone), read_time(params, "from", zone)
    if span_ms is not None:
        if from_ms is not None or to_ms is not None:
            raise RefusedError("bad_parameter", "give span, or from and to", "span")
        return max(0, as_of_ms - span_ms), as_of_ms
    to_ms = as_of_ms if to_ms is None else to_ms
    if is_past:
        to_ms = min(to_ms, as_of_ms)
    from_ms = max(0, to_ms - DAY_MS) if from_ms is None else from_ms
    if from_ms >= to_ms:
        raise RefusedError("bad_parameter", "from must be before to", "from")
    return from_ms, to_ms


def _minutes(params: Params, name: str) -> int | None:
    text = params.take(name)
    if text is None:
        return None
    duration_ms = parse_duration_ms(text)
    if duration_ms is None or duration_ms % PANE_MS:
        raise bad_value(name, "must be a duration of whole minutes, as in PT5M, PT1H, P1D or P1W", text)
    return duration_ms


def read_time(params: Params, name: str, zone: tzinfo) -> int | None:
    """Return a time given as epoch milliseconds or as ISO 8601 (in ``zone`` if it names none); None if it is absent."""
    text = params.take(name)
    if text is None:
        return None
    if text.isascii() and text.isdigit() and len(text) != 8:  # 20191124 is a date
        return in_ms(name, bounded(name, int(text[:19]), 0, MAX_TIME_MS))
    try:
        # A plus that was not percent-encoded arrives as a blank.
        moment = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
    except ValueError:
        raise bad_value(
            name, "must be milliseconds since 1970 or ISO 8601, as in 2019-11-24T00:00:00Z", text
        ) from None
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=zone)
    return bounded(name, round(moment.timestamp() * 1_000), 0, MAX_TIME_MS)
