"""Answers over HTTP to pages of other origins: which of them may read, and send credentials."""

from typing import Any

import pytest

from app.customers.customer import Customer
from app.customers.customer_registry import Customers
from tests.support.tracker import RULES

CLICK = "/api/00000/click/u/1/5"


@pytest.mark.parametrize(
    ("origin", "allowed"), [("https://shop.example", "https://shop.example"), ("https://evil.example", None)]
)
async def test_only_the_customers_origins_may_read(collector: Any, origin: str, allowed: str | None) -> None:
    headers = (await collector.get("/api/strict/click/u/1/5", Origin=origin)).headers
    refused = (await collector.get("/api/strict/click/u/x/5", Origin=origin)).headers
    preflight = (
        await collector.ask("OPTIONS", "/api/strict/click/u/1/5", headers={"Origin": origin})
    ).headers
    for found in (headers, refused, preflight):
        assert found.get("Access-Control-Allow-Origin") == allowed
        assert found.get("Access-Control-Allow-Credentials") == (None if allowed is None else "true")
        assert found["Vary"] == "Origin"


@pytest.mark.parametrize(("listed", "origin"), [("null", "null"), ("*", "https://shop.example")])
async def test_credentials_are_never_for_the_null_origin_or_for_all(
    start_collector: Any, listed: str, origin: str
) -> None:
    customer = Customer(RULES, cors_origins=frozenset({listed}))
    collector = await start_collector(Customers({"00000": customer}))
    headers = (await collector.get(CLICK, Origin=origin)).headers
    assert headers["Access-Control-Allow-Origin"] == listed
    assert "Access-Control-Allow-Credentials" not in headers
