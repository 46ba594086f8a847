"""A log that is sealed into buckets counts as one that is not, whatever is shown, clicked and moved by logins."""

import random
from typing import Any

import pytest

from events.model import user_key
from tables.fold import fold_log
from tables.fold.fold_identity import fold_transfer
from tables.user import impression_buckets
from tables.user.impression_buckets import MAX_BUCKETS, facts_of
from tables.user.impressions import (
    KEEP_MS,
    MAX_IMPRESSIONS,
    MOST_IMPRESSIONS,
    ImpressionsState,
    RecommendedClick,
    append,
    impression_of,
)
from tests.support.builders import (
    CUSTOMER,
    DAY_MS,
    MINUTE_MS,
    NOW_MS,
    OTHER_USER,
    USER,
    a_buy,
    a_clickrecommended,
    a_login,
    a_recommended,
    a_rendered,
    a_viewed,
)
from tests.support.memory_store import Disk, MemoryStore
from tests.support.overlays import SpiedOverlay, drained_panes, fold_all, shown_items, tallied

KEY = user_key(CUSTOMER, USER)


class Player:
    """Folds a history in an overlay that is flushed and opened again now and then."""

    def __init__(self) -> None:
        self.disk = Disk()
        self.overlay = SpiedOverlay(MemoryStore(self.disk), scenario_keepers={CUSTOMER})
        self.panes: dict[Any, dict[str, Any]] = {}

    def flush(self) -> None:
        for place, counts in tallied(self.overlay).items():
            known = self.panes.setdefault(place, {})
            for counter, count in counts.items():
                if counter != "revenue":
                    known[counter] = known.get(counter, 0) + count
        store = self.overlay._store
        changes, _ = self.overlay.encode_changes()
        store.write(changes, {})
        store.close()
        self.overlay = SpiedOverlay(MemoryStore(self.disk), scenario_keepers={CUSTOMER})

    def play(self, history: list[Any], flushed_after: set[int]) -> dict[str, Any]:
        waiting: list[tuple[int, Any]] = []
        for number, event in enumerate([*history, *[None] * 8]):
            if event is not None:
                fold_all(self.overlay, event)
            while waiting and waiting[0][0] <= number:
                fold_transfer(self.overlay, waiting.pop(0)[1])
            waiting += [(number + 5, transfer) for transfer in self.overlay.sent]
            self.overlay.sent.clear()
            if number in flushed_after:
                self.flush()
        self.flush()
        shown = {
            (user, suffix, scenario): shown_items(self.overlay, user_key(CUSTOMER, user) + suffix, scenario)
            for user in "ab"
            for suffix in (b"", b"\0moved")
            for scenario in (None, "home", "other")
        }
        counted = {
            place: {name: n for name, n in counts.items() if n} for place, counts in self.panes.items()
        }
        return {"shown": shown, "counted": {place: counts for place, counts in counted.items() if counts}}


def a_history(chooser: random.Random, length: int) -> list[Any]:
    """Draw the past of two users, with less of it than a row of attribution keeps."""
    history: list[Any] = []
    for number in range(length):
        at_ms = NOW_MS + number * 20_000 - chooser.choice((0, 0, 0, 90_000))
        facts: dict[str, Any] = {
            "user": chooser.choice("aab"),
            "time_ms": at_ms,
            "received_ms": NOW_MS + number * 20_000,
        }
        items = tuple(chooser.choices("1234567", k=chooser.randint(1, 3)))
        scenario = chooser.choice(("home", "other", None))
        request = chooser.choice((None, f"r{number % 9}"))
        kind = chooser.random()
        if kind < 0.5:
            history.append(a_rendered(items=items, scenario=scenario, request_id=request, **facts))
        elif kind < 0.65:
            history.append(a_viewed(items=items, **facts))
        elif kind < 0.8:
            history.append(a_clickrecommended(item=items[0], scenario=scenario, request_id=request, **facts))
        elif kind < 0.88:
            history.append(a_buy(item=items[0], **facts))
        elif kind < 0.95:
            history.append(a_recommended(request_id=f"r{number % 9}", **facts))
        else:
            history.append(a_login(target=chooser.choice("ab"), **facts))
    return history


def sealed_after(monkeypatch: pytest.MonkeyPatch, entries: int, merged_after: int) -> None:
    monkeypatch.setattr(impression_buckets, "BUCKET_ENTRIES", entries)
    monkeypatch.setattr(fold_log, "MERGE_AFTER", merged_after)


