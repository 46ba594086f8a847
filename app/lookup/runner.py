"""Runs the application of lookups on connections with limits."""

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge

from app.http.app_runner import ApplicationRunner
from app.lookup.errors import http_error, refused_response


class LookupRunner(ApplicationRunner):
    """Routes with aiohttp's application, and serves with the connections of ``app.http``."""

    def __init__(
        self,
        app: web.Application,
        registry: CollectorRegistry,
        *,
        max_uri_bytes: int,
        max_connections: int,
        request_timeout_ms: int,
    ) -> None:
        connections = Gauge("uptake_lookup_connections", "Open connections of lookups", registry=registry)
        unread = Counter(
            "uptake_lookup_unread",
            "Requests that the HTTP parser refused, by code",
            ["code"],
            registry=registry,
        )
        super().__init__(
            app,
            refused=refused_response,
            http_error=http_error,
            on_unread=lambda rejection: unread.labels(rejection.code).inc(),
            on_connections=connections.set,
            what="a lookup",
            max_uri_bytes=max_uri_bytes,
            max_connections=max_connections,
            request_timeout_ms=request_timeout_ms,
        )
