"""Folds one event into the tables of its partition, with one fold per kind of event.

Pure: the tables are passed as a Protocol. Events are folded in the order of the log. An event that is folded twice counts twice; the
caller's position prevents that, not this module.
"""

from collections.abc import Callable
from typing import Any, Final

from events import model
from tables.fold import fold_bots, fold_identity, fold_recommendations, fold_triggers
from tables.fold.fold_ports import Tables
from tables.user import seen


def fold(tables: Tables, key: bytes, event: model.Event) -> bool:
    """Apply one event of the journal. Return False if an event with its ``eid`` was folded before, so that it changed nothing."""
    if event.eid is not None:
        row = seen.row_key(key, event.eid)
        if seen.is_repeat(tables.rows[seen.TABLE].get(row), event.received_ms):
            return False
        tables.rows[seen.TABLE].put(row, event.received_ms)
    _FOLDS[type(event)](tables, key, event)
    return True


_FOLDS: Final[dict[type, Callable[[Tables, bytes, Any], None]]] = {
    model.Rendered: fold_recommendations.fold_rendered,
    model.Viewed: fold_recommendations.fold_viewed,
    model.Recommended: fold_recommendations.fold_recommended,
    model.Click: fold_recommendations.fold_click,
    model.ClickRecommended: fold_recommendations.fold_clickrecommended,
    model.Consume: fold_recommendations.fold_consume,
    model.Playback: fold_recommendations.fold_playback,
    model.Basket: fold_recommendations.fold_basket,
    model.DeleteFromBasket: fold_recommendations.fold_deletefrombasket,
    model.Buy: fold_recommendations.fold_buy,
    model.Owns: fold_recommendations.fold_owns,
    model.Rate: fold_identity.fold_preference,
    model.Blacklist: fold_identity.fold_preference,
    model.DeleteFromBlacklist: fold_identity.fold_preference,
    model.Wishlist: fold_identity.fold_preference,
    model.DeleteFromWishlist: fold_identity.fold_preference,
    model.TriggerOpened: fold_triggers.fold_triggeropened,
    model.ClickTriggered: fold_triggers.fold_clicktriggered,
    model.Login: fold_identity.fold_login,
    model.BotEvents: fold_bots.fold_bots,
}
