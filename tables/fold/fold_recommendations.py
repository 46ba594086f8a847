"""Folds impressions, clicks and conversions, and attributes them to CTR panes (docs/events.md, "Counting clicks")."""

from decimal import Decimal
from typing import cast

from events import model
from events.model import NO_PROFILE_USER
from events.money import revenue_of
from events.scenarios import served_labels
from tables.ctr.panes import is_amount
from tables.fold import fold_experiments, fold_log
from tables.fold.fold_attribution import attribute, count_changes_of
from tables.fold.fold_ports import Tables
from tables.user import (
    basket,
    clicked,
    consumed,
    impressions,
    playback,
    purchases,
    recommended,
)
from tables.user.call_places import CallPlace, find_place, report_call
from tables.user.elements import Conversion, ConversionCounter, Impression, JoiningClick, call_name
from tables.user.impressions import ImpressionsState, calls_of
from tables.user.items import item_key
from tables.user.recommended import Served


def fold_rendered(tables: Tables, key: bytes, event: model.Rendered) -> None:
    """Count the items, remember the impression, and count the recommendation call behind it once."""
    if not event.items:
        return
    shown = impressions.impression_of(event)
    if event.scenario is None:
        _find_scenario(tables, key, event, shown)
    _count_items(tables, "rendered", event, shown)
    if event.image is not None:
        shown.image = event.image
        tables.items.count_images(
            "rendered",
            event.customer,
            shown.scenario,
            event.time_ms,
            event.itemtype,
            event.items,
            event.image,
        )
    if event.user == NO_PROFILE_USER:
        return
    logged = tables.rows[impressions.TABLE]
    remembered = logged.get(key) or ImpressionsState()
    is_first = shown.request_id is not None and _find_call(tables, key, event.customer, remembered, shown)
    changed = fold_log.show(tables, key, event, remembered, shown)
    logged.put(key, remembered)
    if shown.experiment is not None or tables.contests:
        fold_experiments.show(tables, key, event, shown, is_first_of_call=is_first)
    if changed:
        count_changes_of(tables, key, event, changed)


def _find_call(
    tables: Tables, key: bytes, customer: str, remembered: ImpressionsState, shown: Impression
) -> bool:
    """Note in an impression where its recommendation call counted. Count the call if this impression is the first to report it.

    Return whether it is the first, also if the back end reported the call before.
    """
    name = call_name(cast(str, shown.request_id), shown.scenario)
    calls = calls_of(remembered)
    in_row = find_place(calls, name)
    place = fold_log.sealed_place(tables, key, remembered, name) if in_row is None else in_row
    is_first = place is None
    if place is None:
        place = _served_at(tables, key, shown)
        if place is None:
            place = CallPlace(shown.time_ms, shown.variant)
            tables.tally.count("calls", customer, shown.scenario, shown.variant, shown.time_ms, items=0)
    if in_row is None:  # also if a bucket has it: that is dropped before this impression
        report_call(calls, name, place)
    shown.call_ms, shown.call_variant = place
    return is_first


def _served_at(tables: Tables, key: bytes, shown: Impression) -> CallPlace | None:
    """Return where ``calls`` counted the request of an impression when the back end reported it. None: it did not."""
    place = None
    lists = tables.rows[recommended.TABLE].get(key)
    if lists is not None:
        for each in lists.lists:
            if each.request_id == shown.request_id:
                if each.scenario == shown.scenario:
                    return CallPlace(each.time_ms, each.variant)
                place = CallPlace(None, None)
    return place


def fold_viewed(tables: Tables, key: bytes, event: model.Viewed) -> None:
    """Count the items that were half visible for a second."""
    if not event.items:
        return
    shown = impressions.impression_of(event)
    if event.scenario is None:
        _find_scenario(tables, key, event, shown)
    if event.user != NO_PROFILE_USER:
        logged = tables.rows[impressions.TABLE]
        remembered = logged.get(key) or ImpressionsState()
        fold_log.view(tables, key, event, remembered)
        logged.put(key, remembered)
    _count_items(tables, "viewed", event, shown)


