"""The real system for fault tests: a Kafka of its own, workers as child processes that may be killed, and lookups over HTTP."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from app.base.errors import NoBrokerError
from app.base.settings import Settings
from app.customers.customer import Customer
from app.customers.customer_registry import create_customers_file
from app.kafka.topics import ensure_topics
from app.local.broker import LocalBroker
from app.local.child_process import spawn
from app.local.tcp_ports import free_port
from tests.conftest import no_broker

CUSTOMER = "00000"
SESSION_MS = 1_500


class Cluster:
    """A broker and its workers. It stops everything it starts, by process id.

    ``program`` is the module that runs as the worker; ``env`` adds settings to those of all fault tests.
    """

    def __init__(
        self,
        broker: LocalBroker,
        directory: Path,
        *,
        partitions: int = 4,
        program: str = "app",
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.broker, self.directory, self.partitions = broker, directory, partitions
        self.program, self._env = program, dict(env or {})
        directory.mkdir(parents=True, exist_ok=True)
        self.customers_file = directory / "uptake.toml"
        self.customer: Customer = create_customers_file(self.customers_file, CUSTOMER)
        asyncio.run(ensure_topics(Settings(kafka=broker.bootstrap, partitions=partitions)))
        self.workers: dict[str, subprocess.Popen[bytes]] = {}
        self.ports: dict[str, int] = {}
        self.on_close: list[Callable[[], None]] = []
        """Called when the cluster is closed, to end threads that a failed test leaves behind."""

    @property
    def session_seconds(self) -> float:
        """The session timeout of all workers."""
        return int(self._env.get("UPTAKE_SESSION_TIMEOUT_MS", SESSION_MS)) / 1000

    def start_worker(self, name: str = "w0", **env: str) -> None:
        """Start a worker with its own directory and port; after a kill it gets the same ones."""
        port = self.ports.setdefault(name, free_port("127.0.0.1"))
        log = (self.directory / f"{name}.log").open("ab")
        self.workers[name] = spawn(
            [
                sys.executable,
                "-m",
                self.program,
                "worker",
                "--port",
                str(port),
                "--data-dir",
                str(self.data_dir(name)),
            ],
            env={
                **os.environ,
                "UPTAKE_KAFKA": self.broker.bootstrap,
                "UPTAKE_PARTITIONS": str(self.partitions),
                "UPTAKE_CUSTOMERS_FILE": str(self.customers_file),
                "UPTAKE_SESSION_TIMEOUT_MS": str(SESSION_MS),
                "UPTAKE_HEARTBEAT_MS": "300",
                "UPTAKE_FLUSH_INTERVAL_MS": "200",
                **self._env,
                **env,
            },
            cwd=Path.cwd(),
            stdout=log,
        )
        log.close()

    def data_dir(self, name: str) -> Path:
        """Return the directory of a worker's state."""
        return self.directory / name

    def log(self, name: str) -> str:
        """Return what a worker has logged, over all its runs."""
        return (self.directory / f"{name}.log").read_text(errors="replace")

    def kill(self, name: str) -> None:
        """Kill a worker with -9."""
        self.workers[name].kill()
        self.workers[name].wait()

    def stop(self, name: str, timeout_seconds: float = 20) -> int:
        """Stop a worker with SIGTERM; return its exit status."""
        self.workers[name].terminate()
        return self.workers[name].wait(timeout_seconds)

    def freeze(self, name: str) -> None:
        """Freeze a worker with SIGSTOP: its connections stay open, and it answers nothing."""
        os.kill(self.workers[name].pid, signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        """Let a frozen worker continue (SIGCONT)."""
        os.kill(self.workers[name].pid, signal.SIGCONT)

    def wipe(self, name: str) -> None:
        """Delete the state of a worker that is not running, as if its disk were lost."""
        shutil.rmtree(self.data_dir(name) / "state")

    def close(self) -> None:
        """Kill the workers that still run."""
        for call in self.on_close:
            call()
        for worker in self.workers.values():
            if worker.poll() is None:
                worker.kill()
                worker.wait()

    def get(self, path: str, name: str = "w0", timeout_seconds: float = 5) -> tuple[int, Any]:
        """Return status and body of a lookup; status 0 if the worker does not listen or does not answer."""
        try:
            url = f"http://127.0.0.1:{self.ports[name]}{path}"
            with urllib.request.urlopen(url, timeout=timeout_seconds) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())
        except (OSError, HTTPException):
            return 0, None

    def partitions_of(self, name: str) -> dict[str, Any]:
        """Return the open partitions of a worker from its status page; empty if it does not answer."""
        status, body = self.get("/v1/status", name)
        if status != 200:
            return {}
        return {number: each for number, each in body["partitions"].items() if each["ready"]}

    def move_group(self, topic: str, offset: int) -> None:
        """Set the consumer group's offsets of a topic, as an operator can while no worker runs. -1: to the end."""
        admin = AdminClient({"bootstrap.servers": self.broker.bootstrap, "log_level": 0})
        places = [TopicPartition(topic, number, offset) for number in range(self.partitions)]
        if offset < 0:
            ends = admin.list_offsets({place: OffsetSpec.latest() for place in places})
            places = [
                TopicPartition(topic, place.partition, end.result(20).offset) for place, end in ends.items()
            ]
        deadline = time.monotonic() + 20
        while True:
            (altering,) = admin.alter_consumer_group_offsets(
                [ConsumerGroupTopicPartitions("uptake", places)]
            ).values()
            with suppress(KafkaException):
                if all(place.error is None for place in altering.result(20).topic_partitions):
                    return
            assert time.monotonic() < deadline, "the group keeps the member that was killed"
            time.sleep(0.2)

    def wait_until(self, holds: Callable[[], Any], what: str, timeout_seconds: float = 60) -> float:
        """Wait until ``holds()`` is true; return the seconds it took."""
        started = time.monotonic()
        while not holds():
            if time.monotonic() - started > timeout_seconds:
                logs = "\n".join(f"{name}: {self.log(name)[-3000:]}" for name in self.workers)
                raise AssertionError(f"not within {timeout_seconds} s: {what}\n{logs}")
            time.sleep(0.05)
        return time.monotonic() - started

    def wait_ready(self, name: str = "w0", timeout_seconds: float = 40) -> float:
        """Wait until every partition of a worker is open; return the seconds it took."""
        started = time.monotonic()
        while time.monotonic() - started < timeout_seconds:
            if self.get("/health/ready", name)[0] == 200:
                return time.monotonic() - started
            if self.workers[name].poll() is not None:
                break
            time.sleep(0.05)
        raise AssertionError(f"{name} is not ready; its log ends with:\n{self.log(name)[-4000:]}")

    def wait_drained(self, timeout_seconds: float = 60) -> None:
        """Wait until all running workers own all partitions and have no lag, in two checks in a row."""
        deadline = time.monotonic() + timeout_seconds
        before: Any = None
        while time.monotonic() < deadline:
            now = self._drained()
            if now is not None and now == before:
                return
            before = now
            time.sleep(0.8)
        raise AssertionError(f"not drained: {[self.get('/v1/status', name) for name in self.workers]}")

    def _drained(self) -> Any:
        positions: dict[str, Any] = {}
        for name, worker in self.workers.items():
            if worker.poll() is not None:
                continue
            status, body = self.get("/v1/status", name)
            if status != 200 or not body["ready"] or body["lag"]:
                return None
            positions.update({number: each["durable"] for number, each in body["partitions"].items()})
        return positions if len(positions) == self.partitions else None


@contextmanager
def started_cluster(directory: Path, partitions: int, *workers: str) -> Iterator[Cluster]:
    """Yield a cluster with a Kafka of its own and ready workers (``w0`` unless named), for the tests of a module.

    Without a Kafka the tests end or are skipped.
    """
    broker = LocalBroker(directory / "kafka")
    try:
        broker.start()
    except NoBrokerError as error:
        no_broker(str(error))
    cluster = Cluster(broker, directory / "cluster", partitions=partitions)
    try:
        names = workers or ("w0",)
        for name in names:
            cluster.start_worker(name)
        for name in names:
            cluster.wait_ready(name)
        yield cluster
    finally:
        cluster.close()
        broker.destroy()
