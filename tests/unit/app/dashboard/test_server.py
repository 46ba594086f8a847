"""The dashboard's routes: the page, what is passed on to workers and collectors, and the headers of every answer."""

import asyncio
import json

import pytest
from yarl import URL

from tests.support.dashboard import API_KEY, SmallServer
from tests.unit.app.dashboard.conftest import Start

CTR = b'{"customer":"00000","as_of_ms":1,"windows":[],"total":{"rendered":1}}'


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 200),
        ("/static/index.html", 200),
        ("/static/nothing.js", 404),
        ("/nothing", 404),
        ("/dashboard/session", 200),
        ("/dashboard/login", 405),
        ("/dashboard/00000/ctr", 200),
        ("/dashboard/nobody/ctr", 404),
        ("/dashboard/nobody/experiments", 404),
        ("/dashboard/00000/experiments/", 404),
        ("/dashboard/00000/ctr/stream", 200),
        ("/dashboard/health", 200),
        ("/health/ready", 200),
        ("/favicon.ico", 204),
        (f"/{'x' * 10_000}", 414),
    ],
)
async def test_every_answer_has_the_headers_that_protect_a_reader(
    start: Start, workers: list[SmallServer], path: str, status: int
) -> None:
    workers[0].set("/v1/00000/ctr", CTR)
    client = await start()
    async with client.get(path) as answer:
        assert answer.status == status
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy, "no other origin"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Server"] == "uptake"
        if status >= 400:
            assert (await answer.json()).keys() >= {"error", "detail"}


@pytest.mark.parametrize(
    "path",
    [
        "/static/../server.py",
        "/static/%2e%2e/server.py",
        "/static/..%2fserver.py",
        "/static//etc/passwd",
        "/static/%2fetc%2fpasswd",
        "/static/..%5cserver.py",
        "/static/%00",
    ],
)
async def test_a_path_that_climbs_out_of_the_pages_files_is_refused(start: Start, path: str) -> None:
    client = await start()
    answer = await client.get(URL(path, encoded=True))
    assert answer.status == 404
    assert (await answer.json())["error"] == "unknown_path"


async def test_ctr_is_a_workers_answer_asked_with_the_customers_key(
    start: Start, workers: list[SmallServer]
) -> None:
    workers[0].set("/v1/00000/ctr", CTR)
    client = await start()
    query = "scenario=a%20b%2Fc&granularity=PT1H&by=variant"
    answer = await client.get(URL(f"/dashboard/shop/ctr?{query}", encoded=True))
    assert await answer.read() == CTR
    assert answer.headers["Cache-Control"] == "no-store"
    (asked,) = workers[0].asked
    assert asked.raw_path == f"/v1/00000/ctr?{query}"
    assert asked.headers["Authorization"] == f"Bearer {API_KEY}"


async def test_a_table_for_a_spreadsheet_is_passed_on(start: Start, workers: list[SmallServer]) -> None:
    workers[0].set("/v1/00000/ctr", b"start_ms,ctr\r\n1,2\r\n")
    workers[0].headers = {
        "Content-Type": "text/csv; charset=utf-8",
        "Content-Disposition": 'attachment; filename="ctr.csv"',
        "Vary": "Accept",
        "Set-Cookie": "a=b",
    }
    client = await start()
    answer = await client.get("/dashboard/00000/ctr", headers={"Accept": "text/csv"})
    assert await answer.read() == b"start_ms,ctr\r\n1,2\r\n"
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert "attachment" in answer.headers["Content-Disposition"]
    assert "Set-Cookie" not in answer.headers
    assert workers[0].asked[0].headers["Accept"] == "text/csv"
    workers[0].headers = {"Content-Type": "text/html"}
    assert (await client.get("/dashboard/00000/ctr")).status == 503, "another program listens there"


@pytest.mark.parametrize("page", ["", "/exclusions"])
async def test_a_user_is_passed_on_as_it_was_encoded(
    start: Start, workers: list[SmallServer], page: str
) -> None:
    path = f"/users/a%2Fb%20%C3%A4%2e%2e{page}"
    workers[0].set(f"/v1/00000{path}", {"known": True})
    client = await start()
    answer = await client.get(URL(f"/dashboard/00000{path}?threshold=1", encoded=True))
    assert (answer.status, await answer.json()) == (200, {"known": True})
    assert workers[0].paths() == [f"/v1/00000{path}?threshold=1"]


