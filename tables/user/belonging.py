"""The rule of attribution: which click belongs to which showing, and what the elements of one user count.

Pure, and independent of the order in which the elements came (docs/decisions/0018).
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Final, NamedTuple

import msgspec

from events.money import EXACT

JOIN_MS: Final = 30 * 60_000
CONVERSION_MS: Final = 60 * 60_000

PURCHASES: Final = "purchases"


class Place(NamedTuple):
    """Where something counts: the pane of a time, and the dimensions."""

    time_ms: int
    scenario: str | None = None
    variant: str | None = None
    row: int | None = None
    rank: int | None = None


class Call(NamedTuple):
    """A recommendation call of the user ``origin``, with the pane and variant in which ``calls`` counted it."""

    origin: str
    request_id: str
    scenario: str | None
    time_ms: int
    variant: str | None


class Showing(NamedTuple):
    """One item of one impression. ``origin`` and ``number`` identify the impression."""

    origin: str
    number: int
    request_id: str | None
    place: Place
    call: Call | None


class JoiningClick(msgspec.Struct, array_like=True, gc=False):
    """A recommended click, as it was sent. Scenario and variant may be those of the list that the back end served."""

    time_ms: int
    received_ms: int
    item_key: str
    request_id: str | None = None
    scenario: str | None = None
    variant: str | None = None
    row: int | None = None
    rank: int | None = None
    origin: str | None = None
    """The user it was sent under. None: the user of the row."""
    number: int = 0
    """Counts the elements of the origin in log order."""
    entry_ms: int | None = None
    """Time of the login that brought it. None: it is the user's own."""


class Conversion(msgspec.Struct, array_like=True, gc=False):
    """A consume, basket or buy. ``counter`` is the one it may count in; ``amount`` is the revenue of a purchase."""

    time_ms: int
    received_ms: int
    item_key: str
    counter: str
    currency: str | None = None
    amount: Decimal | None = None
    origin: str | None = None
    number: int = 0
    entry_ms: int | None = None


CountKey = tuple[str, Place, str | None]
"""A counter, where it counts, and the currency if the counter is ``revenue``."""

Counted = dict[CountKey, int | Decimal]


class ItemElements(NamedTuple):
    """What a user has of one item."""

    showings: list[Showing]
    clicks: list[JoiningClick]
    conversions: list[Conversion]


def showing_of(click: JoiningClick, showings: Iterable[Showing], user: str) -> Showing | None:
    """Return the showing of its item that a click belongs to, or None.

    It was shown at most 30 min before the click and not after; if the click has a request id, it has the same one. Of several it is the
    greatest by (same origin as the click, time, origin, number).
    """
    origin = click.origin or user
    best: Showing | None = None
    best_rank: tuple[bool, int, str, int] | None = None
    for showing in showings:
        shown_ms = showing.place.time_ms
        if not 0 <= click.time_ms - shown_ms <= JOIN_MS:
            continue
        if click.request_id is not None and click.request_id != showing.request_id:
            continue
        rank = (showing.origin == origin, shown_ms, showing.origin, showing.number)
        if best_rank is None or rank > best_rank:
            best, best_rank = showing, rank
    return best


def click_of(conversion: Conversion, clicks: Iterable[JoiningClick], user: str) -> JoiningClick | None:
    """Return the click on its item that a conversion belongs to, or None: at most 60 min before it, else as ``showing_of``."""
    origin = conversion.origin or user
    best: JoiningClick | None = None
    best_rank: tuple[bool, int, str, int] | None = None
    for click in clicks:
        if not 0 <= conversion.time_ms - click.time_ms <= CONVERSION_MS:
            continue
        of = click.origin or user
        rank = (of == origin, click.time_ms, of, click.number)
        if best_rank is None or rank > best_rank:
            best, best_rank = click, rank
    return best


def count(elements: Mapping[str, ItemElements], user: str, settled_calls: Iterable[str] = ()) -> Counted:
    """Return what these items of a user's row count.

    Each showing to which a click belongs is one attributed click, at its place. A click's place is that of its showing, else its own.
    A purchase counts at its click's place. Consumes and baskets count once for each click. A conversion without a click counts
    nothing. A call counts once if a click belongs to any of its showings, unless it is one of ``settled_calls``.
    """
    counted: Counted = {}
    called: set[Call] = set()
    for item in elements.values():
        _count_item(item, user, counted, called)
    for call in called:
        if call_name(call.request_id, call.scenario) not in settled_calls:
            counted["clicked_calls", Place(call.time_ms, call.scenario, call.variant), None] = (
                1 + counted.get(("clicked_calls", Place(call.time_ms, call.scenario, call.variant), None), 0)
            )
    return counted


def call_name(request_id: str, scenario: str | None) -> str:
    """Return the name of a recommendation call. Each scenario that answered a request is a call of its own."""
    return f"{request_id}\x1f{scenario or ''}"


def _count_item(item: ItemElements, user: str, counted: Counted, called: set[Call]) -> None:
    if not item.clicks:
        return

    def add(counter: str, place: Place) -> None:
        key = (counter, place, None)
        counted[key] = counted.get(key, 0) + 1

    clicked: dict[tuple[str, int], Showing] = {}
    unlabelled: set[tuple[tuple[str, int], str, int]] = set()
    places: dict[tuple[str, int], Place] = {}
    for click in item.clicks:
        showing = showing_of(click, item.showings, user)
        name = (click.origin or user, click.number)
        if showing is None:
            places[name] = Place(click.time_ms, click.scenario, click.variant, click.row, click.rank)
            continue
        places[name] = showing.place
        which = (showing.origin, showing.number)
        clicked[which] = showing
        if showing.place.scenario is None and click.scenario is not None:
            unlabelled.add((which, click.scenario, showing.place.time_ms))
    for showing in clicked.values():
        add("attributed_clicks", showing.place)
        if showing.call is not None:
            called.add(showing.call)
    for _, scenario, time_ms in unlabelled:
        add("unlabelled_impressions", Place(time_ms, scenario))
    once: set[tuple[tuple[str, int], str]] = set()
    for conversion in item.conversions:
        of = click_of(conversion, item.clicks, user)
        if of is None:
            continue
        name = (of.origin or user, of.number)
        if conversion.counter != PURCHASES:
            if (name, conversion.counter) in once:
                continue
            once.add((name, conversion.counter))
        add(conversion.counter, places[name])
        if conversion.amount is not None and conversion.currency is not None:
            earned = ("revenue", places[name], conversion.currency)
            counted[earned] = EXACT.add(counted.get(earned, 0), conversion.amount)


def difference(after: Counted, *before: Counted) -> Counted:
    """Return after - before, without zeros."""
    result = dict(after)
    for counted in before:
        for key, amount in counted.items():
            known = result.get(key, 0)
            result[key] = known - amount if isinstance(amount, int) else EXACT.subtract(known, amount)
    return {key: amount for key, amount in result.items() if amount}
