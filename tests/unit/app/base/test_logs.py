"""Log lines have one form, and the noise of libraries stays out of them."""

import io
import json
import logging

import pytest
import structlog

from app.base.errors import UptakeError
from app.base.logs import LibraryNoise, setup_logging
from app.base.settings import Settings


def a_record(name: str, message: str, level: int = logging.WARNING) -> logging.LogRecord:
    return logging.LogRecord(name, level, __file__, 1, message, (), None)


def test_json_has_one_object_a_line_for_stdlib_and_structlog() -> None:
    stream = io.StringIO()
    setup_logging(Settings(log_json=True), stream)
    logging.getLogger("app.x").warning("lag is %d", 7)
    structlog.get_logger("app.y").info("flushed", partition=3)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["message"] for line in lines] == ["lag is 7", "flushed"]
    assert [line["level"] for line in lines] == ["warning", "info"]
    assert lines[1]["partition"] == 3


def test_people_get_a_line_without_colours_when_it_is_no_terminal() -> None:
    stream = io.StringIO()
    setup_logging(Settings(), stream)
    logging.getLogger("app.x").warning("lag is %d", 7)
    (line,) = stream.getvalue().splitlines()
    assert "lag is 7" in line
    assert "\x1b" not in line


def test_exception_is_shown_with_its_traceback() -> None:
    stream = io.StringIO()
    setup_logging(Settings(), stream)
    try:
        raise ValueError("boom")
    except ValueError:
        logging.getLogger("app.x").exception("it failed")
    assert "ValueError: boom" in stream.getvalue()


def test_requests_with_raw_ids_are_logged_at_debug_only() -> None:
    for level, shown in (("info", False), ("warning", False), ("debug", True)):
        stream = io.StringIO()
        setup_logging(Settings(log_level=level), stream)
        logging.getLogger("aiohttp.access").info("GET /api/00000/click/max/1/2")
        assert ("max" in stream.getvalue()) is shown


def test_unknown_level_is_refused() -> None:
    with pytest.raises(UptakeError, match="'loud' is unknown; use debug, info, warning or error"):
        setup_logging(Settings(log_level="loud"))


def test_libraries_are_heard_from_warning_on() -> None:
    stream = io.StringIO()
    setup_logging(Settings(), stream)
    logging.getLogger("aiokafka.consumer").info("fetching")
    logging.getLogger("aiokafka.consumer").warning("slow")
    assert "fetching" not in stream.getvalue()
    assert "slow" in stream.getvalue()


def test_equal_lines_of_a_library_pass_once_in_ten_seconds_with_a_count() -> None:
    now = [0.0]
    noise = LibraryNoise(lambda: now[0])
    assert noise.filter(a_record("aiokafka.conn", "unable to connect"))
    assert not any(noise.filter(a_record("aiokafka.conn", "unable to connect")) for _ in range(5))
    assert noise.filter(a_record("aiokafka.conn", "another thing"))
    now[0] = 10.0
    again = a_record("aiokafka.conn", "unable to connect")
    assert noise.filter(again)
    assert again.getMessage() == "unable to connect (5 more like it)"


def test_lines_of_a_library_that_are_all_different_are_not_all_remembered() -> None:
    noise = LibraryNoise(lambda: 0.0)
    assert all(noise.filter(a_record("mode", f"task {number} crashed")) for number in range(5_000))
    assert len(noise._seen) <= 1_000
    assert not noise.filter(a_record("mode", "task 4999 crashed"))


def test_our_own_lines_always_pass() -> None:
    noise = LibraryNoise(lambda: 0.0)
    assert all(noise.filter(a_record("app.kafka.topics", "waiting")) for _ in range(3))


def test_what_aiokafka_retries_by_itself_is_shown_when_it_goes_on() -> None:
    now = [0.0]
    noise = LibraryNoise(lambda: now[0])
    message = "Group Coordinator Request failed: GroupCoordinatorNotAvailableError"
    for seconds, is_shown in ((0.0, False), (5.0, False), (10.0, True), (11.0, False)):
        now[0] = seconds
        assert (
            noise.filter(a_record("aiokafka.consumer.group_coordinator", message, logging.ERROR)) is is_shown
        )


def test_starts_and_stops_of_faust_services_are_not_shown_their_troubles_are() -> None:
    noise = LibraryNoise()
    assert not noise.filter(a_record("app.worker.wiring", "[^--Consumer]: Starting...", logging.INFO))
    assert noise.filter(a_record("app.worker.wiring", "[^--Consumer]: Crashed", logging.ERROR))
