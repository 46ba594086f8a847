"""The highest percentage of an item is kept with its first and last time, in any order of events."""

from hypothesis import given
from hypothesis import strategies as st

from events.model import Consume
from tables.user.consumed import Consumed, ConsumedState, consume, merge
from tables.user.items import MAX_ITEMS
from tests.support.builders import NOW_MS, a_consume
from tests.support.laws import assert_merge_laws, stored

consumes = st.builds(
    lambda t, i, p: a_consume(time_ms=NOW_MS + t, item=i, percentage=p),
    st.integers(0, 20),
    st.sampled_from("123"),
    st.integers(0, 100),
)
streams = st.lists(consumes, min_size=1, max_size=30)
counts = st.integers(0, 1_000)
players = st.dictionaries(
    st.sampled_from(["1/1", "1/2", "1/3"]),
    st.builds(
        lambda p, a, b, *ms: (p, min(a, b), max(a, b), *ms), counts, counts, counts, counts, counts, counts
    ),
)


def folded(events: list[Consume]) -> ConsumedState:
    state: ConsumedState | None = None
    for event in events:
        state = consume(state, event)
    assert state is not None
    return state


def plain(events: list[Consume]) -> dict[str, Consumed]:
    by_item: dict[str, list[Consume]] = {}
    for event in events:
        by_item.setdefault(f"1/{event.item}", []).append(event)
    return {
        key: Consumed(max(e.percentage for e in es), min(e.time_ms for e in es), max(e.time_ms for e in es))
        for key, es in by_item.items()
    }


def test_rewatching_a_part_does_not_lower_the_percentage() -> None:
    state = folded([a_consume(percentage=90, time_ms=5), a_consume(percentage=10, time_ms=9)])
    assert state.items == {"1/1": Consumed(90, 5, 9)}


@given(streams, st.randoms())
def test_any_order_and_any_repetition_gives_the_highest(events, random) -> None:
    expected = plain(events)
    events = events + random.choices(events, k=5)
    random.shuffle(events)
    assert stored(folded(events)).items == expected


@given(st.tuples(streams, streams, streams))
def test_merge_is_as_if_one_user_had_consumed_all(parts) -> None:
    assert_merge_laws(folded, merge, lambda state: state.items, parts)
    a, b, _ = parts
    assert merge(folded(a), folded(b)).items == plain(a + b)


@given(st.tuples(players, players, players))
def test_merge_sums_what_was_played(parts) -> None:
    def built(part) -> ConsumedState:
        return ConsumedState({key: Consumed(*fields) for key, fields in part.items()})

    assert_merge_laws(built, merge, lambda state: state.items, parts)
    a, b, _ = parts
    played = sum(fields[3] for part in (a, b) for fields in part.values())
    assert sum(c.played_ms for c in merge(built(a), built(b)).items.values()) == played


def test_items_longest_untouched_go() -> None:
    state = folded([a_consume(item=str(n)) for n in range(MAX_ITEMS)])
    state = consume(state, a_consume(item="0", time_ms=1, percentage=1))
    state = consume(state, a_consume(item="new"))
    assert len(state.items) == MAX_ITEMS
    assert {"1/0", "1/new"} <= state.items.keys()
    assert "1/1" not in state.items
    assert len(merge(state, folded([a_consume(item="moved")])).items) == MAX_ITEMS
