"""Fixtures for every test: a broker (`kafka`, `own_broker`, `broker_factory`) and unique names (`unique`)."""

import logging
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog

from app.base.errors import NoBrokerError
from app.kafka.probe import any_answers
from app.local.broker import LocalBroker

BrokerFactory = Callable[..., LocalBroker]


LONGEST_FIRST = ("e2e", "faults", "integration", "contract")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if {"kafka", "own_broker", "broker_factory"} & set(getattr(item, "fixturenames", ())):
            item.add_marker("broker")
    # With two test processes, a long test at the end would leave one process idle: long tests run first.

    items.sort(key=lambda item: _room(item.path))


def _room(path: Path) -> int:
    """Return the rank of a test's folder: folders that wait longest for real processes come first."""
    room = path.relative_to(Path(__file__).parent).parts[0]
    return LONGEST_FIRST.index(room) if room in LONGEST_FIRST else len(LONGEST_FIRST)


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """Undo what a command in this process did to logging: its handler would write to a stream that is closed."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    names = ("aiokafka", "faust", "mode", "kafka", "aiohttp.access", "asyncio")
    levels = {name: logging.getLogger(name).level for name in names}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)
    logging.captureWarnings(False)
    structlog.reset_defaults()


def no_broker(reason: str) -> None:
    """End the test: as failed in CI, where a skip would prove nothing; as skipped on a laptop."""
    if os.environ.get("CI"):
        pytest.fail(f"no Kafka for the tests: {reason}", pytrace=False)
    pytest.skip(f"no Kafka on this machine, so what needs one was not tested: {reason.splitlines()[0]}")


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """``host:port`` of one Kafka for the whole session; tests use topic and group names of their own (``unique``)."""
    given = os.environ.get("UPTAKE_KAFKA")
    if given:
        if not any_answers(given, timeout_s=5):
            no_broker(f"UPTAKE_KAFKA={given} does not answer")
        yield given
        return
    broker = LocalBroker(tmp_path_factory.mktemp("kafka"))
    try:
        broker.start()
    except NoBrokerError as error:
        no_broker(str(error))
    yield broker.bootstrap
    broker.destroy()


@pytest.fixture
def broker_factory(tmp_path: Path) -> Iterator[BrokerFactory]:
    """Return ``make(name="own", **options) -> LocalBroker``: a started broker that the test may kill or freeze."""
    made: list[LocalBroker] = []

    def make(name: str = "own", **options: object) -> LocalBroker:
        broker = LocalBroker(tmp_path / f"kafka-{name}", **options)  # type: ignore[arg-type]
        made.append(broker)
        try:
            broker.start()
        except NoBrokerError as error:
            no_broker(str(error))
        return broker

    yield make
    for broker in made:
        broker.destroy()


@pytest.fixture
def own_broker(broker_factory: BrokerFactory) -> LocalBroker:
    """A Kafka of the test's own, which it may kill or freeze."""
    return broker_factory()


@pytest.fixture
def unique() -> Callable[[str], str]:
    """Return ``name(prefix) -> prefix-<random>``: fresh topic and group names for each call."""

    def name(prefix: str = "t") -> str:
        return f"{prefix}-{uuid.uuid4().hex[:12]}"

    return name
