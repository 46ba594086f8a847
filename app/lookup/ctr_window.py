"""One window of a CTR answer, with its place, counters and rates."""

from collections.abc import Set
from typing import Any, Final

import msgspec

from tables.ctr.panes import Counts, subtract
from tables.ctr.rates import rate_change, rates
from tables.ctr.window_sums import WindowSum

_WITHOUT_POSITION: Final = ("calls", "clicked_calls", "unlabelled_impressions", "bots")
"""Counters that are about a whole list or request."""


class _AbsentRate(msgspec.Struct, frozen=True):
    """A rate that a place does not have. In JSON all its fields are null but ``reason``."""

    value: float | None = None
    numerator: int | None = None
    denominator: int | None = None
    low: float | None = None
    high: float | None = None
    reason: str = "a call has no position"


_NO_RATE: Final = {
    "position": _AbsentRate(),
    "item": _AbsentRate(reason="a call has no item"),
}
"""Dimension of single items -> the rates of calls."""


def counted(counts: Counts, by: Set[str]) -> dict[str, Any]:
    """Return counters and rates. By position or item, what is about a whole list is null, not 0."""
    counters: dict[str, Any] = msgspec.structs.asdict(counts)
    del counters["user_totals"]  # of experiments only (app/lookup/experiments.py)
    shares: dict[str, Any] = {**rates(counts)}
    for dimension in by & _NO_RATE.keys():
        counters |= dict.fromkeys(_WITHOUT_POSITION)
        shares |= dict.fromkeys(("ctr_calls", "clicks_per_call"), _NO_RATE[dimension])
    return counters | shares


def changed(now: Counts, before: Counts, by: Set[str]) -> dict[str, Any]:
    """Return the differences of two totals, and the changes of their rates."""
    differences: dict[str, Any] = msgspec.structs.asdict(subtract(now, before))
    del differences["user_totals"]
    rates_now, rates_before = rates(now), rates(before)
    is_of_items = bool(by & _NO_RATE.keys())
    names = ["ctr_rendered"] if is_of_items else ["ctr_rendered", "ctr_calls"]
    if is_of_items:
        differences |= dict.fromkeys(_WITHOUT_POSITION)
    return differences | {name: rate_change(rates_now[name], rates_before[name]) for name in names}


def window_fields(window: WindowSum, by: Set[str]) -> dict[str, Any]:
    """Return the fields of a window."""
    place: dict[str, Any] = {} if "customer" in by else {"scenario": window.scenario}
    if "variant" in by:
        place["variant"] = window.variant
    if "position" in by:
        place |= {"row": window.row, "rank": window.rank}
    if "item" in by:
        place["item"] = window.item
    if "image" in by:
        place["image"] = window.image
    return {
        "start_ms": window.start_ms,
        "end_ms": window.end_ms,
        **place,
        **counted(window.counts, by),
        **({} if window.users is None else {"users": window.users, "clickers": window.clickers}),
        "final": window.is_final,
        "revision": window.revision,
    }


def window_as_json(window: WindowSum, by: Set[str], _stale_ms: int | None) -> msgspec.Raw:
    """Return a window as JSON. To encode all windows at once would block the event loop for a large answer."""
    return msgspec.Raw(msgspec.json.encode(window_fields(window, by)))
