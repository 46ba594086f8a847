"""Plain counts of small files equal those of a human reader."""

from pathlib import Path

import pytest

from app.base.errors import UptakeError
from app.demo.counts import Cell
from app.demo.file_counts import FileCounts, files_of, questions, read_file_counts

HEADER = "timestamp_ms,user,item_id,position,click"
END_MS = 1_575_158_387_000


def facts_of(folder: Path, *rows: str, name: str = "bts_all.csv") -> FileCounts:
    (folder / name).write_text("\n".join([HEADER, *rows]) + "\n")
    return read_file_counts(files_of(folder))


def test_rows_and_clicks_are_counted_in_every_part(tmp_path: Path) -> None:
    facts = facts_of(tmp_path, f"{END_MS + 999},u,7,2,1", f"{END_MS - 3_600_000},u,8,2,0", "bad")
    assert facts.counts[Cell("bts/all", "total", "", "impressions")] == 2
    assert facts.counts[Cell("bts/all", "position", "2", "attributed_clicks")] == 1
    assert facts.counts[Cell("bts/all", "hour", "2019-11-30 23", "clicks")] == 1
    assert facts.counts[Cell("bts/all", "hour", "2019-11-30 22", "impressions")] == 1
    assert (facts.events, facts.unreadable) == (4, 1)
    assert facts.last_ms == END_MS, "an overridetimestamp has whole seconds"


def test_span_is_whole_utc_days(tmp_path: Path) -> None:
    facts = facts_of(tmp_path, f"{END_MS},u,7,2,1", f"{END_MS - 86_400_000},u,8,2,0")
    assert (facts.from_ms, facts.to_ms) == (1_574_985_600_000, 1_575_158_400_000)


def test_questions_are_those_of_the_busiest_visitors_with_an_answer_in_the_shortest_span(
    tmp_path: Path,
) -> None:
    def shown(user: str, item: str, *minutes_before: float) -> list[str]:
        return [f"{END_MS - int(m * 60_000)},{user},{item},1,0" for m in minutes_before]

    rows = [
        *shown("busy", "1", 0, 20),
        *shown("busy", "2", 1, 31),
        *shown("busy", "3", *range(100, 140)),
        *shown("calm", "4", 5, 6),
        *shown("idle", "5", 7),
        *shown("early", "6", *range(200, 250)),
    ]
    asked = questions(facts_of(tmp_path, *sorted(rows)))
    assert [(q.user, q.within, q.items) for q in asked] == [
        ("busy", "PT30M", {"1"}),
        ("calm", "PT30M", {"4"}),
    ]
    assert all(q.as_of_ms == END_MS for q in asked)


def test_span_grows_until_enough_visitors_have_an_answer(tmp_path: Path) -> None:
    rows = [f"{END_MS - m * 60_000},{user},1,1,0" for user in ("a", "b") for m in (0, 100)]
    assert {(q.user, q.within) for q in questions(facts_of(tmp_path, *rows))} == {
        ("a", "PT6H"),
        ("b", "PT6H"),
    }


def test_showing_at_the_very_start_of_the_span_does_not_count(tmp_path: Path) -> None:
    rows = [f"{END_MS - m * 60_000},u,1,1,0" for m in (0, 30)]
    assert [q.within for q in questions(facts_of(tmp_path, *rows))] == ["PT6H"]


def test_directory_without_files_and_files_without_events_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UptakeError, match="there is no"):
        files_of(tmp_path)
    with pytest.raises(UptakeError, match="no event"):
        facts_of(tmp_path)
