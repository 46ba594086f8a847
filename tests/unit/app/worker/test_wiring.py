"""A worker uses nothing of Faust that loses or doubles events; the tests inspect its parts and its code."""

import asyncio
import logging
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from app.base.errors import EXIT_FORESEEN, UptakeError
from app.base.settings import Settings
from app.customers.customer_registry import create_customers_file
from app.worker.wiring import Ending, Worker

ROOT = Path(__file__).parents[4]
LOSING = r"\bstream\.(take|noack_take|group_by|repartition)\b|\.(tumbling|hopping|group_by)\(|\bapp\.(Table|GlobalTable)\("
"""Each of these acks unhandled records, republishes without a transaction, or drops windows by wall clock."""


@pytest.fixture
def worker(tmp_path: Path) -> Worker:
    customers = tmp_path / "uptake.toml"
    create_customers_file(customers, "00000")
    return Worker(Settings(customers_file=customers, data_dir=tmp_path / "data"))


def test_worker_has_no_faust_tables_no_threaded_producer_and_one_actor_an_agent(worker: Worker) -> None:
    assert dict(worker.app.tables) == {}
    assert worker.app.conf.producer_threaded is False
    # Exactness comes from our own transactions, not from Faust.
    assert worker.app.conf.processing_guarantee.value == "at_least_once"
    assert {agent.concurrency for agent in worker.app.agents.values()} == {1}


def test_worker_says_the_size_of_its_cache_and_gives_all_of_it_to_its_partitions(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    customers = tmp_path / "uptake.toml"
    create_customers_file(customers, "00000")
    worker = Worker(
        Settings(customers_file=customers, data_dir=tmp_path / "data", cache_bytes=64 * 1_048_576)
    )
    assert "rows in memory may take 64 MiB: UPTAKE_CACHE_BYTES" in caplog.messages
    assert worker.restorer.limits.budget.max_memory == 64 * 1_048_576


@pytest.mark.parametrize(
    ("host", "advertise", "url"),
    [
        ("::1", None, "http://[::1]:6067"),
        ("worker-0", None, "http://worker-0:6067"),
        ("0.0.0.0", "http://worker-0:6067", "http://worker-0:6067"),
    ],
)
def test_worker_has_an_address_for_the_others(
    tmp_path: Path, host: str, advertise: str | None, url: str
) -> None:
    customers = tmp_path / "uptake.toml"
    create_customers_file(customers, "00000")
    worker = Worker(
        Settings(customers_file=customers, data_dir=tmp_path / "data", host=host, advertise=advertise)
    )
    assert str(worker.app.conf.canonical_url) == url


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_worker_on_all_addresses_needs_one_for_the_others(tmp_path: Path, host: str) -> None:
    with pytest.raises(UptakeError, match=r"--advertise http://host:6067 \(UPTAKE_ADVERTISE\)"):
        Worker(Settings(data_dir=tmp_path, host=host))


def test_no_agent_takes_batches_repartitions_or_has_windows() -> None:
    for path in (ROOT / "agents").rglob("*.py"):
        assert re.search(LOSING, path.read_text(encoding="utf-8")) is None, path


def test_consumer_works_for_the_partitions_of_the_worker(worker: Worker) -> None:
    transport = worker.app.transport
    assert (transport.ownership, transport.on_failed) == (worker.partitions, worker.ending.fail)


@pytest.mark.parametrize(
    ("first", "second", "status"),
    [
        (UptakeError("foreseen"), RuntimeError("a consequence"), EXIT_FORESEEN),
        (RuntimeError("a fault of ours"), UptakeError("a consequence"), 1),
    ],
)
async def test_first_error_ends_the_worker_once_and_decides_the_status(
    first: Exception, second: Exception, status: int
) -> None:
    crashed: list[BaseException] = []

    async def crash(error: BaseException) -> None:
        crashed.append(error)

    ending = Ending()
    ending.app = SimpleNamespace(loop=asyncio.get_running_loop(), crash=crash)
    assert ending.status == 0
    ending.fail(first)
    ending.fail(second)
    await asyncio.sleep(0)
    assert (crashed, ending.status) == ([first], status)
