"""The peer on Redis answers what the events say, from commands and reads as Redis executes them."""

from collections import Counter
from decimal import Decimal
from typing import Any

import pytest

from benchmarks.peers.redis_page import page_answer
from benchmarks.peers.redis_profile import (
    DEFAULT_REASONS,
    THRESHOLD,
    WITHIN_MS,
    Command,
    RedisProfile,
    excluded,
    exclusions_answer,
    filter_answer,
)
from benchmarks.profiles import KINDS_OF_TRAFFIC, Profiles
from events import model
from tests.support.lookups import MINUTE, NOW

USER: dict[str, Any] = {"customer": "00000", "user": "u0"}


class Keys:
    """The keys of one user in Redis, as its commands leave them."""

    def __init__(self, profile: RedisProfile) -> None:
        self.scored: dict[str, int] = {}
        self.hashes: dict[str, dict[str, str]] = {letter: {} for letter in "hcvp"}
        self.lists: list[str] = []
        for command in profile.commands():
            self._run(command)

    def _run(self, command: Command) -> None:
        name, key, *rest = command
        letter, _, user = str(key).partition(":")
        assert user == "u0"
        if name == "ZADD":
            self.scored |= {
                str(member): int(score) for score, member in zip(rest[::2], rest[1::2], strict=True)
            }
        elif name == "HSET":
            self.hashes[letter] |= dict(zip(map(str, rest[::2]), map(str, rest[1::2]), strict=True))
        else:
            assert name == "LPUSH"
            self.lists = [bytes(one).decode() for one in reversed(rest)]

    def members(self, since_ms: int, as_of_ms: int) -> list[str]:
        """Return what ZRANGEBYSCORE returns: in the order of score, then of bytes."""
        found = [member for member, score in self.scored.items() if since_ms < score <= as_of_ms]
        return sorted(found, key=lambda member: (self.scored[member], member))


def profile_of(*events: model.EventBase) -> RedisProfile:
    profile = RedisProfile("u0")
    for event in events:
        profile.add(event)
    return profile


def excluded_of(*events: model.EventBase, as_of_ms: int = NOW) -> dict[str, list[Any]]:
    keys = Keys(profile_of(*events))
    members = keys.members(as_of_ms - WITHIN_MS, as_of_ms)
    return excluded(members, keys.hashes["h"], DEFAULT_REASONS, THRESHOLD, as_of_ms)


def event(kind: type[Any], minutes_ago: int, item: str = "7", **facts: Any) -> Any:
    time_ms = NOW - minutes_ago * MINUTE
    return kind(**USER, item=item, time_ms=time_ms, received_ms=time_ms, **facts)


def shown(minutes_ago: int, *items: str) -> model.Rendered:
    time_ms = NOW - minutes_ago * MINUTE
    return model.Rendered(**USER, items=items, time_ms=time_ms, received_ms=time_ms)


def by_definition(history: list[model.EventBase], as_of_ms: int) -> dict[str, tuple[list[str], int, int]]:
    """Return what docs/lookups.md excludes by default, from the events alone: item -> reasons, count, latest time."""
    reasons: dict[str, list[str]] = {}
    counts: dict[str, int] = {}
    latest: dict[str, int] = {}

    def exclude(reason: str, item: str, count: int, last_ms: int) -> None:
        reasons.setdefault(item, []).append(reason)
        counts.setdefault(item, count)
        latest[item] = max(latest.get(item, 0), last_ms)

    showings = [
        (item, each.time_ms)
        for each in history
        if isinstance(each, model.Rendered) and each.time_ms > as_of_ms - WITHIN_MS
        for item in each.items
    ]
    for item, count in Counter(item for item, _ in showings).items():
        if count >= THRESHOLD:
            exclude("rendered", item, count, max(time_ms for shown, time_ms in showings if shown == item))
    units: Counter[str] = Counter()
    for each in history:
        if isinstance(each, model.Buy | model.Owns):
            units[each.item] += int(each.quantity) if isinstance(each, model.Buy) else 0
    last = {each.item: each.time_ms for each in history if isinstance(each, model.Buy | model.Owns)}
    for item, last_ms in last.items():
        exclude("bought", item, units[item], last_ms)
    furthest = {
        each.item: (each.percentage, each.time_ms) for each in history if isinstance(each, model.Consume)
    }
    for item, (percentage, last_ms) in furthest.items():
        if percentage >= 90:
            exclude("consumed", item, 1, last_ms)
    inside: dict[str, int] = {}
    for each in history:
        if isinstance(each, model.Basket):
            inside[each.item] = each.time_ms
        elif isinstance(each, model.DeleteFromBasket | model.Buy):
            inside.pop(each.item, None)
    for item, last_ms in inside.items():
        exclude("basket", item, 1, last_ms)
    for item, last_ms in {
        each.item: each.time_ms for each in history if isinstance(each, model.Blacklist)
    }.items():
        exclude("blacklisted", item, 1, last_ms)
    return {f"1/{item}": (reasons[item], counts[item], latest[item]) for item in reasons}


