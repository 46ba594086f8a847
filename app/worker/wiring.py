"""Where the parts of a worker meet: settings, store, Kafka, agents and lookups. The only module that knows them all."""

import asyncio
import gc
import io
import logging
import sys
from typing import Any

import faust
import uvloop
from aiohttp import web
from mode import Service
from prometheus_client import CollectorRegistry
from yarl import URL

from agents.faust_agents import attach
from agents.partition import PartitionLimits
from agents.poison import PoisonRule
from agents.registry import Partitions
from app.base.clock import SystemClock
from app.base.errors import EXIT_FORESEEN, UptakeError
from app.base.settings import LOOPBACK, WORKER_PORT, Settings
from app.customers.customer_registry import Customers
from app.customers.customer_watch import CustomersMetrics, follow_file
from app.kafka.topics import require_topics
from app.lookup.server import create_lookup_app
from app.worker.assignor import CopyingAssignor
from app.worker.lag import ConsumerFeed
from app.worker.lookups import WorkerLookups
from app.worker.metrics import WindowMetrics
from app.worker.recovery import table_manager
from app.worker.restore import Restorer
from app.worker.standby import Standbys
from app.worker.stores import Stores
from app.worker.transport import ChunkConsumer, ChunkTransport
from app.worker.watch import Watch, interval_ms
from app.worker.watchdog import Watchdog
from tables.store import StoreError, StoreMemory

log = logging.getLogger(__name__)

_GC_THRESHOLDS = (100_000, 50, 1_000)
"""Rows have no cycles, and there are many: Python's defaults look at all of them again and again (docs/benchmarks.md: a quarter of the
CPU)."""
_FORESEEN_ERRORS = (UptakeError, StoreError)
_METADATA_MAX_AGE_MS = 10_000
"""So long may a topic that was missing go unnoticed once it is there: until then the group is given nothing of it."""
_POLL_RECORDS = 8_000  # fetched at once: some 10 MB of records, and as many again wait in the agents' queues


class _LookupServer(Service):
    """Serves lookups for as long as the Faust app runs: from before the first partition is open, and answers 503 until it is."""

    def __init__(self, app: web.Application, host: str, port: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False)
        self._host, self._port = host, port

    async def on_start(self) -> None:
        """Listen."""
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()

    async def on_stop(self) -> None:
        """Stop listening, and finish what was asked."""
        await self._runner.cleanup()


