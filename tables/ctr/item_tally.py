"""The tally of lists, items and users of a partition since its last flush, which becomes additions (tables/ctr/additions.py)."""

from collections import Counter, defaultdict
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from decimal import Decimal
from hashlib import blake2b
from typing import Any, Final

from events.model import NO_PROFILE_USER
from events.money import EXACT
from tables.ctr.additions import Addition, Seen
from tables.ctr.item_columns import IMAGE_SEPARATOR, SHOWN, ItemColumns
from tables.ctr.panes import Tally, is_amount
from tables.ctr.unique_users import mark_of
from tables.ctr.window_keys import ALL_SCENARIOS, HOUR_MS, PANE_MS, hour_start
from tables.user.elements import Place

_ITEMS: Final = "item"
_IMAGES: Final = "image"
_USERS: Final = "users"

_MAX_IMAGE_CHARS: Final = 200
_SETTLED_AT: Final = 2_000
"""Items that wait in a list until they are counted. A list costs less for each event, and much memory for many."""

_NameOf = Callable[[str, str | None], str]
# counter, customer, scenario, variant, minute, row, rank of the first item, number of items, type of the items
_Shown = tuple[str, str, str | None, str | None, int, int | None, int | None, int, int]
# counter or currency, customer, scenario, hour, item, image
_One = tuple[str, str, str | None, int, str, str | None]


class _Lists:
    """Lists that were shown at one place: how many, the items that are not counted yet, those that are, and the users."""

    __slots__ = ("counted", "times", "users", "waiting")

    def __init__(self) -> None:
        self.times = 0
        self.waiting: list[str] = []
        self.counted: Counter[str] | None = None
        self.users: set[str] = set()

    def settle(self) -> None:
        """Count the items that wait."""
        if self.counted is None:
            self.counted = Counter()
        self.counted.update(self.waiting)
        self.waiting.clear()


