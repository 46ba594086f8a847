"""The HTTP server of a worker's lookups and metrics."""

from collections.abc import Callable
from typing import Any

from aiohttp import web
from mode import Service
from prometheus_client import CollectorRegistry

from agents.registry import Partitions
from app.base.listening import cannot_listen
from app.base.settings import LOOPBACK, Settings
from app.customers.customer_registry import Customers
from app.customers.customer_watch import CustomersMetrics
from app.http.event_stream import EventHub
from app.http.operators import Operators
from app.lookup.runner import LookupRunner
from app.lookup.server import create_lookup_app
from app.worker.lookups import WorkerLookups
from app.worker.metrics import ContactMetrics, WindowMetrics


class _LookupServer(Service):
    """Serves lookups while the Faust app runs. It starts before any partition is open, and answers 503 until then."""

    def __init__(
        self,
        runner: LookupRunner,
        host: str,
        port: int,
        on_failed: Callable[[BaseException], None],
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._runner, self._on_failed = runner, on_failed
        self._host, self._port = host, port

    async def on_start(self) -> None:
        """Listen. A port that is taken ends the worker."""
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except OSError as error:
            self._on_failed(cannot_listen(self._host, self._port, "worker", error))

    async def on_stop(self) -> None:
        """Stop listening, and finish the requests in progress."""
        await self._runner.cleanup()


def lookup_server(
    settings: Settings,
    port: int,
    lookups: WorkerLookups,
    partitions: Partitions,
    customers: Customers,
    registry: CollectorRegistry,
    on_failed: Callable[[BaseException], None],
) -> _LookupServer:
    """Return the HTTP server of lookups. It asks for API keys unless it listens on loopback."""
    registry.register(WindowMetrics(partitions))
    registry.register(ContactMetrics(lookups.contact_age_ms))
    registry.register(CustomersMetrics(customers))
    is_private = settings.host in LOOPBACK
    app = create_lookup_app(
        lookups,
        registry=registry,
        operators=Operators.of(settings),
        hub=EventHub(max_clients=max(1, settings.max_connections // 2)),
        api_key_of=None if is_private else lambda name: customers[name].api_key,
        request_timeout_s=settings.request_timeout_ms / 1000,
    )
    runner = LookupRunner(
        app,
        registry,
        max_uri_bytes=settings.max_uri_bytes,
        max_connections=settings.max_connections,
        request_timeout_ms=settings.request_timeout_ms,
    )
    return _LookupServer(runner, settings.host, port, on_failed)
