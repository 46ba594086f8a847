"""Starts, serves and stops a dashboard: ``run_dashboard`` is the whole process."""

import asyncio
import logging
from collections.abc import Callable

import uvloop

from app.base.addresses import http_url, url_list
from app.base.settings import DASHBOARD_PORT, Settings
from app.customers.customer_registry import Customers
from app.customers.customer_watch import follow_file
from app.dashboard.answers import http_error_answer, refused_answer
from app.dashboard.server import Upstreams, create_dashboard_app
from app.http.app_runner import ApplicationRunner
from app.http.event_stream import EventHub
from app.http.operators import Operators
from app.http.serving import listen, stop_signal

log = logging.getLogger(__name__)


def run_dashboard(settings: Settings) -> None:
    """Run a dashboard until SIGTERM or SIGINT. Raise UptakeError if it cannot start and another try would not help."""
    customers = Customers.load(settings.customers_file)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(settings, customers))


async def _run(settings: Settings, customers: Customers) -> None:
    await serve_dashboard(settings, customers, stop_signal())


async def serve_dashboard(
    settings: Settings,
    customers: Customers,
    stop: asyncio.Event,
    *,
    on_listening: Callable[[str, int], None] | None = None,
) -> None:
    """Serve until ``stop`` is set; then end the streams, and answer what is in flight.

    ``on_listening`` is called with host and port: the port is not known before if it is 0 in the settings.
    """
    workers, collectors = url_list(settings.worker_urls), url_list(settings.collector_urls)
    app = create_dashboard_app(
        customers,
        Upstreams(workers, collectors),
        Operators.of(settings),
        hub=EventHub(max_clients=max(1, settings.max_connections // 2)),  # the rest is for the page itself
        request_timeout_s=settings.request_timeout_ms / 1000,
    )
    runner = ApplicationRunner(
        app,
        refused=refused_answer,
        http_error=http_error_answer,
        on_unread=lambda _: None,
        on_connections=lambda _: None,
        what="a request",
        max_uri_bytes=settings.max_uri_bytes,
        max_connections=settings.max_connections,
        request_timeout_ms=settings.request_timeout_ms,
    )
    await runner.setup()
    port = DASHBOARD_PORT if settings.port is None else settings.port
    following = asyncio.create_task(follow_file(customers))
    try:
        await listen(runner, settings.host, port, "dashboard")
        host, bound_port = runner.addresses[0][:2]
        log.info(
            "dashboard listens on %s, asks %s and %s",
            http_url(host, bound_port),
            ", ".join(workers),
            ", ".join(collectors),
        )
        if on_listening is not None:
            on_listening(host, bound_port)
        await stop.wait()
        log.info("dashboard stops")
    finally:
        following.cancel()
        await runner.cleanup()
    log.info("dashboard stopped")