@pytest.mark.parametrize("name", ["", "/a%2Fb%20%C3%A4%2e%2e", "/%3Cscript%3E", f"/{'x' * 256}"])
async def test_experiments_are_passed_on_as_they_were_encoded(
    start: Start, workers: list[SmallServer], name: str
) -> None:
    workers[0].set(f"/v1/00000/experiments{name}", {"verdict": "better"})
    client = await start()
    query = "metric=revenue_per_call&currency=EUR&steps=1"
    answer = await client.get(URL(f"/dashboard/shop/experiments{name}?{query}", encoded=True))
    assert (answer.status, await answer.json()) == (200, {"verdict": "better"})
    (asked,) = workers[0].asked
    assert asked.raw_path == f"/v1/00000/experiments{name}?{query}"
    assert asked.headers["Authorization"] == f"Bearer {API_KEY}"


async def test_an_experiment_that_a_worker_does_not_know_is_not_found(
    start: Start, workers: list[SmallServer]
) -> None:
    refusal = {"code": "unknown_experiment", "sentence": "no user saw it"}
    workers[0].set("/v1/00000/experiments/nothing", refusal, 404)
    client = await start()
    answer = await client.get("/dashboard/00000/experiments/nothing")
    assert (answer.status, await answer.json()) == (
        404,
        {"error": "unknown_experiment", "detail": "no user saw it"},
    )


@pytest.mark.parametrize(
    "user", ["..", "%2e%2e", "..%2F..%2Fshop-2%2Fctr", "a%3Fb=1", "a%23b", "%2F%2Fevil.example", "a;b"]
)
async def test_no_name_leads_to_another_address_of_a_worker(
    start: Start, workers: list[SmallServer], user: str
) -> None:
    client = await start()
    for rest in (f"users/{user}", f"users/{user}/exclusions", f"experiments/{user}"):
        await client.get(URL(f"/dashboard/00000/{rest}", encoded=True))
    assert workers[0].paths() or user == "..", "a client may resolve it by itself"
    for path in workers[0].paths():
        assert path.startswith(("/v1/00000/users/", "/v1/00000/experiments/"))
        assert path.count("/") == 4 + path.endswith("/exclusions")


