"""Pages of a worker for operators: health, status and metrics."""

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from app.base.process import pid_header
from app.http.operators import Operators
from app.lookup.errors import json_response
from app.lookup.query_params import Params
from app.lookup.request_parts import pretty
from app.lookup.service import LookupService
from events.rejections import RefusedError


class OperatorPages:
    """One method for each page. Health is open to everybody, but only operators see more of it than ``ready``."""

    def __init__(self, service: LookupService, registry: CollectorRegistry, operators: Operators) -> None:
        self._service, self._registry, self._operators = service, registry, operators

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of the pages."""
        return [
            web.get("/v1/status", self._status),
            web.get("/health/live", self._live),
            web.get("/health/ready", self._ready),
            web.get("/metrics", self._metrics),
        ]

    async def _status(self, request: web.Request) -> web.Response:
        self._check(request)
        is_pretty = pretty(Params(request.query))
        return json_response(dict(self._service.status()), is_pretty=is_pretty)

    async def _live(self, _: web.Request) -> web.Response:
        return json_response({"live": True})

    async def _ready(self, request: web.Request) -> web.Response:
        status = dict(self._service.status())
        is_ready = bool(status.get("ready"))
        shown = status if self._operators.may_read(request) else {"ready": is_ready}
        return json_response(shown, status=200 if is_ready else 503, headers=pid_header())

    async def _metrics(self, request: web.Request) -> web.Response:
        self._check(request)
        return web.Response(
            body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )

    def _check(self, request: web.Request) -> None:
        refused = self._operators.refusal(request)
        if refused is not None:
            raise RefusedError(refused.code, refused.sentence)
