"""Every line of the golden file, over a real collector: its answer and its records in Kafka are the documented ones."""

import gzip
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from events.partitions import partition_of
from tests.support.golden import CUSTOMERS_TOML, Line, lines, with_defaults
from tests.support.live_collector import Answer, LiveCollector, Record, live_collector

pytestmark = pytest.mark.broker

LINES = [line for line in lines() if line.only != "parser"]


@dataclass
class Sent:
    """A line that was sent: its answer, and when it was sent and answered. Times in ms since 1970."""

    line: Line
    began_ms: int
    answer: Answer
    ended_ms: int


@pytest.fixture(scope="module")
def collector(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveCollector]:
    with live_collector(kafka, tmp_path_factory.mktemp("golden"), CUSTOMERS_TOML) as started:
        yield started


@pytest.fixture(scope="module")
def sent(collector: LiveCollector) -> list[Sent]:
    """Send all lines, one after another."""
    return [send(collector, line) for line in LINES]


def send(collector: LiveCollector, line: Line) -> Sent:
    began_ms = now_ms()
    body = line.sent_body(began_ms)
    answer = collector.ask(
        f"{line.method} {line.target(began_ms)}",
        {"Accept": "application/problem+json", **line.headers},
        gzip.compress(body) if line.headers.get("Content-Encoding") == "gzip" else body,
        host=line.host,
    )
    return Sent(line, began_ms, answer, now_ms())


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def test_every_line_gets_its_answer(sent: list[Sent]) -> None:
    wrong = []
    for each in sent:
        line, answer = each.line, each.answer
        said, expected = [str(answer.status)], [str(line.status)]
        if answer.body and answer.headers.get("Content-Type") == "application/problem+json":
            said += [answer.problem["code"], answer.problem.get("parameter", "")]
            expected += [str(line.code), line.parameter or said[-1]]
        if said != expected:
            wrong.append(f"{line.where}\n  said {said}, expected {expected}: {answer.body[:200]!r}")
        if line.results is not None:
            told = [result.get("code", result["status"]) for result in json.loads(answer.body)["results"]]
            if told != list(line.results):
                wrong.append(f"{line.where}\n  said {told}, expected {line.results}")
        for name, value in line.answer.items():
            found = answer.body.decode() if name == "body" else answer.headers.get(name)
            if found != value:
                wrong.append(f"{line.where}\n  {name} is {found!r}, expected {value!r}")
    assert not wrong, "\n".join(wrong)


def test_the_topics_hold_what_the_lines_say_and_nothing_else(
    collector: LiveCollector, sent: list[Sent]
) -> None:
    # Robots are counted in records of their own, one a second (docs/decisions/0020).
    left = [record for record in collector.records() if record.value["type"] != "bots"]
    assert len(left) == sum(len(each.line.events) for each in sent)
    for each in sent:
        here = [record for record in left if each.began_ms <= record.value["received_ms"] <= each.ended_ms]
        for position in range(len(each.line.events)):
            match = next((record for record in here if is_expected(record, each, position)), None)
            assert match is not None, f"{each.line.where}\n  is not among {shown(here)}"
            here.remove(match)
            left.remove(match)
    assert left == []


def is_expected(record: Record, each: Sent, position: int) -> bool:
    """Return whether a record is the line's event, in the right topic and under its user's key."""
    received_ms = record.value["received_ms"]
    expected = each.line.expected(each.began_ms, received_ms)[position]
    customer, _, user = record.key.decode("ascii").partition("|")
    is_own_key = user == expected["user"] or (expected["user"] == "~" and user[1:].isdigit())
    return (
        (record.topic, customer) == (each.line.topic, expected["customer"])
        and is_own_key
        and with_defaults(record.value) == expected
    )


def shown(records: list[Record]) -> str:
    return "\n".join(
        f"{record.topic} at {record.timestamp_ms} {record.key.decode()} {json.dumps(record.value)}"
        for record in records
    )


def test_records_lie_where_their_key_says(collector: LiveCollector, sent: list[Sent]) -> None:
    records = collector.records()
    assert len({record.partition for record in records}) > 1
    assert not [
        record for record in records if partition_of(record.key, collector.partitions) != record.partition
    ]
