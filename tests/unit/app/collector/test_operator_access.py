"""Pages of a collector for operators: off loopback they need the operators' key, and health stays open."""

from collections.abc import Callable
from typing import Any

import pytest

# The whole of 127.0.0.0/8 is this machine, but only 127.0.0.1 counts as loopback here.
ELSEWHERE = {"host": "127.0.0.2"}


@pytest.mark.parametrize("key", [None, "secret"])
async def test_off_loopback_metrics_need_the_key(
    start_collector: Callable[..., Any], key: str | None
) -> None:
    collector = await start_collector(**ELSEWHERE, admin_key=key)
    for wrong in ("", "Bearer ", "Bearer other", "Basic secret", "Bearer None"):
        refused = await collector.get("/metrics", Authorization=wrong)
        assert refused.status == 401
        assert refused.headers["WWW-Authenticate"].startswith("Bearer ")
        assert b"uptake_" not in await refused.read()
    assert (await collector.get("/metrics", Authorization="Bearer secret")).status == (200 if key else 401)


async def test_health_is_open_and_shows_more_only_to_operators(start_collector: Callable[..., Any]) -> None:
    collector = await start_collector(**ELSEWHERE, admin_key="secret")
    assert (await collector.get("/health/live")).status == 200
    assert await (await collector.get("/health/ready")).json() == {"ready": True}
    shown = await (await collector.get("/health/ready", Authorization="Bearer secret")).json()
    assert shown.keys() == {"ready", "problems", "warnings", "spool"}


async def test_on_loopback_every_page_is_open(collector: Any) -> None:
    assert (await collector.get("/metrics")).status == 200
    assert (await (await collector.get("/health/ready")).json()).keys() > {"ready"}
