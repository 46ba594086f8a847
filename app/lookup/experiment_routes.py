"""HTTP routes of experiments: the list of a customer, and the assessment of one."""

from typing import Any

from aiohttp import web

from app.base.clock import Clock
from app.lookup.errors import json_response
from app.lookup.experiment_query import read_experiment
from app.lookup.experiments import ExperimentAnswers
from app.lookup.query_params import Params
from app.lookup.request_parts import pretty
from app.lookup.requests import read_max_stale
from app.lookup.routing import Router
from app.lookup.service import LookupService
from app.lookup.staleness import stale_headers


class ExperimentRoutes:
    """One method for each route. ``router`` exists while the application runs."""

    router: Router

    def __init__(self, service: LookupService, clock: Clock) -> None:
        self._service, self._clock = service, clock

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of experiments."""
        path = "/v1/{customer:[^/]+}/experiments"
        return [web.get(path, self._all), web.get(f"{path}/{{name:[^/]+}}", self._one)]

    async def _all(self, request: web.Request) -> web.Response:
        params = Params(request.query)
        answers = self._answers(request, read_max_stale(params))
        is_pretty = pretty(params)
        return _answered(await answers.all_of(self._clock.now_ms()), is_pretty=is_pretty)

    async def _one(self, request: web.Request) -> web.Response:
        params, now_ms = Params(request.query), self._clock.now_ms()
        customer = self._service.customers[request.match_info["customer"]]  # the guard has checked it
        query = read_experiment(params, customer, now_ms)
        answers = self._answers(request, read_max_stale(params))
        is_pretty = pretty(params)
        answer = await answers.one(request.match_info["name"], query, now_ms)
        return _answered(answer, is_pretty=is_pretty)

    def _answers(self, request: web.Request, max_stale_ms: int | None) -> ExperimentAnswers:
        customer = self._service.customers[request.match_info["customer"]]
        return ExperimentAnswers(self._service, self.router, customer, request.headers, max_stale_ms)


def _answered(answer: dict[str, Any], *, is_pretty: bool) -> web.Response:
    return json_response(answer, is_pretty=is_pretty, headers=stale_headers(answer))
