"""Refused requests of several collectors as one page."""

from app.dashboard.refused_sums import sum_of_pages


def test_counts_are_added_and_the_last_requests_are_the_newest_of_all() -> None:
    one = {
        "since_ms": 20,
        "refused": {"bad_item": 2, "bad_user": 1},
        "recorded_without": {"price_unreadable": 1},
        "last": [{"time_ms": time_ms} for time_ms in range(100, 0, -1)],
    }
    other = {"since_ms": 10, "refused": {"bad_user": 5}, "last": [{"time_ms": 50}, {"time_ms": 101}]}
    page = sum_of_pages("00000", [one, other], asked=3)
    assert page["refused"] == {"bad_user": 6, "bad_item": 2}
    assert list(page["refused"]) == ["bad_user", "bad_item"], "the most frequent first"
    assert page["recorded_without"] == {"price_unreadable": 1}
    assert page["since_ms"] == 10
    assert [entry["time_ms"] for entry in page["last"]][:2] == [101, 100]
    assert len(page["last"]) == 100
    assert page["collectors"] == {"asked": 3, "answered": 2}
