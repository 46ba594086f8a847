"""Lost contact with Kafka is logged once, and so is its return."""

import logging

import pytest

from app.worker.contact import ContactRule
from app.worker.contact_log import ContactLog


async def test_loss_and_return_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    ages = iter([0, 6_000, 7_000, 8_000, 100, 200])
    watch = ContactLog(ContactRule.of(9_000, 300_000), lambda: next(ages), "kafka-1:9092")
    with caplog.at_level(logging.INFO):
        for _ in range(6):
            watch.check()
    assert [record.getMessage() for record in caplog.records] == [
        "Kafka has not answered this worker for 7 s: its lookups carry stale_ms until it does (kafka-1:9092)",
        "Kafka at kafka-1:9092 answers again after 8 s",
    ]