class ItemTally:
    """The lists, items and users of a partition since its last flush.

    A list costs one look-up, whatever the number of its items. To drop the tally is to drop what was not flushed. ``switched_off``
    gives the dimensions that a customer does not count, of CTR_DIMENSIONS (app/customers/customer.py).
    """

    def __init__(self, tally: Tally, switched_off: Mapping[str, Container[str]] | None = None) -> None:
        """``tally`` counts the places of the lists, which ``count_places`` hands over."""
        self._tally = tally
        self._switched_off: Mapping[str, Container[str]] = {} if switched_off is None else switched_off
        self._lists: dict[_Shown, _Lists] = {}
        self._counted: defaultdict[_One, int] = defaultdict(int)
        self._revenue: defaultdict[_One, Decimal] = defaultdict(Decimal)
        self._clickers: defaultdict[tuple[str, str | None, str | None, int], set[str]] = defaultdict(set)

    def __len__(self) -> int:
        """Return the number of distinct places."""
        return len(self._lists) + len(self._counted) + len(self._revenue) + len(self._clickers)

    def count_list(
        self,
        counter: str,
        customer: str,
        scenario: str | None,
        variant: str | None,
        time_ms: int,
        row: int | None,
        rank: int | None,
        itemtype: int,
        items: Sequence[str],
        user: str,
    ) -> None:
        """Count a list that was shown to a user (``rendered``), or half visible (``viewed``): its items, and its place for the panes."""
        place = (counter, customer, scenario, variant, time_ms // PANE_MS, row, rank, len(items), itemtype)
        lists = self._lists.get(place)
        if lists is None:
            lists = self._lists[place] = _Lists()
            # The first names in the log get the places for scenarios (docs/decisions/0017).
            self._tally.count(counter, customer, scenario, variant, time_ms, row, rank, len(items), 0)
        lists.times += 1
        lists.waiting += items
        lists.users.add(user)
        if len(lists.waiting) > _SETTLED_AT:
            lists.settle()

    def count_images(
        self,
        counter: str,
        customer: str,
        scenario: str | None,
        time_ms: int,
        itemtype: int,
        items: Sequence[str],
        image: str,
    ) -> None:
        """Count each item of a list with the image that it was shown with. ``count_list`` counts the items themselves."""
        for item in items:
            self._counted[counter, customer, scenario, time_ms // HOUR_MS, f"{itemtype}/{item}", image] += 1

    def count(
        self, counter: str, customer: str, scenario: str | None, time_ms: int, item: str, times: int = 1
    ) -> None:
        """Count something about one item, ``{itemtype}/{item}``. ``times`` below 0 takes back what was counted."""
        self._counted[counter, customer, scenario, time_ms // HOUR_MS, item, None] += times

    def count_place(self, counter: str, customer: str, place: Place, times: int) -> None:
        """Count what attribution changes at the place of an item, and of its image."""
        hour = place.time_ms // HOUR_MS
        if place.item is not None:
            self._counted[counter, customer, place.scenario, hour, place.item, None] += times
            if place.image is not None:
                self._counted[counter, customer, place.scenario, hour, place.item, place.image] += times

    def add_revenue(self, customer: str, place: Place, currency: str, amount: Decimal) -> None:
        """Add exact revenue at the place of an item. An amount that is no possible price is ignored, as in the panes."""
        if place.item is None or not is_amount(amount):
            return
        for image in {None, place.image}:
            key = (currency, customer, place.scenario, place.time_ms // HOUR_MS, place.item, image)
            self._revenue[key] = EXACT.add(self._revenue[key], amount)

    def click(
        self, customer: str, scenario: str | None, variant: str | None, time_ms: int, user: str
    ) -> None:
        """Note a user who clicked on a recommendation, in the scenario and hour of the click."""
        self._clickers[customer, scenario, variant, time_ms // HOUR_MS].add(user)

    def count_places(self) -> None:
        """Count the places of all lists in the tally of the panes. Call it once before the drains."""
        for (counter, customer, scenario, variant, minute, row, rank, items, _), lists in self._lists.items():
            self._tally.count(
                counter, customer, scenario, variant, minute * PANE_MS, row, rank, items, lists.times
            )

    def drain(self, name_of: _NameOf) -> dict[tuple[str, str], dict[int, Addition]]:
        """Return what was counted by customer and scenario, and by the start of its hour (ms). Empty the tally.

        ``name_of`` returns the name that a customer's scenario counts under. The scenario "" has the users of all scenarios.
        """
        drained = _Drained(name_of, self._switched_off)
        shown, self._lists = self._lists, {}
        counted, self._counted = self._counted, defaultdict(int)
        revenue, self._revenue = self._revenue, defaultdict(Decimal)
        clickers, self._clickers = self._clickers, defaultdict(set)
        for (counter, customer, scenario, variant, minute, _, _, _, itemtype), lists in shown.items():
            hour = minute * PANE_MS // HOUR_MS
            drained.add_lists(counter, customer, scenario, hour, itemtype, lists)
            lists.users.discard(NO_PROFILE_USER)
            if counter == SHOWN and lists.users:
                drained.add_users(customer, scenario, variant, hour, lists.users, has_clicked=False)
        for (counter, customer, scenario, hour, item, image), times in counted.items():
            if times:
                drained.count(counter, customer, scenario, hour, item, image, times)
        for (currency, customer, scenario, hour, item, image), amount in revenue.items():
            if amount:
                drained.earn(currency, customer, scenario, hour, item, image, amount)
        for (customer, scenario, variant, hour), users in clickers.items():
            drained.add_users(customer, scenario, variant, hour, users, has_clicked=True)
        return drained.found


class _Drained:
    """The additions of one drain."""

    def __init__(self, name_of: _NameOf, switched_off: Mapping[str, Container[str]]) -> None:
        self._name_of, self._switched_off = name_of, switched_off
        self.found: dict[tuple[str, str], dict[int, Addition]] = {}

    def _at(self, customer: str, scenario: str, hour: int) -> Addition:
        start_ms = hour_start(hour * HOUR_MS)
        hours = self.found.setdefault((customer, scenario), {})
        found = hours.get(start_ms)
        if found is None:
            found = hours[start_ms] = Addition(start_ms)
        return found

    def add_lists(
        self, counter: str, customer: str, scenario: str | None, hour: int, itemtype: int, lists: _Lists
    ) -> None:
        if _ITEMS in self._switched_off.get(customer, ()):
            return
        counts = self._at(customer, self._name_of(customer, scenario), hour).items.counts
        column: Any = counts.get(f"{counter}/{itemtype}")
        if column is None:
            column = counts[f"{counter}/{itemtype}"] = Counter()
        column.update(lists.waiting)
        if lists.counted is not None:
            column.update(lists.counted)

    def _columns(
        self, customer: str, scenario: str | None, hour: int, image: str | None
    ) -> ItemColumns | None:
        switched_off = self._switched_off.get(customer, ())
        if _ITEMS in switched_off or (image is not None and _IMAGES in switched_off):
            return None
        addition = self._at(customer, self._name_of(customer, scenario), hour)
        return addition.items if image is None else addition.images

    def count(
        self,
        counter: str,
        customer: str,
        scenario: str | None,
        hour: int,
        item: str,
        image: str | None,
        times: int,
    ) -> None:
        columns = self._columns(customer, scenario, hour, image)
        if columns is not None:
            itemtype, _, name = item.partition("/")
            columns.add_column(f"{counter}/{itemtype}", {name + _suffix(image): times})

    def earn(
        self,
        currency: str,
        customer: str,
        scenario: str | None,
        hour: int,
        item: str,
        image: str | None,
        amount: Decimal,
    ) -> None:
        columns = self._columns(customer, scenario, hour, image)
        if columns is not None:
            columns.earn(item + _suffix(image), currency, amount)

    def add_users(
        self,
        customer: str,
        scenario: str | None,
        variant: str | None,
        hour: int,
        users: Iterable[str],
        *,
        has_clicked: bool,
    ) -> None:
        if _USERS in self._switched_off.get(customer, ()):
            return
        marks = [mark_of(user) for user in users]
        of_scenario = self._at(customer, self._name_of(customer, scenario), hour)
        of_customer = self._at(customer, ALL_SCENARIOS, hour)
        for addition, key in ((of_scenario, variant or ""), (of_customer, "")):
            seen = addition.seen.get(key)
            if seen is None:
                seen = addition.seen[key] = Seen()
            (seen.clickers if has_clicked else seen.users).update(marks)


def _suffix(image: str | None) -> str:
    return "" if image is None else IMAGE_SEPARATOR + _short_image(image)


def _short_image(image: str) -> str:
    """Return the name that an image counts under: a long one is cut, and gets a digest of the whole."""
    if len(image) <= _MAX_IMAGE_CHARS:
        return image
    digest = blake2b(image.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    return f"{image[: _MAX_IMAGE_CHARS - len(digest) - 1]}~{digest}"
