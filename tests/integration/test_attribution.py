"""Visitors see, click, log in and buy over a real collector; CTR says what each impression led to, wherever its users live.

Of two users whom a login links, each lives in another partition, and at another worker.
"""

import itertools
import json
import time
import urllib.request
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest

from events.model import user_key
from events.partitions import partition_of
from tests.faults.cluster import CUSTOMER, Cluster, started_cluster
from tests.faults.collectors import CollectorProcess

pytestmark = pytest.mark.broker

PARTITIONS = 4
MINUTE_MS = 60_000
SPAN_MINUTES = 95
FIRST_MINUTES_AGO = 23 * 60
WORKERS = ("w0", "w1")

Windows = dict[tuple[str, int], dict[str, Any]]
"""(scenario, minute) -> the counters that are not 0"""


class Shop:
    """A collector, a Kafka, and two workers that own half of the partitions each."""

    def __init__(self, cluster: Cluster, collector: CollectorProcess) -> None:
        self.cluster, self._collector = cluster, collector
        owned = [sorted(map(int, cluster.partitions_of(name))) for name in WORKERS]
        assert [len(each) for each in owned] == [PARTITIONS // 2] * 2
        self._homes = [home for pair in zip(*owned, strict=True) for home in pair]
        """The partitions, those of the two workers in turn."""
        self._raws = (f"user-{number}" for number in itertools.count())
        self._starts = itertools.count(_now_ms() - FIRST_MINUTES_AGO * MINUTE_MS, SPAN_MINUTES * MINUTE_MS)

    def begin(self) -> "Visit":
        """Return a visit in a span of time of its own."""
        return Visit(self, next(self._starts) // MINUTE_MS * MINUTE_MS)

    def users(self, count: int) -> list[str]:
        """Return new raw ids; each two neighbours have other partitions and other workers."""
        homes = itertools.cycle(self._homes)
        return [self._living_in(next(homes)) for _ in range(count)]

    def _living_in(self, partition: int) -> str:
        user_of = self.cluster.customer.rules.user
        keys = ((raw, user_key(CUSTOMER, user_of(raw))) for raw in self._raws)
        return next(raw for raw, key in keys if partition_of(key, PARTITIONS) == partition)

    def post(self, path: str, body: Any = None) -> None:
        """Send a request; fail unless everything in it was accepted."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._collector.port}{path}",
            None if body is None else json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            if body is None:
                assert answer.status == 204
            else:
                assert json.load(answer)["accepted"] == len(body)

    def get(self, path: str, agent: str) -> None:
        """Send a request with this User-Agent; fail unless it was accepted."""
        url = f"http://127.0.0.1:{self._collector.port}{path}"
        with urllib.request.urlopen(
            urllib.request.Request(url, None, {"User-Agent": agent}), timeout=10
        ) as answer:
            assert answer.status == 204

    def settle(self) -> None:
        """Wait until the tables hold everything that was sent."""
        self.cluster.wait_drained()


class Visit:
    """Sends events of given minutes, and asks for the CTR windows of these minutes."""

    def __init__(self, shop: Shop, start_ms: int) -> None:
        self._shop, self._start_ms = shop, start_ms

    def send(self, minute: float, path: str, **parameters: str) -> None:
        """Send an event as a page does that says when it happened."""
        clocks = {"created": self._start_ms + int(minute * MINUTE_MS) + MINUTE_MS // 2, "sent": _now_ms()}
        self._shop.post(f"/api/{CUSTOMER}/{path}?{urlencode(parameters | clocks)}")

    def show(self, minute: float, user: str, items: str, **parameters: str) -> None:
        self.send(minute, f"rendered/{user}/1/{items}", **parameters)

    def click(self, minute: float, user: str, item: str, **parameters: str) -> None:
        self.send(minute, f"clickrecommended/{user}/1/{item}", **parameters)

    def basket(self, minute: float, user: str, item: str) -> None:
        self.send(minute, f"basket/{user}/1/{item}")

    def buy(self, minute: float, user: str, item: str, price: str, **parameters: str) -> None:
        self.send(minute, f"buy/{user}/1/{item}", fullprice=price, **parameters)

    def login(self, minute: float, source: str, target: str) -> None:
        self.send(minute, f"login/{source}/{target}")

    def windows(self) -> Windows:
        """Return what was counted in this visit's span. Both workers say the same, and no CTR is above 1."""
        first, second = (self._ask(name) for name in WORKERS)
        assert first == second
        for window in first:
            assert 0 <= window["attributed_clicks"] <= window["rendered"], window
            assert (window["ctr_rendered"]["value"] or 0) <= 1, window
        return {
            (window["scenario"], (window["start_ms"] - self._start_ms) // MINUTE_MS): counters
            for window in first
            if (counters := _counters(window))
        }

    def _ask(self, name: str) -> list[dict[str, Any]]:
        span = f"from={self._start_ms}&to={self._start_ms + SPAN_MINUTES * MINUTE_MS}&granularity=PT1M"
        status, answer = self._shop.cluster.get(f"/v1/{CUSTOMER}/ctr?{span}", name)
        assert status == 200, answer
        windows: list[dict[str, Any]] = answer["windows"]
        return windows


def _counters(window: dict[str, Any]) -> dict[str, Any]:
    names = (
        "rendered",
        "clicks",
        "attributed_clicks",
        "unlabelled_impressions",
        "basket",
        "purchases",
        "revenue",
    )
    return {name: window[name] for name in names if window[name]}


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def euros(amount: str) -> dict[str, str]:
    return {"EUR": amount}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with started_cluster(tmp_path_factory.mktemp("attribution"), PARTITIONS, *WORKERS) as cluster:
        collector = CollectorProcess(
            cluster.broker.bootstrap, cluster.directory, cluster.customers_file, PARTITIONS
        )
        cluster.on_close.append(collector.close)
        collector.start()
        cluster.wait_until(
            lambda: all(len(cluster.partitions_of(name)) == PARTITIONS // 2 for name in WORKERS),
            "each worker owns half of the partitions",
        )
        yield Shop(cluster, collector)


def test_purchase_under_the_account_counts_at_what_the_visitor_saw_before_the_login(shop: Shop) -> None:
    """Also if the account's events arrive before what the login moves, and if its purchases come before its login."""
    in_turn, account_first = shop.begin(), shop.begin()
    visits = {in_turn: shop.users(2), account_first: shop.users(2)}
    for visit, (visitor, account) in visits.items():
        if visit is account_first:
            visit.buy(20, account, "12", "19.99EUR", quantity="2")
            visit.basket(15, account, "12")
        visit.show(5, visitor, "11,12,13", scenario="p")
        visit.click(7, visitor, "12", scenario="q")
        visit.basket(8, visitor, "12")
        visit.login(9, visitor, account)
    shop.settle()
    visitor, account = visits[in_turn]
    in_turn.basket(15, account, "12")
    in_turn.buy(20, account, "12", "19.99EUR", quantity="2")
    shop.settle()
    for visit in visits:
        assert visit.windows() == {
            ("p", 5): {
                "rendered": 3,
                "attributed_clicks": 1,
                "basket": 1,
                "purchases": 1,
                "revenue": euros("39.98"),
            },
            ("q", 7): {"clicks": 1},
        }


def test_what_comes_under_the_old_cookie_after_the_login_follows_it(shop: Shop) -> None:
    """The thank-you page, and a click on a page that was open. More than an hour after the login nothing follows."""
    visit, clicked, too_late = shop.begin(), shop.begin(), shop.begin()
    visitor, account = shop.users(2)
    visit.show(5, visitor, "12", scenario="p")
    visit.click(6, visitor, "12", scenario="p")
    visit.login(7, visitor, account)
    visit.buy(9, visitor, "12", "5.00EUR")
    visitor, account = shop.users(2)
    clicked.show(5, visitor, "12", scenario="p")
    clicked.login(7, visitor, account)
    clicked.click(8, visitor, "12", scenario="q")
    clicked.buy(9, visitor, "12", "10EUR")
    clicked.click(9, account, "12", scenario="q")
    clicked.buy(11, account, "12", "100EUR")
    visitor, account = shop.users(2)
    too_late.show(5, visitor, "12", scenario="p")
    too_late.click(20, visitor, "12", scenario="p")
    too_late.login(15, visitor, account)
    too_late.buy(78, visitor, "12", "5.00EUR")
    shop.settle()
    assert visit.windows() == {
        ("p", 5): {"rendered": 1, "attributed_clicks": 1, "purchases": 1, "revenue": euros("5.00")},
        ("p", 6): {"clicks": 1},
    }
    assert clicked.windows() == {
        ("p", 5): {"rendered": 1, "attributed_clicks": 1, "purchases": 2, "revenue": euros("110")},
        ("q", 8): {"clicks": 1},
        ("q", 9): {"clicks": 1},
    }
    assert too_late.windows() == {
        ("p", 5): {"rendered": 1, "attributed_clicks": 1},
        ("p", 20): {"clicks": 1},
    }


def test_two_visitors_who_log_in_as_one_account_keep_what_each_saw(shop: Shop) -> None:
    visit = shop.begin()
    phone, account, laptop, _ = shop.users(4)
    visit.show(5, phone, "12", scenario="p")
    visit.click(6, phone, "12", scenario="p")
    visit.show(7, laptop, "12,13", scenario="q")
    visit.click(8, laptop, "12", scenario="q")
    visit.click(8, laptop, "13", scenario="q")
    visit.login(10, phone, account)
    visit.login(11, laptop, account)
    visit.buy(12, account, "12", "3.00EUR")
    visit.buy(13, account, "13", "4.00EUR")
    shop.settle()
    assert visit.windows() == {
        ("p", 5): {"rendered": 1, "attributed_clicks": 1},
        ("p", 6): {"clicks": 1},
        ("q", 7): {"rendered": 2, "attributed_clicks": 2, "purchases": 2, "revenue": euros("7.00")},
        ("q", 8): {"clicks": 2},
    }


def test_showings_follow_a_chain_of_logins_and_end_in_a_circle(shop: Shop) -> None:
    chain, circle = shop.begin(), shop.begin()
    first, second, third, _, other = shop.users(5)
    chain.show(1, first, "12", scenario="p")
    chain.login(2, first, second)
    chain.login(3, second, third)
    chain.login(4, second, other)
    chain.click(6, third, "12", scenario="p")
    chain.click(7, other, "12", scenario="p")
    chain.buy(8, third, "12", "8.00EUR")
    one, two = shop.users(2)
    circle.show(5, one, "12", scenario="p")
    circle.login(6, one, two)
    circle.login(7, two, one)
    circle.click(9, one, "12", scenario="p")
    circle.buy(11, one, "12", "9.00EUR")
    shop.settle()
    assert chain.windows() == {
        ("p", 1): {"rendered": 1, "attributed_clicks": 1, "purchases": 1, "revenue": euros("8.00")},
        ("p", 6): {"clicks": 1},
        ("p", 7): {"clicks": 1},
    }
    assert circle.windows() == {
        ("p", 5): {"rendered": 1, "attributed_clicks": 1, "purchases": 1, "revenue": euros("9.00")},
        ("p", 9): {"clicks": 1},
    }


def test_events_that_arrive_before_what_they_follow_from_are_joined(shop: Shop) -> None:
    """A purchase, its click, and then what was shown; also a late showing, which takes a click from one that a login moved."""
    visit, corrected = shop.begin(), shop.begin()
    (visitor,) = shop.users(1)
    visit.buy(9, visitor, "12", "6.00EUR")
    visit.click(8, visitor, "12", scenario="q")
    visit.show(5, visitor, "12", scenario="p")
    source, target = shop.users(2)
    corrected.show(6, source, "12", scenario="p")
    corrected.login(7, source, target)
    corrected.click(9, target, "12", scenario="q")
    corrected.buy(10, target, "12", "7.00EUR")
    shop.settle()
    assert corrected.windows()["p", 6]["attributed_clicks"] == 1
    corrected.show(8, target, "12", scenario="q")
    shop.settle()
    assert visit.windows() == {
        ("p", 5): {"rendered": 1, "attributed_clicks": 1, "purchases": 1, "revenue": euros("6.00")},
        ("q", 8): {"clicks": 1},
    }
    assert corrected.windows() == {
        ("p", 6): {"rendered": 1},
        ("q", 8): {"rendered": 1, "attributed_clicks": 1, "purchases": 1, "revenue": euros("7.00")},
        ("q", 9): {"clicks": 1},
    }


def test_click_and_showing_of_one_batch_are_joined_in_order_of_time(shop: Shop) -> None:
    (visitor,) = shop.users(1)
    scenario, now_ms = "batch", _now_ms()

    def an_event(kind: str, seconds_ago: int, **fields: Any) -> dict[str, Any]:
        clocks = {"created_ms": now_ms - 1_000 * seconds_ago, "sent_ms": now_ms}
        return {"type": kind, "user": visitor, "scenario": scenario, **clocks, **fields}

    batch = [an_event("clickrecommended", 1, item="12"), an_event("rendered", 5, items=["11", "12"])]
    shop.post(f"/v1/{CUSTOMER}/events", batch)
    shop.settle()
    span = f"from={now_ms - 2 * MINUTE_MS}&to={now_ms + 2 * MINUTE_MS}"
    status, answer = shop.cluster.get(f"/v1/{CUSTOMER}/ctr?scenario={scenario}&{span}")
    assert status == 200, answer
    assert _counters(answer["total"]) == {"rendered": 2, "clicks": 1, "attributed_clicks": 1}
    assert answer["total"]["ctr_rendered"]["value"] == 0.5


def test_nothing_is_joined_beyond_its_window(shop: Shop) -> None:
    """A click joins at most 30 minutes back, and a purchase 60, also through a login."""
    visit = shop.begin()
    visitor, account = shop.users(2)
    visit.show(0, visitor, "11,12", scenario="p")
    visit.click(29, visitor, "11", scenario="q")
    visit.click(31, visitor, "12", scenario="q")
    visit.login(32, visitor, account)
    visit.buy(88, account, "11", "1.00EUR")
    visit.buy(90, account, "12", "2.00EUR")
    visit.buy(92, account, "12", "4.00EUR")
    shop.settle()
    assert visit.windows() == {
        ("p", 0): {"rendered": 2, "attributed_clicks": 1, "purchases": 1, "revenue": euros("1.00")},
        ("q", 29): {"clicks": 1},
        ("q", 31): {"clicks": 1, "purchases": 1, "revenue": euros("2.00")},
    }


def test_five_clicks_on_one_shown_item_are_one_attributed_click(shop: Shop) -> None:
    """They do not look for an older impression either. Clicks of visitor and account on the same one are also one."""
    visit, linked = shop.begin(), shop.begin()
    (visitor,) = shop.users(1)
    visit.show(1, visitor, "12", scenario="older")
    visit.show(2, visitor, "12", scenario="p")
    for _ in range(5):
        visit.click(4, visitor, "12", scenario="p")
    visitor, account = shop.users(2)
    linked.show(2, visitor, "12", scenario="p")
    linked.click(4, visitor, "12", scenario="p")
    linked.login(5, visitor, account)
    linked.click(6, account, "12", scenario="p")
    shop.settle()
    assert visit.windows() == {
        ("older", 1): {"rendered": 1},
        ("p", 2): {"rendered": 1, "attributed_clicks": 1},
        ("p", 4): {"clicks": 5},
    }
    assert linked.windows() == {
        ("p", 2): {"rendered": 1, "attributed_clicks": 1},
        ("p", 4): {"clicks": 1},
        ("p", 6): {"clicks": 1},
    }


def test_click_with_a_scenario_on_an_impression_without_one_gives_no_ctr_above_1(shop: Shop) -> None:
    """The scenario of the click says how many impressions lack its name. One labelled impression does not make its CTR 5."""
    visit = shop.begin()
    (visitor,) = shop.users(1)
    visit.show(5, visitor, "11,12,13,14,15")
    for item in range(11, 16):
        visit.click(6, visitor, str(item), scenario="s")
    visit.show(7, visitor, "21", scenario="s")
    shop.settle()
    assert visit.windows() == {
        ("unknown", 5): {"rendered": 5, "attributed_clicks": 5},
        ("s", 5): {"unlabelled_impressions": 5},
        ("s", 6): {"clicks": 5},
        ("s", 7): {"rendered": 1},
    }


def test_robots_are_counted_apart_in_the_scenario_that_they_name(shop: Shop) -> None:
    (visitor,) = shop.users(1)
    googlebot = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
    begun_ms = _now_ms()
    for _ in range(5):
        shop.get(f"/api/{CUSTOMER}/rendered/{visitor}/1/11,12?scenario=robots&variant=a", googlebot)
    shop.get(f"/api/{CUSTOMER}/clickrecommended/{visitor}/1/11?scenario=robots&variant=a", googlebot)
    shop.get(f"/api/{CUSTOMER}/rendered/{visitor}/1/13?scenario=robots", "Mozilla/5.0 Firefox/133.0")

    def totals() -> dict[str, Any]:
        shop.settle()
        span = f"from={begun_ms - MINUTE_MS}&to={_now_ms() + MINUTE_MS}&scenario=robots"
        status, answer = shop.cluster.get(f"/v1/{CUSTOMER}/ctr?{span}", WORKERS[0])
        assert status == 200, answer
        return {name: number for name, number in answer["total"].items() if number and "ctr" not in name}

    deadline = time.monotonic() + 30  # a collector writes the numbers of robots once a second
    while totals().get("bots", 0) < 6 and time.monotonic() < deadline:
        time.sleep(0.1)
    found = totals()
    del found["clicks_per_call"]
    assert found == {"bots": 6, "rendered": 1}
    status, page = shop.cluster.get(f"/v1/{CUSTOMER}/users/{visitor}", WORKERS[0])
    assert status == 200, page
    assert [each["item"] for each in page["rendered"]] == ["13"]
    assert page["clicked"] == []
