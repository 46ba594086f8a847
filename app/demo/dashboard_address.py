"""Address of the dashboard's page with the demo's time in it: the events are of the past, and the page opens at now."""

from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

_DAY_MS: Final = 86_400_000
_DAYS: Final = (1, 7, 30, 90)
"""Spans of days that the page offers."""


def dashboard_address(url: str, customer: str, from_ms: int, to_ms: int) -> str:
    """Return the address of the shortest view that ends at ``to_ms`` and has everything since ``from_ms``, else the longest."""
    days = next((days for days in _DAYS if days * _DAY_MS >= to_ms - from_ms), _DAYS[-1])
    until = datetime.fromtimestamp(to_ms / 1_000, UTC).strftime("%Y-%m-%dT%H:%MZ")
    return f"{url}/#customer={quote(customer, safe='')}&span=P{days}D&until={until}"