@pytest.mark.parametrize("seed", range(40))
def test_sealed_log_counts_and_shows_what_an_open_one_does(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chooser = random.Random(seed)
    history = a_history(chooser, 90)
    flushed_after = set(chooser.sample(range(90), 12))
    sealed_after(monkeypatch, 1_000, 1_000)
    expected = Player().play(history, set())
    for entries, merged_after in ((1, 1), (2, 5), (3, 3), (4, 13)):
        sealed_after(monkeypatch, entries, merged_after)
        assert Player().play(history, flushed_after) == expected, (entries, merged_after)


def rows_of(overlay: SpiedOverlay, table: str) -> dict[bytes, Any]:
    return {key: overlay.tables[table].get(key) for key in overlay.keys_in_memory(table)}


def test_event_of_a_full_profile_writes_one_small_row() -> None:
    disk = Disk()
    overlay = SpiedOverlay(MemoryStore(disk))
    sizes = []
    for number in range(200):
        at = NOW_MS + number
        fold_all(overlay, a_rendered(items=(str(number), str(number + 1)), time_ms=at, received_ms=at))
        drained_panes(overlay, lambda _: None, NOW_MS)
        overlay.share.hold()
        changes, _ = overlay.encode_changes()
        overlay._store.write(changes, {})
        overlay.share.settle()
        written = [len(value) for rows in changes.values() for _, value in rows if value is not None]
        sizes.append(sum(written))
    assert sorted(sizes)[100] < 1_000, "most events write the row of the newest impressions only"
    assert sum(sizes) < 200 * 1_200
    assert len(disk.tables["impression_buckets"]) == len(facts_of(overlay.tables["impressions"].get(KEY)))
    kept = sum(each.impressions for each in facts_of(overlay.tables["impressions"].get(KEY)))
    assert MAX_IMPRESSIONS <= kept + 8 <= MOST_IMPRESSIONS
    assert len(shown_items(overlay, KEY)) == 201


def test_rows_that_folds_seldom_need_leave_memory_when_they_are_stored() -> None:
    overlay = SpiedOverlay()
    for number in range(100):
        fold_all(overlay, a_rendered(time_ms=NOW_MS + number))
    assert overlay.keys_in_memory("impression_buckets")
    assert overlay.keys_in_memory("rendered")
    overlay.share.hold()
    changes, _ = overlay.encode_changes()
    fold_all(overlay, *[a_rendered(time_ms=NOW_MS + number) for number in range(100, 117)])
    overlay._store.write(changes, {})
    overlay.share.settle()
    assert len(set(overlay.keys_in_memory("impression_buckets"))) == 1, "one was sealed since the flush"
    assert overlay.keys_in_memory("rendered") == []
    assert shown_items(overlay, KEY)["1/1"].total == 117


def test_group_of_a_clicked_impression_is_dropped_as_a_whole_and_its_showings_stay() -> None:
    overlay = SpiedOverlay()
    fold_all(
        overlay, a_rendered(items=("9",), time_ms=NOW_MS), a_clickrecommended(item="9", time_ms=NOW_MS + 1)
    )
    for number in range(2 * MOST_IMPRESSIONS):
        fold_all(overlay, a_rendered(items=(f"x{number}",), time_ms=NOW_MS + 2 + number))
    state = overlay.tables["impressions"].get(KEY)
    assert state.clicks == ()
    kept = sum(each.impressions for each in facts_of(state)) + state.kept
    assert MAX_IMPRESSIONS <= kept <= MOST_IMPRESSIONS
    assert shown_items(overlay, KEY)["1/9"].total == 1
    assert len(shown_items(overlay, KEY)) == 2 * MOST_IMPRESSIONS + 1


def test_old_buckets_go_and_their_showings_stay() -> None:
    overlay = SpiedOverlay()
    for number in range(20):
        fold_all(overlay, a_rendered(items=(str(number),), time_ms=NOW_MS, received_ms=NOW_MS))
    late = NOW_MS + KEEP_MS + 2 * MINUTE_MS
    for number in range(20, 40):
        fold_all(overlay, a_rendered(items=(str(number),), time_ms=late, received_ms=late))
    state: ImpressionsState = overlay.tables["impressions"].get(KEY)
    assert [each.minute for each in facts_of(state)] == [late // MINUTE_MS]
    assert len(shown_items(overlay, KEY)) == 40


def test_many_views_make_few_buckets_and_push_out_no_impression() -> None:
    overlay = SpiedOverlay()
    fold_all(overlay, *[a_rendered(items=(f"x{number}",), time_ms=NOW_MS) for number in range(50)])
    for number in range(2_000):
        fold_all(overlay, a_viewed(items=("1",), time_ms=NOW_MS + number))
        state: ImpressionsState = overlay.tables["impressions"].get(KEY)
        assert len(facts_of(state)) <= MAX_BUCKETS
    assert sum(each.impressions for each in facts_of(state)) + state.kept == 50
    shown = shown_items(overlay, KEY)
    assert (shown["1/1"].viewed, shown["1/1"].total, shown["1/x0"].total) == (2_000, 0, 1)
    fold_all(overlay, a_clickrecommended(item="x7", time_ms=NOW_MS + MINUTE_MS))
    (counts,) = (each for each in tallied(overlay).values() if "attributed_clicks" in each)
    assert counts["attributed_clicks"] == 1


def test_call_whose_impression_is_sealed_counts_no_second_time() -> None:
    overlay = SpiedOverlay()
    fold_all(overlay, a_rendered(request_id="first", time_ms=NOW_MS))
    for number in range(40):
        fold_all(overlay, a_rendered(request_id=f"r{number}", time_ms=NOW_MS))
    fold_all(
        overlay,
        a_rendered(request_id="first", time_ms=NOW_MS),
        a_recommended(request_id="first", time_ms=NOW_MS),
    )
    (counts,) = tallied(overlay).values()
    assert counts["calls"] == 41


def test_transfer_is_not_counted_as_shown_twice() -> None:
    """The showings come with the row of ``rendered``, and the impressions with the attribution."""
    overlay = SpiedOverlay()
    fold_all(overlay, *[a_rendered(items=("1",), time_ms=NOW_MS + number) for number in range(40)])
    fold_all(overlay, *[a_rendered(user=OTHER_USER, items=("1",), time_ms=NOW_MS + n) for n in range(20)])
    fold_all(overlay, a_login(time_ms=NOW_MS + DAY_MS, received_ms=NOW_MS + DAY_MS))
    for transfer in overlay.sent:
        fold_transfer(overlay, transfer)
    target = user_key(CUSTOMER, OTHER_USER)
    assert shown_items(overlay, target)["1/1"].total == 60
    fold_all(overlay, a_rendered(user=OTHER_USER, items=("1",), time_ms=NOW_MS + DAY_MS))
    assert shown_items(overlay, target)["1/1"].total == 61
    assert shown_items(overlay, KEY) == {}
    assert shown_items(overlay, KEY + b"\0moved")["1/1"].total == 40


def test_views_of_thousands_of_items_wait_in_no_bucket() -> None:
    overlay = SpiedOverlay()
    items = tuple(f"{number}{'x' * 20}" for number in range(5_000))
    fold_all(overlay, *[a_viewed(items=items, time_ms=NOW_MS + number) for number in range(20)])
    assert "impression_buckets" not in overlay.changed_tables()
    assert shown_items(overlay, KEY)["1/4999" + "x" * 20].viewed == 20


def test_impression_is_kept_with_its_click_of_the_former_format() -> None:
    overlay = SpiedOverlay()
    state = ImpressionsState()
    for number in range(20):
        append(state, impression_of(a_rendered(items=("9",), time_ms=NOW_MS + number)))
    state.appended = 0
    received_late = NOW_MS + KEEP_MS // 2
    state.former_clicks = (RecommendedClick(NOW_MS + 10 * MINUTE_MS, received_late, "1/9", NOW_MS, "home"),)
    overlay.tables["impressions"].put(KEY, state)
    late = NOW_MS + KEEP_MS + 2 * MINUTE_MS
    fold_all(overlay, *[a_viewed(time_ms=late, received_ms=late) for _ in range(40)])
    fold_all(overlay, a_rendered(items=("9",), time_ms=NOW_MS + 9 * MINUTE_MS, received_ms=late))
    changes = [counts.get("attributed_clicks", 0) for counts in tallied(overlay).values()]
    assert sorted(changes) == [-1, 0, 1], "the click now belongs to the later showing, and counts once"
