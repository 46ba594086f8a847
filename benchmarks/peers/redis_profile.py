"""A user's profile as a good engineer would keep it in Redis, and the answers that are computed from it. Pure: no I/O.

Showings are members of a sorted set by time, so a lookup reads only those of its span. Everything else that may exclude an item is one
hash, so an exclusion needs two reads in one round trip. What only the user's page needs has keys of its own.

| key | type | content |
|---|---|---|
| ``s:{user}`` | sorted set | ``{item key}@{ms}``, scored by ms: a showing |
| ``h:{user}`` | hash | ``.``: the user is known; a letter and an item key: bought, consumed, in the basket, blacklisted |
| ``c:{user}``, ``v:{user}``, ``p:{user}`` | hash | item key: clicks, views, preferences |
| ``r:{user}`` | list | served lists as JSON, the latest first |
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from events import model
from tables.user.preferences import BLACKLISTED_FOR_MS

DEFAULT_REASONS: Final = ("rendered", "bought", "consumed", "basket", "blacklisted")
THRESHOLD: Final = 2
WITHIN_MS: Final = 30 * 60_000
CONSUMED_AT_LEAST: Final = 90
_LETTERS: Final = {"b": "bought", "c": "consumed", "k": "basket", "x": "blacklisted"}
_LISTS: Final = 50

Command = tuple[str | int | bytes, ...]
Fields = Mapping[str, str]


class RedisProfile:
    """Folds the events of one user in the order of their times; ``commands`` writes the result into Redis."""

    def __init__(self, user: str) -> None:
        self.user = user
        self.showings: dict[str, int] = {}
        self.facts: dict[str, str] = {}
        self.clicks: dict[str, str] = {}
        self.views: dict[str, str] = {}
        self.preferences: dict[str, str] = {}
        self.lists: list[bytes] = []

    def add(self, event: Any) -> None:
        """Fold an event."""
        self.facts["."] = "1"
        _FOLDS[type(event)](self, event)

    def shown(self, event: model.Rendered) -> None:
        for item in event.items:
            self.showings[f"{event.itemtype}/{item}@{event.time_ms}"] = event.time_ms

    def viewed(self, event: model.Viewed) -> None:
        for item in dict.fromkeys(event.items):
            key = f"{event.itemtype}/{item}"
            count = int(self.views[key].split()[0]) if key in self.views else 0
            self.views[key] = f"{count + 1} {event.time_ms}"

    def served(self, event: model.Recommended) -> None:
        for one in event.lists:
            self.lists.append(
                msgspec.json.encode(
                    {
                        "time_ms": event.time_ms,
                        "request_id": event.request_id,
                        "scenario": one.scenario,
                        "variant": one.variant or event.variant,
                        "row": event.row if one.row is None else one.row,
                        "itemtype": one.itemtype,
                        "items": one.items,
                    }
                )
            )
        del self.lists[:-_LISTS]

    def clicked(self, event: model.Click | model.ClickRecommended) -> None:
        key = _key(event)
        first_ms, _, count, recommended = _numbers(self.clicks.get(key), (event.time_ms, 0, 0, 0))
        is_recommended = type(event) is model.ClickRecommended
        self.clicks[key] = (
            f"{first_ms} {event.time_ms} {count + (not is_recommended)} {recommended + is_recommended}"
        )

    def consumed(self, event: model.Consume) -> None:
        key = f"c{_key(event)}"
        first_ms, _, percentage = _numbers(self.facts.get(key), (event.time_ms, 0, 0))
        self.facts[key] = f"{first_ms} {event.time_ms} {max(percentage, event.percentage)}"

    def put_in(self, event: model.Basket) -> None:
        self.facts[f"k{_key(event)}"] = f"{event.time_ms} {event.price or ''} {event.currency or ''}"

    def taken_out(self, event: model.ItemEvent) -> None:
        self.facts.pop(f"k{_key(event)}", None)

    def bought(self, event: model.Buy) -> None:
        cents = 0 if event.price is None else int(event.price * event.quantity * 100)
        self._own(event, int(event.quantity), 1, 0, cents)
        self.taken_out(event)

    def owned(self, event: model.Owns) -> None:
        self._own(event, 0, 0, 1, 0)

    def _own(self, event: model.ItemEvent, units: int, orders: int, is_owned: int, cents: int) -> None:
        key = f"b{_key(event)}"
        first_ms, *_, had, ordered, owned, earned = _numbers(
            self.facts.get(key), (event.time_ms, 0, 0, 0, 0, 0)
        )
        rest = f"{had + units} {ordered + orders} {owned | is_owned} {earned + cents}"
        self.facts[key] = f"{first_ms} {event.time_ms} {rest}"

    def rated(self, event: model.Rate) -> None:
        self._prefer(event, rating=event.rating, rated_ms=event.time_ms)

    def blacklisted(self, event: model.Blacklist) -> None:
        self.facts[f"x{_key(event)}"] = str(event.time_ms)
        self._prefer(event, blacklisted_until_ms=event.time_ms + BLACKLISTED_FOR_MS)

    def wished(self, event: model.Wishlist) -> None:
        self._prefer(event, wished_ms=event.time_ms)

    def unwished(self, event: model.DeleteFromWishlist) -> None:
        self._prefer(event, unwished_ms=event.time_ms)

    def _prefer(self, event: model.ItemEvent, **changes: int) -> None:
        key = _key(event)
        known = msgspec.json.decode(self.preferences.get(key, "{}"))
        self.preferences[key] = msgspec.json.encode(known | changes).decode()

    def commands(self) -> list[Command]:
        """Return the commands that write the profile."""
        found: list[Command] = []
        if self.showings:
            scored = [part for member, time_ms in self.showings.items() for part in (time_ms, member)]
            found.append(("ZADD", f"s:{self.user}", *scored))
        for letter, fields in zip(
            "hcvp", (self.facts, self.clicks, self.views, self.preferences), strict=True
        ):
            if fields:
                flat = [part for pair in fields.items() for part in pair]
                found.append(("HSET", f"{letter}:{self.user}", *flat))
        if self.lists:
            found.append(("LPUSH", f"r:{self.user}", *self.lists))
        return found


_FOLDS: Final[Mapping[type, Any]] = {
    model.Rendered: RedisProfile.shown,
    model.Viewed: RedisProfile.viewed,
    model.Recommended: RedisProfile.served,
    model.Click: RedisProfile.clicked,
    model.ClickRecommended: RedisProfile.clicked,
    model.Consume: RedisProfile.consumed,
    model.Basket: RedisProfile.put_in,
    model.DeleteFromBasket: RedisProfile.taken_out,
    model.Buy: RedisProfile.bought,
    model.Owns: RedisProfile.owned,
    model.Rate: RedisProfile.rated,
    model.Blacklist: RedisProfile.blacklisted,
    model.Wishlist: RedisProfile.wished,
    model.DeleteFromWishlist: RedisProfile.unwished,
}


def _key(event: Any) -> str:
    return f"{event.itemtype}/{event.item}"


def _numbers(text: str | None, missing: tuple[int, ...]) -> Sequence[int]:
    return missing if text is None else [int(part) for part in text.split()]


# --- answers --------------------------------------------------------------------------------------------------------------------------


def excluded(
    members: Iterable[str], facts: Fields, reasons: Sequence[str], threshold: int, as_of_ms: int
) -> dict[str, list[Any]]:
    """Return item key -> reasons, count of the first reason and latest time. ``members`` are the showings of the span."""
    found: dict[str, list[Any]] = {}
    if "rendered" in reasons:
        counts: dict[str, int] = {}
        last: dict[str, str] = {}
        for member in members:  # in the order of time
            key, _, time = member.rpartition("@")
            counts[key] = counts.get(key, 0) + 1
            last[key] = time
        found = {
            key: [["rendered"], count, int(last[key])] for key, count in counts.items() if count >= threshold
        }
    others = [
        (letter, field[1:], value)
        for field, value in facts.items()
        if (letter := field[0]) != "." and _LETTERS[letter] in reasons
    ]
    if len(others) > 1:
        others.sort()  # the letters are in the order of the reasons
    for letter, key, value in others:
        weight = _weigh(letter, value, as_of_ms)
        if weight is None:
            continue
        count, last_ms = weight
        entry = found.get(key)
        if entry is None:
            found[key] = [[_LETTERS[letter]], count, last_ms]
        else:
            entry[0].append(_LETTERS[letter])
            entry[2] = max(entry[2], last_ms)
    return found


def _weigh(letter: str, value: str, as_of_ms: int) -> tuple[int, int] | None:
    """Return count and latest time of what excludes an item, or None if it does not."""
    parts = value.split(" ")
    first_ms = int(parts[0])
    if first_ms > as_of_ms:
        return None
    if letter == "k":
        return 1, first_ms
    if letter == "x":
        return (1, first_ms) if as_of_ms < first_ms + BLACKLISTED_FOR_MS else None
    last_ms = int(parts[1])
    last_ms = last_ms if last_ms <= as_of_ms else first_ms
    if letter == "c":
        return (1, last_ms) if int(parts[2]) >= CONSUMED_AT_LEAST else None
    return int(parts[2]), last_ms


def exclusions_answer(found: Mapping[str, list[Any]], *, is_known: bool, as_of_ms: int) -> dict[str, Any]:
    """Return the answer to an exclusion lookup, the latest item first."""
    entries = []
    for key, (reasons, count, last_ms) in found.items():
        itemtype, _, item = key.partition("/")
        entries.append(
            {"item": item, "itemtype": int(itemtype), "reasons": reasons, "count": count, "last_ms": last_ms}
        )
    if len(entries) > 1:
        entries.sort(key=lambda entry: (-entry["last_ms"], entry["item"], entry["itemtype"]))
    return {"known": is_known, "as_of_ms": as_of_ms, "excluded": entries}


def filter_answer(
    found: Mapping[str, list[Any]], candidates: Sequence[str], itemtype: int, limit: int | None
) -> tuple[list[str], list[dict[str, Any]]]:
    """Return the candidates that are left, and why the others are dropped."""
    kept: list[str] = []
    dropped: list[dict[str, Any]] = []
    prefix = f"{itemtype}/"
    for item in candidates:
        entry = found.get(prefix + item)
        if entry is None:
            kept.append(item)
        else:
            dropped.append({"item": item, "reasons": entry[0], "count": entry[1], "last_ms": entry[2]})
    return kept[:limit], dropped