class _FollowFile(Service):
    """Keeps the customers as their file says, for as long as the Faust app runs."""

    def __init__(self, customers: Customers, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._customers = customers

    @Service.task
    async def _follow(self) -> None:
        await follow_file(self._customers)


class Worker:
    """One worker: the Faust app, the partitions it owns, and how they are opened."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.failure: BaseException | None = None
        self.port = settings.port or WORKER_PORT
        self.url = settings.advertise or f"http://{settings.host}:{self.port}"
        self.partitions = Partitions(close_timeout_seconds=settings.session_timeout_ms / 2_000)
        stores = Stores(
            settings.data_dir / "state",
            StoreMemory(settings.block_cache_bytes, settings.memtable_bytes),
            SystemClock(),
        )
        self.restorer = Restorer(
            bootstrap=settings.kafka,
            app_id=settings.app_id,
            stores=stores,
            feed=ConsumerFeed(lambda: self.app.consumer),
            limits=PartitionLimits(
                flush_interval_ms=settings.flush_interval_ms,
                flush_max_changes=settings.flush_max_changes,
                cache_rows=settings.cache_rows // settings.partitions,
                cache_bytes=settings.cache_bytes // settings.partitions,
                partitions=settings.partitions,
                poison=None
                if settings.accept_bad
                else PoisonRule(settings.poison_records, settings.poison_percent),
                grace_ms=settings.grace_ms,
                caught_up_ms=settings.caught_up_ms,
            ),
            transaction_timeout_ms=settings.transaction_timeout_ms,
            on_lost=self._on_lost,
            on_failed=self._on_failed,
        )
        self.standbys = Standbys(settings.kafka, settings.app_id, stores, SystemClock(), self._on_failed)
        self.app = self._create_app()
        watchdog = Watchdog(
            settings.watchdog_alarm_ms, settings.watchdog_exit_ms, interval_ms(settings.watchdog_alarm_ms)
        )
        watch = Watch(settings.kafka, settings.app_id, watchdog, self.partitions, self.app, self._on_failed)
        self.app.add_dependency(watch)
        assignor: Any = self.app.assignor
        assignor.on_disk(stores.on_disk())
        customers = Customers.load(settings.customers_file)
        self.lookups = WorkerLookups(
            customers,
            self.partitions,
            self.restorer,
            self.standbys,
            settings.partitions,
            self.url,
            lambda: self.app,
            watch.alarms,
            customers.warnings,
        )
        is_private = settings.host in LOOPBACK
        registry = CollectorRegistry()
        registry.register(WindowMetrics(self.partitions))
        registry.register(CustomersMetrics(customers))
        self.app.add_dependency(_FollowFile(customers))
        server = create_lookup_app(
            self.lookups,
            registry=registry,
            api_key_of=None if is_private else lambda name: customers[name].api_key,
        )
        self.app.add_dependency(_LookupServer(server, settings.host, self.port))

    def _create_app(self) -> faust.App:
        settings = self.settings
        brokers = [URL(f"kafka://{server}") for server in settings.kafka.split(",")]
        app = faust.App(
            settings.app_id,
            broker=brokers,
            canonical_url=self.url,
            datadir=settings.data_dir,
            store="memory://",
            web_enabled=False,
            topic_allow_declare=False,
            topic_disable_leader=True,
            stream_buffer_maxsize=4,
            stream_wait_empty=False,
            broker_max_poll_records=_POLL_RECORDS,
            broker_commit_interval=2.0,
            consumer_metadata_max_age_ms=_METADATA_MAX_AGE_MS,
            broker_session_timeout=settings.session_timeout_ms / 1000,
            broker_heartbeat_interval=settings.heartbeat_ms / 1000,
            broker_request_timeout=max(40.0, settings.session_timeout_ms / 1000),
            PartitionAssignor=CopyingAssignor,
            table_standby_replicas=settings.standbys,
            TableManager=table_manager(
                self.partitions,
                self.restorer,
                self.standbys,
                reopen_pause_seconds=2 * settings.heartbeat_ms / 1000,
            ),
        )
        consumer_class = type(
            "Consumer",
            (ChunkConsumer,),
            {"ownership": self.partitions, "on_failed": staticmethod(self._on_failed)},
        )
        transport_class = type("Transport", (ChunkTransport,), {"Consumer": consumer_class})
        app.transport = transport_class(brokers, app)
        attach(app, self.partitions, self._on_failed)
        return app

    def _on_lost(self, error: Any) -> None:
        tables: Any = self.app.tables
        tables.recovery.on_lost(error)

    def _on_failed(self, error: BaseException) -> None:
        """End the process on what cannot be gone on from: the supervisor starts it again, and the position says where."""
        if self.failure is None:
            self.failure = error
            if isinstance(error, _FORESEEN_ERRORS):
                log.error("the worker stops: %s", error)
            else:
                log.error("the worker stops: %r", error, exc_info=error)
            self.app.loop.create_task(self.app.crash(error))

    def run(self) -> int:
        """Run until a signal or a failure; return the exit status."""
        worker = self.app.Worker(
            loglevel=None,
            override_logging=False,
            redirect_stdouts=False,
            quiet=True,
            stdout=io.StringIO(),  # its spinner writes control sequences into the log
        )
        try:
            worker.execute_from_commandline()
        except SystemExit as exit_:
            status = exit_.code if isinstance(exit_.code, int) else 1
        else:
            status = 0
        if self.failure is not None:
            return EXIT_FORESEEN if isinstance(self.failure, _FORESEEN_ERRORS) else 1
        return status


def run_worker(settings: Settings) -> None:
    """Run a worker in this process until it is told to stop; exit with its status."""
    uvloop.install()
    gc.freeze()  # what the imports made lives as long as the process
    gc.set_threshold(*_GC_THRESHOLDS)
    worker = Worker(settings)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)  # Faust's worker takes the loop it finds
    loop.run_until_complete(require_topics(settings))
    sys.exit(worker.run())
