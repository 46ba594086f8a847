"""No difference between numbers stays hidden: each cell of either side is compared."""

import json
from pathlib import Path

import pytest

from app.base.errors import UptakeError
from app.demo.counts import (
    DEMO_COUNTERS,
    Cell,
    CellCounts,
    CountDifference,
    add,
    compare,
    day_of,
    group_of,
    hour_of,
    position_of,
)
from app.demo.expectations import read_expectations
from app.demo.file_counts import files_of, read_file_counts

OBD = Path(__file__).resolve().parents[4] / "data" / "obd"
GROUP = {
    "impressions": 5,
    "clicks": 2,
    "ctr": 0.4,
    "by_position": {"1": [3, 1], "2": [2, 1]},
    "by_day_utc": {"2019-11-24": [5, 2]},
    "by_hour_utc": {"2019-11-24 00": [4, 2], "2019-11-24 05": [1, 0]},
}


def expected(folder: Path, text: str | None = None) -> CellCounts:
    (folder / "expected_counts.json").write_text(json.dumps({"bts/all": GROUP}) if text is None else text)
    return read_expectations(folder)


def test_every_number_of_the_expectations_is_a_cell(tmp_path: Path) -> None:
    counts = expected(tmp_path)
    assert len(counts) == 3 * (1 + 2 + 1 + 2)
    assert counts[Cell("bts/all", "total", "", "impressions")] == 5
    assert counts[Cell("bts/all", "position", "2", "clicks")] == 1
    assert counts[Cell("bts/all", "day", "2019-11-24", "attributed_clicks")] == 2
    assert counts[Cell("bts/all", "hour", "2019-11-24 05", "impressions")] == 1


def test_equal_counts_have_no_difference(tmp_path: Path) -> None:
    assert compare(expected(tmp_path), expected(tmp_path), "HTTP") == []


def test_each_single_number_that_is_altered_is_found(tmp_path: Path) -> None:
    counts = expected(tmp_path)
    for cell, number in counts.items():
        assert compare(counts, {**counts, cell: number + 1}, "HTTP") == [
            CountDifference("HTTP", cell, number, number + 1)
        ]


def test_window_that_is_missing_and_one_too_many_are_found(tmp_path: Path) -> None:
    counts = expected(tmp_path)
    missing = Cell("bts/all", "hour", "2019-11-24 05", "impressions")
    extra = Cell("bts/unknown", "total", "", "clicks")
    found = {cell: number for cell, number in counts.items() if cell != missing} | {extra: 7}
    assert compare(counts, found, "HTTP") == [
        CountDifference("HTTP", missing, 1, 0),
        CountDifference("HTTP", extra, 0, 7),
    ]


def test_absent_cell_is_zero_on_either_side(tmp_path: Path) -> None:
    counts = expected(tmp_path)
    zero = Cell("bts/all", "hour", "2019-11-24 13", "clicks")
    assert compare(counts, {**counts, zero: 0}, "HTTP") == []
    assert compare({**counts, zero: 0}, counts, "HTTP") == []


def test_difference_says_where_what_and_how_much() -> None:
    difference = CountDifference("HTTP", Cell("bts/all", "hour", "2019-11-24 05", "clicks"), 1000, 0)
    assert str(difference) == "HTTP: bts/all, hour 2019-11-24 05, clicks: expected 1,000, found 0"


@pytest.mark.parametrize(
    "text", ["", "[]", '{"bts/all": {}}', '{"bts/all": {"impressions": -1}}', '{"a": 1}', "\udcff"]
)
def test_malformed_expectations_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "expected_counts.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(UptakeError, match=r"expected_counts\.json"):
        read_expectations(tmp_path)


def test_missing_expectations_are_named(tmp_path: Path) -> None:
    with pytest.raises(UptakeError, match="--check needs"):
        read_expectations(tmp_path)


def test_numbers_of_one_place_add_up() -> None:
    counts: CellCounts = {}
    add(counts, "a/b", "day", "2019-11-24", dict.fromkeys(DEMO_COUNTERS, 2))
    add(counts, "a/b", "day", "2019-11-24", {"clicks": 1})
    assert counts[Cell("a/b", "day", "2019-11-24", "clicks")] == 3
    assert counts[Cell("a/b", "day", "2019-11-24", "impressions")] == 2


@pytest.mark.parametrize(
    ("row", "rank", "name"),
    [(0, 0, "1"), (0, 2, "3"), (1, 0, "row 1 rank 0"), (None, None, "row None rank None")],
)
def test_position_counts_from_one_and_other_places_keep_their_name(
    row: int | None, rank: int | None, name: str
) -> None:
    assert position_of(row, rank) == name


def test_hours_and_days_are_utc() -> None:
    assert hour_of(1574553617004) == "2019-11-24 00"
    assert day_of(1574553599999) == "2019-11-23"


def test_group_without_variant_is_not_one_with_an_empty_name() -> None:
    assert group_of(None, "all") == "-/all"


def test_shipped_files_hold_what_is_expected_of_them() -> None:
    """Our counts of the files equal numbers that were counted elsewhere."""
    facts = read_file_counts(files_of(OBD))
    assert compare(read_expectations(OBD), facts.counts, "files") == []
    assert facts.events == 60_287
    assert facts.unreadable == 0
