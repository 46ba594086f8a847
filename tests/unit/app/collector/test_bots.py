"""Events of robots and of pages that a browser fetched ahead are answered, counted apart, and never recorded."""

import base64
from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.customers.customer import Customer
from app.customers.customer_registry import Customers
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
    assert await single.json(content_type=None) == {"status": "accepted", "event": None}
    body = [{"type": "click", "user": "u", "item": "5"}]
    many = await collector.ask("POST", "/v1/00000/events?debug=1", json=body, headers=headers)
    told: Any = await many.json()
    assert [each["event"] for each in told["results"]] == [None]


async def test_bad_event_of_a_robot_is_refused_as_any(collector: Running) -> None:
    assert (await collector.get("/api/00000/click/u/0/5", User_Agent=GOOGLE)).status == 400
    assert (await collector.ask("HEAD", CLICK, headers={"User-Agent": GOOGLE})).status == 204
    assert await counted(collector) == {}


async def test_user_agent_is_in_no_record(collector: Running) -> None:
    await collector.get(CLICK, User_Agent=BROWSERS[0])
    ((_, _, value, _),) = collector.sink.records
    assert b"Mozilla" not in value
