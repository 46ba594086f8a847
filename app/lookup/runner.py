"""Runs the application of lookups on connections with limits; no log line holds what a client sent."""

import logging
import traceback
from typing import Any, Final

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge

from app.http.connection import Server
from app.lookup.errors import http_error, refused_response
from events.rejections import Rejection

log = logging.getLogger(__name__)

_SHUTDOWN_SECONDS: Final = 9.0  # the most that an answer in flight may take after the stop began
_INTERNAL: Final = Rejection("internal", "something went wrong here; it was logged")
_OTHER_VERSION: Final = Rejection("malformed_request", "this is not a well-formed HTTP/1.1 request")


class LookupRunner(web.AppRunner):
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
        super().__init__(app, handle_signals=False, shutdown_timeout=_SHUTDOWN_SECONDS)
        self._limits = {
            "max_uri_bytes": max_uri_bytes,
            "max_connections": max_connections,
            "request_timeout_ms": request_timeout_ms,
        }
        self._route: Any = None
        self._open = Gauge("uptake_lookup_connections", "Open connections of lookups", registry=registry)
        self._unread = Counter(
            "uptake_lookup_unread",
            "Requests that the HTTP parser refused, by code",
            ["code"],
            registry=registry,
        )

    async def _make_server(self) -> web.Server:
        """Return our server in place of aiohttp's; overrides aiohttp's method."""
        routed = await super()._make_server()
        self._route = routed.request_handler
        return Server(
            self._answer,
            refuse=lambda rejection, _address: self._refuse(rejection),
            on_connections=self._open.set,
            request_factory=routed.request_factory,
            **self._limits,
        )

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request, also after an error that the application did not foresee."""
        if request.version.major != 1:  # the parser also accepts HTTP/0.9 and a single line of HTTP/2
            return self._refuse(_OTHER_VERSION)
        try:
            response: web.StreamResponse = await self._route(request)
        except web.HTTPException as error:
            return http_error(error)
        except ConnectionError:
            raise
        except Exception as error:  # noqa: BLE001 - the last resort: logged, and answered 500
            # The message of an exception may hold what the client sent, so log only its type and place.
            frames = "".join(traceback.format_tb(error.__traceback__))
            log.error("a lookup failed with %s at\n%s", type(error).__name__, frames)
            response = refused_response(_INTERNAL)
            response.force_close()
        return response

    def _refuse(self, rejection: Rejection) -> web.StreamResponse:
        """Count a request that was refused before it was routed, and return its answer."""
        self._unread.labels(rejection.code).inc()
        return refused_response(rejection)
