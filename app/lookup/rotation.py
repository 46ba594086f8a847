"""Rotation: candidates with a factor for each, which lowers the score of an item with every showing.

docs/lookups.md has the rule. These functions are pure: they only read the states.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from app.lookup.turns import Steps, at_once, pieces
from app.lookup.user_view import UserView, items_of, showings_in
from tables.user.items import item_key


@dataclass(frozen=True, slots=True)
class Rotation:
    """How much an impression lowers an item's score, and how fast the item recovers: see ``rotation_factor``."""

    half_life_ms: int = 24 * 3_600_000
    strength: float = 0.5


def rotate(
    view: UserView,
    candidates: Sequence[str],
    itemtype: int,
    rotation: Rotation,
    as_of_ms: int,
    in_scenario: str | None = None,
) -> dict[str, Any]:
    """Return all candidates in their order, none dropped; ``factors`` holds the multiplier of each candidate's score."""
    return at_once(rotate_steps(view, candidates, itemtype, rotation, as_of_ms, in_scenario))


def rotate_steps(
    view: UserView,
    candidates: Sequence[str],
    itemtype: int,
    rotation: Rotation,
    as_of_ms: int,
    in_scenario: str | None = None,
) -> Steps[dict[str, Any]]:
    """Return ``rotate`` in steps. The view may change between two of them."""
    is_known = view.is_known
    stretches = items_of(view, "rendered") if in_scenario is None else showings_in(view, in_scenario)
    factors = []
    for some in pieces(candidates):
        for item in some:
            key = item_key(itemtype, item)
            parts = [items[key] for items in stretches if key in items]
            times = [time for part in parts for time in part.times]
            factors.append(rotation_factor(times, rotation, as_of_ms))
        yield
    return {
        "known": is_known,
        "as_of_ms": as_of_ms,
        "kept": list(candidates),
        "factors": factors,
        "dropped": [],
    }


def rotation_factor(times_ms: Iterable[int], rotation: Rotation, as_of_ms: int) -> float:
    """Return a factor in (0, 1]: the product over the showings of ``1 - strength * 2 ** (-age / half_life)``.

    Each showing lowers the score by ``strength`` at first; after a half-life, half of that remains. An item that was never shown
    has 1. A stretch holds the last 16 showings of an item.
    """
    factor = 1.0
    for time_ms in times_ms:
        if time_ms <= as_of_ms:
            half_lives = min((as_of_ms - time_ms) / rotation.half_life_ms, 1_000.0)
            factor *= 1.0 - rotation.strength * 2.0**-half_lives
    return factor
