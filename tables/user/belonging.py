"""The rule of attribution: which click belongs to which showing, and what the elements of one user count.

Pure, and independent of the order in which the elements came (docs/decisions/0018). A showing is one item of one impression.
"""

from bisect import bisect_left
from collections.abc import Collection, Iterable, Sequence
from decimal import Decimal
from typing import Final, Generic, NamedTuple, TypeVar

from events.money import EXACT
from tables.user.elements import (
    PURCHASES,
    Call,
    Conversion,
    Impression,
    JoiningClick,
    Place,
    call_of,
    place_of_item,
)

JOIN_MS: Final = 30 * 60_000
CONVERSION_MS: Final = 60 * 60_000

_E = TypeVar("_E", Impression, JoiningClick)


class Ranked(NamedTuple, Generic[_E]):
    """An impression or click, which compares by time, origin and number. ``position`` is its place in the row."""

    time_ms: int
    origin: str
    number: int
    position: int
    element: _E


def ranked(elements: Iterable[tuple[int, _E]], user: str) -> list[Ranked[_E]]:
    """Return elements of the row of ``user``, which come with their positions, from the least to the greatest."""
    return sorted(
        [
            Ranked(each.time_ms, each.origin or user, each.number, position, each)
            for position, each in elements
        ]
    )


class ItemElements(NamedTuple):
    """What a user has of one item: showings and clicks from the least to the greatest, and conversions."""

    item: str
    showings: list[Ranked[Impression]]
    clicks: list[Ranked[JoiningClick]]
    conversions: list[Conversion]


CountKey = tuple[str, Place, str | None]
"""A counter, where it counts, and the currency if the counter is ``revenue``."""

Counted = dict[CountKey, int | Decimal]


def showing_of(
    click: JoiningClick, showings: Sequence[Ranked[Impression]], user: str
) -> Ranked[Impression] | None:
    """Return the showing of its item that a click belongs to, or None.

    It was shown at most 30 min before the click and not after; if the click has a request id, it has the same one. Of several it is the
    greatest by (same origin as the click, time, origin, number).
    """
    return _greatest(showings, click.time_ms, JOIN_MS, click.origin or user, click.request_id)


def click_of(
    conversion: Conversion, clicks: Sequence[Ranked[JoiningClick]], user: str
) -> Ranked[JoiningClick] | None:
    """Return the click on its item that a conversion belongs to, or None: at most 60 min before it, else as ``showing_of``."""
    return _greatest(clicks, conversion.time_ms, CONVERSION_MS, conversion.origin or user, None)


def _greatest(
    elements: Sequence[Ranked[_E]], time_ms: int, window_ms: int, origin: str, request_id: str | None
) -> Ranked[_E] | None:
    best: Ranked[_E] | None = None
    later = (time_ms + 1,)
    for place in range(bisect_left(elements, later) - 1, -1, -1):
        each = elements[place]
        if each.time_ms < time_ms - window_ms:
            break
        if request_id is not None and each.element.request_id != request_id:
            continue
        if each.origin == origin:
            return each
        best = each if best is None else best
    return best


def count(elements: Iterable[ItemElements], user: str, settled_calls: Collection[str] = ()) -> Counted:
    """Return what these items of a user's row count.

    Each showing to which a click belongs is one attributed click, at its place. A click's place is that of its showing, else its own.
    A purchase counts at its click's place. Consumes and baskets count once for each click. A conversion without a click counts
    nothing. A call counts once if a click belongs to any of its showings, unless its name is in ``settled_calls``.
    """
    counted: Counted = {}
    called: dict[Call, str] = {}
    for item in elements:
        _count_item(item, user, counted, called)
    for call, experiment in called.items():
        if call.name not in settled_calls:
            place = Place(call.time_ms, call.scenario, call.variant, experiment=experiment or None)
            _add(counted, "clicked_calls", place)
    return counted


def _add(counted: Counted, counter: str, place: Place) -> None:
    key = (counter, place, None)
    counted[key] = counted.get(key, 0) + 1


def _count_item(item: ItemElements, user: str, counted: Counted, called: dict[Call, str]) -> None:
    if not item.clicks:
        return
    clicked: set[int] = set()  # positions of impressions
    places: dict[int, Place] = {}  # position of a click -> where its conversions count
    unlabelled: set[tuple[int, str]] = set()
    for click in item.clicks:
        showing = showing_of(click.element, item.showings, user)
        place = places[click.position] = _place(click.element, showing, item)
        if showing is None:
            continue
        if showing.position not in clicked:
            clicked.add(showing.position)
            _add(counted, "attributed_clicks", place)
            call = call_of(showing.element, user)
            if call is not None:
                # Of several experiments the same one in every order of arrival.
                called[call] = max(called.get(call, ""), place.experiment or "")
        scenario = click.element.scenario
        if place.scenario is None and scenario is not None and (showing.position, scenario) not in unlabelled:
            unlabelled.add((showing.position, scenario))
            _add(counted, "unlabelled_impressions", Place(place.time_ms, scenario))
    once: set[tuple[int, str]] = set()
    for conversion in item.conversions:
        of = click_of(conversion, item.clicks, user)
        if of is None:
            continue
        if conversion.counter != PURCHASES:
            if (of.position, conversion.counter) in once:
                continue
            once.add((of.position, conversion.counter))
        count_conversion(counted, conversion, places[of.position])


def place_of_click(click: JoiningClick, item: ItemElements, user: str) -> Place:
    """Return where the conversions of a click count."""
    return _place(click, showing_of(click, item.showings, user), item)


def _place(click: JoiningClick, showing: Ranked[Impression] | None, item: ItemElements) -> Place:
    if showing is None:
        return Place(click.time_ms, click.scenario, click.variant, click.row, click.rank, click.item_key)
    return place_of_item(showing.element, item.item, click.item_key)


def count_conversion(counted: Counted, conversion: Conversion, place: Place) -> None:
    """Count a conversion, with its revenue, at the place of its click."""
    _add(counted, conversion.counter, place)
    if conversion.amount is not None and conversion.currency is not None:
        earned = ("revenue", place, conversion.currency)
        counted[earned] = EXACT.add(counted.get(earned, 0), conversion.amount)


def difference(after: Counted, *before: Counted) -> Counted:
    """Return after - before, without zeros."""
    result = dict(after)
    for counted in before:
        for key, amount in counted.items():
            known = result.get(key, 0)
            result[key] = known - amount if isinstance(amount, int) else EXACT.subtract(known, amount)
    return {key: amount for key, amount in result.items() if amount}
