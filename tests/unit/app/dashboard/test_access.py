"""Access off loopback: nothing without a key, and a session is a signed cookie that ends with its key."""

import asyncio
from collections.abc import Mapping

import pytest
from aiohttp import ClientResponse

from app.dashboard.access import CUSTOMER_COOKIE, OPERATOR_COOKIE
from app.dashboard.sessions import SESSION_SECONDS
from tests.support.dashboard import (
    ADMIN_KEY,
    API_KEY,
    OTHER_KEY,
    Client,
    Events,
    SetClock,
    SmallServer,
    customers,
)
from tests.unit.app.dashboard.conftest import Start

CTR = b'{"customer":"00000","as_of_ms":1,"windows":[],"total":{"rendered":1}}'
DATA = [
    "/dashboard/00000/ctr",
    "/dashboard/00000/ctr/stream",
    "/dashboard/00000/experiments",
    "/dashboard/00000/experiments/a",
    "/dashboard/00000/users/max",
    "/dashboard/00000/users/max/exclusions",
    "/dashboard/00000/refused",
]
HEALTH = ["/dashboard/health", "/dashboard/health/stream"]


@pytest.fixture
async def outside(start: Start, workers: list[SmallServer]) -> Client:
    """A dashboard that does not listen on loopback, with workers that have data."""
    for worker in workers:
        worker.set("/v1/00000/ctr", CTR)
    return await start(is_private=False)


async def log_in(
    client: Client, key: str = API_KEY, customer: str = "00000", **headers: str
) -> ClientResponse:
    return await client.post("/dashboard/login", json={"customer": customer, "key": key}, headers=headers)


async def session_of(client: Client) -> Mapping[str, object]:
    found: Mapping[str, object] = await (await client.get("/dashboard/session")).json()
    return found


@pytest.mark.parametrize("path", [*DATA, *HEALTH])
async def test_off_loopback_nothing_is_read_without_a_session(
    outside: Client, workers: list[SmallServer], path: str
) -> None:
    answer = await outside.get(path)
    assert answer.status == 401
    assert (await answer.json())["error"] == "unauthorized"
    assert workers[0].asked == []


async def test_an_unknown_customer_gets_the_same_answer_as_a_known_one(outside: Client) -> None:
    known, unknown = await outside.get("/dashboard/00000/ctr"), await outside.get("/dashboard/nobody/ctr")
    assert (known.status, await known.read()) == (unknown.status, await unknown.read())
    wrong_key, wrong_name = await log_in(outside, "wrong"), await log_in(outside, API_KEY, "nobody")
    assert (wrong_key.status, await wrong_key.read()) == (wrong_name.status, await wrong_name.read())
    assert (await session_of(outside))["customers"] == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:7070"},
        {"Host": "127.0.0.1.evil.example"},
        {"X-Forwarded-For": "192.0.2.1"},
        {"X-Forwarded-Proto": "https"},
        {"Forwarded": "for=192.0.2.1"},
        {"X-Real-IP": "192.0.2.1"},
        {"Via": "1.1 proxy"},
    ],
)
async def test_on_loopback_a_request_from_elsewhere_needs_a_session_too(
    start: Start, headers: dict[str, str]
) -> None:
    client = await start(is_private=True)
    for path in (*DATA, *HEALTH):
        assert (await client.get(path, headers=headers)).status == 401, path
    session = await (await client.get("/dashboard/session", headers=headers)).json()
    assert (session["needs_key"], session["customers"], session["operator"]) == (True, [], False)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:7070", "[::1]:7070", "LOCALHOST"])
async def test_on_loopback_this_machine_needs_no_session(
    start: Start, workers: list[SmallServer], host: str
) -> None:
    workers[0].set("/v1/00000/ctr", CTR)
    client = await start(is_private=True)
    assert (await client.get("/dashboard/00000/ctr", headers={"Host": host})).status == 200


async def test_login_opens_the_customers_own_data_until_logout(outside: Client) -> None:
    answer = await log_in(outside)
    assert answer.status == 204
    assert (await outside.get("/dashboard/00000/ctr")).status == 200
    assert (await outside.get("/dashboard/shop/ctr")).status == 200, "an alias is the same customer"
    assert (await outside.get("/dashboard/shop-2/ctr")).status == 401
    assert (await outside.get("/dashboard/health")).status == 401
    session = await session_of(outside)
    assert (session["needs_key"], session["customers"], session["operator"]) == (False, ["00000"], False)
    assert (await outside.post("/dashboard/logout")).status == 204
    assert (await outside.get("/dashboard/00000/ctr")).status == 401


@pytest.mark.parametrize(("headers", "is_secure"), [({}, False), ({"X-Forwarded-Proto": "https"}, True)])
async def test_the_cookie_is_for_this_site_only(
    outside: Client, headers: dict[str, str], is_secure: bool
) -> None:
    answer = await log_in(outside, **headers)
    cookie = answer.cookies[CUSTOMER_COOKIE]
    assert cookie["httponly"]
    assert cookie["samesite"] == "Strict"
    assert cookie["path"] == "/dashboard"
    assert int(cookie["max-age"]) == SESSION_SECONDS
    assert bool(cookie["secure"]) is is_secure
    assert API_KEY not in cookie.value


