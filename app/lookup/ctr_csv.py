"""CTR answers as CSV: a header line, and one line for each window."""

import re
from collections.abc import Iterable, Set
from datetime import UTC, datetime, tzinfo
from typing import Any, Final

from app.http.request_headers import accepted
from app.lookup.ctr_window import window_fields
from tables.ctr.panes import COUNTERS
from tables.ctr.window_sums import WindowSum

CSV_HEADERS: Final = {
    "Content-Type": "text/csv; charset=utf-8; header=present",
    "Content-Disposition": 'attachment; filename="ctr.csv"',
}
"""Headers of an answer as CSV."""

_RATES: Final = ("ctr_rendered", "ctr_calls")
_FORMULA: Final = re.compile(r"(?:^|(?<=[;\t\r\n]))(?=[ \t]*['=+\-@\uff1d\uff0b\uff0d\uff20])")
"""The places where a spreadsheet would read a formula: the start of a cell, also of one that begins at another separator."""
_QUOTED: Final = re.compile(r"[\",;\t\r\n]")


def wants_csv(accept: str) -> bool:
    """Return whether a client accepts CSV and not JSON."""
    types = accepted(accept)
    return "text/csv" in types and "application/json" not in types


def csv_head(by: Set[str]) -> bytes:
    """Return the header line."""
    rates = [f"{name}{end}" for name in _RATES for end in ("", "_low", "_high")]
    own = [*_place(by), *COUNTERS, "revenue", *rates, "clicks_per_call", "final", "revision", "stale_ms"]
    return _line(["start_utc", "end_utc", "start_ms", "end_ms", *own, "start_local"])


def window_as_csv(window: WindowSum, by: Set[str], stale_ms: int | None, zone: tzinfo = UTC) -> bytes:
    """Return the line of a window. Each line carries the mark of the answer, because a file has no header of HTTP.

    ``start_local`` is the start in ``zone``.
    """
    fields = window_fields(window, by)
    revenue = " ".join(f"{amount}{currency}" for currency, amount in sorted(window.counts.revenue.items()))
    rates = [getattr(fields[name], end) for name in _RATES for end in ("value", "low", "high")]
    return _line(
        [
            _utc(window.start_ms),
            _utc(window.end_ms),
            window.start_ms,
            window.end_ms,
            *(fields[name] for name in (*_place(by), *COUNTERS)),
            revenue,
            *rates,
            fields["clicks_per_call"].value,
            window.is_final,
            window.revision,
            stale_ms,
            datetime.fromtimestamp(window.start_ms // 1_000, zone).isoformat(),
        ]
    )


def _place(by: Set[str]) -> list[str]:
    return [
        *["scenario"] * ("customer" not in by),
        *["variant"] * ("variant" in by),
        *["row", "rank"] * ("position" in by),
        *["item"] * ("item" in by),
        *["image"] * ("image" in by),
    ]


def _utc(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _line(cells: Iterable[Any]) -> bytes:
    return (",".join(map(_cell, cells)) + "\r\n").encode("utf-8", "replace")


def _cell(value: Any) -> str:
    """Return a cell. A text that a spreadsheet would compute gets an apostrophe, which shows it as text."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        return str(value)
    text = _FORMULA.sub("'", value)
    return '"' + text.replace('"', '""') + '"' if _QUOTED.search(text) else text
