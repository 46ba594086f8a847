"""The doctor checks the cache of a worker that runs, or else of one that would be started."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from app.base.cache_size import CacheSize
from app.base.free_memory import FreeMemory
from app.base.settings import Settings
from app.local.cache_check import check_cache, judge_cache
from app.local.tcp_ports import free_port

MIB = 1_048_576
SIZE = CacheSize(100 * MIB, "UPTAKE_CACHE_BYTES")
HELD = {"max_bytes": 100 * MIB, "held_bytes": 25 * MIB, "reason": "UPTAKE_CACHE_BYTES", "is_too_small": False}
TOO_SMALL = "the cache of rows is too small: and so on. Set UPTAKE_CACHE_BYTES to 2, or start more workers"


def free(mib: int) -> FreeMemory:
    return FreeMemory(mib * MIB, "memory that the machine has available", False)


def test_cache_that_fits_is_ok() -> None:
    check = judge_cache(SIZE, free(401), None)
    assert (check.level, check.finding) == (
        "ok",
        "a worker keeps 100 MiB of rows in memory (UPTAKE_CACHE_BYTES)",
    )


def test_cache_that_does_not_fit_into_the_free_memory_is_named() -> None:
    check = judge_cache(SIZE, free(300), None)
    assert check.level == "warn"
    assert "only 300 MiB are free" in check.finding
    assert check.cure == f"give the worker more memory, or set UPTAKE_CACHE_BYTES to at most {50 * MIB}"


def test_system_that_says_nothing_of_its_memory_is_ok() -> None:
    assert judge_cache(SIZE, None, None).level == "ok"


@pytest.fixture
def status() -> Iterator[tuple[int, dict[str, Any]]]:
    """A server of `/v1/status` for who has the key."""
    body: dict[str, Any] = {"cache": dict(HELD), "warnings": []}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.headers["Authorization"] == "Bearer key" else 401)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    yield server.server_port, body
    server.shutdown()
    serving.join()
    server.server_close()


def test_running_worker_is_asked(status: tuple[int, dict[str, Any]]) -> None:
    port, body = status
    settings = Settings(port=port, admin_key="key")
    check = check_cache(settings)
    assert (check.level, check.finding) == (
        "ok",
        "the running worker holds 25 of 100 MiB (UPTAKE_CACHE_BYTES)",
    )
    body["cache"]["is_too_small"] = True
    body["warnings"] = ["another", TOO_SMALL]
    check = check_cache(settings)
    assert check.level == "warn"
    assert check.finding == "the running worker says: the cache of rows is too small: and so on"
    assert check.cure == "Set UPTAKE_CACHE_BYTES to 2, or start more workers"


def test_worker_that_wants_another_key_or_is_older_is_as_none(status: tuple[int, dict[str, Any]]) -> None:
    port, body = status
    expected = "a worker keeps 96 MiB of rows in memory (UPTAKE_CACHE_BYTES)"
    given = {"cache_bytes": 96 * MIB, "port": port}
    assert check_cache(Settings(**given)).finding == expected
    del body["cache"]
    assert check_cache(Settings(**given, admin_key="key")).finding == expected
    assert check_cache(Settings(cache_bytes=96 * MIB, port=free_port())).finding == expected
