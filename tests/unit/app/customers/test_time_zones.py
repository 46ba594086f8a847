"""Names of time zones: those of the IANA list are found, and nothing else is opened."""

from datetime import UTC
from zoneinfo import ZoneInfo

import pytest

from app.customers.time_zones import find_time_zone


def test_zones_are_found_by_name_and_say_it() -> None:
    assert find_time_zone("UTC") is UTC
    assert find_time_zone("Europe/Berlin") == ZoneInfo("Europe/Berlin")
    for name in ("UTC", "Europe/Berlin", "Pacific/Apia"):
        assert str(find_time_zone(name)) == name


@pytest.mark.parametrize(
    "name",
    ["", "Europe", "Mars/Olympus", "../../etc/passwd", "/etc/passwd", "Europe/Berlin/", "x" * 10_000, "a\0b"],
)
def test_other_names_are_no_zone(name: str) -> None:
    assert find_time_zone(name) is None