@pytest.mark.parametrize(
    ("key", "customer"),
    [
        ("wrong", "00000"),
        ("", "00000"),
        ("", "keyless"),
        ("None", "keyless"),
        (OTHER_KEY, "00000"),
        (ADMIN_KEY, "00000"),
        ("ä", "00000"),
    ],
)
async def test_a_wrong_key_opens_nothing(outside: Client, key: str, customer: str) -> None:
    answer = await log_in(outside, key, customer)
    assert answer.status == 401
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b'{"customer":"00000"}', b'{"key":1}', b"\xff", b'{"key":"x","more":1}', b"[" * 2_000],
)
async def test_a_login_that_is_none_is_refused_with_a_sentence(outside: Client, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await outside.post("/dashboard/login", data=body, headers=headers)
    assert answer.status == 400
    assert "a login is" in (await answer.json())["detail"]


async def test_a_large_login_is_refused(outside: Client) -> None:
    answer = await log_in(outside, "x" * 10_000)
    assert answer.status == 413


@pytest.mark.parametrize("path", ["/dashboard/login", "/dashboard/logout"])
async def test_a_page_of_another_site_can_neither_log_in_nor_out(outside: Client, path: str) -> None:
    body = {"customer": "00000", "key": API_KEY}
    answer = await outside.post(path, json=body, headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status == 403
    if path == "/dashboard/login":
        answer = await outside.post(path, data=f'{{"customer":"00000","key":"{API_KEY}"}}')
        assert answer.status == 400, "text/plain needs no preflight"


async def test_a_session_ends_after_its_time(outside: Client, clock: SetClock) -> None:
    await log_in(outside)
    clock.ms += SESSION_SECONDS * 1_000 - 1
    assert (await outside.get("/dashboard/00000/ctr")).status == 200
    clock.ms += 1
    assert (await outside.get("/dashboard/00000/ctr")).status == 401


async def test_a_new_key_ends_the_session_and_its_streams(
    start: Start, workers: list[SmallServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.dashboard.server._LOOK_SECONDS", 0.05)
    workers[0].set("/v1/00000/ctr", CTR)
    known, rotated = customers(), customers()
    client = await start(is_private=False, customers=known)
    await log_in(client)
    async with client.get("/dashboard/00000/ctr/stream") as stream:
        events = Events(stream)
        assert (await events.next())[1]["customer"] == "00000"
        monkeypatch.setattr(known, "_by_name", {**rotated, "00000": rotated["shop-2"]})
        assert await events.ends()
    assert (await client.get("/dashboard/00000/ctr")).status == 401


@pytest.mark.parametrize("name", [CUSTOMER_COOKIE, OPERATOR_COOKIE])
async def test_a_cookie_of_one_kind_is_none_of_the_other(outside: Client, name: str) -> None:
    await log_in(outside)
    answer = await outside.post("/dashboard/login", json={"operator": True, "key": ADMIN_KEY})
    assert answer.status == 204
    jar = {cookie.key: cookie.value for cookie in outside.session.cookie_jar}
    outside.session.cookie_jar.clear()
    swapped = {CUSTOMER_COOKIE: jar[OPERATOR_COOKIE], OPERATOR_COOKIE: jar[CUSTOMER_COOKIE]}
    header = {"Cookie": f"{name}={swapped[name]}"}
    assert (await outside.get("/dashboard/00000/ctr", headers=header)).status == 401
    assert (await outside.get("/dashboard/health", headers=header)).status == 401


async def test_the_operators_key_opens_the_health_and_no_customer(outside: Client) -> None:
    bearer = {"Authorization": f"Bearer {ADMIN_KEY}"}
    assert (await outside.get("/dashboard/health", headers=bearer)).status == 200
    assert (await outside.get("/dashboard/health", headers={"Authorization": "Bearer x"})).status == 401
    assert (await outside.get("/dashboard/00000/ctr", headers=bearer)).status == 401
    answer = await outside.post("/dashboard/login", json={"operator": True, "key": "wrong"})
    assert answer.status == 401
    await outside.post("/dashboard/login", json={"operator": True, "key": ADMIN_KEY})
    assert (await outside.get("/dashboard/health")).status == 200
    assert (await outside.get("/dashboard/00000/ctr")).status == 401
    assert (await session_of(outside))["operator"] is True


async def test_without_an_operators_key_the_health_is_closed_off_loopback(start: Start) -> None:
    client = await start(is_private=False, admin_key=None)
    answer = await client.post("/dashboard/login", json={"operator": True, "key": ""})
    assert answer.status == 401
    assert (await client.get("/dashboard/health", headers={"Authorization": "Bearer "})).status == 401


async def test_sessions_of_another_process_are_none(start: Start, workers: list[SmallServer]) -> None:
    workers[0].set("/v1/00000/ctr", CTR)
    one, other = await asyncio.gather(start(is_private=False), start(is_private=False))
    await log_in(one)
    value = next(each.value for each in one.session.cookie_jar if each.key == CUSTOMER_COOKIE)
    header = {"Cookie": f"{CUSTOMER_COOKIE}={value}"}
    assert (await other.get("/dashboard/00000/ctr", headers=header)).status == 401
    assert (await one.get("/dashboard/00000/ctr", headers=header)).status == 200
