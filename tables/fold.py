"""What one event changes: the transition of every event over the tables of its partition, and what it counts in the CTR panes.

Pure: the tables are handed in by Protocol (agents/overlay.py has them). The order of events is the log's; an event that is folded
twice counts twice, so the position, not this file, keeps that from happening.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final, Protocol, TypeVar

from events import model
from events.model import NO_PROFILE_USER, user_key
from tables import (
    basket,
    clicked,
    consumed,
    identity,
    impressions,
    preferences,
    purchases,
    recommended,
    rendered,
    seen,
)
from tables.declare import USER_TABLES
from tables.identity import IdentityState, Stretch, Transfer
from tables.impressions import ImpressionsState, RecommendedClick
from tables.items import item_key
from tables.panes import Tally
from tables.recommended import Served

S = TypeVar("S")

MOVED: Final = b"\0moved"
"""Suffix of the row that keeps what a login moved on: the source's own lookups still see it, and it is never sent again.

No user key holds a NUL, so no two rows share a key.
"""


class Rows(Protocol[S]):
    """The rows of one table."""

    def get(self, key: bytes) -> S | None: ...

    def put(self, key: bytes, state: S | None) -> None: ...


class Tables(Protocol):
    """Every table of a partition, the tally of its panes, and the way out for transfers."""

    @property
    def tally(self) -> Tally: ...

    @property
    def rendered(self) -> Rows[rendered.RenderedState]: ...
    @property
    def impressions(self) -> Rows[ImpressionsState]: ...
    @property
    def clicked(self) -> Rows[clicked.ClickedState]: ...
    @property
    def consumed(self) -> Rows[consumed.ConsumedState]: ...
    @property
    def basket(self) -> Rows[basket.BasketState]: ...
    @property
    def purchases(self) -> Rows[purchases.PurchasesState]: ...
    @property
    def preferences(self) -> Rows[preferences.PreferencesState]: ...
    @property
    def identity(self) -> Rows[IdentityState]: ...
    @property
    def recommended(self) -> Rows[recommended.RecommendedState]: ...
    @property
    def seen(self) -> Rows[int]: ...

    def transfer(self, transfer: Transfer) -> None: ...


def fold(tables: Tables, key: bytes, event: model.Event) -> bool:
    """Apply one event of the journal; return False when its ``eid`` was folded before and it changed nothing."""
    if event.eid is not None:
        row = seen.row_key(key, event.eid)
        if seen.is_repeat(tables.seen.get(row), event.received_ms):
            return False
        tables.seen.put(row, event.received_ms)
    _FOLDS[type(event)](tables, key, event)
    return True


# --- shown and clicked ------------------------------------------------------------------------------------------------------------


def _rendered(tables: Tables, key: bytes, event: model.Rendered) -> None:
    if not event.items:
        return
    shown = impressions.impression_of(event)
    if event.user == NO_PROFILE_USER:
        _count_items(tables, "rendered", event, shown)
        return
    if event.scenario is None:
        _take_from_served(tables, key, event, shown)
    _count_items(tables, "rendered", event, shown)
    tables.rendered.put(key, rendered.show(tables.rendered.get(key), event))
    remembered = tables.impressions.get(key)
    if shown.request_id is not None and not _is_known_call(tables, key, remembered, shown):
        tables.tally.count("calls", event.customer, shown.scenario, shown.variant, event.time_ms, items=0)
    tables.impressions.put(key, impressions.remember(remembered, shown, event.received_ms))


def _viewed(tables: Tables, key: bytes, event: model.Viewed) -> None:
    if not event.items:
        return
    shown = impressions.Impression(
        event.time_ms,
        event.received_ms,
        event.itemtype,
        list(event.items),
        event.scenario,
        event.variant,
        event.experiment,
        event.row,
        event.rank,
        event.request_id,
    )
    if event.user != NO_PROFILE_USER:
        if event.scenario is None:
            _take_from_served(tables, key, event, shown)
        tables.rendered.put(key, rendered.view(tables.rendered.get(key), event))
    _count_items(tables, "viewed", event, shown)


def _count_items(
    tables: Tables, counter: str, event: model.ItemsEvent, shown: impressions.Impression
) -> None:
    tables.tally.count(
        counter,
        event.customer,
        shown.scenario,
        shown.variant,
        event.time_ms,
        shown.row,
        shown.rank,
        items=len(event.items),
    )


def _take_from_served(
    tables: Tables, key: bytes, event: model.ItemsEvent, shown: impressions.Impression
) -> None:
    """Give an impression without a scenario that of the list which the back end said it served."""
    served = _served(tables, key, item_key(event.itemtype, event.items[0]), event.request_id, event.time_ms)
    if served is None:
        return
    shown.scenario = served.scenario
    shown.variant = shown.variant if shown.variant is not None else served.variant
    shown.request_id = shown.request_id if shown.request_id is not None else served.request_id
    if shown.row is None:
        shown.row = served.row
    if shown.rank is None:
        shown.rank = served.rank


def _served(tables: Tables, key: bytes, item: str, request_id: str | None, time_ms: int) -> Served | None:
    lists = tables.recommended.get(key)
    return None if lists is None else recommended.find(lists, item, request_id, time_ms)


def _is_known_call(
    tables: Tables, key: bytes, remembered: ImpressionsState | None, shown: impressions.Impression
) -> bool:
    """Whether the recommendation call behind an impression was counted: by ``recommended``, or by an earlier impression of it."""
    if remembered is not None:
        for earlier in reversed(remembered.impressions):
            if earlier.request_id == shown.request_id and earlier.scenario == shown.scenario:
                return True
    lists = tables.recommended.get(key)
    return lists is not None and any(served.request_id == shown.request_id for served in lists.lists)


def _recommended(tables: Tables, key: bytes, event: model.Recommended) -> None:
    """Each scenario of the call is one call of it, counted once though the page may tell of it before the back end does."""
    is_somebody = event.user != NO_PROFILE_USER
    counted = _counted_by_impressions(tables, key, event.request_id) if is_somebody else frozenset()
    for scenario, variant in dict.fromkeys(
        (served.scenario, served.variant or event.variant) for served in event.lists
    ):
        if scenario not in counted:
            tables.tally.count("calls", event.customer, scenario, variant, event.time_ms, items=0)
    if is_somebody:
        tables.recommended.put(key, recommended.serve(tables.recommended.get(key), event))


def _counted_by_impressions(tables: Tables, key: bytes, request_id: str) -> frozenset[str | None]:
    """Return the scenarios for which an impression of this call, folded before any ``recommended`` of it, counted the call."""
    remembered = tables.impressions.get(key)
    if remembered is None:
        return frozenset()
    lists = tables.recommended.get(key)
    if lists is not None and any(served.request_id == request_id for served in lists.lists):
        return frozenset()
    return frozenset(shown.scenario for shown in remembered.impressions if shown.request_id == request_id)


def _click(tables: Tables, key: bytes, event: model.Click) -> None:
    if event.user != NO_PROFILE_USER:
        tables.clicked.put(key, clicked.click(tables.clicked.get(key), event))


def _clickrecommended(tables: Tables, key: bytes, event: model.ClickRecommended) -> None:
    """A click counts in its own pane, as sent; joined to its impression it counts, attributed, in the impression's.

    What the click leads to is counted where it was attributed, else in its own pane. Row and rank are the impression's, for clients
    count them in different ways.
    """
    scenario, variant, row, rank = event.scenario, event.variant, event.row, event.rank
    tally = tables.tally
    if event.user == NO_PROFILE_USER:
        tally.count("clicks", event.customer, scenario, variant, event.time_ms, row, rank)
        return
    item = item_key(event.itemtype, event.item)
    remembered = tables.impressions.get(key)
    joined = None
    if remembered is not None:
        joined = impressions.join(remembered, item, event.request_id, event.time_ms)
    if joined is not None:
        shown, index = joined
        row, rank = shown.row, None if shown.rank is None else shown.rank + index
        origin = (shown.time_ms, shown.scenario or scenario, shown.variant or variant, row, rank)
        tally.count("attributed_clicks", event.customer, origin[1], origin[2], origin[0], row, rank)
        scenario, variant = scenario or shown.scenario, variant or shown.variant
    else:
        if scenario is None:
            served = _served(tables, key, item, event.request_id, event.time_ms)
            if served is not None:
                scenario, variant, row, rank = (
                    served.scenario,
                    variant or served.variant,
                    served.row,
                    served.rank,
                )
        origin = (event.time_ms, scenario, variant, row, rank)
    tally.count("clicks", event.customer, scenario, variant, event.time_ms, row, rank)
    tables.clicked.put(key, clicked.click(tables.clicked.get(key), event))
    click = RecommendedClick(event.time_ms, event.received_ms, item, *origin)
    tables.impressions.put(key, impressions.remember_click(remembered, click, event.received_ms))


# --- what a click leads to --------------------------------------------------------------------------------------------------------


def _convert(tables: Tables, key: bytes, event: model.ItemEvent, counter: str) -> RecommendedClick | None:
    """Count a conversion in the pane of the recommended click that it follows from; return that click."""
    remembered = tables.impressions.get(key)
    if remembered is None:
        return None
    click = impressions.converts(remembered, item_key(event.itemtype, event.item), event.time_ms)
    if click is None:
        return None
    if counter != "purchases":  # each purchase is one; progress events of one consumption are not
        if counter in click.converted:
            return None
        click.converted.append(counter)
        tables.impressions.put(key, remembered)
    tables.tally.count(
        counter, event.customer, click.scenario, click.variant, click.pane_time_ms, click.row, click.rank
    )
    return click


def _consume(tables: Tables, key: bytes, event: model.Consume) -> None:
    if event.user == NO_PROFILE_USER:
        return
    tables.consumed.put(key, consumed.consume(tables.consumed.get(key), event))
    _convert(tables, key, event, "consumed")


def _basket(tables: Tables, key: bytes, event: model.Basket) -> None:
    if event.user == NO_PROFILE_USER:
        return
    tables.basket.put(key, basket.put(tables.basket.get(key), event))
    _convert(tables, key, event, "basket")


def _deletefrombasket(tables: Tables, key: bytes, event: model.DeleteFromBasket) -> None:
    if event.user != NO_PROFILE_USER:
        _take_out(tables, key, event)


def _take_out(tables: Tables, key: bytes, event: model.ItemEvent) -> None:
    item = item_key(event.itemtype, event.item)
    tables.basket.put(key, basket.take(tables.basket.get(key), item, event.time_ms, event.received_ms))


def _buy(tables: Tables, key: bytes, event: model.Buy) -> None:
    if event.user == NO_PROFILE_USER:
        return
    tables.purchases.put(key, purchases.buy(tables.purchases.get(key), event))
    _take_out(tables, key, event)
    click = _convert(tables, key, event, "purchases")
    if click is not None and event.price is not None and event.currency is not None:
        tables.tally.add_revenue(
            event.customer,
            click.scenario,
            click.variant,
            click.pane_time_ms,
            event.currency,
            event.price * Decimal(event.quantity),
            click.row,
            click.rank,
        )


def _owns(tables: Tables, key: bytes, event: model.Owns) -> None:
    if event.user != NO_PROFILE_USER:
        tables.purchases.put(key, purchases.own(tables.purchases.get(key), event))


# --- what the user wants ----------------------------------------------------------------------------------------------------------

_PREFERENCES: Final[dict[type, Callable[..., preferences.PreferencesState]]] = {
    model.Rate: preferences.rate,
    model.Blacklist: preferences.blacklist,
    model.Wishlist: preferences.wish,
    model.DeleteFromWishlist: preferences.unwish,
}


def _preference(
    tables: Tables,
    key: bytes,
    event: model.Rate | model.Blacklist | model.Wishlist | model.DeleteFromWishlist,
) -> None:
    """Remember a preference; within 30 min of a login it goes on to that target, for sites send it with the old id."""
    if event.user == NO_PROFILE_USER:
        return
    change = _PREFERENCES[type(event)]
    known = tables.identity.get(key)
    if known is None or identity.follows(known, event.time_ms) is None:
        tables.preferences.put(key, change(tables.preferences.get(key), event))
        return
    state, transfer = identity.forward(known, event, Stretch(preferences=change(None, event)))
    tables.identity.put(key, state)
    tables.transfer(transfer)
    _keep_moved(tables, key, transfer.stretch)


# --- who the user is --------------------------------------------------------------------------------------------------------------


def _login(tables: Tables, key: bytes, event: model.Login) -> None:
    if event.user == NO_PROFILE_USER:
        return
    held = Stretch(**{name: getattr(tables, name).get(key) for name in USER_TABLES})
    state, transfer = identity.login(tables.identity.get(key), event, held)
    tables.identity.put(key, state)
    if transfer is None:
        return
    tables.transfer(transfer)
    for name in USER_TABLES:
        if getattr(held, name) is not None:
            getattr(tables, name).put(key, None)
    _keep_moved(tables, key, held)


def _keep_moved(tables: Tables, key: bytes, stretch: Stretch) -> None:
    """Keep what was sent on where the user's own lookups see it and no later login sends it again."""
    _absorb(tables, key + MOVED, stretch)


