"""Counts of a set of logs by the rule of attribution, without rows, transfers or an order between logs.

Each element is followed from login to login to the user where it rests; then each user's elements are counted together. It imports
no code of Uptake.
"""

from collections import Counter, defaultdict
from typing import Any, NamedTuple

MINUTE = 60_000
JOIN, CONVERSION, FOLLOW = 30 * MINUTE, 60 * MINUTE, 60 * MINUTE
HALF = {"click": ("show", JOIN), "buy": ("click", CONVERSION), "basket": ("click", CONVERSION)}


class Entry(NamedTuple):
    """One event of a log: ``show`` (items), ``click``, ``buy``, ``basket`` (one item) or ``login`` (target)."""

    kind: str
    at: int
    items: tuple[str, ...] = ()
    scenario: str | None = None
    request: str | None = None
    target: str = ""
    price: int = 0


class Element(NamedTuple):
    kind: str
    at: int
    item: str
    user: str
    number: int
    entry: Entry
    call: tuple[Any, ...] | None


def expected(logs: dict[str, list[Entry]]) -> Counter[tuple[str, int, str]]:
    """Return (counter, minute, scenario) -> count over all logs."""
    rows: dict[str, list[Element]] = defaultdict(list)
    for user, log in logs.items():
        followed: set[int] = set()
        calls: dict[tuple[str, str | None], int | None] = {}
        for number, entry in enumerate(log):
            if entry.kind == "login":
                calls = dict.fromkeys(calls)  # what is shown of them again is not counted
                continue
            call = None
            if entry.kind == "show" and entry.request is not None:
                first = calls.setdefault((entry.request, entry.scenario), entry.at)
                call = None if first is None else (user, entry.request, entry.scenario, first)
            start = _follows(log, number, followed)
            if start is not None:
                followed.add(number)
            for item in dict.fromkeys(entry.items):
                element = Element(entry.kind, entry.at, item, user, number, entry, call)
                rows[_end(logs, user, number, start)].append(element)
    counted: Counter[tuple[str, int, str]] = Counter()
    for elements in rows.values():
        _count(elements, counted)
    return Counter({key: count for key, count in counted.items() if count})


def _follows(log: list[Entry], number: int, followed: set[int]) -> Entry | None:
    """Return the login that takes an element with it although it came after."""
    entry = log[number]
    if entry.kind not in HALF:
        return None
    before = [place for place in range(number) if log[place].kind == "login"]
    if not before or not 0 <= entry.at - log[before[-1]].at <= FOLLOW:
        return None
    kind, window = HALF[entry.kind]
    for place in range(before[-1] + 1, number):
        other = log[place]
        if (
            other.kind == kind
            and entry.items[0] in other.items
            and 0 <= entry.at - other.at <= window
            and place not in followed
            and (entry.kind != "click" or entry.request in (None, other.request))
        ):
            return None
    return log[before[-1]]


def _end(logs: dict[str, list[Entry]], user: str, number: int, start: Entry | None) -> str:
    """Return the user with whom an element rests in the end."""
    since: int | None = None
    if start is not None:
        user, since = start.target, start.at
    while True:
        onward = next(
            (
                entry
                for place, entry in enumerate(logs.get(user, []))
                if entry.kind == "login" and (place > number if since is None else entry.at > since)
            ),
            None,
        )
        if onward is None:
            return user
        user, since = onward.target, onward.at


def _count(elements: list[Element], counted: Counter[tuple[str, int, str]]) -> None:
    places: dict[Element, tuple[str | None, int]] = {}
    clicked: set[Element] = set()
    unlabelled: set[tuple[Element, str]] = set()
    for click in (each for each in elements if each.kind == "click"):
        shown = [
            each
            for each in elements
            if each.kind == "show"
            and each.item == click.item
            and 0 <= click.at - each.at <= JOIN
            and click.entry.request in (None, each.entry.request)
        ]
        if shown:
            best = max(shown, key=lambda each: (each.user == click.user, each.at, each.user, each.number))
            clicked.add(best)
            places[click] = (best.entry.scenario, best.at)
            if best.entry.scenario is None and click.entry.scenario is not None:
                unlabelled.add((best, click.entry.scenario))
        else:
            places[click] = (click.entry.scenario, click.at)

    def add(counter: str, scenario: str | None, at: int, amount: int = 1) -> None:
        counted[counter, at // MINUTE, scenario or "unknown"] += amount

    for each in clicked:
        add("attributed_clicks", each.entry.scenario, each.at)
    for each, scenario in unlabelled:
        add("unlabelled_impressions", scenario, each.at)
    for _, _, called, at in {each.call for each in clicked if each.call is not None}:
        add("clicked_calls", called, at)
    once: set[Element] = set()
    for conversion in (each for each in elements if each.kind in ("buy", "basket")):
        clicks = [
            each
            for each in places
            if each.item == conversion.item and 0 <= conversion.at - each.at <= CONVERSION
        ]
        if not clicks:
            continue
        best = max(clicks, key=lambda each: (each.user == conversion.user, each.at, each.user, each.number))
        if conversion.kind == "buy":
            add("purchases", *places[best])
            add("revenue", *places[best], conversion.entry.price)
        elif best not in once:
            once.add(best)
            add("basket", *places[best])
