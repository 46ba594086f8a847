"""Totals over the users of experiments, from the list of events alone: no rows, deltas or windows. It imports no code of Uptake.

Users do not log in. The events are few enough that no row drops any.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

MINUTE = 60_000

Totals = dict[str, Any]


def totals_of(events: Iterable[Any]) -> dict[tuple[str, str | None], Totals]:
    """Return (experiment, variant) -> totals; variant None counts the users of several. Events of one user are in log order."""
    logs: dict[str, list[Any]] = defaultdict(list)
    for event in events:
        logs[event.user].append(event)
    found: dict[tuple[str, str | None], Totals] = {}
    for log in logs.values():
        for experiment, variants in _seen(log).items():
            variant = variants[0] if len(variants) == 1 else None
            totals = found.setdefault((experiment, variant), defaultdict(int))
            totals["users"] += 1
            if variant is not None:
                _add(totals, _values(log, experiment))
    return {
        place: {name: value for name, value in totals.items() if value} for place, totals in found.items()
    }


def _seen(log: list[Any]) -> dict[str, list[str]]:
    seen: dict[str, list[str]] = {}
    for event in log:
        kind = type(event).__name__
        if kind in ("Rendered", "ClickRecommended") and event.experiment and event.variant:
            variants = seen.setdefault(event.experiment, [])
            if event.variant not in variants:
                variants.append(event.variant)
    return seen


def _values(log: list[Any], experiment: str) -> Mapping[str, Any]:
    values: dict[str, Any] = defaultdict(int)
    money: dict[str, Decimal] = defaultdict(Decimal)
    calls: set[tuple[str, str | None]] = set()
    for event in log:
        if type(event).__name__ != "Rendered":
            continue
        is_mine = event.experiment == experiment and event.variant
        values["shown"] += len(event.items) if is_mine else 0
        call = event.request_id and (event.request_id, event.scenario)
        if call and call not in calls:
            calls.add(call)
            values["calls"] += bool(is_mine)
    clicked: set[tuple[int, str]] = set()
    clicked_calls: dict[tuple[str, str | None], str] = {}
    for place, event in enumerate(log):
        kind = type(event).__name__
        if kind == "ClickRecommended":
            showing = _shown_before(log, event)
            if showing is None:
                continue
            shown = log[showing]
            if shown.experiment == experiment:
                clicked.add((showing, event.item))
            if shown.request_id:
                call = (shown.request_id, shown.scenario)
                clicked_calls[call] = max(clicked_calls.get(call, ""), shown.experiment or "")
        elif kind == "Buy":
            click = _clicked_before(log, place)
            showing = None if click is None else _shown_before(log, log[click])
            if showing is not None and log[showing].experiment == experiment:
                values["purchases"] += 1
                if event.price is not None:
                    money[event.currency] += event.price * event.quantity
    values["clicks"] = len(clicked)
    values["clicked_calls"] = sum(each == experiment for each in clicked_calls.values())
    return {**values, "money": money}


def _shown_before(log: list[Any], click: Any) -> int | None:
    """Return the place of the latest impression of the item at most 30 min before a click."""
    best: tuple[int, int] | None = None
    for place, event in enumerate(log):
        if (
            type(event).__name__ == "Rendered"
            and click.item in event.items
            and 0 <= click.time_ms - event.time_ms <= 30 * MINUTE
            and (click.request_id is None or click.request_id == event.request_id)
        ):
            best = max(best or (0, -1), (event.time_ms, place))
    return None if best is None else best[1]


def _clicked_before(log: list[Any], place: int) -> int | None:
    buy = log[place]
    best: tuple[int, int] | None = None
    for at, event in enumerate(log):
        if (
            type(event).__name__ == "ClickRecommended"
            and event.item == buy.item
            and 0 <= buy.time_ms - event.time_ms <= 60 * MINUTE
        ):
            best = max(best or (0, -1), (event.time_ms, at))
    return None if best is None else best[1]


def _add(totals: Totals, values: Mapping[str, Any]) -> None:
    shown, clicks, calls = values.get("shown", 0), values["clicks"], values.get("calls", 0)
    clicked_calls, purchases = values["clicked_calls"], values.get("purchases", 0)
    for name, number in (
        ("shown", shown),
        ("shown_squared", shown**2),
        ("clicks", clicks),
        ("clicks_squared", clicks**2),
        ("clicks_by_shown", clicks * shown),
        ("calls", calls),
        ("calls_squared", calls**2),
        ("clicked_calls", clicked_calls),
        ("clicked_calls_squared", clicked_calls**2),
        ("clicked_calls_by_calls", clicked_calls * calls),
        ("purchases", purchases),
        ("purchases_squared", purchases**2),
        ("purchases_by_clicks", purchases * clicks),
    ):
        totals[name] += number
    revenue = dict(totals.get("revenue") or {})
    for currency, amount in values["money"].items():
        if amount:
            known = revenue.get(currency, (Decimal(0), Decimal(0), Decimal(0)))
            more = (amount, amount * amount, amount * calls)
            revenue[currency] = tuple(a + b for a, b in zip(known, more, strict=True))
    totals["revenue"] = revenue
