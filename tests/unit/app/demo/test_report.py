"""The report, for people and as JSON, says equal only if everything is equal, and names each difference."""

import io
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from app.demo.counts import DEMO_COUNTERS, Cell, CellCounts, CountDifference
from app.demo.file_counts import Question
from app.demo.lookups import Lookup
from app.demo.memory import peak_mb, resident_mb
from app.demo.report import show_result, show_what_to_try
from app.demo.result import DemoResult, Memory
from app.local.stack import Stack
from app.replay.lanes import ReplayTally

COUNTS: CellCounts = {
    Cell("bts/all", part, at, counter): number
    for part, at in (("total", ""), ("position", "1"))
    for counter, number in zip(DEMO_COUNTERS, (10_000, 42, 42), strict=True)
}
DIFFERENCE = CountDifference("HTTP", Cell("bts/all", "total", "", "clicks"), 43, 42)
QUESTION = Question("u1", 2, "PT30M", 1_575_158_387_000, frozenset(("18",)))
LOOKUP = Lookup(
    QUESTION, "http://127.0.0.1:2/v1/00000/users/u1/exclusions?a=1&b=2", {"excluded": [{"item": "18"}]}
)
RESULT = DemoResult(
    stack=Stack(
        "127.0.0.1:1",
        "http://127.0.0.1:3",
        ("http://127.0.0.1:2",),
        Path("customers.toml"),
        Path("data"),
    ),
    ready_seconds=9.876,
    tally=ReplayTally(accepted=60_287, seconds=40.0),
    drain_seconds=2.0,
    counts=COUNTS,
    expected=COUNTS,
    compared=len(COUNTS),
    differences=[],
    lookups=[LOOKUP],
    memory=[Memory("worker-0", 217.04, 200.0)],
    restarts={},
)


def shown(result: DemoResult) -> str:
    text = io.StringIO()
    show_result(Console(file=text, width=120), result)
    return text.getvalue()


def test_equal_result_shows_rates_beside_the_files_lookups_times_and_equal() -> None:
    text = shown(RESULT)
    assert "0.420%" in text
    assert "0.311% - 0.567%" in text, "the Wilson interval of 42 in 10,000"
    assert f"curl '{LOOKUP.url}'" in text
    assert "the files say the same" in text
    assert "ready after 9.9 s" in text
    assert "1,507/s" in text
    assert "worker-0 217 MB" in text
    assert text.splitlines()[-1].startswith("equal: 6 numbers")


def test_difference_is_shown_instead_of_equal() -> None:
    text = shown(replace(RESULT, differences=[DIFFERENCE]))
    assert str(DIFFERENCE) in text
    assert "equal" not in text


def test_wrong_lookup_is_shown_instead_of_equal() -> None:
    wrong = replace(LOOKUP, answer={"excluded": []})
    text = shown(replace(RESULT, lookups=[wrong]))
    assert text.splitlines()[-1] == f"{LOOKUP.url}: items none; but the files say 18"
    assert "equal" not in text


def test_many_differences_are_cut_for_people_and_whole_for_machines() -> None:
    result = replace(RESULT, differences=[DIFFERENCE] * 100)
    assert "and 60 more differences" in shown(result)
    assert len(result.as_dict()["differences"]) == 100


def test_events_that_were_not_accepted_are_told() -> None:
    assert "3 events were not accepted" in shown(
        replace(RESULT, tally=ReplayTally(accepted=1, failed=3, seconds=1))
    )


def test_json_is_whole() -> None:
    answer = msgspec.json.decode(msgspec.json.encode(RESULT.as_dict()))
    assert answer["equal"] is True
    assert answer["ready_seconds"] == 9.88
    assert answer["replay"]["events_per_second"] == 1507.2
    assert answer["workers"] == [{"name": "worker-0", "peak_mb": 217.0, "mb": 200.0}]
    assert answer["counts"] == {
        "bts/all": {"attributed_clicks": 42, "clicks": 42, "impressions": 10_000},
    }
    assert answer["differences"] == []
    assert answer["lookups"][0]["equal"] is True


@pytest.mark.parametrize("part", ["differences", "lookups"])
def test_json_is_not_equal_when_anything_differs(part: str) -> None:
    values = {"differences": [DIFFERENCE], "lookups": [replace(LOOKUP, answer={"excluded": []})]}
    answer = replace(RESULT, **{part: values[part]}).as_dict()
    assert answer["equal"] is False
    if part == "differences":
        assert answer["differences"] == [
            {
                "read": "HTTP",
                "group": "bts/all",
                "part": "total",
                "at": "",
                "counter": "clicks",
                "expected": 43,
                "found": 42,
            }
        ]


def test_what_to_try_names_the_running_addresses() -> None:
    text = io.StringIO()
    show_what_to_try(Console(file=text, width=40), RESULT, "00000", 1, 2)
    lines = text.getvalue().splitlines()
    assert "    curl 'http://127.0.0.1:2/v1/00000/users/u1?pretty=1'" in lines, "commands are not wrapped"
    assert any("http://127.0.0.1:3/api/00000/rendered" in line for line in lines)
    assert "Ctrl-C" in lines[-1]
    assert not any("dashboard" in line for line in lines), "this system has none"


def test_what_to_try_begins_with_the_dashboard() -> None:
    text = io.StringIO()
    result = replace(RESULT, stack=replace(RESULT.stack, dashboard="http://127.0.0.1:4"))
    show_what_to_try(Console(file=text, width=40), result, "00000", 1, 60_000)
    lines = text.getvalue().splitlines()
    assert lines[2:4] == [
        "  the dashboard, in a browser",
        "    http://127.0.0.1:4/#customer=00000&span=P1D&until=1970-01-01T00:01Z",
    ]


def test_memory_of_a_process_is_what_the_kernel_says() -> None:
    import os

    peak, now = peak_mb(os.getpid()), resident_mb(os.getpid())
    if peak is None or now is None:
        pytest.skip("this system has no /proc")
    assert 5 < now <= peak + 1 < 10_000


def test_memory_of_a_process_that_has_ended_is_not_known() -> None:
    assert peak_mb(2**22 + 1) is None
