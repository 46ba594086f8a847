"""Builds a worker from its parts: settings, store, Kafka, agents and lookups. The only module that knows them all."""

import asyncio
import gc
import io
import logging
import sys
from typing import Any

import faust
import uvloop
from prometheus_client import CollectorRegistry

from agents.partition_limits import PartitionLimits
from agents.poison import PoisonRule
from agents.ports import PartitionLostError
from agents.registry import Partitions
from agents.row_budget import RowBudget
from app.base.addresses import http_url, is_wildcard
from app.base.cache_size import cache_size
from app.base.clock import SystemClock, elapsed_ms
from app.base.errors import EXIT_FORESEEN, UptakeError
from app.base.settings import WORKER_PORT, Settings
from app.customers.customer_registry import Customers
from app.kafka.topics import require_topics
from app.worker.answer_age import AnswerAge, behind, folded_in, paused
from app.worker.assignor import GroupOwners
from app.worker.cache_watch import CacheWatch
from app.worker.contact import Contact, ContactRule
from app.worker.contact_log import ContactLog
from app.worker.customers_file import FoldedCustomers, FollowFile
from app.worker.faust_app import create_faust_app
from app.worker.lag import ConsumerFeed
from app.worker.lookup_server import lookup_server
from app.worker.lookups import WorkerLookups
from app.worker.metrics import CacheMetrics, StoreMetrics
from app.worker.restore import Restorer
from app.worker.scenario_metrics import scenario_gauges
from app.worker.standby import Standbys
from app.worker.stopping import StoppableWorker, Stopping
from app.worker.stores import Stores
from app.worker.visibility import Visibility
from app.worker.watch import Watch, interval_ms
from app.worker.watchdog import Watchdog
from tables.store import StoreError, StoreMemory

log = logging.getLogger(__name__)

_GC_THRESHOLDS = (50_000, 100, 1_000)
"""With its defaults, Python's garbage collector scans all rows again and again, for a fifth of the CPU (docs/benchmarks.md). Rows have no
cycles, so scans of what is old may be rare. Scans of what is new stop the event loop for 0.2 us an object: a large answer has many."""
_FORESEEN_ERRORS = (UptakeError, StoreError)


class Ending:
    """Ends the worker on an error that it cannot recover from. The first error decides the exit status."""

    app: Any
    """The Faust app, which is built after the parts that report errors here."""

    def __init__(self) -> None:
        self.failure: BaseException | None = None

    def lose(self, error: PartitionLostError) -> None:
        """Let recovery open the lost partition again."""
        self.app.tables.recovery.on_lost(error)

    def fail(self, error: BaseException) -> None:
        """End the process: the supervisor starts it again, and it resumes from the committed positions."""
        if self.failure is not None:
            return
        self.failure = error
        if isinstance(error, _FORESEEN_ERRORS):
            log.error("the worker stops: %s", error)
        else:
            log.error("the worker stops: %r", error, exc_info=error)
        self.app.loop.create_task(self.app.crash(error))

    @property
    def status(self) -> int:
        """The exit status of the failure, 0 without one."""
        if self.failure is None:
            return 0
        return EXIT_FORESEEN if isinstance(self.failure, _FORESEEN_ERRORS) else 1


