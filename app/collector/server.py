"""Starts, serves and stops a collector: ``run_collector`` is the whole process."""

import asyncio
import gc
import logging
import time
from collections.abc import Callable
from typing import Final

import uvloop
from aiohttp import web

from app.base.addresses import http_url
from app.base.clock import SystemClock
from app.base.settings import COLLECTOR_PORT, Settings
from app.collector.dispatch import Collector
from app.collector.json_requests import Limits
from app.collector.metrics import Metrics
from app.customers.customer_registry import Customers
from app.customers.customer_watch import CustomersMetrics, follow_file
from app.http.connection import Server
from app.http.operators import Operators
from app.http.serving import listen, stop_signal
from app.journal.kafka_sink import KafkaSink
from app.journal.sink import EventSink
from app.journal.spool_metrics import SpoolMetrics

log = logging.getLogger(__name__)

_SHUTDOWN_SECONDS: Final = 9.0  # the most that an answer in flight may take after the stop began
# With Python's own thresholds, the search for cycles took 4 % of the time when many events were in flight.
_GC_THRESHOLDS: Final = (50_000, 20, 100)
_DRAIN_STEP_SECONDS: Final = 0.02
_REPORT_SECONDS: Final = 10.0


def run_collector(settings: Settings) -> None:
    """Run a collector until SIGTERM or SIGINT. Raise UptakeError if it cannot start and another try would not help."""
    customers = Customers.load(settings.customers_file)
    gc.freeze()  # the objects that imports made live as long as the process
    gc.set_threshold(*_GC_THRESHOLDS)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(settings, customers))


async def _run(settings: Settings, customers: Customers) -> None:
    await serve_collector(settings, customers, KafkaSink.of(settings), stop_signal())


async def serve_collector(
    settings: Settings,
    customers: Customers,
    sink: EventSink,
    stop: asyncio.Event,
    *,
    on_listening: Callable[[str, int], None] | None = None,
) -> None:
    """Serve until ``stop`` is set; then stop accepting, answer what is in flight, and wait for the sink.

    ``on_listening`` is called with host and port: the port is not known before if it is 0 in the settings.
    """
    metrics = Metrics()
    metrics.registry.register(CustomersMetrics(customers))
    metrics.registry.register(SpoolMetrics(sink))
    collector = Collector(
        customers,
        sink,
        SystemClock(),
        metrics,
        max_body_bytes=settings.max_body_bytes,
        request_timeout_ms=settings.request_timeout_ms,
        batch=Limits(
            settings.max_batch_bytes,
            settings.max_unpacked_bytes,
            settings.max_batch_elements,
            settings.request_timeout_ms / 1000,
        ),
        user_cookie=settings.user_cookie,
        default_customer=settings.default_customer,
        static_dir=settings.static_dir,
        operators=Operators.of(settings),
    )
    server = Server(
        collector,
        refuse=collector.refuse,
        on_connections=metrics.connections.set,
        max_uri_bytes=settings.max_uri_bytes,
        max_connections=settings.max_connections,
        request_timeout_ms=settings.request_timeout_ms,
    )
    runner = web.ServerRunner(server, shutdown_timeout=_SHUTDOWN_SECONDS)
    await runner.setup()
    port = COLLECTOR_PORT if settings.port is None else settings.port
    try:
        await sink.start()  # first, so that the sink is ready for the first event
        site = await listen(runner, settings.host, port, "collector")
        host, bound_port = runner.addresses[0][:2]
        log.info("collector listens on %s for customers %s", http_url(host, bound_port), ", ".join(customers))
        if on_listening is not None:
            on_listening(host, bound_port)
        running = (follow_file(customers), _report(collector), collector.bot_tally.run())
        tasks = [asyncio.create_task(each) for each in running]
        try:
            await stop.wait()
        finally:
            for task in tasks:
                task.cancel()
        log.info("collector stops: no new connections, %d open", len(server.connections))
        collector.is_draining = True
        await site.stop()
        await _drain(server, settings.drain_ms / 1000)
    finally:
        await runner.cleanup()
        await collector.bot_tally.close()
        await sink.stop()
        collector.refused.report(is_last=True)
    log.info("collector stopped")


async def _report(collector: Collector) -> None:
    """Log the refusals that have not been logged yet, now and then."""
    while True:
        await asyncio.sleep(_REPORT_SECONDS)
        collector.refused.report()


async def _drain(server: Server, seconds: float) -> None:
    """Wait until each connection has ended with an answer that says ``Connection: close``, for ``seconds`` at most.

    A request may be on its way on an idle connection: closing that connection at once would make the request fail.
    """
    end = time.monotonic() + seconds
    while server.connections and time.monotonic() < end:
        await asyncio.sleep(_DRAIN_STEP_SECONDS)
