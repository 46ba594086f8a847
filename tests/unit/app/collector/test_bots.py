"""Of events of robots and of pages that a browser fetched ahead, only their number is recorded; they are answered as any."""

import asyncio
import base64
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.customers.customer import Customer
from app.customers.customer_registry import Customers
from events.codec import decode
from events.model import BotEvents
from events.signature import sign
from events.target import build_target
from tests.support.tracker import LICENSE_KEY, RULES, rules
from tests.unit.app.collector.conftest import Running, running

GOOGLE = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
ROBOTS = [
    GOOGLE,
    "Mozilla/5.0 (Linux; Android 6.0.1; Nexus 5X Build/MMB29P) (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/120.0.0.0 Safari/537.36",
    "LinkedInBot/1.0 (compatible; Mozilla/5.0; Apache-HttpClient +http://www.linkedin.com)",
]
PROGRAMS = [
    "curl/8.5.0",
    "Wget/1.21",
    "python-requests/2.32.0",
    "Python/3.11 aiohttp/3.14.5",
    "Go-http-client/1.1",
    "okhttp/4.12.0",
    "GuzzleHttp/7",
    "Apache-HttpClient/4.5.14 (Java/17.0.9)",
    "Amazon CloudFront",
]
BROWSERS = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15",
    "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 Instagram 300.0",
    "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Mobile Safari/537.36",
    "",
]
CUSTOMERS = Customers(
    {
        "00000": Customer(RULES),
        "all": Customer(rules(customer="all"), bot_filter="all"),
        "off": Customer(rules(customer="off"), bot_filter="off"),
    }
)
CLICK = "/api/00000/click/u/1/5"


@pytest.fixture
async def collector() -> AsyncIterator[Running]:
    async with running(CUSTOMERS) as started:
        yield started


async def counted(collector: Running) -> dict[tuple[str, str], int]:
    """Return customer and kind -> events of bots."""
    page = await (await collector.get("/metrics")).text()
    lines = [line for line in page.splitlines() if line.startswith("uptake_collector_bots_total{")]
    return {(line.split('"')[1], line.split('"')[3]): int(float(line.rsplit(" ", 1)[1])) for line in lines}


@pytest.mark.parametrize("agent", ROBOTS)
async def test_event_of_a_robot_is_answered_and_only_counted(collector: Running, agent: str) -> None:
    assert (await collector.get(CLICK, User_Agent=agent)).status == 204
    image = await collector.get(CLICK, User_Agent=agent, Accept="image/webp,*/*")
    assert (image.status, image.content_type) == (200, "image/gif")
    assert collector.events() == []
    assert await counted(collector) == {("00000", "robot"): 2}


@pytest.mark.parametrize("agent", [*BROWSERS, *PROGRAMS])
async def test_event_of_a_browser_or_of_a_program_is_recorded(collector: Running, agent: str) -> None:
    assert (await collector.get(CLICK, User_Agent=agent)).status == 204
    assert len(collector.events()) == 1
    assert await counted(collector) == {}


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Purpose": "prefetch"},
        {"Sec-Purpose": "prefetch;prerender"},
        {"Sec-Purpose": "prefetch; anonymous-client-ip"},
        {"sec-purpose": "Prerender"},
        {"Purpose": "prefetch"},
        {"X-Moz": "prefetch"},
    ],
)
async def test_event_of_a_page_fetched_ahead_is_only_counted(
    collector: Running, headers: dict[str, str]
) -> None:
    for method in ("GET", "POST"):
        assert (await collector.ask(method, CLICK, headers=headers)).status == 204
    owner = base64.b64encode(f"00000:{LICENSE_KEY}".encode()).decode()
    await collector.ask("GET", CLICK, headers={**headers, "Authorization": f"Basic {owner}"})
    assert collector.events() == []
    assert await counted(collector) == {("00000", "prefetch"): 3}


@pytest.mark.parametrize(
    "headers", [{"Sec-Purpose": "other"}, {"Purpose": "preview"}, {"X-Moz": "livebookmarks"}]
)
async def test_other_purpose_means_nothing(collector: Running, headers: dict[str, str]) -> None:
    await collector.ask("GET", CLICK, headers=headers)
    assert len(collector.events()) == 1


