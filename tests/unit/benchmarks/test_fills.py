"""Fills have so many events for each user, and no more in all than is allowed."""

import argparse

import pytest

from benchmarks.fills import fills_of, numbers


def test_users_are_fewer_where_events_would_be_too_many() -> None:
    fills = fills_of([25, 100, 400], users=20_000, most_events=2_000_000, partitions=8, seed=1)
    assert [(fill.name, fill.traffic.users, fill.traffic.events) for fill in fills] == [
        ("at_25", 20_000, 500_000),
        ("at_100", 20_000, 2_000_000),
        ("at_400", 5_000, 2_000_000),
    ]


def test_numbers_are_separated_by_commas() -> None:
    assert numbers("10,25,10,400") == (10, 25, 400)


@pytest.mark.parametrize("text", ["", "25,", "0", "-1", "a"])
def test_what_is_no_list_of_numbers_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="no list of numbers"):
        numbers(text)
