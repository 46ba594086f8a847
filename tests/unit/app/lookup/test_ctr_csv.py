"""CTR as CSV: readable by a program, and harmless in a spreadsheet."""

import csv
import io
import re
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.lookup.ctr_csv import csv_head, wants_csv, window_as_csv
from tables.ctr.panes import COUNTERS, Counts
from tables.ctr.window_sums import WindowSum

START = 1_574_553_600_000
DANGEROUS = "=+-@＝＋－＠"


def read(windows: list[WindowSum], by: frozenset[str] = frozenset(), stale_ms: int | None = None) -> Any:
    text = b"".join([csv_head(by), *(window_as_csv(window, by, stale_ms) for window in windows)]).decode()
    return list(csv.DictReader(io.StringIO(text, newline="")))


def window(scenario: str = "home", **given: Any) -> WindowSum:
    counts = Counts(
        rendered=10, attributed_clicks=3, revenue={"USD": Decimal("3.00"), "EUR": Decimal("12.45")}
    )
    place = {"variant": None, "row": None, "rank": None} | given
    return WindowSum(START, START + 3_600_000, scenario, **place, counts=counts, revision=2, is_final=True)


def test_a_line_has_what_a_window_has() -> None:
    [line] = read([window()])
    assert (line["start_utc"], line["end_utc"]) == ("2019-11-24T00:00:00Z", "2019-11-24T01:00:00Z")
    assert (line["start_ms"], line["scenario"], line["rendered"]) == (str(START), "home", "10")
    assert line["revenue"] == "12.45EUR 3.00USD"
    assert float(line["ctr_rendered"]) == 0.3
    assert float(line["ctr_rendered_low"]) < 0.3 < float(line["ctr_rendered_high"])
    assert (line["calls"], line["ctr_calls"], line["clicks_per_call"]) == ("0", "", "")
    assert (line["final"], line["revision"], line["stale_ms"]) == ("true", "2", "")
    assert set(COUNTERS) < set(line)


def test_places_are_columns_and_calls_have_no_position() -> None:
    [line] = read([window(variant="B", row=0, rank=7)], frozenset(("variant", "position")))
    assert (line["variant"], line["row"], line["rank"], line["calls"]) == ("B", "0", "7", "")
    assert "variant" not in read([window()])[0]


def test_each_line_carries_the_mark_of_an_answer_that_may_be_old() -> None:
    assert [line["stale_ms"] for line in read([window(), window()], stale_ms=8_000)] == ["8000", "8000"]


@pytest.mark.parametrize("start", DANGEROUS)
@pytest.mark.parametrize("before", ["", " ", "\t", "a;", "a\t", "a\n", "a; "])
def test_a_text_is_never_a_formula(start: str, before: str) -> None:
    raw = window_as_csv(window(f'{before}{start}HYPERLINK("x")'), frozenset(), None).decode()
    for separator in (",", ";", "\t"):  # a spreadsheet may take another one than ours
        for row in csv.reader(io.StringIO(raw, newline=""), delimiter=separator):
            assert not [cell for cell in row if cell.lstrip().startswith(tuple(DANGEROUS))]


@given(st.text(st.sampled_from("a'=+-@;,\"\t\r\n ＝é")))
def test_a_text_can_be_restored(text: str) -> None:
    [line] = read([window(text)])
    restored = re.sub(r"(^|(?<=[;\t\r\n]))'(?=[ \t]*'*[ \t]*['=+\-@＝＋－＠])", "", line["scenario"])
    assert restored == text


@pytest.mark.parametrize(
    ("accept", "is_csv"),
    [
        ("text/csv", True),
        ("Text/CSV;q=0.9, text/html", True),
        ("text/csv, */*;q=0.1", True),
        ("application/json, text/csv", False),
        ("text/csv;q=0, */*", False),
        ("text/csv; q=0.5, application/json;q=0.0", True),
        ("*/*", False),
        ("text/html,application/xhtml+xml", False),
        ("", False),
    ],
)
def test_csv_is_for_those_who_accept_it_and_not_json(accept: str, is_csv: bool) -> None:
    assert wants_csv(accept) == is_csv