async def test_no_log_line_holds_what_was_asked(
    start: Start, workers: list[SmallServer], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    client = await start()
    workers[0].set("/v1/00000/users/maxmustermann", b"no JSON")
    await client.get("/dashboard/00000/users/maxmustermann?scenario=secret")
    for worker in workers:
        await worker.stop()
    answer = await client.get("/dashboard/00000/users/maxmustermann?scenario=secret")
    assert answer.status == 503
    ours = [line.getMessage() for line in caplog.records if line.name.startswith(("app.", "aiohttp"))]
    assert any("does not answer" in line for line in ours)
    assert not [line for line in ours if "maxmustermann" in line or "secret" in line]


async def test_a_workers_refusal_is_passed_on_in_the_dashboards_form(
    start: Start, workers: list[SmallServer]
) -> None:
    refusal = {"code": "bad_parameter", "sentence": "from must be before to", "parameter": "from"}
    workers[0].set("/v1/00000/ctr", refusal, 400)
    client = await start()
    answer = await client.get("/dashboard/00000/ctr?from=2&to=1")
    assert answer.status == 400
    assert await answer.json() == {
        "error": "bad_parameter",
        "detail": "from must be before to",
        "parameter": "from",
    }
    assert workers[1].asked == [], "another worker would say the same"


async def test_another_worker_answers_for_one_that_is_gone_or_not_ready(
    start: Start, workers: list[SmallServer]
) -> None:
    unavailable = {"code": "unavailable", "sentence": "partition 1 is being restored", "retry_after_s": 2}
    workers[0].set("/v1/00000/ctr", unavailable, 503)
    workers[1].set("/v1/00000/ctr", CTR)
    client = await start()
    assert (await client.get("/dashboard/00000/ctr")).status == 200
    assert (await client.get("/dashboard/00000/ctr")).status == 200
    assert len(workers[0].asked) == 1, "the one that answered last is asked first"
    await workers[0].stop()
    assert (await client.get("/dashboard/00000/ctr")).status == 200
    await workers[1].stop()
    await workers[0].start()
    workers[0].set("/v1/00000/ctr", CTR)
    assert (await client.get("/dashboard/00000/ctr")).status == 200


async def test_without_a_worker_the_answer_says_since_when(start: Start, workers: list[SmallServer]) -> None:
    client = await start()
    for worker in workers:
        worker.set("/v1/00000/ctr", CTR)
    await client.get("/dashboard/00000/ctr")
    for worker in workers:
        await worker.stop()
    answer = await client.get("/dashboard/00000/ctr")
    assert answer.status == 503
    assert answer.headers["Retry-After"] == "1"
    said = await answer.json()
    assert said["error"] == "unavailable"
    assert said["stale_since_ms"] == 1_700_000_000_000


async def test_a_worker_that_hangs_does_not_hold_an_answer_up(
    start: Start, workers: list[SmallServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.dashboard.server._QUIET_SECONDS", 0.2)
    client = await start()
    workers[0].delay_s = 60
    workers[1].set("/v1/00000/ctr", CTR)
    async with asyncio.timeout(10):
        answer = await client.get("/dashboard/00000/ctr")
    assert await answer.read() == CTR


async def test_workers_with_another_customers_file_are_named(
    start: Start, workers: list[SmallServer]
) -> None:
    workers[0].set("/v1/00000/ctr", {"code": "unauthorized", "sentence": "send the key"}, 401)
    client = await start()
    answer = await client.get("/dashboard/00000/ctr")
    assert answer.status == 503
    assert "customers file" in (await answer.json())["detail"]


async def test_a_customers_key_is_not_sent_where_a_redirect_leads(
    start: Start, workers: list[SmallServer]
) -> None:
    workers[0].set("/v1/00000/ctr", b"", 307)
    workers[0].headers = {"Location": f"{workers[1].url}/v1/00000/ctr"}
    workers[1].set("/v1/00000/ctr", CTR)
    client = await start()
    answer = await client.get("/dashboard/00000/ctr")
    assert (answer.status, workers[1].asked) == (503, [])


async def test_session_on_loopback_names_all_customers_and_a_collector(
    start: Start, collectors: list[SmallServer]
) -> None:
    client = await start()
    assert await (await client.get("/dashboard/session")).json() == {
        "loopback": True,
        "customers": ["00000", "shop-2", "keyless"],
        "needs_key": False,
        "operator": True,
        "expires_ms": None,
        "collector": collectors[0].url,
    }


async def test_refused_requests_of_all_collectors_are_added_up(
    start: Start, collectors: list[SmallServer]
) -> None:
    for number, each in enumerate(collectors, 1):
        page = {
            "customer": "00000",
            "since_ms": 10 * number,
            "refused": {"bad_item": number},
            "recorded_without": {},
            "last": [{"time_ms": number}],
        }
        each.set("/v1/00000/refused", page)
    client = await start()
    page = await (await client.get("/dashboard/00000/refused")).json()
    assert page["refused"] == {"bad_item": 3}
    assert page["since_ms"] == 10
    assert [entry["time_ms"] for entry in page["last"]] == [2, 1]
    assert collectors[1].asked[0].headers["Authorization"] == f"Bearer {API_KEY}"
    await collectors[0].stop()
    page = await (await client.get("/dashboard/00000/refused")).json()
    assert page["collectors"] == {"asked": 2, "answered": 1}
    await collectors[1].stop()
    assert (await client.get("/dashboard/00000/refused")).status == 503


async def test_ready_names_the_process(start: Start) -> None:
    client = await start()
    answer = await client.get("/health/ready")
    assert (answer.status, await answer.json()) == (200, {"ready": True})
    assert answer.headers["Uptake-Pid"].isdigit()
    assert json.loads(await (await client.get("/health/live")).read()) == {"live": True}
