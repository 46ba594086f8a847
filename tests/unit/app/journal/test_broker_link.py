"""A collector without a reachable Kafka logs it once, refuses events before it takes any, and keeps running."""

import asyncio
import logging

import pytest

from app.base.settings import Settings
from app.journal import broker_link
from app.journal.kafka_sink import KafkaSink, expected_topics
from app.journal.sink import NotTakenError
from app.kafka.probe import any_answers
from events.model import Click
from events.topics import HISTORY, JOURNAL, META
from tables.declare import TOPICS

CLICK = Click(customer="c", user="k1.u", item="1", received_ms=1)
NOBODY = "127.0.0.1:9"  # the discard port, where no program listens


async def test_missing_broker_is_named_once_with_its_cure(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert not any_answers(NOBODY, timeout_s=1)
    monkeypatch.setattr(broker_link, "_FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(broker_link, "_LONGEST_PAUSE_SECONDS", 0.02)
    caplog.set_level(logging.INFO, "app.journal")
    sink = KafkaSink(NOBODY, {JOURNAL: 1, HISTORY: 1})
    with pytest.raises(NotTakenError, match="is starting"):
        await sink.send(JOURNAL, CLICK)
    await sink.start()
    for _ in range(200):
        await asyncio.sleep(0.01)
        if "does not answer" in sink.problems()[0]:
            break
    await asyncio.sleep(0.1)  # several more attempts
    with pytest.raises(NotTakenError, match="does not answer"):
        await sink.send(JOURNAL, CLICK)
    await sink.stop()
    said = [record.getMessage() for record in caplog.records if record.name == "app.journal.broker_link"]
    assert len(said) == 1
    assert NOBODY in said[0]
    assert "UPTAKE_KAFKA" in said[0]


def test_every_topic_is_expected_with_its_partitions() -> None:
    expected = expected_topics(Settings(partitions=5))
    assert set(expected) == {topic.name for topic in TOPICS}
    assert (expected[JOURNAL], expected[META]) == (5, 1)
