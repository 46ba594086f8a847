"""A recommendation call counts once as long as impressions that reported it are kept, wherever its name is."""

from events.model import user_key
from tables.user.call_places import CallPlace, report_call
from tables.user.elements import call_name
from tables.user.impressions import ImpressionsState, append, calls_of, impression_of
from tests.support.builders import CUSTOMER, DAY_MS, NOW_MS, USER, a_clickrecommended, a_login, a_rendered
from tests.support.overlays import SpiedOverlay, fold_all, tallied

KEY = user_key(CUSTOMER, USER)


def reported_twice(overlay: SpiedOverlay, requests: list[str]) -> int:
    """Return how many of some calls, which counted before, count again when they are reported again."""
    tallied(overlay)
    fold_all(overlay, *[a_rendered(request_id=each, time_ms=NOW_MS + DAY_MS) for each in requests])
    return sum(counts.get("calls", 0) for counts in tallied(overlay).values())


def test_calls_of_kept_impressions_outlive_buckets_that_are_written_again() -> None:
    overlay = SpiedOverlay()
    fold_all(overlay, a_rendered(items=("9",)), a_clickrecommended(item="9"))
    for number in range(130):  # the clicked impression goes, so all buckets are written anew; then one goes
        fold_all(overlay, a_rendered(request_id=f"r{number}", time_ms=NOW_MS + number))
    assert reported_twice(overlay, [f"r{number}" for number in range(60, 130)]) == 0


def test_calls_of_a_former_row_outlive_its_first_bucket() -> None:
    overlay = SpiedOverlay()
    state = ImpressionsState()
    for number in range(100):
        append(state, impression_of(a_rendered(request_id=f"r{number}")))
        report_call(calls_of(state), call_name(f"r{number}", "home"), CallPlace(NOW_MS, None))
    state.appended = 0
    overlay.tables["impressions"].put(KEY, state)
    fold_all(overlay, *[a_rendered(time_ms=NOW_MS + number) for number in range(40)])
    assert reported_twice(overlay, [f"r{number}" for number in range(40, 100)]) == 0


def test_many_calls_outlive_a_login() -> None:
    overlay = SpiedOverlay()
    requests = [f"{number:080}" for number in range(60)]
    fold_all(overlay, *[a_rendered(request_id=each) for each in requests], a_login())
    fold_all(overlay, *[a_rendered(time_ms=NOW_MS + number) for number in range(20)])
    assert reported_twice(overlay, requests) == 0


def test_call_that_is_reported_again_and_again_counts_once() -> None:
    """A page may report each item of an endless list when it comes into view."""
    overlay = SpiedOverlay()
    for number in range(300):
        fold_all(overlay, a_rendered(items=(str(number),), request_id="list", time_ms=NOW_MS + number))
    (counts,) = tallied(overlay).values()
    assert counts["calls"] == 1
