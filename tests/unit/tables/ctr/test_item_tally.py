"""Lists, items and users become additions: once each, by the hour of the event, without what a customer switched off."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.model import NO_PROFILE_USER
from tables.ctr import additions
from tables.ctr.additions import Addition, Additions, Seen
from tables.ctr.item_columns import ItemColumns
from tables.ctr.item_counts import ItemCounts
from tables.ctr.item_tally import ItemTally
from tables.ctr.item_windows import ItemWindow, add_to_windows
from tables.ctr.panes import Tally
from tables.ctr.partials import MAX_PARTIALS_BYTES
from tables.ctr.unique_users import add_marks, estimate, union
from tables.ctr.user_windows import OTHER_VARIANT, UserWindow, add_users
from tables.user.elements import Place

HOUR_MS = 3_600_000
T = 472_222 * HOUR_MS
USER = "k1.abcdefghijklmnopqrstuvwxyz"


def name_of(_customer: str, scenario: str | None) -> str:
    return scenario or "unknown"


class Counting:
    """A tally of items with the tally of panes that its places go to."""

    def __init__(self, **switched_off: set[str]) -> None:
        self.panes = Tally(switched_off)
        self.items = ItemTally(self.panes, switched_off)

    def show(self, *items: str, at: int = T, user: str = USER, **fields: Any) -> None:
        place = {"counter": "rendered", "customer": "c", "scenario": "s", "variant": None}
        place |= {"row": None, "rank": None, "itemtype": 1}
        self.items.count_list(**{**place, **fields}, time_ms=at, items=items, user=user)

    def drain(self) -> dict[tuple[str, int], Addition]:
        drained = self.items.drain(name_of)
        return {
            (scenario, start): each
            for (_, scenario), hours in drained.items()
            for start, each in hours.items()
        }


def test_lists_of_an_hour_add_up_whatever_their_variant_and_place() -> None:
    tally = Counting()
    tally.show("1", "2")
    tally.show("2", "2", variant="a", rank=3, at=T + HOUR_MS - 1)
    tally.show("2", at=T + HOUR_MS)
    found = tally.drain()
    assert found["s", T].items.counts == {"rendered/1": {"1": 1, "2": 3}}
    assert found["s", T + HOUR_MS].items.counts == {"rendered/1": {"2": 1}}
    assert {name: seen.users for name, seen in found["s", T].seen.items()} == {
        "": {USER[-12:]},
        "a": {USER[-12:]},
    }
    assert found["", T].seen == {"": Seen({USER[-12:]})}
    assert tally.drain() == {}


def test_places_of_lists_reach_the_panes_in_the_order_of_the_log() -> None:
    tally = Counting()
    tally.show("1", "2", scenario="first")
    tally.panes.count("clicks", "c", "second", None, T)
    tally.show("1", scenario="first")
    named: list[str | None] = []

    def note(customer: str, scenario: str | None) -> str:
        named.append(scenario)
        return name_of(customer, scenario)

    tally.items.count_places()
    panes = tally.panes.drain(lambda _: None, T, note)
    assert list(dict.fromkeys(named)) == ["first", "second"]
    assert sum(pane.counts.rendered for key, pane in panes.items() if key.dimension == "scenario") == 3


@given(st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=900), max_size=8))
def test_long_lists_are_counted_in_between_and_lose_nothing(lists: list[list[str]]) -> None:
    tally = Counting()
    for items in lists:
        tally.show(*items)
    found = tally.drain()
    total = sum(found["s", T].items.counts["rendered/1"].values()) if lists else 0
    assert total == sum(map(len, lists))


@pytest.mark.parametrize("off", [{"item"}, {"image"}, {"users"}, {"item", "image", "users"}])
def test_what_a_customer_switched_off_is_left_out(off: set[str]) -> None:
    tally = Counting(c=off)
    tally.show("1")
    tally.items.count_images("rendered", "c", "s", T, 1, ["1"], "p.jpg")
    tally.items.click("c", "s", None, T, USER)
    found = tally.drain()
    addition = found.get(("s", T), Addition(T))
    assert bool(len(addition.items)) is ("item" not in off)
    assert bool(len(addition.images)) is not bool(off & {"item", "image"})
    assert bool(addition.seen) is ("users" not in off)


def test_nobody_is_no_user() -> None:
    tally = Counting()
    tally.show("1", user=NO_PROFILE_USER)
    assert tally.drain()["s", T].seen == {}


def test_what_was_taken_back_leaves_nothing() -> None:
    tally = Counting()
    place = Place(T, "s", item="1/7", image="p.jpg")
    for times in (1, -1):
        tally.items.count_place("purchases", "c", place, times)
        tally.items.add_revenue("c", place, "EUR", Decimal("9.90") * times)
    assert tally.drain() == {}


def test_long_image_is_cut_and_stays_distinct() -> None:
    tally = Counting()
    for end in "ab":
        tally.items.count_images("rendered", "c", "s", T, 1, ["1"], "x" * 2_000 + end)
    (column,) = tally.drain()["s", T].images.counts.values()
    assert len(column) == 2
    assert all(len(name) <= 202 for name in column)


def columns(**counts: dict[str, int]) -> ItemColumns:
    return ItemColumns({f"{counter}/1": items for counter, items in counts.items()})


def test_records_come_back_and_large_ones_are_split() -> None:
    many = {f"{number:0250d}": 1 for number in range(6_000)}
    addition = Addition(T, columns(rendered=many), seen={"a": Seen({f"{n:012d}" for n in range(9)})})
    published = list(additions.records({("c", "s"): {T: addition}}, 3, T + 5))
    assert len(published) > 1
    total, users = ItemColumns(), set[str]()
    for key, value in published:
        assert key == b"c\x1fs"
        assert len(value) <= MAX_PARTIALS_BYTES
        assert additions.is_addition(value)
        record = additions.decode(value)
        assert (record.customer, record.scenario, record.partition) == ("c", "s", 3)
        for hour in record.hours:
            assert (hour.start_ms, hour.received_ms) == (T, T + 5)
            total.add(hour.items)
            users |= {mark for seen in hour.seen.values() for mark in seen.users}
    assert total.counts == {"rendered/1": many}
    assert len(users) == 9


def encoded(version: int = 2, **fields: Any) -> bytes:
    hour = Addition(**{"start_ms": T, **fields})
    return msgspec.msgpack.encode(Additions(version, "c", "s", 0, [hour]))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x93",
        b"\xff",
        b"\x91" * 5_000,
        encoded(version=3),
        encoded(start_ms=T + 1),
        encoded(start_ms=-HOUR_MS),
        encoded(items=columns(calls={"1": 1})),
        encoded(items=columns(rendered={"1": 2**60})),
        encoded(items=columns(rendered={"1" * 700: 1})),
        encoded(items=ItemColumns(revenue={"1/1": {"EUR": Decimal("1E+30")}})),
        encoded(items=ItemColumns(revenue={"1/1": {"EUR": Decimal("NaN")}})),
        encoded(seen={"a": Seen({"m" * 13})}),
    ],
)
def test_record_that_would_spoil_rows_is_refused(raw: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        additions.decode(raw)


def test_items_of_a_full_day_still_count_and_new_ones_count_together() -> None:
    hour, day = ItemWindow(), ItemWindow()
    add_to_windows(hour, day, columns(rendered={"1": 1}, clicks={"2": 1}), T, limit=2)
    later = ItemWindow()
    more = columns(rendered={"1": 1, "2": 1, "3": 5}, clicks={"3": 1, "4": 1})
    more.earn("1/3", "EUR", Decimal(3))
    add_to_windows(later, day, more, T, limit=2)
    assert dict(day.items.by_item()) == {"1/1": ItemCounts(2), "1/2": ItemCounts(1, clicks=1)}
    assert dict(later.items.by_item()) == {"1/1": ItemCounts(1), "1/2": ItemCounts(1)}
    assert later.rest == day.rest == ItemCounts(5, clicks=2, revenue={"EUR": Decimal(3)})
    assert hour.rest is None


def test_users_are_exact_while_few_and_within_bounds_when_many() -> None:
    sketch = b""
    for start in range(0, 20_000, 1_000):
        sketch = add_marks(sketch, (f"{number:012d}" for number in range(start, start + 1_500)))
    found = estimate(sketch)
    assert found.low <= 20_500 <= found.high
    assert 0.94 < found.value / 20_500 < 1.06
    assert len(sketch) < 2_200
    few = union([add_marks(b"", ["a", "b"]), b"", add_marks(b"", ["b", "c"])])
    assert (estimate(few).value, estimate(few).low, estimate(few).high) == (3, 3, 3)
    assert estimate(b"").value == 0


def test_variants_beyond_the_bound_share_a_sketch() -> None:
    window = UserWindow()
    for number in range(105):
        add_users(window, {f"v{number}": Seen({f"{number:012d}"})}, T)
    assert len(window.variants) == 101
    assert estimate(window.variants[OTHER_VARIANT].users).value == 5
