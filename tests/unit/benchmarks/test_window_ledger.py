"""The independent reader knows the records of both contestants: minutes of scenarios, and nothing else."""

import struct

import pytest

from benchmarks.window_ledger import Window, total, window_of_ours, window_of_quix
from events.model import ClickRecommended, Rendered
from tables.ctr.panes import Counts
from tables.ctr.window_keys import DIMENSIONS, SCENARIO, WindowKey
from tables.ctr.windows import GRANULARITY_MS, WindowState, encode_record

MINUTE = 1_700_000_040_000
WINDOW: Window = (b"00000|home|1700000040000", {"shown": 8, "clicked": 3})


@pytest.mark.parametrize("dimension", DIMENSIONS)
@pytest.mark.parametrize("granularity", GRANULARITY_MS)
def test_only_minutes_of_whole_scenarios_are_read_of_ours(dimension: str, granularity: str) -> None:
    key = WindowKey("00000", "home", dimension, granularity, MINUTE)
    value = encode_record(key, WindowState(Counts(rendered=8, clicks=3, attributed_clicks=2)))
    expected = WINDOW if (dimension, granularity) == (SCENARIO, "minute") else None
    assert window_of_ours(key.encode(), value, ()) == expected


def test_a_deleted_window_counts_nothing() -> None:
    key = WindowKey("00000", "home", SCENARIO, "minute", MINUTE).encode()
    assert window_of_ours(key, None, ()) == (WINDOW[0], {"shown": 0, "clicked": 0})


@pytest.mark.parametrize("name", [b"00000|home", b'"00000|home"'])
def test_the_changelog_of_quix_streams_is_read(name: bytes) -> None:
    key = name + b"|" + struct.pack(">q", MINUTE) + b"|" + struct.pack(">q", MINUTE + 60_000)
    value = b'{"shown/Sum/shown":8,"clicked/Sum/clicked":3}'
    assert window_of_quix(key, value, [("__column_family__", b"default")]) == WINDOW
    assert window_of_quix(key, value, [("__column_family__", b"__latest-expired-window__")]) is None
    assert window_of_quix(key, None, []) == (WINDOW[0], {"shown": 0, "clicked": 0})


def test_the_total_is_over_all_windows_and_counts() -> None:
    assert total({b"a": {"shown": 4, "clicked": 1}, b"b": {"shown": 0, "clicked": 2}}) == 7


def test_the_journal_has_the_fields_that_are_counted() -> None:
    """The ledger reads them from the JSON by name, because it shares no code with the application."""
    assert {"customer", "scenario", "time_ms", "items"} <= set(Rendered.__struct_fields__)
    assert {"customer", "scenario", "time_ms"} <= set(ClickRecommended.__struct_fields__)