@pytest.mark.parametrize("traffic", KINDS_OF_TRAFFIC)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_exclusions_are_those_of_the_definition(traffic: str, seed: int) -> None:
    found_any = 0
    for _, history in Profiles(40, 60, seed, NOW, 2 * WITHIN_MS, traffic).histories():
        found = excluded_of(*history)
        assert {key: tuple(entry) for key, entry in found.items()} == by_definition(history, NOW)
        found_any += len(found)
    assert found_any > 40


def test_each_reason_excludes() -> None:
    assert excluded_of(shown(5, "7"), shown(4, "7")) == {"1/7": [["rendered"], 2, NOW - 4 * MINUTE]}
    assert excluded_of(shown(31, "7"), shown(4, "7")) == {}
    assert excluded_of(event(model.Buy, 9, quantity=3)) == {"1/7": [["bought"], 3, NOW - 9 * MINUTE]}
    assert excluded_of(event(model.Consume, 9, percentage=90)) == {"1/7": [["consumed"], 1, NOW - 9 * MINUTE]}
    assert excluded_of(event(model.Consume, 9, percentage=89)) == {}
    assert excluded_of(event(model.Basket, 9)) == {"1/7": [["basket"], 1, NOW - 9 * MINUTE]}
    assert excluded_of(event(model.Basket, 9), event(model.DeleteFromBasket, 8)) == {}
    assert excluded_of(event(model.Basket, 9), event(model.Buy, 8))["1/7"][0] == ["bought"]
    assert excluded_of(event(model.Blacklist, 9)) == {"1/7": [["blacklisted"], 1, NOW - 9 * MINUTE]}


def test_reasons_come_in_the_order_of_the_page_and_the_latest_item_first() -> None:
    events = [event(model.Blacklist, 9), event(model.Basket, 8), shown(7, "7"), shown(6, "7")]
    found = excluded_of(*events, event(model.Buy, 2, "8"))
    answer = exclusions_answer(found, is_known=True, as_of_ms=NOW)
    assert [(each["item"], each["reasons"]) for each in answer["excluded"]] == [
        ("8", ["bought"]),
        ("7", ["rendered", "basket", "blacklisted"]),
    ]


def test_filter_keeps_the_order_and_its_limit_cuts_only_what_is_kept() -> None:
    found = excluded_of(event(model.Buy, 2))
    kept, dropped = filter_answer(found, ["3", "7", "1", "2"], 1, 2)
    assert kept == ["3", "1"]
    assert [each["item"] for each in dropped] == ["7"]


def test_page_has_every_table() -> None:
    served = model.RecommendedList(items=("1", "7"), scenario="home")
    lists = model.Recommended(**USER, request_id="r1", lists=(served,), time_ms=NOW, received_ms=NOW)
    seen = model.Viewed(**USER, items=("7", "9"), time_ms=NOW, received_ms=NOW)
    events = [shown(40, "7"), shown(5, "7"), seen, event(model.Click, 4), event(model.ClickRecommended, 3)]
    events += [event(model.Buy, 3, "8", price=Decimal("19.90"), currency="EUR")]
    events += [event(model.Rate, 2, rating=60), event(model.Consume, 1, percentage=40), lists]
    keys = Keys(profile_of(*events))
    page = page_answer(keys.members(0, NOW), *keys.hashes.values(), keys.lists, NOW)
    assert page["totals"] == {
        "rendered": 2,
        "viewed": 2,
        "clicks": 1,
        "clicks_on_recommendations": 1,
        "purchases": 1,
        "items": {"rendered": 2, "clicked": 1, "consumed": 1, "basket": 0, "purchases": 1, "preferences": 1},
    }
    assert page["session_start_ms"] == NOW - 5 * MINUTE
    assert page["purchases"][0]["revenue"] == {"EUR": "19.90"}
    assert page["rendered"][1]["times_ms"] == [NOW - 40 * MINUTE, NOW - 5 * MINUTE]
    assert b'"r1"' in bytes(page["recommended"][0])
