"""The health of a deployment: every server with its state, and one look for all readers."""

import asyncio
from typing import Any

from tests.support.dashboard import ADMIN_KEY, Events, SetClock, SmallServer
from tests.support.lookups import NOW
from tests.unit.app.dashboard.conftest import Start


def set_worker(worker: SmallServer, folded: int, **more: Any) -> None:
    status = {"ready": True, "lag": 3, "alarms": [], "warnings": [], **more}
    partition = {"ready": True, "lag": 3, "folded": folded, "deadlettered": 2}
    worker.set("/v1/status", {**status, "partitions": {"0": partition}})


def set_collector(collector: SmallServer, accepted: int, **more: Any) -> None:
    spool = {"spooling": True, "events": 7, "oldest_seconds": 1.5}
    ready = {"ready": True, "problems": [], "warnings": [], "spool": spool, **more}
    collector.set("/health/ready", ready, 200 if ready["ready"] else 503)
    collector.set(
        "/metrics", b'uptake_collector_accepted_total{event="rendered"} %d.0\nother 1.0\n' % accepted
    )


async def test_health_has_every_server_and_the_sums(
    start: Start, workers: list[SmallServer], collectors: list[SmallServer], clock: SetClock
) -> None:
    alarm = {"alarm": "paused", "partition": 0, "message": "do this"}
    set_worker(workers[0], 100, alarms=[alarm], warnings=["a warning"])
    set_worker(workers[1], 200)
    set_collector(collectors[0], 10)
    set_collector(collectors[1], 10, ready=False, problems=["the disk is full"])
    client = await start()
    page = await (await client.get("/dashboard/health")).json()
    assert page["as_of_ms"] == NOW
    assert [(each["url"], each["ok"]) for each in page["workers"]] == [(each.url, True) for each in workers]
    assert [each["ok"] for each in page["collectors"]] == [True, False]
    assert page["workers"][0]["status"]["partitions"]["0"]["folded"] == 100
    assert page["events_per_s"] is None
    assert (page["lag"], page["deadlettered"]) == (6, 4)
    assert (page["spooled"], page["spool_oldest_seconds"]) == (14, 1.5)
    assert page["alarms"] == [
        {"url": workers[0].url, **alarm},
        {"url": collectors[1].url, "alarm": "not_ready", "message": "the disk is full"},
    ]
    assert page["warnings"] == [{"url": workers[0].url, "message": "a warning"}]
    assert workers[0].asked[0].headers["Authorization"] == f"Bearer {ADMIN_KEY}"

    set_worker(workers[0], 150)
    set_collector(collectors[0], 40)
    clock.ms += 1_000
    page = await (await client.get("/dashboard/health")).json()
    assert (page["events_per_s"], page["accepted_per_s"]) == (50.0, 30.0)


async def test_a_server_that_does_not_answer_is_an_alarm(
    start: Start, workers: list[SmallServer], collectors: list[SmallServer]
) -> None:
    await workers[0].stop()
    workers[1].set("/v1/status", {"code": "unauthorized", "sentence": "..."}, 401)
    collectors[0].set("/health/ready", b"<html>", 502)
    await collectors[1].stop()
    client = await start()
    page = await (await client.get("/dashboard/health")).json()
    assert not any(each["ok"] for each in (*page["workers"], *page["collectors"]))
    assert [each["alarm"] for each in page["alarms"]] == ["no_answer"] * 4
    assert "UPTAKE_ADMIN_KEY" in page["workers"][1]["detail"]
    assert page["collectors"][0]["detail"] == "it answers 502"
    assert (page["lag"], page["events_per_s"]) == (None, None)


async def test_readers_share_one_look(start: Start, workers: list[SmallServer], clock: SetClock) -> None:
    set_worker(workers[0], 1)
    client = await start()
    await asyncio.gather(*(client.get("/dashboard/health") for _ in range(10)))
    assert workers[0].paths() == ["/v1/status"]
    clock.ms += 1_000
    async with client.get("/dashboard/health/stream") as stream:
        event, page = await Events(stream).next()
    assert (event, page["workers"][0]["ok"]) == ("message", True)
    assert workers[0].paths() == ["/v1/status"] * 2
