"""Folds impressions, clicks and conversions, and attributes them to CTR panes (docs/events.md, "Counting clicks")."""

from decimal import Decimal

from events import model
from events.model import NO_PROFILE_USER
from tables.fold.fold_ports import Tables
from tables.user import basket, clicked, consumed, impressions, playback, purchases, recommended, rendered
from tables.user.impressions import RecommendedClick
from tables.user.items import item_key
from tables.user.recommended import Served


def fold_rendered(tables: Tables, key: bytes, event: model.Rendered) -> None:
    """Count the items, remember the impression, and count the recommendation call behind it once."""
    if not event.items:
        return
    shown = impressions.impression_of(event)
    if event.user == NO_PROFILE_USER:
        _count_items(tables, "rendered", event, shown)
        return
    if event.scenario is None:
        _fill_from_served(tables, key, event, shown)
    _count_items(tables, "rendered", event, shown)
    rows = tables.rows[rendered.TABLE]
    state = rendered.show(rows.get(key), event)
    if event.customer in tables.scenario_keepers and shown.scenario is not None:
        state = rendered.show(state, event, shown.scenario)
    rows.put(key, state)
    logged = tables.rows[impressions.TABLE]
    remembered = impressions.remember(logged.get(key), shown, event.received_ms)
    logged.put(key, remembered)
    request_id = shown.request_id
    if (
        request_id is not None
        and impressions.is_new_call(remembered, impressions.call_of(request_id, shown.scenario))
        and not _is_reported(tables, key, request_id)
    ):
        tables.tally.count("calls", event.customer, shown.scenario, shown.variant, event.time_ms, items=0)


def fold_viewed(tables: Tables, key: bytes, event: model.Viewed) -> None:
    """Count the items that were half visible for a second."""
    if not event.items:
        return
    shown = impressions.impression_of(event)
    if event.user != NO_PROFILE_USER:
        if event.scenario is None:
            _fill_from_served(tables, key, event, shown)
        rows = tables.rows[rendered.TABLE]
        rows.put(key, rendered.view(rows.get(key), event))
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


def _fill_from_served(
    tables: Tables, key: bytes, event: model.ItemsEvent, shown: impressions.Impression
) -> None:
    """Give an impression without a scenario the one of the list that the back end served."""
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
    lists = tables.rows[recommended.TABLE].get(key)
    return None if lists is None else recommended.find(lists, item, request_id, time_ms)


def _is_reported(tables: Tables, key: bytes, request_id: str) -> bool:
    """Tell whether a ``recommended`` event reported this request."""
    lists = tables.rows[recommended.TABLE].get(key)
    return lists is not None and any(served.request_id == request_id for served in lists.lists)


def fold_recommended(tables: Tables, key: bytes, event: model.Recommended) -> None:
    """Count one call for each scenario, unless an impression reported it before, and remember the lists."""
    is_somebody = event.user != NO_PROFILE_USER
    remembered = tables.rows[impressions.TABLE].get(key) if is_somebody else None
    if remembered is not None and _is_reported(tables, key, event.request_id):
        remembered = None  # a repeated report of the back end counts again, whatever the page reported
    for scenario, variant in dict.fromkeys(
        (served.scenario, served.variant or event.variant) for served in event.lists
    ):
        call = impressions.call_of(event.request_id, scenario)
        if remembered is None or not impressions.is_reported(remembered, call):
            tables.tally.count("calls", event.customer, scenario, variant, event.time_ms, items=0)
    if is_somebody:
        tables.rows[recommended.TABLE].put(
            key, recommended.serve(tables.rows[recommended.TABLE].get(key), event)
        )


def fold_click(tables: Tables, key: bytes, event: model.Click) -> None:
    """Remember a click. The CTR panes count only clicks on recommendations."""
    if event.user != NO_PROFILE_USER:
        rows = tables.rows[clicked.TABLE]
        rows.put(key, clicked.click(rows.get(key), event))


