"""The page of a user from its profile in Redis (redis_profile.py), in the form of docs/lookups.md. Pure: no I/O."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from benchmarks.peers.redis_profile import Fields
from tables.user.preferences import BLACKLISTED_FOR_MS

_TIMES: Final = 16
_SILENCE_MS: Final = 30 * 60_000
_FACETS: Final = (
    "rating",
    "rated_ms",
    "blacklisted_until_ms",
    "wished_ms",
    "unwished_ms",
    "unblacklisted_ms",
)

Entries = list[dict[str, Any]]


def page_answer(
    members: Iterable[str],
    facts: Fields,
    clicks: Fields,
    views: Fields,
    preferences: Fields,
    lists: Sequence[str],
    as_of_ms: int,
) -> dict[str, Any]:
    """Return everything known of a user. ``members`` are all showings up to ``as_of_ms``, in the order of time."""
    times: dict[str, list[int]] = {}
    for member in members:
        key, _, time = member.rpartition("@")
        times.setdefault(key, []).append(int(time))
    tables: dict[str, Entries] = {
        "rendered": _rendered(times, views),
        "clicked": _clicked(clicks),
        "consumed": [],
        "basket": [],
        "purchases": [],
        "preferences": _preferences(preferences, as_of_ms),
    }
    for field, value in facts.items():
        _add_fact(tables, field, value)
    for entries in tables.values():
        entries.sort(key=lambda entry: (-entry["last_ms"], entry["item"], entry["itemtype"]))
    return {
        "known": "." in facts,
        "as_of_ms": as_of_ms,
        "session_start_ms": _session_start_ms(tables["rendered"], as_of_ms),
        "totals": {
            "rendered": sum(entry["count"] for entry in tables["rendered"]),
            "viewed": sum(entry["viewed"] for entry in tables["rendered"]),
            "clicks": sum(entry["count"] for entry in tables["clicked"]),
            "clicks_on_recommendations": sum(entry["recommended"] for entry in tables["clicked"]),
            "purchases": sum(entry["orders"] for entry in tables["purchases"]),
            "items": {name: len(entries) for name, entries in tables.items()},
        },
        **tables,
        "recommended": [msgspec.Raw(one.encode()) for one in lists],
        "identity": None,
    }


def _begin(key: str) -> dict[str, Any]:
    itemtype, _, item = key.partition("/")
    return {"item": item, "itemtype": int(itemtype)}


def _rendered(times: dict[str, list[int]], views: Fields) -> Entries:
    entries = []
    for key, of_item in times.items():
        seen = views.get(key)
        entries.append(
            _begin(key)
            | {
                "count": len(of_item),
                "first_ms": of_item[0],
                "last_ms": of_item[-1],
                "times_ms": of_item[-_TIMES:],
                "viewed": 0 if seen is None else int(seen.partition(" ")[0]),
            }
        )
    for key, seen in views.items():
        if key not in times:
            count, last_ms = seen.split()
            entries.append(
                _begin(key)
                | {
                    "count": 0,
                    "first_ms": None,
                    "last_ms": int(last_ms),
                    "times_ms": [],
                    "viewed": int(count),
                }
            )
    return entries


def _clicked(clicks: Fields) -> Entries:
    entries = []
    for key, value in clicks.items():
        first_ms, last_ms, count, recommended = map(int, value.split())
        entries.append(
            _begin(key)
            | {"count": count, "recommended": recommended, "first_ms": first_ms, "last_ms": last_ms}
        )
    return entries


def _preferences(preferences: Fields, as_of_ms: int) -> Entries:
    entries = []
    for key, value in preferences.items():
        known = dict.fromkeys(_FACETS) | msgspec.json.decode(value)
        until_ms, wished_ms, unwished_ms = (
            known["blacklisted_until_ms"],
            known["wished_ms"],
            known["unwished_ms"],
        )
        times = (known["rated_ms"], wished_ms, unwished_ms)
        entries.append(
            _begin(key)
            | {
                "rating": known["rating"],
                "rated_ms": known["rated_ms"],
                "blacklisted": until_ms is not None and until_ms - BLACKLISTED_FOR_MS <= as_of_ms < until_ms,
                "blacklisted_until_ms": until_ms,
                "wished": wished_ms is not None and (unwished_ms is None or wished_ms > unwished_ms),
                "last_ms": max((time for time in times if time is not None), default=0),
                "rating_percent": None if known["rating"] is None else float(known["rating"]),
            }
        )
    return entries


def _add_fact(tables: dict[str, Entries], field: str, value: str) -> None:
    letter, entry = field[0], None if field == "." else _begin(field[1:])
    if entry is None or letter == "x":
        return
    if letter == "k":
        added, price, currency = value.split(" ")
        entry |= {"last_ms": int(added), "categorypath": None}
        tables["basket"].append(entry | {"price": price or None, "currency": currency or None})
        return
    first_ms, last_ms, *rest = map(int, value.split())
    if letter == "c":
        none_played = {"played_ms": 0, "buffered_ms": 0, "paused_ms": 0}
        entry |= {"percentage": rest[0], "first_ms": first_ms, "last_ms": last_ms}
        tables["consumed"].append(entry | none_played)
        return
    units, orders, is_owned, cents = rest
    revenue = {"EUR": f"{cents // 100}.{cents % 100:02d}"} if cents else {}
    entry |= {"quantity": units, "orders": orders, "revenue": revenue, "owned": bool(is_owned)}
    tables["purchases"].append(entry | {"first_ms": first_ms, "last_ms": last_ms})


def _session_start_ms(rendered: Entries, as_of_ms: int) -> int | None:
    start_ms, reached_ms = None, as_of_ms
    for time_ms in sorted((time for entry in rendered for time in entry["times_ms"]), reverse=True):
        if reached_ms - time_ms >= _SILENCE_MS:
            break
        start_ms = reached_ms = time_ms
    return start_ms
