"""Starts the whole system on one machine: Kafka (ours, or one that runs already), its topics, a collector, workers, a dashboard."""

import asyncio
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.base.addresses import http_url, local_host
from app.base.errors import NoBrokerError
from app.base.listening import cannot_listen
from app.base.settings import COLLECTOR_PORT, DASHBOARD_PORT, WORKER_PORT, Settings
from app.customers.customer_registry import create_customers_file
from app.kafka.topics import ensure_topics
from app.local.broker import HOST, LocalBroker
from app.local.kafka_jars import Runtime
from app.local.supervisor import Supervisor
from app.local.tcp_ports import first_free, free_port, why_not

_KAFKA_PORT: Final = 9092
FIRST_CUSTOMER: Final = "00000"
_CACHE_BYTES: Final = 32 * 1_048_576
"""What the rows in a worker's memory may take, unless UPTAKE_CACHE_BYTES says otherwise."""
KAFKA_STAGE, WORKER_STAGE, COLLECTOR_STAGE, DASHBOARD_STAGE = 0, 1, 2, 3  # the highest stops first


@dataclass(frozen=True, slots=True)
class Plan:
    """The ports on which everything will listen.

    ``kafka_port`` None: a Kafka that runs already, at ``Settings.kafka``. ``dashboard_port`` None: no dashboard.
    """

    kafka_port: int | None
    collector_port: int
    worker_ports: tuple[int, ...]
    dashboard_port: int | None = None


@dataclass(frozen=True, slots=True)
class Stack:
    """The addresses of a running system: ``kafka`` is host:port, the others are http://host:port."""

    kafka: str
    collector: str
    workers: tuple[str, ...]
    customers_file: Path
    data_dir: Path
    dashboard: str | None = None


def plan_ports(settings: Settings, *, workers: int, own_kafka: bool, port: int | None = None) -> Plan:
    """Return the default ports, and for each that is taken the next free one.

    Raise PortTakenError if ``port`` is given and taken, UptakeError if the host is no address of this machine.
    """
    host = settings.host
    error = why_not(host, port or 0)
    if error is not None:
        raise cannot_listen(host, port or 0, "collector", error)
    worker_ports: list[int] = []
    for number in range(workers):
        after = worker_ports[-1] + 1 if worker_ports else WORKER_PORT + number
        worker_ports.append(first_free(host, after))
    return Plan(
        kafka_port=first_free(HOST, _KAFKA_PORT) if own_kafka else None,
        collector_port=first_free(host, COLLECTOR_PORT) if port is None else port,
        worker_ports=tuple(worker_ports),
        dashboard_port=first_free(host, DASHBOARD_PORT),
    )


def free_ports(*, workers: int = 1, own_kafka: bool = True) -> Plan:
    """Return a plan of random free loopback ports, for the demo and the tests. It has no dashboard."""
    chosen: list[int] = []
    while len(chosen) < workers + 2:
        port = free_port(HOST)
        if port not in chosen:
            chosen.append(port)
    return Plan(chosen[0] if own_kafka else None, chosen[1], tuple(chosen[2:]))


async def start_stack(
    supervisor: Supervisor,
    settings: Settings,
    plan: Plan,
    *,
    runtime: Runtime | None = None,
    ready_timeout_ms: int = 60_000,
) -> Stack:
    """Start all parts and return when they are ready. The caller stops the supervisor, even after an error.

    ``runtime`` is the result of `app.local.kafka_jars.locate`. Without it this function may fetch the jars, which blocks the event loop.
    """
    broker = None
    if plan.kafka_port is not None:
        broker = LocalBroker(settings.data_dir / "kafka", port=plan.kafka_port, runtime=runtime)
        supervisor.add_broker(broker, stage=KAFKA_STAGE)
        settings = settings.model_copy(update={"kafka": broker.bootstrap})
    if not settings.customers_file.exists():
        create_customers_file(settings.customers_file, FIRST_CUSTOMER)
    # Workers start together with Kafka: they wait for it and for the topics, and their imports take as long as its start.
    workers = tuple(
        _add(supervisor, settings, "worker", f"worker-{number}", port, WORKER_STAGE)
        for number, port in enumerate(plan.worker_ports)
    )
    await supervisor.start()
    if broker is not None:
        await _until_ready(broker, ready_timeout_ms)
    await ensure_topics(settings, wait_ms=None if plan.kafka_port is None else ready_timeout_ms)
    collector = _add(supervisor, settings, "collector", "collector", plan.collector_port, COLLECTOR_STAGE)
    dashboard = None
    if plan.dashboard_port is not None:
        asks = settings.model_copy(update={"worker_urls": ",".join(workers), "collector_urls": collector})
        dashboard = _add(supervisor, asks, "dashboard", "dashboard", plan.dashboard_port, DASHBOARD_STAGE)
    await supervisor.start()
    await supervisor.wait_ready(ready_timeout_ms)
    return Stack(settings.kafka, collector, workers, settings.customers_file, settings.data_dir, dashboard)


async def _until_ready(broker: LocalBroker, timeout_ms: int) -> None:
    """Wait for our own Kafka. Raise NoBrokerError if it ended: then what answers at its port is another program."""
    deadline = time.monotonic() + timeout_ms / 1000
    while not await asyncio.to_thread(broker.is_ready):
        if time.monotonic() > deadline:
            raise NoBrokerError(f"Kafka did not answer within {timeout_ms} ms; its log: {broker.log_path}")
        await asyncio.sleep(0.05)


def settings_env(settings: Settings) -> dict[str, str]:
    """Return the environment that gives a child process these settings; paths are absolute."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("UPTAKE_")}
    for name, value in settings.model_dump().items():
        if value is not None:
            text = str(value.absolute()) if isinstance(value, Path) else str(value)
            env[f"UPTAKE_{name.upper()}"] = text
    return env


def _add(supervisor: Supervisor, settings: Settings, command: str, name: str, port: int, stage: int) -> str:
    url = http_url(local_host(settings.host), port)
    own: dict[str, object] = {"port": port, "advertise": url}
    if command == "worker":
        # All parts share this machine with its user, so no worker takes a share of all that is free.
        own["cache_bytes"] = settings.cache_bytes or _CACHE_BYTES
        own["data_dir"] = settings.data_dir / name  # RocksDB admits one process a directory
    supervisor.add(
        name,
        [sys.executable, "-m", "app", command],
        env=settings_env(settings.model_copy(update=own)),
        ready_url=f"{url}/health/ready",
        stage=stage,
    )
    return url