def _count_items(tables: Tables, counter: str, event: model.ItemsEvent, shown: Impression) -> None:
    tables.items.count_list(
        counter,
        event.customer,
        shown.scenario,
        shown.variant,
        event.time_ms,
        shown.row,
        shown.rank,
        event.itemtype,
        event.items,
        event.user,
    )


def _find_scenario(tables: Tables, key: bytes, event: model.ItemsEvent, shown: Impression) -> None:
    """Give an impression without a scenario the one of the list that the back end served, or else the customer's."""
    served = None
    if event.user != NO_PROFILE_USER:
        item = item_key(event.itemtype, event.items[0])
        served = _served(tables, key, item, event.request_id, event.time_ms)
    if served is None:
        shown.scenario = event.fallback_scenario
        return
    shown.scenario = served.scenario if served.scenario is not None else event.fallback_scenario
    shown.variant = shown.variant if shown.variant is not None else served.variant
    shown.experiment = shown.experiment if shown.experiment is not None else served.experiment
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
    return lists is not None and request_id in [served.request_id for served in lists.lists]


def fold_recommended(tables: Tables, key: bytes, event: model.Recommended) -> None:
    """Count one call for each scenario, unless an impression reported it before, and remember the lists."""
    is_somebody = event.user != NO_PROFILE_USER
    remembered = tables.rows[impressions.TABLE].get(key) if is_somebody else None
    if remembered is not None and _is_reported(tables, key, event.request_id):
        remembered = None  # a repeated report of the back end counts again, whatever the page reported
    for scenario, variant in served_labels(event):
        call = call_name(event.request_id, scenario)
        if remembered is None or (
            find_place(calls_of(remembered), call) is None
            and fold_log.sealed_place(tables, key, remembered, call) is None
        ):
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
    """Count a click as it was sent, and attribute it. It takes the scenario of the list that the back end served if it has none."""
    scenario, variant, row, rank = event.scenario, event.variant, event.row, event.rank
    tally = tables.tally
    item = item_key(event.itemtype, event.item)
    if event.user == NO_PROFILE_USER:
        tally.count("clicks", event.customer, scenario, variant, event.time_ms, row, rank)
        tables.items.count("clicks", event.customer, scenario, event.time_ms, item)
        return
    if scenario is None:
        served = _served(tables, key, item, event.request_id, event.time_ms)
        if served is not None:
            scenario, variant, row, rank = (
                served.scenario,
                variant or served.variant,
                served.row,
                served.rank,
            )
    tally.count("clicks", event.customer, scenario, variant, event.time_ms, row, rank)
    tables.items.count("clicks", event.customer, scenario, event.time_ms, item)
    tables.items.click(event.customer, scenario, variant, event.time_ms, event.user)
    rows = tables.rows[clicked.TABLE]
    rows.put(key, clicked.click(rows.get(key), event))
    click = JoiningClick(
        event.time_ms, event.received_ms, item, event.request_id, scenario, variant, row, rank
    )
    if event.experiment is not None:
        fold_experiments.click(tables, key, event)
    attribute(tables, key, event, click)


# --- conversions ------------------------------------------------------------------------------------------------------------------


def _convert(
    tables: Tables,
    key: bytes,
    event: model.ItemEvent,
    counter: ConversionCounter,
    currency: str | None = None,
    amount: Decimal | None = None,
) -> None:
    """Count a conversion where the recommended click counts that it follows."""
    item = item_key(event.itemtype, event.item)
    conversion = Conversion(event.time_ms, event.received_ms, item, counter, currency, amount)
    # A player sends heartbeats for hours. Each would be kept, though the first that follows the click is the one that counts.
    attribute(tables, key, event, conversion, is_one_of_many=isinstance(event, model.Playback))


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
    amount = None
    if event.price is not None and event.currency is not None:
        revenue = revenue_of(event.price, event.quantity)
        # What is no possible amount counts nothing. If the row kept it, no target could read the transfer of the next login.
        amount = revenue if is_amount(revenue) else None
    _convert(tables, key, event, "purchases", None if amount is None else event.currency, amount)


def fold_owns(tables: Tables, key: bytes, event: model.Owns) -> None:
    """Mark an item as owned, without revenue."""
    if event.user != NO_PROFILE_USER:
        rows = tables.rows[purchases.TABLE]
        rows.put(key, purchases.own(rows.get(key), event))
