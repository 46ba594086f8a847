"""Admission over HTTP: credentials, rates, and the effect of a changed customers file on a running collector."""

import asyncio
import base64
import logging
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from app.customers.customer_registry import Customers, create_customers_file
from events.signature import sign
from events.target import build_target
from tests.support.tracker import LICENSE_KEY
from tests.unit.app.collector.conftest import Running

OWN = ("locked", "license-of-locked")


def basic(name: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({}, 401, "unauthorized"),
        (basic("locked", "license-of-locke"), 401, "unauthorized"),
        (basic("00000", LICENSE_KEY), 403, "forbidden"),
        (basic("00000", "license-of-locked"), 401, "unauthorized"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
async def test_only_the_customers_own_credentials_let_its_events_in(
    collector: Running, method: str, headers: dict[str, str], status: int, code: str
) -> None:
    problem = {"Accept": "application/problem+json"}
    answer = await collector.ask(method, "/api/locked/click/u/1/5", headers={**headers, **problem})
    assert answer.status == status
    assert ("WWW-Authenticate" in answer.headers) is (status == 401)
    if method != "HEAD":
        assert (await answer.json(content_type=None))["code"] == code
    assert "license-of" not in await answer.text()
    assert collector.events() == []
    accepted = await collector.ask(method, "/api/locked/click/u/1/5", headers=basic(*OWN))
    assert accepted.status == 204
    assert [event.customer for event in collector.events()] == [] if method == "HEAD" else ["locked"]


async def test_credentials_open_no_other_customer_and_are_not_looked_at_where_none_are_required(
    collector: Running,
) -> None:
    for target in ("/api/00000/click/u/1/5", "/news/strict/click/u/1/5"):
        assert (await collector.get(target, **basic("locked", "wrong"))).status == 204
    assert {event.customer for event in collector.events()} == {"00000", "strict"}


async def test_a_signature_with_the_key_of_another_customer_is_none(collector: Running) -> None:
    params = {"overridetimestamp": "2019-11-24T00:00:01"}
    params["signature"] = sign(("1", "5"), LICENSE_KEY, params)
    answer = await collector.ask(
        "GET", build_target("locked", "click", ("u", "1", "5"), params), headers=basic(*OWN)
    )
    assert answer.status == 400
    assert collector.events() == []


async def test_a_preflight_needs_no_credentials_and_costs_nothing(collector: Running) -> None:
    for _ in range(5):
        assert (await collector.ask("OPTIONS", "/api/locked/click/u/1/5")).status == 204
        assert (await collector.ask("OPTIONS", "/api/limited/click/u/1/5")).status == 204
    assert (await collector.get("/api/limited/click/u/1/5")).status == 204


async def test_over_the_rate_nothing_is_recorded_and_others_are_not_held_up(collector: Running) -> None:
    statuses = [(await collector.get("/api/limited/click/u/1/5")).status for _ in range(4)]
    assert statuses == [204, 204, 429, 429]
    refused = await collector.get("/api/limited/click/u/1/5")
    assert 1 <= int(refused.headers["Retry-After"]) <= 100
    assert len(collector.events()) == 2
    assert (await collector.get("/api/00000/click/u/1/5")).status == 204
    page = await (await collector.get("/metrics")).text()
    assert 'uptake_collector_rejected_total{customer="limited",reason="rate_limited"} 3.0' in page


async def until(holds: Any) -> None:
    async with asyncio.timeout(20):
        while not await holds():
            await asyncio.sleep(0.02)


async def test_a_changed_file_is_followed_and_a_wrong_one_is_told_of(
    start_collector: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "uptake.toml"
    create_customers_file(path, "one")
    collector: Running = await start_collector(Customers.load(path))
    right = path.read_text()

    async def status(customer: str) -> int:
        return (await collector.get(f"/api/{customer}/click/u/1/5")).status

    async def warnings() -> list[str]:
        ready = await collector.get("/health/ready")
        assert ready.status == 200
        return (await ready.json())["warnings"]

    assert (await status("one"), await status("two")) == (204, 404)
    path.write_text(right.replace('"one"', '"two"'))

    async def is_two() -> bool:
        return await status("two") == 204

    await until(is_two)
    assert await status("one") == 404

    with caplog.at_level(logging.ERROR):
        path.write_text(right.replace("pseudonym_key", "pseudonym_kye"))
        os.kill(os.getpid(), signal.SIGHUP)
        await until(warnings)
    assert await status("two") == 204
    (warning,) = await warnings()
    assert str(path) in warning
    assert "uptake_customers_stale 1.0" in await (await collector.get("/metrics")).text()
    keys = [line.split('"')[1] for line in right.splitlines() if "key =" in line and "key_id" not in line]
    assert [record.message for record in caplog.records if "is not valid" in record.message] == [warning]
    assert [key for key in keys if key in caplog.text or key in warning] == []

    path.write_text(right)

    async def is_one() -> bool:
        return await status("one") == 204

    await until(is_one)
    assert await warnings() == []
    assert "uptake_customers_stale 0.0" in await (await collector.get("/metrics")).text()
