"""Questions of the statistics API of YOOCHOOSE and Ibexa Personalization, parsed and checked; docs/switching.md describes them."""

from datetime import datetime, timedelta, tzinfo
from typing import Final

from app.lookup.ctr_query import CtrQuery, read_time
from app.lookup.query_params import Params, bad_value
from events.duration import parse_duration_ms
from events.rejections import RefusedError
from events.topics import DAY_MS
from tables.ctr.local_days import LocalSteps
from tables.ctr.window_keys import HOUR_MS

_GROUPS: Final = ("REVENUE", "RECOS", "EVENTS")
_MAX_SPANS: Final = 1_000
_FROM: Final = "from_date_time"
_TO: Final = "to_date_time"


def check_groups(text: str) -> None:
    """Raise RefusedError unless a text names groups of fields, with commas between. An answer has the fields of all."""
    for group in text.split(","):
        if group not in _GROUPS:
            raise bad_value("summary", f"takes {', '.join(_GROUPS)}, with commas between", group)


def read_summary(params: Params, now_ms: int, zone: tzinfo) -> CtrQuery:
    """Return the CTR lookup of all scenarios that the parameters describe. Its first window begins at ``from_date_time``.

    Times without an offset are in ``zone``, and so are days.
    """
    params.take("no-realm")  # shipped clients send it, so that a browser does not ask for a password
    step_ms = _granularity(params)
    from_ms, to_ms = _moment(params, _FROM, zone), _moment(params, _TO, zone)
    if from_ms >= to_ms:
        raise RefusedError("bad_parameter", f"{_FROM} must be before {_TO}", _FROM)
    if -((from_ms - to_ms) // step_ms) > _MAX_SPANS:  # rounded up
        raise RefusedError(
            "bad_parameter",
            f"the answer would have more than {_MAX_SPANS} spans; take a shorter time or a larger granularity",
            "granularity",
        )
    bounds = _bounds(zone, from_ms - from_ms % 60_000, to_ms, step_ms)
    local = LocalSteps(bounds, now_ms)
    return CtrQuery(None, from_ms, to_ms, step_ms, frozenset(), now_ms, zone=zone, local=local)


def _granularity(params: Params) -> int:
    text = params.take("granularity") or ""
    step_ms = parse_duration_ms(text)
    if step_ms is None or step_ms % HOUR_MS:
        raise bad_value(
            "granularity", "must be a duration of whole hours, as in PT1H, PT12H, P1D or P1W", text
        )
    return step_ms


def _moment(params: Params, name: str, zone: tzinfo) -> int:
    time_ms = read_time(params, name, zone)
    if time_ms is None:
        raise RefusedError("bad_parameter", f"give {name}, as in 2019-11-24T00:00:00", name)
    return time_ms


def _bounds(zone: tzinfo, from_ms: int, to_ms: int, step_ms: int) -> tuple[int, ...]:
    """Return the bounds of the spans from ``from_ms`` on. Spans of whole days begin at one time of day, whenever the clock is set."""
    if step_ms % DAY_MS:
        return tuple(range(from_ms, to_ms + step_ms, step_ms))
    first, step, number = datetime.fromtimestamp(from_ms // 1_000, zone), timedelta(milliseconds=step_ms), 0
    bounds = [from_ms]
    while bounds[-1] < to_ms:
        number += 1
        bound_ms = round((first + number * step).replace(fold=0).timestamp()) * 1_000
        if bound_ms > bounds[-1]:  # else the zone skipped these days
            bounds.append(bound_ms)
    return tuple(bounds)