def fold_clickrecommended(tables: Tables, key: bytes, event: model.ClickRecommended) -> None:
    """Count a click in its own pane, and as attributed in the pane of its impression, if it joins one.

    Its conversions count where it was attributed, otherwise in its own pane. Row and rank are those of the impression, because clients
    count them in different ways.
    """
    scenario, variant, row, rank = event.scenario, event.variant, event.row, event.rank
    tally = tables.tally
    if event.user == NO_PROFILE_USER:
        tally.count("clicks", event.customer, scenario, variant, event.time_ms, row, rank)
        return
    item = item_key(event.itemtype, event.item)
    remembered = tables.rows[impressions.TABLE].get(key)
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
    rows = tables.rows[clicked.TABLE]
    rows.put(key, clicked.click(rows.get(key), event))
    click = RecommendedClick(event.time_ms, event.received_ms, item, *origin)
    tables.rows[impressions.TABLE].put(key, impressions.remember_click(remembered, click, event.received_ms))


# --- conversions ------------------------------------------------------------------------------------------------------------------


def _convert(tables: Tables, key: bytes, event: model.ItemEvent, counter: str) -> RecommendedClick | None:
    """Count a conversion in the pane of the recommended click that it follows. Return that click, or None."""
    remembered = tables.rows[impressions.TABLE].get(key)
    if remembered is None:
        return None
    click = impressions.converts(remembered, item_key(event.itemtype, event.item), event.time_ms)
    if click is None:
        return None
    if (
        counter != "purchases"
    ):  # each purchase is a conversion, but progress events of one consumption are only one
        if counter in click.converted:
            return None
        click.converted.append(counter)
        tables.rows[impressions.TABLE].put(key, remembered)
    tables.tally.count(
        counter, event.customer, click.scenario, click.variant, click.pane_time_ms, click.row, click.rank
    )
    return click


def fold_consume(tables: Tables, key: bytes, event: model.Consume) -> None:
    """Remember how much was consumed, and count a conversion of the recommended click that it follows."""
    if event.user == NO_PROFILE_USER:
        return
    rows = tables.rows[consumed.TABLE]
    rows.put(key, consumed.consume(rows.get(key), event))
    _convert(tables, key, event, "consumed")


def fold_playback(tables: Tables, key: bytes, event: model.Playback) -> None:
    """Fold a player's heartbeat. If it adds playing time, it counts like a ``consume``."""
    if event.user == NO_PROFILE_USER:
        return
    state, heard = playback.fold_heartbeat(tables.rows[playback.TABLE].get(key), event)
    if heard is None:
        return
    tables.rows[playback.TABLE].put(key, state)
    if heard.played_ms or heard.buffered_ms or heard.paused_ms:
        tables.rows[consumed.TABLE].put(
            key, consumed.play(tables.rows[consumed.TABLE].get(key), event, heard)
        )
    if heard.played_ms:
        _convert(tables, key, event, "consumed")


def fold_basket(tables: Tables, key: bytes, event: model.Basket) -> None:
    """Put an item into the basket, and count a conversion of the recommended click that it follows."""
    if event.user == NO_PROFILE_USER:
        return
    rows = tables.rows[basket.TABLE]
    rows.put(key, basket.put(rows.get(key), event))
    _convert(tables, key, event, "basket")


def fold_deletefrombasket(tables: Tables, key: bytes, event: model.DeleteFromBasket) -> None:
    """Take an item out of the basket."""
    if event.user != NO_PROFILE_USER:
        _take_out(tables, key, event)


def _take_out(tables: Tables, key: bytes, event: model.ItemEvent) -> None:
    item = item_key(event.itemtype, event.item)
    tables.rows[basket.TABLE].put(
        key, basket.take(tables.rows[basket.TABLE].get(key), item, event.time_ms, event.received_ms)
    )


def fold_buy(tables: Tables, key: bytes, event: model.Buy) -> None:
    """Add a purchase, take the item out of the basket, and count a conversion of the recommended click that it follows."""
    if event.user == NO_PROFILE_USER:
        return
    rows = tables.rows[purchases.TABLE]
    rows.put(key, purchases.buy(rows.get(key), event))
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


def fold_owns(tables: Tables, key: bytes, event: model.Owns) -> None:
    """Mark an item as owned, without revenue."""
    if event.user != NO_PROFILE_USER:
        rows = tables.rows[purchases.TABLE]
        rows.put(key, purchases.own(rows.get(key), event))
