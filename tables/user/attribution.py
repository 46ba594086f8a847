"""Attribution of a user's own clicks and conversions to impressions, whatever the order of arrival (docs/decisions/0018).

Each change of a row returns what it changes in the counts: the counts after it minus those before. tables/user/belonging.py has the
rule.
"""

from tables.user.attribution_groups import drop_expired, has_old_clicks, tidy
from tables.user.belonging import (
    Counted,
    click_of,
    count,
    count_conversion,
    difference,
    place_of_click,
    ranked,
    showing_of,
)
from tables.user.elements import PURCHASES, Conversion, Impression, JoiningClick, call_of
from tables.user.impressions import KEEP_MS, MANY_ITEMS, ImpressionsState, append, renew
from tables.user.row_elements import (
    RowElements,
    elements_of,
    elements_of_call,
    keys_of,
    with_items_of_calls,
)


def show(state: ImpressionsState, user: str, impression: Impression) -> Counted:
    """Keep an impression. Return what changes, which is nothing unless one of its items was clicked at the same time or later.

    The row must hold its buckets, unless ``is_apart``. Then ``keep`` is enough.
    """
    renew(state)
    impression.number = state.numbered + 1
    changed = _show_to_clicks(state, user, impression) if state.clicks else {}
    keep(state, impression)
    tidy(state, user, impression.received_ms, len(impression.items))
    return changed


def keep(state: ImpressionsState, impression: Impression) -> None:
    """Keep an impression that is apart from all other elements."""
    impression.number = state.numbered = state.numbered + 1
    append(state, impression)


def is_apart(state: ImpressionsState, impression: Impression) -> bool:
    """Tell whether an impression concerns no other element of the row: it changes no count, and nothing has to be dropped."""
    if len(impression.items) > MANY_ITEMS:
        return False
    if not (state.clicks or state.conversions or state.former_clicks):
        return True
    renew(state)
    return not has_old_clicks(state, impression.received_ms - KEEP_MS) and not _late_items(state, impression)


def _late_items(state: ImpressionsState, impression: Impression) -> set[str]:
    """Return the items of an impression that were clicked at the same time or later."""
    shown_ms = impression.time_ms
    late = {click.item_key for click in state.clicks if click.time_ms >= shown_ms}
    return late.intersection(keys_of(impression)) if late else late


def _show_to_clicks(state: ImpressionsState, user: str, impression: Impression) -> Counted:
    """Return what an impression changes in the counts of a row that has clicks."""
    items = _late_items(state, impression)
    if not items:
        return {}
    row = elements_of(state, user)
    with_it = RowElements(
        row.user, [*row.impressions, impression], row.clicks, row.conversions, row.settled_calls
    )
    items = with_items_of_calls(with_it, items)
    return difference(with_it.count(items), row.count(items))


def click(state: ImpressionsState, user: str, clicked: JoiningClick) -> Counted:
    """Keep a click, and return what changes."""
    renew(state)
    drop_expired(state, user, clicked.received_ms)
    clicked.number = state.next_number()
    items = {clicked.item_key}
    row = elements_of(state, user, items)
    others = _others_of_its_call(state, row, clicked)
    if others:
        items |= others
        row = elements_of(state, user, items)
    if not any(
        each.item_key == clicked.item_key and each.time_ms >= clicked.time_ms for each in state.conversions
    ):
        row.conversions = []  # none of them can belong to this click
    row.clicks.append(clicked)
    after = row.by_item(items).values()
    before = [each._replace(clicks=[of for of in each.clicks if of.element is not clicked]) for each in after]
    calls = state.settled_calls
    changed = difference(count(after, user, calls), count(before, user, calls))
    state.clicks += (clicked,)
    tidy(state, user, clicked.received_ms)
    return changed


def _others_of_its_call(state: ImpressionsState, row: RowElements, clicked: JoiningClick) -> set[str]:
    """Return other clicked items of the call that showed a click's item: whether a call counts depends on all its items."""
    key, user = clicked.item_key, row.user
    clicked_items = row.clicked_items() - {key}
    if not clicked_items:
        return set()
    item = RowElements(user, row.impressions, [clicked], positions=row.positions).by_item()[key]
    showing = showing_of(clicked, item.showings, user)
    call = None if showing is None else call_of(showing.element, user)
    if call is None or call.name in state.settled_calls:
        return set()
    return elements_of_call(state, user, call).calls()[call] & clicked_items


def concerns_clicks(state: ImpressionsState, conversion: Conversion) -> bool:
    """Tell whether a conversion may count, or something has to be dropped before. Then the row must hold its buckets."""
    renew(state)
    return bool(state.clicks) or has_old_clicks(state, conversion.received_ms - KEEP_MS)


def keep_conversion(state: ImpressionsState, conversion: Conversion) -> None:
    """Keep a conversion of a row without clicks, which counts nothing."""
    conversion.number = state.next_number()
    state.conversions += (conversion,)


def convert(state: ImpressionsState, user: str, conversion: Conversion) -> Counted:
    """Keep a conversion, and return what changes."""
    renew(state)
    drop_expired(state, user, conversion.received_ms)
    conversion.number = state.next_number()
    changed: Counted = {}
    click = _converted_click(state, user, conversion)
    if click is not None:
        key = conversion.item_key
        item = elements_of(state, user, [key]).by_item([key])[key]
        count_conversion(changed, conversion, place_of_click(click, item, user))
    state.conversions += (conversion,)
    tidy(state, user, conversion.received_ms)
    return changed


def converts(state: ImpressionsState, user: str, conversion: Conversion) -> bool:
    """Tell whether a conversion would count if it were kept now."""
    renew(state)
    return _converted_click(state, user, conversion) is not None


def _converted_click(state: ImpressionsState, user: str, conversion: Conversion) -> JoiningClick | None:
    """Return the click that a new conversion counts for. None: it belongs to no click, or repeats a conversion of its click."""
    key, counter = conversion.item_key, conversion.counter
    clicks = ranked([each for each in enumerate(state.clicks) if each[1].item_key == key], user)
    of = click_of(conversion, clicks, user)
    if of is None:
        return None
    is_repeat = counter != PURCHASES and any(
        each.counter == counter and each.item_key == key and click_of(each, clicks, user) is of
        for each in state.conversions
    )
    return None if is_repeat else of.element
