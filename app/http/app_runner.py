"""Runs an aiohttp application on connections with limits; no log line holds what a client sent."""

import logging
import traceback
from collections.abc import Callable
from typing import Any, Final

from aiohttp import web

from app.http.connection import Server
from events.rejections import Rejection

log = logging.getLogger(__name__)

_SHUTDOWN_SECONDS: Final = 9.0  # the most that an answer in flight may take after the stop began
_INTERNAL: Final = Rejection("internal", "something went wrong here; it was logged")
_OTHER_VERSION: Final = Rejection("malformed_request", "this is not a well-formed HTTP/1.1 request")


class ApplicationRunner(web.AppRunner):
    """Routes with aiohttp's application, and serves with our connections.

    ``refused`` returns the answer to a request that was refused or that failed, ``http_error`` that to a request that aiohttp
    refused. ``on_unread`` is called with why a request was refused before it was routed. ``what`` is the log's word for a request.
    """

    def __init__(
        self,
        app: web.Application,
        *,
        refused: Callable[[Rejection], web.Response],
        http_error: Callable[[web.HTTPException], web.Response],
        on_unread: Callable[[Rejection], None],
        on_connections: Callable[[int], None],
        what: str,
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
        self._refused, self._http_error, self._what = refused, http_error, what
        self._on_unread, self._on_connections = on_unread, on_connections
        self._route: Any = None

    async def _make_server(self) -> web.Server:
        """Return our server in place of aiohttp's; overrides aiohttp's method."""
        routed = await super()._make_server()
        self._route = routed.request_handler
        return Server(
            self._answer,
            refuse=lambda rejection, _address: self._unread(rejection),
            on_connections=self._on_connections,
            request_factory=routed.request_factory,
            **self._limits,
        )

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request, also after an error that the application did not foresee."""
        if request.version.major != 1:  # the parser also accepts HTTP/0.9 and a single line of HTTP/2
            return self._unread(_OTHER_VERSION)
        try:
            response: web.StreamResponse = await self._route(request)
        except web.HTTPException as error:
            return self._http_error(error)
        except ConnectionError:
            raise
        except Exception as error:  # noqa: BLE001 - the last resort: logged, and answered 500
            # The message of an exception may hold what the client sent, so log only its type and place.
            frames = "".join(traceback.format_tb(error.__traceback__))
            log.error("%s failed with %s at\n%s", self._what, type(error).__name__, frames)
            response = self._refused(_INTERNAL)
            response.force_close()
        return response

    def _unread(self, rejection: Rejection) -> web.Response:
        self._on_unread(rejection)
        return self._refused(rejection)
