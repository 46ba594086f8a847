"""Calls that impressions reported are found with their places, in the former format too."""

import pytest

from tables.user.call_places import (
    MAX_CALLS,
    CallPlace,
    find_place,
    forget_places,
    named_places,
    report_call,
)
from tests.support.builders import NOW_MS


@pytest.mark.parametrize("place", [CallPlace(NOW_MS, "v"), CallPlace(NOW_MS, None), CallPlace(None, None)])
def test_call_is_kept_with_its_place(place: CallPlace) -> None:
    calls = bytearray()
    assert find_place(calls, "r") is None
    report_call(calls, "other", CallPlace(1, "w"))
    report_call(calls, "r", place)
    report_call(calls, "last", CallPlace(2, ""))
    assert [find_place(calls, name) for name in ("other", "r", "last")] == [
        CallPlace(1, "w"),
        place,
        CallPlace(2, ""),
    ]
    assert find_place(calls, "las") is None


def test_calls_stay_bounded_and_the_oldest_go() -> None:
    calls = bytearray()
    for number in range(MAX_CALLS + 1):
        report_call(calls, str(number), CallPlace(number, "v"))
    assert len(named_places(calls)) == MAX_CALLS
    assert find_place(calls, "0") is None
    assert find_place(calls, str(MAX_CALLS)) == CallPlace(MAX_CALLS, "v")


def test_call_whose_place_is_forgotten_stays_reported() -> None:
    calls = bytearray()
    report_call(calls, "r", CallPlace(NOW_MS, "v"))
    forget_places(calls)
    assert find_place(calls, "r") == CallPlace(None, None)


@pytest.mark.parametrize(
    ("stored", "place"),
    [
        (b"\xc1r\xff1700000000000;=v", CallPlace(1_700_000_000_000, "v")),
        (b"\xc1r\xff7;", CallPlace(7, None)),
        (b"\xc1r\xff", CallPlace(None, None)),
    ],
)
def test_place_of_the_former_format_is_read(stored: bytes, place: CallPlace) -> None:
    assert find_place(bytearray(stored), "r") == place
