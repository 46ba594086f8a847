"""Reads create no topic on a broker that creates what it is asked for, and a table that is not compacted is refused."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource

from app.base.errors import NoBrokerError
from app.customers.customer_registry import create_customers_file
from app.journal.producer import Producer
from app.local.broker import LocalBroker
from app.local.child_process import spawn
from app.local.tcp_ports import free_port
from tests.conftest import BrokerFactory


class Commands:
    """Commands of ours against one broker. It stops everything it starts, by process id."""

    def __init__(self, broker: LocalBroker, directory: Path) -> None:
        self.broker, self._directory = broker, directory
        self._started: list[subprocess.Popen[bytes]] = []
        create_customers_file(directory / "uptake.toml", "00000")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("UPTAKE_")}
        self._env = {
            **inherited,
            "UPTAKE_KAFKA": broker.bootstrap,
            "UPTAKE_PARTITIONS": "2",
            "UPTAKE_CUSTOMERS_FILE": str(directory / "uptake.toml"),
            "UPTAKE_DATA_DIR": str(directory / "data"),
        }

    def run(self, *arguments: str, **env: str) -> tuple[int, str]:
        """Run a command to its end; return its status and all that it wrote."""
        done = subprocess.run(
            [sys.executable, "-m", "app", *arguments],
            env=self._env | env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout

    def start(self, *arguments: str) -> Path:
        """Start a command that does not end; return the file of its log."""
        path = self._directory / f"{arguments[0]}.log"
        with path.open("wb") as log:
            self._started.append(spawn([sys.executable, "-m", "app", *arguments], env=self._env, stdout=log))
        return path

    def topics(self) -> set[str]:
        """Return the topics on the broker."""
        admin = AdminClient({"bootstrap.servers": self.broker.bootstrap})
        return set(admin.list_topics(timeout=20).topics)

    def close(self) -> None:
        """Kill what still runs."""
        for process in self._started:
            process.kill()
            process.wait()


@pytest.fixture
def commands(broker_factory: BrokerFactory, tmp_path: Path) -> Iterator[Commands]:
    # both are the defaults of a broker
    properties = {"auto.create.topics.enable": "true", "group.min.session.timeout.ms": "6000"}
    commands = Commands(broker_factory(properties=properties), tmp_path)
    yield commands
    commands.close()


def _wait_for(path: Path, words: str) -> None:
    deadline = time.monotonic() + 30
    while words not in path.read_text():
        assert time.monotonic() < deadline, path.read_text()
        time.sleep(0.05)


def _problems(port: int) -> str:
    """Return what the collector's readiness page says; empty if it does not listen yet."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=5) as answer:
            return json.dumps(json.load(answer))
    except urllib.error.HTTPError as error:
        with error:
            return error.read().decode()
    except OSError:
        return ""


async def _connect_producer(bootstrap: str) -> None:
    async with Producer(bootstrap, []):
        pass


def test_no_read_creates_a_topic(commands: Commands) -> None:
    port = free_port()
    worker = commands.start("worker", "--port", str(free_port()))
    commands.start("collector", "--port", str(port))
    status, shown = commands.run("topics")
    assert (status, "missing" in shown) == (1, True), shown
    status, shown = commands.run("doctor")
    assert (status, "topics are missing" in shown) == (1, True), shown
    for dlq in (("list",), ("show",), ("show", "uptake.events/0/1"), ("replay", "--yes")):
        status, shown = commands.run("dlq", *dlq)
        assert (status, "is missing on" in shown) == (2, True), shown
    with pytest.raises(NoBrokerError, match="lacks the topic"):
        asyncio.run(_connect_producer(commands.broker.bootstrap))
    deadline = time.monotonic() + 30
    while "lacks the topics" not in _problems(port):
        assert time.monotonic() < deadline, _problems(port)
        time.sleep(0.05)
    _wait_for(worker, "topics are missing")
    assert commands.topics() == set()


def test_changelog_that_is_not_compacted_stops_a_worker_and_fails_the_doctor(commands: Commands) -> None:
    status, shown = commands.run("topics", "--create")
    assert status == 0, shown
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, shown = commands.run("worker", "--port", str(port))
    assert status == 2, shown
    assert f"port {port} on 127.0.0.1 is taken by another program, so the worker cannot listen there" in shown
    assert "Traceback" not in shown

    status, shown = commands.run(
        "worker", "--port", str(free_port()), UPTAKE_SESSION_TIMEOUT_MS="3000", UPTAKE_HEARTBEAT_MS="1000"
    )
    assert status == 2, shown
    assert "the broker does not allow a session timeout of 3000 ms: set UPTAKE_SESSION_TIMEOUT_MS" in shown

    topic = "uptake.rendered.changelog"
    policy = ConfigEntry("cleanup.policy", "delete", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=[policy])
    admin = AdminClient({"bootstrap.servers": commands.broker.bootstrap})
    (altering,) = admin.incremental_alter_configs([resource]).values()
    altering.result(20)
    status, shown = commands.run("worker")
    assert status == 2, shown
    assert f"topic {topic}: cleanup.policy is delete, expected compact; kafka-configs.sh" in shown
    assert "Traceback" not in shown
    status, shown = commands.run("doctor")
    assert status == 1, shown
    assert f"FAIL topics      {topic}: cleanup.policy is delete, expected compact" in shown
