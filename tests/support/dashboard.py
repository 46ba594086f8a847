"""A dashboard served for a test, and small real servers in place of its workers and collectors."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import aiohttp
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer

from app.customers.customer import Customer
from app.customers.customer_registry import Customers
from app.dashboard.answers import http_error_answer, refused_answer
from app.http.app_runner import ApplicationRunner
from events.rules import Rules
from tests.support.lookups import NOW

API_KEY = "the-api-key-of-00000"
ADMIN_KEY = "the-operators-key"
OTHER_KEY = "the-api-key-of-shop-2"
Client = TestClient[web.Request, web.Application]


def customers() -> Customers:
    """Two customers with keys and one without."""
    known = (
        Customer(Rules("00000", "k1", b"s" * 32, aliases=frozenset(("shop",))), api_key=API_KEY),
        Customer(Rules("shop-2", "k1", b"t" * 32), api_key=OTHER_KEY),
        Customer(Rules("keyless", "k1", b"u" * 32)),
    )
    return Customers({each.id: each for each in known})


class SetClock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.ms = NOW

    def now_ms(self) -> int:
        return self.ms


class SmallServer:
    """A real HTTP server with set answers. It can stop, and come back on its port."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, bytes]] = {}
        """Path without a query -> status and body."""
        self.asked: list[web.BaseRequest] = []
        self.delay_s = 0.0
        self.headers: dict[str, str] = {}
        """Headers of all answers."""
        self._port = 0
        self._runner: web.ServerRunner | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def set(self, path: str, answer: object, status: int = 200) -> None:
        self.answers[path] = status, answer if isinstance(answer, bytes) else json.dumps(answer).encode()

    def paths(self) -> list[str]:
        return [request.raw_path for request in self.asked]

    async def start(self) -> None:
        self._runner = web.ServerRunner(web.Server(self._answer, access_log=None), shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        self.asked.append(request)
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        status, body = self.answers.get(request.raw_path.partition("?")[0], (404, b"{}"))
        headers = {"Content-Type": "application/json", **self.headers}
        return web.Response(status=status, body=body, headers=headers)


class DashboardServer(TestServer):
    """Serves a dashboard on the connections that it has in production."""

    async def _make_runner(self, **_: Any) -> ApplicationRunner:
        return ApplicationRunner(
            self.app,
            refused=refused_answer,
            http_error=http_error_answer,
            on_unread=lambda _: None,
            on_connections=lambda _: None,
            what="a request",
            max_uri_bytes=8_192,
            max_connections=100,
            request_timeout_ms=5_000,
        )


class Events:
    """Reads the server-sent events of a response."""

    def __init__(self, response: ClientResponse) -> None:
        self._response = response

    async def next(self, timeout_s: float = 10) -> tuple[str, Mapping[str, Any]]:
        """Return the name and the data of the next event."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(timeout_s):
            while True:
                line = await self._response.content.readline()
                if not line:
                    raise EOFError
                text = line.decode().rstrip("\n")
                if not text and "data" in fields:
                    return fields["event"], json.loads(fields["data"])
                name, _, value = text.partition(": ")
                fields[name] = value

    async def ends(self, timeout_s: float = 10) -> bool:
        """Return whether the server ends the stream in time, politely or not."""
        try:
            while True:
                await self.next(timeout_s)
        except EOFError:
            return True
        except TimeoutError:
            return False
        except (aiohttp.ClientError, ConnectionError):
            return True
