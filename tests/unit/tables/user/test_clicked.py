"""Clicks are counted exactly; the two events of one click on a recommendation count once."""

from hypothesis import given
from hypothesis import strategies as st

from events.model import Click, ClickRecommended
from tables.user.clicked import Clicked, ClickedState, click, merge
from tables.user.items import MAX_ITEMS
from tests.support.builders import NOW_MS, a_click, a_clickrecommended
from tests.support.laws import assert_merge_laws, stored

times = st.integers(0, 20).map(lambda step: NOW_MS + step)
an_item = st.sampled_from("123")
clicks = st.builds(
    lambda build, t, i: build(time_ms=t, item=i),
    st.sampled_from([a_click, a_clickrecommended]),
    times,
    an_item,
)
streams = st.lists(clicks, min_size=1, max_size=40)


def folded(events: list[Click | ClickRecommended]) -> ClickedState:
    state: ClickedState | None = None
    for event in events:
        state = click(state, event)
    assert state is not None
    return state


def counted(events: list[Click | ClickRecommended]) -> dict[str, Clicked]:
    by_item: dict[str, list[Click | ClickRecommended]] = {}
    for event in events:
        by_item.setdefault(f"1/{event.item}", []).append(event)
    return {
        key: Clicked(
            sum(isinstance(e, Click) for e in es),
            max(e.time_ms for e in es),
            sum(isinstance(e, ClickRecommended) for e in es),
            min(e.time_ms for e in es),
        )
        for key, es in by_item.items()
    }


def test_click_on_a_recommendation_counts_once() -> None:
    """Such a click fires two events."""
    state = folded([a_click(time_ms=5), a_clickrecommended(time_ms=6)])
    assert state.items == {"1/1": Clicked(count=1, last_ms=6, recommended=1, first_ms=5)}


@given(streams, st.randoms())
def test_any_order_gives_the_plain_count(events, random) -> None:
    expected = counted(events)
    random.shuffle(events)
    assert stored(folded(events)).items == expected


@given(st.tuples(streams, streams, streams))
def test_merge_counts_as_if_one_user_had_clicked_all(parts) -> None:
    assert_merge_laws(folded, merge, lambda state: state.items, parts)
    a, b, _ = parts
    assert merge(folded(a), folded(b)).items == counted(a + b)


def test_items_longest_untouched_go() -> None:
    state = folded([a_click(item=str(n)) for n in range(MAX_ITEMS)])
    state = click(state, a_click(item="0", time_ms=1))
    state = click(state, a_click(item="new"))
    assert len(state.items) == MAX_ITEMS
    assert {"1/0", "1/new"} <= state.items.keys()
    assert "1/1" not in state.items
    merged = merge(state, folded([a_click(item="moved")]))
    assert len(merged.items) == MAX_ITEMS
    assert "1/2" not in merged.items
