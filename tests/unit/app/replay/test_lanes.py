"""Events of a user go one after another, pushed-back events go again, and rejected events are reported with a reason."""

import asyncio
import random
from collections import defaultdict
from collections.abc import Iterator

import pytest

from app.base.errors import UptakeError
from app.replay.http import Endpoint
from app.replay.lanes import RejectedEntry, ReplayLanes, ReplayTally
from app.replay.request import ReplayEntry, Request, Unreadable
from tests.support.collector_double import TAKEN, CollectorDouble, Respond, an_answer, collector_double


def a_request(number: int, user: str = "u", time_ms: int | None = None) -> Request:
    return Request(f"/api/00000/click/{user}/1/{number}", user, time_ms, f"f:{number}")


async def sent(
    respond: Respond, entries: list[ReplayEntry], **options: object
) -> tuple[CollectorDouble, ReplayTally, list[RejectedEntry]]:
    rejects: list[RejectedEntry] = []
    async with collector_double(respond) as double:
        options = {"concurrency": 4, "pause_s": 0.01, **options}
        lanes = ReplayLanes(Endpoint(double.url), on_reject=rejects.append, **options)  # type: ignore[arg-type]
        tally = await lanes.run(entries)
    return double, tally, rejects


async def taken(_target: str) -> bytes:
    return TAKEN


async def test_events_of_a_user_never_overtake_each_other() -> None:
    chooser = random.Random(7)
    on_the_way: set[str] = set()
    seen: dict[str, list[int]] = defaultdict(list)

    async def respond(target: str) -> bytes:
        user, number = target.split("/")[4], int(target.rsplit("/", 1)[1])
        assert user not in on_the_way, "two events of one user were on their way at once"
        on_the_way.add(user)
        await asyncio.sleep(chooser.random() / 1000)
        on_the_way.discard(user)
        if chooser.random() < 0.2:
            return an_answer(503, "", "Retry-After: 0")
        seen[user].append(number)
        return TAKEN

    entries: list[ReplayEntry] = [a_request(n, f"u{chooser.randrange(5)}") for n in range(300)]
    double, tally, _ = await sent(respond, entries, concurrency=8, read_ahead=40)
    assert tally.accepted == 300
    assert tally.retries > 0
    assert len(double.ended) == 300 + tally.retries
    for user, numbers in seen.items():
        assert numbers == [n for n, e in enumerate(entries) if isinstance(e, Request) and e.lane == user]


async def test_users_are_served_side_by_side_on_kept_connections() -> None:
    waiting = asyncio.Semaphore(0)
    inside = 0

    async def respond(_target: str) -> bytes:
        nonlocal inside
        inside += 1
        if inside == 4:
            for _ in range(100):
                waiting.release()
        await waiting.acquire()
        return TAKEN

    double, tally, _ = await sent(respond, [a_request(n, f"u{n}") for n in range(40)])
    assert tally.accepted == 40
    assert double.connections == 4


async def test_the_oldest_event_goes_first() -> None:
    entries: list[ReplayEntry] = [a_request(n, f"u{n % 3}") for n in range(30)]
    double, _, _ = await sent(taken, entries, concurrency=1)
    assert [int(target.rsplit("/", 1)[1]) for target in double.begun] == list(range(30))


@pytest.mark.parametrize("status", [429, 503])
async def test_pushed_back_event_is_sent_again_after_the_pause_that_was_asked(status: int) -> None:
    answers = iter([an_answer(status, "", "Retry-After: 1"), TAKEN])

    async def respond(_target: str) -> bytes:
        return next(answers)

    started = asyncio.get_running_loop().time()
    double, tally, rejects = await sent(respond, [a_request(1)])
    assert asyncio.get_running_loop().time() - started >= 0.99
    assert (tally.accepted, tally.retries, tally.not_accepted) == (1, 1, 0)
    assert len(double.begun) == 2
    assert rejects == []


async def test_event_that_is_never_taken_is_given_up() -> None:
    async def respond(_target: str) -> bytes:
        return an_answer(503, "no Kafka")

    _, tally, rejects = await sent(respond, [a_request(1)], give_up_s=0.05)
    assert (tally.failed, tally.accepted) == (1, 0)
    assert tally.retries >= 1
    assert rejects[0].outcome == "failed"
    assert "no Kafka" in rejects[0].reason