@pytest.mark.parametrize(
    ("customer", "agent", "is_recorded"),
    [
        ("all", GOOGLE, False),
        ("all", "curl/8.5.0", False),
        ("all", BROWSERS[0], True),
        ("off", GOOGLE, True),
    ],
)
async def test_customer_chooses_what_counts_as_a_bot(
    collector: Running, customer: str, agent: str, is_recorded: bool
) -> None:
    await collector.get(f"/api/{customer}/click/u/1/5", User_Agent=agent)
    assert bool(collector.events()) is is_recorded
    if customer == "off":
        await collector.ask("GET", "/api/off/click/u/1/5", headers={"Sec-Purpose": "prefetch"})
        assert len(collector.events()) == 2


async def test_back_end_with_the_license_key_is_no_robot(collector: Running) -> None:
    owner = base64.b64encode(f"00000:{LICENSE_KEY}".encode()).decode()
    await collector.ask("GET", CLICK, headers={"User-Agent": GOOGLE, "Authorization": f"Basic {owner}"})
    params = {"overridetimestamp": "2012-01-01T11:00:00"}
    params["signature"] = sign(("1", "5"), LICENSE_KEY, params)
    await collector.get(build_target("00000", "click", ("u", "1", "5"), params), User_Agent=GOOGLE)
    assert len(collector.events()) == 2
    wrong = base64.b64encode(b"00000:wrong").decode()
    await collector.ask("GET", CLICK, headers={"User-Agent": GOOGLE, "Authorization": f"Basic {wrong}"})
    assert len(collector.events()) == 2


async def test_batch_of_a_robot_has_its_results_and_records_nothing(collector: Running) -> None:
    body = [{"type": "click", "user": "u", "item": "5"}, {"type": "click", "user": "u"}]
    answer = await collector.ask("POST", "/v1/00000/events", json=body, headers={"User-Agent": GOOGLE})
    told: Any = await answer.json()
    assert [each["status"] for each in told["results"]] == ["accepted", "rejected"]
    single = {"request_id": "r", "user": "u"}
    sent = await collector.ask("POST", "/v1/00000/recommended", json=single, headers={"User-Agent": GOOGLE})
    assert sent.status == 204
    assert collector.events() == []
    assert await counted(collector) == {("00000", "robot"): 2}


async def test_video_page_of_a_robot_records_nothing(collector: Running) -> None:
    shown = 'user=u&data=[{"video_id":5},{"video_id":6}]'
    for path, body in (("presentationtracking", shown), ("click", "user=u&url=/watch/5")):
        answer = await collector.ask(
            "POST",
            f"/uitracking/users/{path}?customer=00000",
            data=body,
            headers={"User-Agent": GOOGLE, "Content-Type": "application/x-www-form-urlencoded"},
        )
        assert answer.status == 204
    assert collector.events() == []
    assert await counted(collector) == {("00000", "robot"): 3}


async def test_debug_answer_says_that_nothing_of_a_robot_was_recorded(collector: Running) -> None:
    headers = {"User-Agent": GOOGLE}
    single = await collector.ask("GET", f"{CLICK}?debug=1", headers=headers)
    robot = {"status": "accepted", "event": None, "bot": "robot"}
    assert await single.json(content_type=None) == robot
    ahead = await collector.ask("GET", f"{CLICK}?debug=1", headers={"Sec-Purpose": "prefetch"})
    assert await ahead.json(content_type=None) == robot | {"bot": "prefetch"}
    body = [{"type": "click", "user": "u", "item": "5"}]
    many = await collector.ask("POST", "/v1/00000/events?debug=1", json=body, headers=headers)
    told: Any = await many.json()
    assert told["results"] == [robot]
    listed = await collector.ask(
        "POST", "/v1/00000/recommended?debug=1", json={"request_id": "r", "user": "u"}, headers=headers
    )
    assert await listed.json(content_type=None) == robot
    for path, shown in (("presentationtracking", [{"video_id": 5}]), ("click", {"url": "/watch/5"})):
        page = f"/uitracking/users/{path}?customer=00000&user=u&debug=1"
        answer = await collector.ask("POST", page, json=shown, headers=headers)
        result: Any = await answer.json(content_type=None)
        assert (result["results"][0] if "results" in result else result) == robot


async def test_bad_event_of_a_robot_is_refused_as_any(collector: Running) -> None:
    assert (await collector.get("/api/00000/click/u/0/5", User_Agent=GOOGLE)).status == 400
    assert (await collector.ask("HEAD", CLICK, headers={"User-Agent": GOOGLE})).status == 204
    assert await counted(collector) == {}


async def test_user_agent_is_in_no_record(collector: Running) -> None:
    await collector.get(CLICK, User_Agent=BROWSERS[0])
    ((_, _, value, _),) = collector.sink.records
    assert b"Mozilla" not in value


# --- what reaches the journal -----------------------------------------------------------------------------------------------------


