"""Unread values are counted one by one, and logged at a bounded rate without what was sent."""

from typing import Any

import pytest

from app.collector.sparse_log import LOG_EVERY_S
from app.collector.unread_values import unread_log

REASON = "price_unreadable"


def test_customer_gets_one_line_in_a_while(caplog: pytest.LogCaptureFixture) -> None:
    now_s = 5.0
    values = unread_log(lambda: now_s)
    for customer in ("shop", "shop", "shop", "other"):
        values.add((customer, REASON))
    now_s += LOG_EVERY_S
    values.add(("shop", REASON))
    assert [record.getMessage() for record in caplog.records] == [
        f"customer {customer}: {events} events were recorded without a value that cannot be read: {REASON}"
        for customer, events in (("shop", 1), ("other", 1), ("shop", 3))
    ]


async def test_sale_without_a_readable_price_is_in_the_journal_counted_and_logged(
    collector: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("WARNING")
    assert (await collector.get("/api/00000/buy/secret-user/1/5?fullprice=NaNEUR")).status == 204
    element = '[{"type":"buy","user":"secret-user","item":"6","price":"secret-price"}]'
    answer = await collector.ask(
        "POST", "/v1/00000/events", data=element, headers={"Content-Type": "application/json"}
    )
    assert (await answer.json())["accepted"] == 1
    assert [(event.item, event.price) for event in collector.events()] == [("5", None), ("6", None)]
    page = await (await collector.get("/metrics")).text()
    assert (
        f'uptake_collector_unread_values_total{{customer="00000",reason="{REASON}"}} 2.0' in page.splitlines()
    )
    assert caplog.text.count(REASON) == 1
    assert "secret" not in caplog.text
    strict = await collector.get("/api/strict/buy/u/1/5?fullprice=NaNEUR")
    assert (strict.status, len(collector.events())) == (400, 2)
