"""A shop owner sees refusals of a real collector: page, metrics, log and debug answers, with Kafka behind it and no id in any of them."""

import json
import re
from pathlib import Path

import pytest

from tests.support.golden import CUSTOMERS_TOML, pseudonym
from tests.support.live_collector import LiveCollector, live_collector

pytestmark = pytest.mark.broker

MARK = "marker0815"
KEPT = 100
IMAGE = {"Accept": "image/avif,image/webp,*/*;q=0.8"}


def counted(collector: LiveCollector) -> dict[tuple[str, str], int]:
    """Return (customer, reason) -> refusals, without those that did not happen."""
    page = collector.ask("GET /metrics").body.decode()
    found = re.findall(
        r'^uptake_collector_rejected_total\{customer="(.+)",reason="(.+)"\} (.+)$', page, re.MULTILINE
    )
    return {(customer, reason): int(float(count)) for customer, reason, count in found if float(count)}


def test_refusals_are_seen_by_customer_and_hold_no_id(kafka: str, tmp_path: Path) -> None:
    with live_collector(kafka, tmp_path / "collector", CUSTOMERS_TOML) as collector:
        recorded_before = len(collector.records())
        refused = [
            f"GET /api/00000/consume/{MARK}/1/{MARK}?percentage=101",
            *[f"GET /api/00000/buy/{MARK}/1/{MARK}?quantity=0,5&signature={MARK}"] * KEPT,
            f"GET /api/strict/clickrecommended/{MARK}/1/{MARK}",
            f"GET /api/{MARK}/click/{MARK}/1/5",
        ]
        for request in refused:
            headers = {"User-Agent": MARK, "X-Forwarded-For": "192.0.2.7", "Cookie": f"uptake_user={MARK}"}
            assert collector.ask(request, headers).status in (400, 404)
        assert collector.ask(f"GET /api/00000/buy/{MARK}/1/5?fullprice=NaNEUR").status == 204

        pages = {
            customer: collector.ask(f"GET /v1/{customer}/refused").body for customer in ("00000", "strict")
        }
        shown = json.loads(pages["00000"])
        assert shown["refused"] == {"bad_percentage": 1, "bad_quantity": KEPT}
        assert shown["recorded_without"] == {"price_unreadable": 1}
        assert [entry["code"] for entry in shown["last"]] == ["bad_quantity"] * KEPT
        assert shown["last"][0]["parameters"] == {"quantity": "0,5", "signature": None}
        assert json.loads(pages["strict"])["refused"] == {"missing_scenario": 1}
        assert counted(collector) == {
            ("00000", "bad_percentage"): 1,
            ("00000", "bad_quantity"): KEPT,
            ("strict", "missing_scenario"): 1,
            ("unknown", "unknown_customer"): 1,
        }
        assert [each for each in pages.values() if MARK.encode() in each or b"192.0.2" in each] == []
        assert len(collector.records()) == recorded_before + 1
        assert collector.stop() == 0

        log = collector.log.read_text()
        assert MARK not in log
        assert "192.0.2" not in log
        lines = re.findall(r"customer (\S+): (\d+) requests or elements refused since .*: (\w+),", log)
        assert sorted(lines) == [
            ("00000", "1", "bad_percentage"),
            ("00000", "1", "bad_quantity"),
            ("00000", str(KEPT - 1), "bad_quantity"),
            ("strict", "1", "missing_scenario"),
            ("unknown", "1", "unknown_customer"),
        ]


def test_debug_shows_the_record_that_is_in_kafka(kafka: str, tmp_path: Path) -> None:
    with live_collector(kafka, tmp_path / "collector", CUSTOMERS_TOML) as collector:
        before = len(collector.records())
        target = f"/api/00000/clickrecommended/{MARK}/1/155?scenario=also_bought&title=x"
        assert collector.ask(f"GET {target}", IMAGE).headers["Content-Type"] == "image/gif"
        answer = collector.ask(f"GET {target}&debug=1", IMAGE)
        assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
        told = json.loads(answer.body)
        plain, shown = [record.value for record in collector.records()[before:]]
        assert told["event"] == shown
        assert shown["user"] == pseudonym("00000", MARK)
        times = {"time_ms": 0, "received_ms": 0}
        assert plain | times == shown | times
        assert MARK.encode() not in answer.body
