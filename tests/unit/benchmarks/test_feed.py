"""The feed of `lookup` writes in order and at its rate, and says if the broker does not take its records."""

import time
from typing import Any

import pytest

from benchmarks import feed
from benchmarks.feed import Feed
from benchmarks.traffic import Record


class Broker:
    """A producer that keeps what it is given, and has ``left`` records that it could not send."""

    left = 0

    def __init__(self, _config: dict[str, Any]) -> None:
        self.written: list[tuple[float, int]] = []

    def produce(self, _topic: str, *, timestamp: int, **_rest: Any) -> None:
        self.written.append((time.monotonic(), timestamp))

    def poll(self, _seconds: float) -> None:
        pass

    def flush(self, _seconds: float) -> int:
        return self.left


@pytest.fixture(autouse=True)
def _broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "Producer", Broker)


def records(count: int) -> list[Record]:
    return [Record(0, b"key", b"value", number) for number in range(count)]


def test_all_records_are_written_in_order_and_none_before_it_is_due() -> None:
    started = time.monotonic()
    feeding = Feed("kafka", "topic", records(50), 500.0)
    feeding.start()
    feeding.join()
    feeding.finish()
    written = feeding._producer.written
    assert [number for _, number in written] == list(range(50))
    assert all(at - started >= number / 500.0 for at, number in written)
    assert feeding.count == 50


def test_feed_ends_early_and_knows_what_it_wrote() -> None:
    feeding = Feed("kafka", "topic", records(10_000), 100.0)
    feeding.start()
    feeding.finish()
    assert feeding.count == len(feeding._producer.written) < 10_000


def test_records_that_the_broker_does_not_take_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Broker, "left", 3)
    feeding = Feed("kafka", "topic", records(1), 1_000.0)
    feeding.start()
    with pytest.raises(RuntimeError, match="did not take"):
        feeding.finish()