@pytest.mark.parametrize(
    ("answer", "outcome", "status"),
    [
        (an_answer(400, '{"code":"bad_item","detail":"item must be"}'), "rejected", 400),
        (an_answer(404, "there is no customer"), "rejected", 404),
        (an_answer(500, "something went wrong"), "failed", 500),
        (an_answer(504, "handed on"), "unknown", 504),
        (an_answer(302, ""), "failed", 302),
        (None, "unknown", None),
        (b"SSH-2.0-x\r\n\r\n", "unknown", None),
    ],
)
async def test_what_is_not_accepted_is_counted_told_and_not_sent_again(
    answer: bytes | None, outcome: str, status: int | None
) -> None:
    async def respond(target: str) -> bytes | None:
        return answer if target.endswith("/2") else TAKEN

    double, tally, rejects = await sent(respond, [a_request(n) for n in (1, 2, 3)])
    assert (tally.accepted, tally.not_accepted, getattr(tally, outcome)) == (2, 1, 1)
    assert len(double.begun) == 3
    (reject,) = rejects
    assert (reject.where, reject.outcome, reject.status) == ("f:2", outcome, status)
    assert reject.text == "/api/00000/click/u/1/2"


async def test_the_reason_of_a_problem_document_is_its_code_and_sentence() -> None:
    async def respond(_target: str) -> bytes:
        return an_answer(400, '{"code":"bad_item","detail":"item must be"}')

    _, _, rejects = await sent(respond, [a_request(1)])
    assert rejects[0].reason == "bad_item: item must be"


async def test_no_answer_in_time_is_unknown() -> None:
    async def respond(_target: str) -> bytes:
        await asyncio.sleep(60)
        return TAKEN

    _, tally, rejects = await sent(respond, [a_request(1)], timeout_s=0.05)
    assert tally.unknown == 1
    assert "no answer within" in rejects[0].reason


async def test_unreadable_lines_are_told_and_not_sent() -> None:
    double, tally, rejects = await sent(
        taken, [a_request(1), Unreadable("f:2", "no event", "x"), a_request(3)]
    )
    assert (tally.accepted, tally.unreadable, tally.done) == (2, 1, 3)
    assert len(double.begun) == 2
    assert rejects == [RejectedEntry("f:2", "unreadable", None, "no event", "x")]


async def test_connection_that_the_server_closes_is_replaced() -> None:
    async def respond(_target: str) -> bytes:
        return an_answer(204, "", "Connection: close")

    double, tally, _ = await sent(respond, [a_request(n) for n in range(5)], concurrency=1)
    assert tally.accepted == 5
    assert double.connections == 5


async def test_collector_that_is_not_there_is_waited_for() -> None:
    async with collector_double(taken) as gone:
        url = gone.url
    lanes = ReplayLanes(Endpoint(url), concurrency=1, pause_s=0.01, give_up_s=0.1)
    tally = await lanes.run([a_request(1)])
    assert (tally.failed, tally.unknown) == (1, 0)
    assert tally.retries >= 1


async def test_speed_keeps_the_distances_of_the_events() -> None:
    started = asyncio.get_running_loop().time()
    entries: list[ReplayEntry] = [a_request(n, f"u{n}", 1_000_000 + n * 10_000) for n in range(3)]
    _, tally, _ = await sent(taken, entries, speed=100.0)
    assert tally.accepted == 3
    assert 0.19 <= asyncio.get_running_loop().time() - started < 5


async def test_stop_waits_for_answers_and_sends_nothing_more() -> None:
    lanes: list[ReplayLanes] = []

    async def respond(target: str) -> bytes:
        lanes[0].stop()
        return TAKEN

    async with collector_double(respond) as double:
        lanes.append(ReplayLanes(Endpoint(double.url), concurrency=1, read_ahead=10))
        tally = await lanes[0].run([a_request(n) for n in range(100)])
    assert lanes[0].is_stopped
    assert (tally.accepted, len(double.begun)) == (1, 1)


async def test_file_that_breaks_off_ends_the_replay_with_its_sentence() -> None:
    def entries() -> Iterator[ReplayEntry]:
        yield a_request(1)
        raise UptakeError("f: cannot be read after line 1")

    async with collector_double(taken) as double:
        with pytest.raises(UptakeError, match="after line 1"):
            await ReplayLanes(Endpoint(double.url), concurrency=2).run(entries())


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "ftp://a", "http://", "http://a/path", "http://a:x"])
def test_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(UptakeError):
        Endpoint(url)


def test_request_names_its_host_and_asks_for_a_problem_document() -> None:
    raw = Endpoint("http://key:secret@collector.test:81/").request("/api/x")
    assert raw.startswith(b"GET /api/x HTTP/1.1\r\nHost: collector.test:81\r\n")
    assert b"application/problem+json" in raw
    assert b"secret" not in raw