def numbers(collector: Running) -> Counter[tuple[str, str | None, str | None]]:
    """Return the numbers in the journal: (customer, scenario, variant) -> events. Nothing else may be there."""
    found: Counter[tuple[str, str | None, str | None]] = Counter()
    for _, _, value, _ in collector.sink.records:
        record = decode(value)
        assert isinstance(record, BotEvents)
        for each in record.counts:
            found[record.customer, each.scenario, each.variant] += each.events
    return found


async def test_number_of_events_of_bots_is_in_the_journal_when_the_collector_stops() -> None:
    named = rules(customer="named", scenario_of_unlabelled="all")
    async with running(Customers({"00000": Customer(RULES), "named": Customer(named)})) as collector:

        async def ask(path: str, **headers: str) -> None:
            answer = await collector.get(path, User_Agent=GOOGLE, **headers)
            assert answer.status == 204

        await ask("/api/00000/rendered/u/1/5,6?scenario=home&variant=a&eid=e")
        await ask("/api/00000/rendered/u/1/5,6?scenario=home&variant=a&eid=e")
        await ask("/api/00000/viewed/u/1/5,6?scenario=home")
        await ask("/api/00000/clickrecommended/u/1/5?scenario=home")
        await ask("/api/00000/rendered/u/1/5")
        await ask("/api/00000/click/u/1/5")
        await ask("/api/00000/buy/u/1/5?fullprice=1EUR")
        await ask("/api/00000/rendered/u/1/?scenario=home")
        await ask("/api/named/rendered/u/1/5")
        await ask("/api/named/rendered/u/1/5?scenario=home", Sec_Purpose="prefetch")
        body = [{"type": "rendered", "user": "u", "items": ["5"], "scenario": "home"}] * 3
        headers = {"User-Agent": GOOGLE}
        await collector.ask("POST", "/v1/00000/events", json=body, headers=headers)
        lists = [{"items": ["5"], "scenario": "home"}, {"items": ["6"], "scenario": "basket"}]
        served = {"request_id": "r", "user": "u", "lists": lists}
        await collector.ask("POST", "/v1/00000/recommended", json=served, headers=headers)
        shown = [{"video_id": 5, "track_id": 9, "rank": 0}, {"video_id": 6, "track_id": 9, "rank": 1}]
        page = "/uitracking/users/presentationtracking?customer=00000&user=u"
        await collector.ask("POST", page, json=shown, headers=headers)
    assert numbers(collector) == {
        ("00000", "home", "a"): 2,
        ("00000", "home", None): 6,
        ("00000", "basket", None): 1,
        ("00000", "9", None): 1,
        ("00000", None, None): 1,
        ("named", "all", None): 1,
        ("named", "home", None): 1,
    }


async def test_number_of_events_of_bots_reaches_the_journal_while_the_collector_runs() -> None:
    async with running(CUSTOMERS) as collector:
        await collector.get("/api/00000/rendered/u/1/5?scenario=home", User_Agent=GOOGLE)
        async with asyncio.timeout(20):
            while not collector.sink.records:
                await asyncio.sleep(0.01)
        assert numbers(collector) == {("00000", "home", None): 1}
    assert len(collector.sink.records) == 1


async def test_record_of_bots_holds_neither_user_nor_user_agent() -> None:
    async with running(CUSTOMERS) as collector:
        target = "/api/00000/rendered/maxmustermann/1/5?scenario=home&eid=the-eid&title=secret"
        await collector.get(target, User_Agent=GOOGLE)
    ((_, key, value, _),) = collector.sink.records
    assert key.startswith(b"00000|~")
    said = (b"maxmustermann", RULES.user("maxmustermann").encode(), b"oogle", b"the-eid", b"secret")
    assert not any(each in key + value for each in said)


async def test_no_client_can_send_numbers_of_bots(collector: Running) -> None:
    body = [{"type": "bots", "user": "u", "counts": [{"events": 1_000_000, "scenario": "home"}]}]
    told: Any = await (await collector.ask("POST", "/v1/00000/events", json=body)).json()
    assert told["results"][0]["code"] == "unknown_event"
    assert (await collector.get("/api/00000/bots/u/1/5")).status == 404
    assert collector.events() == []


async def test_events_of_a_customer_without_the_filter_are_not_counted_as_bots() -> None:
    async with running(CUSTOMERS) as collector:
        await collector.get("/api/off/rendered/u/1/5?scenario=home", User_Agent=GOOGLE)
        (event,) = collector.events()
    assert event.__struct_config__.tag == "rendered"
    assert len(collector.sink.records) == 1