def _absorb(tables: Tables, row: bytes, stretch: Stretch) -> None:
    own = Stretch()
    for name in USER_TABLES:
        if getattr(stretch, name) is not None:
            setattr(own, name, getattr(tables, name).get(row))
    merged = identity.absorb(own, stretch)
    for name in USER_TABLES:
        state = getattr(merged, name)
        if state is not None:
            getattr(tables, name).put(row, state)


def fold_transfer(tables: Tables, transfer: Transfer) -> bool:
    """Apply what a login moved here, or pass it on; return False when its number was applied before."""
    key = user_key(transfer.customer, transfer.target)
    state, verdict = identity.receive(tables.identity.get(key), transfer)
    tables.identity.put(key, state)
    if verdict == "repeat":
        return False
    if verdict == "apply":
        _absorb(tables, key, transfer.stretch)
    else:
        tables.transfer(verdict)
        _keep_moved(tables, key, transfer.stretch)
    return True


_FOLDS: Final[dict[type, Callable[[Tables, bytes, Any], None]]] = {
    model.Rendered: _rendered,
    model.Viewed: _viewed,
    model.Recommended: _recommended,
    model.Click: _click,
    model.ClickRecommended: _clickrecommended,
    model.Consume: _consume,
    model.Basket: _basket,
    model.DeleteFromBasket: _deletefrombasket,
    model.Buy: _buy,
    model.Owns: _owns,
    model.Rate: _preference,
    model.Blacklist: _preference,
    model.Wishlist: _preference,
    model.DeleteFromWishlist: _preference,
    model.Login: _login,
}