class Worker:
    """One worker: the Faust app, the partitions it owns, and how they are opened.

    Built in the order in which the parts need each other. Only ``Ending`` and ``ConsumerFeed`` need the app, which comes after them.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        port = settings.port or WORKER_PORT
        url = _own_url(settings, port)
        rule = ContactRule.of(settings.session_timeout_ms, settings.max_stale_ms)
        self.ending, feed = Ending(), ConsumerFeed()
        self.partitions = Partitions(close_timeout_seconds=settings.session_timeout_ms / 2_000)
        visibility = Visibility(folded_in(self.partitions, feed))
        contact = Contact(elapsed_ms(), visibility)
        stores = Stores(
            settings.data_dir / "state",
            StoreMemory(settings.block_cache_bytes, settings.memtable_bytes),
            SystemClock(),
        )
        customers = Customers.load(settings.customers_file)
        folded = FoldedCustomers(customers, settings.unknown_customer_ms)
        size = cache_size(settings.cache_bytes)
        log.info("rows in memory may take %.0f MiB: %s", size.size_bytes / 1_048_576, size.reason)
        budget = RowBudget(size.size_bytes)
        cache_watch = CacheWatch(budget, self.partitions, size.reason)
        self.restorer = _restorer(settings, folded, budget, stores, feed, self.ending)
        self.standbys = Standbys(settings.kafka, settings.app_id, stores, SystemClock(), self.ending.fail)
        self.app = create_faust_app(
            settings, url, self.partitions, self.restorer, self.standbys, self.ending.fail, contact
        )
        self.ending.app = feed.app = self.app
        assignor: Any = self.app.assignor
        assignor.on_disk(stores.on_disk())
        watch = _watch(settings, self.partitions, self.app, self.ending, visibility)
        self.lookups = WorkerLookups(
            customers,
            self.partitions,
            self.restorer,
            self.standbys,
            settings.partitions,
            url,
            GroupOwners(self.app),
            feed.lag,
            AnswerAge(
                rule,
                lambda numbers: contact.age_ms(elapsed_ms(), numbers),
                behind(self.partitions, visibility),
                paused(self.partitions),
            ),
            watch.alarms,
            lambda: [*customers.warnings(), *stores.warnings(), *cache_watch.warnings()],
            watch.open_transactions,
            cache_watch.status,
        )
        registry = CollectorRegistry()
        registry.register(StoreMetrics(stores))
        registry.register(CacheMetrics(budget))
        server = lookup_server(
            settings, port, self.lookups, self.partitions, customers, registry, self.ending.fail
        )
        contact_log = ContactLog(rule, self.lookups.contact_age_ms, settings.kafka)
        follow = FollowFile(customers, folded, self.partitions)
        gauges = scenario_gauges(settings, registry, self.partitions, customers, self.lookups, rule)
        for service in (watch, follow, server, contact_log, cache_watch, *gauges):
            self.app.add_dependency(service)

    def run(self, stopping: Stopping) -> int:
        """Run until a signal or a failure; return the exit status."""
        worker = StoppableWorker(
            self.app,
            loglevel=None,
            override_logging=False,
            redirect_stdouts=False,
            quiet=True,
            stdout=io.StringIO(),  # its spinner writes control sequences into the log
        )
        worker.stopping = stopping
        try:
            worker.execute_from_commandline()
        except SystemExit as exit_:
            status = exit_.code if isinstance(exit_.code, int) else 1
        else:
            status = 0
        return self.ending.status or status


def _own_url(settings: Settings, port: int) -> str:
    """Return the address at which the other workers reach this one; raise UptakeError if none is known.

    A worker cannot know whether there are others, so all need an address.
    """
    if settings.advertise is None and is_wildcard(settings.host):
        raise UptakeError(
            f"{settings.host} means every address of this machine, and the other workers need one that leads here; "
            f"set --advertise http://host:{port} (UPTAKE_ADVERTISE)"
        )
    return settings.advertise or http_url(settings.host, port)


def _limits(settings: Settings, folded: FoldedCustomers, budget: RowBudget) -> PartitionLimits:
    """Return the limits of one partition. The partitions share the worker's memory for rows."""
    poison = None if settings.accept_bad else PoisonRule(settings.poison_records, settings.poison_percent)
    return PartitionLimits(
        flush_interval_ms=settings.flush_interval_ms,
        flush_max_changes=settings.flush_max_changes,
        budget=budget,
        partitions=settings.partitions,
        poison=poison,
        max_scenarios=settings.max_scenarios,
        grace_ms=settings.grace_ms,
        caught_up_ms=settings.caught_up_ms,
        unknown_customers=folded.unknown,
        scenario_keepers=folded.scenario_keepers,
        switched_off=folded.switched_off,
        contests=folded.contests,
    )


def _restorer(
    settings: Settings,
    folded: FoldedCustomers,
    budget: RowBudget,
    stores: Stores,
    feed: ConsumerFeed,
    ending: Ending,
) -> Restorer:
    return Restorer(
        bootstrap=settings.kafka,
        app_id=settings.app_id,
        stores=stores,
        feed=feed,
        limits=_limits(settings, folded, budget),
        transaction_timeout_ms=settings.transaction_timeout_ms,
        on_lost=ending.lose,
        on_failed=ending.fail,
    )


def _watch(
    settings: Settings, partitions: Partitions, app: faust.App, ending: Ending, visibility: Visibility
) -> Watch:
    alarm_ms = settings.watchdog_alarm_ms
    watchdog = Watchdog(alarm_ms, settings.watchdog_exit_ms, interval_ms(alarm_ms))
    return Watch(settings.kafka, settings.app_id, watchdog, partitions, app, ending.fail, visibility)


def run_worker(settings: Settings) -> None:
    """Run a worker in this process until a signal or a failure; exit with its status."""
    uvloop.install()
    gc.freeze()  # objects of the imports live as long as the process
    gc.set_threshold(*_GC_THRESHOLDS)
    worker = Worker(settings)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)  # Faust's worker uses the current loop
    stopping = Stopping()
    if not stopping.run(loop, require_topics(settings)):
        sys.exit(0)
    sys.exit(worker.run(stopping))
