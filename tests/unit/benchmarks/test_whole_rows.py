"""The rows of the peers hold the showings and the last lists that a plain dictionary holds."""

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from benchmarks import ledger
from benchmarks.peers.whole_rows import (
    IMPRESSIONS,
    KEEP_MS,
    MAX_IMPRESSIONS,
    MAX_ITEMS,
    RENDERED,
    WholeLog,
    WholeShown,
    remember,
    show,
)
from events.model import Rendered
from tests.support.builders import NOW_MS, a_rendered

lists = st.lists(st.sampled_from("12345"), min_size=1, max_size=4).map(tuple)
showings = st.builds(lambda t, i: a_rendered(time_ms=NOW_MS + t, items=i), st.integers(0, 40), lists)


def shown(events: list[Rendered]) -> bytes:
    """Return the row after these events, encoded and decoded between them as a peer does."""
    row: WholeShown | None = None
    for event in events:
        row = RENDERED.decode(RENDERED.encode(show(row, event)))
    return RENDERED.encode(row)


def counted(row: bytes) -> dict[str, int]:
    """Return what the independent reader counts in a row."""
    counted = map(ledger._count, ledger.msgspec.msgpack.decode(row)[0].split(b"\xc1")[1:])
    return {key.partition("/")[2]: count for key, count in counted}


@given(st.lists(showings, min_size=1, max_size=80))
def test_showings_of_a_row_are_those_of_a_dictionary(events: list[Rendered]) -> None:
    expected: defaultdict[str, int] = defaultdict(int)
    touched: dict[str, None] = {}
    for event in events:
        for item in dict.fromkeys(event.items):
            expected[item] += 1
            touched.pop(item, None)
            touched[item] = None
    found = counted(shown(events))
    assert found == expected
    assert list(found) == list(touched)


def test_order_of_arrival_does_not_matter_for_the_counts_of_one_item() -> None:
    events = [a_rendered(time_ms=NOW_MS + at, items=("1",)) for at in range(40)]
    assert counted(shown(events)) == counted(shown(events[::-1])) == {"1": 40}


def test_items_that_were_touched_longest_ago_are_dropped() -> None:
    row: WholeShown | None = None
    for number in range(MAX_ITEMS + 3):
        row = show(row, a_rendered(items=(str(number),)))
    kept = counted(RENDERED.encode(row))
    assert len(kept) == MAX_ITEMS
    assert next(iter(kept)) == "3"


def test_log_keeps_the_last_impressions_in_order() -> None:
    row: WholeLog | None = None
    for number in range(MAX_IMPRESSIONS + 20):
        row = remember(
            IMPRESSIONS.decode(IMPRESSIONS.encode(row)) if row else None,
            a_rendered(time_ms=NOW_MS + number, received_ms=NOW_MS + number, items=(str(number), "x")),
        )
    assert row is not None
    assert logged(row) == [(NOW_MS + n, [str(n), "x"]) for n in range(20, MAX_IMPRESSIONS + 20)]
    assert row.kept == MAX_IMPRESSIONS


def test_log_drops_what_is_too_old() -> None:
    row = remember(None, a_rendered(time_ms=NOW_MS, received_ms=NOW_MS))
    row = remember(row, a_rendered(time_ms=NOW_MS + 1, received_ms=NOW_MS + KEEP_MS))
    assert row.kept == 2
    row = remember(row, a_rendered(time_ms=NOW_MS + 2, received_ms=NOW_MS + KEEP_MS + 1))
    assert [time_ms for time_ms, _ in logged(row)] == [NOW_MS + 1, NOW_MS + 2]


def logged(row: WholeLog) -> list[tuple[int, list[str]]]:
    """Return time and items of each impression, read without the module that wrote them."""
    log, at, found = bytes(row.log), 0, []
    while at < len(log):
        end = at + 12 + int.from_bytes(log[at : at + 4], "big")
        time_ms, _, items, *_ = ledger.msgspec.msgpack.decode(log[at + 12 : end])
        found.append((time_ms, items))
        at = end
    return found
